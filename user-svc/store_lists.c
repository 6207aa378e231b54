#include "store.h"

#include "store_rows.h"

/* Every list: $1 whose, ($2, $3) where it goes on, $4 how many; person, time. One range of one index each, newest
 * first, whatever its length. */
static const struct pg_statement LISTS[PEOPLE_LISTS] = {
    [LIST_FRIENDS] =
        {"list_friends",
         "SELECT " SQL_PERSON("p") ", " SQL_MS(
             "f.since") " FROM friends f JOIN people p ON p.user_id = f.friend_id"
                        " WHERE f.user_id = $1 AND (f.since, f.friend_id) < (to_timestamp($2::bigint / 1000.0), $3)"
                        " ORDER BY f.since DESC, f.friend_id DESC LIMIT $4"},
    [LIST_RECEIVED] =
        {"list_received",
         "SELECT " SQL_PERSON("p") ", " SQL_MS(
             "r.requested_at") " FROM pairs r JOIN people p ON p.user_id = r.requested_by WHERE r.requested_to = $1"
                               " AND (r.requested_at, r.requested_by) < (to_timestamp($2::bigint / 1000.0), $3)"
                               " ORDER BY r.requested_at DESC, r.requested_by DESC LIMIT $4"},
    [LIST_SENT] =
        {"list_sent",
         "SELECT " SQL_PERSON("p") ", " SQL_MS(
             "r.requested_at") " FROM pairs r JOIN people p ON p.user_id = r.requested_to WHERE r.requested_by = $1"
                               " AND (r.requested_at, r.requested_to) < (to_timestamp($2::bigint / 1000.0), $3)"
                               " ORDER BY r.requested_at DESC, r.requested_to DESC LIMIT $4"},
    [LIST_BLOCKS] =
        {"list_blocks",
         "SELECT " SQL_PERSON("p") ", " SQL_MS(
             "x.since") " FROM ("
                        " (SELECT b AS id, a_blocked_at AS since FROM pairs WHERE a = $1 AND a_blocked_at IS NOT NULL"
                        "  AND (a_blocked_at, b) < (to_timestamp($2::bigint / 1000.0), $3)"
                        "  ORDER BY a_blocked_at DESC, b DESC LIMIT $4)"
                        " UNION ALL"
                        " (SELECT a, b_blocked_at FROM pairs WHERE b = $1 AND b_blocked_at IS NOT NULL"
                        "  AND (b_blocked_at, a) < (to_timestamp($2::bigint / 1000.0), $3)"
                        "  ORDER BY b_blocked_at DESC, a DESC LIMIT $4)) x"
                        " JOIN people p ON p.user_id = x.id ORDER BY x.since DESC, x.id DESC LIMIT $4"},
};

#define AFTER_ALL_MS (INT64_C(1) << 47)
#define AFTER_ALL_ID "ffffffff-ffff-ffff-ffff-ffffffffffff"

struct pg_result *store_list(struct pg_pool *db, enum people_list list, const char *user_id, const struct cursor *after,
                             int64_t limit, struct err *err)
{
    return pg_query(db, &LISTS[list],
                    PARAMS(PG_TEXT(user_id), PG_I64(after ? after->number : AFTER_ALL_MS),
                           PG_TEXT(after ? after->id : AFTER_ALL_ID), PG_I64(limit + 1)),
                    err);
}

struct person store_list_person(const struct pg_result *rows, int row)
{
    return row_person(rows, row);
}

int64_t store_list_at_ms(const struct pg_result *rows, int row)
{
    return pg_i64(rows, row, PERSON_COLUMNS);
}
