/* What follows from messages, beside the rows: pushes, search, files, rooms for everybody, people who go. On real
 * PostgreSQL and Kafka. */
#include "owner_kit.h"
#include "tokens.h"

static int64_t pushes_to(const char *user, const char *room)
{
    return kit_number("SELECT count(*) FROM outbox WHERE topic = 'push.requests' AND key = '%s' AND "
                      "payload::json->'data'->>'room_id' = '%s'",
                      user, room);
}

static const char *push_member(const char *user, const char *member)
{
    static char sql[300];
    (void)snprintf(
        sql, sizeof sql,
        "SELECT payload::json->>'%s' FROM outbox WHERE topic = 'push.requests' AND key = '%s' ORDER BY id DESC LIMIT 1",
        member, user);
    return test_sql("%s", sql);
}

static const char *dm_of(struct kit *kit, const char *one, const char *other)
{
    const char *room = kit_id(kit), *others[] = {other};
    const struct command command = {
        .kind = COMMAND_CREATE, .room_id = room, .user_id = one, .room_kind = "dm", .user_ids = {others, 1}};
    EXPECT_TEXT("", kit_do(kit, &command, NULL));
    return room;
}

/* ---- pushes ---- */

TEST(a_push_names_the_sender_and_says_what_was_said, "P-39")
{
    struct kit *kit = kit_open();
    const char *kim = kit_person(kit, "kim"), *lee = kit_person(kit, "lee");
    kit_relation(kit, kim, lee, true, NULL);
    const char *room = dm_of(kit, kim, lee);
    struct command send = kit_send(kit, room, kim, "밥 먹었어?");
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &send, &answer));
    EXPECT_I64(1, pushes_to(lee, room));
    EXPECT_I64(0, pushes_to(kim, room));
    EXPECT_TEXT("kim", push_member(lee, "title"));
    EXPECT_TEXT("밥 먹었어?", push_member(lee, "body"));
    EXPECT_TEXT(room, push_member(lee, "collapse_key"));
    EXPECT_TEXT("86400", push_member(lee, "ttl_seconds"));
    EXPECT_TEXT("chat", push_member(lee, "source"));
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%s:1", room);
    EXPECT_TEXT(expected, push_member(lee, "dedupe_id"));
    EXPECT_TEXT("", kit_do(kit, &send, &answer)); /* a repeat is no second push */
    EXPECT_I64(1, pushes_to(lee, room));
}

TEST(a_push_is_cut_and_names_the_group, "P-39")
{
    struct kit *kit = kit_open();
    const char *people[] = {kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "park")};
    kit_all_friends(kit, people, 3);
    const char *room = kit_group(kit, people, 3);
    const struct command title = {.kind = COMMAND_TITLE, .room_id = room, .user_id = people[0], .title = "점심"};
    EXPECT_TEXT("", kit_do(kit, &title, NULL));
    AUTO_STR words;
    str_init(&words);
    for (int i = 0; i < 300; i++)
        str_add(&words, "é");
    const struct command send = kit_send(kit, room, people[0], words.bytes);
    EXPECT_TEXT("", kit_do(kit, &send, NULL));
    EXPECT_TEXT("점심 · kim", push_member(people[1], "title"));
    EXPECT_I64(200 * 2, strlen(push_member(people[1], "body")));
    EXPECT_I64(1, pushes_to(people[2], room));
}

TEST(who_mutes_or_blocks_or_is_online_gets_no_push, "P-37 P-39 P-42")
{
    struct kit *kit = kit_open();
    const char *people[] = {kit_person(kit, "kim"),    kit_person(kit, "muter"),   kit_person(kit, "blocker"),
                            kit_person(kit, "online"), kit_person(kit, "blocked"), kit_person(kit, "other")};
    kit_all_friends(kit, people, 6);
    const char *room = kit_group(kit, people, 6);
    (void)test_sql("UPDATE members SET muted = true WHERE room_id = '%s' AND user_id = '%s'", room, people[1]);
    kit_relation(kit, people[2], people[0], false, people[2]);
    kit_online(kit, people[3]);
    kit_relation(kit, people[4], people[0], false, people[0]); /* kim blocks: that says nothing about who hears kim */
    const struct command send = kit_send(kit, room, people[0], "hello");
    EXPECT_TEXT("", kit_do(kit, &send, NULL));
    static const int EXPECTED[] = {0, 0, 0, 0, 1, 1};
    for (int i = 0; i < 6; i++)
        EXPECT_I64(EXPECTED[i], pushes_to(people[i], room));
    EXPECT_TEXT("true",
                test_sql("SELECT muted::text FROM members WHERE room_id = '%s' AND user_id = '%s'", room, people[1]));
}

