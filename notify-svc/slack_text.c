#include "slack_text.h"

#include "utf8.h"

#include <ctype.h>

static bool is_id(const char *text, const char *first)
{
    size_t length = strlen(text);
    if (length < 3 || length >= SLACK_ID_BYTES_MAX || !strchr(first, *text))
        return false;
    for (const char *c = text; *c; c++)
        if (!isdigit((unsigned char)*c) && !isupper((unsigned char)*c))
            return false;
    return true;
}

bool slack_is_user_id(const char *text)
{
    return is_id(text, "UW");
}

bool slack_is_channel_id(const char *text)
{
    return is_id(text, "CGD");
}

void slack_add_escaped(struct str *out, const char *text, size_t max)
{
    size_t length = strlen(text);
    for (size_t at = 0, count = 0; at < length; count++) {
        uint32_t code = 0;
        size_t step = utf8_decode(text + at, length - at, &code);
        if (count == max) {
            str_add(out, "…");
            return;
        }
        if (step > 1)
            str_add_bytes(out, text + at, step);
        else if (text[at] == '&')
            str_add(out, "&amp;");
        else if (text[at] == '<')
            str_add(out, "&lt;");
        else if (text[at] == '>')
            str_add(out, "&gt;");
        else if (step == 1)
            str_add_char(out, text[at]);
        at += step ? step : 1;
    }
}

void slack_add_notice(struct str *out, const char *title, const char *body)
{
    if (*title) {
        str_add_char(out, '*');
        slack_add_escaped(out, title, SLACK_TEXT_MAX / 10);
        str_add(out, *body ? "*\n" : "*");
    }
    slack_add_escaped(out, body, SLACK_TEXT_MAX);
}

void slack_address_add(struct str *address, const char *name, const char *where)
{
    if (address->length)
        str_add_char(address, ',');
    for (; *name; name++)
        str_add_char(address, strchr("<>,", *name) || (unsigned char)*name < 0x20 ? ' ' : *name);
    str_printf(address, " <%s>", where);
}

static const char *trimmed(struct arena *arena, const char *text, size_t length)
{
    while (length > 0 && *text == ' ') {
        text++;
        length--;
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    return arena_bytes(arena, text, length);
}

static struct slack_target_person read_person(struct arena *arena, const char *text, size_t length)
{
    const char *open = memchr(text, '<', length);
    size_t name_length = open ? (size_t)(open - text) : 0;
    const char *where = open ? open + 1 : text;
    size_t where_length = open ? length - name_length - 1 : length;
    const char *close = open ? memchr(where, '>', where_length) : NULL;
    return (struct slack_target_person){
        .name = trimmed(arena, text, name_length),
        .where = trimmed(arena, where, close ? (size_t)(close - where) : where_length),
    };
}

struct slack_target_person *slack_address_people(struct arena *arena, const char *address, size_t *count)
{
    struct slack_target_person *people = arena_alloc(arena, SLACK_PEOPLE_MAX * sizeof *people);
    *count = 0;
    while (*address && *count < SLACK_PEOPLE_MAX) {
        size_t length = strcspn(address, ",");
        people[(*count)++] = read_person(arena, address, length);
        address += length;
        address += *address == ',';
    }
    return people;
}
