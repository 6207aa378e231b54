/* owner_kit.h - the owner with real stores: topics of one partition and a schema of the test's own; commands go to the
 * log, and the owner is fed from it as a worker would. What market.events holds is compared with a straight run of the
 * engine over the same log, by code of its own. */
#ifndef MADANG_TESTS_MATCH_OWNER_KIT_H
#define MADANG_TESTS_MATCH_OWNER_KIT_H

#include "book.h"
#include "depth.h"
#include "metrics.h"
#include "migrate.h"
#include "owner.h"
#include "test_kafka.h"
#include "test_store.h"

extern const struct migration MATCH_MIGRATIONS[];

enum { KIT_PEOPLE = 8, KIT_COMPANIES = 3, KIT_WAIT_MS = 10000 };

struct world {
    const char *commands, *events; /* topics */
    struct kafka_producer *producer;
    struct pg_pool *db;
    struct match_app app;      /* of the owner at work */
    int64_t fed;               /* commands below this offset went to it */
    size_t bundle;             /* so many commands of one market make one message; 0: one */
    uint64_t n;                /* of the only sender */
    struct outgoing *outgoing; /* commands that were not sent yet: they leave together */
    size_t outgoing_count;
};

struct outgoing {
    struct str bytes;
    char key[UUID_TEXT_BYTES], corr[40];
    struct kafka_header headers[2];
};

static inline struct owner *world_owner_with(struct world *world, int64_t snapshot_commands, int64_t linger_seconds)
{
    struct err err = {0};
    struct owner *owner = owner_open(&(struct owner_options){.brokers = test_env("KAFKA_BROKERS"),
                                                             .producer = world->producer,
                                                             .db = world->db,
                                                             .commands_topic = world->commands,
                                                             .events_topic = world->events,
                                                             .snapshot_commands = snapshot_commands,
                                                             .snapshot_seconds = 86400,
                                                             .linger_seconds = linger_seconds,
                                                             .orders_max = 100000,
                                                             .accounts_max = 100,
                                                             .bundles = true},
                                     &err);
    test_stop_at(owner != NULL, "owner", &err);
    return owner;
}

/* Snapshots only when a partition is given back, and closed markets stay. */
static inline struct owner *world_owner(struct world *world)
{
    return world_owner_with(world, 1000000, 86400);
}

static inline struct world world_open(const char *name)
{
    static struct pg_pool *db; /* one for all worlds */
    struct err err = {0};
    char events[40];
    db = db ? db : test_pool("owner", 8);
    (void)snprintf(events, sizeof events, "%s.events", name);
    struct world world = {.commands = test_topic(name, 1, false),
                          .events = test_topic(events, 1, false),
                          .producer = test_producer(NULL),
                          .db = db};
    test_stop_at(migrate_up(world.db, MATCH_MIGRATIONS, &err), "migrate", &err);
    (void)test_sql("DELETE FROM markets");
    world.app.owner = world_owner(&world);
    return world;
}

static inline void world_close(struct world *world)
{
    owner_release(&world->app.owner);
    kafka_producer_release(&world->producer);
    free(world->outgoing);
}
#define WORLD(variable, name) __attribute__((cleanup(world_close))) struct world variable = world_open(name)

/* ---- commands ---- */

static inline struct uuid world_id(void)
{
    char text[UUID_TEXT_BYTES];
    struct uuid id;
    uuid_new(text);
    (void)uuid_parse(text, &id);
    return id;
}

static inline void world_send_as(struct world *world, struct market_command *command, uint64_t n, const char *corr)
{
    world->outgoing = mem_grow(world->outgoing, world->outgoing_count + 1, sizeof *world->outgoing);
    struct outgoing *outgoing = &world->outgoing[world->outgoing_count++];
    *outgoing = (struct outgoing){0};
    str_init(&outgoing->bytes);
    command->source = 7;
    command->n = n;
    market_command_encode(&outgoing->bytes, command);
    uuid_format(&command->market, outgoing->key);
    (void)snprintf(outgoing->corr, sizeof outgoing->corr, "%s", corr ? corr : "");
}

/* Of the commands that wait, from `first` on: how many make one message. */
static inline size_t world_together(const struct world *world, size_t first)
{
    size_t count = 1;
    while (count < world->bundle && first + count < world->outgoing_count &&
           strcmp(world->outgoing[first + count].key, world->outgoing[first].key) == 0)
        count++;
    return count;
}

