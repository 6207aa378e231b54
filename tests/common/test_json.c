/* JSON from strangers: what is taken, what is refused and how it is told; and the appender. */
#include "json.h"
#include "test.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

struct wish {
    const char *name, *colour, *id, *raw;
    int64_t count, price;
    bool on, name_seen, on_seen;
    struct texts tags;
};

static const char *const COLOURS[] = {"red", "green", NULL};
static const struct field WISH_FIELDS[] = {
    FIELD_TEXT(struct wish, name, .nullable = true, .min = 2, .max = 5, FIELD_SEEN(struct wish, name_seen)),
    FIELD_TEXT(struct wish, colour, .one_of = COLOURS),
    FIELD_UUID(struct wish, id),
    FIELD_RAW(struct wish, raw),
    FIELD_I64(struct wish, count),
    FIELD_I64(struct wish, price, .min = 1, .max = 1000),
    FIELD_BOOL(struct wish, on, FIELD_SEEN(struct wish, on_seen)),
    FIELD_TEXTS(struct wish, tags, .max = 3, .item_min = 1, .item_max = 4),
    {0},
};
struct strict {
    const char *must;
    int64_t number;
};
static const struct field STRICT_FIELDS[] = {
    FIELD_TEXT(struct strict, must, .required = true, .min = 1),
    FIELD_I64(struct strict, number, .required = true),
    {0},
};

static struct arena *arena;

static bool read_wish(const char *text, struct wish *wish, struct err *err)
{
    if (!arena)
        arena = arena_open(1 << 20);
    arena_reset(arena);
    *err = (struct err){0};
    return JSON_DECODE(arena, view_of(text), WISH_FIELDS, wish, err);
}

/* Refused, with these words in the message. */
static void expect_refused(const char *text, const char *words)
{
    struct wish wish;
    struct err err = {0};
    bool ok = read_wish(text, &wish, &err);
    test_check(!ok && strcmp(err.problem->code, "bad_input") == 0 && strstr(err.message, words) != NULL, __FILE__,
               __LINE__, "%s: expected \"%s\", got %s \"%s\"", text, words, ok ? "ok" : err.problem->code, err.message);
}

/* Refused, with this field as the first wrong one. */
static void expect_field(const char *text, const char *pointer, const char *words)
{
    struct wish wish;
    struct err err = {0};
    bool ok = read_wish(text, &wish, &err);
    test_check(!ok && err.field_count >= 1 && strcmp(err.fields[0].pointer, pointer) == 0 &&
                   strstr(err.fields[0].message, words) != NULL,
               __FILE__, __LINE__, "%s: expected %s \"%s\", got %s \"%s\"", text, pointer, words, err.fields[0].pointer,
               err.fields[0].message);
}

TEST(json_reads_every_kind_of_field, "I10")
{
    struct wish wish;
    struct err err = {0};
    REQUIRE_OK(
        read_wish(
            " { \"name\" : \"a\\u00e9\\ud83d\\ude00\\n\" , \"colour\":\"red\", \"count\":-9223372036854775808,\n"
            "\"price\":1000,\"on\":true,\"tags\":[\"x\",\"\\u1100\"], \"id\":\"0190A000-0000-7000-8000-00000000000F\","
            "\"raw\": { \"a b\" : [1 , 2.50, 9007199254740993, \"x \\\" y\" ] , \"n\":null } } ",
            &wish, &err),
        &err);
    EXPECT_TEXT("a\xc3\xa9\xf0\x9f\x98\x80\n", wish.name);
    EXPECT_TEXT("red", wish.colour);
    EXPECT_I64(INT64_MIN, wish.count);
    EXPECT_I64(1000, wish.price);
    EXPECT(wish.on && wish.on_seen && wish.name_seen);
    EXPECT_I64(2, wish.tags.count);
    EXPECT_TEXT("x", wish.tags.items[0]);
    EXPECT_TEXT("0190a000-0000-7000-8000-00000000000f", wish.id);
    EXPECT_TEXT("{\"a b\":[1,2.50,9007199254740993,\"x \\\" y\"],\"n\":null}", wish.raw);
}

