/* What is left out of a picture, and that whatever bytes come, the result is a picture or a refusal. */
#include "objstore.h"
#include "picture.h"
#include "picture_strip.h"
#include "test.h"

#include <stdlib.h>

/* ---- files built by hand ---- */

struct file {
    unsigned char bytes[4096];
    size_t length;
};

static void add(struct file *file, const void *bytes, size_t length)
{
    memcpy(file->bytes + file->length, bytes, length);
    file->length += length;
}
#define ADD(file, literal) add((file), (literal), sizeof(literal) - 1)

static void add_segment(struct file *file, unsigned char marker, const void *data, size_t length)
{
    const unsigned char head[] = {0xff, marker, (unsigned char)((length + 2) >> 8), (unsigned char)(length + 2)};
    add(file, head, sizeof head);
    add(file, data, length);
}
#define SEGMENT(file, marker, literal) add_segment((file), (marker), (literal), sizeof(literal) - 1)

static void add_chunk(struct file *file, bool riff, const char *name, const void *data, size_t length)
{
    const unsigned char big[] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                                 (unsigned char)(length >> 8), (unsigned char)length};
    const unsigned char little[] = {big[3], big[2], big[1], big[0]};
    if (riff)
        add(file, name, 4);
    add(file, riff ? little : big, 4);
    if (!riff)
        add(file, name, 4);
    add(file, data, length);
    if (!riff)
        add(file, "\1\2\3\4", 4); /* nobody looks at the sum */
    else if (length & 1)
        ADD(file, "\0");
}
#define PNG_CHUNK(file, name, literal) add_chunk((file), false, (name), (literal), sizeof(literal) - 1)
#define WEBP_CHUNK(file, name, literal) add_chunk((file), true, (name), (literal), sizeof(literal) - 1)

/* A TIFF block with a place in it and this orientation, in both orders of bytes. */
#define TIFF_BIG(orientation)                                                                                          \
    "MM\0*\0\0\0\x08\0\x02"                                                                                            \
    "\x01\x0e\0\x02\0\0\0\x0b\0\0\0\x26"                                                                               \
    "\x01\x12\0\x03\0\0\0\x01\0" orientation "\0\0\0\0\0\0SECRET-GPS"
#define TIFF_LITTLE(orientation) "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" orientation "\0\0\0\0\0\0\0SECRET-GPS"

static struct file jpeg_with(const void *exif, size_t length)
{
    struct file file = {.length = 0};
    ADD(&file, "\xff\xd8");
    SEGMENT(&file, 0xe0, "JFIF\0\1\1\0\0\1\0\1\1\1SECRET-thumb");
    if (length)
        add_segment(&file, 0xe1, exif, length);
    SEGMENT(&file, 0xe1, "http://ns.adobe.com/xap/1.0/\0SECRET-xmp");
    SEGMENT(&file, 0xe2, "ICC_PROFILE\0\1\1colours");
    SEGMENT(&file, 0xe2, "MPF\0SECRET-pictures");
    SEGMENT(&file, 0xed, "Photoshop 3.0\0SECRET-iptc");
    SEGMENT(&file, 0xee, "Adobe\0\x64\0\0\0\0\1");
    SEGMENT(&file, 0xfe, "SECRET-comment");
    SEGMENT(&file, 0xc0, "\x08\0\x04\0\x05\1\1\x11\0");
    SEGMENT(&file, 0xda, "\1\1\0\0\x3f\0");
    ADD(&file, "scan\xff\0one\xff\xd0more");
    SEGMENT(&file, 0xfe, "SECRET-between-scans");
    SEGMENT(&file, 0xda, "\1\1\0\0\x3f\0");
    ADD(&file, "scan two\xff\xd9");
    ADD(&file, "SECRET-film\xff\xd8\xff");
    return file;
}

