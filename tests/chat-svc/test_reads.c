/* What is read: catch-up, unread, lists of rooms, pages of messages, search. Real PostgreSQL. */
#include "reads_kit.h"

static bool has(const char *json, const char *piece)
{
    return test_check(strstr(json, piece) != NULL, __FILE__, __LINE__, "no %s in %s", piece, json);
}

/* ---- catch-up ---- */

struct catching {
    struct arena *arena;
    struct catch_up caught;
    struct err err;
    bool ok;
};

static void catching_release(struct catching **catching)
{
    arena_release(&(*catching)->arena);
    free(*catching);
    *catching = NULL;
}

static struct catching *catch_up(const struct id *in, const struct id *who, int64_t after, int64_t rev, int limit)
{
    struct catching *catching = MEM_NEW(catching);
    catching->arena = arena_open(1 << 24);
    catching->ok = store_catch_up(database(), catching->arena, in->text, who->text, after, rev, limit,
                                  &catching->caught, &catching->err);
    return catching;
}

TEST(catch_up_replays_what_was_missed, "P-29 P-30")
{
    const struct id mina = person("mina"), juno = person("juno"), in = room("dm");
    join(&in, &mina, 0);
    join(&in, &juno, 0);
    for (int i = 1; i <= 5; i++)
        (void)say(&in, &mina, "hello");
    AUTO(catching) two = catch_up(&in, &juno, 3, -1, 500);
    REQUIRE_OK(two->ok, &two->err);
    EXPECT(!two->caught.reload);
    EXPECT_I64(5, two->caught.last_seq);
    EXPECT_I64(5, two->caught.rev);
    EXPECT_I64(0, two->caught.read_seq);
    REQUIRE(two->caught.count == 2);
    EXPECT_I64(4, two->caught.messages[0].seq);
    EXPECT_I64(5, two->caught.messages[1].seq);
    EXPECT(!two->caught.messages[0].changed);
    has(two->caught.messages[0].message, "\"unread_by\":2");
    has(two->caught.messages[0].message, "\"nickname\":\"mina\"");

    AUTO(catching) none = catch_up(&in, &juno, 5, 5, 500);
    EXPECT(none->ok && !none->caught.reload && none->caught.count == 0);
    AUTO(catching) live = catch_up(&in, &juno, -1, -1, 500);
    EXPECT(live->ok && !live->caught.reload && live->caught.count == 0);
}

TEST(catch_up_beyond_the_limit_says_reload, "P-30")
{
    const struct id mina = person("mina"), in = room("group");
    join(&in, &mina, 0);
    for (int i = 0; i < 6; i++)
        (void)say(&in, &mina, "x");
    AUTO(catching) fits = catch_up(&in, &mina, 1, 6, 5);
    EXPECT(fits->ok && !fits->caught.reload);
    EXPECT_I64(5, fits->caught.count);
    AUTO(catching) more = catch_up(&in, &mina, 0, 6, 5);
    EXPECT(more->ok && more->caught.reload);
    EXPECT_I64(0, more->caught.count);
    AUTO(catching) changes = catch_up(&in, &mina, 6, 0, 5); /* six older messages "changed" since revision 0 */
    EXPECT(changes->ok && changes->caught.reload && changes->caught.count == 0);
}

TEST(catch_up_of_what_is_not_kept_or_never_was_says_reload, "P-30")
{
    const struct id mina = person("mina"), in = room("global");
    for (int i = 0; i < 4; i++)
        (void)say(&in, &mina, "x");
    (void)test_sql("DELETE FROM messages WHERE room_id = '%s' AND seq <= 2", in.text);
    AUTO(catching) gone = catch_up(&in, &mina, 1, -1, 500);
    EXPECT(gone->ok && gone->caught.reload && gone->caught.count == 0);
    AUTO(catching) kept = catch_up(&in, &mina, 2, -1, 500);
    EXPECT(kept->ok && !kept->caught.reload && kept->caught.count == 2);
    has(kept->caught.messages[0].message, "\"sender\"");
    EXPECT(!strstr(kept->caught.messages[0].message, "unread_by")); /* rooms for everybody have no marks */
    AUTO(catching) future = catch_up(&in, &mina, 9, -1, 500);
    EXPECT(future->ok && future->caught.reload);
    AUTO(catching) revision = catch_up(&in, &mina, 4, 99, 500);
    EXPECT(revision->ok && revision->caught.reload);
}

