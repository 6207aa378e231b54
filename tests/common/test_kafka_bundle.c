/* Several records of one key in one message (kafka_bundle.h): its form, and that every consumer takes it apart. */
#include "kafka_bundle.h"
#include "kafka_sender.h"
#include "log.h"
#include "test_kafka.h"

#include <stdatomic.h>
#include <string.h>

enum { RECORDS = 30, BUNDLES = 20, ROOM = KAFKA_BUNDLE_RECORDS_MAX };

static struct view view_of_str(const struct str *str)
{
    return (struct view){str->bytes, str->length};
}

/* "<from>".."<from + count - 1>", each with two headers. */
static void fill(struct str *out, int from, int count)
{
    char number[16], corr[16];
    kafka_bundle_begin(out);
    for (int i = from; i < from + count; i++) {
        (void)snprintf(number, sizeof number, "%d", i);
        (void)snprintf(corr, sizeof corr, "me:%d", i);
        const struct kafka_header headers[] = {{"corr", corr}, {"x-request-id", "req"}, {NULL, NULL}};
        kafka_bundle_add(out, view_of(number), headers);
    }
}

TEST(records_come_out_as_they_went_in, "I1")
{
    static struct kafka_record records[ROOM];
    const struct kafka_header headers[] = {{"x-request-id", "r"}, {"traceparent", "t"}, {"corr", "c"},
                                           {"users", "a,b"},      {"given", "g"},       {"other", "o"},
                                           {"corr", NULL},        {NULL, NULL}};
    AUTO_STR out;
    str_init(&out);
    kafka_bundle_begin(&out);
    kafka_bundle_add(&out, VIEW("one"), headers);
    kafka_bundle_add(&out, (struct view){"", 0}, NULL);
    kafka_bundle_add(&out, (struct view){"\0two", 4}, headers + 2);
    const struct kafka_record whole = {
        .offset = 77, .timestamp_ms = 88, .key = VIEW("k"), .payload = view_of_str(&out)};
    EXPECT_I64(3, (int64_t)kafka_bundle_count(whole.payload));
    REQUIRE(kafka_bundle_open(&whole, false, records));
    for (uint32_t i = 0; i < 3; i++)
        EXPECT(records[i].place == i && records[i].more == 2 - i && records[i].offset == 77 &&
               records[i].timestamp_ms == 88 && view_equals(records[i].key, VIEW("k")));
    EXPECT(view_equals(records[0].payload, VIEW("one")));
    EXPECT_TEXT("r", records[0].request_id);
    EXPECT_TEXT("t", records[0].traceparent);
    EXPECT_TEXT("c", records[0].corr);
    EXPECT_TEXT("a,b", records[0].users);
    EXPECT_TEXT("g", records[0].given);
    EXPECT(records[1].payload.length == 0 && records[1].payload.bytes && !records[1].corr);
    EXPECT(view_equals(records[2].payload, (struct view){"\0two", 4}));
    EXPECT(!records[2].request_id && strcmp(records[2].corr, "c") == 0);
    REQUIRE(kafka_bundle_open(&whole, true, records));
    EXPECT(!records[0].corr && !records[0].request_id && view_equals(records[0].payload, VIEW("one")));
}

TEST(what_is_cut_or_bent_is_no_bundle, "I1")
{
    static struct kafka_record records[ROOM];
    AUTO_STR out;
    str_init(&out);
    fill(&out, 1, 3);
    const size_t record = (out.length - KAFKA_BUNDLE_BEGIN_BYTES) / 3;
    for (size_t length = 0; length < out.length; length++) {
        const struct kafka_record whole = {.payload = {out.bytes, length}};
        const bool at_an_end = length > KAFKA_BUNDLE_BEGIN_BYTES && (length - KAFKA_BUNDLE_BEGIN_BYTES) % record == 0;
        EXPECT_I64(at_an_end, kafka_bundle_open(&whole, false, records));
        EXPECT_I64(at_an_end ? (int64_t)((length - KAFKA_BUNDLE_BEGIN_BYTES) / record) : 1,
                   (int64_t)kafka_bundle_count(whole.payload));
    }
    const struct kafka_record tombstone = {0}, json = {.payload = VIEW("{\"seq\":1}")};
    EXPECT(!kafka_bundle_open(&tombstone, false, records) && kafka_bundle_count(tombstone.payload) == 1);
    EXPECT(!kafka_bundle_open(&json, false, records) && kafka_bundle_count(json.payload) == 1);
    out.bytes[out.length - 1] = 'x'; /* a header that does not end */
    const struct kafka_record bent = {.payload = view_of_str(&out)};
    EXPECT(!kafka_bundle_open(&bent, false, records));
    EXPECT(kafka_bundle_open(&bent, true, records)); /* who is given no headers does not look at them */
}