TEST(json_keeps_integers_exact_beyond_2_to_the_53, "I10")
{
    struct wish wish;
    struct err err = {0};
    REQUIRE_OK(read_wish("{\"count\":9007199254740993}", &wish, &err), &err);
    EXPECT_I64(9007199254740993, wish.count);
    REQUIRE_OK(read_wish("{\"count\":9223372036854775807}", &wish, &err), &err);
    EXPECT_I64(INT64_MAX, wish.count);
    REQUIRE_OK(read_wish("{\"count\":-0}", &wish, &err), &err);
    EXPECT_I64(0, wish.count);
    expect_field("{\"count\":9223372036854775808}", "/count", "out of range");
    expect_field("{\"count\":-9223372036854775809}", "/count", "out of range");
    expect_field("{\"count\":1.0}", "/count", "whole number");
    expect_field("{\"count\":1e3}", "/count", "whole number");
    expect_field("{\"count\":\"1\"}", "/count", "whole number");
}

TEST(json_absent_and_null_fields, "I10")
{
    struct wish wish;
    struct err err = {0};
    REQUIRE_OK(read_wish("{}", &wish, &err), &err);
    EXPECT(!wish.name && !wish.name_seen && !wish.on_seen && wish.count == 0 && wish.tags.count == 0);
    REQUIRE_OK(read_wish("{\"name\":null,\"colour\":null,\"on\":null,\"tags\":null}", &wish, &err), &err);
    EXPECT(!wish.name && wish.name_seen && !wish.on_seen);
    struct strict strict;
    err = (struct err){0};
    EXPECT(!JSON_DECODE(arena, view_of("{\"must\":null}"), STRICT_FIELDS, &strict, &err));
    EXPECT_I64(2, err.field_count);
    EXPECT_TEXT("/must", err.fields[0].pointer);
    EXPECT_TEXT("is required", err.fields[0].message);
    EXPECT_TEXT("/number", err.fields[1].pointer);
}

TEST(json_refuses_what_is_no_json, "I10")
{
    expect_refused("", "empty");
    expect_refused("  ", "object is expected");
    expect_refused("[]", "object is expected");
    expect_refused("null", "object is expected");
    expect_refused("\xef\xbb\xbf{}", "object is expected");
    expect_refused("{", "text in quotes");
    expect_refused("{}x", "follows");
    expect_refused("{}{}", "follows");
    expect_refused("{\"count\":1,}", "text in quotes");
    expect_refused("{\"count\" 1}", "colon");
    expect_refused("{\"count\":}", "value expected");
    expect_refused("{\"count\":01}", "leading zero");
    expect_refused("{\"count\":+1}", "value expected");
    expect_refused("{\"count\":.5}", "value expected");
    expect_refused("{\"count\":1.}", "digits");
    expect_refused("{\"count\":1e}", "digits");
    expect_refused("{\"count\":NaN}", "value expected");
    expect_refused("{\"count\":1e999}", "too large");
    expect_refused("{\"count\":tru}", "unknown word");
    expect_refused("{\"raw\":[1 2]}", "comma or ]");
    expect_refused("{\"raw\":[1,]}", "value expected");
    expect_refused("{'count':1}", "text in quotes");
    expect_refused("{\"name\":\"abc", "unfinished");
    expect_refused("{\"name\":\"a\nb\"}", "control");
    expect_refused("{\"name\":\"\\x41\"}", "unknown escape");
    expect_refused("{\"name\":\"\\u12g4\"}", "\\u escape");
    expect_refused("{\"name\":\"\\u12\"}", "\\u escape");
    expect_refused("/**/{}", "object is expected");
}

TEST(json_refuses_zero_characters_and_broken_text, "I10")
{
    expect_refused("{\"name\":\"a\\u0000b\"}", "zero character");
    expect_refused("{\"na\\u0000me\":1}", "zero character");
    struct wish wish;
    struct err err = {0};
    static const char ZERO[] = "{\"name\":\"a\0b\"}";
    EXPECT(!JSON_DECODE(arena, ((struct view){ZERO, sizeof ZERO - 1}), WISH_FIELDS, &wish, &err));
    static const char AFTER[] = "{}\0";
    err = (struct err){0};
    EXPECT(!JSON_DECODE(arena, ((struct view){AFTER, 3}), WISH_FIELDS, &wish, &err));
    expect_refused("{\"name\":\"\xff\"}", "UTF-8");
    expect_refused("{\"name\":\"\xc0\xaf\"}", "UTF-8");
    expect_refused("{\"name\":\"\xed\xa0\x80\"}", "UTF-8");
    expect_refused("{\"name\":\"\xf4\x90\x80\x80\"}", "UTF-8");
    expect_refused("{\"name\":\"\xe2\x82\"}", "UTF-8");
    expect_refused("{\"name\":\"\\ud800\"}", "surrogate");
    expect_refused("{\"name\":\"\\udc00\"}", "surrogate");
    expect_refused("{\"name\":\"\\ud800\\u0041\"}", "surrogate");
    expect_refused("{\"name\":\"\\ud800x\"}", "surrogate");
}

