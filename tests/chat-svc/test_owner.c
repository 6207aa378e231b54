/* The owner on real PostgreSQL and Kafka: what a batch leaves in the tables and on chat.events, whatever is repeated,
 * interrupted or taken over. */
#include "lane.h"
#include "owner_kit.h"

static int64_t last_seq(const char *room)
{
    return kit_number("SELECT last_seq FROM rooms WHERE id = '%s'", room, "");
}

static int64_t messages_of(const char *room)
{
    return kit_number("SELECT count(*) FROM messages WHERE room_id = '%s'", room, "");
}

static size_t events_of(struct kit *kit, const char *room)
{
    size_t found = 0;
    for (size_t i = 0, there = test_reader_count(kit->events); i < there; i++)
        found += strcmp(test_reader_at(kit->events, i)->key, room) == 0;
    return found;
}

/* The revs of a room's events as they came: 0 when they are 1, 2, 3 ... without a hole; doubles are skipped as
 * receivers do. */
static int64_t first_hole(struct kit *kit, const char *room, int64_t *last)
{
    *last = 0;
    for (size_t i = 0, there = test_reader_count(kit->events); i < there; i++) {
        const struct test_record *record = test_reader_at(kit->events, i);
        struct chat_event event;
        struct err err = {0};
        if (strcmp(record->key, room) != 0 || !event_decode(kit->arena, view_of(record->payload), &event, &err) ||
            event.rev <= *last)
            continue;
        if (event.rev != *last + 1)
            return *last + 1;
        *last = event.rev;
    }
    return 0;
}

struct three {
    const char *people[3], *room;
};

static struct three three_of(struct kit *kit)
{
    struct three three = {{kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "박")}, NULL};
    kit_all_friends(kit, three.people, 3);
    three.room = kit_group(kit, three.people, 3);
    return three;
}

TEST(a_message_is_stored_told_and_answered, "P-22 P-28 P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct command send = kit_send(kit, three.room, three.people[0], "점심 먹자");
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &send, &answer));
    EXPECT_I64(EVENT_MESSAGE, answer.kind);
    EXPECT_I64(1, answer.seq);
    EXPECT_I64(2, answer.rev); /* 1: created */
    EXPECT_I64(1, answer.last_seq);
    EXPECT_TEXT(three.people[0], answer.sender_id);
    EXPECT(answer.message && strstr(answer.message, "\"nickname\":\"kim\"") &&
           strstr(answer.message, "\"unread_by\":2"));
    EXPECT(answer.message && strstr(answer.message, "점심 먹자") && strstr(answer.message, send.message_id));
    EXPECT_I64(1, last_seq(three.room));
    EXPECT_I64(1, kit_number("SELECT read_seq FROM members WHERE room_id = '%s' AND user_id = '%s'", three.room,
                             three.people[0]));
    EXPECT_I64(0, kit_number("SELECT read_seq FROM members WHERE room_id = '%s' AND user_id = '%s'", three.room,
                             three.people[1]));
    EXPECT_I64(4, kit_number("SELECT cardinality(tokens) FROM message_search WHERE room_id = '%s'", three.room, ""));
    EXPECT_I64(3, kit_number("SELECT member_count FROM rooms WHERE id = '%s'", three.room, ""));
}

TEST(a_repeated_client_id_is_one_message, "P-28")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct command send = kit_send(kit, three.room, three.people[0], "once");
    struct chat_event first, second;
    EXPECT_TEXT("", kit_do(kit, &send, &first));
    EXPECT_TEXT("", kit_do(kit, &send, &second)); /* in a later batch */
    EXPECT_I64(EVENT_VERDICT, second.kind);
    EXPECT_I64(200, second.status);
    EXPECT_TEXT(first.message, second.message);
    send.client_id = "twice";
    (void)kit_add(kit, &send);
    (void)kit_add(kit, &send); /* in one batch */
    REQUIRE(kit_apply(kit));
    EXPECT_I64(2, messages_of(three.room));
    struct command other = send; /* another sender's client_id is another message */
    other.user_id = three.people[1];
    EXPECT_TEXT("", kit_do(kit, &other, NULL));
    EXPECT_I64(3, messages_of(three.room));
}

