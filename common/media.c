#include "mem.h"
#include "objstore.h"

#include <string.h>

/* Each kind has one function that reads the headers as far as they tell the kind and the size for certain, and refuses
 * what is cut short or does not fit together: a file that several programs could read as several things is not taken.
 * Nothing is decoded. */

enum { SIDE_MAX = 32767, AREA_MAX = 1 << 28 };

struct media {
    const unsigned char *bytes;
    size_t length;
    uint32_t width, height;
};

static uint32_t be16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t be32(const unsigned char *at)
{
    return be16(at) << 16 | be16(at + 2);
}

static uint32_t le16(const unsigned char *at)
{
    return (uint32_t)at[1] << 8 | at[0];
}

static uint32_t le24(const unsigned char *at)
{
    return (uint32_t)at[2] << 16 | le16(at);
}

static uint32_t le32(const unsigned char *at)
{
    return le16(at + 2) << 16 | le16(at);
}

static bool starts_with(const struct media *media, size_t at, const char *magic, size_t length)
{
    return media->length >= at && media->length - at >= length && memcmp(media->bytes + at, magic, length) == 0;
}
#define STARTS_WITH(media, at, literal) starts_with((media), (at), (literal), sizeof(literal) - 1)

static bool set_size(struct media *media, uint32_t width, uint32_t height)
{
    media->width = width;
    media->height = height;
    return width > 0 && height > 0 && width <= SIDE_MAX && height <= SIDE_MAX && (uint64_t)width * height <= AREA_MAX;
}

/* ---- PNG (W3C PNG, sections 5 and 11) ------------------------------------------------------------------------------
 */

/* Bit depths allowed for a colour type, as a bit set. */
static const unsigned char PNG_DEPTHS[7] = {
    [0] = 1 | 2 | 4 | 8 | 16, [2] = 8 | 16, [3] = 1 | 2 | 4 | 8, [4] = 8 | 16, [6] = 8 | 16};

static bool png_header(struct media *media, const unsigned char *at)
{
    unsigned depth = at[8], colour = at[9];
    return set_size(media, be32(at), be32(at + 4)) && colour < sizeof PNG_DEPTHS && (depth & (depth - 1)) == 0 &&
           (PNG_DEPTHS[colour] & depth) != 0 && at[10] == 0 && at[11] == 0 && at[12] <= 1;
}

/* IHDR first, pixels somewhere, IEND last and nothing behind it (there archives hide, and the rest of cropped
 * pictures). */
static bool is_png(struct media *media)
{
    if (!STARTS_WITH(media, 0, "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR") || media->length < 8 + 12 + 13 ||
        !png_header(media, media->bytes + 16))
        return false;
    bool pixels = false;
    for (size_t at = 8; media->length - at >= 12;) {
        size_t length = be32(media->bytes + at);
        if (length > media->length - at - 12)
            return false;
        if (STARTS_WITH(media, at + 4, "IEND"))
            return pixels && length == 0 && at + 12 == media->length;
        pixels = pixels || STARTS_WITH(media, at + 4, "IDAT");
        at += 12 + length;
    }
    return false;
}

/* ---- JPEG (ITU T.81, annex B) --------------------------------------------------------------------------------------
 */

static bool is_frame_marker(unsigned marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* Walks the segments from SOI to the first scan; a frame header must stand before it. Cameras append things after EOI,
 * so the end is not looked at. */
static bool is_jpeg(struct media *media)
{
    if (!STARTS_WITH(media, 0, "\xff\xd8\xff"))
        return false;
    bool frame = false;
    for (size_t at = 2; media->length - at >= 4;) {
        unsigned marker = media->bytes[at + 1];
        if (media->bytes[at] != 0xff)
            return false;
        if (marker == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        size_t length = be16(media->bytes + at + 2);
        if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9) || length < 2 || length > media->length - at - 2)
            return false;
        if (marker == 0xda)
            return frame && length >= 6;
        if (is_frame_marker(marker)) {
            const unsigned char *header = media->bytes + at + 4;
            if (frame || length < 11 || header[5] < 1 || header[5] > 4 || length != 8 + 3 * (size_t)header[5] ||
                !set_size(media, be16(header + 3), be16(header + 1)))
                return false;
            frame = true;
        }
        at += 2 + length;
    }
    return false;
}

/* ---- WebP (RFC 9649) -----------------------------------------------------------------------------------------------
 */