TEST(a_bundle_has_so_many_records_and_no_more, "I1")
{
    static struct kafka_record records[ROOM];
    AUTO_STR out;
    str_init(&out);
    fill(&out, 0, KAFKA_BUNDLE_RECORDS_MAX);
    struct kafka_record whole = {.payload = view_of_str(&out)};
    EXPECT(kafka_bundle_open(&whole, false, records));
    EXPECT_I64(KAFKA_BUNDLE_RECORDS_MAX, (int64_t)kafka_bundle_count(whole.payload));
    kafka_bundle_add(&out, VIEW("one more"), NULL);
    whole.payload = view_of_str(&out);
    EXPECT(!kafka_bundle_open(&whole, false, records));
    EXPECT_I64(1, (int64_t)kafka_bundle_count(whole.payload));
}

TEST(a_header_of_a_later_version_is_passed_over, "I1")
{
    struct kafka_record record;
    AUTO_STR out;
    str_init(&out);
    const struct kafka_header headers[] = {{"given", "g"}, {"corr", "c"}, {NULL, NULL}};
    kafka_bundle_begin(&out);
    kafka_bundle_add(&out, VIEW("p"), headers);
    out.bytes[KAFKA_BUNDLE_BEGIN_BYTES + 8 + 1] = 99;
    const struct kafka_record whole = {.payload = view_of_str(&out)};
    REQUIRE(kafka_bundle_open(&whole, false, &record));
    EXPECT(!record.given);
    EXPECT_TEXT("c", record.corr);
}

/* ---- through Kafka ---- */

/* Single records and bundles in turn: the numbers from 0 to below BUNDLES * (RECORDS + 1), in order. */
static void send_mixed(struct kafka_producer *producer, const char *topic)
{
    const struct kafka_header headers[] = {{"corr", "me"}, {NULL, NULL}};
    char number[16];
    struct err err = {0};
    for (int i = 0; i < BUNDLES; i++) {
        AUTO_STR bundle;
        str_init(&bundle);
        (void)snprintf(number, sizeof number, "%d", i * (RECORDS + 1));
        fill(&bundle, i * (RECORDS + 1) + 1, RECORDS);
        const struct kafka_message messages[] = {
            {.topic = topic, .key = VIEW("k"), .payload = view_of(number), .headers = headers},
            {.topic = topic, .key = VIEW("k"), .payload = view_of_str(&bundle)}};
        test_stop_at(kafka_send_all(producer, messages, 2, 30000, &err), "send", &err);
    }
}

struct given {
    atomic_int next, wrong, without_headers, split, refused, longest;
    int64_t behind; /* the offset behind the last call */
    int poison;     /* this number is refused, always */
};

static void take(struct given *given, const struct kafka_batch *batch)
{
    atomic_fetch_add(&given->split, batch->records[0].offset < given->behind);
    given->behind = batch->records[batch->count - 1].offset + 1;
    if ((int)batch->count > given->longest)
        given->longest = (int)batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        char text[16] = "";
        memcpy(text, record->payload.bytes, record->payload.length < 15 ? record->payload.length : 15);
        atomic_fetch_add(&given->wrong, atoi(text) != given->next || !view_equals(record->key, VIEW("k")));
        atomic_fetch_add(&given->without_headers, record->corr == NULL);
        atomic_fetch_add(&given->next, 1);
    }
}

