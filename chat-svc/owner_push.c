#include "owner_push.h"

#include "presence_copy.h"
#include "utf8.h"

enum { PUSH_BODY_MAX = 200, PUSH_TTL_S = 24 * 3600 };

/* What stands for a message without words. */
static const struct {
    const char *kind, *en, *ko;
} STAND_INS[] = {
    {"image", "[photo]", "[사진]"},
    {"video", "[video]", "[동영상]"},
    {"file", "[file]", "[파일]"},
};

struct pushes {
    struct arena *arena;
    LIST(struct outbox_event) events;
};

static const char *cut(struct arena *arena, const char *text)
{
    const size_t length = strlen(text);
    size_t at = 0;
    for (int points = 0; at < length && points < PUSH_BODY_MAX; points++) {
        uint32_t code;
        const size_t size = utf8_decode(text + at, length - at, &code);
        at += size ? size : 1;
    }
    return at < length ? arena_bytes(arena, text, at) : text;
}

static const char *body_of(struct arena *arena, const struct message *message, const char *locale)
{
    if (*message->content)
        return cut(arena, message->content);
    for (size_t i = 0; i < ARRAY_LENGTH(STAND_INS); i++)
        if (strcmp(STAND_INS[i].kind, message->kind) == 0)
            return strncmp(locale, "ko", 2) == 0 ? STAND_INS[i].ko : STAND_INS[i].en;
    return "";
}

static const char *title_of(const struct scene *scene, const struct chat_room *room, const struct message *message)
{
    const struct chat_person *sender = scene_person(scene, message->sender_id);
    const char *nickname = sender ? sender->nickname : "";
    if (room->shown.kind == ROOM_DM || !*room->shown.title)
        return nickname;
    return arena_printf(scene->arena, "%s · %s", room->shown.title, nickname);
}

static struct outbox_event push_request(struct arena *arena, const struct message *message, const char *user_id,
                                        const char *title, const char *body)
{
    const char *seq = arena_printf(arena, "%lld", (long long)message->seq);
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "push", NULL);
    json_text(&out, "user_id", user_id);
    json_text(&out, "title", title);
    json_text(&out, "body", body);
    json_open(&out, "data", '{');
    json_text(&out, "room_id", message->room_id);
    json_text(&out, "seq", seq);
    json_close(&out, '}');
    json_text(&out, "collapse_key", message->room_id);
    json_i64(&out, "ttl_seconds", PUSH_TTL_S);
    json_text(&out, "dedupe_id", arena_printf(arena, "%s:%s", message->room_id, seq));
    json_text(&out, "source", "chat");
    return event_close(arena, &out, TOPIC_PUSH_REQUESTS, user_id, NULL, NULL);
}

static bool wants_push(const struct scene *scene, const struct presence *presence, const struct seat *seat,
                       const char *sender_id)
{
    return seat->here && !seat->muted && !seat->withdrawn && strcmp(seat->user_id, sender_id) != 0 &&
           !scene_blocks(scene, seat->user_id, sender_id) && !presence_online(presence, seat->user_id);
}

static void push_one(const struct scene *scene, const struct presence *presence, struct pushes *pushes,
                     const struct scene_event *entry)
{
    const struct chat_room *room = entry->room;
    const struct message *message = &entry->message->shown;
    const char *title = title_of(scene, room, message);
    for (size_t i = 0; i < room->seat_count; i++) {
        const struct seat *seat = &room->seats[i];
        if (wants_push(scene, presence, seat, message->sender_id))
            *SCENE_ADD(pushes, pushes->events) =
                push_request(scene->arena, message, seat->user_id, title, body_of(scene->arena, message, seat->locale));
    }
}

bool owner_push(struct pg_tx *tx, const struct scene *scene, const struct presence *presence, struct err *err)
{
    struct pushes pushes = {.arena = scene->arena};
    for (size_t i = 0; i < scene->events.count; i++) {
        const struct scene_event *entry = &scene->events.items[i];
        if (entry->message && !entry->message->shown.deleted)
            push_one(scene, presence, &pushes, entry);
    }
    return outbox_add_all(tx, pushes.events.items, pushes.events.count, err);
}
