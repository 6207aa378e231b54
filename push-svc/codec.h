/* codec.h - field tables of the events that push-svc hears, and what its replies look like. */
#ifndef MADANG_PUSH_CODEC_H
#define MADANG_PUSH_CODEC_H

#include "json.h"

/* topic presence.changes */
struct presence_change {
    const char *user_id;
    bool online;
    int64_t n;
};
extern const struct field PRESENCE_FIELDS[];

/* topic notify.settings */
struct preference {
    const char *user_id;
    const char *quiet_hours; /* JSON or NULL */
    struct texts push_off;
    int64_t version;
    /* made of the above by codec_preference */
    int quiet_start, quiet_end; /* minutes; -1: none */
    const char *zone;
    bool chat_off;
};
extern const struct field PREFERENCE_FIELDS[];
bool codec_preference(struct arena *arena, struct view payload, struct preference *preference, struct err *err);

/* topic push.requests */
struct push_request {
    const char *user_id, *title, *body, *data, *collapse_key, *dedupe_id, *source;
    int64_t ttl_seconds;
    bool ttl_seen, urgent;
    int64_t expires_ms; /* made of ttl_seconds and the record's time */
};
extern const struct field PUSH_REQUEST_FIELDS[];
enum { TTL_DEFAULT_S = 4 * 3600, TTL_LEAST_S = 10 };
bool codec_push_request(struct arena *arena, struct view payload, int64_t at_ms, struct push_request *request,
                        struct err *err);

#endif
