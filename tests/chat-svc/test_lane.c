/* The lane: who may pass the log, and that the order of commands stays whatever happens on either way. */
#include "lane.h"
#include "pending.h"
#include "test.h"
#include "uuid.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTITIONS = 4 };

/* A room of this partition. */
static void room_in(int32_t partition, char room[UUID_TEXT_BYTES])
{
    do {
        uuid_new(room);
    } while (kafka_partition_of(view_of(room), PARTITIONS) != partition);
}

static bool forbidden(void *app, const struct lane_item *item, bool refused)
{
    (void)app;
    return test_check(false, __FILE__, __LINE__, "%s was %s", item->record.corr, refused ? "refused" : "logged");
}

static bool take(struct lane *lane, const char *room, const char *corr)
{
    const struct lane_command command = {.room_id = room, .payload = view_of("{}"), .corr = corr};
    return lane_take(lane, &command);
}

/* In a moment when its partition is another's. */
static void log_one(struct lane *lane, const char *room, const char *corr)
{
    const int32_t partition = kafka_partition_of(view_of(room), PARTITIONS);
    lane_let_go(lane, partition);
    EXPECT(!take(lane, room, corr));
    lane_hold(lane, partition);
}

static size_t drain(struct lane *lane)
{
    struct lane_item *items = lane_drain(lane);
    size_t count = 0;
    for (const struct lane_item *item = items; item; item = item->next)
        count++;
    lane_items_free(items);
    return count;
}

static void hear(struct lane *lane, int32_t partition, const char *corr)
{
    const struct kafka_record record = {.corr = corr};
    const struct kafka_batch batch = {.partition = partition, .records = &record, .count = 1};
    lane_heard(lane, &batch);
}

TEST(only_own_rooms_take_the_lane, "P-28 I2")
{
    char mine[UUID_TEXT_BYTES], other[UUID_TEXT_BYTES];
    struct lane *lane = lane_open(true, forbidden, NULL);
    room_in(1, mine);
    room_in(2, other);
    EXPECT(!take(lane, mine, NULL)); /* nobody knows yet where rooms are */
    lane_hold(lane, 1);
    lane_know(lane, PARTITIONS);
    EXPECT(!take(lane, mine, NULL)); /* held before that was known */
    lane_hold(lane, 1);
    lane_hold(lane, PARTITIONS); /* there is none */
    EXPECT(take(lane, mine, NULL));
    EXPECT(!take(lane, other, NULL));
    lane_let_go(lane, 1);
    EXPECT(!take(lane, mine, NULL));
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
    lane = lane_open(false, forbidden, NULL);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 1);
    EXPECT(!take(lane, mine, NULL));
    lane_release(&lane);
}

TEST(what_comes_behind_a_command_on_the_log_waits_for_it, "P-29 I2")
{
    char room[UUID_TEXT_BYTES], elsewhere[UUID_TEXT_BYTES];
    struct lane *lane = lane_open(true, forbidden, NULL);
    room_in(0, room);
    room_in(3, elsewhere);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 3);
    EXPECT(!take(lane, room, "mine:1")); /* not ours yet: to the log */
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "mine:2"));
    EXPECT_I64(0, drain(lane));
    EXPECT(take(lane, elsewhere, "mine:3")); /* another partition */
    EXPECT_I64(1, drain(lane));
    hear(lane, 0, "others:1");
    EXPECT_I64(0, drain(lane));
    hear(lane, 0, "mine:1");
    EXPECT_I64(1, drain(lane));
    EXPECT(take(lane, room, "mine:5"));
    log_one(lane, room, "mine:6");
    EXPECT(take(lane, room, "mine:7"));
    EXPECT_I64(1, drain(lane));        /* mine:5 does not wait for what came behind it */
    lane_forget(lane, room, "mine:6"); /* Kafka could not be reached */
    EXPECT_I64(1, drain(lane));
    log_one(lane, room, NULL); /* nobody waits for it, so nobody minds */
    EXPECT(take(lane, room, "mine:8"));
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
}

