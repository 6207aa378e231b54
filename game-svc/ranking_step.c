#include "ranking_step.h"

#include "json.h"
#include "outbox.h"
#include "ratio.h"
#include "store_ranking.h"

enum { TOLD_MAX = 50 }; /* of those who share the last place that is told */

/* ---- what is told ---- */

static struct outbox_event tell_ranking(struct arena *arena, const struct round *round, const struct ranked *list,
                                        const char *const *nicknames, size_t told, size_t participants)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "ranking", NULL);
    json_text(&out, "market", round->id_text);
    json_i64(&out, "number", round->number);
    json_i64(&out, "participants", (int64_t)participants);
    json_open(&out, "places", '[');
    for (size_t i = 0; i < told; i++) {
        json_open(&out, NULL, '{');
        json_i64(&out, "place", list[i].place);
        json_text(&out, "user_id", list[i].user_id);
        json_text(&out, "nickname", nicknames[i]);
        ratio_json(&out, "return_pct", list[i].return_bp);
        json_i64(&out, "total_asset", list[i].cash);
        json_close(&out, '}');
    }
    json_close(&out, ']');
    return event_close(arena, &out, TOPIC_GAME_EVENTS, round->id_text, NULL, NULL);
}

static struct outbox_event tell_ratings(struct arena *arena, const struct round *round, const struct ranked *list,
                                        const int64_t *ratings, size_t from, size_t to)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "ratings", NULL);
    json_text(&out, "market", round->id_text);
    json_open(&out, "ratings", '[');
    for (size_t i = from; i < to; i++) {
        if (list[i].points == 0)
            continue;
        json_open(&out, NULL, '{');
        json_text(&out, "user_id", list[i].user_id);
        json_i64(&out, "rating", ratings[i]);
        json_text(&out, "tier", ranking_tier_name(ratings[i]));
        json_close(&out, '}');
    }
    json_close(&out, ']');
    return event_close(arena, &out, TOPIC_GAME_EVENTS, round->id_text, NULL, NULL);
}

static struct outbox_event ask_notice(struct arena *arena, const struct round *round, const struct noticed *one,
                                      int64_t participants)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "round_result", NULL);
    json_open(&out, "to", '{');
    json_text(&out, "user", one->user_id);
    json_close(&out, '}');
    json_open(&out, "args", '{');
    json_open(&out, "round", '{');
    json_text(&out, "id", round->id_text);
    json_i64(&out, "number", round->number);
    json_close(&out, '}');
    json_i64(&out, "rank", one->place);
    ratio_json(&out, "return_pct", one->return_bp);
    json_i64(&out, "points", one->points);
    json_i64(&out, "participants", participants);
    json_close(&out, '}');
    json_text(&out, "dedupe_id", arena_printf(arena, "round_result:%s:%s", round->id_text, one->user_id));
    return event_close(arena, &out, TOPIC_NOTIFY_REQUESTS, one->user_id, NULL, NULL);
}

/* ---- the pieces ---- */

enum { RATINGS_AT_ONCE = 1000 }; /* of one event: so many can share a place */

/* Those who have points stand first, the best of all in front. */
static size_t count_paid(const struct ranked *list, size_t count)
{
    size_t paid = 0;
    while (paid < count && list[paid].points > 0)
        paid++;
    return paid;
}

static size_t count_told(const struct ranked *list, size_t count)
{
    size_t told = 0;
    while (told < count && told < TOLD_MAX && list[told].place <= RANKING_TOLD)
        told++;
    return told;
}

static bool rank(struct pg_tx *tx, struct arena *arena, const struct round *round, struct err *err)
{
    struct ranked *list;
    size_t count;
    int64_t *ratings;
    const char **nicknames;
    if (!store_ranking_load(tx, arena, round->id_text, &list, &count, err))
        return false;
    ranking_place(list, count, round->seed_cash);
    const size_t told = count_told(list, count), paid = count_paid(list, count);
    if (!store_ratings_add(tx, arena, list, count, &ratings, err) ||
        !store_results_add(tx, arena, round->id_text, list, ratings, count, err) ||
        !store_nicknames(tx, arena, list, told, &nicknames, err))
        return false;
    const struct outbox_event ranking = tell_ranking(arena, round, list, nicknames, told, count);
    bool ok = outbox_add(tx, &ranking, err);
    for (size_t from = 0; ok && from < paid; from += RATINGS_AT_ONCE) {
        const size_t to = paid - from < RATINGS_AT_ONCE ? paid : from + RATINGS_AT_ONCE;
        const struct outbox_event event = tell_ratings(arena, round, list, ratings, from, to);
        ok = outbox_add(tx, &event, err);
    }
    return ok;
}

static bool ask_notices(struct pg_tx *tx, struct arena *arena, const struct round *round, bool *more, struct err *err)
{
    struct noticed *list;
    size_t count;
    int64_t participants;
    bool last;
    if (!store_ranking_notices(tx, arena, round->id_text, NOTICES_AT_ONCE, &list, &count, &participants, &last, err))
        return false;
    struct outbox_event *events = arena_alloc(arena, (count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++)
        events[i] = ask_notice(arena, round, &list[i], participants);
    *more = !last;
    return outbox_add_all(tx, events, count, err);
}

bool ranking_step(struct pg_tx *tx, struct arena *arena, const struct round *round, bool *more, struct err *err)
{
    enum ranking_state state;
    *more = false;
    if (!store_ranking_state(tx, round->id_text, &state, err))
        return false;
    switch (state) {
    case RANKING_DUE:
        *more = true;
        return rank(tx, arena, round, err);
    case RANKING_NOTICES:
        return ask_notices(tx, arena, round, more, err);
    case RANKING_EARLY:
    case RANKING_DONE:
        break;
    }
    return true;
}