static void hear(void *app, const struct kafka_batch *batch)
{
    take(app, batch);
}

static bool apply(void *app, const struct kafka_batch *batch, struct err *err)
{
    struct given *given = app;
    char number[16];
    const int length = snprintf(number, sizeof number, "%d", given->poison);
    for (size_t i = 0; given->poison && i < batch->count; i++)
        if (view_equals(batch->records[i].payload, (struct view){number, (size_t)length})) {
            atomic_fetch_add(&given->refused, 1);
            return err_set(err, &ERR_BAD_INPUT, "%s", "no");
        }
    take(app, batch);
    return true;
}

static bool read_on(void *app, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    take(app, batch);
    return true;
}

enum { ALL = BUNDLES * (RECORDS + 1) };

TEST(a_listener_and_a_reader_take_bundles_apart, "I1")
{
    const char *topic = test_topic("bundles", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const struct kafka_listening plain[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_START}, {0}},
                                 bare[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_START, .bare = true},
                                           {0}};
    struct given all = {0}, less = {0}, read = {0};
    struct err err = {0};
    send_mixed(producer, topic);
    AUTO(kafka_listener) first = kafka_listener_start(test_env("KAFKA_BROKERS"), "all", plain, &all, &err);
    AUTO(kafka_listener) second = kafka_listener_start(test_env("KAFKA_BROKERS"), "less", bare, &less, &err);
    test_stop_at(first && second, "listeners", &err);
    EVENTUALLY(20000, all.next == ALL && less.next == ALL && kafka_listener_ready(first));
    REQUIRE_OK(kafka_read(test_env("KAFKA_BROKERS"), topic, 0, 0, INT64_MAX, 20000, read_on, &read, &err), &err);
    EXPECT_I64(ALL, read.next);
    EXPECT_I64(0, all.wrong + less.wrong + read.wrong);
    EXPECT_I64(0, all.split + less.split + read.split);
    EXPECT_I64(0, all.without_headers + read.without_headers);
    EXPECT_I64(ALL, less.without_headers);
}

TEST(a_worker_is_given_whole_bundles, "I1")
{
    const char *topic = test_topic("worked", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = apply, .poison = POISON_STOP, .batch_max = 2 * RECORDS}, {0}};
    struct given given = {0};
    send_mixed(producer, topic);
    AUTO(kafka_worker) worker = test_worker(table, &given, producer);
    EVENTUALLY(20000, given.next == ALL);
    EXPECT_I64(0, given.wrong + given.split + given.without_headers);
    EXPECT(given.longest > RECORDS && given.longest < 2 * RECORDS + RECORDS); /* the last bundle may go beyond */
}

TEST(a_bundle_with_a_poison_record_is_put_away_whole, "I1")
{
    const char *topic = test_topic("poison", 1, false);
    char letters[200];
    AUTO(kafka_producer) producer = test_producer(NULL);
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = apply, .poison = POISON_DEAD_LETTER, .batch_max = 1000}, {0}};
    struct given given = {.poison = RECORDS / 2};
    send_mixed(producer, topic);
    (void)snprintf(letters, sizeof letters, "%s.dlq", topic);
    AUTO(kafka_worker) worker = test_worker(table, &given, producer);
    EVENTUALLY(20000, given.next == ALL - RECORDS);
    AUTO(test_reader) reader = test_reader_open(letters, 1);
    EVENTUALLY(20000, test_reader_count(reader) == RECORDS);
    EXPECT_TEXT("1", test_reader_at(reader, 0)->payload);
    EXPECT_TEXT("30", test_reader_at(reader, RECORDS - 1)->payload);
    EXPECT(strstr(test_reader_at(reader, 4)->headers, "x-origin-offset=1\n") != NULL);
    EXPECT_I64(2, given.refused); /* with the others, and alone */
}

/* ---- neighbours that join ---- */

enum { SENT = 3000 };

struct reports {
    atomic_int ok, failed, twice;
    atomic_bool done[SENT];
};
struct report {
    struct reports *all;
    int number;
};

