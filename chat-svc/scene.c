#include "scene.h"

enum { FIRST_ITEMS = 16 };

void *scene_grown(struct arena *arena, void *items, size_t count, size_t *held, size_t size)
{
    if (count < *held)
        return items;
    *held = *held ? *held * 2 : FIRST_ITEMS;
    void *grown = arena_alloc(arena, *held * size);
    if (count > 0)
        memcpy(grown, items, count * size);
    return grown;
}

struct scene *scene_open(struct arena *arena, bool friends_only)
{
    struct scene *scene = ARENA_NEW(arena, scene);
    *scene = (struct scene){
        .arena = arena,
        .friends_only = friends_only,
        .rooms = lookup_open(arena),
        .people = lookup_open(arena),
        .relations = lookup_open(arena),
        .messages = lookup_open(arena),
        .sent = lookup_open(arena),
        .reactions = lookup_open(arena),
        .files = lookup_open(arena),
        .recent = lookup_open(arena),
        .said = lookup_open(arena),
    };
    return scene;
}

/* ---- filling ---- */

struct chat_room *scene_add_room(struct scene *scene, const char *room_id)
{
    struct chat_room *room = ARENA_NEW(scene->arena, chat_room);
    room->shown.id = room_id;
    room->shown.title = "";
    *SCENE_ADD(scene, scene->room_list) = room;
    lookup_put(scene->rooms, KEY(room_id), room);
    return room;
}

struct seat *scene_add_seat(struct scene *scene, struct chat_room *room, const char *user_id)
{
    for (size_t i = 0; i < room->seat_count; i++)
        if (strcmp(room->seats[i].user_id, user_id) == 0)
            return &room->seats[i]; /* one who left and comes back */
    return scene_push_seat(scene, room, user_id);
}

struct seat *scene_push_seat(struct scene *scene, struct chat_room *room, const char *user_id)
{
    room->seats = scene_grown(scene->arena, room->seats, room->seat_count, &room->seats_held, sizeof *room->seats);
    struct seat *seat = &room->seats[room->seat_count++];
    *seat = (struct seat){.user_id = user_id, .locale = ""};
    return seat;
}

void scene_add_person(struct scene *scene, const struct chat_person *person)
{
    struct chat_person *copy = ARENA_NEW(scene->arena, chat_person);
    *copy = *person;
    lookup_put(scene->people, KEY(copy->id), copy);
}

void scene_add_relation(struct scene *scene, const struct chat_relation *relation)
{
    struct chat_relation *copy = ARENA_NEW(scene->arena, chat_relation);
    *copy = *relation;
    lookup_put(scene->relations, KEY(copy->a, copy->b), copy);
}

struct chat_message *scene_add_message(struct scene *scene, const struct message *shown)
{
    struct chat_message *message = ARENA_NEW(scene->arena, chat_message);
    message->shown = *shown;
    if (!lookup_add(scene->messages, KEY(shown->room_id, .n = shown->seq), message))
        return scene_message(scene, shown->room_id, shown->seq); /* named by two commands */
    *SCENE_ADD(scene, scene->message_list) = message;
    if (shown->sender_id && shown->client_id)
        lookup_put(scene->sent, KEY(shown->room_id, shown->sender_id, shown->client_id), message);
    return message;
}

struct chat_reaction *scene_add_reaction(struct scene *scene, const char *room_id, int64_t seq, const char *user_id,
                                         const char *emoji)
{
    struct chat_reaction *reaction = scene_reaction(scene, room_id, seq, user_id, emoji);
    if (reaction)
        return reaction;
    reaction = ARENA_NEW(scene->arena, chat_reaction);
    *reaction = (struct chat_reaction){.room_id = room_id, .user_id = user_id, .emoji = emoji, .seq = seq};
    *SCENE_ADD(scene, scene->reaction_list) = reaction;
    lookup_put(scene->reactions, KEY(room_id, user_id, emoji, seq), reaction);
    return reaction;
}

struct chat_file *scene_add_file(struct scene *scene, const struct chat_file *file)
{
    struct chat_file *copy = ARENA_NEW(scene->arena, chat_file);
    *copy = *file;
    *SCENE_ADD(scene, scene->file_list) = copy;
    lookup_put(scene->files, KEY(copy->id), copy);
    return copy;
}

