/* store_files.h - files of rooms: what was uploaded, by whom, and where it lies. The owner marks those that a message
 * names as used; unused ones go after a day, by way of the trash, so that no object is left behind. Ownership: results
 * lie in the arena. */
#ifndef MADANG_CHAT_STORE_FILES_H
#define MADANG_CHAT_STORE_FILES_H

#include "arena.h"
#include "json.h"
#include "pg.h"
#include "uuid.h"

enum { FILE_UNUSED_HOURS = 24 };

struct file {
    const char *id, *room_id, *user_id;
    const char *key; /* in the object store */
    const char *type;
    int64_t bytes;
};

/* The key stands in the trash before its object is stored, so that a crash leaves nothing behind; it leaves it with the
 * row. */
bool store_expect_file(struct pg_pool *db, const char *key, struct err *err);
/* ERR_CONFLICT when there is a file with this id; then the key stays in the trash. */
bool store_add_file(struct pg_pool *db, const struct file *file, struct err *err);
/* One's own, by id, used or not; ERR_NOT_FOUND. */
bool store_own_file(struct pg_pool *db, struct arena *arena, const char *file_id, const char *user_id, struct file *out,
                    struct err *err);
/* A file that `viewer` may open: one's own, or one that a message of the room names which is not deleted.
 * ERR_NOT_FOUND. Membership is not asked here. */
bool store_find_file(struct pg_pool *db, struct arena *arena, const char *room_id, const char *file_id,
                     const char *viewer_id, struct file *out, struct err *err);

/* Moves files that nobody names to the trash, and claims what is due there (others see it again in a minute): keys to
 * delete. */
bool store_trash_files(struct pg_pool *db, struct err *err);
bool store_trash_claim(struct pg_pool *db, struct arena *arena, struct texts *keys, struct err *err);
bool store_trash_done(struct pg_pool *db, const struct texts *keys, struct err *err);

#endif
