/* test_mime.c - header lines of mails: words, addresses, dates, and what may not be in them. */
#include "mime.h"
#include "test.h"
#include "utf8.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static const char *subject(struct str *out, const char *text)
{
    str_clear(out);
    mime_add_unstructured(out, "Subject", text);
    return out->bytes;
}

TEST(mime_leaves_ascii_as_it_is, "D-51")
{
    AUTO_STR out;
    str_init(&out);
    EXPECT_TEXT("Subject: Your code: 123456", subject(&out, "Your code: 123456"));
    EXPECT_TEXT("Subject: ", subject(&out, ""));
}

TEST(mime_words_are_short_and_hold_whole_letters, "D-51 M-55")
{
    AUTO_STR out;
    str_init(&out);
    EXPECT_TEXT("Subject: =?UTF-8?B?66eI64u5?=", subject(&out, "마당"));
    AUTO_STR title;
    str_init(&title);
    for (int i = 0; i < 60; i++)
        str_add(&title, i % 3 ? "모임🎉" : "a");
    char *copy = strdup(subject(&out, title.bytes)), *state = NULL;
    char joined[4096] = "";
    for (char *line = strtok_r(copy, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state)) {
        EXPECT(strlen(line) <= 76);
        char *word = strstr(line, "=?UTF-8?B?");
        if (!word)
            continue;
        unsigned char decoded[128] = {0};
        size_t encoded = strcspn(word + 10, "?");
        int length = EVP_DecodeBlock(decoded, (unsigned char *)word + 10, (int)encoded);
        for (size_t i = encoded; i > 0 && word[10 + i - 1] == '='; i--)
            length--;
        EXPECT(length > 0 && utf8_valid((char *)decoded, (size_t)length));
        strncat(joined, (char *)decoded, (size_t)length);
    }
    EXPECT_TEXT(title.bytes, joined);
    free(copy);
}

TEST(mime_encodes_what_would_read_as_a_word_or_be_too_long, "D-51")
{
    AUTO_STR out;
    str_init(&out);
    EXPECT(strncmp(subject(&out, "=?UTF-8?B?aGk=?="), "Subject: =?UTF-8?B?PT9V", 23) == 0);
    char text[400];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    EXPECT(strstr(subject(&out, text), "\r\n ") != NULL);
}

TEST(mime_lines_have_no_control_characters, "D-51")
{
    EXPECT(mime_is_line("Hello, 마당!"));
    EXPECT(!mime_is_line("Hello\r\nBcc: all@example.com"));
    EXPECT(!mime_is_line("Hello\nBcc: all@example.com"));
    EXPECT(!mime_is_line("Hello\rthere"));
    EXPECT(!mime_is_line("\x7f"));
    EXPECT(!mime_is_line("\xff\xfe"));
}

TEST(mime_addresses_can_stand_between_brackets, "D-51")
{
    EXPECT(mime_is_address("mina@example.com"));
    EXPECT(mime_is_address("mina+tag@sub.example.com"));
    static const char *const BAD[] = {"",
                                      "mina",
                                      "mina@",
                                      "@example.com",
                                      "a@example.com>\r\nRCPT TO:<b@example.com",
                                      "a b@example.com",
                                      "a@example.com,b@example.com",
                                      "<a@example.com>",
                                      "\"a\"@example.com",
                                      "a\n@example.com",
                                      "민아@example.com"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        EXPECT(!mime_is_address(BAD[i]));
}

TEST(mime_mailboxes_are_read_and_written, "D-51")
{
    struct mailbox mailbox;
    struct err err = {0};
    AUTO_STR out;
    str_init(&out);
    REQUIRE_OK(mime_parse_mailbox("Madang \"yard\" <no-reply@madang.example>", &mailbox, &err), &err);
    EXPECT_TEXT("Madang \"yard\"", mailbox.name);
    EXPECT_TEXT("no-reply@madang.example", mailbox.address);
    mime_add_mailbox(&out, "From", &mailbox);
    EXPECT_TEXT("From: \"Madang \\\"yard\\\"\" <no-reply@madang.example>", out.bytes);
    REQUIRE_OK(mime_parse_mailbox("마당 <no-reply@madang.example>", &mailbox, &err), &err);
    str_clear(&out);
    mime_add_mailbox(&out, "From", &mailbox);
    EXPECT_TEXT("From: =?UTF-8?B?66eI64u5?=\r\n <no-reply@madang.example>", out.bytes);
    REQUIRE_OK(mime_parse_mailbox("a@madang.example", &mailbox, &err), &err);
    EXPECT_TEXT("", mailbox.name);
    EXPECT(!mime_parse_mailbox("Madang <no-reply@madang.example", &mailbox, &err));
    EXPECT(!mime_parse_mailbox("Madang <>", &mailbox, &err));
    EXPECT(!mime_parse_mailbox("Ma\r\ndang <a@madang.example>", &mailbox, &err));
    EXPECT(!mime_parse_mailbox("", &mailbox, &err));
}

TEST(mime_dates_and_message_ids, "D-51")
{
    AUTO_STR out;
    str_init(&out);
    mime_add_date(&out, 1767225599999);
    EXPECT_TEXT("Date: Wed, 31 Dec 2025 23:59:59 +0000", out.bytes);
    AUTO_STR first;
    str_init(&first);
    AUTO_STR again;
    str_init(&again);
    AUTO_STR other;
    str_init(&other);
    mime_add_message_id(&first, "dedupe-1", "a@example.com", "no-reply@madang.example");
    mime_add_message_id(&again, "dedupe-1", "a@example.com", "no-reply@madang.example");
    mime_add_message_id(&other, "dedupe-1", "b@example.com", "no-reply@madang.example");
    EXPECT_TEXT(first.bytes, again.bytes);
    EXPECT(strcmp(first.bytes, other.bytes) != 0);
    EXPECT(strstr(first.bytes, "dedupe") == NULL && strstr(first.bytes, "@madang.example>") != NULL);
}
