/* A record of notify.requests -> struct notice_request. */
#include "codec.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct raw_request {
    const char *at, *kind, *to, *args, *dedupe_id, *locale;
    struct texts channels;
};
static const struct field REQUEST_FIELDS[] = {
    FIELD_TEXT(struct raw_request, at, .max = 40),
    FIELD_TEXT(struct raw_request, kind, .required = true, .min = 1, .max = 64),
    FIELD_RAW(struct raw_request, to, .required = true),
    FIELD_RAW(struct raw_request, args),
    FIELD_TEXTS(struct raw_request, channels, .max = 16, .item_max = 32),
    FIELD_TEXT(struct raw_request, dedupe_id, .required = true, .min = 1, .max = DEDUPE_ID_MAX),
    FIELD_TEXT(struct raw_request, locale, .nullable = true, .max = 35),
    {0},
};

struct raw_to {
    const char *user, *email, *phone, *slack;
    struct texts users;
    bool users_seen;
};
static const struct field TO_FIELDS[] = {
    FIELD_UUID(struct raw_to, user),
    FIELD_TEXT(struct raw_to, email, .min = 3, .max = 254),
    FIELD_TEXT(struct raw_to, phone, .min = 5, .max = 32),
    FIELD_TEXT(struct raw_to, slack, .min = 1, .max = 200),
    FIELD_TEXTS(struct raw_to, users, .min = 1, .max = USERS_MAX, .item_max = UUID_TEXT_BYTES - 1,
                FIELD_SEEN(struct raw_to, users_seen)),
    {0},
};

static bool refuse(struct err *err, const char *word, const char *why)
{
    err_set(err, &ERR_BAD_INPUT, "%s", why);
    (void)snprintf(err->detail, sizeof err->detail, "%s", word);
    return false;
}

/* ---- args, flat ---- */

static const char *text_of(struct arena *arena, const cJSON *value)
{
    if (cJSON_IsString(value))
        return arena_text(arena, value->valuestring);
    if (cJSON_IsBool(value))
        return cJSON_IsTrue(value) ? "true" : "false";
    if (!cJSON_IsNumber(value))
        return NULL;
    char *printed = cJSON_PrintUnformatted(value); /* as it was written, for all whole numbers up to 2^53 */
    const char *text = arena_text(arena, printed ? printed : "");
    free(printed);
    return text;
}

static bool flatten(struct arena *arena, const cJSON *object, const char *prefix, int depth, struct args *args)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        const char *name =
            *prefix ? arena_printf(arena, "%s.%s", prefix, member->string) : arena_text(arena, member->string);
        const char *value = text_of(arena, member);
        if (cJSON_IsObject(member) && depth < 3 && !flatten(arena, member, name, depth + 1, args))
            return false;
        if (!value)
            continue; /* lists and null are for clients: they stay in args_json */
        if (args->count == ARGS_MAX)
            return false;
        args->items[args->count++] = (struct arg){name, value};
    }
    return true;
}

static bool read_args(struct arena *arena, const char *json, struct notice_request *request, struct err *err)
{
    request->args_json = json ? json : "{}";
    if (strlen(request->args_json) > ARGS_BYTES_MAX)
        return refuse(err, "bad_request", "args are too long");
    cJSON *tree = cJSON_Parse(request->args_json);
    const bool good = cJSON_IsObject(tree) && flatten(arena, tree, "", 0, &request->args);
    cJSON_Delete(tree);
    return good || refuse(err, "bad_request", "args: an object of at most 32 values");
}

/* ---- who ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool read_users(struct arena *arena, const struct raw_to *to, struct texts *users, struct err *err)
{
    const struct texts given = to->user ? (struct texts){(const char **)&to->user, 1} : to->users;
    users->items = arena_alloc(arena, (given.count + 1) * sizeof(char *));
    for (size_t i = 0; i < given.count; i++) {
        struct uuid id;
        char lower[UUID_TEXT_BYTES];
        if (!uuid_parse(given.items[i], &id))
            return refuse(err, "bad_request", "to: not a user id");
        uuid_format(&id, lower);
        users->items[i] = arena_text(arena, lower);
    }
    qsort(users->items, given.count, sizeof(char *), compare_texts);
    for (size_t i = 0; i < given.count; i++)
        if (users->count == 0 || strcmp(users->items[users->count - 1], users->items[i]) != 0)
            users->items[users->count++] = users->items[i];
    return true;
}

static bool read_to(struct arena *arena, const char *json, struct notice_request *request, struct err *err)
{
    struct raw_to to;
    if (!JSON_DECODE_LENIENT(arena, view_of(json), TO_FIELDS, &to, err))
        return refuse(err, "bad_request", "to: not a recipient");
    if ((to.user != NULL) + to.users_seen + (to.email != NULL) + (to.phone != NULL) + (to.slack != NULL) != 1)
        return refuse(err, "bad_request", "to: exactly one of user, users, email, phone, slack");
    request->email = to.email;
    request->phone = to.phone;
    request->slack = to.slack;
    return (!to.user && !to.users_seen) || read_users(arena, &to, &request->users, err);
}

/* ---- the rest ---- */

static bool read_channels(const struct texts *names, struct notice_request *request, struct err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        const unsigned bit = channel_bit_of(names->items[i]);
        if (!bit)
            return refuse(err, "bad_request", "channels: there is no such channel");
        request->asked |= bit;
    }
    return true;
}

/* RFC 3339 in UTC as event_open() writes it; 0 for anything else. */
static int64_t read_time(const char *text)
{
    struct tm tm = {0};
    int ms = 0, end = 0;
    if (!text || strlen(text) != 24 || !isdigit((unsigned char)text[0]) ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &ms, &end) != 7 ||
        end != 24)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

bool codec_request(struct arena *arena, const struct kafka_record *record, struct notice_request *request,
                   struct err *err)
{
    struct raw_request raw;
    *request = (struct notice_request){0};
    if (!record->payload.bytes || !JSON_DECODE_LENIENT(arena, record->payload, REQUEST_FIELDS, &raw, err))
        return refuse(err, "bad_request", "not a request");
    request->kind = kind_find(raw.kind);
    if (!request->kind)
        return refuse(err, "unknown_kind", "there is no such kind of notice");
    if (!read_to(arena, raw.to, request, err) || !read_args(arena, raw.args, request, err) ||
        !read_channels(&raw.channels, request, err))
        return false;
    if (args_missing(&request->args, request->kind))
        return refuse(err, "missing_arg", args_missing(&request->args, request->kind));
    request->dedupe_id = raw.dedupe_id;
    request->locale = raw.locale && *raw.locale ? raw.locale : NULL;
    /* A time ahead of the broker's would lengthen what is worth sending. */
    const int64_t said_ms = read_time(raw.at);
    request->at_ms = said_ms > 0 && said_ms < record->timestamp_ms ? said_ms : record->timestamp_ms;
    return true;
}
