/* Names and values are read many bytes at a time: each byte of them against a reader that takes one at a time. */
#include "http1.h"
#include "test.h"

#include "mem.h"

#include <ctype.h>
#include <stdlib.h>

static const struct known {
    enum http1_header_id id;
    const char *name;
} KNOWN[] = {
#define KNOWN_ROW(id, name, flags) {id, name},
    HTTP1_HEADER_TABLE(KNOWN_ROW)
#undef KNOWN_ROW
};

/* What a name is, said as plainly as can be: of these bytes, no NUL behind them. */
static enum http1_header_id plain_find(const char *bytes, size_t length, bool *look_alike)
{
    *look_alike = false;
    for (size_t i = 0; i < ARRAY_LENGTH(KNOWN); i++) {
        if (strlen(KNOWN[i].name) != length)
            continue;
        bool same = true, alike = true;
        for (size_t at = 0; at < length; at++) {
            const bool equal = tolower((unsigned char)bytes[at]) == KNOWN[i].name[at];
            same &= equal;
            alike &= equal || (bytes[at] == '_' && KNOWN[i].name[at] == '-');
        }
        if (same)
            return KNOWN[i].id;
        *look_alike |= alike;
    }
    return HEADER_OTHER;
}

static void compare(const char *bytes, size_t length)
{
    char *exact = malloc(length); /* so that a sanitizer sees a step too far */
    memcpy(exact, bytes, length);
    bool alike, plain_alike;
    const enum http1_header_id id = http1_header_find((struct view){exact, length}, &alike);
    const enum http1_header_id plain = plain_find(bytes, length, &plain_alike);
    test_check(id == plain && alike == plain_alike, __FILE__, __LINE__, "%.*s: %d %d, not %d %d", (int)length, bytes,
               id, alike, plain, plain_alike);
    free(exact);
}

TEST(a_name_is_known_in_any_case_and_in_no_other_way, "P-43")
{
    for (size_t i = 0; i < ARRAY_LENGTH(KNOWN); i++) {
        char bytes[64];
        const size_t length = strlen(KNOWN[i].name);
        REQUIRE(length <= HTTP1_KNOWN_NAME_MAX);
        for (size_t at = 0; at < length; at++)
            bytes[at] = (char)(at % 2 ? toupper(KNOWN[i].name[at]) : KNOWN[i].name[at]);
        compare(KNOWN[i].name, length);
        compare(bytes, length);
        compare(bytes, length - 1);
        for (size_t at = 0; at < length; at++)
            for (int c = 0; c < 256; c++) {
                const char was = bytes[at];
                bytes[at] = (char)c;
                compare(bytes, length);
                bytes[at] = was;
            }
        for (size_t at = 0; at < length; at++)
            if (bytes[at] == '-') {
                bytes[at] = '_';
                compare(bytes, length); /* the first, and so on: all of them in the end */
            }
    }
}

/* The result of "GET / HTTP/1.1", a host and these header lines, in memory that ends where they end. What it says stays
 * until the next call. */
static enum http1_result parse_lines(const char *lines, size_t length, struct http1_request *out,
                                     enum http1_fault *fault)
{
    static const char FIRST[] = "GET / HTTP/1.1\r\nHost: a\r\n";
    static char *bytes;
    const size_t before = sizeof FIRST - 1;
    free(bytes);
    bytes = malloc(before + length);
    memcpy(bytes, FIRST, before);
    memcpy(bytes + before, lines, length);
    return http1_parse_request(bytes, before + length, out, fault);
}

TEST(a_value_ends_at_the_first_byte_that_may_not_stand_in_it, "P-43")
{
    static const unsigned char ODD[] = {0, 1, 8, '\t', '\n', 0x1f, ' ', '~', 0x7f, 0x80, 0xff};
    struct http1_request request;
    enum http1_fault fault;
    for (size_t length = 0; length <= 140; length += 7)
        for (size_t at = 0; at < length; at++)
            for (size_t odd = 0; odd < sizeof ODD; odd++) {
                char lines[160] = "X:";
                memset(lines + 2, 'v', length);
                lines[2 + at] = (char)ODD[odd];
                memcpy(lines + 2 + length, "\r\n\r\n", 4);
                const bool fits = ODD[odd] == '\t' || (ODD[odd] >= 0x20 && ODD[odd] != 0x7f);
                const enum http1_result result = parse_lines(lines, length + 6, &request, &fault);
                test_check(result == (fits ? HTTP1_DONE : HTTP1_BAD) && (fits || fault == HTTP1_FAULT_LINE_END),
                           __FILE__, __LINE__, "byte %d at %zu of %zu: %d, %d", ODD[odd], at, length, result, fault);
                const bool outer = (at == 0 || at + 1 == length) && (ODD[odd] == ' ' || ODD[odd] == '\t');
                if (result == HTTP1_DONE) /* white space around a value is none of it */
                    EXPECT_I64(outer ? length - 1 : length, request.headers.list[1].value.length);
            }
}

TEST(a_name_ends_at_its_colon, "P-43")
{
    static const char ODD[] = " \t\r\n\"(),/;<=>?@[\\]{}\x7f\x80";
    struct http1_request request;
    enum http1_fault fault;
    for (size_t length = 1; length <= 60; length++)
        for (size_t at = 0; at < length; at++)
            for (size_t odd = 0; odd < sizeof ODD; odd++) {
                char lines[96];
                memset(lines, 'n', length);
                memcpy(lines + length, ": v\r\n\r\n", 7);
                if (odd < sizeof ODD - 1)
                    lines[at] = ODD[odd];
                const enum http1_result result = parse_lines(lines, length + 7, &request, &fault);
                if (odd == sizeof ODD - 1) {
                    EXPECT_I64(HTTP1_DONE, result);
                    EXPECT_I64(length, request.headers.list[1].name.length);
                    EXPECT(view_equals(request.headers.list[1].value, VIEW("v")));
                } else if (at > 0 || ODD[odd] != '\r') {
                    EXPECT_I64(HTTP1_BAD, result);
                    EXPECT_I64(at == 0 && (ODD[odd] == ' ' || ODD[odd] == '\t') ? HTTP1_FAULT_FOLD : HTTP1_FAULT_HEADER,
                               fault);
                }
            }
}
