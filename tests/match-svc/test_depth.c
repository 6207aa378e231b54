/* What the owner publishes: never more often than set, never two of a company at once, always the last state; what
 * could not be sent is sent in its newest form; a former owner falls silent; closed companies leave. The broker is this
 * file (--wrap=kafka_send). */
#include "depth.h"

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "test.h"

#include <pthread.h>
#include <stdlib.h>

enum { EVERY_MS = 20, SENT_MAX = 4096, IDLE_MS = 7200000 };

static const struct uuid MARKET = {"the market"}, COMPANIES[2] = {{"first company"}, {"second company"}};
static const struct uuid MAKER = {"the maker"}, TAKER = {"the taker"};

/* ---- the broker ---- */

static struct broker {
    pthread_mutex_t lock;
    struct depth_state sent[SENT_MAX]; /* what was acknowledged */
    size_t count, tombstones;
    bool full;    /* refuses */
    bool failing; /* gives up */
    bool silent;  /* answers later */
    kafka_sent_fn waiting;
    void *payload;
    size_t in_flight, most_in_flight;
    struct table *table; /* hears what was acknowledged */
} broker = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool __wrap_kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err);

static void hear(const struct kafka_message *message)
{
    const struct kafka_record record = {.key = message->key, .payload = message->payload};
    struct uuid company;
    (void)pthread_mutex_lock(&broker.lock);
    struct table *table = broker.table;
    (void)pthread_mutex_unlock(&broker.lock);
    (void)table_hear(table, &record, &company);
}

bool __wrap_kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err)
{
    (void)producer;
    struct err why = {0};
    (void)pthread_mutex_lock(&broker.lock);
    const bool taken = !broker.full, later = taken && broker.silent && done, ok = !broker.failing;
    if (taken && ok && message->payload.bytes && broker.count < SENT_MAX) {
        if (!later && depth_decode(message->payload, &broker.sent[broker.count], &why))
            broker.count++;
    }
    broker.tombstones += taken && ok && !message->payload.bytes;
    if (later) {
        broker.waiting = done;
        broker.payload = payload;
        broker.in_flight++;
        broker.most_in_flight = broker.in_flight > broker.most_in_flight ? broker.in_flight : broker.most_in_flight;
    }
    (void)pthread_mutex_unlock(&broker.lock);
    if (!taken)
        return err_set(err, &ERR_UNAVAILABLE, "full");
    if (ok && !later)
        hear(message);
    if (done && !later)
        done(payload, ok);
    return true;
}

static size_t sent_count(void)
{
    (void)pthread_mutex_lock(&broker.lock);
    const size_t count = broker.count;
    (void)pthread_mutex_unlock(&broker.lock);
    return count;
}

static void broker_is(bool full, bool failing)
{
    (void)pthread_mutex_lock(&broker.lock);
    broker.full = full;
    broker.failing = failing;
    (void)pthread_mutex_unlock(&broker.lock);
}

/* The newest of a company; seq 0: none. */
static struct depth_state last_sent(int company)
{
    struct depth_state last = {0};
    (void)pthread_mutex_lock(&broker.lock);
    for (size_t i = 0; i < broker.count; i++)
        if (broker.sent[i].index == company)
            last = broker.sent[i];
    (void)pthread_mutex_unlock(&broker.lock);
    return last;
}

/* The number of the last trade of the first company. */
static int64_t last_trade(void)
{
    const struct depth_state last = last_sent(0);
    return trades_last(&last.trades);
}

/* ---- an owner ---- */

struct scene {
    struct table *table;
    struct depth *depth;
    struct depth_market *market;
    struct book *book;
    uint64_t n;
    int64_t at_ms, orders;
};

static void on_event(void *payload, const struct market_event *event)
{
    struct scene *scene = payload;
    if (scene->market)
        depth_event(scene->market, event, scene->at_ms);
}