TEST(catch_up_by_revision_brings_later_changes_of_older_messages, "P-30")
{
    const struct id mina = person("mina"), in = room("group");
    join(&in, &mina, 0);
    for (int i = 0; i < 3; i++)
        (void)say(&in, &mina, "before");
    edit(&in, 2, "after");        /* rev 4 */
    (void)say(&in, &mina, "new"); /* seq 4, rev 5 */
    AUTO(catching) both = catch_up(&in, &mina, 3, 3, 500);
    REQUIRE(both->ok && both->caught.count == 2);
    EXPECT_I64(2, both->caught.messages[0].seq);
    EXPECT_I64(4, both->caught.messages[0].rev);
    EXPECT(both->caught.messages[0].changed);
    has(both->caught.messages[0].message, "\"content\":\"after\"");
    has(both->caught.messages[0].message, "\"edited_at\"");
    EXPECT_I64(4, both->caught.messages[1].seq);
    EXPECT(!both->caught.messages[1].changed);
    AUTO(catching) knows = catch_up(&in, &mina, 4, 5, 500);
    EXPECT(knows->ok && knows->caught.count == 0 && !knows->caught.reload);
}

TEST(catch_up_is_for_members_only, "P-27 S-46")
{
    const struct id mina = person("mina"), stranger = person("stranger"), in = room("group"), nowhere = new_id();
    join(&in, &mina, 0);
    AUTO(catching) refused = catch_up(&in, &stranger, 0, 0, 500);
    EXPECT(!refused->ok);
    EXPECT_PROBLEM("not_found", &refused->err);
    AUTO(catching) unknown = catch_up(&nowhere, &mina, 0, 0, 500);
    EXPECT(!unknown->ok);
    EXPECT_PROBLEM("not_found", &unknown->err);
}

/* ---- a user's rooms and friends; unread ---- */

static void relate(const struct id *one, const struct id *two, bool friend, const char *blocked_by)
{
    const bool in_order = strcmp(one->text, two->text) < 0;
    (void)test_sql("INSERT INTO relations VALUES ('%s', '%s', %s, '{%s}', 1)", in_order ? one->text : two->text,
                   in_order ? two->text : one->text, friend ? "true" : "false", blocked_by);
}

TEST(a_user_has_rooms_and_friends, "P-36")
{
    AUTO(arena) arena = arena_open(1 << 20);
    const struct id mina = person("mina"), juno = person("juno"), hana = person("hana"), dohyun = person("dohyun"),
                    in = room("dm"), other = room("group");
    struct live_user user;
    struct err err = {0};
    relate(&mina, &juno, true, "");
    relate(&hana, &mina, false, mina.text);
    relate(&juno, &dohyun, true, "");
    join(&in, &mina, 0);
    join(&other, &juno, 0);
    (void)say(&in, &mina, "x");
    (void)test_sql("UPDATE members SET muted = true, hidden = true WHERE room_id = '%s'", in.text);
    REQUIRE_OK(store_live_user(database(), arena, mina.text, &user, &err), &err);
    REQUIRE(user.room_count == 1 && user.friend_count == 1);
    EXPECT_TEXT(juno.text, user.friends[0]);
    EXPECT_TEXT(in.text, user.rooms[0].room_id);
    EXPECT(user.rooms[0].muted && user.rooms[0].hidden && user.rooms[0].kind == ROOM_DM);
    EXPECT_I64(1, user.rooms[0].last_seq);
    EXPECT_I64(0, user.rooms[0].read_seq);
}

TEST(unread_of_many_at_once, "P-33")
{
    AUTO(arena) arena = arena_open(1 << 20);
    const struct id mina = person("mina"), juno = person("juno"), stranger = person("stranger"), in = room("group"),
                    hidden = room("dm");
    struct unread_row *rows;
    struct err err = {0};
    join(&in, &mina, 0);
    join(&in, &juno, 2);
    join(&hidden, &mina, 0);
    for (int i = 0; i < 3; i++)
        (void)say(&in, &mina, "x");
    (void)say(&hidden, &mina, "x");
    (void)test_sql("UPDATE members SET hidden = true WHERE room_id = '%s'", hidden.text);
    const char *users[] = {juno.text, mina.text, stranger.text, mina.text},
               *rooms[] = {in.text, in.text, in.text, hidden.text};
    REQUIRE_OK(store_unread_of(database(), arena, users, rooms, 4, &rows, &err), &err);
    EXPECT_I64(1, rows[0].unread);
    EXPECT_I64(3, rows[1].unread);
    EXPECT_I64(0, rows[2].unread);
    EXPECT_I64(0, rows[3].unread);
    EXPECT_TEXT(juno.text, rows[0].user_id);
    REQUIRE_OK(store_unread_of(database(), arena, NULL, NULL, 0, &rows, &err), &err);
}

/* ---- lists of rooms ---- */

