#include "feed_internal.h"

#include "feed_tell.h"
#include "mem.h"

#include <stdlib.h>

/* ---- frames ---- */

struct ws_frame *feed_frame(struct feed *feed)
{
    struct ws_frame *frame = ws_frame_new((struct view){feed->scratch.bytes, feed->scratch.length}, false);
    str_clear(&feed->scratch);
    return frame;
}

/* One frame, built in feed->scratch, for all who look at this channel. */
static void tell_all(struct feed *feed, struct feed_company *company, enum feed_channel channel)
{
    struct ws_frame *frame = feed_frame(feed);
    metric_add(feed->m_frames[channel], 1);
    for (struct feed_sub *sub = company->subs[channel], *next; sub; sub = next) {
        next = sub->next;
        session_give(sub, frame);
    }
    ws_frame_release(&frame);
}

static void forget_snapshot(struct feed_company *company, enum feed_channel channel)
{
    ws_frame_release(&company->snapshots[channel]);
}

struct ws_frame *company_snapshot(struct feed *feed, struct feed_company *company, enum feed_channel channel)
{
    const struct depth_state *state = table_state_of(company->shown);
    if (company->snapshots[channel])
        return company->snapshots[channel];
    if (channel == FEED_BOOK)
        tell_book_snapshot(&feed->scratch, state, company->book_seq);
    else if (channel == FEED_TICKER)
        tell_ticker(&feed->scratch, state, true);
    else
        tell_trades(&feed->scratch, &company->node.id, company->told.items, company->told.count, true);
    metric_add(feed->m_frames[channel], 1);
    return company->snapshots[channel] = feed_frame(feed);
}

/* ---- which companies are looked at ---- */

struct feed_company *company_get(struct feed *feed, const struct uuid *id)
{
    struct feed_company *company = (struct feed_company *)(void *)id_map_get(&feed->companies, id);
    if (company)
        return company;
    atomic_fetch_add(&feed->watched, 1); /* first: what is heard from now on reaches the loop */
    struct table_state *state = table_get(feed->table, id);
    if (!state) {
        atomic_fetch_sub(&feed->watched, 1);
        return NULL;
    }
    company = MEM_NEW(feed_company);
    company->node.id = *id;
    company->shown = state;
    company->book_seq = table_state_of(state)->seq;
    company->trades = company->told = table_state_of(state)->trades;
    id_map_put(&feed->companies, &company->node);
    return company;
}

static void leave_turn(struct feed *feed, struct feed_company *company)
{
    struct feed_company **at = &feed->due;
    if (!company->due)
        return;
    while (*at != company)
        at = &(*at)->due_next;
    *at = company->due_next;
}

static void company_free(struct feed *feed, struct feed_company *company)
{
    leave_turn(feed, company);
    id_map_remove(&feed->companies, &company->node);
    atomic_fetch_sub(&feed->watched, 1);
    for (int channel = 0; channel < FEED_CHANNELS; channel++)
        forget_snapshot(company, (enum feed_channel)channel);
    table_state_release(&company->shown);
    free(company->fresh);
    free(company);
}

void company_add_sub(struct feed *feed, struct feed_company *company, struct feed_sub *sub)
{
    struct feed_sub **first = &company->subs[sub->channel];
    sub->company = company;
    sub->next = *first;
    if (*first)
        (*first)->previous = sub;
    *first = sub;
    metric_add(feed->m_subscriptions[sub->channel], 1);
    if (sub->channel == FEED_TRADES)
        atomic_fetch_add(&feed->watched_trades, 1);
}

void company_remove_sub(struct feed *feed, struct feed_sub *sub)
{
    struct feed_company *company = sub->company;
    if (sub->previous)
        sub->previous->next = sub->next;
    else
        company->subs[sub->channel] = sub->next;
    if (sub->next)
        sub->next->previous = sub->previous;
    metric_add(feed->m_subscriptions[sub->channel], -1);
    if (sub->channel == FEED_TRADES)
        atomic_fetch_sub(&feed->watched_trades, 1);
    for (int channel = 0; channel < FEED_CHANNELS; channel++)
        if (company->subs[channel])
            return;
    company_free(feed, company);
}

/* ---- trades ---- */

static void tell_fresh(struct feed *feed, struct feed_company *company)
{
    if (!company->fresh_count)
        return;
    for (size_t i = 0; i < company->fresh_count; i++)
        (void)trades_add(&company->told, &company->fresh[i]);
    forget_snapshot(company, FEED_TRADES);
    if (company->subs[FEED_TRADES]) {
        tell_trades(&feed->scratch, &company->node.id, company->fresh, company->fresh_count, false);
        tell_all(feed, company, FEED_TRADES);
    }
    company->fresh_count = 0;
}