static void give(struct scene *scene, struct market_command *command)
{
    command->market = MARKET;
    command->source = 1;
    command->n = ++scene->n;
    book_apply(scene->book, command, scene->at_ms, on_event, scene);
}

static void order(struct scene *scene, struct uuid account, int company, int side, int64_t price, int64_t quantity)
{
    struct market_command place = {.kind = MARKET_PLACE};
    scene->orders++;
    memcpy(place.order.order_id.bytes, &scene->orders, sizeof scene->orders);
    place.order.account = account;
    place.order.bot = true;
    place.order.company = (uint8_t)company;
    place.order.side = (uint8_t)side;
    place.order.type = TYPE_LIMIT;
    place.order.price = price;
    place.order.quantity = quantity;
    place.order.client_order_id = (struct view){"", 0};
    give(scene, &place);
}

static void deposit(struct scene *scene, struct uuid account)
{
    struct market_command command = {.kind = MARKET_DEPOSIT};
    command.deposit.deposit_id = command.deposit.account = account;
    command.deposit.cash = INT64_C(1000000000000);
    command.deposit.company_count = 2;
    command.deposit.shares[0] = command.deposit.shares[1] = 1000000;
    give(scene, &command);
}

static struct scene scene_open(int64_t keep_ms)
{
    struct err err = {0};
    struct scene scene = {.table = table_open(), .at_ms = clock_now_ms()};
    struct market_command open = {.kind = MARKET_OPEN}, start = {.kind = MARKET_START};
    broker.table = scene.table;
    table_is_whole(scene.table);
    broker.count = broker.tombstones = broker.most_in_flight = broker.in_flight = 0;
    broker.full = broker.failing = broker.silent = false;
    scene.depth = depth_open(
        NULL, scene.table, &(struct depth_options){.every_ms = EVERY_MS, .keep_ms = keep_ms, .idle_ms = IDLE_MS}, &err);
    scene.market = depth_market_open(scene.depth, &MARKET);
    scene.book = book_open(&(struct book_limits){100000, 100});
    open.open = (struct market_rules){
        .seed_cash = 10000000, .tick = 10000, .price_min = 10000, .price_max = 10000000, .company_count = 2};
    for (int i = 0; i < 2; i++)
        open.open.companies[i] = (struct market_company){COMPANIES[i], 500000};
    give(&scene, &open);
    deposit(&scene, MAKER);
    deposit(&scene, TAKER);
    give(&scene, &start);
    return scene;
}

static void scene_close(struct scene *scene)
{
    depth_market_release(&scene->market);
    depth_release(&scene->depth);
    book_release(&scene->book);
    table_release(&scene->table);
}

static void note(struct scene *scene)
{
    depth_note(scene->market, scene->book, scene->at_ms);
}

/* ---- tests ---- */

TEST(the_first_note_tells_all_companies_and_then_those_that_changed, "S-42")
{
    struct scene scene = scene_open(3600000);
    note(&scene);
    EVENTUALLY(5000, sent_count() == 2);
    order(&scene, MAKER, 1, SIDE_BUY, 490000, 7);
    note(&scene);
    EVENTUALLY(5000, sent_count() == 3);
    const struct depth_state state = last_sent(1);
    EXPECT_I64(book_seq(scene.book), state.seq);
    EXPECT_I64(DEPTH_OPEN, state.phase);
    EXPECT_I64(scene.at_ms, state.at_ms);
    EXPECT_I64(1, state.bids.count);
    EXPECT_I64(7, state.bids.levels[0].quantity);
    EXPECT(memcmp(&COMPANIES[1], &state.company, sizeof state.company) == 0);
    EXPECT(memcmp(&MARKET, &state.market, sizeof state.market) == 0);
    scene_close(&scene);
}

