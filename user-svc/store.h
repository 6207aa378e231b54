/* store.h - every SQL statement of user-svc, one function each (store_*.c), over migrations/.
 * What comes back lives in the arena that was given. Failures: those of pg.h, and the ones named here. */
#ifndef MADANG_USER_STORE_H
#define MADANG_USER_STORE_H

#include "codec.h"
#include "http.h"
#include "kafka.h"
#include "page.h"
#include "person.h"
#include "pg.h"
#include "records.h"
#include "relation.h"

/* Where a write came from: its headers travel with its events. Both may be NULL. */
struct origin {
    const char *request_id, *traceparent;
};

/* ---- people (store_people.c) ---- */

/* Makes the caller's own row from the token when the account's event has not come yet. */
bool store_make_own_row(struct pg_pool *db, const struct identity *caller, struct err *err);
bool store_tx_make_own_row(struct pg_tx *tx, const struct identity *caller, struct err *err);
/* not_found: no row, or withdrawn. */
bool store_find_profile(struct pg_pool *db, struct arena *arena, const char *user_id, struct profile *profile,
                        struct err *err);
/* The profile of another as `viewer` may see it, and what they are to each other. not_found: no such person, withdrawn,
 * a guest, or one who blocks the viewer. */
bool store_view_profile(struct pg_pool *db, struct arena *arena, const char *user_id, const char *viewer,
                        struct profile *profile, struct relation *relation, struct err *err);

/* `may` (may be NULL) looks at the row under its lock and can refuse (If-Match). The event goes with it.
 * session_ended: the caller has withdrawn. */
struct profile_change {
    const struct identity *caller;
    struct origin origin;
    const struct profile_wish *wish; /* NULL: the picture changes */
    const char *avatar_key;          /* with wish NULL: the new picture, or NULL for a stock picture */
    int64_t grace_seconds;           /* the old picture can be read this long */
    bool (*may)(const struct profile *now, const void *payload, struct err *err);
    const void *payload;
};
bool store_change_profile(struct pg_pool *db, struct arena *arena, const struct profile_change *change,
                          struct profile *after, struct err *err);

/* ---- pictures that may go (store_trash.c) ---- */

enum { PICTURE_KEY_BYTES = 40, TRASH_BATCH = 100 };

/* Before a picture is stored: it goes by itself unless a profile takes it within `seconds`. */
bool store_trash_add(struct pg_pool *db, const char *key, int64_t seconds, struct err *err);
/* Up to TRASH_BATCH pictures that are due and that no profile shows; they are claimed for a minute. */
bool store_trash_claim(struct pg_pool *db, struct arena *arena, struct texts *keys, struct err *err);
bool store_trash_done(struct pg_pool *db, const struct texts *keys, struct err *err);

/* ---- search (store_search.c) ---- */

enum {
    SEARCH_TIMEOUT_MS = 1000,
    SEARCH_FEW = 2000,    /* so many candidates are all looked at */
    SEARCH_WINDOW = 5000, /* with more candidates: so many people are looked at, in order, for one page */
};

struct found {
    struct person person;
    const char *email;
    int64_t rank; /* 0: a name or the e-mail is exactly what was asked for; 1: a part */
};
struct found_page {
    struct found *items;
    size_t count;
    bool more;          /* there may be: go on at `next` */
    struct cursor next; /* its number is a rank */
};
/* Up to `limit` people after `after` (NULL: from the start), by rank, then by id. Never the viewer, guests, who has
 * withdrawn, or who blocks or is blocked. The work is bounded: where very many have all the pieces of the query, a page
 * can be short, even empty, and yet have `more`. unavailable: SEARCH_TIMEOUT_MS. */
bool store_search(struct pg_pool *db, struct arena *arena, const struct search_wish *wish, const char *viewer,
                  const struct cursor *after, int64_t limit, struct found_page *page, struct err *err);
/* For the test that reads the plans. */
extern const struct pg_statement SEARCH_EXACT, SEARCH_COUNT, SEARCH_CANDIDATES, SEARCH_IN_ORDER;

/* ---- lists of people (store_lists.c) ---- */

enum people_list { LIST_FRIENDS, LIST_RECEIVED, LIST_SENT, LIST_BLOCKS, PEOPLE_LISTS };

/* Rows of a list, newest first: at most `limit` + 1 after the cursor (NULL: from the start). One statement. */
struct pg_result *store_list(struct pg_pool *db, enum people_list list, const char *user_id, const struct cursor *after,
                             int64_t limit, struct err *err);
struct person store_list_person(const struct pg_result *rows, int row);
int64_t store_list_at_ms(const struct pg_result *rows, int row);

/* ---- relations (store_relations.c) ---- */

/* One action of one person towards another, in one transaction under the lock of the pair's row. */
struct pair_change {
    const struct identity *caller;
    const char *target;
    enum relation_action action;
    int64_t friends_max; /* of one person; 0: any number */
    struct origin origin;
    /* With `req` the Idempotency-Key counts, and `print` writes the reply inside the transaction. */
    struct request *req;
    struct reply *reply;
    bool (*print)(const struct pair_change *change, struct reply *reply);

    enum side side;           /* out: which side the caller is */
    struct relation relation; /* out: afterwards */
    struct relation_outcome outcome;
    struct person other;
    struct arena *arena; /* of `other` and the events */
};
/* err: self, not_found, those of relation_act, friends_full, session_ended (the caller has withdrawn). */
bool store_change_pair(struct pg_pool *db, struct pair_change *change, struct err *err);

/* ---- read copies (store_copies.c) ---- */

/* Applies a batch of topic accounts, once: `copies[i]` belongs to batch->records[i] (user_id NULL: nothing to apply).
 * Older versions change nothing; who is withdrawn loses profile, friends, requests and blocks, and others are told. */
bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err);

#endif
