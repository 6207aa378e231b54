#include "depth.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    SWEEP_MS = 5000, /* between two looks for companies whose time is over; shorter when keep_ms is */
    SWEEP_MOST = 64,
    WHOLE_PAUSE_MS = 20, /* between two looks whether the table is whole: before that nothing is told */
};

/* A company of a market: what it looks like now, and how far that is on its way. Under the lock. */
struct slot {
    struct slot *next;
    struct depth *depth;
    struct depth_state state;
    int64_t sent_ms;
    bool dirty;     /* not sent in this form */
    bool in_flight; /* one record at a time: what comes meanwhile is one newer record afterwards */
    bool left;      /* its market was released */
};

struct depth {
    struct kafka_producer *producer;
    struct table *table;
    struct depth_options options;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool thread_runs, stopping;
    int references; /* the owner's, and one for each record in flight */
    struct slot *slots;
    int64_t sweep_ms; /* when to look for tombstones next */
    struct metric_child *m_sent, *m_failed, *m_outdated, *m_tombstones;
};

/* Of the owner's thread alone. */
struct depth_market {
    struct depth *depth;
    struct uuid id;
    bool noted;
    enum depth_phase phase; /* as last noted */
    struct depth_trades trades[MARKET_COMPANIES_MAX];
    struct slot *slots[MARKET_COMPANIES_MAX];
};

/* ---- records ---- */