struct recent *scene_recent(struct scene *scene, const char *room_id, const char *user_id)
{
    struct recent *recent = lookup_get(scene->recent, KEY(room_id, user_id));
    if (recent)
        return recent;
    recent = ARENA_NEW(scene->arena, recent);
    *recent = (struct recent){.room_id = room_id, .user_id = user_id};
    *SCENE_ADD(scene, scene->recent_list) = recent;
    lookup_put(scene->recent, KEY(room_id, user_id), recent);
    return recent;
}

void scene_add_said(struct scene *scene, const char *message_id)
{
    (void)lookup_add(scene->said, KEY(message_id), scene);
}

bool scene_say(struct scene *scene, const char *message_id)
{
    const bool fresh = lookup_add(scene->said, KEY(message_id), scene);
    if (fresh)
        *SCENE_ADD(scene, scene->said_list) = message_id;
    return fresh;
}

/* ---- looking ---- */

struct chat_room *scene_room(const struct scene *scene, const char *room_id)
{
    return lookup_get(scene->rooms, KEY(room_id));
}

struct seat *scene_seat(const struct chat_room *room, const char *user_id)
{
    for (size_t i = 0; i < room->seat_count; i++)
        if (room->seats[i].here && strcmp(room->seats[i].user_id, user_id) == 0)
            return &room->seats[i];
    return NULL;
}

const struct chat_person *scene_person(const struct scene *scene, const char *user_id)
{
    return lookup_get(scene->people, KEY(user_id));
}

struct chat_message *scene_message(const struct scene *scene, const char *room_id, int64_t seq)
{
    return lookup_get(scene->messages, KEY(room_id, .n = seq));
}

struct chat_message *scene_sent(const struct scene *scene, const char *room_id, const char *sender_id,
                                const char *client_id)
{
    return lookup_get(scene->sent, KEY(room_id, sender_id, client_id));
}

struct chat_reaction *scene_reaction(const struct scene *scene, const char *room_id, int64_t seq, const char *user_id,
                                     const char *emoji)
{
    return lookup_get(scene->reactions, KEY(room_id, user_id, emoji, seq));
}

struct chat_file *scene_file(const struct scene *scene, const char *file_id)
{
    return lookup_get(scene->files, KEY(file_id));
}

static const struct chat_relation *relation_of(const struct scene *scene, const char *one, const char *other)
{
    return strcmp(one, other) < 0 ? lookup_get(scene->relations, KEY(one, other))
                                  : lookup_get(scene->relations, KEY(other, one));
}

bool scene_are_friends(const struct scene *scene, const char *one, const char *other)
{
    const struct chat_relation *relation = relation_of(scene, one, other);
    return relation && relation->friend;
}

bool scene_blocks(const struct scene *scene, const char *who, const char *whom)
{
    const struct chat_relation *relation = relation_of(scene, who, whom);
    return relation && (strcmp(relation->a, who) == 0 ? relation->a_blocks : relation->b_blocks);
}

bool scene_block_between(const struct scene *scene, const char *one, const char *other)
{
    const struct chat_relation *relation = relation_of(scene, one, other);
    return relation && (relation->a_blocks || relation->b_blocks);
}

int64_t scene_unread_by(const struct chat_room *room, int64_t seq)
{
    if (room_kind_is_open(room->shown.kind))
        return -1;
    int64_t behind = 0;
    for (size_t i = 0; i < room->seat_count; i++)
        behind += room->seats[i].here && room->seats[i].read_seq < seq;
    return behind;
}

const char *scene_message_json(const struct scene *scene, const struct chat_room *room,
                               const struct chat_message *message)
{
    struct message shown = message->shown;
    const struct chat_person *sender = shown.sender_id ? scene_person(scene, shown.sender_id) : NULL;
    const struct message_view view = {.unread_by = scene_unread_by(room, shown.seq)};
    AUTO_STR out;
    str_init(&out);
    shown.nickname = sender ? sender->nickname : "";
    shown.avatar_url = sender ? sender->avatar_url : "";
    codec_message(&out, NULL, &shown, &view);
    return arena_bytes(scene->arena, out.bytes, out.length);
}

const char *scene_room_json(const struct scene *scene, const struct chat_room *room)
{
    AUTO_STR out;
    str_init(&out);
    codec_room(&out, NULL, &room->shown);
    return arena_bytes(scene->arena, out.bytes, out.length);
}