TEST(rooms_are_listed_by_last_activity_page_by_page, "P-26 M-50")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina");
    struct id rooms[7];
    struct err err = {0};
    bool kinds[ROOM_KINDS] = {[ROOM_GROUP] = true, [ROOM_DM] = true};
    for (int i = 0; i < 7; i++) {
        rooms[i] = room(i % 2 ? "group" : "dm");
        join(&rooms[i], &mina, 0);
    }
    /* All at the same microsecond but two: ties are broken by id and none is lost. */
    (void)test_sql("UPDATE rooms SET active_at = '2026-01-01T00:00:00.123456Z' WHERE id IN (SELECT room_id FROM "
                   "members WHERE user_id = '%s')",
                   mina.text);
    (void)say(&rooms[2], &mina, "newest but one");
    (void)say(&rooms[5], &mina, "newest");
    size_t seen = 0;
    struct cursor after;
    const struct cursor *at = NULL;
    char last[UUID_TEXT_BYTES] = "";
    for (size_t count = 3; count == 3;) {
        struct seen_room *page;
        REQUIRE_OK(store_rooms(database(), arena, mina.text, kinds, at, 3, &page, &count, &err), &err);
        for (size_t i = 0; i < count; i++, seen++) {
            if (seen == 0)
                EXPECT_TEXT(rooms[5].text, page[i].room.id);
            if (seen == 1)
                EXPECT_TEXT(rooms[2].text, page[i].room.id);
            EXPECT((page[i].view.last_message != NULL) == (seen < 2));
            EXPECT(seen <= 2 || strcmp(page[i].room.id, last) < 0);
            EXPECT_I64(1, page[i].view.member_count);
            memcpy(last, page[i].room.id, sizeof last);
            after = (struct cursor){.number = page[i].active_us};
            memcpy(after.id, page[i].room.id, sizeof after.id);
        }
        at = &after;
    }
    EXPECT_I64(7, seen);
}

TEST(hidden_rooms_are_not_listed_and_open_rooms_only_when_asked_for, "P-26")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina"), in = room("dm"), company = room("company"), closed = room("company");
    struct err err = {0};
    struct seen_room *page;
    size_t count;
    join(&in, &mina, 0);
    (void)test_sql("UPDATE members SET hidden = true WHERE room_id = '%s'", in.text);
    (void)test_sql("UPDATE rooms SET closed_at = now() WHERE id = '%s'", closed.text);
    const bool own[ROOM_KINDS] = {[ROOM_DM] = true, [ROOM_GROUP] = true, [ROOM_MEETUP] = true},
               open[ROOM_KINDS] = {[ROOM_COMPANY] = true};
    REQUIRE_OK(store_rooms(database(), arena, mina.text, own, NULL, 10, &page, &count, &err), &err);
    EXPECT_I64(0, count);
    REQUIRE_OK(store_rooms(database(), arena, mina.text, open, NULL, 10, &page, &count, &err), &err);
    REQUIRE(count == 1);
    EXPECT_TEXT(company.text, page[0].room.id);
}

TEST(a_room_lists_at_most_a_hundred_members, "P-26 I9")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina"), in = room("meetup");
    struct seen_room seen;
    struct err err = {0};
    join(&in, &mina, 0);
    (void)test_sql("INSERT INTO members (room_id, user_id, joined_at, read_seq) SELECT '%s', gen_random_uuid(), now(), "
                   "0 FROM generate_series(1, 150);"
                   "UPDATE rooms SET member_count = 151 WHERE id = '%s'",
                   in.text, in.text);
    REQUIRE_OK(store_room(database(), arena, in.text, mina.text, &seen, &err), &err);
    EXPECT_I64(ROOM_MEMBERS_SHOWN, seen.view.member_count);
    EXPECT_I64(151, seen.room.member_count);
    EXPECT_TEXT("mina", seen.view.members[0].person.nickname);
}

/* ---- pages of messages ---- */

TEST(unread_by_is_computed_as_in_the_worked_example, "M-47 M-64 M-65")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id in = room("group");
    struct id members[5];
    struct err err = {0};
    struct seen_message *messages;
    size_t count;
    for (int i = 0; i < 5; i++)
        members[i] = person("member");
    /* Three have the room open (their marks are at the end), one closed it after 10, one after 7. */
    const int64_t marks[5] = {11, 11, 11, 10, 7};
    for (int i = 0; i < 5; i++)
        join(&in, &members[i], marks[i]);
    for (int i = 1; i <= 11; i++)
        (void)say(&in, &members[0], "x");
    const struct history_wish wish = {
        .room_id = in.text, .viewer_id = members[4].text, .forwards = true, .edge = 0, .limit = 50};
    REQUIRE_OK(store_history(database(), arena, &wish, &messages, &count, &err), &err);
    REQUIRE(count == 11);
    for (size_t i = 0; i < count; i++)
        EXPECT_I64(messages[i].message.seq <= 7    ? 0
                   : messages[i].message.seq <= 10 ? 1
                                                   : 2,
                   messages[i].view.unread_by);
}

