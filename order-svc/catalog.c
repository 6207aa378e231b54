#include "catalog.h"

#include "clock.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct catalog {
    pthread_mutex_t lock;                               /* of all below */
    struct catalog_market markets[CATALOG_MARKETS_MAX]; /* newest first */
    size_t count;
    int64_t looked_ms;
};

struct catalog *catalog_open(void)
{
    struct catalog *catalog = MEM_NEW(catalog);
    pthread_mutex_init(&catalog->lock, NULL);
    catalog->looked_ms = -CATALOG_LOOK_MS;
    return catalog;
}

void catalog_release(struct catalog **held)
{
    if (!*held)
        return;
    pthread_mutex_destroy(&(*held)->lock);
    free(*held);
    *held = NULL;
}

/* ---- learning; holds the lock ---- */

static bool same(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static struct catalog_market *find(struct catalog *catalog, const struct uuid *id)
{
    for (size_t i = 0; i < catalog->count; i++)
        if (same(&catalog->markets[i].id, id))
            return &catalog->markets[i];
    return NULL;
}

/* A later opening is newer; the oldest gives way. */
static void add(struct catalog *catalog, const struct catalog_market *market)
{
    size_t at = 0;
    while (at < catalog->count && catalog->markets[at].opened_ms > market->opened_ms)
        at++;
    if (at == CATALOG_MARKETS_MAX)
        return;
    if (catalog->count < CATALOG_MARKETS_MAX)
        catalog->count++;
    memmove(&catalog->markets[at + 1], &catalog->markets[at], (catalog->count - 1 - at) * sizeof catalog->markets[0]);
    catalog->markets[at] = *market;
    uuid_format(&market->id, catalog->markets[at].id_text);
}

static void go_on(struct catalog_market *market, enum market_phase phase, int64_t started_ms, int64_t closed_ms)
{
    if (phase > market->phase)
        market->phase = phase;
    if (!market->started_ms)
        market->started_ms = started_ms;
    if (!market->closed_ms)
        market->closed_ms = closed_ms;
}

void catalog_learn(struct catalog *catalog, const struct catalog_market *market)
{
    pthread_mutex_lock(&catalog->lock);
    struct catalog_market *known = find(catalog, &market->id);
    if (known)
        go_on(known, market->phase, market->started_ms, market->closed_ms);
    else
        add(catalog, market);
    pthread_mutex_unlock(&catalog->lock);
}

/* ---- hearing ---- */

static void hear_opened(struct catalog *catalog, int32_t partition, struct view record)
{
    struct market_events events;
    struct err ignored = {0}; /* a poison record is the workers' matter */
    AUTO(arena) arena = arena_open(MARKET_RECORD_MAX);
    if (!market_events_decode(arena, record, &events, &ignored) || events.count == 0)
        return;
    const struct catalog_market market = {
        .id = events.market,
        .partition = partition,
        .phase = PHASE_SET_UP,
        .opened_ms = events.at_ms,
        .rules = events.events[0].opened,
    };
    catalog_learn(catalog, &market);
}

static void hear_phase(struct catalog *catalog, const struct market_events *events, enum market_phase phase)
{
    pthread_mutex_lock(&catalog->lock);
    struct catalog_market *known = find(catalog, &events->market);
    if (known)
        go_on(known, phase, phase == PHASE_OPEN ? events->at_ms : 0, phase == PHASE_CLOSED ? events->at_ms : 0);
    pthread_mutex_unlock(&catalog->lock);
}

void catalog_hear(struct catalog *catalog, int32_t partition, struct view record)
{
    struct market_events events;
    int first_kind;
    if (!market_events_head(record, &events, &first_kind))
        return;
    if (first_kind == MARKET_OPENED)
        hear_opened(catalog, partition, record);
    else if (first_kind == MARKET_STARTED)
        hear_phase(catalog, &events, PHASE_OPEN);
    else if (first_kind == MARKET_CLOSED)
        hear_phase(catalog, &events, PHASE_CLOSED);
}

/* ---- asking ---- */

bool catalog_company_index(const struct catalog_market *market, const struct uuid *company, int *index)
{
    for (int i = 0; i < market->rules.company_count; i++) {
        if (!same(&market->rules.companies[i].id, company))
            continue;
        if (index)
            *index = i;
        return true;
    }
    return false;
}

bool catalog_of_company(struct catalog *catalog, const struct uuid *company, struct catalog_market *market, int *index)
{
    bool found = false;
    pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count && !found; i++) {
        found = catalog_company_index(&catalog->markets[i], company, index);
        if (found)
            *market = catalog->markets[i];
    }
    pthread_mutex_unlock(&catalog->lock);
    return found;
}

bool catalog_of_id(struct catalog *catalog, const struct uuid *id, struct catalog_market *market)
{
    pthread_mutex_lock(&catalog->lock);
    const struct catalog_market *known = find(catalog, id);
    if (known)
        *market = *known;
    pthread_mutex_unlock(&catalog->lock);
    return known != NULL;
}

bool catalog_of_order(struct catalog *catalog, const struct uuid *order, struct catalog_market *market)
{
    int found = 0;
    pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count; i++) {
        if (memcmp(&catalog->markets[i].id.bytes[CATALOG_TAG_AT], &order->bytes[CATALOG_TAG_AT],
                   sizeof order->bytes - CATALOG_TAG_AT) != 0)
            continue;
        *market = catalog->markets[i];
        found++;
    }
    pthread_mutex_unlock(&catalog->lock);
    return found == 1;
}

bool catalog_current(struct catalog *catalog, struct catalog_market *market)
{
    pthread_mutex_lock(&catalog->lock);
    const bool known = catalog->count > 0;
    if (known)
        *market = catalog->markets[0];
    pthread_mutex_unlock(&catalog->lock);
    return known;
}

size_t catalog_unclosed(struct catalog *catalog, struct catalog_market *markets, size_t room)
{
    size_t count = 0;
    pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count && count < room; i++)
        if (catalog->markets[i].phase != PHASE_CLOSED)
            markets[count++] = catalog->markets[i];
    pthread_mutex_unlock(&catalog->lock);
    return count;
}

bool catalog_shall_look(struct catalog *catalog)
{
    const int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&catalog->lock);
    const bool shall = now_ms - catalog->looked_ms >= CATALOG_LOOK_MS;
    if (shall)
        catalog->looked_ms = now_ms;
    pthread_mutex_unlock(&catalog->lock);
    return shall;
}
