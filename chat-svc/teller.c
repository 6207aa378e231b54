#include "teller.h"

#include "clock.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { LAST_WORDS_MS = 5000 };

/* The events of one call. */
struct flight {
    struct flight *next; /* of its partition, in order */
    struct teller *teller;
    int32_t partition;
    int64_t last_id;
    size_t travelling;
    bool failed, complete; /* complete: all were handed over, or one could not be */
};

struct track { /* a partition */
    int32_t partition;
    struct flight *first, **last;
    int64_t sent_id;
    bool broken, hole; /* hole: one could not be handed over; nothing more is, until it is settled */
};

struct teller {
    struct kafka_producer *producer;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t landed;
    struct track **tracks;
    size_t track_count, travelling;
    bool refuses;
    int references; /* its owner's, and one for each event that travels */
    void (*broken)(void *payload);
    void *payload;
};

struct teller *teller_open(struct kafka_producer *producer)
{
    struct teller *teller = MEM_NEW(teller);
    pthread_condattr_t clock;
    teller->producer = producer;
    teller->references = 1;
    (void)pthread_mutex_init(&teller->lock, NULL);
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&teller->landed, &clock);
    (void)pthread_condattr_destroy(&clock);
    return teller;
}

static void let_go(struct teller *teller) /* locked; unlocks */
{
    const bool last = --teller->references == 0;
    (void)pthread_mutex_unlock(&teller->lock);
    if (!last)
        return;
    for (size_t i = 0; i < teller->track_count; i++) {
        for (struct flight *flight = teller->tracks[i]->first, *next; flight; flight = next) {
            next = flight->next;
            free(flight);
        }
        free(teller->tracks[i]);
    }
    free(teller->tracks);
    (void)pthread_cond_destroy(&teller->landed);
    (void)pthread_mutex_destroy(&teller->lock);
    free(teller);
}

static bool wait_until(struct teller *teller, int64_t until_ms) /* holds the lock */
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    return pthread_cond_timedwait(&teller->landed, &teller->lock, &until) == 0;
}

void teller_release(struct teller **place)
{
    struct teller *teller = TAKE(*place);
    if (!teller)
        return;
    const int64_t until_ms = clock_monotonic_ms() + LAST_WORDS_MS;
    (void)pthread_mutex_lock(&teller->lock);
    teller->broken = NULL;
    while (teller->travelling && wait_until(teller, until_ms))
        continue;
    let_go(teller);
}

void teller_watch(struct teller *teller, void (*broken)(void *payload), void *payload)
{
    (void)pthread_mutex_lock(&teller->lock);
    teller->broken = broken;
    teller->payload = payload;
    (void)pthread_mutex_unlock(&teller->lock);
}

static struct track *track_of(struct teller *teller, int32_t partition) /* holds the lock */
{
    for (size_t i = 0; i < teller->track_count; i++)
        if (teller->tracks[i]->partition == partition)
            return teller->tracks[i];
    teller->tracks = mem_grow(teller->tracks, teller->track_count + 1, sizeof(struct track *));
    struct track *track = teller->tracks[teller->track_count++] = MEM_NEW(track);
    track->partition = partition;
    track->last = &track->first;
    return track;
}

/* Flights that have landed, from the first on: one behind a failed one counts for nothing. Holds the lock. */
static void land(struct teller *teller, struct track *track)
{
    bool breaks = false;
    while (track->first && track->first->complete && !track->first->travelling) {
        struct flight *flight = track->first;
        track->first = flight->next;
        if (!track->first)
            track->last = &track->first;
        breaks = breaks || (flight->failed && !track->broken);
        track->broken = track->broken || flight->failed;
        if (!track->broken)
            track->sent_id = flight->last_id;
        free(flight);
    }
    (void)pthread_cond_broadcast(&teller->landed);
    if (breaks && teller->broken)
        teller->broken(teller->payload);
}

static void landed(void *payload, bool ok)
{
    struct flight *flight = payload;
    struct teller *teller = flight->teller;
    (void)pthread_mutex_lock(&teller->lock);
    flight->failed = flight->failed || !ok;
    flight->travelling--;
    teller->travelling--;
    land(teller, track_of(teller, flight->partition));
    let_go(teller);
}

void teller_send(struct teller *teller, int32_t partition, const struct kafka_message *messages, size_t count,
                 int64_t last_id)
{
    if (count == 0)
        return;
    struct flight *flight = MEM_NEW(flight);
    *flight = (struct flight){.teller = teller, .partition = partition, .last_id = last_id, .travelling = count};
    (void)pthread_mutex_lock(&teller->lock);
    struct track *track = track_of(teller, partition);
    *track->last = flight;
    track->last = &flight->next;
    teller->travelling += count;
    teller->references += (int)count;
    const bool refuses = teller->refuses || track->hole;
    (void)pthread_mutex_unlock(&teller->lock);
    struct err err = {0};
    size_t handed = 0;
    while (handed < count && !refuses && kafka_send(teller->producer, &messages[handed], landed, flight, &err))
        handed++;
    (void)pthread_mutex_lock(&teller->lock);
    flight->travelling -= count - handed;
    teller->travelling -= count - handed;
    teller->references -= (int)(count - handed);
    flight->failed = flight->failed || handed < count;
    track->hole = track->hole || handed < count;
    flight->complete = true;
    land(teller, track);
    (void)pthread_mutex_unlock(&teller->lock);
}

int64_t teller_sent(struct teller *teller, int32_t partition)
{
    (void)pthread_mutex_lock(&teller->lock);
    const int64_t sent_id = track_of(teller, partition)->sent_id;
    (void)pthread_mutex_unlock(&teller->lock);
    return sent_id;
}

void teller_refuse(struct teller *teller, bool refuse)
{
    (void)pthread_mutex_lock(&teller->lock);
    teller->refuses = refuse;
    (void)pthread_mutex_unlock(&teller->lock);
}

bool teller_is_broken(struct teller *teller, int32_t partition)
{
    (void)pthread_mutex_lock(&teller->lock);
    const struct track *track = track_of(teller, partition);
    const bool broken = track->broken || track->hole;
    (void)pthread_mutex_unlock(&teller->lock);
    return broken;
}

bool teller_settle(struct teller *teller, int32_t partition, int within_ms, int64_t *sent_id, struct err *err)
{
    const int64_t until_ms = clock_monotonic_ms() + within_ms;
    (void)pthread_mutex_lock(&teller->lock);
    struct track *track = track_of(teller, partition);
    while (track->first && wait_until(teller, until_ms))
        continue;
    const bool settled = !track->first;
    if (settled) {
        *sent_id = track->sent_id;
        track->broken = track->hole = false;
        track->sent_id = 0;
    }
    (void)pthread_mutex_unlock(&teller->lock);
    return settled || err_set_internal(err, &ERR_UNAVAILABLE, "events of partition %d still travel", (int)partition);
}
