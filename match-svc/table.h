/* table.h - the newest state of every company, in memory of every instance: what market.depth says.
 *
 * Filled by a listener (from the topic's start; the instance is ready once it has caught up). The higher sequence wins;
 * a tombstone takes a company out. Answers share the state without copying it. Threads: all. */
#ifndef MADANG_MATCH_TABLE_H
#define MADANG_MATCH_TABLE_H

#include "depth_state.h"
#include "kafka.h"
#include "market.h"

struct table;
struct table *table_open(void);
void table_release(struct table **table);

/* Immutable; counted references. */
struct table_state;
const struct depth_state *table_state_of(const struct table_state *state);
void table_state_release(struct table_state **state);

/* What is heard on market.depth. True when the company's state is another now; `company` says which. */
bool table_hear(struct table *table, const struct kafka_record *record, struct uuid *company);

/* What stood on market.depth when this instance started is heard. */
void table_is_whole(struct table *table);
bool table_whole(const struct table *table);

/* One more reference to the newest state, or NULL. */
struct table_state *table_get(struct table *table, const struct uuid *company);
/* The company at an index of a market. False while the table does not know it. */
bool table_company_at(struct table *table, const struct uuid *market, int index, struct uuid *company);
size_t table_count(struct table *table);

/* Companies whose time is over, up to `most`: their market is closed and their state from before closed_ms, or nobody
 * ever closed it and nothing has changed since idle_ms. */
size_t table_over(struct table *table, int64_t closed_ms, int64_t idle_ms, struct uuid *companies, size_t most);

#endif
