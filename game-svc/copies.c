#include "copies.h"

#include "app.h"
#include "applied.h"
#include "records.h"

/* What is not newer changes nothing; a row may have been made by a rating before. */
static const struct pg_statement COPY = {
    "copy_accounts", "INSERT INTO people AS p (user_id, nickname, withdrawn, version)"
                     " SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[])"
                     " ON CONFLICT (user_id) DO UPDATE SET nickname = excluded.nickname, withdrawn = "
                     "excluded.withdrawn, version = excluded.version WHERE p.version < excluded.version"};

enum { ARENA_BYTES = 64 * 1024 * 1024 };

struct copying {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct account_copy *copies;
};

static bool copy_all(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct copying *work = payload;
    const size_t all = work->batch->count;
    const char **ids = arena_alloc(work->arena, (all + 1) * sizeof *ids),
               **names = arena_alloc(work->arena, (all + 1) * sizeof *names),
               **gone = arena_alloc(work->arena, (all + 1) * sizeof *gone);
    int64_t *versions = arena_alloc(work->arena, (all + 1) * sizeof *versions);
    size_t first, count = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    for (size_t i = first; i < all; i++) {
        const struct account_copy *copy = &work->copies[i];
        if (!copy->user_id || account_is_superseded(work->copies, all, i))
            continue;
        ids[count] = copy->user_id;
        names[count] = copy->withdrawn || !copy->nickname ? "" : copy->nickname;
        gone[count] = copy->withdrawn ? "t" : "f";
        versions[count++] = copy->version;
    }
    return (count == 0 || pg_tx_exec(tx, &COPY,
                                     PARAMS(PG_TEXTS(ids, count), PG_TEXTS(names, count), PG_TEXTS(gone, count),
                                            PG_I64S(versions, count)),
                                     NULL, err)) &&
           applied_end(tx, work->batch, err);
}

bool copies_accounts(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct game_app *app = payload;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    struct copying work = {.arena = arena, .batch = batch, .copies = accounts_decode(arena, batch, err)};
    return work.copies && pg_transaction(app->db, copy_all, &work, err);
}
