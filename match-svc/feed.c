#include "feed_internal.h"

#include "clock.h"
#include "log.h"
#include "market.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 10,
    PING_SECONDS = 30,
    ASK_ARENA = 1 << 20,
    EVENTS_ARENA = 64 << 20, /* one record of the largest, decoded */
};

/* ---- companies that changed: from the listener to the loop ---- */

static void look_at_all(struct feed *feed)
{
    for (uint32_t i = 0; i < feed->companies.room; i++) {
        for (struct id_node *at = feed->companies.buckets[i]; at; at = at->next)
            company_changed(feed, (struct feed_company *)(void *)at);
    }
}

static void on_changed(void *app, void *payload)
{
    (void)payload;
    struct feed *feed = app;
    struct uuid companies[CHANGED_MAX];
    (void)pthread_mutex_lock(&feed->changed.lock);
    const size_t count = feed->changed.count;
    const bool all = feed->changed.all;
    memcpy(companies, feed->changed.companies, count * sizeof companies[0]);
    feed->changed.count = 0;
    feed->changed.all = feed->changed.posted = false;
    (void)pthread_mutex_unlock(&feed->changed.lock);
    for (size_t i = 0; i < count && !all; i++) {
        struct feed_company *company = (struct feed_company *)(void *)id_map_get(&feed->companies, &companies[i]);
        if (company)
            company_changed(feed, company);
    }
    if (all)
        look_at_all(feed);
    companies_turn(feed, clock_monotonic_ms());
}

static void note_changed(struct feed *feed, const struct uuid *company) /* locked */
{
    for (size_t i = 0; i < feed->changed.count; i++)
        if (memcmp(&feed->changed.companies[i], company, sizeof *company) == 0)
            return;
    if (feed->changed.count < CHANGED_MAX)
        feed->changed.companies[feed->changed.count++] = *company;
    else
        feed->changed.all = true;
}

void feed_hear_depth(struct feed *feed, const struct kafka_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct uuid company;
        if (!table_hear(feed->table, &batch->records[i], &company) || atomic_load(&feed->watched) == 0)
            continue;
        (void)pthread_mutex_lock(&feed->changed.lock);
        note_changed(feed, &company);
        if (!feed->changed.posted)
            feed->changed.posted = ws_post(feed->server, on_changed, NULL);
        (void)pthread_mutex_unlock(&feed->changed.lock);
    }
}

/* ---- trades: from the listener to the loop ---- */

struct heard_trade {
    struct uuid company;
    struct depth_trade trade;
};
struct heard {
    size_t count, room;
    struct heard_trade *trades;
};

static void heard_free(struct feed *feed, struct heard *heard)
{
    atomic_fetch_sub(&feed->trades_in_flight, (int)heard->count);
    free(heard->trades);
    free(heard);
}

static void on_trades(void *app, void *payload)
{
    struct feed *feed = app;
    struct heard *heard = payload;
    for (size_t i = 0; i < heard->count; i++) {
        struct feed_company *company =
            (struct feed_company *)(void *)id_map_get(&feed->companies, &heard->trades[i].company);
        if (company)
            company_trade(feed, company, &heard->trades[i].trade);
    }
    companies_turn(feed, clock_monotonic_ms());
    heard_free(feed, heard);
}

static void hear_trade(struct feed *feed, const struct market_events *events, const struct market_event *event,
                       struct heard *heard)
{
    struct uuid company;
    if (!table_company_at(feed->table, &events->market, event->trade.company, &company))
        return; /* market.depth brings it */
    if (heard->count == heard->room) {
        heard->room = heard->room ? heard->room * 2 : 64;
        heard->trades = mem_grow(heard->trades, heard->room, sizeof *heard->trades);
    }
    heard->trades[heard->count++] = (struct heard_trade){.company = company,
                                                         .trade = {.number = event->trade.number,
                                                                   .price = event->trade.price,
                                                                   .quantity = event->trade.quantity,
                                                                   .at_ms = events->at_ms,
                                                                   .taker_side = event->trade.taker_side}};
}

static void hear_record(struct feed *feed, struct view payload, struct heard *heard)
{
    struct market_events events;
    struct err err = {0};
    arena_reset(feed->events_arena);
    if (!market_events_decode(feed->events_arena, payload, &events, &err)) {
        log_err("market_event_not_readable", &err);
        return;
    }
    for (uint32_t i = 0; i < events.count; i++)
        if (events.events[i].kind == MARKET_TRADE)
            hear_trade(feed, &events, &events.events[i], heard);
}

void feed_hear_events(struct feed *feed, const struct kafka_batch *batch)
{
    struct heard *heard;
    if (atomic_load(&feed->watched_trades) == 0)
        return;
    heard = MEM_NEW(heard);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i].payload.bytes)
            hear_record(feed, batch->records[i].payload, heard);
    /* When the loop is far behind, trades are left out here; viewers get the last ones anew from market.depth. */
    const bool much = atomic_fetch_add(&feed->trades_in_flight, (int)heard->count) > TRADES_IN_FLIGHT;
    if (heard->count == 0 || much || !ws_post(feed->server, on_trades, heard))
        heard_free(feed, heard);
}

