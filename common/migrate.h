/* migrate.h - runs a service's migrations once each, in order, under an advisory lock.
 * The SQL files are compiled into the daemon (deploy/build/embed.sh writes the table), so a daemon is one file.
 * common/migrations/ runs first in every schema: outbox, applied offsets, idempotency keys. A file whose text changed
 * after it ran stops the start with its name. */
#ifndef MADANG_MIGRATE_H
#define MADANG_MIGRATE_H

#include "pg.h"

struct migration {
    const char *name; /* "001_accounts"; NULL ends the table */
    const char *sql;
};

extern const struct migration COMMON_MIGRATIONS[];

bool migrate_up(struct pg_pool *pool, const struct migration *migrations, struct err *err);

#endif