TEST(a_batch_applied_twice_changes_nothing, "M-52")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    for (int i = 0; i < 20; i++) {
        const struct command send = kit_send(kit, three.room, three.people[i % 3], "hello");
        (void)kit_add(kit, &send);
    }
    const struct kafka_batch batch = kit_batch(kit);
    const size_t count = kit->count;
    REQUIRE(kit_apply(kit));
    EVENTUALLY(10000, events_of(kit, three.room) ==
                          1 + 20 + 19); /* created, messages, and marks: all but the first sender were behind */
    struct err err = {0};
    for (int again = 0; again < 3; again++)
        REQUIRE_OK(owner_apply(&kit->app, &batch, &err), &err);
    const struct kafka_batch part = {
        .topic = batch.topic, .partition = batch.partition, .records = batch.records + 7, .count = count - 7};
    REQUIRE_OK(owner_apply(&kit->app, &part, &err), &err);
    EXPECT_I64(20, messages_of(three.room));
    EXPECT_I64(20, last_seq(three.room));
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
    EXPECT_I64(40, last);
}

TEST(a_paused_former_owner_changes_nothing, "M-52")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct chat_app former = kit->app;
    former.owner = kit_owner(kit);
    struct command send = kit_send(kit, three.room, three.people[0], "by the new owner");
    (void)kit_add(kit, &send);
    const struct kafka_batch batch = kit_batch(kit);
    REQUIRE(kit_apply(kit)); /* the new owner was faster */
    struct err err = {0};
    const char *owner = arena_text(kit->arena, test_sql("SELECT owner FROM applied WHERE partition = 0"));
    REQUIRE_OK(owner_apply(&former, &batch, &err), &err);
    EXPECT_I64(1, messages_of(three.room));
    EXPECT_TEXT(owner, test_sql("SELECT owner FROM applied WHERE partition = 0"));
    send = kit_send(kit, three.room, three.people[1], "and it goes on");
    EXPECT_TEXT("", kit_do(kit, &send, NULL));
    EXPECT_I64(2, last_seq(three.room));
    owner_release(&former.owner);
}

/* A commit whose events were never sent: what a crash between the two leaves. */
static void commit_without_sending(struct kit *kit)
{
    struct err err = {0};
    struct chat_app dying = kit->app;
    dying.owner = kit_owner(kit);
    const struct kafka_batch batch = kit_batch(kit);
    REQUIRE_OK(owner_assigned(&dying, batch.topic, batch.partition, &err), &err); /* else it stops at what it finds */
    owner_mute(dying.owner, true);
    REQUIRE_OK(owner_apply(&dying, &batch, &err), &err);
    owner_release(&dying.owner);
}

TEST(a_new_owner_first_sends_what_was_left, "P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    kit->partition = 1; /* apart from the other tests' events */
    kit->offset += 1000;
    const struct command first = kit_send(kit, three.room, three.people[0], "left behind"),
                         second = kit_send(kit, three.room, three.people[0], "after");
    const char *corr = kit_add(kit, &first);
    commit_without_sending(kit);
    EXPECT_I64(1, messages_of(three.room));
    EXPECT_I64(1, kit_number("SELECT count(*) FROM events_out WHERE room_id = '%s' AND partition = 1", three.room, ""));
    struct chat_app next = kit->app;
    struct err err = {0};
    next.owner = kit_owner(kit);
    REQUIRE_OK(owner_assigned(&next, "chat.inbound", 1, &err), &err);
    struct chat_event answer;
    EXPECT(kit_answer(kit, corr, &answer));
    EXPECT_I64(1, answer.seq);
    EXPECT_I64(0, kit_number("SELECT count(*) FROM events_out WHERE room_id = '%s' AND partition = 1", three.room, ""));
    /* the record was not committed to Kafka, so it comes again, with the next one behind */
    const char *corr_after = kit_add(kit, &second);
    const struct kafka_batch batch = kit_batch(kit);
    REQUIRE_OK(owner_apply(&next, &batch, &err), &err);
    kit->count = 0;
    EXPECT(kit_answer(kit, corr_after, &answer));
    EXPECT_I64(2, answer.seq);
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
    EXPECT_I64(3, last);
    owner_release(&next.owner);
    kit->partition = 0;
}

