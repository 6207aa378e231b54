/* report.h - unexpected faults for an error tracker that speaks Sentry's protocol (Sentry, GlitchTip), by setting
 * (SENTRY_DSN, a secret).
 *
 * What is logged at level error is sent as an event: the line as it was logged (so: no secrets, no message texts),
 * grouped by service, action and error.type. Rate-limited: one a minute of each group, ten a minute in all; what was
 * held back is counted and told with the next one. A thread sends; a tracker that is away costs reports, never
 * requests. Threads: all functions are thread-safe. One per process. Source: Sentry's developer documentation,
 * envelopes. */
#ifndef MADANG_REPORT_H
#define MADANG_REPORT_H

#include "errors.h"

/* dsn "": nothing is done. ERR_BAD_INPUT when it is none: scheme://key@host[:port]/project. */
bool report_open(const char *service, const char *instance, const char *environment, const char *dsn, struct err *err);
void report_close(void); /* sends what waits, up to 2 s */

#endif
