#include "kafka_sender.h"
#include "log.h"
#include "test_kafka.h"

#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- who hears: keeps what it heard, in order ---- */

enum { HEARD_MAX = 20000 };
struct hearer {
    pthread_mutex_t lock;
    struct {
        int32_t partition;
        int64_t offset;
        char payload[24], corr[40];
    } * heard;
    size_t count, largest_batch;
    atomic_bool slow; /* waits for `go` before each batch */
    sem_t go;
};

static void hearer_init(struct hearer *hearer)
{
    *hearer = (struct hearer){.heard = mem_new(HEARD_MAX, sizeof *hearer->heard)};
    pthread_mutex_init(&hearer->lock, NULL);
    sem_init(&hearer->go, 0, 0);
}

static void hearer_free(struct hearer *hearer)
{
    free(hearer->heard);
    pthread_mutex_destroy(&hearer->lock);
    sem_destroy(&hearer->go);
}
#define HEARER(name)                                                                                                   \
    __attribute__((cleanup(hearer_free))) struct hearer name;                                                          \
    hearer_init(&name)

static void hear(void *app, const struct kafka_batch *batch)
{
    struct hearer *hearer = app;
    if (hearer->slow)
        while (sem_wait(&hearer->go) != 0)
            ;
    pthread_mutex_lock(&hearer->lock);
    if (batch->count > hearer->largest_batch)
        hearer->largest_batch = batch->count;
    for (size_t i = 0; i < batch->count && hearer->count < HEARD_MAX; i++) {
        const struct kafka_record *record = &batch->records[i];
        size_t at = hearer->count++;
        hearer->heard[at].partition = batch->partition;
        hearer->heard[at].offset = record->offset;
        (void)snprintf(hearer->heard[at].payload, sizeof hearer->heard[at].payload, "%.*s", (int)record->payload.length,
                       record->payload.bytes ? record->payload.bytes : "");
        (void)snprintf(hearer->heard[at].corr, sizeof hearer->heard[at].corr, "%s", record->corr ? record->corr : "");
    }
    pthread_mutex_unlock(&hearer->lock);
}

static size_t heard_count(struct hearer *hearer)
{
    pthread_mutex_lock(&hearer->lock);
    size_t count = hearer->count;
    pthread_mutex_unlock(&hearer->lock);
    return count;
}

/* Per partition the offsets grow. */
static bool in_order(struct hearer *hearer)
{
    int64_t last[16];
    memset(last, -1, sizeof last);
    pthread_mutex_lock(&hearer->lock);
    bool ok = true;
    for (size_t i = 0; i < hearer->count; i++) {
        ok = ok && hearer->heard[i].offset > last[hearer->heard[i].partition];
        last[hearer->heard[i].partition] = hearer->heard[i].offset;
    }
    pthread_mutex_unlock(&hearer->lock);
    return ok;
}

static struct kafka_listener *listen_to(const char *brokers, const struct kafka_listening *table, struct hearer *hearer)
{
    struct err err = {0};
    struct kafka_listener *listener = kafka_listener_start(brokers, "test", table, hearer, &err);
    test_stop_at(listener != NULL, "listener", &err);
    return listener;
}

/* ---- where it begins ---- */

TEST(a_listener_from_now_hears_what_is_sent_right_after_it_is_ready, "I1 I2")
{
    const char *brokers = test_env("KAFKA_BROKERS");
    AUTO(kafka_producer) producer = test_producer(brokers);
    for (int round = 0; round < 5; round++) {
        const char *topic = test_topic("now", 3, false);
        const struct kafka_listening table[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_NOW}, {0}};
        test_send_numbers(producer, topic, 1000, 50); /* before: not heard */
        HEARER(hearer);
        AUTO(kafka_listener) listener = listen_to(brokers, table, &hearer);
        EVENTUALLY(10000, kafka_listener_ready(listener));
        test_send_numbers(producer, topic, 0, 20);
        EVENTUALLY(10000, heard_count(&hearer) == 20);
        test_send_numbers(producer, topic, 20, 20);
        EVENTUALLY(10000, heard_count(&hearer) == 40);
        EXPECT(in_order(&hearer));
        kafka_listener_release(&listener);
        for (size_t i = 0; i < hearer.count; i++)
            EXPECT(atoi(hearer.heard[i].payload) < 1000);
    }
}

