/* api_common.h - what several handlers of user-svc need: for api_*.c only. */
#ifndef MADANG_USER_API_COMMON_H
#define MADANG_USER_API_COMMON_H

#include "app.h"
#include "codec.h"
#include "http.h"
#include "page.h"
#include "store.h"

static inline struct origin origin_of(const struct request *req)
{
    return (struct origin){req->request_id, req->traceparent};
}

/* Which side of the pair I am. */
static inline enum side side_of(const char *me, const char *other)
{
    return strcmp(me, other) < 0 ? SIDE_A : SIDE_B;
}

/* After a failure: somebody who is not found and whose id is less than a minute old may just have signed up, so the
 * request runs again until the event is here, for a second at most. Always returns false. */
bool wait_for_copy(struct request *req, const char *id, struct err *err);

#endif
