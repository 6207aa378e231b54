/* pending.c - one table of what waits, by number, under one lock.
 *
 * An entry is either a request's (its exchange is told by http_pending_*, the clock for it is the server's) or an
 * expectation with a callback, which also stands in a list by due time for the one thread. Who takes an entry out of
 * the table ends it: so each ends once, whatever races. */
#include "pending.h"

#include "clock.h"
#include "http_internal.h"
#include "mem.h"
#include "uuid.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct pending_entry {
    struct pending_entry *chain;           /* of the hash */
    struct pending_entry *next, *previous; /* of the due list */
    uint64_t number;
    struct pending *pending;
    struct http_exchange *exchange; /* NULL: an expectation */
    pending_fn answered;
    void *payload;
    int64_t due_ms;
};

struct pending {
    char start_id[UUID_TEXT_BYTES];
    size_t max, count, mask;
    uint64_t last_number;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct pending_entry **chains;
    struct pending_entry *first, *last; /* expectations by due time */
    bool stop;
    pthread_t thread;
};

enum { START_ID_LENGTH = UUID_TEXT_BYTES - 1 };

/* ---- the table; holds the lock ---- */

static struct pending_entry **find(struct pending *pending, uint64_t number)
{
    struct pending_entry **at = &pending->chains[number & pending->mask];
    while (*at && (*at)->number != number)
        at = &(*at)->chain;
    return at;
}

/* Expectations mostly wait equally long, so the place is near the end. */
static void due_add(struct pending *pending, struct pending_entry *entry)
{
    struct pending_entry *before = pending->last;
    while (before && before->due_ms > entry->due_ms)
        before = before->previous;
    entry->previous = before;
    entry->next = before ? before->next : pending->first;
    if (entry->next)
        entry->next->previous = entry;
    else
        pending->last = entry;
    if (before)
        before->next = entry;
    else
        pending->first = entry;
}

static void due_remove(struct pending *pending, struct pending_entry *entry)
{
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        pending->first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    else
        pending->last = entry->previous;
}

static struct pending_entry *take(struct pending *pending, uint64_t number)
{
    struct pending_entry **at = find(pending, number), *entry = *at;
    if (!entry)
        return NULL;
    *at = entry->chain;
    pending->count--;
    if (!entry->exchange)
        due_remove(pending, entry);
    return entry;
}

/* <start id>:<number>; in every request that waits, so not by printf. */
static void print_corr(const struct pending *pending, uint64_t number, char corr[PENDING_CORR_BYTES])
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    memcpy(corr, pending->start_id, START_ID_LENGTH);
    corr += START_ID_LENGTH;
    *corr++ = ':';
    while (count)
        *corr++ = digits[--count];
    *corr = '\0';
}

static bool add(struct pending *pending, struct pending_entry *entry, char corr[PENDING_CORR_BYTES], struct err *err)
{
    pthread_mutex_lock(&pending->lock);
    bool room = pending->count < pending->max;
    if (room) {
        pending->count++;
        entry->pending = pending;
        entry->number = ++pending->last_number;
        struct pending_entry **at = find(pending, entry->number);
        entry->chain = *at;
        *at = entry;
        print_corr(pending, entry->number, corr);
        if (!entry->exchange) {
            due_add(pending, entry);
            if (pending->first == entry)
                pthread_cond_signal(&pending->wake);
        }
    }
    pthread_mutex_unlock(&pending->lock);
    if (room)
        return true;
    free(entry);
    return err_set_retry(err, &ERR_UNAVAILABLE, 1, "Too many requests are waiting");
}

/* ---- requests ---- */

/* Called by the server before the exchange runs again and when it ends. */
static void forget(struct pending_entry *entry)
{
    struct pending *pending = entry->pending;
    pthread_mutex_lock(&pending->lock);
    (void)take(pending, entry->number);
    pthread_mutex_unlock(&pending->lock);
    free(entry);
}

bool pending_begin(struct pending *pending, struct request *req, char corr[PENDING_CORR_BYTES], struct err *err)
{
    struct pending_entry *entry = MEM_NEW(pending_entry);
    entry->exchange = req->exchange;
    if (!add(pending, entry, corr, err))
        return false;
    http_pending_begin(req->exchange, entry, forget);
    return true;
}

