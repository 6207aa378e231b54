#include "fresh.h"

#include "clock.h"
#include "lag.h"
#include "log.h"
#include "mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    /* An answer that comes late still serves everybody who came before the question; a question that is given up is
     * asked again, and a broker that is slow for want of processors gets slower. */
    ASK_MS = 2500,
    ASKING_MAX = 2, /* workers that wait for the broker at one time */
};

/* A figure that somebody else knows and that only grows. One asks, the others use what it brings. */
struct figure {
    bool asking;
    int64_t asked_us; /* when the last asking that succeeded began; 0: none did */
    int64_t began_us; /* when the last asking began */
    int64_t value;
};

struct part {
    struct figure end;
    int64_t applied;
    int64_t heard; /* the end, as the listener knows it */
    struct lag lag;
    _Atomic int64_t lag_ms; /* when somebody asked how far the schema is, for the lag */
    struct figure commands; /* the end of market.commands */
    int64_t commands_end;   /* of market.events, when all of these were answered; 0: they are not */
    int64_t answered;       /* behind the newest command whose answer was heard */
    int64_t answered_ms;    /* when that command came */
};

struct fresh {
    struct pg_pool *db;
    struct kafka_producer *producer;
    pthread_mutex_t lock;  /* of all below; never held while asking */
    int asking;            /* the broker */
    struct figure applied; /* of all partitions; value not used */
    struct part parts[FRESH_PARTITIONS_MAX];
};

struct fresh *fresh_open(struct pg_pool *db, struct kafka_producer *producer)
{
    struct fresh *fresh = MEM_NEW(fresh);
    fresh->db = db;
    fresh->producer = producer;
    pthread_mutex_init(&fresh->lock, NULL);
    return fresh;
}

void fresh_release(struct fresh **held)
{
    if (!*held)
        return;
    pthread_mutex_destroy(&(*held)->lock);
    free(*held);
    *held = NULL;
}

static struct part *part_of(struct fresh *fresh, int32_t partition, struct err *err)
{
    if (partition >= 0 && partition < FRESH_PARTITIONS_MAX)
        return &fresh->parts[partition];
    (void)err_set_internal(err, &ERR_INTERNAL, "no partition %d", partition);
    return NULL;
}

/* ---- asking ---- */

/* True when the caller shall ask now; `after_us`: askings that began before it do not serve. Under the lock. */
static bool begin(struct figure *figure, int64_t after_us, int64_t now_us)
{
    if (figure->asking || figure->asked_us >= after_us || now_us - figure->began_us < FRESH_EVERY_MS * 1000)
        return false;
    figure->asking = true;
    figure->began_us = now_us;
    return true;
}

static void finish(struct figure *figure, bool ok)
{
    figure->asking = false;
    if (ok)
        figure->asked_us = figure->began_us;
}

/* The same for what the broker is asked, which may take long: most workers stay for others. */
static bool begin_at_broker(struct fresh *fresh, struct figure *figure, int64_t after_us, int64_t now_us)
{
    if (fresh->asking == ASKING_MAX || !begin(figure, after_us, now_us))
        return false;
    fresh->asking++;
    return true;
}

static void finish_at_broker(struct fresh *fresh, struct figure *figure, bool ok)
{
    fresh->asking--;
    finish(figure, ok);
}

static bool ask_end(struct fresh *fresh, struct part *part, int32_t partition, struct err *err)
{
    int64_t end = 0;
    const bool ok = kafka_end_offset(fresh->producer, TOPIC_MARKET_EVENTS, partition, ASK_MS, &end, err);
    pthread_mutex_lock(&fresh->lock);
    finish_at_broker(fresh, &part->end, ok);
    if (ok && end > part->end.value)
        part->end.value = end;
    pthread_mutex_unlock(&fresh->lock);
    return ok;
}

static const struct pg_statement APPLIED = {"fresh_applied",
                                            "SELECT partition, next_offset FROM applied WHERE topic = $1"};

