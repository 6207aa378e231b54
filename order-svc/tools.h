/* tools.h - what order-svc can do besides serving. README.md and the runbooks show each.
 *   --audit <market>      recomputes the round from its log and compares; status 0 same, 1 differences, 2 not made
 *   --resettle <market>   forgets what was settled of the round; the workers settle it again from its log
 *   --give-up <market>    its events are passed over from now on: for a log that lost records, so that others go on */
#ifndef MADANG_ORDER_TOOLS_H
#define MADANG_ORDER_TOOLS_H

#include "errors.h"
#include "pg.h"

/* True for the arguments of a tool; then *status is what the process ends with: 0, 1 (see above), 2 failed. */
bool tools_run(int argc, char **argv, int *status);

/* The tools behind. *rows: how many were forgotten; ERR_NOT_FOUND without such a market. */
bool tool_resettle(struct pg_pool *db, const char *market, int64_t *rows, struct err *err);
bool tool_give_up(struct pg_pool *db, const char *market, struct err *err);

#endif
