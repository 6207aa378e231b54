#include "codec.h"

#include "outbox.h"

/* ---- in ---- */

struct signal_fields {
    const char *kind, *user_id, *connection;
    int64_t n, lease_seconds;
};

static const char *const KINDS[] = {[SIGNAL_UP] = "up", [SIGNAL_BEAT] = "beat", [SIGNAL_DOWN] = "down", NULL};

static const struct field SIGNAL_FIELDS[] = {
    FIELD_TEXT(struct signal_fields, kind, .required = true, .one_of = KINDS),
    FIELD_UUID(struct signal_fields, user_id, .required = true),
    FIELD_UUID(struct signal_fields, connection, .required = true),
    FIELD_I64(struct signal_fields, n, .required = true, .min = 1, .max = INT64_MAX),
    FIELD_I64(struct signal_fields, lease_seconds, .required = true, .min = 1, .max = 86400),
    {0},
};

bool codec_signal(struct arena *arena, struct view bytes, int64_t at_ms, struct presence_signal *signal,
                  struct err *err)
{
    struct signal_fields fields;
    if (!bytes.bytes)
        return err_set(err, &ERR_BAD_INPUT, "a signal without a payload");
    if (!JSON_DECODE_LENIENT(arena, bytes, SIGNAL_FIELDS, &fields, err))
        return false;
    *signal = (struct presence_signal){.n = fields.n, .at_ms = at_ms, .lease_ms = fields.lease_seconds * 1000};
    memcpy(signal->connection, fields.connection, UUID_TEXT_BYTES);
    memcpy(signal->user_id, fields.user_id, UUID_TEXT_BYTES);
    while (strcmp(KINDS[signal->kind], fields.kind) != 0)
        signal->kind++;
    return true;
}

const struct field SETTINGS_FIELDS[] = {
    FIELD_BOOL(struct settings_wish, visible, .required = true),
    FIELD_BOOL(struct settings_wish, show_last_seen, .required = true),
    {0},
};

/* ---- out ---- */

void codec_change(struct str *out, const struct presence *presence)
{
    event_open(out, "presence", NULL);
    json_text(out, "user_id", presence->user_id);
    json_bool(out, "online", presence->online);
    json_bool(out, "visible", presence->visible);
    json_bool(out, "show_last_seen", presence->show_last_seen);
    if (presence->last_seen_ms)
        json_time(out, "last_seen", presence->last_seen_ms);
    else
        json_text(out, "last_seen", NULL);
    json_i64(out, "n", presence->n);
    json_close(out, '}');
}

void codec_item(struct str *out, const struct presence *presence)
{
    const struct presence_view view = presence_shown(presence);
    json_open(out, NULL, '{');
    json_text(out, "user_id", presence->user_id);
    json_bool(out, "online", view.online);
    if (view.last_seen_ms)
        json_time(out, "last_seen", view.last_seen_ms);
    json_close(out, '}');
}
