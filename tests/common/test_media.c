/* Pictures by their content: real files of each kind (the seeds of the fuzzer), every cut of them, and lies. */
#include "mem.h"
#include "objstore.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define FOLDER "tests/fuzz/corpus/media/"

static const struct sample {
    const char *file, *type;
    int width, height;
    bool more;
} SAMPLES[] = {
    {"three-by-two.png", "image/png", 3, 2, false},   {"palette.png", "image/png", 3, 2, false},
    {"three-by-two.jpeg", "image/jpeg", 3, 2, false}, {"gray.jpeg", "image/jpeg", 3, 2, false},
    {"lossy.webp", "image/webp", 1, 1, false},        {"lossless.webp", "image/webp", 1, 1, false},
    {"alpha.webp", "image/webp", 1, 1, false},        {"animated.webp", "image/webp", 1, 1, false},
    {"three-by-two.gif", "image/gif", 3, 2, true},    {"short.mp4", "video/mp4", 0, 0, true},
    {"empty.pdf", "application/pdf", 0, 0, true},
};

/* Tests run in the repository's root. */
static void read_sample(const char *name, struct str *out)
{
    char path[200], buffer[4096];
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        (void)fprintf(stderr, "%s cannot be read: run tests in the root of the repository\n", path);
        exit(1);
    }
    size_t count;
    str_init(out);
    while ((count = fread(buffer, 1, sizeof buffer, file)) > 0)
        str_add_bytes(out, buffer, count);
    (void)fclose(file);
}

static const char *sniff_bytes(const char *bytes, size_t length)
{
    /* a copy of its own size, so that a read beyond the end is seen */
    AUTO_FREE char *copy = mem_new(length, 1);
    if (length)
        memcpy(copy, bytes, length);
    return media_sniff((struct view){copy, length}, true, NULL, NULL);
}

static const char *sniff(const struct str *content)
{
    return sniff_bytes(content->bytes, content->length);
}

TEST(real_files_are_known_with_their_size, "P-11")
{
    for (size_t i = 0; i < ARRAY_LENGTH(SAMPLES); i++) {
        AUTO_STR content;
        int width = -1, height = -1;
        read_sample(SAMPLES[i].file, &content);
        struct view bytes = {content.bytes, content.length};
        EXPECT_TEXT(SAMPLES[i].type, media_sniff(bytes, true, &width, &height));
        EXPECT_I64(SAMPLES[i].width, width);
        EXPECT_I64(SAMPLES[i].height, height);
        EXPECT_TEXT(SAMPLES[i].more ? NULL : SAMPLES[i].type, media_sniff(bytes, false, NULL, NULL));
    }
}

TEST(a_cut_file_is_never_another_kind, "P-11 I10")
{
    for (size_t i = 0; i < ARRAY_LENGTH(SAMPLES); i++) {
        AUTO_STR content;
        read_sample(SAMPLES[i].file, &content);
        for (size_t length = 0; length < content.length; length++) {
            const char *type = sniff_bytes(content.bytes, length);
            test_check(!type || strcmp(type, SAMPLES[i].type) == 0, __FILE__, __LINE__, "%s cut to %zu is %s",
                       SAMPLES[i].file, length, type);
            /* kinds that tell their length have to have it all */
            if (strcmp(SAMPLES[i].type, "image/png") == 0 || strcmp(SAMPLES[i].type, "image/webp") == 0)
                test_check(!type, __FILE__, __LINE__, "%s cut to %zu is taken", SAMPLES[i].file, length);
        }
    }
}

TEST(headers_alone_are_refused, "P-11")
{
    static const char *const HEADS[] = {"\x89PNG\r\n\x1a\n",
                                        "\xff\xd8\xff",
                                        "\xff\xd8\xff\xe0",
                                        "\xff\xd8\xff\xd9",
                                        "RIFF",
                                        "GIF89a",
                                        "%PDF-1.7",
                                        "BM",
                                        "<svg xmlns='http://www.w3.org/2000/svg'/>",
                                        "<html>",
                                        "MZ",
                                        "PK\x03\x04",
                                        ""};
    for (size_t i = 0; i < ARRAY_LENGTH(HEADS); i++)
        test_check(!sniff_bytes(HEADS[i], strlen(HEADS[i])), __FILE__, __LINE__, "taken: %zu", i);
}

TEST(a_png_with_something_behind_it_is_refused, "P-11")
{
    AUTO_STR content;
    read_sample("three-by-two.png", &content);
    EXPECT_TEXT("image/png", sniff(&content));
    str_add(&content, "PK\x03\x04");
    EXPECT_TEXT(NULL, sniff(&content));
}

static void set_be32(struct str *content, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        content->bytes[at + (size_t)i] = (char)(value >> (24 - 8 * i));
}

