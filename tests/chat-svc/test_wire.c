/* Commands and events: what is written is read back, what is not whole is refused, what is unknown is skipped. */
#include "mem.h"
#include "test.h"
#include "wire.h"

#include <stdlib.h>

static const char ROOM[] = "00000000-0000-7000-8000-00000000000a", KIM[] = "00000000-0000-7000-8000-0000000000b1",
                  LEE[] = "00000000-0000-7000-8000-0000000000b2", FILE_ID[] = "00000000-0000-7000-8000-0000000000c1";

static bool decode_command(struct arena *arena, const char *json, struct command *out, struct err *err)
{
    err_clear(err);
    return command_decode(arena, view_of(json), out, err);
}

static bool decode_event(struct arena *arena, const char *json, struct chat_event *out, struct err *err)
{
    err_clear(err);
    return event_decode(arena, view_of(json), out, err);
}

static struct command whole_command(enum command_kind kind)
{
    static struct mark marks[] = {{KIM, 7}, {LEE, 0}};
    static const char *others[] = {LEE, KIM};
    return (struct command){
        .kind = kind,
        .room_id = ROOM,
        .user_id = KIM,
        .room_kind = "group",
        .title = "점심 \"모임\"",
        .user_ids = {others, 2},
        .target = LEE,
        .client_id = "c-1",
        .message_id = FILE_ID,
        .message_kind = "text",
        .content = "안녕\n\"hi\" \\ 👋",
        .file_id = FILE_ID,
        .emoji = "👍",
        .reply_to = 3,
        .seq = 9007199254740991,
        .marks = marks,
        .mark_count = 2,
    };
}

TEST(a_command_of_each_kind_comes_back, "P-22 P-23 P-28 P-32")
{
    for (int kind = 0; kind < COMMANDS; kind++) {
        AUTO(arena) arena = arena_open(1 << 20);
        const struct command in = whole_command((enum command_kind)kind);
        struct command out;
        struct err err = {0};
        AUTO_STR bytes;
        str_init(&bytes);
        command_encode(&bytes, &in);
        REQUIRE_OK(decode_command(arena, bytes.bytes, &out, &err), &err);
        EXPECT_I64(kind, out.kind);
        EXPECT(out.id != NULL);
        EXPECT_TEXT(in.room_id, out.room_id);
        EXPECT_TEXT(in.user_id, out.user_id);
        EXPECT_TEXT(in.room_kind, out.room_kind);
        EXPECT_TEXT(in.title, out.title);
        EXPECT_I64(2, out.user_ids.count);
        EXPECT_TEXT(KIM, out.user_ids.items[1]);
        EXPECT_TEXT(in.target, out.target);
        EXPECT_TEXT(in.client_id, out.client_id);
        EXPECT_TEXT(in.message_id, out.message_id);
        EXPECT_TEXT(in.message_kind, out.message_kind);
        EXPECT_TEXT(in.content, out.content);
        EXPECT_TEXT(in.file_id, out.file_id);
        EXPECT_TEXT(in.emoji, out.emoji);
        EXPECT_I64(in.reply_to, out.reply_to);
        EXPECT_I64(in.seq, out.seq);
        REQUIRE(out.mark_count == 2);
        EXPECT_TEXT(KIM, out.marks[0].user_id);
        EXPECT_I64(7, out.marks[0].seq);
        EXPECT_I64(0, out.marks[1].seq);
    }
}

TEST(an_event_of_each_kind_comes_back, "P-29 P-33")
{
    static struct read_move moves[] = {{KIM, 0, 5}, {LEE, 4, 5}};
    static const char *others[] = {LEE};
    for (int kind = 0; kind < EVENTS; kind++) {
        AUTO(arena) arena = arena_open(1 << 20);
        const struct chat_event in = {
            .kind = (enum event_kind)kind,
            .room_id = ROOM,
            .room_kind = "dm",
            .rev = 12,
            .at = "2026-01-31T23:59:59.123Z",
            .by = KIM,
            .manager = LEE,
            .user_ids = {others, 1},
            .room = "{\"id\":\"x\"}",
            .message = "{\"content\":\"a  b\",\"reactions\":{\"👍\":1}}",
            .seq = 5,
            .sender_id = LEE,
            .emoji = "👍",
            .added = kind == EVENT_REACTION,
            .reads = moves,
            .read_count = 2,
            .status = 403,
            .retry_after_s = 4,
            .code = "blocked",
            .detail = "One of you",
            .last_seq = 6,
        };
        struct chat_event out;
        struct err err = {0};
        AUTO_STR bytes;
        str_init(&bytes);
        event_encode(&bytes, &in);
        REQUIRE_OK(decode_event(arena, bytes.bytes, &out, &err), &err);
        EXPECT_I64(kind, out.kind);
        EXPECT_TEXT(in.room_id, out.room_id);
        EXPECT_TEXT(in.room_kind, out.room_kind);
        EXPECT_I64(in.rev, out.rev);
        EXPECT_TEXT(in.at, out.at);
        EXPECT_TEXT(in.by, out.by);
        EXPECT_TEXT(in.manager, out.manager);
        EXPECT_I64(1, out.user_ids.count);
        EXPECT_TEXT(LEE, out.user_ids.items[0]);
        EXPECT_TEXT(in.room, out.room);
        EXPECT_TEXT(in.message, out.message);
        EXPECT_I64(in.seq, out.seq);
        EXPECT_TEXT(in.sender_id, out.sender_id);
        EXPECT_TEXT(in.emoji, out.emoji);
        EXPECT(in.added == out.added);
        REQUIRE(out.read_count == 2);
        EXPECT_TEXT(LEE, out.reads[1].user_id);
        EXPECT_I64(4, out.reads[1].from);
        EXPECT_I64(5, out.reads[1].to);
        EXPECT_I64(403, out.status);
        EXPECT_I64(4, out.retry_after_s);
        EXPECT_TEXT("blocked", out.code);
        EXPECT_TEXT("One of you", out.detail);
        EXPECT_I64(6, out.last_seq);
    }
}