TEST(a_company_is_published_at_the_set_pace_and_its_last_state_always, "S-42")
{
    struct scene scene = scene_open(3600000);
    const int64_t started_ms = clock_monotonic_ms();
    for (int i = 0; i < 200; i++) {
        order(&scene, MAKER, 0, SIDE_BUY, 400000 + i % 5 * 10000, 1);
        note(&scene);
        test_pause();
    }
    EVENTUALLY(5000, last_sent(0).seq == book_seq(scene.book));
    size_t sent = 0;
    for (size_t i = 0; i < broker.count; i++)
        sent += broker.sent[i].index == 0;
    EXPECT((int64_t)sent <= (clock_monotonic_ms() - started_ms) / EVERY_MS + 2);
    EXPECT(sent_count() < 200);
    scene_close(&scene);
}

TEST(what_is_refused_or_given_up_is_sent_again_in_its_newest_form, "S-42 S-45")
{
    struct scene scene = scene_open(3600000);
    for (int way = 0; way < 2; way++) {
        broker_is(way == 0, way == 1);
        const size_t before = sent_count();
        for (int i = 0; i < 5; i++) {
            order(&scene, MAKER, 0, SIDE_BUY, 400000, 1);
            note(&scene);
            test_pause();
        }
        EXPECT_I64(before, sent_count());
        broker_is(false, false);
        EVENTUALLY(5000, last_sent(0).seq == book_seq(scene.book)); /* without a note after it */
        EXPECT_I64(5 * (way + 1), last_sent(0).bids.levels[0].quantity);
    }
    scene_close(&scene);
}

TEST(one_record_of_a_company_is_on_its_way_at_a_time_and_may_come_back_after_the_end, "S-42")
{
    struct scene scene = scene_open(3600000);
    note(&scene);
    EVENTUALLY(5000, sent_count() == 2);
    broker.silent = true;
    for (int i = 0; i < 20; i++) {
        order(&scene, MAKER, 0, SIDE_BUY, 400000, 1);
        note(&scene);
        test_pause();
    }
    EVENTUALLY(5000, broker.in_flight == 1);
    EXPECT_I64(1, broker.most_in_flight);
    scene_close(&scene);
    broker.waiting(broker.payload, false); /* what it points to is still there: the sanitizers say otherwise */
}

TEST(a_former_owner_falls_silent_and_a_new_one_has_the_trades_of_the_old, "S-42 S-54")
{
    struct scene old = scene_open(3600000);
    for (int i = 0; i < 5; i++) {
        order(&old, MAKER, 0, SIDE_SELL, 500000, 1);
        order(&old, TAKER, 0, SIDE_BUY, 500000, 1);
    }
    note(&old);
    EVENTUALLY(5000, last_sent(0).trades.count == 5);
    AUTO_STR snapshot = {0};
    struct err err = {0};
    book_save(old.book, &snapshot);

    struct scene new = old; /* another instance: its own engine from the snapshot, the table that all hear */
    new.book = book_restore((struct view){snapshot.bytes, snapshot.length}, &(struct book_limits){100000, 100}, &err);
    REQUIRE(new.book != NULL);
    new.depth = depth_open(NULL, old.table,
                           &(struct depth_options){.every_ms = EVERY_MS, .keep_ms = 3600000, .idle_ms = IDLE_MS}, &err);
    new.market = depth_market_open(new.depth, &MARKET);
    const size_t before = sent_count();
    depth_note(new.market, new.book, new.at_ms);
    EVENTUALLY(5000, sent_count() == before + 2); /* published again */
    EXPECT_I64(5, last_sent(0).trades.count);
    order(&new, MAKER, 0, SIDE_SELL, 500000, 1);
    order(&new, TAKER, 0, SIDE_BUY, 500000, 1);
    order(&new, MAKER, 0, SIDE_BUY, 450000, 3);
    depth_note(new.market, new.book, new.at_ms);
    EVENTUALLY(5000, last_trade() == 6);
    EXPECT_I64(6, last_sent(0).trades.count);
    EXPECT_I64(1, last_sent(0).trades.items[0].number);

    order(&old, MAKER, 0, SIDE_BUY, 440000, 9); /* it has not noticed yet: less than the new one knows */
    note(&old);
    order(&new, MAKER, 1, SIDE_BUY, 450000, 1);
    depth_note(new.market, new.book, new.at_ms);
    EVENTUALLY(5000, last_sent(1).seq == book_seq(new.book));
    depth_market_release(&old.market);
    depth_release(&old.depth); /* sends what it still would */
    EXPECT_I64(6, last_trade());
    book_release(&old.book);
    scene_close(&new);
}

