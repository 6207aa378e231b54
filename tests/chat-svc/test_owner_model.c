/* Random commands against a model that keeps, for each person, which messages were read: the definition itself, without
 * marks. Batches are repeated, overlap, fail at COMMIT, or lose their events; owners are replaced. After each batch
 * tables and model agree; at the end a receiver of the events alone knows the same. */
#include "owner_kit.h"

enum { PEOPLE = 6, MESSAGES_MAX = 4000, BATCHES = 120, COMMANDS_AT_ONCE = 8, PARTITION = 2 };

struct model {
    bool member[PEOPLE];
    bool read[PEOPLE][MESSAGES_MAX];
    int messages; /* seq of the newest */
    int sender[MESSAGES_MAX];
    bool deleted[MESSAGES_MAX];
    int64_t unread_by[MESSAGES_MAX]; /* when last looked */
};

struct play {
    struct kit *kit;
    const char *people[PEOPLE], *room;
    struct model model;
    int sends;
    int client_of[MESSAGES_MAX]; /* number of the client_id that made the message; -1: a line */
};

static int pick(int below)
{
    return (int)(test_random() % (uint64_t)below);
}

/* ---- the model ---- */

static void model_line(struct model *model)
{
    const int seq = ++model->messages;
    model->sender[seq] = -1;
    model->unread_by[seq] = PEOPLE;
}

static void model_read(struct model *model, int who, int upto)
{
    for (int seq = 1; seq <= upto && seq <= model->messages; seq++)
        model->read[who][seq] = true;
}

static void model_join(struct model *model, int who)
{
    model->member[who] = true;
    memset(model->read[who], 0, sizeof model->read[who]);
    model_read(model, who, model->messages);
    model_line(model);
}

static int model_unread(const struct model *model, int who)
{
    int unread = 0;
    for (int seq = 1; seq <= model->messages; seq++)
        unread += !model->read[who][seq];
    return unread;
}

static int model_unread_by(const struct model *model, int seq)
{
    int behind = 0;
    for (int who = 0; who < PEOPLE; who++)
        behind += model->member[who] && !model->read[who][seq];
    return behind;
}

/* ---- commands, and what the model makes of them ---- */

static struct command base(const struct play *play, enum command_kind kind, int who)
{
    return (struct command){.kind = kind, .room_id = play->room, .user_id = play->people[who]};
}

static void do_send(struct play *play, int who, int client)
{
    struct model *model = &play->model;
    struct command command = base(play, COMMAND_SEND, who);
    command.client_id = arena_printf(play->kit->arena, "%d-%d", who, client);
    command.message_id = kit_id(play->kit);
    command.message_kind = "text";
    command.content = "words";
    (void)kit_add(play->kit, &command);
    if (!model->member[who])
        return;
    for (int seq = 1; seq <= model->messages; seq++)
        if (model->sender[seq] == who && play->client_of[seq] == client)
            return; /* the same message */
    model_read(model, who, model->messages);
    model_line(model);
    model->sender[model->messages] = who;
    model->read[who][model->messages] = true;
    play->client_of[model->messages] = client;
}

static void do_read(struct play *play, int who, int upto)
{
    struct mark mark = {play->people[who], upto};
    struct command command = base(play, COMMAND_READ, who);
    command.marks = &mark;
    command.mark_count = 1;
    (void)kit_add(play->kit, &command);
    if (play->model.member[who])
        model_read(&play->model, who, upto);
}

/* Of an instance, for those it delivered to. */
static void do_read_many(struct play *play)
{
    struct mark marks[PEOPLE];
    for (int who = 0; who < PEOPLE; who++) {
        marks[who] = (struct mark){play->people[who], pick(play->model.messages + 2)};
        if (play->model.member[who])
            model_read(&play->model, who, (int)marks[who].seq);
    }
    const struct command command = {.kind = COMMAND_READ, .room_id = play->room, .marks = marks, .mark_count = PEOPLE};
    (void)kit_add(play->kit, &command);
}

static void do_add(struct play *play, int who, int other)
{
    struct command command = base(play, COMMAND_ADD, who);
    command.user_ids = (struct texts){&play->people[other], 1};
    (void)kit_add(play->kit, &command);
    if (play->model.member[who] && !play->model.member[other])
        model_join(&play->model, other);
}

/* Person 0 made the room and stays, so it never empties and the manager is known. */
static void do_go(struct play *play, int who, bool removed)
{
    struct command command = base(play, removed ? COMMAND_REMOVE : COMMAND_LEAVE, removed ? 0 : who);
    command.target = removed ? play->people[who] : NULL;
    (void)kit_add(play->kit, &command);
    if (!play->model.member[who])
        return;
    play->model.member[who] = false;
    model_line(&play->model);
}

