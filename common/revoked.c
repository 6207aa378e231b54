#include "clock.h"
#include "crypto.h"
#include "mem.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Two open-addressing tables with linear probing, 32 bytes a slot, at most 3/4 full. An entry past its `until` is of no
 * use, because no token lives that long: it goes when its table grows, and at least once a minute while entries come.
 * So memory is bounded by what auth-svc ends within one token life and a minute. */
enum { SLOTS_MIN = 64, SWEEP_MS = 60000 };

struct slot {
    struct uuid id;
    int64_t least;    /* users: role version */
    int64_t until_ms; /* 0: free */
};

struct table {
    struct slot *slots;
    size_t size; /* a power of two */
    _Atomic size_t used;
    int64_t swept_ms;
};

struct revoked {
    pthread_rwlock_t lock;
    uint64_t seed;
    struct table sessions, users;
};

static size_t slot_of(const struct table *table, uint64_t seed, const struct uuid *id)
{
    uint64_t a, b;
    memcpy(&a, id->bytes, 8);
    memcpy(&b, id->bytes + 8, 8);
    __uint128_t product = (__uint128_t)(a ^ seed) * (b ^ 0x9e3779b97f4a7c15U);
    return (size_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & (table->size - 1);
}

/* The id's slot, or the free one where it belongs. */
static struct slot *table_find(const struct table *table, uint64_t seed, const struct uuid *id)
{
    size_t at = slot_of(table, seed, id);
    while (table->slots[at].until_ms != 0 && memcmp(&table->slots[at].id, id, sizeof *id) != 0)
        at = (at + 1) & (table->size - 1);
    return &table->slots[at];
}

/* Builds the table anew from the entries that still count, half full at most. */
static void table_sweep(struct table *table, uint64_t seed, int64_t now_ms)
{
    struct table old = *table;
    size_t live = 0;
    for (size_t i = 0; i < old.size; i++)
        live += old.slots[i].until_ms > now_ms;
    for (table->size = SLOTS_MIN; table->size < 2 * (live + 1);)
        table->size *= 2;
    table->slots = mem_new(table->size, sizeof *table->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].until_ms > now_ms)
            *table_find(table, seed, &old.slots[i].id) = old.slots[i];
    table->used = live;
    table->swept_ms = now_ms;
    free(old.slots);
}

static void table_add(struct revoked *revoked, struct table *table, const struct uuid *id, int64_t least,
                      int64_t until_ms)
{
    int64_t now_ms = clock_now_ms();
    if (until_ms <= now_ms)
        return;
    pthread_rwlock_wrlock(&revoked->lock);
    if (table->size == 0 || (table->used + 1) * 4 > table->size * 3 || now_ms - table->swept_ms > SWEEP_MS)
        table_sweep(table, revoked->seed, now_ms);
    struct slot *slot = table_find(table, revoked->seed, id);
    if (slot->until_ms == 0) {
        slot->id = *id;
        table->used++;
    }
    if (least > slot->least)
        slot->least = least;
    if (until_ms > slot->until_ms)
        slot->until_ms = until_ms;
    pthread_rwlock_unlock(&revoked->lock);
}

/* The slot's copy; until_ms 0 when there is none. */
static struct slot table_look_up(const struct revoked *revoked, const struct table *table, const struct uuid *id)
{
    struct slot found = {.until_ms = 0};
    if (atomic_load_explicit(&table->used, memory_order_acquire) == 0) /* the usual case takes no lock */
        return found;
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&revoked->lock; /* a reader changes nothing else */
    pthread_rwlock_rdlock(lock);
    if (table->size > 0)
        found = *table_find(table, revoked->seed, id);
    pthread_rwlock_unlock(lock);
    return found;
}

struct revoked *revoked_open(void)
{
    struct revoked *revoked = MEM_NEW(revoked);
    crypto_random(&revoked->seed, sizeof revoked->seed);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* Readers never stop coming; by default they would keep the one writer waiting. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&revoked->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return revoked;
}

void revoked_release(struct revoked **revoked)
{
    struct revoked *old = TAKE(*revoked);
    if (!old)
        return;
    free(old->sessions.slots);
    free(old->users.slots);
    pthread_rwlock_destroy(&old->lock);
    free(old);
}

void revoked_add_session(struct revoked *revoked, const struct uuid *session, int64_t until_ms)
{
    table_add(revoked, &revoked->sessions, session, 0, until_ms);
}

void revoked_add_user(struct revoked *revoked, const struct uuid *user, int64_t least_role_version, int64_t until_ms)
{
    table_add(revoked, &revoked->users, user, least_role_version, until_ms);
}

bool revoked_session(const struct revoked *revoked, const struct uuid *session)
{
    return table_look_up(revoked, &revoked->sessions, session).until_ms != 0;
}

int64_t revoked_least_role_version(const struct revoked *revoked, const struct uuid *user)
{
    return table_look_up(revoked, &revoked->users, user).least;
}

size_t revoked_count(const struct revoked *revoked)
{
    return revoked->sessions.used + revoked->users.used;
}
