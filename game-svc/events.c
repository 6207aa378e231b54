#include "events.h"

#include "app.h"
#include "copies.h"
#include "follow.h"
#include "topics.h"

const char *const GAME_TOPICS[] = {TOPIC_MARKET_COMMANDS,
                                   TOPIC_MARKET_EVENTS,
                                   TOPIC_MARKET_DEPTH,
                                   TOPIC_GAME_EVENTS,
                                   TOPIC_ACCOUNTS,
                                   TOPIC_NOTIFY_REQUESTS,
                                   NULL};

/* ---- out ---- */

static void time_or_null(struct str *out, const char *name, int64_t at_ms)
{
    if (at_ms)
        json_time(out, name, at_ms);
    else
        json_text(out, name, NULL);
}

static void put_companies(struct str *out, const struct round *round)
{
    json_open(out, "companies", '[');
    for (const struct company *company = round->companies; company < round->companies + round->company_count;
         company++) {
        json_open(out, NULL, '{');
        json_text(out, "id", company->id_text);
        json_i64(out, "index", company->index);
        json_text(out, "name", company->name);
        json_text(out, "name_en", company->name_en);
        json_text(out, "business", company->business);
        json_i64(out, "initial_price", company->initial_price);
        json_close(out, '}');
    }
    json_close(out, ']');
}

struct outbox_event event_round(struct arena *arena, const struct round *round)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "round", NULL);
    json_text(&out, "market", round->id_text);
    json_i64(&out, "number", round->number);
    json_text(&out, "phase", round_phase_name(round->phase));
    json_time(&out, "opens_at", round->opens_at_ms);
    time_or_null(&out, "closes_at", round->closes_at_ms);
    time_or_null(&out, "next_at", round->next_at_ms);
    json_i64(&out, "seed_cash", round->seed_cash);
    put_companies(&out, round);
    return event_close(arena, &out, TOPIC_GAME_EVENTS, round->id_text, NULL, NULL);
}

struct outbox_event event_countdown(struct arena *arena, const struct round *round, int64_t seconds_left)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "countdown", NULL);
    json_text(&out, "market", round->id_text);
    json_text(&out, "phase", round_phase_name(round->phase));
    json_i64(&out, "seconds_left", seconds_left);
    return event_close(arena, &out, TOPIC_GAME_EVENTS, round->id_text, NULL, NULL);
}

struct outbox_event event_news(struct arena *arena, const struct round *round, const struct news_draw *draw)
{
    const struct company *company = &round->companies[draw->company];
    AUTO_STR out, ko, en;
    str_init(&out);
    str_init(&ko);
    str_init(&en);
    news_text_ko(&ko, company->name, draw->line);
    news_text_en(&en, company->name_en, draw->line);
    event_open(&out, "news", NULL);
    json_text(&out, "market", round->id_text);
    json_text(&out, "company", company->id_text);
    json_text(&out, "company_name", company->name);
    json_text(&out, "line", draw->line->code);
    json_open(&out, "text", '{');
    json_text(&out, "en", en.bytes);
    json_text(&out, "ko", ko.bytes);
    json_close(&out, '}');
    json_bool(&out, "good", draw->weight > 0);
    return event_close(arena, &out, TOPIC_GAME_EVENTS, round->id_text, NULL, NULL);
}

/* ---- in ---- */

static void hear_depth(void *payload, const struct kafka_batch *batch)
{
    const struct game_app *app = payload;
    for (size_t i = 0; i < batch->count; i++)
        (void)depth_take(app->depth, batch->records[i].key, batch->records[i].payload);
}

/* The clock and the bots look some times a second. */
enum { GATHER_MS = 50 };

const struct kafka_listening GAME_LISTENING[] = {
    {.topic = TOPIC_MARKET_DEPTH, .hear = hear_depth, .from = LISTEN_FROM_START, .gather_ms = GATHER_MS, .bare = true},
    {0},
};

const struct kafka_subscription GAME_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_MARKET_EVENTS,
     .apply = follow_apply,
     .batch_max = FOLLOW_BATCH,
     .gather_ms = GATHER_MS,
     .bare = true,
     .poison = POISON_STOP},
    {.topic = TOPIC_ACCOUNTS,
     .apply = copies_accounts,
     .batch_max = 200,
     .gather_ms = GATHER_MS,
     .poison = POISON_STOP},
    {0},
};
