#include "copies.h"

#include "app.h"
#include "applied.h"
#include "mem.h"
#include "outbox.h"
#include "wire.h"

/* One row per key of the batch, each column an array; what is not newer than the row changes nothing. A person's row
 * may come from either topic first. */
static const struct pg_statement COPY_ACCOUNTS = {
    "copy_accounts",
    "INSERT INTO people AS p (user_id, handle, nickname, locale, role, withdrawn, account_version)"
    " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bigint[])"
    " ON CONFLICT (user_id) DO UPDATE SET handle = excluded.handle, nickname = excluded.nickname, locale = "
    "excluded.locale,"
    "  role = excluded.role, withdrawn = excluded.withdrawn, account_version = excluded.account_version,"
    "  avatar_url = CASE WHEN excluded.withdrawn THEN '' ELSE p.avatar_url END"
    " WHERE p.account_version < excluded.account_version"};
static const struct pg_statement COPY_PROFILES = {
    "copy_profiles", "INSERT INTO people AS p (user_id, avatar_url, profile_version)"
                     " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])"
                     " ON CONFLICT (user_id) DO UPDATE SET profile_version = excluded.profile_version,"
                     "  avatar_url = CASE WHEN p.withdrawn THEN '' ELSE excluded.avatar_url END"
                     " WHERE p.profile_version < excluded.profile_version"};
/* Each list of blockers comes as one text, because unnest would flatten an array of arrays. */
static const struct pg_statement COPY_RELATIONS = {
    "copy_relations", "INSERT INTO relations AS r (a, b, friend, blocked_by, version)"
                      " SELECT a, b, friend, blocked_by::uuid[], version FROM unnest($1::uuid[], $2::uuid[], "
                      "$3::boolean[], $4::text[], $5::bigint[])"
                      "  AS n (a, b, friend, blocked_by, version)"
                      " ON CONFLICT (a, b) DO UPDATE SET friend = excluded.friend, blocked_by = excluded.blocked_by, "
                      "version = excluded.version"
                      " WHERE r.version < excluded.version"};
static const struct pg_statement GROUPS_OF = {
    "copy_groups_of", "SELECT m.room_id, m.user_id FROM members m JOIN rooms r ON r.id = m.room_id"
                      " WHERE m.user_id = ANY ($1::uuid[]) AND r.kind = 'group' ORDER BY m.room_id, m.user_id"};

struct copy {
    /* accounts, profiles */
    const char *user_id, *handle, *nickname, *locale, *role, *avatar_url;
    bool withdrawn;
    /* relations */
    const char *a, *b;
    bool friend;
    struct texts blocked_by;
    int64_t version;
};

static const struct field ACCOUNT_FIELDS[] = {
    FIELD_UUID(struct copy, user_id, .required = true),
    FIELD_TEXT(struct copy, handle),
    FIELD_TEXT(struct copy, nickname),
    FIELD_TEXT(struct copy, locale),
    FIELD_TEXT(struct copy, role),
    FIELD_BOOL(struct copy, withdrawn),
    FIELD_I64(struct copy, version, .required = true),
    {0},
};
static const struct field PROFILE_FIELDS[] = {
    FIELD_UUID(struct copy, user_id, .required = true),
    FIELD_TEXT(struct copy, avatar_url),
    FIELD_I64(struct copy, version, .required = true),
    {0},
};
static const struct field RELATION_FIELDS[] = {
    FIELD_UUID(struct copy, a, .required = true),
    FIELD_UUID(struct copy, b, .required = true),
    FIELD_BOOL(struct copy, friend),
    FIELD_TEXTS(struct copy, blocked_by, .max = 2, .item_min = 36, .item_max = 36),
    FIELD_I64(struct copy, version, .required = true),
    {0},
};

enum { BATCH_ARENA_BYTES = 64 * 1024 * 1024 };

struct work {
    struct arena *arena;
    const struct kafka_batch *batch;
    struct copy *copies;
    bool (*write)(struct pg_tx *tx, struct work *work, struct err *err);
    /* those that are new to us, one per key */
    struct copy **fresh;
    size_t count;
};

/* ---- columns ---- */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static struct pg_param texts_of(struct work *work, const char *(*cell)(struct work *work, const struct copy *copy))
{
    const char **cells = arena_alloc(work->arena, (work->count + 1) * sizeof *cells);
    for (size_t i = 0; i < work->count; i++)
        cells[i] = cell(work, work->fresh[i]);
    return PG_TEXTS(cells, work->count);
}

static struct pg_param versions_of(struct work *work)
{
    int64_t *cells = arena_alloc(work->arena, (work->count + 1) * sizeof *cells);
    for (size_t i = 0; i < work->count; i++)
        cells[i] = work->fresh[i]->version;
    return PG_I64S(cells, work->count);
}

#define CELL(name, value)                                                                                              \
    static const char *cell_##name(struct work *work, const struct copy *copy)                                         \
    {                                                                                                                  \
        (void)work;                                                                                                    \
        return value;                                                                                                  \
    }
/* Whatever stands beside `withdrawn`, nothing of the person stays. */
CELL(user_id, copy->user_id)
CELL(handle, copy->withdrawn ? "" : or_empty(copy->handle))
CELL(nickname, copy->withdrawn ? "" : or_empty(copy->nickname))
CELL(locale, or_empty(copy->locale))
CELL(role, copy->role ? copy->role : "user")
CELL(withdrawn, copy->withdrawn ? "t" : "f")
CELL(avatar_url, or_empty(copy->avatar_url))
CELL(a, copy->a)
CELL(b, copy->b)
CELL(friend, copy->friend ? "t" : "f")

