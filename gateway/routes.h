/* routes.h - which service answers a path, and on what terms: a table read from a text (routes.conf), one line a
 * prefix.
 *
 *     # prefix     service   who    options
 *     /api/users   user-svc  guest  body=6m timeout=15s
 *
 * The longest prefix of whole segments wins. `who` is the floor; the service's own route table decides the rest.
 * A table never changes once read; a reload makes another one. /internal is never routed, whatever the file says. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "errors.h"
#include "str.h"

#include <stdatomic.h>
#include <stdint.h>

enum { ROUTES_MAX = 200 };

enum who {
    WHO_OPEN,  /* anybody; tokens are looked at only for the limits per user */
    WHO_GUEST, /* any valid access token */
    WHO_USER,  /* role user, tutor or admin */
    WHO_ADMIN,
    WHO_STREAM, /* role user by token, a ticket's signature, or the cookie of a stream (the service checks it) */
    WHOS,
};
extern const char *const WHO_NAMES[WHOS];

struct path_route {
    char prefix[96];
    size_t prefix_length;
    char service[32];
    enum who who;
    bool upgrade;        /* becomes a WebSocket tunnel, and nothing else */
    bool stream;         /* counts as one of a user's open streams */
    int64_t body_max;    /* bytes */
    int64_t timeout_ms;  /* until the first byte of the answer, and between two later ones */
    int64_t cache_ms;    /* 0: never kept */
    int64_t rate, burst; /* per user and second on this prefix; 0: the general limit */
    int index;           /* place in the table, for counters */
};

struct routes {
    atomic_int users; /* who hold it: the last one frees it */
    int count;
    struct path_route list[]; /* longest prefix first */
};

extern const char ROUTES_DEFAULT[]; /* gateway/routes.conf as it was when this was built */

/* ERR_BAD_INPUT names the line. */
struct routes *routes_parse(struct view text, struct err *err);
/* From the file, or ROUTES_DEFAULT when `path` is "". */
struct routes *routes_load(const char *path, struct err *err);
struct routes *routes_share(struct routes *routes);
void routes_release(struct routes **routes);
/* NULL: nobody answers here. */
const struct path_route *routes_find(const struct routes *routes, struct view path);

#endif
