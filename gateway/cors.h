/* cors.h - which web pages may call from a browser (Fetch standard), and the header lines that say so.
 * CORS_ORIGINS is an exact list; in dev any localhost origin counts too. Constant after start. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "errors.h"
#include "str.h"

#include <stdbool.h>

struct cors;
struct exchange;

/* ERR_BAD_INPUT names a wrong origin. */
struct cors *cors_open(const char *origins, bool localhost, struct err *err);
void cors_release(struct cors **cors);
bool cors_allows(const struct cors *cors, struct view origin);
/* True when the origin is the site itself: http(s)://{host}. */
bool cors_same_origin(struct view origin, struct view host);

/* Headers of the answer to a preflight, without those below. */
extern const char CORS_PREFLIGHT[];
/* For every answer to an allowed origin, after Access-Control-Allow-Origin. */
extern const char CORS_EXPOSED[];

#endif
