#include "store.h"

#include "events.h"
#include "store_rows.h"

/* ---- rows -> structs ---- */

struct person row_person(const struct pg_result *rows, int row)
{
    return (struct person){
        .id = pg_text(rows, row, 0),
        .handle = pg_text(rows, row, 1),
        .nickname = pg_text(rows, row, 2),
        .avatar_key = pg_text(rows, row, 3),
    };
}

struct person row_person_copy(const struct pg_result *rows, int row, struct arena *arena)
{
    const struct person lent = row_person(rows, row);
    return (struct person){
        .id = arena_text(arena, lent.id),
        .handle = arena_text(arena, lent.handle),
        .nickname = arena_text(arena, lent.nickname),
        .avatar_key = lent.avatar_key ? arena_text(arena, lent.avatar_key) : NULL,
    };
}

struct profile row_profile(const struct pg_result *rows, int row, struct arena *arena)
{
    return (struct profile){
        .person = row_person_copy(rows, row, arena),
        .email = arena_text(arena, pg_text(rows, row, 4)),
        .role = arena_text(arena, pg_text(rows, row, 5)),
        .bio = arena_text(arena, pg_text(rows, row, 6)),
        .location = arena_text(arena, pg_text(rows, row, 7)),
        .interests = pg_texts(rows, row, 8, arena),
        .created_ms = pg_i64(rows, row, 9),
        .account_version = pg_i64(rows, row, 10),
        .profile_version = pg_i64(rows, row, 11),
        .withdrawn = pg_bool(rows, row, 12),
    };
}

struct relation row_relation(const struct pg_result *rows, int row, int column)
{
    struct relation relation = {
        .rejected_ms = {pg_i64(rows, row, column + 3), pg_i64(rows, row, column + 4)},
        .blocked_ms = {pg_i64(rows, row, column + 5), pg_i64(rows, row, column + 6)},
        .told_ms = {pg_i64(rows, row, column + 7), pg_i64(rows, row, column + 8)},
        .version = pg_i64(rows, row, column + 9),
    };
    if (!pg_is_null(rows, row, column)) {
        relation.link = LINK_FRIENDS;
        relation.since_ms = pg_i64(rows, row, column);
    } else if (!pg_is_null(rows, row, column + 1)) {
        relation.link = LINK_REQUESTED;
        relation.requested_by = pg_bool(rows, row, column + 1) ? SIDE_A : SIDE_B;
        relation.since_ms = pg_i64(rows, row, column + 2);
    }
    return relation;
}

/* ---- the caller's own row ---- */

static const struct pg_statement OWN_ROW_KNOWN = {"own_row_known", "SELECT FROM people WHERE user_id = $1"};
static const struct pg_statement MAKE_OWN_ROW = {
    "make_own_row", "INSERT INTO people (user_id, handle, nickname, email, role, locale, created_at, account_version,"
                    "                    handle_folded, nickname_folded, email_folded, grams)"
                    " VALUES ($1, $2, $3, '', $4, '', to_timestamp($5::bigint / 1000.0), 0, $6, $7, '', $8)"
                    " ON CONFLICT (user_id) DO NOTHING"};

struct own_row {
    const struct identity *caller;
};

static bool make_own_row(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct own_row *own = payload;
    return store_tx_make_own_row(tx, own->caller, err);
}

bool store_make_own_row(struct pg_pool *db, const struct identity *caller, struct err *err)
{
    struct own_row own = {caller};
    return pg_transaction(db, make_own_row, &own, err);
}

bool store_tx_make_own_row(struct pg_tx *tx, const struct identity *caller, struct err *err)
{
    AUTO(pg_result) known = pg_tx_query(tx, &OWN_ROW_KNOWN, PARAMS(PG_TEXT(caller->user_id)), err);
    if (!known || pg_rows(known) > 0)
        return known != NULL;
    AUTO(arena) arena = arena_open(64 * 1024);
    const struct search_names names = search_names_of(arena, caller->handle, caller->nickname, "");
    const int64_t made_ms = uuid_time_ms(caller->user_id);
    int64_t made = 0;
    if (!pg_tx_exec(tx, &MAKE_OWN_ROW,
                    PARAMS(PG_TEXT(caller->user_id), PG_TEXT(caller->handle), PG_TEXT(caller->nickname),
                           PG_TEXT(role_name(caller->role)), PG_I64(made_ms < 0 ? 0 : made_ms), PG_TEXT(names.handle),
                           PG_TEXT(names.nickname), PG_TEXTS(names.grams, names.gram_count)),
                    &made, err))
        return false;
    const struct profile fresh = profile_fresh(caller->user_id);
    const struct outbox_event event = event_profile(arena, &fresh, &(struct origin){0});
    return made == 0 || outbox_add(tx, &event, err);
}

/* ---- reading ---- */

static const struct pg_statement FIND_PROFILE = {
    "find_profile", "SELECT " SQL_PROFILE("p") " FROM people p WHERE p.user_id = $1 AND NOT p.withdrawn"};
static const struct pg_statement VIEW_PROFILE = {
    "view_profile", "SELECT " SQL_PROFILE("p") ", " SQL_RELATION(
                        "r") " FROM people p LEFT JOIN pairs r ON r.a = least($1::uuid, $2::uuid) AND r.b = "
                             "greatest($1::uuid, $2::uuid)"
                             " WHERE p.user_id = $1 AND NOT p.withdrawn AND p.role <> 'guest'"};

