/* stats.h - what the loops count. Each loop adds to plain numbers of its own; once a second they go to the metrics, and
 * a copy for the /registry page is made. Nothing is shared on the path of a request. */
#ifndef GATEWAY_STATS_H
#define GATEWAY_STATS_H

#include <stddef.h>
#include <stdint.h>

struct exchange;
struct gateway;
struct loop;
struct loop_routes;
struct registry_entry;

/* Counters of a loop: name of the metric, help. */
#define LOOP_STATS(X)                                                                                                  \
    X(STAT_CONNECTIONS, "madang_gateway_connections_total", "Client connections taken")                                \
    X(STAT_CONNECTIONS_REFUSED, "madang_gateway_connections_refused_total", "Connections over the limit per address")  \
    X(STAT_ACCEPT_STOPPED, "madang_gateway_accept_stopped_total", "Times that no more connections were taken")         \
    X(STAT_HANDSHAKES_FAILED, "madang_gateway_tls_failures_total", "TLS handshakes that failed")                       \
    X(STAT_BAD_REQUESTS, "madang_gateway_bad_requests_total", "Requests that were not valid HTTP")                     \
    X(STAT_RETRIES, "madang_gateway_retries_total", "Requests sent to a second instance")                              \
    X(STAT_CANCELLED, "madang_gateway_cancelled_total", "Requests whose client went away")                             \
    X(STAT_TRUNCATED, "madang_gateway_truncated_total", "Answers that ended too early")                                \
    X(STAT_OVERLOADED, "madang_gateway_overloaded_total", "Requests refused because too many were in flight")          \
    X(STAT_LIMITED, "madang_gateway_limited_total", "Requests refused by a rate or stream limit")                      \
    X(STAT_CACHE_HITS, "madang_gateway_cache_hits_total", "Answers from the cache")

enum loop_stat {
#define LOOP_STAT_NAME(name, metric, help) name,
    LOOP_STATS(LOOP_STAT_NAME)
#undef LOOP_STAT_NAME
        LOOP_STAT_COUNT,
};

void loop_stats_open(struct loop *loop);
void loop_stats_close(struct loop *loop);
void loop_stats_add(struct loop *loop, enum loop_stat stat);

/* Counters of a route table in one loop. */
void stats_open(struct loop_routes *routes);
void stats_close(struct loop_routes *routes);
/* One exchange is over. */
void stats_count(const struct exchange *exchange, int64_t took_us);

/* An instance is in the table no more: what is told of its present goes, counters stay. */
struct upstream;
void stats_forget(struct upstream *upstream);

/* Once a second, on the loop's thread. */
void stats_publish(struct loop *loop);

/* One instance as the loops last saw it, summed. For other threads. */
struct instance_view {
    int64_t in_flight, connections, requests, failures, errors, answers;
    int64_t latency_us;  /* until an answer begins, the mean of the last ones; 0 without answers */
    const char *breaker; /* the worst of the loops */
    int threads;         /* loops that may send requests there */
};
void stats_view(struct gateway *gateway, const struct registry_entry *entry, struct instance_view *out);

#endif