TEST(what_a_paused_former_owner_committed_late_is_told_by_the_new_one, "P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct command send = kit_send(kit, three.room, three.people[0], "before the pause");
    EXPECT_TEXT("", kit_do(kit, &send, NULL)); /* the new owner has the partition, and nothing is left over */
    send = kit_send(kit, three.room, three.people[0], "after the pause");
    const char *corr = kit_add(kit, &send);
    commit_without_sending(kit);
    EXPECT_I64(2, messages_of(three.room)); /* committed, though nobody has heard of it */
    EXPECT(kit_apply(kit));
    struct chat_event answer;
    EXPECT(kit_answer(kit, corr, &answer));
    EXPECT_I64(2, answer.seq);
    EXPECT_I64(2, messages_of(three.room));
}

TEST(the_same_owner_sends_what_it_could_not_send, "P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct err err = {0};
    const struct command send = kit_send(kit, three.room, three.people[0], "again");
    const char *corr = kit_add(kit, &send);
    const struct kafka_batch batch = kit_batch(kit);
    owner_mute(kit->app.owner, true);
    REQUIRE_OK(owner_apply(&kit->app, &batch, &err), &err);
    owner_mute(kit->app.owner, false);
    kit->count = 0;
    const struct command next = kit_send(kit, three.room, three.people[1], "behind it");
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &next, &answer)); /* the next batch begins with what is owed */
    EXPECT_I64(2, answer.seq);
    EXPECT(kit_answer(kit, corr, &answer));
    EXPECT_I64(1, answer.seq);
    EXPECT_I64(2, messages_of(three.room));
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
}

TEST(what_could_not_be_sent_is_sent_though_no_batch_comes, "P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct err err = {0};
    const struct kafka_batch first = kit_batch(kit);
    REQUIRE_OK(owner_assigned(&kit->app, first.topic, first.partition, &err), &err);
    const struct command send = kit_send(kit, three.room, three.people[0], "the last one for a while");
    const char *corr = kit_add(kit, &send);
    const struct kafka_batch batch = kit_batch(kit);
    owner_mute(kit->app.owner, true);
    REQUIRE_OK(owner_apply(&kit->app, &batch, &err), &err);
    kit->count = 0;
    owner_mute(kit->app.owner, false);
    EXPECT(owner_apply_lane(&kit->app)); /* as the lane's thread does when it is poked */
    struct chat_event answer;
    EXPECT(kit_answer(kit, corr, &answer));
    EXPECT_I64(1, answer.seq);
}

TEST(five_hundred_messages_take_as_many_round_trips_as_five, "P-26 M-52")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    static const int SIZES[] = {5, 500};
    int64_t trips[2];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SIZES[round]; i++) {
            const struct command send = kit_send(kit, three.room, three.people[i % 3], "many");
            (void)kit_add(kit, &send);
        }
        const int64_t before = kit_trips();
        REQUIRE(kit_apply(kit));
        trips[round] = kit_trips() - before;
    }
    EXPECT_I64(505, messages_of(three.room));
    EXPECT_I64(trips[0], trips[1]);
    EXPECT_I64(2, trips[1]);
}

/* ---- several partitions in one transaction ---- */

enum { LANES = 3 };

/* A batch for each of LANES partitions: `each` messages into one room. Fills the batches; returns the first record. */
static size_t fill_lanes(struct kit *kit, const struct three *threes, int64_t *offsets, int each,
                         struct kafka_batch *batches)
{
    const size_t start = kit->count;
    for (int lane = 0; lane < LANES; lane++) {
        batches[lane] = (struct kafka_batch){.topic = "chat.inbound",
                                             .partition = 100 + lane,
                                             .records = kit->records + kit->count,
                                             .count = (size_t)each};
        for (int i = 0; i < each; i++) {
            const struct command send = kit_send(kit, threes[lane].room, threes[lane].people[i % 3], "side by side");
            (void)kit_add(kit, &send);
            kit->records[kit->count - 1].offset = offsets[lane]++;
        }
    }
    return start;
}

static void begin_lanes(struct kit *kit)
{
    struct err err = {0};
    for (int lane = 0; lane < LANES; lane++)
        REQUIRE_OK(owner_assigned(&kit->app, "chat.inbound", 100 + lane, &err), &err);
}

