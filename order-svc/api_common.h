/* api_common.h - what several handlers need: for api_*.c only. */
#ifndef MADANG_ORDER_API_COMMON_H
#define MADANG_ORDER_API_COMMON_H

#include "app.h"
#include "catalog.h"
#include "http.h"

static inline const struct order_app *app_of(const struct request *req)
{
    return req->app;
}
static inline const char *caller_of(const struct request *req)
{
    return req->identity->user_id;
}

enum { SOON_LOOK_MS = 20, SOON_WAIT_MS = 1000 };
#define YOUNG_MS INT64_C(60000)
/* The id was made a moment ago, so what it names may be on its way: the caller shall run again. */
bool may_come(const struct request *req, const char *id);

/* The market of a company: from memory, else from the schema; a young company that is not known yet is waited for, a
 * second at most. False with `problem` when there is none. */
bool market_of_company(struct request *req, const char *company_id, const struct problem *problem,
                       struct catalog_market *market, int *index, struct err *err);
bool market_of_id(struct request *req, const struct uuid *id, struct catalog_market *market, struct err *err);
/* The running market, or the last one; *found false when there was none ever. */
bool market_current(struct request *req, struct catalog_market *market, bool *found, struct err *err);

/* For what one did oneself: waits until the schema has all that stood in the log of this market's partition when the
 * request came. `company_id` NULL: of the current market. False as fresh_wait(). */
bool fresh_for_company(struct request *req, const char *company_id, struct err *err);
struct order_row;
/* One's own order, the same way; *row NULL: there is none. What is filled, cancelled or refused stays so, and is not
 * waited for: it is told while Kafka is away, too. */
bool fresh_order(struct request *req, const char *order_id, const struct order_row **row, struct err *err);

#endif