/* ---- search ---- */

static int64_t found(struct kit *kit, const char *room, const char *words)
{
    size_t count;
    const int64_t *tokens = tokens_of(kit->arena, room, words, &count);
    AUTO_STR list;
    str_init(&list);
    for (size_t i = 0; i < count; i++)
        str_printf(&list, "%s%lld", i ? "," : "", (long long)tokens[i]);
    return atoll(test_sql("SELECT count(*) FROM message_search WHERE tokens @> '{%s}'::bigint[]", list.bytes));
}

TEST(words_are_found_in_their_own_room_until_they_go, "P-31")
{
    struct kit *kit = kit_open();
    const char *kim = kit_person(kit, "kim"), *lee = kit_person(kit, "lee"), *park = kit_person(kit, "park");
    kit_relation(kit, kim, lee, true, NULL);
    kit_relation(kit, kim, park, true, NULL);
    const char *room = dm_of(kit, kim, lee), *other = dm_of(kit, kim, park);
    const struct command send = kit_send(kit, room, kim, "내일 점심은 ＰＩＺＺＡ 어때?");
    EXPECT_TEXT("", kit_do(kit, &send, NULL));
    EXPECT_I64(1, found(kit, room, "점심"));
    EXPECT_I64(1, found(kit, room, "pizza")); /* folded */
    EXPECT_I64(0, found(kit, room, "저녁"));
    EXPECT_I64(0, found(kit, other, "점심"));
    const struct command edit = {
        .kind = COMMAND_EDIT, .room_id = room, .user_id = kim, .seq = 1, .content = "내일 저녁은?"};
    EXPECT_TEXT("", kit_do(kit, &edit, NULL));
    EXPECT_I64(0, found(kit, room, "점심"));
    EXPECT_I64(1, found(kit, room, "저녁"));
    const struct command delete = {.kind = COMMAND_DELETE, .room_id = room, .user_id = kim, .seq = 1};
    EXPECT_TEXT("", kit_do(kit, &delete, NULL));
    EXPECT_I64(0, found(kit, room, "저녁"));
    EXPECT_TEXT("", test_sql("SELECT content FROM messages WHERE room_id = '%s'", room));
}

/* ---- reactions and files ---- */

TEST(reactions_stand_in_the_tables_as_they_were_told, "P-28")
{
    struct kit *kit = kit_open();
    const char *kim = kit_person(kit, "kim"), *lee = kit_person(kit, "lee");
    kit_relation(kit, kim, lee, true, NULL);
    const char *room = dm_of(kit, kim, lee);
    const struct command send = kit_send(kit, room, kim, "done");
    (void)kit_add(kit, &send);
    struct command react = {.kind = COMMAND_REACT, .room_id = room, .user_id = lee, .seq = 1, .emoji = "🎉"};
    (void)kit_add(kit, &react); /* in the batch that makes the message */
    react.user_id = kim;
    (void)kit_add(kit, &react);
    REQUIRE(kit_apply(kit));
    EXPECT_TEXT("{\"🎉\": 2}", test_sql("SELECT reactions FROM messages WHERE room_id = '%s'", room));
    react.kind = COMMAND_UNREACT;
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &react, &answer));
    EXPECT(answer.kind == EVENT_REACTION && !answer.added);
    EXPECT_TEXT("{\"🎉\": 1}", test_sql("SELECT reactions FROM messages WHERE room_id = '%s'", room));
    EXPECT_TEXT(lee, test_sql("SELECT user_id FROM reactions WHERE room_id = '%s'", room));
    EXPECT_TEXT("", kit_do(kit, &react, &answer));
    EXPECT_I64(EVENT_VERDICT, answer.kind);
    const struct command delete = {.kind = COMMAND_DELETE, .room_id = room, .user_id = kim, .seq = 1};
    EXPECT_TEXT("", kit_do(kit, &delete, NULL));
    EXPECT_I64(0, kit_number("SELECT count(*) FROM reactions WHERE room_id = '%s'", room, ""));
}

