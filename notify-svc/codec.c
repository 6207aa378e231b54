#include "codec.h"

/* ---- the inbox ---- */

void codec_notice(struct str *out, const struct notice *notice)
{
    json_open(out, NULL, '{');
    json_i64(out, "seq", notice->seq);
    json_text(out, "id", notice->id);
    json_text(out, "kind", notice->kind);
    json_text(out, "title", notice->title);
    json_text(out, "body", notice->body);
    json_raw(out, "data", notice->data);
    if (notice->read_at_ms)
        json_time(out, "read_at", notice->read_at_ms);
    else
        json_text(out, "read_at", NULL);
    json_time(out, "at", notice->at_ms);
    json_close(out, '}');
}

static const struct field READ_WISH_FIELDS[] = {
    FIELD_I64(struct read_wish, up_to, .min = 0, .max = INT64_MAX, FIELD_SEEN(struct read_wish, up_to_seen)),
    FIELD_TEXTS(struct read_wish, ids, .min = 1, .max = IDS_MAX, .item_max = UUID_TEXT_BYTES - 1,
                FIELD_SEEN(struct read_wish, ids_seen)),
    {0},
};

/* Lower case, so that the database compares what was meant. */
static bool lower_uuid(struct arena *arena, const char **text)
{
    struct uuid id;
    char lower[UUID_TEXT_BYTES];
    if (!uuid_parse(*text, &id))
        return false;
    uuid_format(&id, lower);
    *text = arena_text(arena, lower);
    return true;
}

bool codec_read_wish(struct arena *arena, struct view body, struct read_wish *wish, struct err *err)
{
    if (!JSON_DECODE(arena, body, READ_WISH_FIELDS, wish, err))
        return false;
    if (wish->up_to_seen == wish->ids_seen)
        return err_set(err, &ERR_BAD_INPUT, "either up_to or ids");
    for (size_t i = 0; i < wish->ids.count; i++)
        if (!lower_uuid(arena, &wish->ids.items[i]))
            return err_add_field(err, "/ids", "item %zu is not an id", i);
    return true;
}