static void put_fresh(struct feed *feed, struct feed_company *company, const struct depth_trade *trade)
{
    if (company->fresh_count == company->fresh_room) {
        company->fresh_room = company->fresh_room ? company->fresh_room * 2 : DEPTH_TRADES;
        company->fresh = mem_grow(company->fresh, company->fresh_room, sizeof *company->fresh);
    }
    company->fresh[company->fresh_count++] = *trade;
    if (company->fresh_count == TRADES_A_FRAME)
        tell_fresh(feed, company);
}

static void tell_trades_anew(struct feed *feed, struct feed_company *company)
{
    company->trades_lost = false;
    company->told = company->trades;
    forget_snapshot(company, FEED_TRADES);
    tell_trades(&feed->scratch, &company->node.id, company->told.items, company->told.count, true);
    tell_all(feed, company, FEED_TRADES);
}

/* What came before the hole is told as ever. */
static void lose_trades(struct feed *feed, struct feed_company *company)
{
    metric_add(feed->m_holes, 1);
    tell_fresh(feed, company);
    company->trades_lost = true;
}

void company_trade(struct feed *feed, struct feed_company *company, const struct depth_trade *trade)
{
    const enum trades_news news = trades_add(&company->trades, trade);
    if (news == TRADES_ANOTHER) {
        lose_trades(feed, company);
    } else if (news == TRADES_MORE && !company->trades_lost) {
        put_fresh(feed, company, trade);
        company_changed(feed, company);
    }
}

/* The state's trades fill what the log's did not bring: a hole, or what stood there before anybody looked. */
static void merge_trades(struct feed *feed, struct feed_company *company, const struct depth_state *state)
{
    const int64_t last = trades_last(&company->trades);
    const enum trades_news news = trades_merge(&company->trades, &state->trades);
    if (company->trades_lost || news == TRADES_ANOTHER) {
        tell_fresh(feed, company);
        const bool whole = company->trades.count == DEPTH_TRADES ||
                           (company->trades.count && trades_last(&state->trades) >= company->trades.items[0].number);
        if (whole)
            tell_trades_anew(feed, company);
        return;
    }
    for (size_t i = 0; i < company->trades.count; i++)
        if (company->trades.items[i].number > last)
            put_fresh(feed, company, &company->trades.items[i]);
}

/* ---- states ---- */

static void tell_state(struct feed *feed, struct feed_company *company, struct table_state **newest)
{
    const struct depth_state *before = table_state_of(company->shown), *after = table_state_of(*newest);
    if (tell_book_delta(&feed->scratch, before, company->book_seq, after)) {
        company->book_seq = after->seq;
        forget_snapshot(company, FEED_BOOK);
        tell_all(feed, company, FEED_BOOK);
    }
    if (tell_ticker_differs(before, after)) {
        forget_snapshot(company, FEED_TICKER);
        tell_ticker(&feed->scratch, after, false);
        tell_all(feed, company, FEED_TICKER);
    }
    merge_trades(feed, company, after);
    table_state_release(&company->shown);
    company->shown = TAKE(*newest);
}

/* Its time is over: a tombstone. */
static void tell_gone(struct feed *feed, struct feed_company *company)
{
    const struct uuid id = company->node.id;
    for (int channel = 0; channel < FEED_CHANNELS; channel++) {
        tell_end(&feed->scratch, "gone", (enum feed_channel)channel, &id);
        struct ws_frame *frame = feed_frame(feed);
        struct feed_sub *sub;
        while ((company = (struct feed_company *)(void *)id_map_get(&feed->companies, &id)) &&
               (sub = company->subs[channel])) {
            session_say(sub->session, frame);
            session_drop_sub(sub);
        }
        ws_frame_release(&frame);
    }
}

static void tell_company(struct feed *feed, struct feed_company *company)
{
    struct table_state *newest = table_get(feed->table, &company->node.id);
    if (!newest) {
        tell_gone(feed, company);
        return;
    }
    if (table_state_of(newest)->seq > table_state_of(company->shown)->seq)
        tell_state(feed, company, &newest);
    table_state_release(&newest);
    tell_fresh(feed, company);
}

void company_changed(struct feed *feed, struct feed_company *company)
{
    if (company->due)
        return;
    company->due = true;
    company->due_next = feed->due;
    feed->due = company;
}

void companies_turn(struct feed *feed, int64_t now_ms)
{
    if (!feed->due || now_ms - feed->turn_ms < feed->options.every_ms)
        return;
    feed->turn_ms = now_ms;
    while (feed->due) {
        struct feed_company *company = feed->due;
        feed->due = company->due_next;
        company->due = false;
        tell_company(feed, company);
    }
}
