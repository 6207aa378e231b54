/* STOMP frames: what is parsed out of which bytes, in whatever pieces they come, and what is said back. */
#include "stomp.h"

#include "mem.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static struct stomp_frame frame; /* large */

static struct stomp_parser parser_of(enum stomp_version version)
{
    return (struct stomp_parser){.version = version, .content_length = -1};
}

/* Parses `text` in pieces of `step` bytes; every frame as "COMMAND{name=value;...}body|" and a broken one as "!why". */
static void parse(struct str *said, enum stomp_version version, struct view text, size_t step)
{
    static const char *const NAMES[STOMP_COMMANDS] = {"CONNECT", "SEND",  "SUBSCRIBE", "UNSUBSCRIBE", "ACK",
                                                      "NACK",    "BEGIN", "COMMIT",    "ABORT",       "DISCONNECT"};
    struct stomp_parser parser = parser_of(version);
    const char *why;
    str_clear(said);
    for (size_t at = 0; at < text.length; at += step) {
        enum stomp_result got;
        stomp_feed(&parser, (struct view){text.bytes + at, text.length - at < step ? text.length - at : step});
        while ((got = stomp_next(&parser, &frame, &why)) == STOMP_FRAME) {
            str_printf(said, "%s{", NAMES[frame.command]);
            for (size_t i = 0; i < frame.header_count; i++)
                str_printf(said, "%s=%s;", frame.headers[i].name, frame.headers[i].value);
            str_printf(said, "}%.*s|", (int)frame.body.length, frame.body.bytes);
        }
        if (got == STOMP_BROKEN) {
            str_printf(said, "!%s", why);
            break;
        }
    }
    stomp_parser_free(&parser);
}

#define V(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

TEST(stomp_parses_frames_in_any_pieces, "P-28")
{
    static const struct {
        enum stomp_version version;
        struct view text;
        const char *said;
    } CASES[] = {
        {STOMP_1_2, V("SEND\ndestination:/a\n\nhello\0"), "SEND{destination=/a;}hello|"},
        {STOMP_1_2, V("SEND\r\ndestination:/a\r\n\r\nhello\0"), "SEND{destination=/a;}hello|"},
        {STOMP_1_2, V("\n\r\n\nSEND\n\n\0\n\nACK\nid:1\n\n\0\n"), "SEND{}|ACK{id=1;}|"},
        {STOMP_1_2, V("SEND\ncontent-length:3\n\na\0b\0"), "SEND{content-length=3;}a|"}, /* printed up to its NUL */
        {STOMP_1_2, V("SEND\ncontent-length:0\n\n\0SEND\n\nx\0"), "SEND{content-length=0;}|SEND{}x|"},
        {STOMP_1_2, V("SEND\na:1\na:2\n\n\0"), "SEND{a=1;a=2;}|"},
        {STOMP_1_2, V("SEND\na\\cb:x\\ny\\\\z\\r\n\n\0"), "SEND{a:b=x\ny\\z\r;}|"},
        {STOMP_1_1, V("SEND\na\\cb:x\\ny\n\n\0"), "SEND{a:b=x\ny;}|"},
        {STOMP_1_0, V("SEND\na: x\\ny \n\n\0"), "SEND{a=x\\ny;}|"}, /* no escapes, and edges are trimmed */
        {STOMP_1_2, V("SEND\na: x \n\n\0"), "SEND{a= x ;}|"},
        {STOMP_1_2, V("CONNECT\nAuthorization:Bearer a\\tb:c\n\n\0"), "CONNECT{Authorization=Bearer a\\tb:c;}|"},
        {STOMP_1_2, V("STOMP\naccept-version:1.2\n\n\0"), "CONNECT{accept-version=1.2;}|"},
        {STOMP_1_2, V("SEND\ndestination:\n\n\0"), "SEND{destination=;}|"},
        {STOMP_1_2, V("SEND\n\n\n\nx\n\n\0"), "SEND{}\n\nx\n\n|"},
        {STOMP_1_2, V("SUBSCRIBE\nid:가\n\n\0"), "SUBSCRIBE{id=가;}|"},
        {STOMP_1_2, V("SEND\na:\\t\n\n\0"), "!an escape that nobody defined"},
        {STOMP_1_1, V("SEND\na:\\r\n\n\0"), "!an escape that nobody defined"},
        {STOMP_1_2, V("SEND\na:\\\n\n\0"), "!an escape that nobody defined"},
        {STOMP_1_2, V("send\n\n\0"), "!an unknown command"},
        {STOMP_1_2, V("SEND \n\n\0"), "!an unknown command"},
        {STOMP_1_2, V("SEND\nx\n\n\0"), "!a header without a name"},
        {STOMP_1_2, V("SEND\n:x\n\n\0"), "!a header without a name"},
        {STOMP_1_2, V("SEND\0"), "!a frame ends before its empty line"},
        {STOMP_1_2, V("SEND\na:\xff\n\n\0"), "!the headers are not UTF-8"},
        {STOMP_1_2, V("DISCONNECT\n\nx\0"), "!only SEND has a body"},
        {STOMP_1_2, V("SEND\ncontent-length:2\n\nabc\0"), "!content-length does not fit"},
        {STOMP_1_2, V("SEND\ncontent-length:\n\n\0"), "!content-length is not a number"},
        {STOMP_1_2, V("SEND\ncontent-length:65537\n\n"), "!the body is too long"},
        {STOMP_1_2, V("SEND\ncontent-length:99999999999999999999999\n\n"), "!the body is too long"},
        {STOMP_1_2, V("ACK\nid:1\n\n\0NOPE\n\n\0ACK\nid:2\n\n\0"), "ACK{id=1;}|!an unknown command"},
    };
    AUTO_STR said = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        for (size_t step = 1; step <= 7; step += 2) {
            parse(&said, CASES[i].version, CASES[i].text, step);
            test_check(strcmp(CASES[i].said, said.bytes) == 0, __FILE__, __LINE__, "case %zu in pieces of %zu: %s", i,
                       step, said.bytes);
        }
        parse(&said, CASES[i].version, CASES[i].text, CASES[i].text.length);
        EXPECT_TEXT(CASES[i].said, said.bytes);
    }
}