static void let_go(struct depth *depth) /* locked; unlocks */
{
    const bool last = --depth->references == 0;
    (void)pthread_mutex_unlock(&depth->lock);
    if (!last)
        return;
    for (struct slot *at = depth->slots, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    (void)pthread_cond_destroy(&depth->wake);
    (void)pthread_mutex_destroy(&depth->lock);
    free(depth);
}

/* On a thread of the producer. */
static void on_sent(void *payload, bool ok)
{
    struct slot *slot = payload;
    struct depth *depth = slot->depth;
    metric_add(ok ? depth->m_sent : depth->m_failed, 1);
    (void)pthread_mutex_lock(&depth->lock);
    slot->in_flight = false;
    slot->dirty |= !ok;
    if (slot->dirty)
        (void)pthread_cond_signal(&depth->wake);
    let_go(depth);
}

static bool send_record(struct depth *depth, const struct uuid *company, struct view payload, struct slot *slot)
{
    struct err err = {0};
    char key[UUID_TEXT_BYTES];
    uuid_format(company, key);
    const struct kafka_message message = {.topic = TOPIC_MARKET_DEPTH, .key = view_of(key), .payload = payload};
    return kafka_send(depth->producer, &message, slot ? on_sent : NULL, slot, &err);
}

/* Completes the state by what was published before, by this owner or the one before it: a snapshot of the book knows no
 * trades. False when that is newer than the state: the market is not ours any more. */
static bool complete(struct depth *depth, struct depth_state *state)
{
    AUTO(table_state) known = table_get(depth->table, &state->company);
    if (!state->at_ms)
        state->at_ms = known ? table_state_of(known)->at_ms : clock_now_ms();
    if (!known)
        return true;
    struct depth_trades trades = table_state_of(known)->trades;
    (void)trades_merge(&trades, &state->trades);
    state->trades = trades;
    return table_state_of(known)->seq <= state->seq;
}

/* Unlocks while it sends. */
static void send_slot(struct depth *depth, struct slot *slot, int64_t now_ms)
{
    struct depth_state state = slot->state;
    slot->dirty = false;
    slot->in_flight = true;
    slot->sent_ms = now_ms;
    depth->references++;
    (void)pthread_mutex_unlock(&depth->lock);
    AUTO_STR json = {0};
    const bool outdated = !complete(depth, &state);
    if (!outdated)
        depth_encode(&json, &state);
    const bool on_its_way =
        !outdated && send_record(depth, &state.company, (struct view){json.bytes, json.length}, slot);
    (void)pthread_mutex_lock(&depth->lock);
    if (on_its_way)
        return;
    metric_add(outdated ? depth->m_outdated : depth->m_failed, 1);
    slot->in_flight = false;
    slot->dirty |= !outdated;
    depth->references--; /* never the last: the caller's is still held */
}

/* ---- the publishing thread (locked) ---- */

static void sweep(struct depth *depth)
{
    struct uuid companies[SWEEP_MOST];
    const int64_t now_ms = clock_now_ms();
    (void)pthread_mutex_unlock(&depth->lock);
    const size_t count = table_over(depth->table, now_ms - depth->options.keep_ms, now_ms - depth->options.idle_ms,
                                    companies, SWEEP_MOST);
    for (size_t i = 0; i < count; i++)
        if (send_record(depth, &companies[i], (struct view){NULL, 0}, NULL))
            metric_add(depth->m_tombstones, 1);
    (void)pthread_mutex_lock(&depth->lock);
}

static void free_those_that_left(struct depth *depth)
{
    for (struct slot **at = &depth->slots; *at;) {
        struct slot *slot = *at;
        if (slot->left && !slot->dirty && !slot->in_flight) {
            *at = slot->next;
            free(slot);
        } else {
            at = &slot->next;
        }
    }
}

/* Sends what is due; when the next will be (monotonic). `all`: without regard to how long ago the last one was. Slots
 * are freed by this thread alone, so a list that is walked while it is unlocked can only grow at its head. */
static int64_t send_due(struct depth *depth, bool all)
{
    int64_t next_ms = depth->sweep_ms;
    if (!table_whole(depth->table))
        return clock_monotonic_ms() + WHOLE_PAUSE_MS;
    for (struct slot *slot = depth->slots; slot; slot = slot->next) {
        const int64_t now_ms = clock_monotonic_ms(), due_ms = slot->sent_ms + depth->options.every_ms;
        if (!slot->dirty || slot->in_flight)
            continue;
        if (all || now_ms >= due_ms)
            send_slot(depth, slot, now_ms);
        else if (due_ms < next_ms)
            next_ms = due_ms;
        if (slot->dirty && !slot->in_flight && slot->sent_ms + depth->options.every_ms < next_ms)
            next_ms = slot->sent_ms + depth->options.every_ms; /* the producer is full: tried again then */
    }
    free_those_that_left(depth);
    return next_ms;
}

static void *publish(void *payload)
{
    struct depth *depth = payload;
    const int64_t sweep_every_ms = depth->options.keep_ms < 2 * SWEEP_MS ? depth->options.keep_ms / 2 + 1 : SWEEP_MS;
    (void)pthread_mutex_lock(&depth->lock);
    while (!depth->stopping) {
        const int64_t next_ms = send_due(depth, false);
        const struct timespec until = {.tv_sec = next_ms / 1000, .tv_nsec = next_ms % 1000 * 1000000};
        if (!depth->stopping && clock_monotonic_ms() < next_ms)
            (void)pthread_cond_timedwait(&depth->wake, &depth->lock, &until);
        if (!depth->stopping && clock_monotonic_ms() >= depth->sweep_ms) {
            sweep(depth);
            depth->sweep_ms = clock_monotonic_ms() + sweep_every_ms;
        }
    }
    (void)send_due(depth, true);
    (void)pthread_mutex_unlock(&depth->lock);
    return NULL;
}

/* ---- start and stop ---- */

static void metrics_open(struct depth *depth)
{
    struct metric *records =
        metric_counter("madang_match_depth_records_total", "Records for market.depth by what became of them", "result");
    depth->m_sent = METRIC_CHILD(records, "sent");
    depth->m_failed = METRIC_CHILD(records, "failed");
    depth->m_outdated = METRIC_CHILD(records, "outdated");
    depth->m_tombstones = METRIC_CHILD(records, "tombstone");
}

struct depth *depth_open(struct kafka_producer *producer, struct table *table, const struct depth_options *options,
                         struct err *err)
{
    pthread_condattr_t monotonic;
    AUTO(depth) depth = MEM_NEW(depth);
    *depth = (struct depth){.producer = producer, .table = table, .options = *options, .references = 1};
    (void)pthread_mutex_init(&depth->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&depth->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    metrics_open(depth);
    if (pthread_create(&depth->thread, NULL, publish, depth) != 0) {
        err_set_internal(err, &ERR_INTERNAL, "no thread for market.depth");
        return NULL;
    }
    depth->thread_runs = true;
    return TAKE(depth);
}

void depth_release(struct depth **depth)
{
    struct depth *d = *depth;
    if (!d)
        return;
    (void)pthread_mutex_lock(&d->lock);
    d->stopping = true;
    (void)pthread_cond_signal(&d->wake);
    (void)pthread_mutex_unlock(&d->lock);
    if (d->thread_runs)
        (void)pthread_join(d->thread, NULL);
    (void)pthread_mutex_lock(&d->lock);
    let_go(d);
    *depth = NULL;
}

/* ---- the owner's thread ---- */

struct depth_market *depth_market_open(struct depth *depth, const struct uuid *market)
{
    struct depth_market *m = MEM_NEW(depth_market);
    m->depth = depth;
    m->id = *market;
    return m;
}

void depth_market_release(struct depth_market **market)
{
    struct depth_market *m = *market;
    if (!m)
        return;
    (void)pthread_mutex_lock(&m->depth->lock);
    for (int i = 0; i < MARKET_COMPANIES_MAX; i++)
        if (m->slots[i])
            m->slots[i]->left = true;
    (void)pthread_mutex_unlock(&m->depth->lock);
    free(m);
    *market = NULL;
}

void depth_event(struct depth_market *market, const struct market_event *event, int64_t at_ms)
{
    if (event->kind != MARKET_TRADE)
        return;
    (void)trades_add(&market->trades[event->trade.company],
                     &(struct depth_trade){.number = event->trade.number,
                                           .price = event->trade.price,
                                           .quantity = event->trade.quantity,
                                           .at_ms = at_ms,
                                           .taker_side = event->trade.taker_side});
}

static void copy_side(struct depth_side *side, const struct book_level *levels, size_t count)
{
    side->count = count;
    for (size_t i = 0; i < count; i++)
        side->levels[i] = (struct depth_level){levels[i].price, levels[i].quantity};
}

static void look(const struct depth_market *market, const struct book *book, int company, int64_t at_ms,
                 struct depth_state *state)
{
    struct book_depth depth;
    book_depth_of(book, company, DEPTH_LEVELS, &depth);
    state->market = market->id;
    state->company = *book_company_id(book, company);
    state->index = company;
    state->seq = book_seq(book);
    state->at_ms = at_ms;
    state->phase = market->phase;
    state->price = depth.last_price;
    state->initial_price = depth.initial_price;
    state->volume = depth.volume;
    state->high = depth.high;
    state->low = depth.low;
    state->halted = depth.halted;
    copy_side(&state->bids, depth.bids, depth.bid_count);
    copy_side(&state->asks, depth.asks, depth.ask_count);
    state->trades = market->trades[company];
}

static void note_company(struct depth_market *market, int company, const struct depth_state *state)
{
    struct depth *depth = market->depth;
    (void)pthread_mutex_lock(&depth->lock);
    struct slot *slot = market->slots[company];
    if (!slot) {
        slot = market->slots[company] = MEM_NEW(slot);
        slot->depth = depth;
        slot->sent_ms = clock_monotonic_ms() - depth->options.every_ms;
        slot->next = depth->slots;
        depth->slots = slot;
    }
    slot->state = *state;
    if (!slot->dirty && !slot->in_flight)
        (void)pthread_cond_signal(&depth->wake);
    slot->dirty = true;
    (void)pthread_mutex_unlock(&depth->lock);
}

void depth_note(struct depth_market *market, struct book *book, int64_t at_ms)
{
    const enum depth_phase phase = book_is_closed(book) ? DEPTH_CLOSED : book_is_open(book) ? DEPTH_OPEN : DEPTH_SETUP;
    const bool all = !market->noted || phase != market->phase;
    if (book_companies(book) == 0)
        return;
    if (phase == DEPTH_CLOSED && at_ms < clock_now_ms() - market->depth->options.keep_ms)
        return; /* its tombstones are there, or will be */
    market->noted = true;
    market->phase = phase;
    for (int i = 0; i < book_companies(book); i++) {
        struct depth_state state;
        if (!book_company_changed(book, i) && !all)
            continue;
        look(market, book, i, at_ms, &state);
        note_company(market, i, &state);
    }
}