static void on_sent(void *payload, bool ok)
{
    struct report *report = payload;
    atomic_fetch_add(&report->all->twice, atomic_exchange(&report->all->done[report->number], true));
    atomic_fetch_add(ok ? &report->all->ok : &report->all->failed, 1);
}

/* Numbers `from` to below `to`; ten of one key after ten of another, and every hundredth does not join. */
static void send_one_by_one(struct kafka_producer *producer, const char *topic, struct reports *all,
                            struct report *reports, int from, int to)
{
    for (int i = from; i < to; i++) {
        char number[16], corr[16];
        struct err err = {0};
        (void)snprintf(number, sizeof number, "%d", i);
        (void)snprintf(corr, sizeof corr, "me:%d", i);
        const struct kafka_header headers[] = {{"corr", corr}, {NULL, NULL}};
        const struct kafka_message message = {.topic = topic,
                                              .key = view_of(i / 10 % 2 ? "b" : "a"),
                                              .payload = view_of(number),
                                              .headers = headers,
                                              .joins = i % 100 != 0};
        reports[i] = (struct report){all, i};
        test_stop_at(kafka_send(producer, &message, on_sent, &reports[i], &err), "send", &err);
    }
}

/* Each at least once, first tellings in order, under its key and with its header. */
static void expect_all(const struct test_reader *reader)
{
    int next = 0;
    char corr[24];
    for (size_t i = 0; i < reader->count; i++) {
        const struct test_record *record = test_reader_at(reader, i);
        const int number = atoi(record->payload);
        (void)snprintf(corr, sizeof corr, "corr=me:%d\n", number);
        EXPECT_TEXT(corr, record->headers);
        EXPECT_TEXT(number / 10 % 2 ? "b" : "a", record->key);
        if (number > next)
            return (void)EXPECT_I64(next, number);
        next += number == next;
    }
    EXPECT_I64(SENT, next);
}

TEST(neighbours_of_one_key_that_wait_together_leave_as_one, "I1 I2")
{
    static struct reports all;
    static struct report reports[SENT];
    const char *topic = test_topic("joins", 1, false);
    struct err err = {0};
    int64_t messages = 0;
    AUTO(kafka_producer) producer = test_producer(NULL);
    send_one_by_one(producer, topic, &all, reports, 0, SENT);
    EVENTUALLY(20000, all.ok == SENT);
    EXPECT_I64(0, all.failed + all.twice);
    AUTO(test_reader) reader = test_reader_open(topic, 1);
    EVENTUALLY(20000, test_reader_count(reader) == SENT);
    expect_all(reader);
    REQUIRE_OK(kafka_end_offset(producer, topic, 0, 10000, &messages, &err), &err);
    EXPECT(messages < SENT / 3); /* ten of a key at a time */
    int single = 0;
    for (size_t i = 0; i < reader->count; i++)
        single += i % 100 == 0 && strcmp(test_reader_at(reader, i)->payload, "0") != 0 &&
                  test_reader_at(reader, i)->offset != test_reader_at(reader, i - 1)->offset &&
                  test_reader_at(reader, i)->offset != test_reader_at(reader, i + 1)->offset;
    EXPECT_I64(SENT / 100 - 1, single); /* who does not join stands alone */
}

TEST(what_was_joined_is_joined_again_over_the_next_client, "I1 I2")
{
    static struct reports all;
    static struct report reports[SENT];
    const char *topic = test_topic("again", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    for (int i = 0; i < SENT; i += SENT / 5) {
        send_one_by_one(producer, topic, &all, reports, i, i + SENT / 5);
        kafka_producer_break_sender(producer);
    }
    EVENTUALLY(30000, all.ok == SENT);
    EXPECT_I64(0, all.failed + all.twice);
    AUTO(test_reader) reader = test_reader_open(topic, 1);
    EVENTUALLY(20000, test_reader_count(reader) >= SENT &&
                          atoi(test_reader_at(reader, reader->count - 1)->payload) == SENT - 1);
    expect_all(reader);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
