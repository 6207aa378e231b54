/* accesslog.h - one JSON line per request, without holding up the loops: each collects the lines of a round and hands
 * them to one writing thread. When the reader of standard error is too slow, lines are dropped and counted.
 * Query values that are secrets never get here (accesslog_target). */
#ifndef GATEWAY_ACCESSLOG_H
#define GATEWAY_ACCESSLOG_H

#include "errors.h"
#include "str.h"

struct access_log;
struct exchange;
struct loop;

struct access_log *accesslog_open(const char *instance, struct err *err);
void accesslog_release(struct access_log **log);

/* Path and query, cut to size, with the values of secret parameters replaced. */
void accesslog_target(char *out, size_t size, struct view path, struct view query);
/* The line of an exchange that is over. */
void accesslog_line(struct exchange *exchange, int64_t took_us);
/* Hands over what the loop has collected. */
void accesslog_flush(struct loop *loop);

#endif