static void do_delete(struct play *play, int who)
{
    struct model *model = &play->model;
    struct command command = base(play, COMMAND_DELETE, who);
    const int seq = 1 + pick(model->messages + 1);
    command.seq = seq;
    (void)kit_add(play->kit, &command);
    if (model->member[who] && seq <= model->messages && model->sender[seq] == who)
        model->deleted[seq] = true;
}

static void do_something(struct play *play)
{
    const int who = pick(PEOPLE), other = pick(PEOPLE);
    switch (pick(10)) {
    case 0:
        do_add(play, who, other);
        break;
    case 1:
        do_go(play, 1 + pick(PEOPLE - 1), pick(2));
        break;
    case 2:
        do_delete(play, who);
        break;
    case 3:
    case 4:
        do_read(play, who, 1 + pick(play->model.messages + 3));
        break;
    case 5:
        do_read_many(play);
        break;
    case 6:
        do_send(play, who, pick(play->sends + 1)); /* perhaps a repeat */
        break;
    default:
        do_send(play, who, ++play->sends);
    }
}

/* ---- accidents ---- */

static void new_owner(struct play *play)
{
    struct err err = {0};
    owner_release(&play->kit->app.owner);
    play->kit->app.owner = kit_owner(play->kit);
    test_check(owner_assigned(&play->kit->app, "chat.inbound", PARTITION, &err), __FILE__, __LINE__, "assigned: %s %s",
               err.message, err.detail);
}

static bool try_batch(struct play *play, size_t first)
{
    struct err err = {0};
    struct kafka_batch batch = kit_batch(play->kit);
    batch.records += first;
    batch.count -= first;
    return owner_apply(&play->kit->app, &batch, &err);
}

/* The batch is tried until it is applied, as by the worker. */
static void run_batch(struct play *play)
{
    struct kit *kit = play->kit;
    const int accident = pick(10);
    if (accident == 0) { /* nothing is committed */
        (void)test_sql("INSERT INTO refuse_commits VALUES (1)");
        EXPECT(!try_batch(play, 0));
        (void)test_sql("DELETE FROM refuse_commits");
        if (pick(2))
            new_owner(play);
    }
    if (accident == 1 || accident == 2) { /* committed, but nobody hears of it */
        owner_mute(kit->app.owner, true);
        EXPECT(try_batch(play, 0));
        owner_mute(kit->app.owner, false);
        if (accident == 1)
            new_owner(play);
    }
    EXPECT(try_batch(play, 0));
    if (accident == 3)
        EXPECT(try_batch(play, (size_t)pick((int)kit->count)));
    if (accident == 4)
        new_owner(play);
    if (accident == 5) /* the offset was not committed to Kafka: it comes again, longer */
        do_send(play, pick(PEOPLE), ++play->sends);
    if (accident == 5)
        EXPECT(try_batch(play, 0));
    kit->count = 0;
}

/* ---- comparing ---- */

static const struct pg_statement LOOK_AT_ROOM = {"look_at_room",
                                                 "SELECT last_seq, member_count, (SELECT count(*) FROM messages WHERE "
                                                 "room_id = $1), (SELECT coalesce(max(seq), 0) FROM messages"
                                                 " WHERE room_id = $1), (SELECT count(*) FROM members WHERE room_id = "
                                                 "$1 AND read_seq < $2) FROM rooms WHERE id = $1"};
static const struct pg_statement LOOK_AT_MARKS = {"look_at_marks",
                                                  "SELECT user_id, read_seq FROM members WHERE room_id = $1"};

static int number_of(const struct play *play, const char *user_id)
{
    for (int who = 0; user_id && who < PEOPLE; who++)
        if (strcmp(play->people[who], user_id) == 0)
            return who;
    return -1;
}

static void compare_marks(struct play *play)
{
    struct err err = {0};
    AUTO(pg_result) marks = pg_query(play->kit->app.db, &LOOK_AT_MARKS, PARAMS(PG_TEXT(play->room)), &err);
    REQUIRE_OK(marks != NULL, &err);
    int members = 0;
    for (int row = 0; row < pg_rows(marks); row++) {
        const int who = number_of(play, pg_text(marks, row, 0));
        EXPECT(play->model.member[who]);
        EXPECT_I64(model_unread(&play->model, who), play->model.messages - pg_i64(marks, row, 1));
    }
    for (int who = 0; who < PEOPLE; who++)
        members += play->model.member[who];
    EXPECT_I64(members, pg_rows(marks));
}