TEST(stomp_limits_what_a_frame_may_be, "I10")
{
    AUTO_STR text = {0}, said = {0};
    str_add(&text, "SEND\n");
    for (int i = 0; i <= STOMP_HEADERS_MAX; i++)
        str_add(&text, "a:b\n");
    str_add(&text, "\n");
    parse(&said, STOMP_1_2, (struct view){text.bytes, text.length}, text.length);
    EXPECT_TEXT("!too many headers", said.bytes);
    str_clear(&text);
    str_add(&text, "SEND\na:");
    while (text.length < STOMP_LINE_MAX + 10)
        str_add(&text, "bbbbbbbbbbbbbbbb");
    str_add(&text, "\n\n");
    parse(&said, STOMP_1_2, (struct view){text.bytes, text.length}, 100);
    EXPECT_TEXT("!a header is too long", said.bytes);
    str_clear(&text);
    str_add(&text, "SEND\n");
    while (text.length < STOMP_HEAD_MAX + 10)
        str_add(&text, "name:value of some length\n");
    parse(&said, STOMP_1_2, (struct view){text.bytes, text.length}, 100);
    EXPECT_TEXT("!the headers are too long", said.bytes);
    str_clear(&text);
    str_add(&text, "SEND\n\n");
    while (text.length < STOMP_BODY_MAX + 5)
        str_add_char(&text, 'x');
    parse(&said, STOMP_1_2, (struct view){text.bytes, text.length}, 1000);
    EXPECT_TEXT("", said.bytes); /* not too much yet */
    str_add(&text, "xxxxx");
    parse(&said, STOMP_1_2, (struct view){text.bytes, text.length}, 1000);
    EXPECT_TEXT("!the body is too long", said.bytes);
}