static struct file png_with_exif(void)
{
    struct file file = {.length = 0};
    ADD(&file, "\x89PNG\r\n\x1a\n");
    PNG_CHUNK(&file, "IHDR", "\0\0\0\x05\0\0\0\x04\x08\2\0\0\0");
    PNG_CHUNK(&file, "gAMA", "\0\0\xb1\x8f");
    PNG_CHUNK(&file, "tEXt", "Comment\0SECRET");
    PNG_CHUNK(&file, "iTXt", "XML:com.adobe.xmp\0\0\0\0\0SECRET");
    PNG_CHUNK(&file, "zTXt", "SECRET");
    PNG_CHUNK(&file, "tIME", "SECRET!");
    PNG_CHUNK(&file, "prIv", "SECRET");
    PNG_CHUNK(&file, "eXIf", TIFF_BIG("\x06"));
    PNG_CHUNK(&file, "IDAT", "pixels");
    PNG_CHUNK(&file, "IEND", "");
    return file;
}

static struct file webp_with_exif(void)
{
    struct file file = {.length = 0};
    ADD(&file, "RIFF\0\0\0\0WEBP");
    WEBP_CHUNK(&file, "VP8X", "\x2e\0\0\0\x04\0\0\x03\0\0"); /* icc, exif, xmp, animation; 5 x 4 */
    WEBP_CHUNK(&file, "ICCP", "colours");
    WEBP_CHUNK(&file, "ANIM", "\0\0\0\0\0\0");
    struct file frame = {.length = 0};
    ADD(&frame, "0123456789abcdef");
    WEBP_CHUNK(&frame, "VP8L", "\x2f\4\0\0\0");
    WEBP_CHUNK(&frame, "SECR", "SECRET-in-a-frame");
    add_chunk(&file, true, "ANMF", frame.bytes, frame.length);
    WEBP_CHUNK(&file, "EXIF", "Exif\0\0" TIFF_LITTLE("\x08"));
    WEBP_CHUNK(&file, "XMP ", "SECRET-xmp");
    WEBP_CHUNK(&file, "misc", "SECRET");
    file.bytes[4] = (unsigned char)(file.length - 8);
    file.bytes[5] = (unsigned char)((file.length - 8) >> 8);
    return file;
}

/* ---- the tests ---- */

static bool has(struct view bytes, const void *word, size_t length)
{
    return memmem(bytes.bytes, bytes.length, word, length) != NULL;
}
#define HAS(bytes, literal) has((bytes), (literal), sizeof(literal) - 1)

static struct view cleaned(struct arena *arena, const struct file *file, const char *type)
{
    struct view bytes = {(const char *)file->bytes, file->length}, clean = {0};
    struct err err = {0};
    EXPECT_TEXT(type, media_sniff(bytes, false, NULL, NULL));
    test_check(picture_clean(arena, bytes, type, &clean, &err), __FILE__, __LINE__, "%s: %s", type, err.message);
    return clean;
}

TEST(jpeg_keeps_what_shows_it_and_nothing_else, "P-11 M-10")
{
    AUTO(arena) arena = arena_open(1 << 20);
    static const char EXIF[] = "Exif\0\0" TIFF_LITTLE("\x06");
    struct file file = jpeg_with(EXIF, sizeof EXIF - 1);
    struct view clean = cleaned(arena, &file, "image/jpeg");
    EXPECT(!HAS(clean, "SECRET"));
    EXPECT(HAS(clean, "ICC_PROFILE") && HAS(clean, "Adobe") && HAS(clean, "JFIF"));
    EXPECT(HAS(clean, "scan\xff\0one\xff\xd0more") && HAS(clean, "scan two\xff\xd9"));
    EXPECT_TEXT("\xff\xd9", clean.bytes + clean.length - 2); /* the arena's bytes are zero behind it */
    EXPECT(HAS(clean, "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6"));
    /* once more: what is clean stays as it is */
    struct file again = {.length = clean.length};
    memcpy(again.bytes, clean.bytes, clean.length);
    struct view same = cleaned(arena, &again, "image/jpeg");
    EXPECT(same.length == clean.length && memcmp(same.bytes, clean.bytes, clean.length) == 0);
}