TEST(what_another_owner_answered_is_not_waited_for, "P-29 M-52")
{
    char room[UUID_TEXT_BYTES];
    struct lane *lane = lane_open(true, forbidden, NULL);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    EXPECT(!take(lane, room, "mine:1"));
    lane_hold(lane, 0); /* its former owner has applied it, and we shall not hear it from the log */
    EXPECT(take(lane, room, "mine:2"));
    const struct kafka_record events[] = {
        {.key = view_of(room)}, {.key = view_of(room), .corr = "others:1"}, {.key = view_of(room), .corr = "mine:1"}};
    lane_answered(lane, events, 2);
    EXPECT_I64(0, drain(lane));
    lane_answered(lane, events + 2, 1);
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
}

static bool count_logged(void *app, const struct lane_item *item, bool refused)
{
    (void)item;
    EXPECT(!refused);
    ++*(int *)app;
    return true;
}

TEST(what_waits_goes_to_the_log_before_a_command_that_would_pass_it_there, "P-29 I2")
{
    char room[UUID_TEXT_BYTES];
    int logged = 0;
    struct lane *lane = lane_open(true, count_logged, &logged);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "first"));
    log_one(lane, room, "logged");
    EXPECT(take(lane, room, "waits"));
    EXPECT(take(lane, room, "waits too"));
    EXPECT_I64(0, logged);
    log_one(lane, room, "another");
    EXPECT_I64(2, logged);
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
}

TEST(what_waits_goes_to_the_log_when_the_partition_goes, "P-29 M-52")
{
    char room[UUID_TEXT_BYTES];
    int logged = 0;
    struct lane *lane = lane_open(true, count_logged, &logged);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "first"));
    log_one(lane, room, "logged");
    EXPECT(take(lane, room, "waits"));
    lane_let_go(lane, 0);
    EXPECT_I64(1, drain(lane)); /* the first one is tried: nobody may own it yet */
    EXPECT_I64(0, logged);
    EXPECT_I64(0, drain(lane));
    EXPECT_I64(1, logged);
    lane_release(&lane);
}

TEST(a_full_lane_sends_to_the_log, "P-26 I9")
{
    char room[UUID_TEXT_BYTES];
    struct lane *lane = lane_open(true, forbidden, NULL);
    size_t taken = 0;
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    while (taken < 100000 && take(lane, room, "c"))
        taken++;
    EXPECT(taken >= 100 && taken <= 1000);
    EXPECT_I64(taken, drain(lane));
    EXPECT(take(lane, room, "d"));
    EXPECT_I64(0, drain(lane)); /* the one that found it full is on the log */
    hear(lane, 0, "c");
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
}

/* What became of the commands that were given back. */
struct back {
    int logged, refused;
    bool full; /* the log */
};

static bool note_back(void *app, const struct lane_item *item, bool refused)
{
    struct back *back = app;
    (void)item;
    back->refused += refused;
    back->logged += !refused && !back->full;
    return !refused && !back->full;
}

