/* live_market.c - what the trading game tells sockets: fills and orders to those whom they concern, the countdown to
 * everybody.
 *
 * The listener's thread looks at the header `users` of each record of market.events; one that concerns nobody here
 * costs the look at its head (41 bytes, for the sequence) and is not decoded. Per market the next sequence is kept:
 * doubles fall below it. What a record tells is made here, and the loop only writes it. */
#include "announce.h"
#include "clock.h"
#include "live.h"
#include "log.h"
#include "market_news.h"
#include "mem.h"
#include "store_game.h"

#include <stdlib.h>

enum {
    MARKETS_MAX = 32, /* remembered; the one that was quiet for longest goes */
    ASK_AGAIN_MS = 1000,
    NEWS_ARENA = 256 << 20,
    RECORDS_AT_ONCE = 100,
};

struct market {
    struct uuid id;
    int64_t next_seq;
    uint64_t used;
    int64_t asked_ms; /* the schema, for its companies */
    struct market_companies companies;
};

struct market_watch {
    struct market markets[MARKETS_MAX];
    uint64_t turns;
    struct metric_child *told, *skipped, *doubles;
};

struct market_watch *market_watch_open(void)
{
    struct market_watch *watch = MEM_NEW(market_watch);
    struct metric *records =
        metric_counter("madang_chat_market_records_total", "Records of market.events that were heard", "what");
    watch->told = METRIC_CHILD(records, "told");
    watch->skipped = METRIC_CHILD(records, "nobody_here");
    watch->doubles = METRIC_CHILD(records, "double");
    return watch;
}

void market_watch_release(struct market_watch **watch)
{
    free(*watch);
    *watch = NULL;
}

/* ---- markets ---- */

static struct market *market_of(struct market_watch *watch, const struct uuid *id)
{
    struct market *oldest = &watch->markets[0];
    for (size_t i = 0; i < MARKETS_MAX; i++) {
        struct market *market = &watch->markets[i];
        if (market->used && memcmp(&market->id, id, sizeof *id) == 0) {
            market->used = ++watch->turns;
            return market;
        }
        if (market->used < oldest->used)
            oldest = market;
    }
    *oldest = (struct market){.id = *id, .used = ++watch->turns};
    return oldest;
}

static void take_opened(struct market *market, const struct market_rules *rules)
{
    market->companies.count = rules->company_count;
    for (int i = 0; i < rules->company_count; i++)
        uuid_format(&rules->companies[i].id, market->companies.ids[i]);
}

/* A market that opened before this instance began to listen was announced before. */
static void ask_companies(struct hub *hub, struct market *market)
{
    const int64_t now_ms = clock_monotonic_ms();
    struct err err = {0};
    char id[UUID_TEXT_BYTES];
    if (market->companies.count || (market->asked_ms && now_ms - market->asked_ms < ASK_AGAIN_MS))
        return;
    market->asked_ms = now_ms;
    uuid_format(&market->id, id);
    if (!store_game_companies(hub->app->db, id, market->companies.ids, &market->companies.count, &err))
        log_err("companies_not_read", &err);
}

/* ---- records ---- */

struct news_job {
    struct hub *hub;
    struct arena *arena;
    struct market_lines lines;
};

static void job_free(struct news_job *job)
{
    hub_flow_give(job->hub, job->lines.count);
    arena_release(&job->arena);
    free(job);
}

static void tell_on_loop(void *app, void *payload)
{
    struct hub *hub = app;
    struct news_job *job = payload;
    for (size_t i = 0; i < job->lines.count; i++) {
        const struct market_line *line = &job->lines.items[i];
        struct hub_user *user = (struct hub_user *)(void *)id_map_get(&hub->users, &line->user);
        struct str body = {.bytes = (char *)(uintptr_t)line->body, .length = line->length};
        if (user && user->event_subs)
            user_tell(hub, user, &body);
    }
    job_free(job);
}

static bool is_here(void *payload, const struct uuid *user)
{
    return audience_has(payload, user);
}

static void hear_record(struct hub *hub, struct news_job *job, const struct kafka_record *record)
{
    struct market_watch *watch = hub->markets;
    struct market_events events;
    struct err err = {0};
    int first_kind;
    if (!record->payload.bytes || !market_events_head(record->payload, &events, &first_kind))
        return;
    struct market *market = market_of(watch, &events.market);
    if (events.first_seq < market->next_seq) {
        metric_add(watch->doubles, 1);
        return;
    }
    market->next_seq = events.first_seq + events.count;
    const bool concerns =
        record->users && !audience_is_empty(hub->audience) && audience_has_one_of(hub->audience, record->users);
    if (!concerns && first_kind != MARKET_OPENED) {
        metric_add(watch->skipped, 1);
        return;
    }
    if (!market_events_decode(job->arena, record->payload, &events, &err)) {
        log_err("market_record_not_readable", &err);
        return;
    }
    if (first_kind == MARKET_OPENED)
        take_opened(market, &events.events[0].opened);
    if (!concerns)
        return;
    ask_companies(hub, market);
    market_news(job->arena, &events, &market->companies, is_here, hub->audience, &job->lines);
    metric_add(watch->told, 1);
}

static void hear(struct hub *hub, const struct kafka_record *records, size_t count)
{
    struct news_job *job = MEM_NEW(news_job);
    job->hub = hub;
    job->arena = arena_open((size_t)NEWS_ARENA);
    for (size_t i = 0; i < count; i++)
        hear_record(hub, job, &records[i]);
    hub_flow_take(hub, job->lines.count);
    if (job->lines.count == 0 || !ws_post(hub->server, tell_on_loop, job))
        job_free(job);
}

void hub_hear_market(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    for (size_t at = 0; app->hub && at < batch->count; at += RECORDS_AT_ONCE)
        hear(app->hub, batch->records + at, batch->count - at < RECORDS_AT_ONCE ? batch->count - at : RECORDS_AT_ONCE);
}

/* ---- the countdown ---- */

static void countdown_on_loop(void *app, void *payload)
{
    struct hub *hub = app;
    AUTO_FREE char *text = payload;
    struct str body = {.bytes = text, .length = strlen(text)};
    struct hub_room *room = room_get(hub, ROOM_EVERYBODY, false);
    if (room)
        fan_body(hub, room, &body, NULL);
}

static void hear_countdown(struct hub *hub, const struct game_event *event)
{
    AUTO_STR body = {0};
    json_open(&body, NULL, '{');
    json_text(&body, "type", "countdown");
    json_text(&body, "room_id", ROOM_EVERYBODY);
    json_text(&body, "market", event->market);
    json_text(&body, "phase", event->phase);
    json_i64(&body, "seconds_left", event->seconds_left);
    json_text(&body, "at", event->at);
    json_close(&body, '}');
    char *text = mem_text(body.bytes);
    if (!ws_post(hub->server, countdown_on_loop, text))
        free(text);
}

void hub_hear_game(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    if (!app->hub)
        return;
    AUTO(arena) arena = arena_open((size_t)4 << 20);
    for (size_t i = 0; i < batch->count; i++) {
        struct game_event event;
        struct err err = {0};
        arena_reset(arena);
        if (batch->records[i].payload.bytes && game_event_decode(arena, batch->records[i].payload, &event, &err) &&
            event.kind == GAME_COUNTDOWN)
            hear_countdown(app->hub, &event);
    }
}
