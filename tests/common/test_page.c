#include "page.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static const char ID[] = "01890000-0000-7000-8000-00000000abcd";

TEST(cursor_comes_back_as_it_left, "")
{
    static const int64_t NUMBERS[] = {0, 1, 1795243820123, CURSOR_US_MAX};
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++) {
        struct cursor in = {.kind = 'f', .number = NUMBERS[i], .seq = NUMBERS[i] / 2}, out;
        struct err err = {0};
        char text[CURSOR_TEXT_BYTES];
        (void)snprintf(in.id, sizeof in.id, "%s", ID);
        cursor_print(&in, text);
        EXPECT(cursor_read(text, 'f', CURSOR_US_MAX, &out, &err));
        EXPECT_I64(NUMBERS[i], out.number);
        EXPECT_I64(NUMBERS[i] / 2, out.seq);
        EXPECT(strcmp(out.id, ID) == 0);
    }
}

TEST(cursor_of_another_list_or_no_cursor_is_bad_input, "K-42 P-18")
{
    struct cursor in = {.kind = 'f', .number = CURSOR_MS_MAX + 1}, out;
    char text[CURSOR_TEXT_BYTES], longer[CURSOR_TEXT_BYTES + 8], negative_seq[CURSOR_TEXT_BYTES];
    cursor_print(&in, text);
    cursor_print(&(struct cursor){.kind = 'f', .seq = -1}, negative_seq);
    (void)snprintf(longer, sizeof longer, "%sAA", text);
    const struct {
        const char *text;
        char kind;
        int64_t max;
    } cases[] = {
        {text, 'g', CURSOR_US_MAX}, /* another list's */
        {text, 'f', CURSOR_MS_MAX}, /* beyond what the list's statements bear */
        {longer, 'f', CURSOR_US_MAX},       {"", 'f', CURSOR_US_MAX},
        {"x", 'f', CURSOR_US_MAX},          {"//////////////////////////////////////////==", 'f', CURSOR_US_MAX},
        {negative_seq, 'f', CURSOR_US_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        EXPECT(!cursor_read(cases[i].text, cases[i].kind, cases[i].max, &out, &err));
        EXPECT(err_is(&err, &ERR_BAD_INPUT));
    }
}

TEST(page_is_closed_with_a_cursor_only_when_there_is_more, "")
{
    AUTO_STR out = {0};
    page_open(&out);
    page_close(&out, NULL);
    EXPECT(strcmp(out.bytes, "{\"items\":[],\"next_cursor\":null}") == 0);
    const struct cursor last = {.kind = 'f', .number = 7};
    str_clear(&out);
    page_open(&out);
    page_close(&out, &last);
    EXPECT(strstr(out.bytes, "\"next_cursor\":\"") != NULL);
}