TEST(a_listener_from_the_start_is_ready_when_it_has_heard_all_that_stood_there, "I1 I2")
{
    const char *brokers = test_env("KAFKA_BROKERS");
    const char *topic = test_topic("start", 4, true), *empty = test_topic("empty", 2, true);
    AUTO(kafka_producer) producer = test_producer(brokers);
    test_send_numbers(producer, topic, 0, 3000);
    const struct kafka_listening table[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_START},
                                            {.topic = empty, .hear = hear, .from = LISTEN_FROM_START},
                                            {0}};
    HEARER(hearer);
    hearer.slow = true;
    AUTO(kafka_listener) listener = listen_to(brokers, table, &hearer);
    EXPECT(!kafka_listener_ready(listener)); /* it stands in its first batch, at most */
    hearer.slow = false;
    for (int i = 0; i < 100; i++)
        sem_post(&hearer.go);
    EVENTUALLY(20000, kafka_listener_ready(listener));
    EXPECT_I64(3000, heard_count(&hearer));
    EXPECT(in_order(&hearer));
    EXPECT(hearer.largest_batch > 1 && hearer.largest_batch <= 500);
}

TEST(two_listeners_hear_everything_each, "I2")
{
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("both", 3, false);
    const struct kafka_listening table[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_NOW}, {0}};
    AUTO(kafka_producer) producer = test_producer(brokers);
    HEARER(one);
    HEARER(two);
    AUTO(kafka_listener) first = listen_to(brokers, table, &one);
    AUTO(kafka_listener) second = listen_to(brokers, table, &two);
    EVENTUALLY(10000, kafka_listener_ready(first) && kafka_listener_ready(second));
    test_send_numbers(producer, topic, 0, 200);
    EVENTUALLY(10000, heard_count(&one) == 200 && heard_count(&two) == 200);
}

/* ---- what can happen to it ---- */

struct cluster {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock;
    const char *brokers;
};

static void cluster_close(struct cluster *cluster)
{
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->rk);
}

static void cluster_open(struct cluster *cluster, const char *topic)
{
    char words[200];
    cluster->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), words, sizeof words);
    cluster->mock = rd_kafka_mock_cluster_new(cluster->rk, 1);
    cluster->brokers = rd_kafka_mock_cluster_bootstraps(cluster->mock);
    (void)rd_kafka_mock_topic_create(cluster->mock, topic, 2, 1);
}

TEST(a_listener_outlives_brokers_that_go_and_come_back, "I1")
{
    __attribute__((cleanup(cluster_close))) struct cluster cluster;
    cluster_open(&cluster, "restarted");
    const struct kafka_listening table[] = {{.topic = "restarted", .hear = hear, .from = LISTEN_FROM_NOW}, {0}};
    HEARER(hearer);
    (void)rd_kafka_mock_broker_set_down(cluster.mock, 1); /* away when it starts */
    AUTO(kafka_producer) producer = test_producer(cluster.brokers);
    AUTO(kafka_listener) listener = listen_to(cluster.brokers, table, &hearer);
    EXPECT(!kafka_listener_ready(listener));
    (void)rd_kafka_mock_broker_set_up(cluster.mock, 1);
    EVENTUALLY(20000, kafka_listener_ready(listener));
    for (int round = 0; round < 3; round++) {
        test_send_numbers(producer, "restarted", round * 20, 20);
        EVENTUALLY(20000, heard_count(&hearer) == (size_t)(round + 1) * 20);
        (void)rd_kafka_mock_broker_set_down(cluster.mock, 1);
        (void)rd_kafka_mock_broker_set_up(cluster.mock, 1);
    }
    EXPECT(in_order(&hearer));
}

