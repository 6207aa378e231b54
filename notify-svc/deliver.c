#include "deliver.h"

#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "metrics.h"
#include "store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LEASE_MS = 60000, /* twice what a send may take */
    LOOK_MS = 1000,
    COUNT_MS = 15000,
    BACKOFF_MAX_MS = 300000,
    ARENA_BYTES = 1024 * 1024,
    SENDERS_MAX = 64, /* of all channels */
};

struct sender {
    struct deliver *deliver;
    const struct channel *channel;
    pthread_t thread;
    bool runs;
};

struct deliver {
    struct deliver_options options;
    struct sender senders[SENDERS_MAX];
    size_t count;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    uint64_t wakes; /* under the lock: how often somebody called */
    bool stop;
    int64_t count_ms; /* next count of what waits; the first sender's */
    struct metric *outcomes, *waiting, *dead;
};

int64_t deliver_backoff_ms(int64_t backoff_ms, int attempt, uint64_t random)
{
    int64_t wait_ms = backoff_ms < BACKOFF_MAX_MS ? backoff_ms : BACKOFF_MAX_MS;
    for (int i = 1; i < attempt && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    return wait_ms / 2 + (int64_t)(random % (uint64_t)(wait_ms - wait_ms / 2 + 1));
}

/* ---- one delivery ---- */

static void note(const struct sender *sender, const struct due *due, const char *state, const char *reason)
{
    metric_add(METRIC_CHILD(sender->deliver->outcomes, sender->channel->name, state), 1);
    const bool dead = strcmp(state, "dead") == 0;
    log_event(dead ? LOG_ERROR : LOG_INFO, dead ? "delivery_dead" : "delivery",
              LOG_TEXT("channel", sender->channel->name), LOG_I64("id", due->delivery.id),
              LOG_TEXT("kind", due->delivery.kind), LOG_TEXT("outcome", state),
              LOG_I64("attempt", due->delivery.attempt), LOG_TEXT("reason", reason));
}

static void end(const struct sender *sender, const struct due *due, const char *state, const char *reason)
{
    struct err err = {0};
    note(sender, due, state, reason);
    /* Not written: the claim runs out and it is sent again. */
    if (!store_done(sender->deliver->options.db, due, state, reason, &err))
        log_err("delivery_not_marked", &err);
}

static void try_again(const struct sender *sender, const struct due *due, const struct outcome *outcome)
{
    const struct deliver_options *options = &sender->deliver->options;
    uint64_t random;
    crypto_random(&random, sizeof random);
    int64_t wait_ms = outcome->untried ? 0 : deliver_backoff_ms(options->backoff_ms, due->delivery.attempt, random);
    if (outcome->retry_after_ms > wait_ms)
        wait_ms = outcome->retry_after_ms;
    const char *why = wait_ms >= due->left_ms                                               ? "expired"
                      : !outcome->untried && due->delivery.attempt >= options->attempts_max ? "attempts"
                                                                                            : NULL;
    if (why) {
        char reason[sizeof outcome->reason + 16];
        (void)snprintf(reason, sizeof reason, "%s: %s", why, outcome->reason);
        end(sender, due, "dead", reason);
        return;
    }
    struct err err = {0};
    if (!outcome->untried)
        note(sender, due, "retry", outcome->reason);
    if (!store_again(options->db, due, wait_ms, outcome->untried, outcome->reason, &err))
        log_err("delivery_not_marked", &err);
}

static void send(const struct sender *sender, const struct due *due)
{
    struct outcome outcome = {.kind = OUTCOME_RETRY};
    if (due->expired) {
        end(sender, due, "dead", "expired");
        return;
    }
    if (*due->delivery.user_id && !*due->delivery.address) { /* where the account's event may still come: again */
        outcome.kind = due->known ? OUTCOME_DROPPED : OUTCOME_RETRY;
        (void)snprintf(outcome.reason, sizeof outcome.reason, "no_address");
    } else {
        sender->channel->send(sender->channel->state, &due->delivery, &outcome);
    }
    switch (outcome.kind) {
    case OUTCOME_SENT:
        end(sender, due, "sent", "");
        return;
    case OUTCOME_DROPPED:
        end(sender, due, "dropped", outcome.reason);
        return;
    case OUTCOME_DEAD:
        end(sender, due, "dead", outcome.reason);
        return;
    case OUTCOME_RETRY:
        try_again(sender, due, &outcome);
    }
}

/* ---- the threads ---- */

static void count_rows(struct deliver *deliver)
{
    struct delivery_count counts[DELIVERY_COUNTS];
    size_t count;
    struct err err = {0};
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms < deliver->count_ms)
        return;
    deliver->count_ms = now_ms + COUNT_MS;
    if (!store_count(deliver->options.db, counts, &count, &err))
        return; /* the claim before it told already that the store is away */
    for (const struct channel *channel = deliver->options.channels; channel->name; channel++) {
        int64_t waiting = 0, dead = 0;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(counts[i].channel, channel->name) == 0) {
                waiting = counts[i].waiting;
                dead = counts[i].dead;
            }
        }
        metric_set(METRIC_CHILD(deliver->waiting, channel->name), waiting);
        metric_set(METRIC_CHILD(deliver->dead, channel->name), dead);
    }
}