bool pending_wait(struct pending *pending, struct request *req, int within_ms)
{
    (void)pending;
    return http_try_again(req, within_ms);
}

/* ---- expectations ---- */

bool pending_expect(struct pending *pending, int within_ms, pending_fn answered, void *payload,
                    char corr[PENDING_CORR_BYTES], struct err *err)
{
    struct pending_entry *entry = MEM_NEW(pending_entry);
    entry->answered = answered;
    entry->payload = payload;
    entry->due_ms = clock_monotonic_ms() + within_ms;
    return add(pending, entry, corr, err);
}

static void end_expectation(struct pending_entry *entry, struct view answer)
{
    entry->answered(entry->payload, answer);
    free(entry);
}

/* Ends what is due; the lock is given back for each. */
static void *keep_time(void *payload)
{
    struct pending *pending = payload;
    pthread_mutex_lock(&pending->lock);
    while (!pending->stop) {
        struct pending_entry *entry = pending->first;
        if (!entry) {
            pthread_cond_wait(&pending->wake, &pending->lock);
        } else if (entry->due_ms > clock_monotonic_ms()) {
            struct timespec until = {.tv_sec = entry->due_ms / 1000, .tv_nsec = entry->due_ms % 1000 * 1000000};
            pthread_cond_timedwait(&pending->wake, &pending->lock, &until);
        } else {
            (void)take(pending, entry->number);
            pthread_mutex_unlock(&pending->lock);
            end_expectation(entry, (struct view){0});
            pthread_mutex_lock(&pending->lock);
        }
    }
    pthread_mutex_unlock(&pending->lock);
    return NULL;
}

/* ---- answers ---- */

bool pending_is_ours(const struct pending *pending, const char *corr)
{
    return strncmp(corr, pending->start_id, START_ID_LENGTH) == 0 && corr[START_ID_LENGTH] == ':';
}

const char *pending_start_id(const struct pending *pending)
{
    return pending->start_id;
}

bool pending_answer(struct pending *pending, const char *corr, struct view bytes)
{
    if (!pending_is_ours(pending, corr))
        return false;
    const char *digits = corr + START_ID_LENGTH + 1;
    char *end;
    uint64_t number = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end)
        return false;
    struct view answer = {bytes.bytes ? bytes.bytes : "", bytes.length};
    pthread_mutex_lock(&pending->lock);
    struct pending_entry **at = find(pending, number), *entry = *at;
    /* a request's entry stays until its run: the first answer counts, and the exchange lives as long as the entry does
     */
    bool waits = entry && (!entry->exchange || http_pending_answer(entry->exchange, answer));
    if (waits && !entry->exchange)
        (void)take(pending, number);
    bool expectation = waits && !entry->exchange;
    pthread_mutex_unlock(&pending->lock);
    if (expectation)
        end_expectation(entry, answer);
    return waits;
}

/* ---- open and release ---- */

struct pending *pending_open(size_t max, struct err *err)
{
    struct pending *pending = MEM_NEW(pending);
    uuid_new(pending->start_id);
    pending->max = max;
    size_t chains = 64;
    while (chains < max)
        chains *= 2;
    pending->mask = chains - 1;
    pending->chains = mem_new(chains, sizeof(struct pending_entry *));
    pthread_mutex_init(&pending->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pending->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&pending->thread, NULL, keep_time, pending) == 0)
        return pending;
    err_set_internal(err, &ERR_INTERNAL, "no thread for pending requests");
    free(pending->chains);
    free(pending);
    return NULL;
}

void pending_release(struct pending **place)
{
    struct pending *pending = TAKE(*place);
    if (!pending)
        return;
    pthread_mutex_lock(&pending->lock);
    pending->stop = true;
    pthread_cond_signal(&pending->wake);
    pthread_mutex_unlock(&pending->lock);
    pthread_join(pending->thread, NULL);
    for (struct pending_entry *entry; (entry = pending->first);)
        end_expectation(take(pending, entry->number), (struct view){0});
    pthread_cond_destroy(&pending->wake);
    pthread_mutex_destroy(&pending->lock);
    free(pending->chains);
    free(pending);
}
