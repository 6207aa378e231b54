/* Signals of presence on the real topic; each test looks only at its own users. */
#include "arena.h"
#include "json.h"
#include "log.h"
#include "signals.h"
#include "test_kafka.h"
#include "uuid.h"

struct signal {
    const char *id, *at, *kind, *user_id, *connection;
    int64_t v, n, lease_seconds;
};
static const struct field SIGNAL_FIELDS[] = {
    FIELD_I64(struct signal, v, .required = true, .min = 1, .max = 1),
    FIELD_UUID(struct signal, id, .required = true),
    FIELD_TEXT(struct signal, at, .required = true),
    FIELD_TEXT(struct signal, kind, .required = true),
    FIELD_UUID(struct signal, user_id, .required = true),
    FIELD_UUID(struct signal, connection, .required = true),
    FIELD_I64(struct signal, n, .required = true, .min = 1, .max = INT64_MAX),
    FIELD_I64(struct signal, lease_seconds, .required = true, .min = 1, .max = 3600),
    {0},
};

static struct signals *open_signals(struct kafka_producer *producer, int beat_seconds, int lease_seconds)
{
    struct err err = {0};
    struct signals *signals = signals_open(producer, beat_seconds, lease_seconds, &err);
    test_stop_at(signals != NULL, "signals", &err);
    return signals;
}

static struct test_reader *reader_open(void)
{
    static const char *const TOPIC[] = {TOPIC_PRESENCE_SIGNALS, NULL};
    struct err err = {0};
    test_stop_at(kafka_ensure_topics(test_env("KAFKA_BROKERS"), TOPIC, &err), "topics", &err);
    return test_reader_open(TOPIC_PRESENCE_SIGNALS, 6);
}

/* How many signals of this kind (NULL: any) and connection there are; checks what each must be. */
static int count(struct test_reader *reader, const char *user, const char *connection, const char *kind)
{
    int found = 0;
    int64_t last_n = 0;
    (void)test_reader_count(reader);
    AUTO(arena) arena = arena_open(1 << 24);
    for (size_t i = 0; i < reader->count; i++) {
        struct signal signal;
        struct err err = {0};
        if (strcmp(reader->records[i].key, user) != 0)
            continue;
        EXPECT(JSON_DECODE(arena, view_of(reader->records[i].payload), SIGNAL_FIELDS, &signal, &err));
        EXPECT_TEXT(user, signal.user_id);
        if (strcmp(signal.connection, connection) != 0)
            continue;
        EXPECT_I64(last_n + 1, signal.n);
        last_n = signal.n;
        found += !kind || strcmp(signal.kind, kind) == 0;
    }
    return found;
}

TEST(a_connection_is_told_up_then_beats_then_down, "P-35 P-36")
{
    char user[UUID_TEXT_BYTES], one[UUID_TEXT_BYTES], two[UUID_TEXT_BYTES];
    struct test_reader *reader = reader_open();
    AUTO(kafka_producer) producer = test_producer(NULL);
    AUTO(signals) signals = open_signals(producer, 1, 3);
    uuid_new(user);
    signals_up(signals, user, one);
    signals_up(signals, user, two);
    EXPECT(strcmp(one, two) != 0);
    EVENTUALLY(20000, count(reader, user, one, "beat") >= 2 && count(reader, user, two, "beat") >= 2);
    signals_down(signals, one);
    signals_down(signals, one);
    signals_down(signals, "0192d3a0-0000-7000-8000-000000000000");
    EVENTUALLY(10000, count(reader, user, one, "down") == 1);
    int signals_of_one = count(reader, user, one, NULL), beats = count(reader, user, two, "beat");
    EVENTUALLY(10000, count(reader, user, two, "beat") >= beats + 2);
    EXPECT_I64(signals_of_one, count(reader, user, one, NULL)); /* silent after its end */
    EXPECT_I64(1, count(reader, user, one, "up"));
    EXPECT_I64(1, count(reader, user, one, "down"));
    EXPECT_I64(0, count(reader, user, two, "down"));
    signals_release(&signals);
    EVENTUALLY(10000, count(reader, user, two, "down") == 1);
    test_reader_release(&reader);
}

TEST(beats_of_many_connections_are_spread_and_each_has_its_own, "P-35")
{
    enum { MANY = 300 };
    static char users[MANY][UUID_TEXT_BYTES], ids[MANY][UUID_TEXT_BYTES];
    struct test_reader *reader = reader_open();
    AUTO(kafka_producer) producer = test_producer(NULL);
    AUTO(signals) signals = open_signals(producer, 2, 6);
    for (int i = 0; i < MANY; i++) {
        uuid_new(users[i]);
        signals_up(signals, users[i], ids[i]);
    }
    for (int i = 0; i < MANY; i += 29)
        EVENTUALLY(20000, count(reader, users[i], ids[i], "beat") >= 2);
    signals_release(&signals);
    for (int i = 0; i < MANY; i += 29)
        EVENTUALLY(10000, count(reader, users[i], ids[i], "down") == 1);
    test_reader_release(&reader);
}

/* No broker: nothing blocks, nothing grows without end, and the end comes. */
TEST(without_brokers_signals_cost_nothing_but_themselves, "I9")
{
    char id[UUID_TEXT_BYTES];
    AUTO(kafka_producer) producer = test_producer("127.0.0.1:1");
    AUTO(signals) signals = open_signals(producer, 1, 2);
    for (int i = 0; i < 30000; i++) { /* more than the producer's queue takes */
        signals_up(signals, "0192d3a0-0000-7000-8000-000000000000", id);
        signals_down(signals, id);
    }
    signals_release(&signals);
    EXPECT(signals == NULL);
}

TEST(a_lease_that_ends_before_the_next_beat_is_refused, "")
{
    struct err err = {0};
    EXPECT(!signals_open(NULL, 30, 30, &err));
    EXPECT_PROBLEM("bad_input", &err);
    EXPECT(!signals_open(NULL, 0, 30, &err));
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