/* ---- time ---- */

static void on_tick(void *app)
{
    struct feed *feed = app;
    const int64_t now_ms = clock_monotonic_ms();
    companies_turn(feed, now_ms);
    session_tick(feed, now_ms);
}

static void drain_on_loop(void *app, void *payload)
{
    (void)payload;
    struct feed *feed = app;
    feed->draining = true;
    feed->drained_ms = clock_monotonic_ms();
    feed->drain_until_ms = feed->drained_ms + feed->options.drain_seconds * 1000;
}

void feed_drain(struct feed *feed)
{
    ws_server_drain(feed->server);
    (void)ws_post(feed->server, drain_on_loop, NULL);
}

/* ---- start and stop ---- */

static void metrics_open(struct feed *feed)
{
    struct metric *subscriptions =
        metric_gauge("madang_match_feed_subscriptions", "Subscriptions of viewers by channel", "channel");
    struct metric *frames =
        metric_counter("madang_match_feed_frames_total", "Frames built, each once for all its viewers", "channel");
    for (int channel = 0; channel < FEED_CHANNELS; channel++) {
        feed->m_subscriptions[channel] = METRIC_CHILD(subscriptions, feed_channel_name((enum feed_channel)channel));
        feed->m_frames[channel] = METRIC_CHILD(frames, feed_channel_name((enum feed_channel)channel));
    }
    feed->m_viewers = METRIC_CHILD(metric_gauge("madang_match_feed_viewers", "Open sockets of /ws/market", NULL));
    feed->m_delivered =
        METRIC_CHILD(metric_counter("madang_match_feed_delivered_total", "Frames given to viewers", NULL));
    feed->m_conflated = METRIC_CHILD(
        metric_counter("madang_match_feed_conflated_total", "Frames not given to viewers that were behind", NULL));
    feed->m_cut =
        METRIC_CHILD(metric_counter("madang_match_feed_cut_total", "Viewers that stayed behind and were cut", NULL));
    feed->m_refused =
        METRIC_CHILD(metric_counter("madang_match_feed_refused_total", "Frames of viewers that were refused", NULL));
    feed->m_holes = METRIC_CHILD(
        metric_counter("madang_match_feed_holes_total", "Holes in a company's trades; they were told anew", NULL));
}

static bool announce(struct feed *feed, struct backend *backend, struct err *err)
{
    const struct feed_options *options = &feed->options;
    char host[64], address[96];
    int port;
    if (!service_split_address(options->listen, host, &port, err))
        return false;
    (void)snprintf(address, sizeof address, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
                   ws_server_port(feed->server));
    return backend_announce(backend, "match-ws", *options->advertise ? options->advertise : address, err);
}

static bool serve(struct feed *feed, struct err *err)
{
    const struct feed_options *options = &feed->options;
    feed->server = ws_server_start(&(struct ws_options){.listen = options->listen,
                                                        .gateway_addresses = options->gateway_addresses,
                                                        .path = "/ws/market",
                                                        .message_max = FEED_ASK_MAX,
                                                        .output_max = options->output_max,
                                                        .connections_max = options->connections_max,
                                                        .ping_seconds = PING_SECONDS,
                                                        .metrics_prefix = "madang_match",
                                                        .app = feed,
                                                        .open = session_open,
                                                        .message = session_message,
                                                        .closed = session_closed,
                                                        .tick = on_tick,
                                                        .tick_ms = TICK_MS},
                                   err);
    return feed->server != NULL;
}

struct feed *feed_start(const struct feed_options *options, struct table *table, struct backend *backend,
                        struct err *err)
{
    AUTO(feed) feed = MEM_NEW(feed);
    feed->options = *options;
    feed->table = table;
    feed->arena = arena_open(ASK_ARENA);
    feed->events_arena = arena_open(EVENTS_ARENA);
    (void)pthread_mutex_init(&feed->changed.lock, NULL);
    metrics_open(feed);
    if (!serve(feed, err) || !announce(feed, backend, err))
        return NULL;
    atomic_store(&feed->open, true);
    return TAKE(feed);
}

int feed_port(const struct feed *feed)
{
    return ws_server_port(feed->server);
}

void feed_release(struct feed **feed)
{
    struct feed *f = *feed;
    if (!f)
        return;
    ws_server_release(&f->server); /* closes all sockets: with the last viewer the last company goes */
    free(f->companies.buckets);
    arena_release(&f->arena);
    arena_release(&f->events_arena);
    str_free(&f->scratch);
    (void)pthread_mutex_destroy(&f->changed.lock);
    free(f);
    *feed = NULL;
}