TEST(what_is_absent_stays_absent_and_the_unknown_is_skipped, "")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct command command;
    struct chat_event event;
    struct err err = {0};
    REQUIRE_OK(decode_command(arena,
                              "{\"v\":9,\"id\":\"00000000-0000-7000-8000-0000000000D1\",\"kind\":\"close\",\"new\":[1],"
                              "\"room_id\":\"00000000-0000-7000-8000-00000000000A\"}",
                              &command, &err),
               &err);
    EXPECT_TEXT(ROOM, command.room_id); /* lower-cased */
    EXPECT(!command.user_id && !command.title && !command.content && !command.marks && command.user_ids.count == 0);
    EXPECT_I64(0, command.seq + command.reply_to);
    REQUIRE_OK(decode_event(arena,
                            "{\"kind\":\"verdict\",\"room_id\":\"00000000-0000-7000-8000-00000000000a\",\"later\":{}}",
                            &event, &err),
               &err);
    EXPECT(!event.message && !event.room && !event.by && event.rev == 0 && event.status == 0);
}

#define COMMAND_HEAD                                                                                                   \
    "{\"id\":\"00000000-0000-7000-8000-0000000000d1\",\"room_id\":\"00000000-0000-7000-8000-00000000000a\","
#define USER "\"user_id\":\"00000000-0000-7000-8000-0000000000b1\","
#define MESSAGE "\"message_id\":\"00000000-0000-7000-8000-0000000000b1\","

TEST(what_no_command_can_be_is_refused, "M-52")
{
    static const char *const POISON[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"kind\":\"close\"}",
        COMMAND_HEAD "\"kind\":\"explode\"}",
        COMMAND_HEAD "\"kind\":7}",
        COMMAND_HEAD "\"kind\":\"create\",\"room_kind\":\"cave\"}",
        COMMAND_HEAD "\"kind\":\"create\"}",
        COMMAND_HEAD USER "\"kind\":\"add\"}",
        COMMAND_HEAD USER "\"kind\":\"add\",\"user_ids\":[\"kim\"]}",
        COMMAND_HEAD USER "\"kind\":\"remove\"}",
        COMMAND_HEAD "\"kind\":\"leave\"}",
        COMMAND_HEAD USER "\"kind\":\"title\"}",
        COMMAND_HEAD USER "\"kind\":\"send\",\"content\":\"a\",\"message_kind\":\"text\",\"client_id\":\"c\"}",
        COMMAND_HEAD USER MESSAGE "\"kind\":\"send\",\"content\":\"a\",\"message_kind\":\"text\"}",
        COMMAND_HEAD USER MESSAGE "\"kind\":\"send\",\"content\":\"a\",\"message_kind\":\"text\",\"client_id\":\"\"}",
        COMMAND_HEAD USER MESSAGE "\"kind\":\"send\",\"content\":1,\"message_kind\":\"text\",\"client_id\":\"c\"}",
        COMMAND_HEAD USER "\"kind\":\"edit\",\"content\":\"a\"}",
        COMMAND_HEAD USER "\"kind\":\"edit\",\"content\":\"a\",\"seq\":0}",
        COMMAND_HEAD USER "\"kind\":\"edit\",\"content\":\"a\",\"seq\":1.5}",
        COMMAND_HEAD USER "\"kind\":\"delete\",\"seq\":-1}",
        COMMAND_HEAD USER "\"kind\":\"react\",\"seq\":1}",
        COMMAND_HEAD USER "\"kind\":\"read\"}",
        COMMAND_HEAD USER "\"kind\":\"read\",\"marks\":[]}",
        COMMAND_HEAD USER "\"kind\":\"read\",\"marks\":{}}",
        COMMAND_HEAD USER "\"kind\":\"read\",\"marks\":[7]}",
        COMMAND_HEAD USER "\"kind\":\"read\",\"marks\":[{\"user_id\":\"kim\",\"seq\":1}]}",
        COMMAND_HEAD USER
        "\"kind\":\"read\",\"marks\":[{\"user_id\":\"00000000-0000-7000-8000-0000000000b1\",\"seq\":-1}]}",
        COMMAND_HEAD USER
        "\"kind\":\"read\",\"marks\":[{\"user_id\":\"00000000-0000-7000-8000-0000000000b1\",\"seq\":1e300}]}",
        COMMAND_HEAD USER "\"kind\":\"close\"} ,",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(POISON); i++) {
        AUTO(arena) arena = arena_open(1 << 20);
        struct command command;
        struct err err = {0};
        EXPECT(
            test_check(!decode_command(arena, POISON[i], &command, &err), __FILE__, __LINE__, "taken: %s", POISON[i]) &&
            err_is(&err, &ERR_BAD_INPUT));
    }
}