TEST(orientation_is_told_only_where_it_says_something, "P-11 M-10")
{
    AUTO(arena) arena = arena_open(1 << 20);
    static const char UPRIGHT[] = "Exif\0\0" TIFF_BIG("\x01"), WRONG[] = "Exif\0\0" TIFF_BIG("\x09"),
                      TURNED[] = "Exif\0\0" TIFF_BIG("\x03"), CUT[] = "Exif\0\0MM\0*\0\0\0\x08\0\x09\1\x12\0\3",
                      FAR[] = "Exif\0\0MM\0*\xff\xff\xff\xfe\0\1", EMPTY[] = "Exif\0\0";
    static const struct {
        const char *bytes;
        size_t length;
        bool told;
    } CASES[] = {{UPRIGHT, sizeof UPRIGHT - 1, false},
                 {WRONG, sizeof WRONG - 1, false},
                 {TURNED, sizeof TURNED - 1, true},
                 {CUT, sizeof CUT - 1, false},
                 {FAR, sizeof FAR - 1, false},
                 {EMPTY, sizeof EMPTY - 1, false},
                 {NULL, 0, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct file file = jpeg_with(CASES[i].bytes, CASES[i].length);
        struct view clean = cleaned(arena, &file, "image/jpeg");
        test_check(HAS(clean, "Exif") == CASES[i].told, __FILE__, __LINE__, "case %zu", i);
        EXPECT(!HAS(clean, "SECRET"));
    }
}

TEST(jpeg_that_is_cut_short_still_ends, "P-11")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct file file = jpeg_with(NULL, 0);
    file.length -= sizeof "\xff\xd9SECRET-film\xff\xd8\xff" - 1;
    struct view clean = cleaned(arena, &file, "image/jpeg");
    EXPECT(HAS(clean, "scan two\xff\xd9"));
}

TEST(png_keeps_what_shows_it_and_nothing_else, "P-11 M-10")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct file file = png_with_exif();
    struct view clean = cleaned(arena, &file, "image/png");
    EXPECT(!HAS(clean, "SECRET") && !HAS(clean, "tEXt") && !HAS(clean, "prIv"));
    EXPECT(HAS(clean, "gAMA") && HAS(clean, "IDATpixels"));
    /* the sum by another program: crc32 of the chunk's name and data */
    EXPECT(HAS(clean, "\0\0\0\x1a"
                      "eXIfMM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
                      "\326\147\113\151"));
}

TEST(webp_keeps_what_shows_it_and_nothing_else, "P-11 M-10")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct file file = webp_with_exif();
    struct view clean = cleaned(arena, &file, "image/webp");
    EXPECT(!HAS(clean, "SECRET") && !HAS(clean, "XMP "));
    EXPECT(HAS(clean, "ICCP") && HAS(clean, "0123456789abcdefVP8L"));
    EXPECT(HAS(clean, "EXIF\x1a\0\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08"));
    EXPECT_I64(0x2a, (unsigned char)clean.bytes[20]); /* no xmp any more */
}

/* Bytes changed, cut and doubled at random: never more than the room there is (sanitizers look), and what is taken is a
 * picture of the same kind and size. */
TEST(whatever_comes_it_is_a_picture_or_a_refusal, "P-11 S-02")
{
    static const char EXIF[] = "Exif\0\0" TIFF_BIG("\x06");
    static const char *const TYPES[] = {"image/jpeg", "image/png", "image/webp"};
    const struct file files[] = {jpeg_with(EXIF, sizeof EXIF - 1), png_with_exif(), webp_with_exif()};
    uint64_t random = 42;
    int taken = 0, refused = 0;
    for (int round = 0; round < 30000; round++) {
        AUTO(arena) arena = arena_open(1 << 20);
        struct file file = files[round % 3];
        for (int change = (int)(random >> 60) % 4; change >= 0; change--) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % file.length;
            if ((random >> 20) % 16 == 0)
                file.length = at + 1;
            else
                file.bytes[at] = (unsigned char)((random >> 24) % 3 ? random >> 50 : 0xff);
        }
        unsigned char *exact = malloc(file.length); /* so that one byte too far shows */
        memcpy(exact, file.bytes, file.length);
        struct view bytes = {(const char *)exact, file.length}, clean;
        struct err err = {0};
        if (picture_strip(arena, bytes, TYPES[round % 3], &clean))
            EXPECT(clean.length <= bytes.length + PICTURE_STRIP_ROOM);
        if (media_sniff(bytes, false, NULL, NULL) == NULL)
            refused++;
        else if (picture_clean(arena, bytes, TYPES[round % 3], &clean, &err))
            taken++;
        free(exact);
    }
    EXPECT(taken > 1000 && refused > 1000);
}
