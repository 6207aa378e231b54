#include "limiter.h"

#include "crypto.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAYS = 8, TALLY_LISTS = 4096 };

struct bucket {
    _Atomic uint64_t key;    /* 0: free */
    _Atomic int64_t full_us; /* when it will be full again; in the past: it is full */
};

struct tally {
    struct tally *next;
    uint64_t key;
    int64_t count;
};

struct limits {
    uint64_t secret[2];
    size_t mask; /* sets - 1 */
    struct bucket *buckets;
    pthread_mutex_t lock; /* guards the tallies */
    struct tally *tallies[TALLY_LISTS];
};

struct limits *limits_open(size_t buckets)
{
    struct limits *limits = MEM_NEW(limits);
    size_t sets = 1;
    while (sets * WAYS < buckets)
        sets *= 2;
    limits->mask = sets - 1;
    limits->buckets = mem_new(sets * WAYS, sizeof *limits->buckets);
    crypto_random(limits->secret, sizeof limits->secret);
    (void)pthread_mutex_init(&limits->lock, NULL);
    return limits;
}

void limits_release(struct limits **limits)
{
    struct limits *old = TAKE(*limits);
    if (!old)
        return;
    for (size_t i = 0; i < TALLY_LISTS; i++)
        while (old->tallies[i]) {
            struct tally *tally = old->tallies[i];
            old->tallies[i] = tally->next;
            free(tally);
        }
    (void)pthread_mutex_destroy(&old->lock);
    free(old->buckets);
    free(old);
}

/* ---- keys: SipHash-1-3 (Aumasson and Bernstein 2012), as hash tables use it ---- */

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))
static void sip_rounds(uint64_t v[4], int rounds)
{
    while (rounds--) {
        v[0] += v[1];
        v[1] = ROTATE(v[1], 13) ^ v[0];
        v[0] = ROTATE(v[0], 32);
        v[2] += v[3];
        v[3] = ROTATE(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = ROTATE(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = ROTATE(v[1], 17) ^ v[2];
        v[2] = ROTATE(v[2], 32);
    }
}

static uint64_t sip_hash(const uint64_t secret[2], uint64_t tweak, struct view bytes)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u ^ tweak, secret[1] ^ 0x646f72616e646f6du,
                     secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; at + 8 <= bytes.length; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.bytes + at, 8);
        v[3] ^= word;
        sip_rounds(v, 1);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)bytes.length << 56;
    for (size_t i = at; i < bytes.length; i++)
        last |= (uint64_t)(unsigned char)bytes.bytes[i] << 8 * (i - at);
    v[3] ^= last;
    sip_rounds(v, 1);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, 3);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t limits_key(const struct limits *limits, enum limit_kind kind, uint32_t more, struct view who)
{
    uint64_t key = sip_hash(limits->secret, (uint64_t)kind << 32 | more, who);
    return key ? key : 1;
}

/* ---- rates ---- */

/* The bucket of the key: its own, a free one, or the one that is fullest. */
static struct bucket *find_bucket(struct limits *limits, uint64_t key)
{
    struct bucket *set = &limits->buckets[(key & limits->mask) * WAYS], *fullest = set;
    int64_t least = INT64_MAX;
    for (int way = 0; way < WAYS; way++) {
        uint64_t there = atomic_load_explicit(&set[way].key, memory_order_relaxed);
        if (there == key)
            return &set[way];
        int64_t full_us = there ? atomic_load_explicit(&set[way].full_us, memory_order_relaxed) : INT64_MIN;
        if (full_us < least) {
            least = full_us;
            fullest = &set[way];
        }
    }
    /* Two threads may take it at once; then one of them counts into the other's bucket for this one time. */
    atomic_store_explicit(&fullest->full_us, 0, memory_order_relaxed);
    atomic_store_explicit(&fullest->key, key, memory_order_relaxed);
    return fullest;
}

static bool take(struct limits *limits, uint64_t key, const struct limit_rate *rate, int64_t now_us,
                 struct limit_state *state, int64_t cost)
{
    struct bucket *bucket = find_bucket(limits, key);
    int64_t each_us = rate->per_ms * 1000 / rate->events, depth_us = each_us * rate->burst;
    int64_t full_us = atomic_load_explicit(&bucket->full_us, memory_order_relaxed), next_us;
    do {
        int64_t from_us = full_us > now_us ? full_us : now_us;
        if (from_us + each_us - now_us > depth_us) {
            *state = (struct limit_state){.retry_s = (from_us + each_us - now_us - depth_us + 999999) / 1000000,
                                          .full_s = (from_us - now_us + 999999) / 1000000};
            return false;
        }
        next_us = from_us + each_us * cost;
    } while (cost && !atomic_compare_exchange_weak_explicit(&bucket->full_us, &full_us, next_us, memory_order_relaxed,
                                                            memory_order_relaxed));
    *state = (struct limit_state){.left = (depth_us - (next_us - now_us)) / each_us,
                                  .full_s = (next_us - now_us + 999999) / 1000000};
    return true;
}

bool limits_take(struct limits *limits, uint64_t key, const struct limit_rate *rate, int64_t now_us,
                 struct limit_state *state)
{
    return take(limits, key, rate, now_us, state, 1);
}

bool limits_allows(struct limits *limits, uint64_t key, const struct limit_rate *rate, int64_t now_us,
                   struct limit_state *state)
{
    return take(limits, key, rate, now_us, state, 0);
}

/* ---- counts ---- */

bool limits_enter(struct limits *limits, uint64_t key, int64_t max)
{
    if (max <= 0)
        return false;
    (void)pthread_mutex_lock(&limits->lock);
    struct tally **at = &limits->tallies[key % TALLY_LISTS];
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    if (!*at) {
        *at = MEM_NEW(tally);
        (*at)->key = key;
    }
    bool fits = (*at)->count < max;
    if (fits)
        (*at)->count++;
    (void)pthread_mutex_unlock(&limits->lock);
    return fits;
}

void limits_leave(struct limits *limits, uint64_t key)
{
    (void)pthread_mutex_lock(&limits->lock);
    struct tally **at = &limits->tallies[key % TALLY_LISTS];
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    struct tally *tally = *at;
    if (tally && --tally->count <= 0) {
        *at = tally->next;
        free(tally);
    }
    (void)pthread_mutex_unlock(&limits->lock);
}