static inline void world_flush(struct world *world)
{
    if (!world->outgoing_count)
        return;
    struct err err = {0};
    AUTO_FREE struct kafka_message *messages = mem_new(world->outgoing_count, sizeof *messages);
    AUTO_FREE struct str *bundles = mem_new(world->outgoing_count, sizeof *bundles);
    size_t count = 0;
    for (size_t i = 0, more; i < world->outgoing_count; i += more, count++) {
        struct outgoing *first = &world->outgoing[i];
        more = world_together(world, i);
        for (size_t j = i; j < i + more; j++)
            if (*world->outgoing[j].corr)
                world->outgoing[j].headers[0] = (struct kafka_header){"corr", world->outgoing[j].corr};
        messages[count] = (struct kafka_message){.topic = world->commands,
                                                 .key = view_of(first->key),
                                                 .payload = {first->bytes.bytes, first->bytes.length},
                                                 .headers = first->headers};
        if (more == 1)
            continue;
        struct str *bundle = &bundles[count];
        str_init(bundle);
        kafka_bundle_begin(bundle);
        for (size_t j = i; j < i + more; j++)
            kafka_bundle_add(bundle, (struct view){world->outgoing[j].bytes.bytes, world->outgoing[j].bytes.length},
                             world->outgoing[j].headers);
        messages[count].payload = (struct view){bundle->bytes, bundle->length};
        messages[count].headers = NULL;
    }
    test_stop_at(kafka_send_all(world->producer, messages, count, 10000, &err), "send", &err);
    for (size_t i = 0; i < world->outgoing_count; i++)
        str_free(&world->outgoing[i].bytes);
    for (size_t i = 0; i < count; i++)
        str_free(&bundles[i]);
    world->outgoing_count = 0;
}

static inline void world_send(struct world *world, struct market_command *command)
{
    world_send_as(world, command, ++world->n, NULL);
}

struct scene { /* a market with people and a bot that gives them something to take */
    struct uuid market, people[KIT_PEOPLE], bot, orders[64];
    size_t order_count;
};

static inline struct scene scene_open(struct world *world)
{
    struct scene scene = {.market = world_id(), .bot = world_id()};
    struct market_command command = {
        .kind = MARKET_OPEN,
        .market = scene.market,
        .open = {.seed_cash = 10000000, .tick = 5, .price_min = 5, .price_max = 5000, .company_count = KIT_COMPANIES}};
    for (int i = 0; i < KIT_COMPANIES; i++)
        command.open.companies[i] = (struct market_company){world_id(), 500};
    for (int i = 0; i < KIT_PEOPLE; i++)
        scene.people[i] = world_id();
    world_send(world, &command);
    command = (struct market_command){
        .kind = MARKET_DEPOSIT,
        .market = scene.market,
        .deposit = {.deposit_id = world_id(), .account = scene.bot, .cash = 1000000000, .company_count = 3}};
    for (int i = 0; i < KIT_COMPANIES; i++)
        command.deposit.shares[i] = 100000;
    world_send(world, &command);
    world_send(world, &(struct market_command){.kind = MARKET_START, .market = scene.market});
    return scene;
}

static inline struct market_command scene_place(struct scene *scene, struct uuid order, struct uuid account, bool bot,
                                                int side, int64_t price, int64_t quantity)
{
    return (struct market_command){.kind = MARKET_PLACE,
                                   .market = scene->market,
                                   .order = {.order_id = order,
                                             .account = account,
                                             .side = (uint8_t)side,
                                             .bot = bot,
                                             .price = price,
                                             .quantity = quantity,
                                             .client_order_id = {"", 0}}};
}