TEST(a_file_belongs_to_one_message, "P-28")
{
    struct kit *kit = kit_open();
    const char *kim = kit_person(kit, "kim"), *lee = kit_person(kit, "lee"), *file = kit_id(kit);
    kit_relation(kit, kim, lee, true, NULL);
    const char *room = dm_of(kit, kim, lee);
    (void)test_sql(
        "INSERT INTO files (id, room_id, user_id, key, type, bytes) VALUES ('%s', '%s', '%s', 'k', 'image/png', 10)",
        file, room, kim);
    struct command send = kit_send(kit, room, kim, "");
    send.message_kind = "image";
    send.file_id = file;
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &send, &answer));
    EXPECT(answer.message && strstr(answer.message, file));
    EXPECT_TEXT("[사진]", push_member(lee, "body"));
    EXPECT_TEXT("true", test_sql("SELECT used::text FROM files WHERE id = '%s'", file));
    send.client_id = "again";
    EXPECT_TEXT("conflict", kit_do(kit, &send, NULL));
    const struct command delete = {.kind = COMMAND_DELETE, .room_id = room, .user_id = kim, .seq = 1};
    EXPECT_TEXT("", kit_do(kit, &delete, NULL));
    EXPECT_TEXT("false", test_sql("SELECT used::text FROM files WHERE id = '%s'", file));
}

/* ---- rooms for everybody ---- */

static const char GLOBAL[] = "00000000-0000-7000-8000-000000000001";

TEST(open_rooms_keep_their_last_hundred_without_search_and_push, "S-44")
{
    struct kit *kit = kit_open();
    for (int i = 0; i < 30; i++) {
        const char *somebody = kit_person(kit, "somebody");
        for (int j = 0; j < OPEN_BURST; j++) {
            const struct command send = kit_send(kit, GLOBAL, somebody, "hello all");
            (void)kit_add(kit, &send);
        }
    }
    REQUIRE(kit_apply(kit));
    EXPECT_I64(OPEN_KEPT, kit_number("SELECT count(*) FROM messages WHERE room_id = '%s'", GLOBAL, ""));
    EXPECT_I64(51, kit_number("SELECT min(seq) FROM messages WHERE room_id = '%s'", GLOBAL, ""));
    EXPECT_I64(150, kit_number("SELECT last_seq FROM rooms WHERE id = '%s'", GLOBAL, ""));
    EXPECT_I64(0, kit_number("SELECT count(*) FROM message_search WHERE room_id = '%s'", GLOBAL, ""));
    EXPECT_I64(0, kit_number("SELECT count(*) FROM outbox WHERE payload::json->'data'->>'room_id' = '%s'", GLOBAL, ""));
}

TEST(a_new_owner_counts_the_messages_of_the_last_seconds_alike, "S-44")
{
    struct kit *kit = kit_open();
    const char *kim = kit_person(kit, "kim");
    for (int i = 0; i < OPEN_BURST; i++) {
        const struct command send = kit_send(kit, GLOBAL, kim, "me!");
        EXPECT_TEXT("", kit_do(kit, &send, NULL));
    }
    struct command more = kit_send(kit, GLOBAL, kim, "me!");
    struct chat_event answer;
    EXPECT_TEXT("rate_limited", kit_do(kit, &more, &answer));
    EXPECT_I64(10, answer.retry_after_s);
    EXPECT_I64(429, answer.status);
    struct owner *former = kit->app.owner;
    kit->app.owner = kit_owner(kit);
    EXPECT_TEXT("rate_limited", kit_do(kit, &more, NULL));
    owner_release(&kit->app.owner);
    kit->app.owner = former;
    kit->now_ms += OPEN_BURST_MS;
    EXPECT_TEXT("", kit_do(kit, &more, NULL));
}

/* ---- members over batches ---- */

TEST(seats_follow_what_happened_in_and_between_batches, "P-23 P-25 M-64")
{
    struct kit *kit = kit_open();
    const char *people[] = {kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "park"),
                            kit_person(kit, "choi")};
    kit_all_friends(kit, people, 4);
    const char *room = kit_group(kit, people, 3);
    (void)test_sql("UPDATE members SET muted = true WHERE room_id = '%s' AND user_id = '%s'", room, people[0]);
    kit->now_ms += 1000;
    const struct command leave = {.kind = COMMAND_LEAVE, .room_id = room, .user_id = people[0]};
    const char *others[] = {people[0], people[3]};
    const struct command back = {.kind = COMMAND_ADD, .room_id = room, .user_id = people[1], .user_ids = {others, 2}};
    (void)kit_add(kit, &leave);
    (void)kit_add(kit, &back); /* leaves and is brought back in one batch */
    REQUIRE(kit_apply(kit));
    EXPECT_I64(4, kit_number("SELECT count(*) FROM members WHERE room_id = '%s'", room, ""));
    EXPECT_I64(4, kit_number("SELECT member_count FROM rooms WHERE id = '%s'", room, ""));
    EXPECT_TEXT(
        "false false 1",
        test_sql(
            "SELECT manager || ' ' || muted || ' ' || read_seq FROM members WHERE room_id = '%s' AND user_id = '%s'",
            room, people[0]));
    const char *manager = strcmp(people[1], people[2]) < 0 ? people[1] : people[2];
    EXPECT_TEXT(manager, test_sql("SELECT user_id FROM members WHERE room_id = '%s' AND manager", room));
    for (int i = 0; i < 4; i++) {
        const struct command go = {.kind = COMMAND_LEAVE, .room_id = room, .user_id = people[i]};
        EXPECT_TEXT("", kit_do(kit, &go, NULL));
    }
    EXPECT_I64(0, kit_number("SELECT count(*) FROM members WHERE room_id = '%s'", room, ""));
    EXPECT_I64(0, kit_number("SELECT count(*) FROM messages WHERE room_id = '%s'", room,
                             "")); /* an empty group keeps nothing */
    EXPECT_TEXT("true", test_sql("SELECT (closed_at IS NOT NULL)::text FROM rooms WHERE id = '%s'", room));
}