TEST(partitions_go_together_in_two_round_trips, "P-26 P-28 I2")
{
    struct kit *kit = kit_open();
    struct three threes[LANES];
    struct kafka_batch batches[LANES];
    int64_t offsets[LANES] = {0};
    struct err err = {0};
    for (int lane = 0; lane < LANES; lane++)
        threes[lane] = three_of(kit);
    begin_lanes(kit);
    for (int round = 0; round < 3; round++) {
        (void)fill_lanes(kit, threes, offsets, 7, batches);
        const int64_t before = kit_trips();
        REQUIRE_OK(owner_apply_together(&kit->app, batches, LANES, &err), &err);
        EXPECT_I64(2, kit_trips() - before);
        for (size_t i = 0; i < kit->count; i++) {
            struct chat_event answer;
            EXPECT(kit_answer(kit, kit->records[i].corr, &answer));
            EXPECT_I64(round * 7 + (int64_t)(i % 7) + 1, answer.seq);
        }
        kit->count = 0;
    }
    for (int lane = 0; lane < LANES; lane++)
        EXPECT_I64(21, messages_of(threes[lane].room));
    EXPECT_TEXT("21 21 21", test_sql("SELECT string_agg(next_offset::text, ' ') FROM applied WHERE partition >= 100"));
    /* rows of what was sent go with the next batch, or the next owner */
    begin_lanes(kit);
    begin_lanes(kit);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM events_out WHERE partition >= 100"));
}

TEST(a_batch_that_was_partly_applied_elsewhere_is_told_in_order, "P-29 I1")
{
    struct kit *kit = kit_open();
    struct three threes[LANES];
    struct kafka_batch batches[LANES];
    int64_t offsets[LANES];
    struct err err = {0};
    for (int lane = 0; lane < LANES; lane++) {
        threes[lane] = three_of(kit);
        offsets[lane] = 1000;
    }
    begin_lanes(kit);
    (void)fill_lanes(kit, threes, offsets, 4, batches);
    /* another owner took the first two of lane 1, and went before it could tell */
    struct owner *mine = kit->app.owner;
    kit->app.owner = kit_owner(kit);
    owner_mute(kit->app.owner, true);
    const struct kafka_batch half = {
        .topic = "chat.inbound", .partition = 101, .records = batches[1].records, .count = 2};
    REQUIRE_OK(owner_apply(&kit->app, &half, &err), &err);
    owner_release(&kit->app.owner);
    kit->app.owner = mine;
    EXPECT_I64(2, messages_of(threes[1].room));
    err_clear(&err);
    REQUIRE_OK(owner_apply_together(&kit->app, batches, LANES, &err), &err);
    for (size_t i = 0; i < kit->count; i++) {
        struct chat_event answer;
        EXPECT(kit_answer(kit, kit->records[i].corr, &answer));
        EXPECT_I64((int64_t)(i % 4) + 1, answer.seq);
    }
    kit->count = 0;
    for (int lane = 0; lane < LANES; lane++)
        EXPECT_I64(4, messages_of(threes[lane].room));
}

TEST(what_could_not_be_told_together_is_told_one_by_one, "P-29 I1")
{
    struct kit *kit = kit_open();
    struct three threes[LANES];
    struct kafka_batch batches[LANES];
    int64_t offsets[LANES];
    struct err err = {0};
    for (int lane = 0; lane < LANES; lane++) {
        threes[lane] = three_of(kit);
        offsets[lane] = 2000;
    }
    begin_lanes(kit);
    (void)fill_lanes(kit, threes, offsets, 3, batches);
    owner_mute(kit->app.owner, true);
    REQUIRE_OK(owner_apply_together(&kit->app, batches, LANES, &err), &err);
    owner_mute(kit->app.owner, false);
    for (int lane = 0; lane < LANES; lane++) { /* read again before the worker's commit to Kafka */
        err_clear(&err);
        REQUIRE_OK(owner_apply(&kit->app, &batches[lane], &err), &err);
    }
    for (size_t i = 0; i < kit->count; i++) {
        struct chat_event answer;
        EXPECT(kit_answer(kit, kit->records[i].corr, &answer));
        EXPECT_I64((int64_t)(i % 3) + 1, answer.seq);
    }
    kit->count = 0;
    for (int lane = 0; lane < LANES; lane++)
        EXPECT_I64(3, messages_of(threes[lane].room));
}

/* ---- past the log: the lane ---- */

static int logged;
static bool count_logged(void *app, const struct lane_item *item, bool refused)
{
    (void)app, (void)item;
    EXPECT(!refused);
    logged++;
    return true;
}

