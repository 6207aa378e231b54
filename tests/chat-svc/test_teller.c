/* Events on their way: what counts as told when reports come late, out of order, or say no. Kafka is played by this
 * file
 * (--wrap=kafka_send). */
#include "teller.h"
#include "test.h"

#include <pthread.h>

enum { SENT_MAX = 100, PARTITION = 3 };

static struct {
    kafka_sent_fn done;
    void *payload;
} sent[SENT_MAX];
static size_t sent_count, room_for = SENT_MAX;

bool __wrap_kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err);
bool __wrap_kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err)
{
    (void)producer, (void)message;
    if (sent_count == room_for)
        return err_set(err, &ERR_UNAVAILABLE, "full");
    sent[sent_count].done = done;
    sent[sent_count++].payload = payload;
    return true;
}

static struct teller *begin(void)
{
    sent_count = 0;
    room_for = SENT_MAX;
    return teller_open(NULL);
}

static void send(struct teller *teller, size_t count, int64_t last_id)
{
    static const struct kafka_message messages[10];
    teller_send(teller, PARTITION, messages, count, last_id);
}

static void report(size_t which, bool ok)
{
    sent[which].done(sent[which].payload, ok);
}

static void count_broken(void *payload)
{
    ++*(int *)payload;
}

TEST(what_is_told_is_known_up_to_the_first_that_is_not, "P-29 I1")
{
    struct teller *teller = begin();
    send(teller, 2, 12);
    send(teller, 1, 13);
    send(teller, 2, 15);
    EXPECT_I64(5, sent_count);
    report(0, true);
    EXPECT_I64(0, teller_sent(teller, PARTITION)); /* half of the first call */
    report(2, true);
    EXPECT_I64(0, teller_sent(teller, PARTITION)); /* before it */
    report(1, true);
    EXPECT_I64(13, teller_sent(teller, PARTITION));
    report(4, true);
    EXPECT_I64(13, teller_sent(teller, PARTITION));
    report(3, true);
    EXPECT_I64(15, teller_sent(teller, PARTITION));
    EXPECT(!teller_is_broken(teller, PARTITION));
    EXPECT_I64(0, teller_sent(teller, PARTITION + 1));
    teller_release(&teller);
}

TEST(one_that_failed_counts_and_so_does_all_behind_it, "P-29 I1")
{
    int broken = 0;
    int64_t sent_id = -1;
    struct err err = {0};
    struct teller *teller = begin();
    teller_watch(teller, count_broken, &broken);
    send(teller, 1, 1);
    send(teller, 1, 2);
    send(teller, 1, 3);
    report(0, true);
    report(1, false);
    EXPECT_I64(1, broken);
    EXPECT(teller_is_broken(teller, PARTITION));
    EXPECT(!teller_settle(teller, PARTITION, 20, &sent_id, &err)); /* the third still travels */
    EXPECT_PROBLEM("unavailable", &err);
    err_clear(&err);
    report(2, true);
    EXPECT_I64(1, teller_sent(teller, PARTITION)); /* it arrived, but behind a hole */
    REQUIRE_OK(teller_settle(teller, PARTITION, 1000, &sent_id, &err), &err);
    EXPECT_I64(1, sent_id);
    EXPECT(!teller_is_broken(teller, PARTITION));
    EXPECT_I64(0, teller_sent(teller, PARTITION));
    send(teller, 1, 7);
    report(3, true);
    EXPECT_I64(7, teller_sent(teller, PARTITION));
    EXPECT_I64(1, broken);
    teller_release(&teller);
}

TEST(nothing_is_sent_behind_what_found_no_room, "P-29 I1 I9")
{
    int64_t sent_id = -1;
    struct err err = {0};
    struct teller *teller = begin();
    room_for = 3;
    send(teller, 2, 2);
    send(teller, 2, 4); /* the second of them finds the queue full */
    EXPECT(teller_is_broken(teller, PARTITION));
    room_for = SENT_MAX;
    send(teller, 1, 5);
    EXPECT_I64(3, sent_count);
    for (size_t i = 0; i < 3; i++)
        report(i, true);
    REQUIRE_OK(teller_settle(teller, PARTITION, 1000, &sent_id, &err), &err);
    EXPECT_I64(2, sent_id);
    send(teller, 1, 6);
    EXPECT_I64(4, sent_count);
    report(3, true);
    EXPECT_I64(6, teller_sent(teller, PARTITION));
    teller_release(&teller);
}

static void *report_first(void *payload)
{
    (void)payload;
    report(0, true);
    return NULL;
}

TEST(its_end_waits_for_what_travels, "P-29")
{
    int broken = 0;
    pthread_t thread;
    struct teller *teller = begin();
    teller_watch(teller, count_broken, &broken);
    send(teller, 1, 1);
    REQUIRE(pthread_create(&thread, NULL, report_first, NULL) == 0);
    teller_release(&teller);
    (void)pthread_join(thread, NULL);
    EXPECT_I64(0, broken);
}