/* ---- copies ---- */

TEST(who_withdraws_leaves_groups_and_the_names_go, "P-06 M-06")
{
    struct kit *kit = kit_open();
    const char *people[] = {kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "park")};
    kit_all_friends(kit, people, 3);
    const char *room = kit_group(kit, people, 3), *dm = dm_of(kit, people[0], people[1]);
    kit_account(kit, people[0], "old news", "user", "ko", false, 0); /* an older version changes nothing */
    EXPECT_TEXT("kim", test_sql("SELECT nickname FROM people WHERE user_id = '%s'", people[0]));
    kit_account(kit, people[0], "kim", "user", "ko", true, 2);
    EXPECT_TEXT("", test_sql("SELECT nickname FROM people WHERE user_id = '%s'", people[0]));
    EXPECT_I64(1, kit_number("SELECT count(*) FROM outbox WHERE topic = 'chat.inbound' AND key = '%s' AND "
                             "payload::json->>'target' = '%s'",
                             room, people[0]));
    EXPECT_I64(0, kit_number("SELECT count(*) FROM outbox WHERE topic = 'chat.inbound' AND key = '%s'", dm, ""));
    const struct command gone = {.kind = COMMAND_REMOVE, .room_id = room, .target = people[0]};
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &gone, &answer));
    EXPECT(answer.kind == EVENT_LEFT && !answer.by && answer.manager);
    const struct command send = kit_send(kit, dm, people[1], "are you there?");
    EXPECT_TEXT("forbidden", kit_do(kit, &send, NULL));
}

TEST(profiles_and_accounts_meet_in_one_row, "P-08")
{
    struct kit *kit = kit_open();
    const char *kim = kit_id(kit);
    const char *profile = arena_printf(
        kit->arena, "{\"v\":1,\"kind\":\"profile\",\"user_id\":\"%s\",\"avatar_url\":\"/files/1\",\"version\":0}", kim);
    (void)kit_copy(kit, copies_profiles, "profiles", kim, profile);
    EXPECT_TEXT("guest ", test_sql("SELECT role || ' ' || nickname FROM people WHERE user_id = '%s'", kim));
    kit_account(kit, kim, "kim", "user", "ko", false, 1);
    EXPECT_TEXT("user kim /files/1",
                test_sql("SELECT role || ' ' || nickname || ' ' || avatar_url FROM people WHERE user_id = '%s'", kim));
    profile = arena_printf(
        kit->arena, "{\"v\":1,\"kind\":\"profile\",\"user_id\":\"%s\",\"avatar_url\":\"/files/2\",\"version\":1}", kim);
    (void)kit_copy(kit, copies_profiles, "profiles", kim, profile);
    EXPECT_TEXT("kim /files/2", test_sql("SELECT nickname || ' ' || avatar_url FROM people WHERE user_id = '%s'", kim));
}

TEST(of_several_versions_in_a_batch_the_newest_stays, "P-20")
{
    struct kit *kit = kit_open();
    const char *kim = kit_id(kit);
    struct kafka_record records[3];
    static const int VERSIONS[] = {4, 6, 5};
    for (int i = 0; i < 3; i++)
        records[i] = (struct kafka_record){
            .offset = 1000000 + i,
            .key = view_of(kim),
            .payload = view_of(
                arena_printf(kit->arena, "{\"user_id\":\"%s\",\"nickname\":\"n%d\",\"role\":\"user\",\"version\":%d}",
                             kim, VERSIONS[i], VERSIONS[i]))};
    const struct kafka_batch batch = {.topic = "accounts", .partition = 1, .records = records, .count = 3};
    struct err err = {0};
    REQUIRE_OK(copies_accounts(&kit->app, &batch, &err), &err);
    EXPECT_TEXT("n6", test_sql("SELECT nickname FROM people WHERE user_id = '%s'", kim));
}
