#include "registry_table.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

static int compare(const struct registry_entry *a, const struct registry_entry *b)
{
    int difference = strcmp(a->service, b->service);
    return difference ? difference : strcmp(a->instance, b->instance);
}

static int compare_rows(const void *a, const void *b)
{
    return compare(&((const struct registry_row *)a)->entry, &((const struct registry_row *)b)->entry);
}

static struct registry_row *find(const struct registry_table *table, const struct registry_entry *entry)
{
    for (size_t i = 0; i < table->count; i++) {
        if (compare(&table->rows[i].entry, entry) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static void append(struct registry_table *table, const struct registry_row *row)
{
    if (table->count == table->room) {
        table->room = table->room ? table->room * 2 : 16;
        table->rows = mem_grow(table->rows, table->room, sizeof *table->rows);
    }
    table->rows[table->count++] = *row;
}

void registry_table_add(struct registry_table *table, const struct registry_entry *entry)
{
    struct registry_row *known = find(table, entry);
    if (known && known->entry.epoch <= entry->epoch)
        known->entry = *entry;
    else if (!known)
        append(table, &(struct registry_row){.entry = *entry});
}

static bool has_service(const struct registry_table *table, const char *service)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].entry.service, service) == 0)
            return true;
    }
    return false;
}

/* More than half of those that the last reading had are not in this one, and did not say good-bye. */
static bool too_many_gone(const struct registry_table *table, const struct registry_table *fresh)
{
    size_t before = 0, gone = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct registry_row *row = &table->rows[i];
        if (row->gone_ms || row->entry.state == INSTANCE_DRAINING)
            continue;
        before++;
        gone += find(fresh, &row->entry) == NULL;
    }
    return gone * 2 > before;
}

/* What becomes of a row that is not in the reading; false: it is dropped. `live`: its service is in the reading. */
static bool keep_missing(struct registry_row *row, bool live, bool too_many, int64_t now_ms)
{
    if (!row->gone_ms) {
        if (row->entry.state == INSTANCE_DRAINING)
            return false;
        row->gone_ms = now_ms;
        row->kept = too_many;
        row->entry.state = INSTANCE_SUSPECT;
    }
    if (row->kept && live) { /* from now on a suspect like others */
        row->kept = false;
        row->gone_ms = now_ms;
    }
    return now_ms - row->gone_ms < (row->kept ? REGISTRY_KEPT_MS : REGISTRY_SUSPECT_MS);
}

static bool same(const struct registry_table *a, const struct registry_table *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (memcmp(&a->rows[i].entry, &b->rows[i].entry, sizeof a->rows[i].entry) != 0)
            return false;
    }
    return true;
}

bool registry_table_merge(struct registry_table *table, struct registry_table *fresh, int64_t now_ms)
{
    bool too_many = too_many_gone(table, fresh);
    size_t read = fresh->count;
    struct registry_table live = {.count = read, .rows = NULL};
    for (size_t i = 0; i < table->count; i++) {
        struct registry_row row = table->rows[i];
        live.rows = fresh->rows; /* append may move them; only the first `read` ones count as live */
        if (find(&live, &row.entry))
            continue;
        if (keep_missing(&row, has_service(&live, row.entry.service), too_many, now_ms))
            append(fresh, &row);
    }
    if (fresh->count)
        qsort(fresh->rows, fresh->count, sizeof *fresh->rows, compare_rows);
    fresh->kept = 0;
    for (size_t i = 0; i < fresh->count; i++)
        fresh->kept += fresh->rows[i].kept;
    bool changed = !same(table, fresh);
    struct registry_table old = *table;
    *table = *fresh;
    *fresh = (struct registry_table){0};
    registry_table_free(&old);
    return changed;
}

void registry_table_note_gone(struct registry_table *table, const struct registry_entry *gone)
{
    struct registry_row *row = find(table, gone);
    if (row && row->entry.epoch == gone->epoch && row->entry.state == INSTANCE_UP)
        row->entry.state = INSTANCE_DRAINING;
}

const struct registry_entry *registry_table_pick(const struct registry_table *table, const char *service, unsigned turn)
{
    static const int ORDER[] = {INSTANCE_UP, INSTANCE_DRAINING, INSTANCE_SUSPECT};
    for (size_t wanted = 0; wanted < ARRAY_LENGTH(ORDER); wanted++) {
        const struct registry_entry *found[64];
        size_t count = 0;
        for (size_t i = 0; i < table->count && count < ARRAY_LENGTH(found); i++) {
            const struct registry_entry *entry = &table->rows[i].entry;
            if ((int)entry->state == ORDER[wanted] && strcmp(entry->service, service) == 0)
                found[count++] = entry;
        }
        if (count)
            return found[turn % count];
    }
    return NULL;
}

void registry_table_free(struct registry_table *table)
{
    free(table->rows);
    *table = (struct registry_table){0};
}