static void compare(struct play *play)
{
    struct model *model = &play->model;
    struct err err = {0};
    const int some = 1 + pick(model->messages + 1);
    AUTO(pg_result) room = pg_query(play->kit->app.db, &LOOK_AT_ROOM, PARAMS(PG_TEXT(play->room), PG_I64(some)), &err);
    REQUIRE_OK(room != NULL && pg_rows(room) == 1, &err);
    const int64_t members = pg_i64(room, 0, 1);
    EXPECT_I64(model->messages, pg_i64(room, 0, 0));
    EXPECT_I64(model->messages, pg_i64(room, 0, 2));
    EXPECT_I64(model->messages, pg_i64(room, 0, 3));
    if (some <= model->messages)
        EXPECT_I64(model_unread_by(model, some), pg_i64(room, 0, 4));
    compare_marks(play);
    for (int seq = 1; seq <= model->messages; seq++) {
        const int64_t unread_by = model_unread_by(model, seq);
        test_check(unread_by >= 0 && unread_by <= members && unread_by <= model->unread_by[seq], __FILE__, __LINE__,
                   "message %d: unread by %d of %d, was %d", seq, (int)unread_by, (int)members,
                   (int)model->unread_by[seq]);
        model->unread_by[seq] = unread_by;
    }
}

/* ---- a receiver who knows the events only ---- */

struct receiver {
    struct play *play;
    int64_t rev, mark[PEOPLE], messages;
    bool member[PEOPLE];
};

static void hear(struct receiver *receiver, const struct chat_event *event)
{
    if (event->rev == 0 || event->rev <= receiver->rev)
        return; /* a verdict, or a double */
    EXPECT_I64(receiver->rev + 1, event->rev);
    receiver->rev = event->rev;
    for (size_t i = 0; i < event->user_ids.count; i++) {
        const int who = number_of(receiver->play, event->user_ids.items[i]);
        receiver->member[who] = event->kind != EVENT_LEFT;
        receiver->mark[who] = event->last_seq;
    }
    for (size_t i = 0; i < event->read_count; i++) {
        const int who = number_of(receiver->play, event->reads[i].user_id);
        EXPECT_I64(receiver->mark[who], event->reads[i].from);
        receiver->mark[who] = event->reads[i].to;
    }
    if (event->kind != EVENT_MESSAGE)
        return;
    EXPECT_I64(++receiver->messages, event->seq);
    int64_t behind = 0;
    if (event->sender_id)
        receiver->mark[number_of(receiver->play, event->sender_id)] = event->seq;
    for (int who = 0; who < PEOPLE; who++)
        behind += receiver->member[who] && receiver->mark[who] < event->seq;
    char expected[40];
    (void)snprintf(expected, sizeof expected, "\"unread_by\":%d}", (int)behind);
    EXPECT(strstr(event->message, expected) != NULL);
}

static void hear_all(struct play *play)
{
    struct receiver receiver = {.play = play};
    const int64_t rev = kit_number("SELECT rev FROM rooms WHERE id = '%s'", play->room, "");
    size_t heard = 0;
    EVENTUALLY(20000, __extension__({
                   const size_t there = test_reader_count(play->kit->events);
                   for (; heard < there; heard++) {
                       const struct test_record *record = test_reader_at(play->kit->events, heard);
                       struct chat_event event;
                       struct err err = {0};
                       if (strcmp(record->key, play->room) == 0 &&
                           event_decode(play->kit->arena, view_of(record->payload), &event, &err))
                           hear(&receiver, &event);
                   }
                   receiver.rev == rev;
               }));
    EXPECT_I64(play->model.messages, receiver.messages);
    for (int who = 0; who < PEOPLE; who++) {
        EXPECT(receiver.member[who] == play->model.member[who]);
        if (receiver.member[who])
            EXPECT_I64(model_unread(&play->model, who), receiver.messages - receiver.mark[who]);
    }
}

TEST(tables_events_and_the_definition_agree_whatever_happens, "M-47 M-49 M-52 M-64 M-65 P-28 P-32 P-33")
{
    static struct play play;
    struct kit *kit = play.kit = kit_open();
    kit->partition = PARTITION;
    kit_stop_at(
        test_sql("CREATE TABLE refuse_commits (n int); CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN IF EXISTS (SELECT FROM refuse_commits) THEN RAISE ''not now''; END IF; RETURN NULL; END';"
                 " CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON applied DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
                 "EXECUTE FUNCTION refuse()") != NULL,
        "trigger", &(struct err){0});
    for (int who = 0; who < PEOPLE; who++)
        play.people[who] = kit_person(kit, "somebody");
    kit_all_friends(kit, play.people, PEOPLE);
    new_owner(&play);
    play.room = kit_group(kit, play.people, 3);
    for (int who = 0; who < 3; who++)
        play.model.member[who] = true;
    for (int i = 0; i < BATCHES; i++) {
        for (int j = pick(COMMANDS_AT_ONCE); j >= 0; j--)
            do_something(&play);
        run_batch(&play);
        compare(&play);
    }
    hear_all(&play);
}
