/* room_kit.h - for the tests of the rules: a scene in memory with some people, and commands in few words. Ids are names
 * here: the rules don't look inside. Small helpers for tests only. */
#ifndef MADANG_CHAT_ROOM_KIT_H
#define MADANG_CHAT_ROOM_KIT_H

#include "mem.h"
#include "room.h"
#include "test.h"

#include <stdio.h>

enum { HOUR_MS = 3600 * 1000 };

struct yard {
    struct arena *arena;
    struct scene *scene;
    int64_t at_ms;
    int commands;
    struct chat_event *answer; /* of the last command; NULL when it was refused */
    struct err err;
};

__attribute__((unused)) static void yard_person(struct yard *yard, const char *name, bool is_user, bool withdrawn)
{
    const struct chat_person person = {.id = name,
                                       .nickname = withdrawn ? "" : name,
                                       .avatar_url = "",
                                       .locale = "ko",
                                       .is_user = is_user,
                                       .withdrawn = withdrawn};
    scene_add_person(yard->scene, &person);
}

/* `blocker`: NULL, or one of the two. */
__attribute__((unused)) static void yard_relation(struct yard *yard, const char *one, const char *other, bool friends,
                                                  const char *blocker)
{
    const bool swap = strcmp(one, other) > 0;
    const struct chat_relation relation = {.a = swap ? other : one,
                                           .b = swap ? one : other,
                                           .friend = friends,
                                           .a_blocks = blocker && strcmp(blocker, swap ? other : one) == 0,
                                           .b_blocks = blocker && strcmp(blocker, swap ? one : other) == 0};
    struct chat_relation *known = lookup_get(yard->scene->relations, KEY(relation.a, relation.b));
    if (known)
        *known = relation;
    else
        scene_add_relation(yard->scene, &relation);
}

/* kim, lee, park and choi are friends of each other; yoon is nobody's friend; guest and gone are no users; nobody knows
 * ghost. */
__attribute__((unused)) static struct yard yard_open(void)
{
    static const char *const FRIENDS[] = {"kim", "lee", "park", "choi"};
    struct yard yard = {.arena = arena_open(64 << 20), .at_ms = INT64_C(1770000000000)};
    yard.scene = scene_open(yard.arena, true);
    for (size_t i = 0; i < ARRAY_LENGTH(FRIENDS); i++) {
        yard_person(&yard, FRIENDS[i], true, false);
        for (size_t j = 0; j < i; j++)
            yard_relation(&yard, FRIENDS[i], FRIENDS[j], true, NULL);
    }
    yard_person(&yard, "yoon", true, false);
    yard_person(&yard, "guest", false, false);
    yard_person(&yard, "gone", false, true);
    return yard;
}

/* "" or the code of the refusal. */
__attribute__((unused)) static const char *yard_do(struct yard *yard, struct command command)
{
    const size_t before = yard->scene->events.count;
    command.id = command.id ? command.id : arena_printf(yard->arena, "command-%d", ++yard->commands);
    err_clear(&yard->err);
    yard->answer = NULL;
    if (!room_apply(yard->scene, &command, yard->at_ms, 0, &yard->err)) {
        EXPECT_I64(before, yard->scene->events.count);
        return yard->err.problem->code;
    }
    int answers = 0;
    for (size_t i = before; i < yard->scene->events.count; i++)
        if (yard->scene->events.items[i].answers && ++answers)
            yard->answer = &yard->scene->events.items[i].event;
    EXPECT_I64(1, answers);
    return "";
}

/* Names separated by blanks. */
__attribute__((unused)) static struct texts yard_names(struct yard *yard, const char *names)
{
    struct texts out = {arena_alloc(yard->arena, 200 * sizeof(char *)), 0};
    char *rest = arena_text(yard->arena, names);
    for (char *name; (name = strsep(&rest, " ")) != NULL;)
        if (*name)
            out.items[out.count++] = name;
    return out;
}

__attribute__((unused)) static const char *yard_create(struct yard *yard, const char *room, const char *who,
                                                       const char *kind, const char *others)
{
    return yard_do(yard, (struct command){.kind = COMMAND_CREATE,
                                          .room_id = room,
                                          .user_id = who,
                                          .room_kind = kind,
                                          .user_ids = yard_names(yard, others)});
}

__attribute__((unused)) static const char *yard_add(struct yard *yard, const char *room, const char *who,
                                                    const char *others)
{
    return yard_do(
        yard,
        (struct command){.kind = COMMAND_ADD, .room_id = room, .user_id = who, .user_ids = yard_names(yard, others)});
}

__attribute__((unused)) static const char *yard_remove(struct yard *yard, const char *room, const char *who,
                                                       const char *target)
{
    return yard_do(yard, (struct command){.kind = COMMAND_REMOVE, .room_id = room, .user_id = who, .target = target});
}

__attribute__((unused)) static const char *yard_leave(struct yard *yard, const char *room, const char *who)
{
    return yard_do(yard, (struct command){.kind = COMMAND_LEAVE, .room_id = room, .user_id = who});
}

__attribute__((unused)) static const char *yard_title(struct yard *yard, const char *room, const char *who,
                                                      const char *title)
{
    return yard_do(yard, (struct command){.kind = COMMAND_TITLE, .room_id = room, .user_id = who, .title = title});
}

__attribute__((unused)) static struct command yard_message(struct yard *yard, const char *room, const char *who,
                                                           const char *content)
{
    return (struct command){.kind = COMMAND_SEND,
                            .room_id = room,
                            .user_id = who,
                            .client_id = arena_printf(yard->arena, "client-%d", yard->commands),
                            .message_id = arena_printf(yard->arena, "message-%d", yard->commands),
                            .message_kind = "text",
                            .content = content};
}

__attribute__((unused)) static const char *yard_send(struct yard *yard, const char *room, const char *who,
                                                     const char *content)
{
    return yard_do(yard, yard_message(yard, room, who, content));
}

__attribute__((unused)) static const char *yard_change(struct yard *yard, enum command_kind kind, const char *room,
                                                       const char *who, int64_t seq, const char *words)
{
    return yard_do(
        yard,
        (struct command){.kind = kind, .room_id = room, .user_id = who, .seq = seq, .content = words, .emoji = words});
}

__attribute__((unused)) static const char *yard_read(struct yard *yard, const char *room, const char *who, int64_t seq)
{
    struct mark mark = {who, seq};
    return yard_do(
        yard, (struct command){.kind = COMMAND_READ, .room_id = room, .user_id = who, .marks = &mark, .mark_count = 1});
}

__attribute__((unused)) static int64_t yard_mark(const struct yard *yard, const char *room, const char *who)
{
    const struct seat *seat = scene_seat(scene_room(yard->scene, room), who);
    return seat ? seat->read_seq : -1;
}

__attribute__((unused)) static int64_t yard_unread_by(const struct yard *yard, const char *room, int64_t seq)
{
    return scene_unread_by(scene_room(yard->scene, room), seq);
}

/* The last event of this kind; NULL: none. */
__attribute__((unused)) static const struct chat_event *yard_last(const struct yard *yard, enum event_kind kind)
{
    for (size_t i = yard->scene->events.count; i-- > 0;)
        if (yard->scene->events.items[i].event.kind == kind)
            return &yard->scene->events.items[i].event;
    return NULL;
}

#endif