static struct lane *lane_of(struct kit *kit)
{
    struct err err = {0};
    logged = 0;
    kit->app.lane = lane_open(true, count_logged, NULL);
    lane_know(kit->app.lane, 1);
    kit->partition = 0;
    kit_stop_at(owner_assigned(&kit->app, "chat.inbound", 0, &err), "assigned", &err);
    return kit->app.lane;
}

static void no_lane(struct kit *kit)
{
    lane_release(&kit->app.lane);
}

static bool give(struct kit *kit, const struct command *command, const char *corr)
{
    AUTO_STR payload;
    str_init(&payload);
    command_encode(&payload, command);
    const struct lane_command given = {
        .room_id = command->room_id, .payload = {payload.bytes, payload.length}, .corr = corr};
    return lane_take(kit->app.lane, &given);
}

TEST(what_comes_by_the_lane_is_applied_like_what_comes_by_the_log, "P-22 P-28 P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    (void)lane_of(kit);
    const char *before = arena_text(kit->arena, test_sql("SELECT next_offset FROM applied WHERE partition = 0"));
    const struct command send = kit_send(kit, three.room, three.people[0], "straight on");
    EXPECT(give(kit, &send, "lane-1"));
    EXPECT(give(kit, &send, "lane-2")); /* the same client_id */
    struct mark mark = {three.people[1], 1};
    const struct command read = {
        .kind = COMMAND_READ, .room_id = three.room, .user_id = three.people[1], .marks = &mark, .mark_count = 1};
    EXPECT(give(kit, &read, "lane-3"));
    const int64_t trips = kit_trips();
    EXPECT(owner_apply_lane(&kit->app));
    EXPECT_I64(2, kit_trips() - trips);
    struct chat_event answer;
    EXPECT(kit_answer(kit, "lane-1", &answer));
    EXPECT_I64(EVENT_MESSAGE, answer.kind);
    EXPECT_I64(1, answer.seq);
    EXPECT(kit_answer(kit, "lane-2", &answer));
    EXPECT_I64(EVENT_VERDICT, answer.kind);
    EXPECT(kit_answer(kit, "lane-3", &answer));
    EXPECT_I64(1, messages_of(three.room));
    EXPECT_I64(1, kit_number("SELECT read_seq FROM members WHERE room_id = '%s' AND user_id = '%s'", three.room,
                             three.people[1]));
    EXPECT_TEXT(before, test_sql("SELECT next_offset FROM applied WHERE partition = 0"));
    const struct command next = kit_send(kit, three.room, three.people[2], "by the log");
    EXPECT_TEXT("", kit_do(kit, &next, &answer));
    EXPECT_I64(2, answer.seq);
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
    no_lane(kit);
}

TEST(a_batch_of_the_log_lets_the_lane_go_first, "P-29 I2")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    (void)lane_of(kit);
    const struct command first = kit_send(kit, three.room, three.people[0], "first"),
                         second = kit_send(kit, three.room, three.people[0], "second");
    EXPECT(give(kit, &first, "lane-first"));
    struct chat_event answer;
    EXPECT_TEXT("", kit_do(kit, &second, &answer));
    EXPECT_I64(2, answer.seq);
    EXPECT(kit_answer(kit, "lane-first", &answer));
    EXPECT_I64(1, answer.seq);
    no_lane(kit);
}

TEST(a_former_owner_applies_nothing_of_its_lane, "P-29 M-52 I2")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    struct lane *lane = lane_of(kit);
    struct chat_app next = kit->app;
    struct err err = {0};
    const struct command send = kit_send(kit, three.room, three.people[0], "too late"),
                         again = kit_send(kit, three.room, three.people[0], "and again");
    EXPECT(give(kit, &send, NULL));
    next.owner = kit_owner(kit);
    next.lane = NULL;
    REQUIRE_OK(owner_assigned(&next, "chat.inbound", 0, &err), &err);
    EXPECT(owner_apply_lane(&kit->app));
    EXPECT_I64(1, logged);
    EXPECT_I64(0, messages_of(three.room));
    EXPECT(!give(kit, &again, NULL)); /* it knows now */
    EXPECT(!lane_drain(lane));
    REQUIRE_OK(owner_assigned(&kit->app, "chat.inbound", 0, &err), &err);
    EXPECT(give(kit, &again, "lane-again"));
    EXPECT(owner_apply_lane(&kit->app));
    struct chat_event answer;
    EXPECT(kit_answer(kit, "lane-again", &answer));
    EXPECT_I64(1, answer.seq);
    owner_release(&next.owner);
    no_lane(kit);
}