static void send_of(struct str *out, const char *letter, int letters, int marks, int ids)
{
    AUTO_STR content;
    str_init(&content);
    for (int i = 0; i < letters; i++)
        str_add(&content, letter);
    struct mark *list = mem_new((size_t)marks + 1, sizeof *list);
    const char **people = mem_new((size_t)ids + 1, sizeof *people);
    for (int i = 0; i < marks; i++)
        list[i] = (struct mark){KIM, i};
    for (int i = 0; i < ids; i++)
        people[i] = LEE;
    struct command command = {.kind = COMMAND_SEND,
                              .room_id = ROOM,
                              .user_id = KIM,
                              .client_id = "c",
                              .message_id = ROOM,
                              .message_kind = "text",
                              .content = content.bytes,
                              .marks = list,
                              .mark_count = (size_t)marks,
                              .user_ids = {people, (size_t)ids}};
    command_encode(out, &command);
    free(list);
    free(people);
}

static bool send_is_taken(const char *letter, int letters, int marks, int ids)
{
    AUTO(arena) arena = arena_open(4 << 20);
    AUTO_STR bytes;
    struct command command;
    struct err err = {0};
    str_init(&bytes);
    send_of(&bytes, letter, letters, marks, ids);
    return decode_command(arena, bytes.bytes, &command, &err);
}

TEST(texts_marks_and_ids_are_bounded, "P-28")
{
    EXPECT(send_is_taken("가", CONTENT_MAX, 0, 0));
    EXPECT(send_is_taken("👋", CONTENT_MAX, 0, 0));
    EXPECT(!send_is_taken("a", CONTENT_MAX + 1, 0, 0));
    EXPECT(send_is_taken("a", 1, MARKS_MAX, 0));
    EXPECT(!send_is_taken("a", 1, MARKS_MAX + 1, 0));
    EXPECT(send_is_taken("a", 1, 0, GROUP_MEMBERS_MAX));
    EXPECT(!send_is_taken("a", 1, 0, GROUP_MEMBERS_MAX + 1));
    EXPECT(send_is_taken("👋", CONTENT_MAX, MARKS_MAX, GROUP_MEMBERS_MAX));
}

TEST(what_no_event_can_be_is_refused, "")
{
#define EVENT_HEAD "{\"room_id\":\"00000000-0000-7000-8000-00000000000a\","
    static const char *const POISON[] = {
        "",
        "{}",
        EVENT_HEAD "\"kind\":\"later\"}",
        EVENT_HEAD "\"kind\":\"message\",\"message\":[]}",
        EVENT_HEAD "\"kind\":\"message\",\"message\":\"{}\"}",
        EVENT_HEAD "\"kind\":\"room\",\"room\":7}",
        EVENT_HEAD "\"kind\":\"room\",\"rev\":-1}",
        EVENT_HEAD "\"kind\":\"read\",\"reads\":[{\"user_id\":\"00000000-0000-7000-8000-0000000000b1\",\"from\":1}]}",
        EVENT_HEAD "\"kind\":\"joined\",\"user_ids\":[\"\"]}",
        EVENT_HEAD "\"kind\":\"message\",\"by\":\"kim\"}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(POISON); i++) {
        AUTO(arena) arena = arena_open(1 << 20);
        struct chat_event event;
        struct err err = {0};
        EXPECT(test_check(!decode_event(arena, POISON[i], &event, &err), __FILE__, __LINE__, "taken: %s", POISON[i]) &&
               err_is(&err, &ERR_BAD_INPUT));
    }
}
