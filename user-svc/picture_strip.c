#include "picture_strip.h"

#include <stdint.h>
#include <string.h>

/* Bytes that are read, and the copy that is written. The copy has room for all of them and PICTURE_STRIP_ROOM more, and
 * of what is not in the original only one orientation is written, so it never overflows. */
struct strip {
    const unsigned char *in;
    size_t length;
    unsigned char *out;
    size_t written;
    bool oriented; /* an orientation was written */
};

enum { SMALLEST = 12 }; /* what the kinds begin with is copied unseen */

static void put(struct strip *strip, const void *bytes, size_t length)
{
    memcpy(strip->out + strip->written, bytes, length);
    strip->written += length;
}

static uint32_t be16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t be32(const unsigned char *at)
{
    return be16(at) << 16 | be16(at + 2);
}

static uint32_t le32(const unsigned char *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static void put_be32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void put_le32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* ---- Exif (CIPA DC-008): a TIFF block ---------------------------------------------------------------------------- */

enum { TIFF_HEADER = 8, TIFF_ENTRY = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ORIENTATION_BYTES = 26 };

/* 2 to 8; 0: none is told, or the picture stands as it is. */
static unsigned orientation_of(const unsigned char *tiff, size_t length)
{
    if (length < TIFF_HEADER)
        return 0;
    const bool little = memcmp(tiff, "II*\0", 4) == 0;
    if (!little && memcmp(tiff, "MM\0*", 4) != 0)
        return 0;
#define READ16(at) (little ? (uint32_t)(tiff[(at) + 1] << 8 | tiff[at]) : be16(tiff + (at)))
#define READ32(at) (little ? le32(tiff + (at)) : be32(tiff + (at)))
    size_t at = READ32(4);
    if (at > length - 2)
        return 0;
    uint32_t entries = READ16(at);
    for (at += 2; entries && length >= TIFF_ENTRY && at <= length - TIFF_ENTRY; entries--, at += TIFF_ENTRY) {
        if (READ16(at) != TAG_ORIENTATION || READ16(at + 2) != TYPE_SHORT || READ32(at + 4) != 1)
            continue;
        uint32_t value = READ16(at + 8);
        return value >= 2 && value <= 8 ? value : 0;
    }
#undef READ16
#undef READ32
    return 0;
}

/* A block that tells the orientation and nothing else. */
static void write_orientation(unsigned orientation, unsigned char tiff[ORIENTATION_BYTES])
{
    static const unsigned char BLOCK[ORIENTATION_BYTES] = {
        'M', 'M',  0, '*', 0, 0, 0, TIFF_HEADER, 0, 1,       /* one entry: */
        1,   0x12, 0, 3,   0, 0, 0, 1,           0, 0, 0, 0, /* a short; its value at 19 */
        0,   0,    0, 0};                                    /* no further directory */
    memcpy(tiff, BLOCK, sizeof BLOCK);
    tiff[19] = (unsigned char)orientation;
}

/* The orientation in an Exif block that has to be told on; once a picture. */
static bool new_orientation(struct strip *strip, const unsigned char *tiff, size_t length,
                            unsigned char out[ORIENTATION_BYTES])
{
    const unsigned orientation = strip->oriented ? 0 : orientation_of(tiff, length);
    if (!orientation)
        return false;
    write_orientation(orientation, out);
    return strip->oriented = true;
}

/* ---- JPEG (ITU T.81) --------------------------------------------------------------------------------------------- */

enum {
    EOI = 0xd9,
    SOS = 0xda,
    RST0 = 0xd0,
    RST7 = 0xd7,
    TEM = 0x01,
    APP0 = 0xe0,
    APP15 = 0xef,
    JPG0 = 0xf0,
    COM = 0xfe
};

static bool says(const unsigned char *data, size_t length, const char *word, size_t word_length)
{
    return length >= word_length && memcmp(data, word, word_length) == 0;
}
#define SAYS(data, length, literal) says((data), (length), (literal), sizeof(literal) - 1)

static void jpeg_jfif(struct strip *strip, const unsigned char *data, size_t length)
{
    static const unsigned char HEAD[] = {0xff, APP0, 0, 16};
    if (length < 14 || !SAYS(data, length, "JFIF\0"))
        return;
    put(strip, HEAD, sizeof HEAD);
    put(strip, data, 12);
    put(strip, "\0\0", 2); /* no thumbnail */
}

static void jpeg_exif(struct strip *strip, const unsigned char *data, size_t length)
{
    static const unsigned char HEAD[] = {0xff, APP0 + 1, 0, 2 + 6 + ORIENTATION_BYTES, 'E', 'x', 'i', 'f', 0, 0};
    unsigned char tiff[ORIENTATION_BYTES];
    if (!SAYS(data, length, "Exif\0\0") || !new_orientation(strip, data + 6, length - 6, tiff))
        return;
    put(strip, HEAD, sizeof HEAD);
    put(strip, tiff, sizeof tiff);
}

/* One segment: its marker at `at`, `length` bytes behind the marker and the length itself. */
static void jpeg_segment(struct strip *strip, size_t at, size_t length)
{
    const unsigned char marker = strip->in[at + 1], *data = strip->in + at + 4;
    const bool known = (marker == APP0 + 2 && SAYS(data, length, "ICC_PROFILE\0")) ||
                       (marker == APP0 + 14 && SAYS(data, length, "Adobe"));
    const bool other = (marker >= APP0 && marker <= APP15) || (marker >= JPG0 && marker <= COM);
    if (marker == APP0)
        jpeg_jfif(strip, data, length);
    else if (marker == APP0 + 1)
        jpeg_exif(strip, data, length);
    else if (known || !other)
        put(strip, strip->in + at, length + 4);
}

/* The next marker that is not part of a scan's data; the end when there is none. */
static size_t jpeg_scan_end(const struct strip *strip, size_t at)
{
    while (at + 1 < strip->length) {
        const unsigned char *found = memchr(strip->in + at, 0xff, strip->length - 1 - at);
        if (!found)
            break;
        at = (size_t)(found - strip->in);
        const unsigned char next = found[1];
        if (next != 0 && next != 0xff && (next < RST0 || next > RST7))
            return at;
        at += next == 0xff ? 1 : 2;
    }
    return strip->length;
}

/* What stands behind the end is left out: cameras put films, second pictures and their own records there. A picture
 * that is cut short ends where it is cut. */
static bool strip_jpeg(struct strip *strip)
{
    size_t at = 2;
    put(strip, strip->in, 2);
    while (at + 1 < strip->length && strip->in[at] == 0xff && strip->in[at + 1] != EOI) {
        const unsigned char marker = strip->in[at + 1];
        if (marker == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        if (marker == TEM || (marker >= RST0 && marker <= RST7)) { /* has no length, and no place here */
            at += 2;
            continue;
        }
        if (strip->length - at < 4 || be16(strip->in + at + 2) < 2 || be16(strip->in + at + 2) > strip->length - at - 2)
            break;
        const size_t length = be16(strip->in + at + 2) - 2;
        jpeg_segment(strip, at, length);
        at += 4 + length;
        if (marker == SOS) {
            const size_t end = jpeg_scan_end(strip, at);
            put(strip, strip->in + at, end - at);
            at = end;
        }
    }
    put(strip, "\xff\xd9", 2);
    return true;
}

/* ---- PNG (W3C PNG, third edition) -------------------------------------------------------------------------------- */

static uint32_t png_crc(const unsigned char *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static bool png_needed(const unsigned char *name)
{
    static const char KEPT[][5] = {"cHRM", "cICP", "gAMA", "iCCP", "mDCV", "cLLI", "sBIT", "sRGB",
                                   "bKGD", "hIST", "tRNS", "pHYs", "sPLT", "acTL", "fcTL", "fdAT"};
    if (name[0] >= 'A' && name[0] <= 'Z') /* critical: nothing can show the picture without it */
        return true;
    for (size_t i = 0; i < sizeof KEPT / sizeof KEPT[0]; i++)
        if (memcmp(name, KEPT[i], 4) == 0)
            return true;
    return false;
}

static void png_exif(struct strip *strip, const unsigned char *data, size_t length)
{
    unsigned char chunk[4 + 4 + ORIENTATION_BYTES + 4] = {0, 0, 0, ORIENTATION_BYTES, 'e', 'X', 'I', 'f'};
    if (!new_orientation(strip, data, length, chunk + 8))
        return;
    put_be32(chunk + sizeof chunk - 4, png_crc(chunk + 4, 4 + ORIENTATION_BYTES));
    put(strip, chunk, sizeof chunk);
}

static bool strip_png(struct strip *strip)
{
    put(strip, strip->in, 8);
    for (size_t at = 8; at < strip->length;) {
        const unsigned char *chunk = strip->in + at;
        if (strip->length - at < 12 || be32(chunk) > strip->length - at - 12)
            return false;
        const size_t length = be32(chunk);
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            png_exif(strip, chunk + 8, length);
        else if (png_needed(chunk + 4))
            put(strip, chunk, 12 + length);
        at += 12 + length;
    }
    return true;
}

/* ---- WebP (RFC 9649) --------------------------------------------------------------------------------------------- */

enum { VP8X_EXIF = 0x08, VP8X_XMP = 0x04, ANMF_HEADER = 16 };

static void webp_exif(struct strip *strip, const unsigned char *data, size_t length)
{
    unsigned char chunk[8 + ORIENTATION_BYTES] = {'E', 'X', 'I', 'F', ORIENTATION_BYTES};
    const size_t prefix = SAYS(data, length, "Exif\0\0") ? 6 : 0; /* some programs write it as in a jpeg */
    if (new_orientation(strip, data + prefix, length - prefix, chunk + 8))
        put(strip, chunk, sizeof chunk);
}

static bool webp_needed(const unsigned char *name)
{
    static const char KEPT[][5] = {"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ICCP"};
    for (size_t i = 0; i < sizeof KEPT / sizeof KEPT[0]; i++)
        if (memcmp(name, KEPT[i], 4) == 0)
            return true;
    return false;
}

/* The chunks from `at` to `end`; those of a frame are chunks too. */
static bool webp_chunks(struct strip *strip, size_t at, size_t end, bool in_frame)
{
    while (at < end) {
        const unsigned char *chunk = strip->in + at;
        if (end - at < 8 || le32(chunk + 4) > end - at - 8)
            return false;
        const size_t length = le32(chunk + 4), whole = 8 + length + (length & 1);
        if (whole > end - at)
            return false;
        if (!in_frame && memcmp(chunk, "EXIF", 4) == 0) {
            webp_exif(strip, chunk + 8, length);
        } else if (!in_frame && memcmp(chunk, "ANMF", 4) == 0) {
            const size_t head = strip->written;
            if (length < ANMF_HEADER)
                return false;
            put(strip, chunk, 8 + ANMF_HEADER);
            if (!webp_chunks(strip, at + 8 + ANMF_HEADER, at + 8 + length, true))
                return false;
            put_le32(strip->out + head + 4, (uint32_t)(strip->written - head - 8));
            if ((strip->written - head) & 1)
                put(strip, "", 1);
        } else if (webp_needed(chunk)) {
            put(strip, chunk, whole);
        }
        at += whole;
    }
    return true;
}

static bool strip_webp(struct strip *strip)
{
    put(strip, strip->in, 12);
    if (!webp_chunks(strip, 12, strip->length, false))
        return false;
    put_le32(strip->out + 4, (uint32_t)(strip->written - 8));
    if (strip->written > 20 && memcmp(strip->out + 12, "VP8X", 4) == 0) {
        strip->out[20] &= (unsigned char)~(VP8X_EXIF | VP8X_XMP);
        strip->out[20] |= strip->oriented ? VP8X_EXIF : 0;
    }
    return true;
}

bool picture_strip(struct arena *arena, struct view bytes, const char *type, struct view *clean)
{
    struct strip strip = {.in = (const unsigned char *)bytes.bytes,
                          .length = bytes.length,
                          .out = arena_alloc(arena, bytes.length + PICTURE_STRIP_ROOM)};
    if (bytes.length < SMALLEST)
        return false;
    const bool good = strcmp(type, "image/png") == 0    ? strip_png(&strip)
                      : strcmp(type, "image/jpeg") == 0 ? strip_jpeg(&strip)
                      : strcmp(type, "image/webp") == 0 ? strip_webp(&strip)
                                                        : false;
    *clean = (struct view){(const char *)strip.out, strip.written};
    return good;
}
