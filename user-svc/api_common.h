/* api_common.h - what several handlers of user-svc need: for api_*.c only. */
#ifndef MADANG_USER_API_COMMON_H
#define MADANG_USER_API_COMMON_H

#include "app.h"
#include "codec.h"
#include "http.h"
#include "store.h"

enum {
    COPY_WAIT_MS = 1000, /* how long a request waits for an account's event */
    COPY_LOOK_MS = 50,
    COPY_YOUNG_MS = 60000, /* an id older than this is not waited for */
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 100,
};

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

/* `limit` and `cursor` of a list. */
struct page {
    int64_t limit;
    bool goes_on;        /* there was a cursor */
    struct cursor after; /* that cursor */
};
bool page_read(struct request *req, char kind, struct page *page, struct err *err);
static inline const struct cursor *page_after(const struct page *page)
{
    return page->goes_on ? &page->after : NULL;
}

/* Opens and closes {items, next_cursor}; `last` is the last item shown when there are more, else NULL. */
void page_open(struct str *out);
void page_close(struct str *out, const struct cursor *last);

#endif