/* Whatever a player may do, and now and then what none should. */
static inline struct market_command scene_any(struct scene *scene)
{
    const uint64_t dice = test_random();
    const int kind = (int)(dice % 16);
    const bool bot = dice >> 8 & 1;
    const struct uuid who = bot ? scene->bot : scene->people[(dice >> 16) % KIT_PEOPLE];
    const struct uuid known = scene->order_count ? scene->orders[(dice >> 24) % scene->order_count] : who;
    const int64_t price = 450 + 5 * (int64_t)((dice >> 32) % 21), quantity = 1 + (int64_t)((dice >> 40) % 50);
    if (kind == 0)
        return (struct market_command){
            .kind = MARKET_CANCEL_ALL, .market = scene->market, .cancel_all = {.account = who}};
    if (kind <= 2)
        return (struct market_command){
            .kind = MARKET_CANCEL, .market = scene->market, .order = {.order_id = known, .account = who}};
    if (kind <= 4)
        return (struct market_command){
            .kind = MARKET_AMEND,
            .market = scene->market,
            .order = {.order_id = known, .account = who, .price = price, .quantity = quantity}};
    const struct uuid id = world_id();
    scene->orders[scene->order_count < 64 ? scene->order_count++ : (dice >> 24) % 64] = id;
    struct market_command command = scene_place(scene, id, who, bot, (int)(dice >> 48 & 1), price, quantity);
    command.order.company = (uint8_t)((dice >> 50) % KIT_COMPANIES);
    command.order.tif = kind == 5 ? TIF_IOC : TIF_GTC;
    return command;
}

static inline void scene_play(struct world *world, struct scene *scene, int commands)
{
    for (int i = 0; i < commands; i++) {
        struct market_command command = scene_any(scene);
        world_send(world, &command);
    }
}

/* ---- the owner's worker ---- */

static inline int64_t world_end(struct world *world, const char *topic)
{
    struct err err = {0};
    int64_t end;
    world_flush(world);
    test_stop_at(kafka_end_offset(world->producer, topic, 0, 10000, &end, &err), topic, &err);
    return end;
}

static inline bool world_hand_on(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return owner_apply(payload, batch, err);
}

/* The commands up to `to` go to the owner at work. */
static inline bool world_feed_to(struct world *world, int64_t to, struct err *err)
{
    world_flush(world);
    const bool ok = kafka_read(test_env("KAFKA_BROKERS"), world->commands, 0, world->fed, to, 10000, world_hand_on,
                               &world->app, err);
    if (ok)
        world->fed = to;
    return ok;
}

static inline bool world_feed(struct world *world)
{
    struct err err = {0};
    const bool ok = world_feed_to(world, world_end(world, world->commands), &err);
    test_stop_at(ok, "feed", &err);
    return ok;
}

static inline bool world_assign(struct world *world)
{
    struct err err = {0};
    world_flush(world);
    const bool ok = owner_assigned(&world->app, world->commands, 0, &err);
    test_stop_at(ok, "assigned", &err);
    return ok;
}

/* The owner at work is gone as if killed; another takes the partition. */
static inline void world_next_owner(struct world *world)
{
    owner_release(&world->app.owner);
    world->app.owner = world_owner(world);
    (void)world_assign(world);
}

/* The owner gives its partition back in good order, which stores all its markets; then it has it again. */
static inline void world_store(struct world *world)
{
    owner_revoked(&world->app, world->commands, 0);
    owner_release(&world->app.owner); /* waits for what is being stored */
    world->app.owner = world_owner(world);
    (void)world_assign(world);
}

static inline int64_t world_metric(const char *family, const char *label)
{
    return metric_value(METRIC_CHILD(metric_counter(family, "", "result"), label));
}

static inline int64_t world_markets(const char *state)
{
    return metric_value(METRIC_CHILD(metric_gauge("madang_match_markets", "", "state"), state));
}

/* ---- a straight run over the log, and what market.events has ---- */

struct line { /* one record of events */
    struct uuid market;
    int64_t first_seq, count;
    char *bytes;
    size_t length;
};

struct lines {
    struct line *items;
    size_t count, doubles;
    bool gap, differ;
};

static inline void lines_add(struct lines *lines, const struct uuid *market, struct view bytes, int64_t first_seq,
                             int64_t count)
{
    const struct line *last = NULL;
    for (size_t i = 0; i < lines->count; i++)
        if (memcmp(&lines->items[i].market, market, sizeof *market) == 0)
            last = &lines->items[i];
    if (last && first_seq < last->first_seq + last->count) { /* a double: some record of before, byte for byte */
        bool same = false;
        for (size_t i = 0; i < lines->count; i++)
            same |= memcmp(&lines->items[i].market, market, sizeof *market) == 0 &&
                    lines->items[i].first_seq == first_seq && lines->items[i].length == bytes.length &&
                    memcmp(lines->items[i].bytes, bytes.bytes, bytes.length) == 0;
        lines->doubles++;
        lines->differ |= !same;
        return;
    }
    lines->gap |= first_seq != (last ? last->first_seq + last->count : 1);
    lines->items = mem_grow(lines->items, lines->count + 1, sizeof *lines->items);
    lines->items[lines->count++] =
        (struct line){*market, first_seq, count, test_bytes(bytes.bytes, bytes.length), bytes.length};
}