TEST(json_refuses_doubled_members_however_they_are_written, "I10")
{
    expect_refused("{\"count\":1,\"count\":2}", "two members \"count\"");
    expect_refused("{\"count\":1,\"co\\u0075nt\":2}", "two members \"count\"");
    expect_refused("{\"raw\":{\"a\":[{\"b\":1,\"b\":2}]}}", "two members \"b\"");
}

TEST(json_is_bounded_in_depth_and_number, "I9 I10")
{
    struct wish wish;
    struct err err = {0};
    AUTO_STR deep;
    str_init(&deep);
    str_add(&deep, "{\"raw\":");
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        str_add_char(&deep, '[');
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        str_add_char(&deep, ']');
    str_add_char(&deep, '}');
    EXPECT(read_wish(deep.bytes, &wish, &err));
    str_clear(&deep);
    str_add(&deep, "{\"raw\":");
    for (int i = 0; i < 60000; i++)
        str_add_char(&deep, '[');
    expect_refused(deep.bytes, "nested too deep");
    str_clear(&deep);
    str_add(&deep, "{\"raw\":[0");
    for (int i = 0; i < 20000; i++)
        str_add(&deep, ",0");
    str_add(&deep, "]}");
    expect_refused(deep.bytes, "too many values");
    str_clear(&deep);
    str_add(&deep, "{\"raw\":{\"x\":0");
    for (int i = 0; i < 2000; i++)
        str_printf(&deep, ",\"k%d\":0", i);
    str_add(&deep, "}}");
    expect_refused(deep.bytes, "too many members");
    expect_refused("{\"count\":11111111111111111111111111111111111111111111}", "number too long");
}

TEST(json_checks_the_bounds_of_each_field_in_code_points, "I10")
{
    struct wish wish;
    struct err err = {0};
    EXPECT(read_wish("{\"name\":\"\xea\xb0\x80\xeb\x82\x98\xeb\x8b\xa4\xeb\x9d\xbc\xeb\xa7\x88\"}", &wish,
                     &err)); /* five Hangul */
    expect_field("{\"name\":\"abcdef\"}", "/name", "at most 5");
    expect_field("{\"name\":\"a\"}", "/name", "at least 2");
    expect_field("{\"name\":\"\"}", "/name", "not be empty");
    expect_field("{\"name\":1}", "/name", "must be a text");
    expect_field("{\"colour\":\"blue\"}", "/colour", "one of red, green");
    expect_field("{\"price\":0}", "/price", "from 1 to 1000");
    expect_field("{\"price\":1001}", "/price", "from 1 to 1000");
    expect_field("{\"on\":1}", "/on", "true or false");
    expect_field("{\"id\":\"x\"}", "/id", "UUID");
    expect_field("{\"tags\":\"x\"}", "/tags", "array");
    expect_field("{\"tags\":[\"a\",\"b\",\"c\",\"d\"]}", "/tags", "at most 3");
    expect_field("{\"tags\":[\"a\",7]}", "/tags/1", "must be a text");
    expect_field("{\"tags\":[\"a\",\"\"]}", "/tags/1", "not be empty");
    expect_field("{\"tags\":[\"aaaaa\"]}", "/tags/0", "at most 4");
}

TEST(json_tells_all_wrong_fields_at_once_with_pointers, "I10")
{
    struct wish wish;
    struct err err = {0};
    EXPECT(!read_wish("{\"a/b~c\":1,\"name\":7,\"price\":0,\"colour\":\"x\"}", &wish, &err));
    EXPECT_I64(4, err.field_count);
    EXPECT_TEXT("/a~1b~0c", err.fields[0].pointer);
    EXPECT_TEXT("is not known", err.fields[0].message);
    EXPECT_TEXT("/name", err.fields[1].pointer);
    EXPECT_TEXT("/price", err.fields[2].pointer);
    EXPECT_TEXT("/colour", err.fields[3].pointer);
    AUTO_STR longest;
    str_init(&longest);
    str_add(&longest, "{\"");
    for (int i = 0; i < 40; i++)
        str_add(&longest, "\xea\xb0\x80");
    str_add(&longest, "\":1}");
    EXPECT(!read_wish(longest.bytes, &wish, &err));
    EXPECT_I64(1 + 54, strlen(err.fields[0].pointer)); /* cut on a character */
    AUTO_STR many;
    str_init(&many);
    str_add(&many, "{\"x\":1");
    for (int i = 0; i < 100; i++)
        str_printf(&many, ",\"x%d\":1", i);
    str_add(&many, "}");
    EXPECT(!read_wish(many.bytes, &wish, &err));
    EXPECT_I64(ERR_FIELDS_MAX, err.field_count);
}