/* It read its offset from the log, was paused, and commits when the next owner has begun: the next one tells that
 * before it counts anything as told. */
TEST(what_a_paused_former_owner_commits_between_batches_of_the_lane_is_told, "P-29 M-52 I1")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    (void)lane_of(kit);
    const struct command late = kit_send(kit, three.room, three.people[0], "committed late"),
                         first = kit_send(kit, three.room, three.people[1], "by the lane"),
                         then = kit_send(kit, three.room, three.people[2], "by the log");
    struct chat_event answer;
    EXPECT(give(kit, &first, "lane-before"));
    EXPECT(owner_apply_lane(&kit->app));
    EXPECT(kit_answer(kit, "lane-before", &answer));
    const char *corr = kit_add(kit, &late);
    struct kafka_batch batch = kit_batch(kit);
    struct err err = {0};
    struct chat_app former = kit->app;
    former.owner = kit_owner(kit);
    former.lane = NULL;
    owner_mute(former.owner, true);
    REQUIRE_OK(owner_apply(&former, &batch, &err), &err); /* dies before Kafka has it */
    const struct command next = kit_send(kit, three.room, three.people[1], "too soon");
    EXPECT(give(kit, &next, "lane-too-soon"));
    EXPECT(owner_apply_lane(&kit->app)); /* the partition was claimed: to the log */
    EXPECT_I64(1, logged);
    EXPECT_I64(2, messages_of(three.room));
    (void)kit_add(kit, &then);
    EXPECT(kit_apply(kit)); /* both records: the first one was applied by the former */
    EXPECT(kit_answer(kit, corr, &answer));
    EXPECT_I64(2, answer.seq);
    EXPECT_I64(3, messages_of(three.room));
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
    owner_release(&former.owner);
    no_lane(kit);
}

TEST(rows_of_told_events_go_while_it_runs, "P-29")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    (void)lane_of(kit);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 50; i++) {
            const struct command send = kit_send(kit, three.room, three.people[i % 3], "many");
            (void)kit_add(kit, &send);
        }
        REQUIRE(kit_apply(kit));
    }
    const size_t events = 1 + 600 + 599;
    EVENTUALLY(10000, events_of(kit, three.room) == events);
    const int64_t waiting = kit_number("SELECT count(*) FROM events_out WHERE room_id = '%s'", three.room, "");
    EXPECT(waiting < 600); /* about half of them, were nothing dropped: all */
    owner_revoked(&kit->app, "chat.inbound", 0);
    EXPECT_I64(0, kit_number("SELECT count(*) FROM events_out WHERE room_id = '%s'", three.room, ""));
    int64_t last;
    EXPECT_I64(0, first_hole(kit, three.room, &last));
    EXPECT_I64((int64_t)events, last);
    no_lane(kit);
    struct err err = {0};
    REQUIRE_OK(owner_assigned(&kit->app, "chat.inbound", 0, &err), &err);
}

TEST(what_the_store_refuses_goes_to_the_log, "P-28 I1 I9")
{
    struct kit *kit = kit_open();
    const struct three three = three_of(kit);
    (void)lane_of(kit);
    REQUIRE(
        test_sql("CREATE FUNCTION refuse_events() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END'; "
                 "CREATE TRIGGER refuse_events BEFORE INSERT ON events_out EXECUTE FUNCTION refuse_events()"));
    const struct command send = kit_send(kit, three.room, three.people[0], "refused"),
                         behind = kit_send(kit, three.room, three.people[0], "behind it");
    EXPECT(give(kit, &send, "lane-refused"));
    EXPECT(owner_apply_lane(&kit->app));
    EXPECT_I64(1, logged);
    EXPECT(give(kit, &behind, "lane-behind"));
    EXPECT(!lane_drain(kit->app.lane)); /* it waits for the one on the log */
    REQUIRE(test_sql("DROP TRIGGER refuse_events ON events_out"));
    EXPECT_I64(0, messages_of(three.room));
    no_lane(kit);
}