static void delete_before(const char *topic, int64_t offset)
{
    struct err err = {0};
    rd_kafka_conf_t *conf = kafka_conf_new(test_env("KAFKA_BROKERS"), "test", NULL, &err);
    rd_kafka_t *client = kafka_client_new(RD_KAFKA_PRODUCER, conf, &err);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    rd_kafka_DeleteRecords_t *wish = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(client);
    rd_kafka_DeleteRecords(client, &wish, 1, NULL, answers);
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 10000);
    EXPECT(event && !rd_kafka_event_error(event));
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(wish);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(answers);
    rd_kafka_destroy(client);
}

/* It stands in a batch while more comes than it reads ahead, and the oldest of that goes. */
TEST(a_listener_whose_records_are_gone_goes_on_from_the_oldest_that_exist, "I2")
{
    enum { BIG = 500 * 1000, MANY = 40 };
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("gone", 1, false);
    const struct kafka_listening table[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_NOW}, {0}};
    AUTO(kafka_producer) producer = test_producer(brokers);
    HEARER(hearer);
    hearer.slow = true;
    AUTO(kafka_listener) listener = listen_to(brokers, table, &hearer);
    EVENTUALLY(10000, kafka_listener_ready(listener));
    char *big = mem_new(1, BIG);
    for (int i = 0; i < MANY; i++) {
        memset(big, ' ', BIG);
        (void)snprintf(big, 16, "%d.", i);
        struct err err = {0};
        const struct kafka_message message = {.topic = topic, .key = VIEW("k"), .payload = {big, BIG}};
        test_stop_at(kafka_send_all(producer, &message, 1, 30000, &err), "send", &err);
    }
    free(big);
    delete_before(topic, MANY - 2);
    hearer.slow = false;
    for (int i = 0; i < 100; i++)
        sem_post(&hearer.go);
    test_send_numbers(producer, topic, 1000, 1);
    EVENTUALLY(20000, heard_count(&hearer) && strcmp(hearer.heard[heard_count(&hearer) - 1].payload, "1000") == 0);
    EXPECT(in_order(&hearer));
    EXPECT(heard_count(&hearer) < MANY); /* some were lost, as they must be */
    EXPECT_I64(MANY, hearer.heard[heard_count(&hearer) - 1].offset);
    EXPECT_I64(MANY - 1, hearer.heard[heard_count(&hearer) - 2].offset);
    EXPECT_I64(MANY - 2, hearer.heard[heard_count(&hearer) - 3].offset);
}

/* ---- kafka_send ---- */

static _Atomic int done_ok, done_failed;
static void count_done(void *payload, bool ok)
{
    (*(_Atomic int *)payload)++;
    if (ok)
        done_ok++;
    else
        done_failed++;
}

static bool send_one(struct kafka_producer *producer, const char *topic, int number, _Atomic int *calls)
{
    char key[8], payload[16];
    (void)snprintf(key, sizeof key, "k%d", number % 3);
    (void)snprintf(payload, sizeof payload, "%d", number);
    const struct kafka_header headers[] = {{"corr", "me:7"}, {NULL, NULL}};
    const struct kafka_message message = {
        .topic = topic, .key = view_of(key), .payload = view_of(payload), .headers = headers};
    struct err err = {0};
    return kafka_send(producer, &message, count_done, calls, &err);
}

