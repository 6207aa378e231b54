/* codec.h - JSON <-> struct. Texts live in the arena that was given; printers append. */
#ifndef MADANG_NOTIFY_CODEC_H
#define MADANG_NOTIFY_CODEC_H

#include "choice.h"
#include "json.h"
#include "kafka.h"
#include "template.h"
#include "uuid.h"

enum {
    USERS_MAX = 500, /* of one request */
    IDS_MAX = 100,   /* of one POST .../read */
    DEDUPE_ID_MAX = 200,
    ARGS_BYTES_MAX = 4096,
};

/* ---- topic notify.requests ---- */

struct notice_request {
    const struct kind *kind;
    unsigned asked;     /* channels; 0: the kind's own */
    struct texts users; /* recipients by id, lower-case, each once; or none and one of: */
    const char *email, *phone, *slack;
    struct args args;
    const char *args_json;
    const char *dedupe_id;
    const char *locale; /* NULL: the recipient's */
    int64_t at_ms;
};
/* bad_input: not a request, an unknown kind, an arg that is missing, too much of something. `detail` of err begins with
 * a word for the metric: "unknown_kind", "missing_arg", "bad_request". */
bool codec_request(struct arena *arena, const struct kafka_record *record, struct notice_request *request,
                   struct err *err);

/* ---- the inbox ---- */

/* What a row of `notices` is to clients. */
struct notice {
    int64_t seq;
    const char *id, *kind, *title, *body, *data; /* data: JSON */
    int64_t at_ms, read_at_ms;                   /* read_at_ms 0: unread */
};
/* {seq, id, kind, title, body, data, read_at, at}. */
void codec_notice(struct str *out, const struct notice *notice);

/* {up_to} or {ids[]}: exactly one. */
struct read_wish {
    int64_t up_to;
    bool up_to_seen;
    struct texts ids;
    bool ids_seen;
};
bool codec_read_wish(struct arena *arena, struct view body, struct read_wish *wish, struct err *err);

/* ---- settings ---- */

enum { CHOICES_MAX = 64 };
struct settings {
    struct choice choices[CHOICES_MAX]; /* those the user made */
    size_t choice_count;
    bool quiet_seen;          /* of a wish: it speaks of quiet hours */
    struct quiet_hours quiet; /* time_zone "": none */
    int64_t version;
};
/* NULL: none was made. */
const struct choice *settings_choice(const struct settings *settings, const struct kind *kind);

/* {kinds: {<kind>: {inbox?, push?, email?, slack?}}, quiet_hours?: null or {from, to, time_zone}}; what is not named
 * stays as it is. */
bool codec_settings_wish(struct arena *arena, struct view body, struct settings *wish, struct err *err);
/* Every kind with what holds for it now. */
void codec_settings(struct str *out, const struct settings *settings);
/* {from, to, time_zone} or null. */
void codec_quiet_hours(struct str *out, const char *name, const struct quiet_hours *quiet);

#endif
