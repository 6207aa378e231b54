/* signals.c - open connections in a table, and in a wheel that turns once in beat_seconds.
 *
 * Each connection stands in one slot of the wheel, chosen by its random id, so beats leave evenly. Signals of a
 * connection are sent while the lock is held: that keeps their order. A `down` that could not be queued stays in the
 * wheel and is tried again at its turn, as long as the lease would have lasted; a lost `up` is made good by the next
 * beat, which says the same. */
#include "signals.h"

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "outbox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_MS = 100, CHAINS = 4096 };

struct connection {
    struct connection *chain;
    struct connection *next, *previous; /* in its slot */
    char id[UUID_TEXT_BYTES], user_id[UUID_TEXT_BYTES];
    int64_t n;
    int64_t closed_ms; /* monotonic; 0: open */
    size_t slot;
};

struct signals {
    struct kafka_producer *producer;
    int lease_seconds;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct connection *chains[CHAINS];
    struct connection **slots;
    size_t slot_count;
    _Atomic size_t open; /* changed under the lock; the metrics, which have a lock of their own, read it without */
    struct metric_child *sent, *lost;
    bool stop;
    pthread_t thread;
};

/* ---- the table and the wheel; hold the lock ---- */

static uint64_t hash_of(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 0x100000001b3U;
    return hash ^ (hash >> 29);
}

static struct connection **find(struct signals *signals, const char *id)
{
    struct connection **at = &signals->chains[hash_of(id) % CHAINS];
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->chain;
    return at;
}

static void add(struct signals *signals, struct connection *connection)
{
    struct connection **chain = find(signals, connection->id);
    connection->chain = NULL;
    *chain = connection;
    connection->slot = (size_t)(hash_of(connection->id) / CHAINS % signals->slot_count);
    connection->next = signals->slots[connection->slot];
    if (connection->next)
        connection->next->previous = connection;
    signals->slots[connection->slot] = connection;
}

static void drop(struct signals *signals, struct connection *connection)
{
    struct connection **chain = find(signals, connection->id);
    *chain = connection->chain;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        signals->slots[connection->slot] = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    free(connection);
}

/* ---- sending ---- */

static void on_sent(void *payload, bool ok)
{
    struct metric_child *lost = payload;
    if (!ok)
        metric_add(lost, 1);
}

/* Holds the lock; does not block. */
static bool tell(struct signals *signals, struct connection *connection, const char *kind)
{
    struct err err = {0};
    AUTO_STR payload = {0};
    event_open(&payload, kind, NULL);
    json_text(&payload, "user_id", connection->user_id);
    json_text(&payload, "connection", connection->id);
    json_i64(&payload, "n", connection->n + 1);
    json_i64(&payload, "lease_seconds", signals->lease_seconds);
    json_close(&payload, '}');
    const struct kafka_message message = {.topic = TOPIC_PRESENCE_SIGNALS,
                                          .key = view_of(connection->user_id),
                                          .payload = {payload.bytes, payload.length}};
    if (!kafka_send(signals->producer, &message, on_sent, signals->lost, &err)) {
        metric_add(signals->lost, 1);
        return false;
    }
    connection->n++;
    metric_add(signals->sent, 1);
    return true;
}

/* Holds the lock. */
static void turn_slot(struct signals *signals, size_t slot)
{
    const int64_t forgotten_ms = clock_monotonic_ms() - (int64_t)signals->lease_seconds * 1000;
    for (struct connection *connection = signals->slots[slot], *next; connection; connection = next) {
        next = connection->next;
        if (!connection->closed_ms)
            (void)tell(signals, connection, "beat");
        else if (connection->closed_ms < forgotten_ms || tell(signals, connection, "down"))
            drop(signals, connection);
    }
}

static void *turn(void *payload)
{
    struct signals *signals = payload;
    int64_t due_ms = clock_monotonic_ms() + SLOT_MS;
    pthread_mutex_lock(&signals->lock);
    for (size_t slot = 0; !signals->stop;) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms < due_ms) {
            struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
            pthread_cond_timedwait(&signals->wake, &signals->lock, &until);
            continue;
        }
        turn_slot(signals, slot);
        slot = (slot + 1) % signals->slot_count;
        due_ms += SLOT_MS; /* after a pause of the process all slots that were missed follow at once: leases are near
                              their end */
        if (now_ms - due_ms > (int64_t)signals->slot_count * SLOT_MS)
            due_ms = now_ms - (int64_t)signals->slot_count * SLOT_MS;
    }
    pthread_mutex_unlock(&signals->lock);
    return NULL;
}

/* ---- connections ---- */

void signals_up(struct signals *signals, const char *user_id, char id[UUID_TEXT_BYTES])
{
    struct connection *connection = MEM_NEW(connection);
    uuid_new(connection->id);
    memcpy(id, connection->id, UUID_TEXT_BYTES);
    (void)snprintf(connection->user_id, sizeof connection->user_id, "%s", user_id);
    pthread_mutex_lock(&signals->lock);
    add(signals, connection);
    signals->open++;
    (void)tell(signals, connection, "up");
    pthread_mutex_unlock(&signals->lock);
}

void signals_down(struct signals *signals, const char *id)
{
    pthread_mutex_lock(&signals->lock);
    struct connection *connection = *find(signals, id);
    if (connection && !connection->closed_ms) {
        signals->open--;
        connection->closed_ms = clock_monotonic_ms();
        if (tell(signals, connection, "down"))
            drop(signals, connection);
    }
    pthread_mutex_unlock(&signals->lock);
}

/* ---- open and release ---- */

static int64_t read_open(void *payload)
{
    return (int64_t)((struct signals *)payload)->open;
}

struct signals *signals_open(struct kafka_producer *producer, int beat_seconds, int lease_seconds, struct err *err)
{
    if (beat_seconds < 1 || lease_seconds <= beat_seconds) {
        err_set_internal(err, &ERR_BAD_INPUT, "signals: a lease is longer than the time between two beats");
        return NULL;
    }
    struct signals *signals = MEM_NEW(signals);
    signals->producer = producer;
    signals->lease_seconds = lease_seconds;
    signals->slot_count = (size_t)beat_seconds * 1000 / SLOT_MS;
    signals->slots = mem_new(signals->slot_count, sizeof *signals->slots);
    struct metric *counted =
        metric_counter("madang_signals_total", "Signals of presence by what became of them", "result");
    signals->sent = METRIC_CHILD(counted, "sent");
    signals->lost = METRIC_CHILD(counted, "lost");
    pthread_mutex_init(&signals->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&signals->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&signals->thread, NULL, turn, signals) == 0) {
        metric_gauge_read("madang_signals_connections", "Connections whose presence is told", read_open, signals);
        return signals;
    }
    err_set_internal(err, &ERR_INTERNAL, "no thread for signals");
    free(signals->slots);
    free(signals);
    return NULL;
}

void signals_release(struct signals **place)
{
    struct signals *signals = TAKE(*place);
    if (!signals)
        return;
    metric_forget(signals);
    pthread_mutex_lock(&signals->lock);
    signals->stop = true;
    pthread_cond_signal(&signals->wake);
    pthread_mutex_unlock(&signals->lock);
    pthread_join(signals->thread, NULL);
    for (size_t slot = 0; slot < signals->slot_count; slot++)
        while (signals->slots[slot]) {
            (void)tell(signals, signals->slots[slot], "down");
            drop(signals, signals->slots[slot]);
        }
    pthread_cond_destroy(&signals->wake);
    pthread_mutex_destroy(&signals->lock);
    free(signals->slots);
    free(signals);
}