TEST(a_send_reports_once_and_carries_corr_to_the_listener, "I1 I2")
{
    enum { MANY = 2000 };
    static _Atomic int calls[MANY];
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("send", 3, false);
    const struct kafka_listening table[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_NOW}, {0}};
    AUTO(kafka_producer) producer = test_producer(brokers);
    HEARER(hearer);
    AUTO(kafka_listener) listener = listen_to(brokers, table, &hearer);
    EVENTUALLY(10000, kafka_listener_ready(listener));
    struct err err = {0};
    REQUIRE_OK(kafka_send_prepare(producer, &err), &err); /* once or never: the first send finds or makes its client */
    REQUIRE_OK(kafka_send_prepare(producer, &err), &err);
    done_ok = done_failed = 0;
    for (int i = 0; i < MANY; i++)
        EXPECT(send_one(producer, topic, i, &calls[i]));
    EVENTUALLY(20000, done_ok == MANY && heard_count(&hearer) == MANY);
    EXPECT_I64(0, done_failed);
    for (int i = 0; i < MANY; i++)
        EXPECT_I64(1, calls[i]);
    EXPECT_TEXT("me:7", hearer.heard[0].corr);
    int last[3] = {-1, -1, -1};
    for (size_t i = 0; i < hearer.count; i++) {
        int number = atoi(hearer.heard[i].payload);
        EXPECT(number > last[number % 3]);
        last[number % 3] = number;
    }
}

TEST(sends_go_over_a_new_client_after_a_fatal_error_in_order, "I1 I2")
{
    enum { MANY = 6000 };
    static _Atomic int calls[MANY];
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("broken", 2, false);
    AUTO(kafka_producer) producer = test_producer(brokers);
    done_ok = done_failed = 0;
    for (int i = 0; i < MANY; i++) {
        EXPECT(send_one(producer, topic, i, &calls[i]));
        if (i == 500 || i == 501 || i == 4000)
            kafka_producer_break_sender(producer);
    }
    EVENTUALLY(30000, done_ok + done_failed == MANY);
    EXPECT_I64(MANY, done_ok);
    for (int i = 0; i < MANY; i++)
        EXPECT_I64(1, calls[i]);
    struct test_reader *reader = test_reader_open(topic, 2);
    EVENTUALLY(20000, test_reader_count(reader) >= MANY);
    int seen[3] = {-3, -2, -1}, gaps = 0; /* of each key: every number first seen right after the one before */
    for (size_t i = 0; i < reader->count; i++) {
        int number = atoi(reader->records[i].payload), key = number % 3;
        gaps += number > seen[key] + 3;
        if (number > seen[key])
            seen[key] = number;
    }
    EXPECT_I64(0, gaps);
    EXPECT_I64(MANY - 1, seen[(MANY - 1) % 3]);
    test_reader_release(&reader);
}

TEST(a_send_is_given_up_after_a_while_and_when_the_producer_ends, "I9 I10")
{
    static _Atomic int calls[2];
    AUTO(kafka_producer) producer = test_producer("127.0.0.1:1"); /* nobody is there */
    done_ok = done_failed = 0;
    EXPECT(send_one(producer, "away", 0, &calls[0]));
    EVENTUALLY(30000, calls[0] == 1);
    EXPECT(send_one(producer, "away", 1, &calls[1]));
    EXPECT_I64(0, calls[1]);
    kafka_producer_release(&producer);
    EXPECT_I64(1, calls[0]);
    EXPECT_I64(1, calls[1]);
    EXPECT_I64(2, done_failed);
}

TEST(the_queue_of_sends_is_bounded, "I9")
{
    enum { BYTES = 400 * 1000 };
    static _Atomic int calls;
    AUTO(kafka_producer) producer = test_producer("127.0.0.1:1");
    char *big = mem_new(1, BYTES);
    const struct kafka_message message = {.topic = "away", .key = VIEW("k"), .payload = {big, BYTES}};
    struct err err = {0};
    int taken = 0;
    calls = 0;
    while (taken < 1000 && kafka_send(producer, &message, count_done, &calls, &err))
        taken++;
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(taken > 20 && taken < 60);
    free(big); /* copied */
    kafka_producer_release(&producer);
    EXPECT_I64(taken, calls);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