/* The bitstream of a chunk `VP8 ` or `VP8L` of `length` bytes. */
static bool webp_bitstream(struct media *media, const unsigned char *name, const unsigned char *data, size_t length)
{
    if (memcmp(name, "VP8L", 4) == 0) {
        if (length < 5 || data[0] != 0x2f)
            return false;
        uint32_t bits = le32(data + 1);
        return bits >> 29 == 0 && set_size(media, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
    }
    return length >= 10 && (data[0] & 1) == 0 && memcmp(data + 3, "\x9d\x01\x2a", 3) == 0 &&
           set_size(media, le16(data + 6) & 0x3fff, le16(data + 8) & 0x3fff);
}

static bool is_webp(struct media *media)
{
    if (!STARTS_WITH(media, 0, "RIFF") || !STARTS_WITH(media, 8, "WEBPVP8") ||
        le32(media->bytes + 4) != media->length - 8)
        return false;
    bool extended = STARTS_WITH(media, 12, "VP8X"), pixels = false;
    uint32_t width = 0, height = 0;
    size_t at = 12;
    while (media->length - at >= 8) {
        const unsigned char *name = media->bytes + at, *data = name + 8;
        size_t length = le32(name + 4), padded = length + (length & 1);
        if (padded > media->length - at - 8)
            return false;
        if (at == 12 && extended) {
            if (length != 10 || !set_size(media, le24(data + 4) + 1, le24(data + 7) + 1))
                return false;
            width = media->width;
            height = media->height;
        } else if (memcmp(name, "VP8 ", 4) == 0 || memcmp(name, "VP8L", 4) == 0) {
            if (pixels || !webp_bitstream(media, name, data, length))
                return false;
            pixels = true;
        } else if (!extended) {
            return false;
        } else if (memcmp(name, "ANMF", 4) == 0) {
            pixels = true;
        }
        at += 8 + padded;
    }
    return at == media->length && pixels && (!extended || set_size(media, width, height));
}

/* ---- more ----------------------------------------------------------------------------------------------------------
 */

static bool is_gif(struct media *media)
{
    if ((!STARTS_WITH(media, 0, "GIF87a") && !STARTS_WITH(media, 0, "GIF89a")) || media->length < 14)
        return false;
    unsigned flags = media->bytes[10];
    size_t at = 13 + (flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0); /* behind the colour table */
    size_t end = media->length;
    while (end > 0 && media->bytes[end - 1] == 0) /* some writers pad */
        end--;
    return set_size(media, le16(media->bytes + 6), le16(media->bytes + 8)) && at < end &&
           (media->bytes[at] == 0x2c || media->bytes[at] == 0x21) && media->bytes[end - 1] == 0x3b;
}

/* Brands of ISO base media files that are MP4 video (others are HEIC, AVIF, QuickTime, ...). */
static const char MP4_BRANDS[][5] = {"isom", "iso2", "iso3", "iso4", "iso5", "iso6",
                                     "mp41", "mp42", "avc1", "M4V ", "MSNV", "dash"};

static bool is_mp4(struct media *media)
{
    if (!STARTS_WITH(media, 4, "ftyp"))
        return false;
    size_t length = be32(media->bytes);
    if (length < 16 || length > 1024 || length % 4 != 0 || length > media->length || media->length - length < 8)
        return false;
    uint32_t next = be32(media->bytes + length); /* size of the next box: 0 to the end, 1 as 64 bits */
    if (next != 0 && next != 1 && next < 8)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(MP4_BRANDS); i++)
        if (memcmp(media->bytes + 8, MP4_BRANDS[i], 4) == 0)
            return true;
    return false;
}

static bool is_pdf(struct media *media)
{
    enum { TAIL = 1024 };
    if (!STARTS_WITH(media, 0, "%PDF-1.") && !STARTS_WITH(media, 0, "%PDF-2."))
        return false;
    size_t tail = media->length < TAIL ? media->length : TAIL;
    return memmem(media->bytes + media->length - tail, tail, "%%EOF", 5) != NULL;
}

static const struct {
    const char *type;
    bool (*is)(struct media *media);
    bool more;
} KINDS[] = {
    {"image/png", is_png, false}, {"image/jpeg", is_jpeg, false}, {"image/webp", is_webp, false},
    {"image/gif", is_gif, true},  {"video/mp4", is_mp4, true},    {"application/pdf", is_pdf, true},
};

const char *media_sniff(struct view bytes, bool more, int *width, int *height)
{
    const char *type = NULL;
    struct media media = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(KINDS) && !type; i++) {
        media = (struct media){.bytes = (const unsigned char *)bytes.bytes, .length = bytes.length};
        if ((more || !KINDS[i].more) && KINDS[i].is(&media))
            type = KINDS[i].type;
    }
    if (width)
        *width = type ? (int)media.width : 0;
    if (height)
        *height = type ? (int)media.height : 0;
    return type;
}
