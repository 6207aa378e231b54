#include "store_search.h"

#include "store_rows.h"
#include "tokens.h"

static const struct pg_statement OWN_ROOMS = {"search_rooms",
                                              "SELECT room_id FROM members WHERE user_id = $1 AND ($2::uuid IS NULL OR "
                                              "room_id = $2) AND (NOT hidden OR $2 IS NOT NULL)"};

bool store_search_rooms(struct pg_pool *db, struct arena *arena, const char *viewer_id, const char *room_id,
                        struct texts *room_ids, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &OWN_ROOMS, PARAMS(PG_TEXT(viewer_id), PG_TEXT(room_id)), err);
    if (!rows)
        return false;
    if (room_id && pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such room");
    room_ids->count = (size_t)pg_rows(rows);
    room_ids->items = arena_alloc(arena, (room_ids->count + 1) * sizeof(char *));
    for (size_t i = 0; i < room_ids->count; i++)
        room_ids->items[i] = arena_text(arena, pg_text(rows, (int)i, 0));
    return true;
}

/* clang-format off */
/* $1 viewer, ($2, $3, $7) where it goes on, $4 how many; $5, $6 each room's tokens, side by side. A room's tokens are
 * its own, so each look-up into the index touches one room. OFFSET 0 keeps it a look-up into that index whatever the
 * planner knows of the tokens (else it may walk all messages of all rooms). Of each room the newest hits are enough: in
 * a room times never go backwards, so its order by sequence is its order by (time, room, sequence). */
static const struct pg_statement SEARCH = {"search",
    "WITH q AS MATERIALIZED (SELECT u.room_id, array_agg(u.token) AS tokens"
    "  FROM unnest($5::uuid[], $6::bigint[]) AS u (room_id, token) GROUP BY u.room_id) "
    "SELECT " SQL_MESSAGE "(SELECT count(*) FROM members k WHERE k.room_id = m.room_id AND k.read_seq < m.seq),"
    "  ARRAY(SELECT e.emoji FROM reactions e WHERE e.room_id = m.room_id AND e.seq = m.seq AND e.user_id = $1"
    "   ORDER BY e.emoji), " SQL_US("m.at")
    " FROM (SELECT n.* FROM q CROSS JOIN LATERAL (SELECT n.* FROM"
    "    (SELECT s.room_id, s.seq FROM message_search s WHERE s.tokens @> q.tokens ORDER BY s.seq DESC OFFSET 0) h"
    "   JOIN messages n ON n.room_id = h.room_id AND n.seq = h.seq"
    "   WHERE h.room_id = q.room_id AND n.deleted_at IS NULL"
    "   AND (n.at, n.room_id, n.seq) < (" SQL_FROM_US("$2") ", $3, $7) ORDER BY h.seq DESC LIMIT $4) n"
    "  ORDER BY n.at DESC, n.room_id DESC, n.seq DESC LIMIT $4) m "
    "LEFT JOIN people p ON p.user_id = m.sender_id ORDER BY m.at DESC, m.room_id DESC, m.seq DESC"};
/* clang-format on */

struct lookups {
    const char **room_ids;
    int64_t *tokens;
    size_t count;
};

static struct lookups lookups_of(struct arena *arena, const struct texts *room_ids, const char *query)
{
    const size_t most = room_ids->count * (strlen(query) + 1) + 1;
    struct lookups lookups = {arena_alloc(arena, most * sizeof(char *)), arena_alloc(arena, most * sizeof(int64_t)), 0};
    for (size_t i = 0; i < room_ids->count; i++) {
        size_t count = 0;
        const int64_t *tokens = tokens_of(arena, room_ids->items[i], query, &count);
        for (size_t t = 0; t < count; t++) {
            lookups.room_ids[lookups.count] = room_ids->items[i];
            lookups.tokens[lookups.count++] = tokens[t];
        }
    }
    return lookups;
}

bool store_search(struct pg_pool *db, struct arena *arena, const char *viewer_id, const struct texts *room_ids,
                  const char *query, const struct cursor *after, int64_t limit, struct candidate **out, size_t *count,
                  struct err *err)
{
    const struct lookups lookups = lookups_of(arena, room_ids, query);
    AUTO(pg_result)
    rows = pg_query(db, &SEARCH,
                    PARAMS(PG_TEXT(viewer_id), PG_I64(after ? after->number : AFTER_ALL_US),
                           PG_TEXT(after ? after->id : AFTER_ALL_ID), PG_I64(limit),
                           PG_TEXTS(lookups.room_ids, lookups.count), PG_I64S(lookups.tokens, lookups.count),
                           PG_I64(after ? after->seq : INT64_MAX)),
                    err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *out = arena_alloc(arena, (*count + 1) * sizeof **out);
    for (size_t i = 0; i < *count; i++) {
        struct candidate *candidate = &(*out)[i];
        candidate->seen.message = row_message(rows, (int)i, 0, arena, &candidate->seen.view.unread_by);
        candidate->seen.view.my_reactions = row_reactions(rows, (int)i, MESSAGE_COLUMNS, arena);
        candidate->at_us = pg_i64(rows, (int)i, MESSAGE_COLUMNS + 1);
    }
    return true;
}

bool store_search_tidy(struct pg_pool *db, struct err *err)
{
    static const struct pg_statement TIDY = {"search_tidy", "SELECT gin_clean_pending_list('message_search_tokens')"};
    AUTO(pg_result) rows = pg_query(db, &TIDY, NO_PARAMS, err);
    return rows != NULL;
}
