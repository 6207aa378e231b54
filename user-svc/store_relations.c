#include "store.h"

#include "events.h"
#include "idempotency.h"
#include "store_rows.h"

/* Both rows are held against a withdrawal (topic accounts) until the commit: it comes before and is seen here, or after
 * and ends what was made here. */
static const struct pg_statement LOCK_PEOPLE = {
    "lock_people", "SELECT " SQL_PERSON("p") ", p.locale, p.withdrawn, p.role <> 'guest', " SQL_MS(
                       "now()") " FROM people p WHERE p.user_id IN ($1, $2) ORDER BY p.user_id FOR SHARE"};
static const struct pg_statement MAKE_PAIR = {"make_pair",
                                              "INSERT INTO pairs (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
static const struct pg_statement LOCK_PAIR = {
    "lock_pair", "SELECT " SQL_RELATION("r") " FROM pairs r WHERE r.a = $1 AND r.b = $2 FOR UPDATE"};
static const struct pg_statement CHANGE_PAIR = {
    "change_pair",
    "UPDATE pairs SET friends_since = " SQL_TIME(
        "$3") ", requested_by = $4, requested_to = $5,"
              " requested_at = " SQL_TIME("$6") ", a_rejected_at = " SQL_TIME("$7") ", b_rejected_at = " SQL_TIME("$8") ", a_blocked_at = " SQL_TIME(
                  "$9") ", b_blocked_at = " SQL_TIME("$10") ", a_told_at = " SQL_TIME("$11") ", b_told_at "
                                                                                             "= " SQL_TIME(
                                                                                                 "$12") ", version = "
                                                                                                        "$13 WHERE a = "
                                                                                                        "$1 AND b = "
                                                                                                        "$2"};
static const struct pg_statement MAKE_FRIENDS = {"make_friends",
                                                 "INSERT INTO friends (user_id, friend_id, since)"
                                                 " VALUES ($1, $2, " SQL_TIME("$3") "), ($2, $1, " SQL_TIME("$3") ")"};
static const struct pg_statement END_FRIENDS = {
    "end_friends", "DELETE FROM friends WHERE (user_id = $1 AND friend_id = $2) OR (user_id = $2 AND friend_id = $1)"};

/* Whoever gets a friend waits here for others who give one of the two a friend, so that the count is right. */
static const struct pg_statement LOCK_FRIENDS = {"lock_friends",
                                                 "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))"};
static const struct pg_statement FRIENDS_FULL = {"friends_full",
                                                 "SELECT (SELECT count(*) FROM friends WHERE user_id = $1) >= $3,"
                                                 " (SELECT count(*) FROM friends WHERE user_id = $2) >= $3"};

/* What the rows of LOCK_PEOPLE tell about the two. */
struct two_people {
    struct person caller;
    bool found; /* the target is there, not withdrawn, and not a guest */
    const char *target_locale;
    int64_t now_ms;
};

struct pair_ids {
    const char *a, *b;
};

static struct pair_ids pair_ids_of(const struct pair_change *change)
{
    return change->side == SIDE_A ? (struct pair_ids){change->caller->user_id, change->target}
                                  : (struct pair_ids){change->target, change->caller->user_id};
}

static bool lock_people(struct pg_tx *tx, struct pair_change *change, struct two_people *two, struct err *err)
{
    if (!store_tx_make_own_row(tx, change->caller, err))
        return false;
    AUTO(pg_result)
    rows = pg_tx_query(tx, &LOCK_PEOPLE, PARAMS(PG_TEXT(change->caller->user_id), PG_TEXT(change->target)), err);
    if (!rows)
        return false;
    *two = (struct two_people){.target_locale = ""};
    for (int row = 0; row < pg_rows(rows); row++) {
        const struct person person = row_person_copy(rows, row, change->arena);
        const bool withdrawn = pg_bool(rows, row, 5);
        two->now_ms = pg_i64(rows, row, 7);
        if (strcmp(person.id, change->caller->user_id) == 0) {
            two->caller = person;
            if (withdrawn)
                return err_set(err, &ERR_SESSION_ENDED, "the account was withdrawn");
        } else {
            change->other = person;
            two->found = !withdrawn && pg_bool(rows, row, 6);
            two->target_locale = arena_text(change->arena, pg_text(rows, row, 4));
        }
    }
    return true;
}

/* The pair's row, locked: from here on nobody else changes what stands between the two. */
static bool lock_pair(struct pg_tx *tx, const struct pair_change *change, struct relation *relation, struct err *err)
{
    const struct pair_ids ids = pair_ids_of(change);
    const bool makes = change->action == ACTION_REQUEST || change->action == ACTION_BLOCK;
    if (makes && !pg_tx_exec(tx, &MAKE_PAIR, PARAMS(PG_TEXT(ids.a), PG_TEXT(ids.b)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK_PAIR, PARAMS(PG_TEXT(ids.a), PG_TEXT(ids.b)), err);
    if (!rows)
        return false;
    *relation = pg_rows(rows) ? row_relation(rows, 0, 0) : (struct relation){0};
    return true;
}

static bool save_pair(struct pg_tx *tx, const struct pair_ids *ids, const struct relation *r, struct err *err)
{
    const bool requested = r->link == LINK_REQUESTED;
    const char *by = r->requested_by == SIDE_A ? ids->a : ids->b;
    const char *to = r->requested_by == SIDE_A ? ids->b : ids->a;
    return pg_tx_exec(tx, &CHANGE_PAIR,
                      PARAMS(PG_TEXT(ids->a), PG_TEXT(ids->b), PG_I64(r->link == LINK_FRIENDS ? r->since_ms : 0),
                             PG_TEXT(requested ? by : NULL), PG_TEXT(requested ? to : NULL),
                             PG_I64(requested ? r->since_ms : 0), PG_I64(r->rejected_ms[SIDE_A]),
                             PG_I64(r->rejected_ms[SIDE_B]), PG_I64(r->blocked_ms[SIDE_A]),
                             PG_I64(r->blocked_ms[SIDE_B]), PG_I64(r->told_ms[SIDE_A]), PG_I64(r->told_ms[SIDE_B]),
                             PG_I64(r->version)),
                      NULL, err);
}

static bool save_friends(struct pg_tx *tx, const struct pair_ids *ids, const struct relation *before,
                         const struct relation *after, struct err *err)
{
    if (before->link != LINK_FRIENDS && after->link == LINK_FRIENDS)
        return pg_tx_exec(tx, &MAKE_FRIENDS, PARAMS(PG_TEXT(ids->a), PG_TEXT(ids->b), PG_I64(after->since_ms)), NULL,
                          err);
    if (before->link == LINK_FRIENDS && after->link != LINK_FRIENDS)
        return pg_tx_exec(tx, &END_FRIENDS, PARAMS(PG_TEXT(ids->a), PG_TEXT(ids->b)), NULL, err);
    return true;
}

/* A friendship needs room on both sides; a request room on one's own, as the other may make some until it is answered.
 */
static bool check_room(struct pg_tx *tx, const struct pair_change *change, const struct pair_ids *ids,
                       const struct relation *before, struct err *err)
{
    const enum link link = change->relation.link;
    const bool made = link == LINK_FRIENDS;
    if (!change->friends_max || link == before->link || link == LINK_NONE)
        return true;
    if (made && (!pg_tx_exec(tx, &LOCK_FRIENDS, PARAMS(PG_TEXT(ids->a)), NULL, err) ||
                 !pg_tx_exec(tx, &LOCK_FRIENDS, PARAMS(PG_TEXT(ids->b)), NULL, err)))
        return false;
    AUTO(pg_result)
    rows = pg_tx_query(tx, &FRIENDS_FULL,
                       PARAMS(PG_TEXT(change->caller->user_id), PG_TEXT(change->target), PG_I64(change->friends_max)),
                       err);
    if (!rows)
        return false;
    if (pg_bool(rows, 0, 0))
        return err_set(err, &ERR_FRIENDS_FULL, "you have %lld friends, more do not fit",
                       (long long)change->friends_max);
    return !made || !pg_bool(rows, 0, 1) ||
           err_set(err, &ERR_FRIENDS_FULL, "the other has %lld friends, more do not fit",
                   (long long)change->friends_max);
}

static bool tell(struct pg_tx *tx, const struct pair_change *change, const struct pair_ids *ids,
                 const struct two_people *two, struct err *err)
{
    struct outbox_event events[2] = {
        event_relation(change->arena, ids->a, ids->b, &change->relation, &change->origin),
    };
    size_t count = 1;
    if (change->outcome.notice != NOTICE_NONE)
        events[count++] = event_notice(change->arena, change->outcome.notice, &two->caller, change->target,
                                       two->target_locale, change->relation.version, &change->origin);
    return outbox_add_all(tx, events, count, err);
}

static bool apply(struct pg_tx *tx, struct pair_change *change, struct err *err)
{
    struct two_people two;
    struct relation before;
    if (!lock_people(tx, change, &two, err))
        return false;
    /* The other actions need a relation; without one they are refused by the rules. */
    if (!two.found && (change->action == ACTION_REQUEST || change->action == ACTION_BLOCK))
        return err_set(err, &ERR_NOT_FOUND, "no such person");
    if (!lock_pair(tx, change, &before, err) ||
        !relation_act(&before, change->action, change->side, two.now_ms, &change->relation, &change->outcome, err))
        return false;
    if (!change->outcome.changed)
        return true;
    const struct pair_ids ids = pair_ids_of(change);
    return check_room(tx, change, &ids, &before, err) && save_pair(tx, &ids, &change->relation, err) &&
           save_friends(tx, &ids, &before, &change->relation, err) && tell(tx, change, &ids, &two, err);
}

static bool change_pair(struct pg_tx *tx, void *payload, struct err *err)
{
    struct pair_change *change = payload;
    if (!change->req)
        return apply(tx, change, err);
    bool replayed = false;
    if (!idempotency_begin(tx, change->req, change->reply, &replayed, err))
        return false;
    if (replayed)
        return true;
    str_clear(&change->reply->body); /* this may be the second run */
    return apply(tx, change, err) && change->print(change, change->reply) &&
           idempotency_end(tx, change->req, change->reply, err);
}

bool store_change_pair(struct pg_pool *db, struct pair_change *change, struct err *err)
{
    const int order = strcmp(change->caller->user_id, change->target);
    if (order == 0)
        return err_set(err, &ERR_SELF, "this can't be done with yourself");
    change->side = order < 0 ? SIDE_A : SIDE_B;
    return pg_transaction(db, change_pair, change, err);
}
