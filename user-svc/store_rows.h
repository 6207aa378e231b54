/* store_rows.h - how rows become structs: for store_*.c only. */
#ifndef MADANG_USER_STORE_ROWS_H
#define MADANG_USER_STORE_ROWS_H

#include "store.h"

/* Milliseconds -> timestamptz; 0 -> NULL. */
#define SQL_TIME(parameter) "to_timestamp(nullif(" parameter "::bigint, 0) / 1000.0)"

/* The columns of struct person, in its order. */
#define SQL_PERSON(p) p ".user_id, " p ".handle, " p ".nickname, " p ".avatar_key"
enum { PERSON_COLUMNS = 4 };
struct person row_person(const struct pg_result *rows, int row);
struct person row_person_copy(const struct pg_result *rows, int row, struct arena *arena);

/* The columns of struct profile, in its order. */
#define SQL_PROFILE(p)                                                                                                 \
    SQL_PERSON(p)                                                                                                      \
    ", " p ".email, " p ".role, " p ".bio, " p ".location, " p                                                         \
    ".interests, " SQL_MS(p ".created_at") ", " p ".account_version, " p ".profile_version, " p ".withdrawn"
enum { PROFILE_COLUMNS = PERSON_COLUMNS + 9 };
struct profile row_profile(const struct pg_result *rows, int row, struct arena *arena);

/* The columns of struct relation, in its order. */
#define SQL_RELATION(r)                                                                                                \
    SQL_MS(r ".friends_since")                                                                                         \
    ", (" r ".requested_by = " r                                                                                       \
    ".a), " SQL_MS(r ".requested_at") ", " SQL_MS(r ".a_rejected_at") ", " SQL_MS(r ".b_rejected_at") ", " SQL_MS(     \
        r                                                                                                              \
        ".a_blocked_at") ", " SQL_MS(r ".b_blocked_at") ", " SQL_MS(r                                                  \
                                                                    ".a_told_at") ", " SQL_MS(r                        \
                                                                                              ".b_told_at") ", " r     \
                                                                                                            ".version"
struct relation row_relation(const struct pg_result *rows, int row, int column);

#endif