static bool ask_applied(struct fresh *fresh, struct err *err)
{
    AUTO(pg_result) rows = pg_query(fresh->db, &APPLIED, PARAMS(PG_TEXT(TOPIC_MARKET_EVENTS)), err);
    pthread_mutex_lock(&fresh->lock);
    finish(&fresh->applied, rows != NULL);
    for (int i = 0; rows && i < pg_rows(rows); i++) {
        const int64_t partition = pg_i64(rows, i, 0), next_offset = pg_i64(rows, i, 1);
        if (partition >= 0 && partition < FRESH_PARTITIONS_MAX && next_offset > fresh->parts[partition].applied)
            fresh->parts[partition].applied = next_offset;
    }
    pthread_mutex_unlock(&fresh->lock);
    return rows != NULL;
}

/* ---- for reads ---- */

/* The end that was asked for after the request came; 0 while that is not known yet. */
static bool find_end(struct fresh *fresh, struct request *req, struct part *part, int32_t partition, int64_t *end,
                     struct err *err)
{
    const int64_t now_us = clock_monotonic_us(), came_us = now_us - req->waited_ms * 1000;
    pthread_mutex_lock(&fresh->lock);
    const bool ours = begin_at_broker(fresh, &part->end, came_us, now_us);
    pthread_mutex_unlock(&fresh->lock);
    if (ours && !ask_end(fresh, part, partition, err))
        return false;
    pthread_mutex_lock(&fresh->lock);
    *end = part->end.asked_us >= came_us ? part->end.value : -1;
    pthread_mutex_unlock(&fresh->lock);
    return true;
}

static bool reached(struct fresh *fresh, struct part *part, int64_t end, bool *yes, struct err *err)
{
    const int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&fresh->lock);
    *yes = part->applied >= end;
    const bool ours = !*yes && begin(&fresh->applied, now_us, now_us);
    pthread_mutex_unlock(&fresh->lock);
    if (!ours)
        return true;
    if (!ask_applied(fresh, err))
        return false;
    pthread_mutex_lock(&fresh->lock);
    *yes = part->applied >= end;
    pthread_mutex_unlock(&fresh->lock);
    return true;
}

bool fresh_wait(struct fresh *fresh, struct request *req, int32_t partition, struct err *err)
{
    struct part *part = part_of(fresh, partition, err);
    int64_t end = req->kept - 1; /* where the log ended when the request came */
    bool yes = false;
    if (!part || (end < 0 && !find_end(fresh, req, part, partition, &end, err)))
        return false;
    req->kept = end + 1;
    if (end >= 0 && !reached(fresh, part, end, &yes, err))
        return false;
    if (yes)
        return true;
    if (req->waited_ms < FRESH_WAIT_MS) {
        kafka_hurry(); /* settlement, where it is ours; another instance's comes in its time */
        return http_try_again(req, FRESH_EVERY_MS);
    }
    return err_set_retry(err, &ERR_NOT_YET, 1, "what stood in the market's log is not settled yet");
}

/* ---- for orders ---- */

/* Under the lock. */
static void note_answers(struct part *part)
{
    if (part->commands.asked_us && !part->commands_end && part->answered >= part->commands.value)
        part->commands_end = part->heard;
}

void fresh_heard(struct fresh *fresh, int32_t partition, const struct fresh_news *news)
{
    if (partition < 0 || partition >= FRESH_PARTITIONS_MAX)
        return;
    struct part *part = &fresh->parts[partition];
    const struct market_events *last = &news->last;
    pthread_mutex_lock(&fresh->lock);
    part->heard = news->next_offset;
    lag_heard(&part->lag, news->first_offset, news->next_offset, news->records);
    if (last->command_offset >= part->answered) { /* else told a second time */
        part->answered = last->command_offset + 1;
        part->answered_ms = last->at_ms;
    }
    note_answers(part);
    pthread_mutex_unlock(&fresh->lock);
}

