#include "store_rooms.h"

#include "problems.h"
#include "store_rows.h"

/* ---- the caller ---- */

/* A row that only a profile made has no names yet. */
static const struct pg_statement MAKE_OWN_ROW = {
    "make_own_row",
    "INSERT INTO people AS p (user_id, handle, nickname, role) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (user_id) DO UPDATE SET handle = excluded.handle, nickname = excluded.nickname, role = excluded.role"
    " WHERE p.account_version = 0 AND p.nickname = ''"};
static const struct pg_statement OWN_ROW_KNOWN = {
    "own_row_known", "SELECT FROM people WHERE user_id = $1 AND (account_version > 0 OR nickname <> '')"};

static bool make_own_row(struct pg_pool *db, const struct identity *caller, struct err *err)
{
    return pg_exec(db, &MAKE_OWN_ROW,
                   PARAMS(PG_TEXT(caller->user_id), PG_TEXT(caller->handle), PG_TEXT(caller->nickname),
                          PG_TEXT(role_name(caller->role))),
                   NULL, err);
}

bool store_own_row(struct pg_pool *db, const struct identity *caller, struct err *err)
{
    AUTO(pg_result) known = pg_query(db, &OWN_ROW_KNOWN, PARAMS(PG_TEXT(caller->user_id)), err);
    return known && (pg_rows(known) > 0 || make_own_row(db, caller, err));
}

static const struct pg_statement ROOM_ACCESS = {
    "room_access",
    "SELECT r.kind, r.closed_at IS NOT NULL, r.last_seq, EXISTS (SELECT FROM people p WHERE p.user_id = $2"
    "  AND (p.account_version > 0 OR p.nickname <> ''))"
    " FROM rooms r WHERE r.id = $1 AND (r.kind IN ('global', 'company')"
    "  OR EXISTS (SELECT FROM members m WHERE m.room_id = r.id AND m.user_id = $2))"};

static bool no_room(struct err *err)
{
    return err_set(err, &ERR_NOT_FOUND, "no such room");
}

bool store_room_access(struct pg_pool *db, const char *room_id, const struct identity *caller,
                       struct room_access *access, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &ROOM_ACCESS, PARAMS(PG_TEXT(room_id), PG_TEXT(caller->user_id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0 || !room_kind_parse(pg_text(rows, 0, 0), &access->kind))
        return no_room(err);
    access->closed = pg_bool(rows, 0, 1);
    access->last_seq = pg_i64(rows, 0, 2);
    return pg_bool(rows, 0, 3) || make_own_row(db, caller, err);
}

/* ---- others ---- */

/* Rows that only a profile made are not known people yet. */
static const struct pg_statement STANDINGS = {
    "standings",
    "SELECT p.user_id IS NOT NULL, coalesce(r.friend, false), coalesce(cardinality(r.blocked_by) > 0, false), "
    "coalesce(p.withdrawn, false)"
    " FROM unnest($2::uuid[]) WITH ORDINALITY AS u (id, n)"
    " LEFT JOIN people p ON p.user_id = u.id AND p.role <> 'guest'"
    " LEFT JOIN relations r ON r.a = least(u.id, $1::uuid) AND r.b = greatest(u.id, $1::uuid) ORDER BY u.n"};

static enum standing standing_of(const struct pg_result *rows, int row)
{
    const bool here = pg_bool(rows, row, 0), friend = pg_bool(rows, row, 1), blocked = pg_bool(rows, row, 2),
               withdrawn = pg_bool(rows, row, 3);
    if (withdrawn)
        return STANDING_UNKNOWN;
    if (blocked)
        return STANDING_BLOCKED;
    if (!here)
        return friend ? STANDING_PROMISED : STANDING_UNKNOWN;
    return friend ? STANDING_FRIEND : STANDING_KNOWN;
}

bool store_standings(struct pg_pool *db, struct arena *arena, const char *me, const struct texts *user_ids,
                     enum standing **out, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &STANDINGS, PARAMS(PG_TEXT(me), PG_TEXTS(user_ids->items, user_ids->count)), err);
    if (!rows)
        return false;
    *out = arena_alloc(arena, (user_ids->count + 1) * sizeof **out);
    for (int row = 0; row < pg_rows(rows); row++)
        (*out)[row] = standing_of(rows, row);
    return true;
}

/* ---- ids of new rooms ---- */

