#include "table.h"

#include "id_map.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { COMPANIES_MAX = 65536 }; /* some 3 kB each */

struct table_state {
    atomic_int references;
    struct depth_state state;
};

struct entry {
    struct id_node node; /* the company */
    struct table_state *state;
};

struct market {
    struct id_node node;
    struct uuid companies[MARKET_COMPANIES_MAX];
    uint32_t known; /* a bit per company */
};

struct table {
    pthread_mutex_t lock;
    struct id_map entries, markets;
    atomic_bool whole;
    struct metric_child *m_unreadable, *m_old, *m_companies;
};

struct table *table_open(void)
{
    struct table *table = MEM_NEW(table);
    (void)pthread_mutex_init(&table->lock, NULL);
    struct metric *dropped =
        metric_counter("madang_match_depth_dropped_total", "Records of market.depth that changed nothing", "why");
    table->m_unreadable = METRIC_CHILD(dropped, "unreadable");
    table->m_old = METRIC_CHILD(dropped, "old");
    table->m_companies = METRIC_CHILD(metric_gauge("madang_match_companies", "Companies in the table", NULL));
    return table;
}

static void free_entry(void *payload, struct id_node *node)
{
    (void)payload;
    struct entry *entry = (struct entry *)(void *)node;
    table_state_release(&entry->state);
    free(entry);
}

static void free_market(void *payload, struct id_node *node)
{
    (void)payload;
    free(node);
}

void table_release(struct table **table)
{
    struct table *t = *table;
    if (!t)
        return;
    id_map_clear(&t->entries, free_entry, NULL);
    id_map_clear(&t->markets, free_market, NULL);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
    *table = NULL;
}

/* ---- states ---- */

const struct depth_state *table_state_of(const struct table_state *state)
{
    return &state->state;
}

void table_state_release(struct table_state **state)
{
    if (*state && atomic_fetch_sub(&(*state)->references, 1) == 1)
        free(*state);
    *state = NULL;
}

struct table_state *table_get(struct table *table, const struct uuid *company)
{
    struct table_state *state = NULL;
    (void)pthread_mutex_lock(&table->lock);
    const struct entry *entry = (const struct entry *)(const void *)id_map_get(&table->entries, company);
    if (entry) {
        state = entry->state;
        atomic_fetch_add(&state->references, 1);
    }
    (void)pthread_mutex_unlock(&table->lock);
    return state;
}

bool table_company_at(struct table *table, const struct uuid *market, int index, struct uuid *company)
{
    (void)pthread_mutex_lock(&table->lock);
    const struct market *found = (const struct market *)(const void *)id_map_get(&table->markets, market);
    const bool known = found && index >= 0 && index < MARKET_COMPANIES_MAX && (found->known & 1U << index);
    if (known)
        *company = found->companies[index];
    (void)pthread_mutex_unlock(&table->lock);
    return known;
}

void table_is_whole(struct table *table)
{
    atomic_store(&table->whole, true);
}

bool table_whole(const struct table *table)
{
    return atomic_load(&table->whole);
}

size_t table_count(struct table *table)
{
    (void)pthread_mutex_lock(&table->lock);
    const size_t count = table->entries.count;
    (void)pthread_mutex_unlock(&table->lock);
    return count;
}

size_t table_over(struct table *table, int64_t closed_ms, int64_t idle_ms, struct uuid *companies, size_t most)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&table->lock);
    for (uint32_t i = 0; i < table->entries.room && count < most; i++) {
        for (const struct id_node *at = table->entries.buckets[i]; at && count < most; at = at->next) {
            const struct depth_state *state = &((const struct entry *)(const void *)at)->state->state;
            if (state->at_ms < (state->phase == DEPTH_CLOSED ? closed_ms : idle_ms))
                companies[count++] = at->id;
        }
    }
    (void)pthread_mutex_unlock(&table->lock);
    return count;
}

/* ---- what is heard (locked) ---- */

static void know_market(struct table *table, const struct depth_state *state)
{
    struct market *market = (struct market *)(void *)id_map_get(&table->markets, &state->market);
    if (!market) {
        market = MEM_NEW(market);
        market->node.id = state->market;
        id_map_put(&table->markets, &market->node);
    }
    market->companies[state->index] = state->company;
    market->known |= 1U << state->index;
}

static void forget_market(struct table *table, const struct depth_state *state)
{
    struct market *market = (struct market *)(void *)id_map_get(&table->markets, &state->market);
    if (!market)
        return;
    market->known &= ~(1U << state->index);
    if (!market->known) {
        id_map_remove(&table->markets, &market->node);
        free(market);
    }
}

static bool take_out(struct table *table, const struct uuid *company)
{
    struct entry *entry = (struct entry *)(void *)id_map_get(&table->entries, company);
    if (!entry)
        return false;
    forget_market(table, &entry->state->state);
    id_map_remove(&table->entries, &entry->node);
    free_entry(NULL, &entry->node);
    return true;
}

/* Takes the state over when it is newer. */
static bool put_in(struct table *table, struct table_state **state)
{
    const struct depth_state *new = &(*state)->state;
    struct entry *entry = (struct entry *)(void *)id_map_get(&table->entries, &new->company);
    if (entry && new->seq <= entry->state->state.seq) {
        metric_add(table->m_old, 1);
        return false;
    }
    if (!entry && table->entries.count >= COMPANIES_MAX)
        return false;
    if (!entry) {
        entry = MEM_NEW(entry);
        entry->node.id = new->company;
        id_map_put(&table->entries, &entry->node);
    }
    know_market(table, new);
    table_state_release(&entry->state);
    entry->state = TAKE(*state);
    return true;
}

static bool hear_state(struct table *table, struct view payload, struct uuid *company)
{
    AUTO(table_state) state = MEM_NEW(table_state);
    struct err err = {0};
    atomic_init(&state->references, 1);
    if (!depth_decode(payload, &state->state, &err)) {
        metric_add(table->m_unreadable, 1);
        log_err("depth_not_readable", &err);
        return false;
    }
    *company = state->state.company;
    (void)pthread_mutex_lock(&table->lock);
    const bool news = put_in(table, &state);
    (void)pthread_mutex_unlock(&table->lock);
    return news;
}

static bool hear_tombstone(struct table *table, struct view key, struct uuid *company)
{
    char text[UUID_TEXT_BYTES] = "";
    if (key.length != sizeof text - 1)
        return false;
    memcpy(text, key.bytes, key.length);
    if (!uuid_parse(text, company))
        return false;
    (void)pthread_mutex_lock(&table->lock);
    const bool news = take_out(table, company);
    (void)pthread_mutex_unlock(&table->lock);
    return news;
}

bool table_hear(struct table *table, const struct kafka_record *record, struct uuid *company)
{
    const bool news = record->payload.bytes ? hear_state(table, record->payload, company)
                                            : hear_tombstone(table, record->key, company);
    metric_set(table->m_companies, (int64_t)table_count(table));
    return news;
}