TEST(a_png_of_no_or_monstrous_size_is_refused, "P-11 I9")
{
    static const struct {
        uint32_t width, height;
        bool good;
    } SIZES[] = {{1, 1, true},          {0, 1, false},          {1, 0, false},
                 {32767, 8192, true},   {32768, 1, false},      {1, 32768, false},
                 {32767, 32767, false}, {0xffffffff, 1, false}, {0x80000001, 0x80000001, false}};
    for (size_t i = 0; i < ARRAY_LENGTH(SIZES); i++) {
        AUTO_STR content;
        read_sample("three-by-two.png", &content);
        set_be32(&content, 16, SIZES[i].width);
        set_be32(&content, 20, SIZES[i].height);
        EXPECT_TEXT(SIZES[i].good ? "image/png" : NULL, sniff(&content));
    }
}

static void expect_change(const char *file, size_t at, unsigned char value)
{
    AUTO_STR content;
    read_sample(file, &content);
    content.bytes[at] = (char)value;
    test_check(!sniff(&content), __FILE__, __LINE__, "%s with byte %zu = %02x is %s", file, at, value, sniff(&content));
}

TEST(parts_that_do_not_fit_together_are_refused, "P-11")
{
    expect_change("three-by-two.png", 24, 3);    /* bit depth */
    expect_change("three-by-two.png", 25, 5);    /* colour type */
    expect_change("three-by-two.png", 26, 1);    /* compression */
    expect_change("three-by-two.png", 28, 2);    /* interlace */
    expect_change("three-by-two.png", 12, 'J');  /* IHDR is not first */
    expect_change("three-by-two.png", 33, 0x7f); /* length of the next chunk */
    expect_change("three-by-two.jpeg", 4, 0xff); /* length of the first segment */
    expect_change("three-by-two.jpeg", 2, 0x00); /* no marker */
    expect_change("three-by-two.jpeg", 3, 0xd0); /* a restart before any scan */
    expect_change("three-by-two.jpeg", 3, 0xda); /* a scan before any frame */
    expect_change("lossy.webp", 4, 0x21);        /* RIFF's length */
    expect_change("lossy.webp", 16, 0xff);       /* the chunk's length */
    expect_change("lossy.webp", 20, 0x31);       /* no key frame */
    expect_change("lossy.webp", 23, 0x00);       /* start code */
    expect_change("lossless.webp", 20, 0x2e);    /* signature byte */
    expect_change("lossless.webp", 24, 0xff);    /* version bits */
    expect_change("alpha.webp", 16, 0x0c);       /* length of VP8X */
    expect_change("alpha.webp", 50, 'x');        /* no pixels */
    expect_change("three-by-two.gif", 7, 0xff);  /* 65,283 points wide */
    expect_change("three-by-two.gif", 10, 0xf7); /* a longer colour table than file */
    expect_change("short.mp4", 3, 15);           /* ftyp too short */
    expect_change("short.mp4", 8, 'q');          /* another brand */
    expect_change("short.mp4", 27, 3);           /* the next box */
    expect_change("empty.pdf", 5, '3');
}

TEST(a_jpeg_needs_one_frame_before_its_scan, "P-11")
{
    /* SOI, SOF0 of 16 x 16 with one component, SOS */
    static const unsigned char GOOD[] = {0xff, 0xd8, 0xff, 0xff, 0xc0, 0, 11, 8, 0, 16, 0, 16, 1,
                                         1,    0x11, 0,    0xff, 0xda, 0, 8,  1, 1, 0,  0, 63, 0};
    const struct {
        size_t at;
        unsigned char value;
    } CHANGES[] = {{6, 12}, {9, 0} /* height 0 */, {12, 0}, {12, 5}, {4, 0xc4} /* no frame */, {19, 5}};
    EXPECT_TEXT("image/jpeg", sniff_bytes((const char *)GOOD, sizeof GOOD));
    for (size_t i = 0; i < ARRAY_LENGTH(CHANGES); i++) {
        unsigned char bytes[sizeof GOOD];
        memcpy(bytes, GOOD, sizeof GOOD);
        bytes[CHANGES[i].at] = CHANGES[i].value;
        test_check(!sniff_bytes((const char *)bytes, sizeof bytes), __FILE__, __LINE__, "change %zu is taken", i);
    }
}

TEST(random_bytes_and_changes_never_crash, "P-11 I10")
{
    for (int round = 0; round < 20000; round++) {
        AUTO_STR content;
        read_sample(SAMPLES[test_random() % ARRAY_LENGTH(SAMPLES)].file, &content);
        for (int i = 0; i < 4; i++)
            content.bytes[test_random() % content.length] = (char)test_random();
        content.length = test_random() % (content.length + 1);
        int width, height;
        const char *type = media_sniff((struct view){content.bytes, content.length}, true, &width, &height);
        if (!EXPECT(type ? width >= 0 && height >= 0 && width <= 32767 && height <= 32767 : width == 0 && height == 0))
            return;
    }
}