/* A second statement reads what the first one may have lost to: it sees the winner's row, because the first waited for
 * its commit. */
static const struct pg_statement TAKE_PAIR = {"take_pair",
                                              "INSERT INTO dm_pairs (low, high, room_id) VALUES (least($1::uuid, "
                                              "$2::uuid), greatest($1::uuid, $2::uuid), $3) ON CONFLICT DO NOTHING"};
static const struct pg_statement FIND_PAIR = {
    "find_pair", "SELECT d.room_id, EXISTS (SELECT FROM rooms r WHERE r.id = d.room_id) FROM dm_pairs d"
                 " WHERE d.low = least($1::uuid, $2::uuid) AND d.high = greatest($1::uuid, $2::uuid)"};

bool store_dm_exists(struct pg_pool *db, const char *me, const char *other, bool *exists, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_PAIR, PARAMS(PG_TEXT(me), PG_TEXT(other)), err);
    *exists = rows && pg_rows(rows) > 0 && pg_bool(rows, 0, 1);
    return rows != NULL;
}

bool store_dm_room(struct pg_pool *db, const char *me, const char *other, char room_id[UUID_TEXT_BYTES],
                   struct err *err)
{
    uuid_new(room_id);
    if (!pg_exec(db, &TAKE_PAIR, PARAMS(PG_TEXT(me), PG_TEXT(other), PG_TEXT(room_id)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_query(db, &FIND_PAIR, PARAMS(PG_TEXT(me), PG_TEXT(other)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set_internal(err, &ERR_INTERNAL, "a pair that was just taken is not there");
    memcpy(room_id, pg_text(rows, 0, 0), UUID_TEXT_BYTES);
    return true;
}

static const struct pg_statement TAKE_KEY = {
    "take_room_key", "INSERT INTO room_keys AS k (user_id, key, fingerprint, room_id) VALUES ($1, $2, $3, $4)"
                     " ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, room_id = "
                     "excluded.room_id, at = now()"
                     " WHERE k.at <= now() - interval '24 hours'"};
static const struct pg_statement FIND_KEY = {
    "find_room_key", "SELECT room_id, fingerprint FROM room_keys WHERE user_id = $1 AND key = $2"};
static const struct pg_statement SWEEP_KEYS = {
    "sweep_room_keys",
    "DELETE FROM room_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM room_keys WHERE at <= now() - interval '24 hours'"
    " ORDER BY at LIMIT 1000))"};

bool store_room_key(struct pg_pool *db, const char *me, const char *key, const char *fingerprint,
                    char room_id[UUID_TEXT_BYTES], struct err *err)
{
    if (!pg_exec(db, &TAKE_KEY, PARAMS(PG_TEXT(me), PG_TEXT(key), PG_TEXT(fingerprint), PG_TEXT(room_id)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_query(db, &FIND_KEY, PARAMS(PG_TEXT(me), PG_TEXT(key)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set_retry(err, &ERR_STILL_RUNNING, 1, "the key has just run out: repeat");
    if (strcmp(pg_text(rows, 0, 1), fingerprint) != 0)
        return err_set(err, &ERR_KEY_REUSED, "this Idempotency-Key came before with another body");
    memcpy(room_id, pg_text(rows, 0, 0), UUID_TEXT_BYTES);
    return true;
}

bool store_room_keys_sweep(struct pg_pool *db, struct err *err)
{
    return pg_exec(db, &SWEEP_KEYS, NO_PARAMS, NULL, err);
}

/* ---- mute ---- */

static const struct pg_statement MUTE = {"mute", "UPDATE members SET muted = $3 WHERE room_id = $1 AND user_id = $2"};

bool store_mute(struct pg_pool *db, const char *room_id, const char *me, bool muted, struct err *err)
{
    int64_t changed = 0;
    if (!pg_exec(db, &MUTE, PARAMS(PG_TEXT(room_id), PG_TEXT(me), PG_BOOL(muted)), &changed, err))
        return false;
    return changed > 0 || no_room(err);
}

/* ---- rooms ---- */

/* clang-format off */
#define SQL_ROOM(read_seq, muted)                                                                                      \
    "SELECT r.id, r.kind, r.title, r.member_count, r.last_seq, " SQL_MS("r.created_at") ", r.closed_at IS NOT NULL, "  \
    read_seq ", " muted ", " SQL_US("r.active_at") " "

static const struct pg_statement FIND_ROOM = {"find_room",
    SQL_ROOM("coalesce(m.read_seq, r.last_seq)", "coalesce(m.muted, false)")
    "FROM rooms r LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $2 "
    "WHERE r.id = $1 AND (m.user_id IS NOT NULL OR r.kind IN ('global', 'company'))"};
/* $1 me, ($2, $3) where it goes on, $4 how many, $5 kinds. Open rooms have no marks: all is read. */
static const struct pg_statement LIST_ROOMS = {"list_rooms",
    SQL_ROOM("r.read_seq", "r.muted") "FROM ("
    " (SELECT r.*, m.read_seq, m.muted FROM members m JOIN rooms r ON r.id = m.room_id"
    "  WHERE m.user_id = $1 AND NOT m.hidden AND r.kind = ANY ($5::text[])"
    "  AND (r.active_at, r.id) < (" SQL_FROM_US("$2") ", $3) ORDER BY r.active_at DESC, r.id DESC LIMIT $4)"
    " UNION ALL"
    " (SELECT r.*, r.last_seq, false FROM rooms r"
    "  WHERE r.kind IN ('global', 'company') AND r.closed_at IS NULL AND r.kind = ANY ($5::text[])"
    "  AND (r.active_at, r.id) < (" SQL_FROM_US("$2") ", $3) ORDER BY r.active_at DESC, r.id DESC LIMIT $4)"
    ") r ORDER BY r.active_at DESC, r.id DESC LIMIT $4"};
static const struct pg_statement LIST_MEMBERS = {"list_members",
    "SELECT x.room_id, m.user_id, coalesce(p.nickname, ''), coalesce(p.avatar_url, ''), m.manager"
    " FROM unnest($1::uuid[]) WITH ORDINALITY AS x (room_id, n) CROSS JOIN LATERAL"
    "  (SELECT user_id, manager, joined_at FROM members WHERE room_id = x.room_id ORDER BY joined_at, user_id LIMIT $2) m"
    " LEFT JOIN people p ON p.user_id = m.user_id ORDER BY x.n, m.joined_at, m.user_id"};
static const struct pg_statement LAST_MESSAGES = {"last_messages",
    "SELECT " SQL_MESSAGE "-1 FROM unnest($1::uuid[], $2::bigint[]) AS x (room_id, seq)"
    " JOIN messages m ON m.room_id = x.room_id AND m.seq = x.seq LEFT JOIN people p ON p.user_id = m.sender_id"};
/* clang-format on */

static struct seen_room row_room(const struct pg_result *rows, int row, struct arena *arena, const char *me)
{
    struct seen_room seen = {
        .room = {.id = arena_text(arena, pg_text(rows, row, 0)),
                 .title = arena_text(arena, pg_text(rows, row, 2)),
                 .member_count = pg_i64(rows, row, 3),
                 .last_seq = pg_i64(rows, row, 4),
                 .created_ms = pg_i64(rows, row, 5),
                 .closed = pg_bool(rows, row, 6)},
        .view = {.viewer_id = me, .read_seq = pg_i64(rows, row, 7), .muted = pg_bool(rows, row, 8)},
        .active_us = pg_i64(rows, row, 9),
    };
    (void)room_kind_parse(pg_text(rows, row, 1), &seen.room.kind);
    return seen;
}

static struct seen_room *find_seen(struct seen_room *rooms, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rooms[i].room.id, id) == 0)
            return &rooms[i];
    return NULL;
}

/* Rows come room by room: each room's members are one stretch of one array. */
static bool add_members(struct pg_pool *db, struct arena *arena, struct seen_room *rooms, size_t count,
                        const char **ids, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &LIST_MEMBERS, PARAMS(PG_TEXTS(ids, count), PG_I64(ROOM_MEMBERS_SHOWN)), err);
    if (!rows)
        return false;
    struct member *members = arena_alloc(arena, ((size_t)pg_rows(rows) + 1) * sizeof *members);
    struct seen_room *seen = NULL;
    for (int row = 0; row < pg_rows(rows); row++) {
        const char *room_id = pg_text(rows, row, 0);
        if (!seen || strcmp(seen->room.id, room_id) != 0) {
            seen = find_seen(rooms, count, room_id);
            seen->view.members = &members[row];
        }
        members[row] = (struct member){
            .person = {arena_text(arena, pg_text(rows, row, 1)), arena_text(arena, pg_text(rows, row, 2)),
                       arena_text(arena, pg_text(rows, row, 3))},
            .manager = pg_bool(rows, row, 4),
        };
        seen->view.member_count++;
    }
    return true;
}

static bool add_last_messages(struct pg_pool *db, struct arena *arena, struct seen_room *rooms, size_t count,
                              const char **ids, struct err *err)
{
    int64_t *seqs = arena_alloc(arena, (count + 1) * sizeof *seqs);
    for (size_t i = 0; i < count; i++)
        seqs[i] = rooms[i].room.last_seq;
    AUTO(pg_result) rows = pg_query(db, &LAST_MESSAGES, PARAMS(PG_TEXTS(ids, count), PG_I64S(seqs, count)), err);
    if (!rows)
        return false;
    struct message *messages = arena_alloc(arena, ((size_t)pg_rows(rows) + 1) * sizeof *messages);
    for (int row = 0; row < pg_rows(rows); row++) {
        messages[row] = row_message(rows, row, 0, arena, NULL);
        find_seen(rooms, count, messages[row].room_id)->view.last_message = &messages[row];
    }
    return true;
}

static bool fill_rooms(struct pg_pool *db, struct arena *arena, struct seen_room *rooms, size_t count, struct err *err)
{
    if (count == 0)
        return true;
    const char **ids = arena_alloc(arena, count * sizeof *ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = rooms[i].room.id;
    return add_members(db, arena, rooms, count, ids, err) && add_last_messages(db, arena, rooms, count, ids, err);
}

bool store_room(struct pg_pool *db, struct arena *arena, const char *room_id, const char *me, struct seen_room *out,
                struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_ROOM, PARAMS(PG_TEXT(room_id), PG_TEXT(me)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return no_room(err);
    *out = row_room(rows, 0, arena, me);
    pg_result_release(&rows); /* one connection at a time */
    return fill_rooms(db, arena, out, 1, err);
}

bool store_rooms(struct pg_pool *db, struct arena *arena, const char *me, const bool kinds[ROOM_KINDS],
                 const struct cursor *after, int64_t limit, struct seen_room **out, size_t *count, struct err *err)
{
    const char *names[ROOM_KINDS];
    size_t wanted = 0;
    for (enum room_kind kind = 0; kind < ROOM_KINDS; kind++)
        if (kinds[kind])
            names[wanted++] = room_kind_name(kind);
    AUTO(pg_result)
    rows = pg_query(db, &LIST_ROOMS,
                    PARAMS(PG_TEXT(me), PG_I64(after ? after->number : AFTER_ALL_US),
                           PG_TEXT(after ? after->id : AFTER_ALL_ID), PG_I64(limit), PG_TEXTS(names, wanted)),
                    err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *out = arena_alloc(arena, (*count + 1) * sizeof **out);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = row_room(rows, (int)i, arena, me);
    return fill_rooms(db, arena, *out, *count, err);
}

/* ---- unread ---- */

static const struct pg_statement UNREAD = {
    "unread", "SELECT m.room_id, r.last_seq - m.read_seq FROM members m JOIN rooms r ON r.id = m.room_id"
              " WHERE m.user_id = $1 AND NOT m.hidden AND r.last_seq > m.read_seq ORDER BY m.room_id"};
static const struct pg_statement UNREAD_IN = {"unread_in",
                                              "SELECT greatest(r.last_seq - m.read_seq, 0) FROM members m JOIN rooms r "
                                              "ON r.id = m.room_id WHERE m.room_id = $1 AND m.user_id = $2"};

bool store_unread(struct pg_pool *db, struct arena *arena, const char *me, struct unread_room **out, size_t *count,
                  struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &UNREAD, PARAMS(PG_TEXT(me)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *out = arena_alloc(arena, (*count + 1) * sizeof **out);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct unread_room){arena_text(arena, pg_text(rows, (int)i, 0)), pg_i64(rows, (int)i, 1)};
    return true;
}

bool store_unread_in(struct pg_pool *db, const char *room_id, const char *me, int64_t *unread, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &UNREAD_IN, PARAMS(PG_TEXT(room_id), PG_TEXT(me)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return no_room(err);
    *unread = pg_i64(rows, 0, 0);
    return true;
}