TEST(stomp_holds_no_memory_at_rest, "I9")
{
    struct stomp_parser parser = parser_of(STOMP_1_2);
    const char *why;
    stomp_feed(&parser, VIEW("SEND\n\nhalf"));
    EXPECT_I64(STOMP_MORE, stomp_next(&parser, &frame, &why));
    EXPECT(parser.kept.bytes != NULL);
    stomp_feed(&parser, VIEW(" and half\0\n"));
    EXPECT_I64(STOMP_FRAME, stomp_next(&parser, &frame, &why));
    EXPECT_I64(13, frame.body.length);
    EXPECT_I64(STOMP_MORE, stomp_next(&parser, &frame, &why));
    EXPECT(parser.kept.bytes == NULL);
}

TEST(stomp_finds_the_receipt_of_a_broken_frame, "P-29")
{
    static const struct {
        struct view text;
        const char *receipt;
    } CASES[] = {{V("SEND\nreceipt:7\nbroken\n\n\0"), "7"},
                 {V("SEND\nbroken\nreceipt:a b\r\n\n\0"), "a b"},
                 {V("SEND\nbroken\nreceipt:a\\cb\n\n\0"), NULL},
                 {V("SEND\nbroken\n\n\0"), NULL}};
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        struct stomp_parser parser = parser_of(STOMP_1_2);
        const char *why;
        char receipt[32];
        stomp_feed(&parser, CASES[i].text);
        EXPECT_I64(STOMP_BROKEN, stomp_next(&parser, &frame, &why));
        const bool found = stomp_receipt_of_broken(&parser, receipt, sizeof receipt);
        EXPECT(found == (CASES[i].receipt != NULL));
        if (found && CASES[i].receipt)
            EXPECT_TEXT(CASES[i].receipt, receipt);
        stomp_parser_free(&parser);
    }
}

TEST(stomp_prints_frames_by_version, "P-29")
{
    static const struct {
        enum stomp_version version;
        const char *said;
    } CASES[] = {{STOMP_1_0, "MESSAGE\na:x:y\\z  \ncontent-length:2\n\n{}"},
                 {STOMP_1_1, "MESSAGE\na:x\\cy\\\\z \\n\ncontent-length:2\n\n{}"},
                 {STOMP_1_2, "MESSAGE\na:x\\cy\\\\z\\r\\n\ncontent-length:2\n\n{}"}};
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        AUTO_STR out = {0};
        stomp_begin(&out, "MESSAGE");
        stomp_add(&out, CASES[i].version, "a", "x:y\\z\r\n");
        stomp_end(&out, VIEW("{}"));
        EXPECT_TEXT(CASES[i].said, out.bytes);
        EXPECT_I64(strlen(CASES[i].said) + 1, out.length); /* the NUL belongs to it */
    }
}

TEST(stomp_agrees_on_versions_and_beats, "P-29 P-35")
{
    static const struct {
        const char *accept;
        int version;
    } VERSIONS[] = {{NULL, STOMP_1_0},
                    {"", STOMP_1_0},
                    {"1.2,1.1,1.0", STOMP_1_2},
                    {"1.0,1.1", STOMP_1_1},
                    {"1.1, 1.2", STOMP_1_2},
                    {"1.0", STOMP_1_0},
                    {"2.0", -1},
                    {"1.20", -1},
                    {"x,1.1,y", STOMP_1_1}};
    for (size_t i = 0; i < ARRAY_LENGTH(VERSIONS); i++) {
        enum stomp_version version;
        const bool found = stomp_choose_version(VERSIONS[i].accept, &version);
        EXPECT_I64(VERSIONS[i].version, found ? (int)version : -1);
    }
    int64_t can, wants;
    EXPECT(stomp_parse_beats("10000,5000", &can, &wants) && can == 10000 && wants == 5000);
    EXPECT(stomp_parse_beats("0,0", &can, &wants) && can == 0 && wants == 0);
    static const char *const BAD[] = {
        "", ",", "1", "1,", ",1", "-1,1", "1,-1", "a,b", "1,2,3", "99999999999999999999,1", "1, 2"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        test_check(!stomp_parse_beats(BAD[i], &can, &wants), __FILE__, __LINE__, "%s", BAD[i]);
}
