/* metrics.h - counters, gauges and histograms, printed in Prometheus' text format (0.0.4) at /metrics.
 *     static struct metric *logins;   // made once at start
 *     logins = metric_counter("madang_auth_logins_total", "Log-ins by result", "result");
 *     metric_add(metric_child(logins, "ok"), 1);
 * Labels take values from a small fixed set (route templates, codes), never ids: a metric refuses its 513th child and
 * counts it in the child "other". Thread-safe; adding is one relaxed atomic. Metrics live as long as the process. */
#ifndef MADANG_METRICS_H
#define MADANG_METRICS_H

#include "str.h"

#include <stdint.h>

struct metric;       /* a family: name, help, label names */
struct metric_child; /* one line of it */

/* `labels`: names separated by commas, or NULL. Asking again for the same name gives the same family. */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
/* Buckets of seconds: .0005 .001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2.5 5 10; observe in microseconds. */
struct metric *metric_histogram(const char *name, const char *help, const char *labels);

/* The child with these label values (as many as there are names). Look it up once and keep it on hot paths. */
struct metric_child *metric_child(struct metric *metric, ...) __attribute__((sentinel(0)));
#define METRIC_CHILD(metric, ...) metric_child(metric, ##__VA_ARGS__, (const char *)0)

void metric_add(struct metric_child *child, int64_t amount);
void metric_set(struct metric_child *child, int64_t value);
void metric_observe_us(struct metric_child *child, int64_t microseconds);
int64_t metric_value(const struct metric_child *child); /* counter or gauge; for tests and status pages */

/* A gauge whose value is asked for at each scrape. */
void metric_gauge_read(const char *name, const char *help, int64_t (*read)(void *payload), void *payload);
/* Ends all metric_gauge_read of `payload`: before it dies. */
void metric_forget(const void *payload);

/* Everything, in the exposition format; process_* figures (CPU, memory, descriptors, start time) included. */
void metrics_print(struct str *out);

#endif