TEST(companies_of_a_closed_market_leave_after_their_time, "S-42")
{
    struct scene scene = scene_open(200);
    struct market_command close = {.kind = MARKET_CLOSE};
    note(&scene);
    EVENTUALLY(5000, table_count(scene.table) == 2);
    scene.at_ms = clock_now_ms();
    give(&scene, &close);
    note(&scene);
    EVENTUALLY(5000, last_sent(0).phase == DEPTH_CLOSED);
    EVENTUALLY(5000, table_count(scene.table) == 0);
    EXPECT(broker.tombstones >= 2);
    const size_t before = sent_count();
    depth_market_release(&scene.market); /* taken over much later: nothing comes back */
    scene.market = depth_market_open(scene.depth, &MARKET);
    note(&scene);
    depth_market_release(&scene.market);
    depth_release(&scene.depth);
    EXPECT_I64(before, sent_count());
    scene_close(&scene);
}

TEST(companies_of_a_market_that_nobody_closed_leave_when_nothing_happens_any_more, "S-42 S-46")
{
    struct scene scene = scene_open(200); /* looked at every 101 ms */
    scene.at_ms = clock_now_ms() - IDLE_MS - 1000;
    note(&scene);
    EVENTUALLY(5000, sent_count() >= 2);
    EVENTUALLY(5000, table_count(scene.table) == 0);
    EXPECT(broker.tombstones >= 2);
    scene.at_ms = clock_now_ms(); /* somebody trades there after all */
    order(&scene, MAKER, 0, SIDE_BUY, 440000, 9);
    note(&scene);
    EVENTUALLY(5000, table_count(scene.table) == 1);
    EXPECT_I64(440000, last_sent(0).bids.levels[0].price);
    scene_close(&scene);
}

TEST(nothing_is_published_before_the_table_knows_what_was, "S-42 S-54")
{
    struct scene old = scene_open(3600000);
    AUTO_STR record = {0};
    struct err err = {0};
    order(&old, MAKER, 0, SIDE_SELL, 500000, 1);
    order(&old, TAKER, 0, SIDE_BUY, 500000, 1);
    note(&old);
    EVENTUALLY(5000, last_trade() == 1 && sent_count() == 2); /* both companies */
    const struct depth_state published = last_sent(0);
    depth_encode(&record, &published);

    AUTO(table) table = table_open(); /* of an instance that has just started */
    struct depth *depth =
        depth_open(NULL, table, &(struct depth_options){.every_ms = EVERY_MS, .keep_ms = 3600000}, &err);
    struct depth_market *market = depth_market_open(depth, &MARKET);
    const size_t before = sent_count();
    struct uuid company;
    (void)pthread_mutex_lock(&broker.lock);
    broker.table = table;
    (void)pthread_mutex_unlock(&broker.lock);
    depth_note(market, old.book, old.at_ms); /* it has replayed nothing: a snapshot was new enough */
    for (int i = 0; i < 20; i++)
        test_pause();
    EXPECT_I64(before, sent_count());
    EXPECT(table_hear(table, &(struct kafka_record){.payload = {record.bytes, record.length}}, &company));
    table_is_whole(table);
    EVENTUALLY(5000, sent_count() == before + 2);
    EXPECT_I64(1, last_trade());
    depth_market_release(&market);
    depth_release(&depth);
    scene_close(&old);
}