/* In req->kept, from the run that moved the time to the same run on a worker. */
#define ASKS_FOR_LAG INT64_C(-1)

bool fresh_keeps_up(struct fresh *fresh, struct request *req, int32_t partition, int64_t max_lag, struct err *err)
{
    struct part *part = part_of(fresh, partition, err);
    if (!part)
        return false;
    const int64_t now_ms = clock_monotonic_ms();
    int64_t asked_ms = part->lag_ms, applied;
    /* Who moves the time asks, and remembers on the way to a worker that it does; the others go on with the figure of
     * before. */
    bool asks = req->kept == ASKS_FOR_LAG;
    if (!asks && now_ms - asked_ms >= FRESH_LAG_MS)
        asks = atomic_compare_exchange_strong(&part->lag_ms, &asked_ms, now_ms);
    if (asks && http_must_hand_over(req)) {
        req->kept = ASKS_FOR_LAG;
        return false;
    }
    if (asks) {
        req->kept = 0;
        struct err ignored = {0}; /* without the schema the figure stays, and the lag grows */
        (void)fresh_applied(fresh, partition, &applied, &ignored);
    }
    pthread_mutex_lock(&fresh->lock);
    const int64_t lag = lag_behind(&part->lag, part->applied);
    pthread_mutex_unlock(&fresh->lock);
    return lag <= max_lag || err_set_retry(err, &ERR_OVERLOADED, 1, "%lld events wait for settlement", (long long)lag);
}

/* ---- for what may still come ---- */

static bool ask_commands(struct fresh *fresh, struct part *part, int32_t partition, struct err *err)
{
    int64_t end = 0;
    const bool ok = kafka_end_offset(fresh->producer, TOPIC_MARKET_COMMANDS, partition, ASK_MS, &end, err);
    pthread_mutex_lock(&fresh->lock);
    finish_at_broker(fresh, &part->commands, ok);
    if (ok) {
        part->commands.value = end;
        part->commands_end = 0;
        note_answers(part);
    }
    pthread_mutex_unlock(&fresh->lock);
    return ok;
}

bool fresh_answered(struct fresh *fresh, const struct request *req, int32_t partition, int64_t made_ms, bool *answered,
                    struct err *err)
{
    struct part *part = part_of(fresh, partition, err);
    if (!part)
        return false;
    const int64_t now_us = clock_monotonic_us(), came_us = now_us - req->waited_ms * 1000;
    int64_t applied;
    pthread_mutex_lock(&fresh->lock);
    const bool ours =
        (part->commands_end || !part->commands.asked_us) && begin_at_broker(fresh, &part->commands, came_us, now_us);
    pthread_mutex_unlock(&fresh->lock);
    if ((ours && !ask_commands(fresh, part, partition, err)) || !fresh_applied(fresh, partition, &applied, err))
        return false;
    pthread_mutex_lock(&fresh->lock);
    *answered = part->answered_ms > made_ms + FRESH_LONG_MS ||
                (part->commands.asked_us >= came_us && part->commands_end && applied >= part->commands_end);
    pthread_mutex_unlock(&fresh->lock);
    if (!*answered)
        kafka_hurry();
    return true;
}

/* ---- how far the schema is ---- */

bool fresh_applied(struct fresh *fresh, int32_t partition, int64_t *next_offset, struct err *err)
{
    struct part *part = part_of(fresh, partition, err);
    if (!part)
        return false;
    const int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&fresh->lock);
    const bool ours = begin(&fresh->applied, now_us, now_us);
    pthread_mutex_unlock(&fresh->lock);
    if (ours && !ask_applied(fresh, err))
        return false;
    pthread_mutex_lock(&fresh->lock);
    *next_offset = part->applied;
    pthread_mutex_unlock(&fresh->lock);
    return true;
}