static inline void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i].bytes);
    free(lines->items);
}
#define LINES __attribute__((cleanup(lines_free))) struct lines

static inline bool lines_hear(void *payload, const struct kafka_batch *batch, struct err *err)
{
    AUTO(arena) arena = arena_open(64 << 20);
    for (size_t i = 0; i < batch->count; i++) {
        struct market_events events;
        if (!market_events_decode(arena, batch->records[i].payload, &events, err))
            return false;
        lines_add(payload, &events.market, batch->records[i].payload, events.first_seq, events.count);
    }
    return true;
}

static inline struct lines world_told(struct world *world)
{
    struct err err = {0};
    struct lines lines = {0};
    test_stop_at(kafka_read(test_env("KAFKA_BROKERS"), world->events, 0, 0, INT64_MAX, 10000, lines_hear, &lines, &err),
                 "events", &err);
    return lines;
}

/* How many records of events there are, doubles too: a message may be many. */
static inline int64_t world_told_count(struct world *world)
{
    LINES told = world_told(world);
    return (int64_t)(told.count + told.doubles);
}

struct straight {
    struct lines lines;
    struct {
        struct uuid market;
        struct book *book;
    } books[8];
    size_t book_count;
    const struct kafka_record *record;
    struct uuid market;
    struct str bytes;
    int64_t first_seq, last_seq;
};

static inline void straight_emit(void *payload, const struct market_event *event)
{
    struct straight *straight = payload;
    if (!straight->bytes.length) {
        straight->first_seq = event->seq;
        market_events_begin(&straight->bytes, &straight->market, straight->record->offset,
                            straight->record->timestamp_ms, event->seq);
    }
    straight->last_seq = event->seq;
    market_events_add(&straight->bytes, event);
}

static inline bool straight_run(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct straight *straight = payload;
    for (size_t i = 0; i < batch->count; i++) {
        struct market_command command;
        struct book *book = NULL;
        if (!market_command_decode(batch->records[i].payload, &command, err))
            return false;
        for (size_t b = 0; b < straight->book_count; b++)
            if (memcmp(&straight->books[b].market, &command.market, sizeof command.market) == 0)
                book = straight->books[b].book;
        if (!book && command.kind != MARKET_OPEN)
            continue;
        if (!book) {
            book = straight->books[straight->book_count].book = book_open(&(struct book_limits){100000, 100});
            straight->books[straight->book_count++].market = command.market;
        }
        straight->record = &batch->records[i];
        straight->market = command.market;
        str_clear(&straight->bytes);
        book_apply(book, &command, straight->record->timestamp_ms, straight_emit, straight);
        if (straight->bytes.length)
            lines_add(&straight->lines, &command.market, (struct view){straight->bytes.bytes, straight->bytes.length},
                      straight->first_seq, straight->last_seq - straight->first_seq + 1);
    }
    return true;
}

static inline struct lines world_straight(struct world *world)
{
    struct err err = {0};
    struct straight straight = {0};
    str_init(&straight.bytes);
    test_stop_at(
        kafka_read(test_env("KAFKA_BROKERS"), world->commands, 0, 0, INT64_MAX, 10000, straight_run, &straight, &err),
        "straight", &err);
    for (size_t i = 0; i < straight.book_count; i++)
        book_release(&straight.books[i].book);
    str_free(&straight.bytes);
    return straight.lines;
}

/* What was told, doubles dropped, is what a straight run over the log tells: nothing less, nothing else. */
static inline bool world_is_straight(struct world *world, size_t *doubles)
{
    LINES told = world_told(world);
    LINES expected = world_straight(world);
    bool same = !told.gap && !told.differ && told.count == expected.count && told.count > 0;
    for (size_t i = 0; same && i < told.count; i++)
        same = told.items[i].length == expected.items[i].length &&
               memcmp(told.items[i].bytes, expected.items[i].bytes, told.items[i].length) == 0;
    if (!same)
        printf("told %zu records (%zu doubles, gap %d, differ %d), expected %zu\n", told.count, told.doubles, told.gap,
               told.differ, expected.count);
    if (doubles)
        *doubles = told.doubles;
    return same;
}

#endif
