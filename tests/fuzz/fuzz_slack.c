/* What comes from Slack or goes there: a post's body as an event; the same bytes as a time and signature, as names and
 * addresses of a conversation, and as words of a mail. Whatever they are: an event is whole or refused, escaped text
 * holds no markup, a header stays one header. */
#include "../../notify-svc/mime.h"
#include "../../notify-svc/slack_event.h"
#include "../../notify-svc/slack_text.h"
#include "mem.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);

static void check_event(struct view body)
{
    AUTO(arena) arena = arena_open(4 << 20);
    struct slack_event event;
    struct err err = {0};
    if (!slack_event_read(arena, body, &event, &err)) {
        if (!err.problem)
            abort();
        return;
    }
    bool is_join = event.kind == SLACK_TEAM_JOIN || event.kind == SLACK_MEMBER_JOINED_CHANNEL;
    if (is_join && (!*event.event_id || !slack_is_user_id(event.slack_id)))
        abort();
    if (event.kind == SLACK_MEMBER_JOINED_CHANNEL && !slack_is_channel_id(event.channel))
        abort();
}

static void check_text(const char *text)
{
    AUTO_STR out;
    str_init(&out);
    slack_add_escaped(&out, text, SLACK_TEXT_MAX);
    if (strpbrk(out.bytes, "<>") || !utf8_valid(out.bytes, out.length))
        abort();
}

static void check_address(const char *text)
{
    AUTO(arena) arena = arena_open(4 << 20);
    AUTO_STR address;
    str_init(&address);
    size_t count = 0;
    (void)slack_address_people(arena, text, &count);
    if (count > SLACK_PEOPLE_MAX)
        abort();
    slack_address_add(&address, text, "U0A");
    slack_address_add(&address, text, "");
    const struct slack_target_person *people = slack_address_people(arena, address.bytes, &count);
    if (count != 2 || strcmp(people[0].where, "U0A") != 0 || *people[1].where)
        abort();
}

/* A line of a folded header begins with a blank, so that none is a header of its own. */
static void check_header(const char *text)
{
    struct mailbox mailbox;
    struct err err = {0};
    AUTO_STR out;
    str_init(&out);
    if (mime_is_line(text))
        mime_add_unstructured(&out, "Subject", text);
    if (mime_parse_mailbox(text, &mailbox, &err))
        mime_add_mailbox(&out, "\r\n To", &mailbox);
    for (const char *at = out.bytes; (at = strpbrk(at, "\r\n")); at += 2)
        if (strncmp(at, "\r\n ", 3) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    const struct view body = {(const char *)bytes, length};
    AUTO_STR text;
    str_init(&text);
    str_add_bytes(&text, bytes, length);
    check_event(body);
    if (slack_is_signed("secret", text.bytes, text.bytes, body, 0)) /* nobody guesses a signature */
        abort();
    if (utf8_valid(text.bytes, strlen(text.bytes)))
        check_text(text.bytes);
    check_address(text.bytes);
    check_header(text.bytes);
    return 0;
}