TEST(json_lenient_skips_unknown_members_only, "I10")
{
    struct strict strict;
    struct err err = {0};
    REQUIRE_OK(JSON_DECODE_LENIENT(arena, view_of("{\"later\":{\"a\":[1]},\"must\":\"x\",\"number\":3}"), STRICT_FIELDS,
                                   &strict, &err),
               &err);
    EXPECT_TEXT("x", strict.must);
    EXPECT(!JSON_DECODE_LENIENT(arena, view_of("{\"must\":5,\"number\":3}"), STRICT_FIELDS, &strict, &err));
    EXPECT(!JSON_DECODE_LENIENT(arena, view_of("{\"later\":1,\"later\":2,\"must\":\"x\",\"number\":3}"), STRICT_FIELDS,
                                &strict, &err));
}

TEST(json_encode_gives_what_decode_reads, "I10")
{
    const char *tags[] = {"a\"b", "\xea\xb0\x80"};
    struct wish wish = {.name = NULL,
                        .colour = "red",
                        .raw = "[1,{}]",
                        .count = INT64_MIN,
                        .price = 5,
                        .on = true,
                        .tags = {tags, 2}},
                back;
    struct err err = {0};
    AUTO_STR out;
    str_init(&out);
    json_encode(&out, WISH_FIELDS, &wish);
    EXPECT_TEXT(
        "{\"name\":null,\"colour\":\"red\",\"raw\":[1,{}],\"count\":-9223372036854775808,\"price\":5,\"on\":true,"
        "\"tags\":[\"a\\\"b\",\"\xea\xb0\x80\"]}",
        out.bytes);
    REQUIRE_OK(read_wish(out.bytes, &back, &err), &err);
    EXPECT_TEXT("a\"b", back.tags.items[0]);
    EXPECT_I64(INT64_MIN, back.count);
}

TEST(json_appender_places_commas, "I10")
{
    AUTO_STR out;
    str_init(&out);
    json_open(&out, NULL, '{');
    json_open(&out, "items", '[');
    json_i64(&out, NULL, 1);
    json_open(&out, NULL, '{');
    json_close(&out, '}');
    json_text(&out, NULL, "tail{");
    json_bool(&out, NULL, false);
    json_close(&out, ']');
    json_text(&out, "next_cursor", NULL);
    json_raw(&out, "raw", "{\"x\":1}");
    json_time(&out, "at", 1769903999123);
    json_close(&out, '}');
    EXPECT_TEXT(
        "{\"items\":[1,{},\"tail{\",false],\"next_cursor\":null,\"raw\":{\"x\":1},\"at\":\"2026-01-31T23:59:59.123Z\"}",
        out.bytes);
    str_clear(&out);
    str_add(&out, "data: ");
    json_open(&out, NULL, '[');
    json_close(&out, ']');
    EXPECT_TEXT("data: []", out.bytes);
}

/* Any bytes: no crash, and what is taken can be written and read again. */
TEST(json_survives_damaged_input, "I10")
{
    static const char GOOD[] = "{\"name\":\"a\\u00e9b\",\"colour\":\"green\",\"count\":-17,\"price\":3,\"on\":false,"
                               "\"tags\":[\"x\",\"y\"],\"raw\":{\"k\":[1,2,{\"z\":null}]}}";
    for (int round = 0; round < 20000; round++) {
        char text[sizeof GOOD];
        memcpy(text, GOOD, sizeof GOOD);
        for (uint64_t n = test_random() % 4 + 1; n; n--)
            text[test_random() % (sizeof GOOD - 1)] = (char)(test_random() & 0xff);
        struct wish wish;
        struct err err = {0};
        size_t length = sizeof GOOD - 1 - test_random() % 3;
        arena_reset(arena);
        if (!JSON_DECODE(arena, ((struct view){text, length}), WISH_FIELDS, &wish, &err)) {
            REQUIRE(err.problem != NULL);
            continue;
        }
        AUTO_STR out;
        str_init(&out);
        json_encode(&out, WISH_FIELDS, &wish);
        struct wish again;
        REQUIRE_OK(JSON_DECODE(arena, view_of(out.bytes), WISH_FIELDS, &again, &err), &err);
        EXPECT_I64(wish.count, again.count);
    }
}

__attribute__((destructor)) static void close_arena(void)
{
    arena_release(&arena);
}