bool store_find_profile(struct pg_pool *db, struct arena *arena, const char *user_id, struct profile *profile,
                        struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_PROFILE, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such person");
    *profile = row_profile(rows, 0, arena);
    return true;
}

bool store_view_profile(struct pg_pool *db, struct arena *arena, const char *user_id, const char *viewer,
                        struct profile *profile, struct relation *relation, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &VIEW_PROFILE, PARAMS(PG_TEXT(user_id), PG_TEXT(viewer)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such person");
    *profile = row_profile(rows, 0, arena);
    *relation = row_relation(rows, 0, PROFILE_COLUMNS);
    const enum side theirs = strcmp(user_id, viewer) < 0 ? SIDE_A : SIDE_B;
    if (relation->blocked_ms[theirs])
        return err_set(err, &ERR_NOT_FOUND, "no such person");
    return true;
}

/* ---- changing one's own ---- */

static const struct pg_statement LOCK_PROFILE = {
    "lock_profile", "SELECT " SQL_PROFILE("p") " FROM people p WHERE p.user_id = $1 FOR UPDATE"};
static const struct pg_statement CHANGE_PROFILE = {
    "change_profile",
    "UPDATE people p SET bio = $2, location = $3, interests = $4, profile_version = profile_version + 1"
    " WHERE user_id = $1 RETURNING " SQL_PROFILE("p")};
static const struct pg_statement CHANGE_PICTURE = {
    "change_picture", "UPDATE people p SET avatar_key = $2, profile_version = profile_version + 1"
                      " WHERE user_id = $1 RETURNING " SQL_PROFILE("p")};
static const struct pg_statement KEEP_PICTURE = {"keep_picture", "DELETE FROM trash WHERE key = $1 AND NOT claimed"};
static const struct pg_statement DROP_PICTURE = {
    "drop_picture", "INSERT INTO trash (key, due) VALUES ($1, now() + $2::bigint * interval '1 second')"
                    " ON CONFLICT (key) DO NOTHING"};

struct profile_work {
    const struct profile_change *change;
    struct arena *arena;
    struct profile *after;
};

static struct pg_result *change_texts(struct pg_tx *tx, const struct profile_wish *wish, const struct profile *now,
                                      struct err *err)
{
    const struct texts *interests = wish->interests_seen ? &wish->interests : &now->interests;
    return pg_tx_query(tx, &CHANGE_PROFILE,
                       PARAMS(PG_TEXT(now->person.id), PG_TEXT(wish->bio_seen ? wish->bio : now->bio),
                              PG_TEXT(wish->location_seen ? wish->location : now->location),
                              PG_TEXTS(interests->items, interests->count)),
                       err);
}

/* The new picture leaves the trash and the old one enters it with the change itself. */
static struct pg_result *change_picture(struct pg_tx *tx, const struct profile_change *change,
                                        const struct profile *now, struct err *err)
{
    if (change->avatar_key) {
        int64_t kept = 0;
        if (!pg_tx_exec(tx, &KEEP_PICTURE, PARAMS(PG_TEXT(change->avatar_key)), &kept, err))
            return NULL;
        if (kept != 1) {
            err_set_internal(err, &ERR_UNAVAILABLE, "the new picture was swept before its profile took it");
            return NULL;
        }
    }
    const char *old = now->person.avatar_key;
    if (old && !pg_tx_exec(tx, &DROP_PICTURE, PARAMS(PG_TEXT(old), PG_I64(change->grace_seconds)), NULL, err))
        return NULL;
    return pg_tx_query(tx, &CHANGE_PICTURE, PARAMS(PG_TEXT(now->person.id), PG_TEXT(change->avatar_key)), err);
}

static bool nothing_to_change(const struct profile_change *change, const struct profile *now)
{
    if (change->wish)
        return !change->wish->bio_seen && !change->wish->location_seen && !change->wish->interests_seen;
    return !change->avatar_key && !now->person.avatar_key;
}

static bool change_profile(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct profile_work *work = payload;
    const struct profile_change *change = work->change;
    if (!store_tx_make_own_row(tx, change->caller, err))
        return false;
    AUTO(pg_result) locked = pg_tx_query(tx, &LOCK_PROFILE, PARAMS(PG_TEXT(change->caller->user_id)), err);
    if (!locked)
        return false;
    const struct profile now = row_profile(locked, 0, work->arena);
    if (now.withdrawn)
        return err_set(err, &ERR_SESSION_ENDED, "the account was withdrawn");
    if (change->may && !change->may(&now, change->payload, err))
        return false;
    *work->after = now;
    if (nothing_to_change(change, &now))
        return true;
    AUTO(pg_result)
    rows = change->wish ? change_texts(tx, change->wish, &now, err) : change_picture(tx, change, &now, err);
    if (!rows)
        return false;
    *work->after = row_profile(rows, 0, work->arena);
    const struct outbox_event event = event_profile(work->arena, work->after, &change->origin);
    return outbox_add(tx, &event, err);
}

bool store_change_profile(struct pg_pool *db, struct arena *arena, const struct profile_change *change,
                          struct profile *after, struct err *err)
{
    struct profile_work work = {change, arena, after};
    return pg_transaction(db, change_profile, &work, err);
}