TEST(history_is_stable_while_new_messages_come, "P-31 M-51")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina"), stranger = person("stranger"), in = room("group");
    struct err err = {0};
    struct seen_message *messages;
    size_t count;
    struct history_wish wish = {.room_id = in.text, .viewer_id = mina.text, .edge = INT64_MAX, .limit = 4};
    join(&in, &mina, 0);
    REQUIRE_OK(store_history(database(), arena, &wish, &messages, &count, &err), &err);
    EXPECT_I64(0, count); /* an empty room is no unknown room */
    for (int i = 0; i < 10; i++)
        (void)say(&in, &mina, "x");
    int64_t expected = 10;
    do {
        REQUIRE_OK(store_history(database(), arena, &wish, &messages, &count, &err), &err);
        for (size_t i = 0; i < count; i++)
            EXPECT_I64(expected--, messages[i].message.seq);
        if (count > 0)
            wish.edge = messages[count - 1].message.seq;
        (void)say(&in, &mina, "meanwhile");
    } while (count == 4);
    EXPECT_I64(0, expected);
    wish.viewer_id = stranger.text;
    EXPECT(!store_history(database(), arena, &wish, &messages, &count, &err));
    EXPECT_PROBLEM("not_found", &err);
}

/* ---- search ---- */

static size_t found(const struct id *who, const struct id *in, const char *query, struct candidate **out,
                    struct arena *arena)
{
    struct texts rooms;
    struct err err = {0};
    size_t count = 0;
    const bool good = store_search_rooms(database(), arena, who->text, in ? in->text : NULL, &rooms, &err) &&
                      store_search(database(), arena, who->text, &rooms, query, NULL, 50, out, &count, &err);
    (void)test_check(good, __FILE__, __LINE__, "search: %s %s", err.message, err.detail);
    return count;
}

TEST(search_finds_two_syllables_in_own_rooms_only, "P-31")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina"), juno = person("juno"), in = room("dm"), other = room("group"),
                    foreign = room("group");
    struct candidate *hits;
    join(&in, &mina, 0);
    join(&other, &mina, 0);
    join(&foreign, &juno, 0);
    (void)say(&in, &mina, "오늘 저녁에 만나요");
    (void)say(&in, &mina, "점심은 먹었어?");
    (void)say(&other, &mina, "저녁 약속");
    (void)say(&foreign, &juno, "저녁 비밀");
    REQUIRE(found(&mina, NULL, "저녁", &hits, arena) == 2);
    EXPECT_TEXT("저녁 약속", hits[0].seen.message.content); /* newest first */
    EXPECT_TEXT("오늘 저녁에 만나요", hits[1].seen.message.content);
    EXPECT_I64(1, found(&mina, &in, "저녁", &hits, arena));
    EXPECT_I64(0, found(&mina, NULL, "아침", &hits, arena));
    EXPECT_I64(0, found(&juno, NULL, "점심", &hits, arena));
    (void)test_sql("UPDATE messages SET deleted_at = now() WHERE room_id = '%s' AND seq = 1", in.text);
    EXPECT_I64(0, found(&mina, &in, "저녁", &hits, arena));

    struct texts rooms;
    struct err err = {0};
    EXPECT(!store_search_rooms(database(), arena, mina.text, foreign.text, &rooms, &err));
    EXPECT_PROBLEM("not_found", &err);
}

TEST(search_pages_lose_nothing_where_times_are_the_same, "P-31")
{
    AUTO(arena) arena = arena_open(1 << 22);
    const struct id mina = person("mina"), in = room("dm"), other = room("group");
    struct texts rooms;
    struct err err = {0};
    struct cursor after;
    const struct cursor *at = NULL;
    size_t count, seen = 0;
    join(&in, &mina, 0);
    join(&other, &mina, 0);
    for (int i = 0; i < 5; i++) {
        (void)say(&in, &mina, "같은 때");
        (void)say(&other, &mina, "같은 때");
    }
    (void)test_sql("UPDATE messages SET at = '2026-01-01T00:00:00.5Z' WHERE room_id IN ('%s', '%s')", in.text,
                   other.text);
    REQUIRE_OK(store_search_rooms(database(), arena, mina.text, NULL, &rooms, &err), &err);
    do {
        struct candidate *hits;
        REQUIRE_OK(store_search(database(), arena, mina.text, &rooms, "같은", at, 3, &hits, &count, &err), &err);
        for (size_t i = 0; i < count; i++, seen++) {
            after = (struct cursor){.number = hits[i].at_us, .seq = hits[i].seen.message.seq};
            memcpy(after.id, hits[i].seen.message.room_id, sizeof after.id);
            EXPECT_I64(5 - (int64_t)seen % 5, hits[i].seen.message.seq); /* one room, then the other */
        }
        at = &after;
    } while (count == 3);
    EXPECT_I64(10, seen);
}