static const char *cell_blocked_by(struct work *work, const struct copy *copy)
{
    switch (copy->blocked_by.count) {
    case 0:
        return "{}";
    case 1:
        return arena_printf(work->arena, "{%s}", copy->blocked_by.items[0]);
    default:
        return arena_printf(work->arena, "{%s,%s}", copy->blocked_by.items[0], copy->blocked_by.items[1]);
    }
}

/* ---- accounts ---- */

/* Groups are left through their owner, like everything that changes a room. Said again by a later event it changes
 * nothing. */
static bool leave_groups(struct pg_tx *tx, struct work *work, struct err *err)
{
    struct texts gone = {arena_alloc(work->arena, (work->count + 1) * sizeof(char *)), 0};
    for (size_t i = 0; i < work->count; i++)
        if (work->fresh[i]->withdrawn)
            gone.items[gone.count++] = work->fresh[i]->user_id;
    if (gone.count == 0)
        return true;
    AUTO(pg_result) rows = pg_tx_query(tx, &GROUPS_OF, PARAMS(PG_TEXTS(gone.items, gone.count)), err);
    const size_t groups = rows ? (size_t)pg_rows(rows) : 0;
    struct outbox_event *events = arena_alloc(work->arena, (groups + 1) * sizeof *events);
    for (size_t i = 0; i < groups; i++) {
        const struct command command = {
            .kind = COMMAND_REMOVE, .room_id = pg_text(rows, (int)i, 0), .target = pg_text(rows, (int)i, 1)};
        AUTO_STR payload;
        str_init(&payload);
        command_encode(&payload, &command);
        events[i] = (struct outbox_event){.topic = TOPIC_CHAT_INBOUND,
                                          .key = command.room_id,
                                          .payload = arena_bytes(work->arena, payload.bytes, payload.length)};
    }
    return rows && outbox_add_all(tx, events, groups, err);
}

static bool write_accounts(struct pg_tx *tx, struct work *work, struct err *err)
{
    return pg_tx_exec(tx, &COPY_ACCOUNTS,
                      PARAMS(texts_of(work, cell_user_id), texts_of(work, cell_handle), texts_of(work, cell_nickname),
                             texts_of(work, cell_locale), texts_of(work, cell_role), texts_of(work, cell_withdrawn),
                             versions_of(work)),
                      NULL, err) &&
           leave_groups(tx, work, err);
}

static bool write_profiles(struct pg_tx *tx, struct work *work, struct err *err)
{
    return pg_tx_exec(tx, &COPY_PROFILES,
                      PARAMS(texts_of(work, cell_user_id), texts_of(work, cell_avatar_url), versions_of(work)), NULL,
                      err);
}

static bool write_relations(struct pg_tx *tx, struct work *work, struct err *err)
{
    return pg_tx_exec(tx, &COPY_RELATIONS,
                      PARAMS(texts_of(work, cell_a), texts_of(work, cell_b), texts_of(work, cell_friend),
                             texts_of(work, cell_blocked_by), versions_of(work)),
                      NULL, err);
}

/* ---- a batch ---- */

/* One statement can't touch a row twice: of several records of one key the newest stands for all. */
static void take_newest(struct work *work, size_t first)
{
    const struct kafka_batch *batch = work->batch;
    work->count = 0;
    for (size_t i = first; i < batch->count; i++) {
        bool newest = batch->records[i].payload.bytes != NULL; /* a tombstone says nothing */
        for (size_t j = first; j < batch->count && newest; j++)
            if (j != i && batch->records[j].payload.bytes && view_equals(batch->records[i].key, batch->records[j].key))
                newest = work->copies[j].version < work->copies[i].version ||
                         (work->copies[j].version == work->copies[i].version && j < i);
        if (newest)
            work->fresh[work->count++] = &work->copies[i];
    }
}

static bool apply_batch(struct pg_tx *tx, void *payload, struct err *err)
{
    struct work *work = payload;
    size_t first;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    take_newest(work, first);
    return (work->count == 0 || work->write(tx, work, err)) && applied_end(tx, work->batch, err);
}

static bool apply(const struct chat_app *app, const struct kafka_batch *batch, const struct field *fields,
                  bool (*write)(struct pg_tx *, struct work *, struct err *), struct err *err)
{
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct work work = {
        .arena = arena,
        .batch = batch,
        .copies = arena_alloc(arena, (batch->count + 1) * sizeof(struct copy)),
        .write = write,
        .fresh = arena_alloc(arena, (batch->count + 1) * sizeof(struct copy *)),
    };
    for (size_t i = 0; i < batch->count; i++) {
        const struct view bytes = batch->records[i].payload;
        if (bytes.bytes && !JSON_DECODE_LENIENT(arena, bytes, fields, &work.copies[i], err))
            return false;
    }
    return pg_transaction(app->db, apply_batch, &work, err);
}

bool copies_accounts(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return apply(payload, batch, ACCOUNT_FIELDS, write_accounts, err);
}

bool copies_profiles(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return apply(payload, batch, PROFILE_FIELDS, write_profiles, err);
}

bool copies_relations(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return apply(payload, batch, RELATION_FIELDS, write_relations, err);
}