TEST(what_is_given_back_never_comes_behind_later_ones, "P-29 M-52 I2")
{
    char room[UUID_TEXT_BYTES];
    struct back back = {0};
    struct lane *lane = lane_open(true, note_back, &back);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "a"));
    EXPECT(take(lane, room, "b"));
    EXPECT(lane_give_back(lane, lane_drain(lane), false)); /* nothing of ours is on the log: there they go */
    EXPECT_I64(2, back.logged);
    hear(lane, 0, "a");
    hear(lane, 0, "b");
    EXPECT(take(lane, room, "c"));
    struct lane_item *items = lane_drain(lane);
    log_one(lane, room, "later");
    EXPECT(!lane_is_first(lane, 0));
    EXPECT(!lane_give_back(lane, items, false)); /* "later" is there already: once more */
    EXPECT(lane_is_first(lane, 0));
    EXPECT(lane_give_back(lane, lane_drain(lane), true)); /* another owner has it: who waits repeats it */
    EXPECT(!lane_is_first(lane, 0));
    EXPECT_I64(2, back.logged);
    EXPECT_I64(1, back.refused);
    hear(lane, 0, "later");
    EXPECT(take(lane, room, "d"));
    EXPECT(!lane_is_first(lane, 0)); /* what has just come keeps no batch of the log waiting */
    items = lane_drain(lane);
    EXPECT(take(lane, room, "e"));
    log_one(lane, room, "later still");
    EXPECT(take(lane, room, "f")); /* waits for that */
    EXPECT(lane_give_back(lane, items, true));
    EXPECT_I64(3, back.refused); /* d and e; f follows to the log */
    EXPECT_I64(3, back.logged);
    lane_release(&lane);
}

TEST(what_was_passed_by_a_command_that_another_owner_applied_is_refused, "P-29 M-52 I2")
{
    char room[UUID_TEXT_BYTES];
    struct back back = {0};
    struct lane *lane = lane_open(true, note_back, &back);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "x"));
    log_one(lane, room, "y");
    const struct kafka_record event = {.key = view_of(room), .corr = "y"};
    lane_answered(lane, &event, 1);
    EXPECT(lane_give_back(lane, lane_drain(lane), true));
    EXPECT_I64(1, back.refused);
    EXPECT_I64(0, back.logged);
    lane_release(&lane);
}

TEST(what_finds_no_room_on_the_log_is_not_waited_for, "P-29 I9")
{
    char room[UUID_TEXT_BYTES];
    struct back back = {.full = true};
    struct lane *lane = lane_open(true, note_back, &back);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    EXPECT(take(lane, room, "a"));
    EXPECT(lane_give_back(lane, lane_drain(lane), false));
    EXPECT(take(lane, room, "b"));
    EXPECT_I64(1, drain(lane));
    lane_release(&lane);
}

static bool count_off(void *app)
{
    struct lane *lane = *(struct lane **)app;
    (void)drain(lane);
    return true;
}

TEST(its_thread_works_off_whatever_waits_before_it_ends, "P-28")
{
    char room[UUID_TEXT_BYTES];
    struct err err = {0};
    struct lane *lane = lane_open(true, forbidden, NULL);
    room_in(0, room);
    lane_know(lane, PARTITIONS);
    lane_hold(lane, 0);
    REQUIRE_OK(lane_start(lane, count_off, &lane, &err), &err);
    EXPECT(take(lane, room, "a"));
    EXPECT(take(lane, room, "b"));
    lane_stop(lane);
    EXPECT(!lane_drain(lane));
    EXPECT(!take(lane, room, "c"));
    lane_release(&lane);
}

static bool fail_first(void *app)
{
    _Atomic int *calls = app;
    return atomic_fetch_add(calls, 1) > 0;
}

TEST(work_that_failed_comes_again_without_news, "P-29")
{
    static _Atomic int calls;
    struct err err = {0};
    struct lane *lane = lane_open(true, forbidden, NULL);
    REQUIRE_OK(lane_start(lane, fail_first, &calls, &err), &err);
    lane_poke(lane);
    EVENTUALLY(10000, atomic_load(&calls) == 2);
    lane_stop(lane);
    lane_release(&lane);
}

/* ---- whatever happens, a room's commands are applied in the order in which they were given ---- */

enum { ROOMS = 3, STEPS = 20000, WAITING_MAX = 4096 };

struct note { /* a command, wherever it is */
    int room, number;
    char corr[PENDING_CORR_BYTES];
};

struct play {
    struct lane *lane;
    char rooms[ROOMS][UUID_TEXT_BYTES];
    int given[ROOMS], applied[ROOMS], done[ROOMS];
    struct note log[WAITING_MAX]; /* of one partition, oldest first */
    size_t log_count, passed, refused, wrong;
};