/* Until somebody calls (since `*seen` calls), or a second. False: the end. */
static bool rest(struct deliver *deliver, uint64_t *seen)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_MS / 1000;
    (void)pthread_mutex_lock(&deliver->lock);
    while (!deliver->stop && deliver->wakes == *seen &&
           pthread_cond_timedwait(&deliver->woken, &deliver->lock, &until) == 0)
        ;
    *seen = deliver->wakes;
    const bool goes_on = !deliver->stop;
    (void)pthread_mutex_unlock(&deliver->lock);
    return goes_on;
}

static bool stopping(struct deliver *deliver)
{
    (void)pthread_mutex_lock(&deliver->lock);
    const bool stop = deliver->stop;
    (void)pthread_mutex_unlock(&deliver->lock);
    return stop;
}

static void *sender_run(void *payload)
{
    struct sender *sender = payload;
    struct deliver *deliver = sender->deliver;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    uint64_t seen = 0;
    bool away = false;
    do {
        bool found = true;
        struct err err = {0};
        while (found && !stopping(deliver)) {
            struct due due;
            arena_reset(arena);
            if (!store_claim(deliver->options.db, arena, sender->channel->name, LEASE_MS, &due, &found, &err))
                break;
            if (found)
                send(sender, &due);
        }
        if (err.problem && !away)
            log_err("deliveries_wait_for_store", &err);
        away = err.problem != NULL;
        if (sender == &deliver->senders[0] && !away)
            count_rows(deliver);
    } while (rest(deliver, &seen));
    return NULL;
}

static bool start_senders(struct deliver *deliver, struct err *err)
{
    for (const struct channel *channel = deliver->options.channels; channel->name; channel++) {
        for (int i = 0; i < channel->senders; i++) {
            if (deliver->count == SENDERS_MAX)
                return err_set_internal(err, &ERR_INTERNAL, "more than %d senders", SENDERS_MAX);
            struct sender *sender = &deliver->senders[deliver->count++];
            *sender = (struct sender){.deliver = deliver, .channel = channel};
            sender->runs = pthread_create(&sender->thread, NULL, sender_run, sender) == 0;
            if (!sender->runs)
                return err_set_internal(err, &ERR_INTERNAL, "no thread for a sender");
        }
    }
    return true;
}

struct deliver *deliver_start(const struct deliver_options *options, struct err *err)
{
    AUTO(deliver) deliver = MEM_NEW(deliver);
    deliver->options = *options;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&deliver->lock, NULL);
    (void)pthread_cond_init(&deliver->woken, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    deliver->outcomes = metric_counter("madang_notify_deliveries_total", "Deliveries by channel and what came of them",
                                       "channel,outcome");
    deliver->waiting = metric_gauge("madang_notify_deliveries_waiting", "Deliveries that wait", "channel");
    deliver->dead = metric_gauge("madang_notify_deliveries_dead", "Dead letters", "channel");
    return start_senders(deliver, err) ? TAKE(deliver) : NULL;
}

void deliver_release(struct deliver **deliver)
{
    struct deliver *d = *deliver;
    if (!d)
        return;
    (void)pthread_mutex_lock(&d->lock);
    d->stop = true;
    (void)pthread_cond_broadcast(&d->woken);
    (void)pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < d->count; i++)
        if (d->senders[i].runs)
            (void)pthread_join(d->senders[i].thread, NULL);
    (void)pthread_cond_destroy(&d->woken);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
    *deliver = NULL;
}

void deliver_wake(struct deliver *deliver)
{
    (void)pthread_mutex_lock(&deliver->lock);
    deliver->wakes++;
    (void)pthread_cond_broadcast(&deliver->woken);
    (void)pthread_mutex_unlock(&deliver->lock);
}
