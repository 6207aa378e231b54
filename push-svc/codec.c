#include "codec.h"

#include "clock.h"
#include "message.h"

#include <stdlib.h>

static const char *const SOURCES[] = {"chat", "notify", NULL};

const struct field PRESENCE_FIELDS[] = {
    FIELD_UUID(struct presence_change, user_id, .required = true),
    FIELD_BOOL(struct presence_change, online, .required = true),
    FIELD_I64(struct presence_change, n, .required = true, .min = 0, .max = INT64_MAX),
    {0},
};
const struct field PREFERENCE_FIELDS[] = {
    FIELD_UUID(struct preference, user_id, .required = true),
    FIELD_RAW(struct preference, quiet_hours, .nullable = true),
    FIELD_TEXTS(struct preference, push_off, .max = 200),
    FIELD_I64(struct preference, version, .required = true, .min = 0, .max = INT64_MAX),
    {0},
};
const struct field PUSH_REQUEST_FIELDS[] = {
    FIELD_UUID(struct push_request, user_id, .required = true),
    FIELD_TEXT(struct push_request, title, .max = 1000, .nullable = true),
    FIELD_TEXT(struct push_request, body, .max = 4000, .nullable = true),
    FIELD_RAW(struct push_request, data, .nullable = true),
    FIELD_TEXT(struct push_request, collapse_key, .nullable = true, .max = 200),
    FIELD_TEXT(struct push_request, dedupe_id, .required = true, .min = 1, .max = 200),
    FIELD_TEXT(struct push_request, source, .required = true, .max = 20, .one_of = SOURCES),
    FIELD_I64(struct push_request, ttl_seconds, .nullable = true, .max = TTL_MAX_S,
              FIELD_SEEN(struct push_request, ttl_seen)),
    FIELD_BOOL(struct push_request, urgent),
    {0},
};

/* ---- people's settings ---- */

struct quiet_hours {
    const char *from, *to, *time_zone;
};
static const struct field QUIET_FIELDS[] = {
    FIELD_TEXT(struct quiet_hours, from, .required = true, .min = 5, .max = 5),
    FIELD_TEXT(struct quiet_hours, to, .required = true, .min = 5, .max = 5),
    FIELD_TEXT(struct quiet_hours, time_zone, .required = true, .min = 1, .max = 64),
    {0},
};

/* "22:00" -> 1320; -1: no such time. */
static int minute_of_day(const char *text)
{
    for (int i = 0; i < 5; i++)
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return -1;
    const int hour = (text[0] - '0') * 10 + text[1] - '0', minute = (text[3] - '0') * 10 + text[4] - '0';
    return hour < 24 && minute < 60 ? hour * 60 + minute : -1;
}

bool codec_preference(struct arena *arena, struct view payload, struct preference *preference, struct err *err)
{
    if (!JSON_DECODE_LENIENT(arena, payload, PREFERENCE_FIELDS, preference, err))
        return false;
    preference->quiet_start = preference->quiet_end = -1;
    for (size_t i = 0; i < preference->push_off.count; i++)
        preference->chat_off = preference->chat_off || strcmp(preference->push_off.items[i], "chat_message") == 0;
    struct quiet_hours hours;
    if (!preference->quiet_hours || strcmp(preference->quiet_hours, "null") == 0)
        return true;
    if (!JSON_DECODE_LENIENT(arena, view_of(preference->quiet_hours), QUIET_FIELDS, &hours, err))
        return false;
    const int start = minute_of_day(hours.from), end = minute_of_day(hours.to);
    if (start < 0 || end < 0)
        return err_add_field(err, "/quiet_hours", "from and to are times of the day, HH:MM");
    if (start == end) /* of no length */
        return true;
    preference->quiet_start = start;
    preference->quiet_end = end;
    preference->zone = hours.time_zone;
    return true;
}

/* ---- pushes ---- */

bool codec_push_request(struct arena *arena, struct view payload, int64_t at_ms, struct push_request *request,
                        struct err *err)
{
    if (!JSON_DECODE_LENIENT(arena, payload, PUSH_REQUEST_FIELDS, request, err))
        return false;
    AUTO_STR data;
    str_init(&data);
    if (!message_data_clean(request->data && strcmp(request->data, "null") != 0 ? request->data : "{}", &data, err))
        return false;
    request->data = arena_bytes(arena, data.bytes, data.length);
    request->title = request->title ? request->title : "";
    request->body = request->body ? request->body : "";
    if (request->collapse_key && !*request->collapse_key)
        request->collapse_key = NULL;
    /* "Now or never" is given a moment, or it would be over before it was tried. */
    const int64_t ttl_s = !request->ttl_seen || !request->ttl_seconds
                              ? (request->ttl_seen ? TTL_LEAST_S : TTL_DEFAULT_S)
                          : request->ttl_seconds < TTL_LEAST_S ? TTL_LEAST_S
                                                               : request->ttl_seconds;
    request->expires_ms = (at_ms > 0 ? at_ms : clock_now_ms()) + ttl_s * 1000;
    return true;
}