static void apply_note(struct play *play, int room, int number)
{
    play->wrong += number <= play->applied[room];
    play->applied[room] = number;
    play->done[room]++;
}

static bool log_note(void *app, const struct lane_item *item, bool refused)
{
    struct play *play = app;
    if (refused) {
        int room = 0;
        (void)sscanf(item->record.payload.bytes, "%d", &room);
        play->refused++;
        play->done[room]++;
        return false;
    }
    struct note *note = &play->log[play->log_count++];
    *note = (struct note){0};
    (void)sscanf(item->record.payload.bytes, "%d %d", &note->room, &note->number);
    (void)snprintf(note->corr, sizeof note->corr, "%s", item->record.corr);
    return true;
}

static void give(struct play *play)
{
    const int room = (int)(test_random() % ROOMS);
    char payload[40], corr[PENDING_CORR_BYTES];
    (void)snprintf(payload, sizeof payload, "%d %d", room, ++play->given[room]);
    (void)snprintf(corr, sizeof corr, "me:%d:%d", room, play->given[room]);
    const struct lane_command command = {
        .room_id = play->rooms[room], .payload = {payload, sizeof payload}, .corr = corr};
    if (lane_take(play->lane, &command)) {
        play->passed++;
        return;
    }
    struct note *note = &play->log[play->log_count++];
    *note = (struct note){room, play->given[room], ""};
    (void)snprintf(note->corr, sizeof note->corr, "%s", corr);
}

/* As the owner: all of it, or it goes back. False: what is on the log has to wait. */
static bool work_off(struct play *play, bool fails)
{
    struct lane_item *items = lane_drain(play->lane);
    if (fails && items)
        return lane_give_back(play->lane, items, test_random() % 4 == 0);
    for (const struct lane_item *item = items; item; item = item->next) {
        int room = 0, number = 0;
        (void)sscanf(item->record.payload.bytes, "%d %d", &room, &number);
        apply_note(play, room, number);
    }
    lane_items_free(items);
    return true;
}

static void apply_log(struct play *play, bool fails)
{
    const size_t count = play->log_count ? 1 + test_random() % play->log_count : 0;
    (void)work_off(play, fails);
    if (lane_is_first(play->lane, 0))
        return;
    for (size_t i = 0; i < count; i++) {
        apply_note(play, play->log[i].room, play->log[i].number);
        hear(play->lane, 0, play->log[i].corr);
    }
    play->log_count -= count;
    for (size_t i = 0; i < play->log_count; i++) /* valgrind takes a checked memmove for a memcpy that overlaps */
        play->log[i] = play->log[i + count];
}

TEST(the_order_of_a_rooms_commands_stays, "P-29 M-52 I2")
{
    static struct play play;
    play.lane = lane_open(true, log_note, &play);
    lane_know(play.lane, 1);
    lane_hold(play.lane, 0);
    for (int i = 0; i < ROOMS; i++)
        uuid_new(play.rooms[i]);
    for (int i = 0; i < STEPS && play.log_count < WAITING_MAX / 2; i++) {
        switch (test_random() % 12) {
        case 0:
        case 1:
        case 2:
            (void)work_off(&play, test_random() % 3 == 0);
            break;
        case 3:
        case 4:
            apply_log(&play, test_random() % 3 == 0);
            break;
        case 5:
            if (test_random() % 2 == 0)
                lane_let_go(play.lane, 0);
            else
                lane_hold(play.lane, 0);
            break;
        default:
            give(&play);
        }
    }
    do {
        apply_log(&play, false);
        (void)work_off(&play, false);
    } while (play.log_count);
    EXPECT(!lane_drain(play.lane));
    EXPECT_I64(0, play.wrong);
    EXPECT(play.passed > 100);
    EXPECT(play.refused > 0);
    for (int i = 0; i < ROOMS; i++)
        EXPECT_I64(play.given[i], play.done[i]);
    lane_release(&play.lane);
}
