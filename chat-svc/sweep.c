#include "sweep.h"

#include "app.h"
#include "log.h"
#include "owner.h"
#include "store_files.h"
#include "store_game.h"
#include "store_rooms.h"
#include "store_search.h"

enum { KEYS_EVERY_ROUNDS = 30, SWEEP_ARENA_BYTES = 256 * 1024 };

bool sweep_files(struct pg_pool *db, struct objstore *files, struct err *err)
{
    AUTO(arena) arena = arena_open(SWEEP_ARENA_BYTES);
    struct texts keys, gone = {0};
    if (!store_trash_files(db, err) || !store_trash_claim(db, arena, &keys, err))
        return false;
    gone.items = arena_alloc(arena, (keys.count + 1) * sizeof(char *));
    bool good = true;
    for (size_t i = 0; i < keys.count; i++) {
        if (objstore_delete(files, keys.items[i], err))
            gone.items[gone.count++] = keys.items[i];
        else
            good = false; /* stays claimed, and is due again in a minute */
    }
    struct err done_err = {0};
    if (gone.count > 0 && !store_trash_done(db, &gone, &done_err)) {
        *err = done_err;
        return false;
    }
    return good;
}

void sweep_round(void *payload, unsigned round)
{
    const struct chat_app *app = payload;
    struct err err = {0};
    if (!sweep_files(app->db, app->files, &err))
        log_err("file_sweep_failed", &err);
    err_clear(&err);
    if (round % KEYS_EVERY_ROUNDS == 0 && !store_room_keys_sweep(app->db, &err))
        log_err("room_keys_sweep_failed", &err);
    err_clear(&err);
    if (round % KEYS_EVERY_ROUNDS == 0 && !store_game_sweep(app->db, &err))
        log_err("game_sweep_failed", &err);
}

void tidy_round(void *payload, unsigned round)
{
    const struct chat_app *app = payload;
    struct err err = {0};
    (void)round;
    if (owner_has_indexed(app->owner) && !store_search_tidy(app->db, &err))
        log_err("search_not_tidied", &err); /* the next round tries again once something is said; so does autovacuum */
}
