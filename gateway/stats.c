#include "stats.h"

#include "exchange.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { VIEWS_MAX = 512, CLASSES = 5 };

struct route_stats {
    uint64_t by_class[CLASSES + 1];                       /* by the first digit of the status; 0: none was sent */
    struct metric_child *requests[CLASSES + 1], *seconds; /* looked up once */
};

struct seen_instance {
    char service[32], instance[64];
    int64_t epoch;
    struct instance_view view;
    int breaker; /* index of BREAKERS */
};

struct loop_stats {
    uint64_t counts[LOOP_STAT_COUNT];
    struct metric_child *metrics[LOOP_STAT_COUNT];
    struct metric_child *open, *in_flight;
    pthread_mutex_t lock; /* guards seen */
    size_t seen_count;
    struct seen_instance *seen;
};

static const char *const BREAKERS[] = {"closed", "half-open", "open"};
static const char *const CLASS_NAMES[CLASSES + 1] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

/* ---- of an instance ---- */

enum upstream_counter { UPSTREAM_REQUESTS, UPSTREAM_FAILURES, UPSTREAM_ERRORS, UPSTREAM_COUNTERS };
static const char UPSTREAM_LABELS[] = "service,instance";

static struct metric *upstream_counter(enum upstream_counter which)
{
    static const char *const NAMES[][2] = {
        [UPSTREAM_REQUESTS] = {"madang_gateway_upstream_requests_total", "Requests sent to an instance"},
        [UPSTREAM_FAILURES] = {"madang_gateway_upstream_failures_total",
                               "Connections that failed, ended or took too long"},
        [UPSTREAM_ERRORS] = {"madang_gateway_upstream_errors_total", "Answers of 5xx"},
    };
    return metric_counter(NAMES[which][0], NAMES[which][1], UPSTREAM_LABELS);
}

static struct metric *upstream_open(void)
{
    return metric_gauge("madang_gateway_upstream_open", "Threads whose breaker keeps requests from an instance",
                        UPSTREAM_LABELS);
}

static void publish_upstream(struct upstream *upstream)
{
    const struct registry_entry *entry = &upstream->instance.entry;
    if (upstream->requests == upstream->told_requests && upstream->failures == upstream->told_failures)
        return;
    const struct {
        uint64_t now, *told;
    } counters[UPSTREAM_COUNTERS] = {
        [UPSTREAM_REQUESTS] = {upstream->requests, &upstream->told_requests},
        [UPSTREAM_FAILURES] = {upstream->failures, &upstream->told_failures},
        [UPSTREAM_ERRORS] = {upstream->errors, &upstream->told_errors},
    };
    for (int i = 0; i < UPSTREAM_COUNTERS; i++) {
        metric_add(METRIC_CHILD(upstream_counter(i), entry->service, entry->instance),
                   (int64_t)(counters[i].now - *counters[i].told));
        *counters[i].told = counters[i].now;
    }
}

static void publish_breaker(struct upstream *upstream, int state)
{
    const struct registry_entry *entry = &upstream->instance.entry;
    if (state == upstream->told_breaker)
        return;
    metric_add(METRIC_CHILD(upstream_open(), entry->service, entry->instance),
               (state != 0) - (upstream->told_breaker != 0));
    upstream->told_breaker = state;
}

/* ---- of a loop ---- */

void loop_stats_open(struct loop *loop)
{
    static const char *const NAMES[][2] = {
#define LOOP_STAT_TEXT(name, metric, help) {metric, help},
        LOOP_STATS(LOOP_STAT_TEXT)
#undef LOOP_STAT_TEXT
    };
    struct loop_stats *stats = loop->stats = MEM_NEW(loop_stats);
    (void)pthread_mutex_init(&stats->lock, NULL);
    for (size_t i = 0; i < LOOP_STAT_COUNT; i++)
        stats->metrics[i] = METRIC_CHILD(metric_counter(NAMES[i][0], NAMES[i][1], NULL));
    for (int i = 0; i < UPSTREAM_COUNTERS; i++)
        (void)upstream_counter(i); /* there from the start, though nobody was sent anything */
    (void)upstream_open();
    char thread[12];
    (void)snprintf(thread, sizeof thread, "%d", loop->index);
    stats->open = METRIC_CHILD(metric_gauge("madang_gateway_connections", "Open client connections", "thread"), thread);
    stats->in_flight =
        METRIC_CHILD(metric_gauge("madang_gateway_in_flight", "Requests being answered", "thread"), thread);
}

void loop_stats_close(struct loop *loop)
{
    struct loop_stats *stats = TAKE(loop->stats);
    if (!stats)
        return;
    (void)pthread_mutex_destroy(&stats->lock);
    free(stats->seen);
    free(stats);
}

void loop_stats_add(struct loop *loop, enum loop_stat stat)
{
    loop->stats->counts[stat]++;
}

/* ---- of routes ---- */

void stats_open(struct loop_routes *routes)
{
    struct metric *requests = metric_counter("madang_gateway_requests_total", "Requests by route and class of status",
                                             "route,service,status");
    struct metric *seconds = metric_histogram("madang_gateway_request_seconds",
                                              "From the head of a request to the end of its answer", "route");
    routes->stats = mem_new((size_t)routes->routes->count, sizeof *routes->stats);
    for (int i = 0; i < routes->routes->count; i++) {
        const struct path_route *route = &routes->routes->list[i];
        struct route_stats *stats = &routes->stats[i];
        stats->seconds = METRIC_CHILD(seconds, route->prefix);
        for (int class = 0; class <= CLASSES; class ++)
            stats->requests[class] = METRIC_CHILD(requests, route->prefix, route->service, CLASS_NAMES[class]);
    }
}

static void publish_routes(struct loop_routes *routes)
{
    for (int i = 0; i < routes->routes->count; i++)
        for (int class = 0; class <= CLASSES; class ++) {
            uint64_t *count = &routes->stats[i].by_class[class];
            if (*count)
                metric_add(routes->stats[i].requests[class], (int64_t)*count);
            *count = 0;
        }
}

void stats_close(struct loop_routes *routes)
{
    publish_routes(routes);
    free(routes->stats);
    routes->stats = NULL;
}

void stats_count(const struct exchange *x, int64_t took_us)
{
    if (!x->route)
        return;
    struct route_stats *stats = &x->table->stats[x->route->index];
    stats->by_class[x->status >= 100 && x->status < 600 ? x->status / 100 : 0]++;
    if (!x->tunnel && !x->streaming)
        metric_observe_us(stats->seconds, took_us);
}

/* ---- once a second ---- */

void stats_forget(struct upstream *upstream)
{
    publish_breaker(upstream, 0);
}

static int breaker_index(const struct upstream *upstream, int64_t now_ms)
{
    const char *name = breaker_name(&upstream->breaker, now_ms);
    for (size_t i = 0; i < ARRAY_LENGTH(BREAKERS); i++)
        if (strcmp(BREAKERS[i], name) == 0)
            return (int)i;
    return 0;
}

static void see(struct loop *loop, const struct upstream *upstream, struct seen_instance *seen)
{
    const struct registry_entry *entry = &upstream->instance.entry;
    memcpy(seen->service, entry->service, sizeof seen->service);
    memcpy(seen->instance, entry->instance, sizeof seen->instance);
    seen->epoch = entry->epoch;
    seen->breaker = breaker_index(upstream, loop->now_ms);
    seen->view = (struct instance_view){.in_flight = upstream->in_flight,
                                        .connections = upstream->connections,
                                        .requests = (int64_t)upstream->requests,
                                        .failures = (int64_t)upstream->failures,
                                        .errors = (int64_t)upstream->errors,
                                        .answers = (int64_t)upstream->answers,
                                        .latency_us = upstream->latency_us};
}

void stats_publish(struct loop *loop)
{
    struct loop_stats *stats = loop->stats;
    for (size_t i = 0; i < LOOP_STAT_COUNT; i++) {
        if (stats->counts[i])
            metric_add(stats->metrics[i], (int64_t)stats->counts[i]);
        stats->counts[i] = 0;
    }
    metric_set(stats->open, loop->client_count);
    metric_set(stats->in_flight, loop->in_flight);
    publish_routes(loop->routes);
    size_t count = 0;
    for (struct fleet *fleet = loop->fleets; fleet; fleet = fleet->next)
        count += (size_t)fleet->count;
    (void)pthread_mutex_lock(&stats->lock);
    stats->seen = mem_grow(stats->seen, count, sizeof *stats->seen);
    stats->seen_count = 0;
    for (struct fleet *fleet = loop->fleets; fleet; fleet = fleet->next)
        for (int i = 0; i < fleet->count; i++) {
            struct seen_instance *seen = &stats->seen[stats->seen_count++];
            see(loop, fleet->members[i], seen);
            publish_upstream(fleet->members[i]);
            publish_breaker(fleet->members[i], seen->breaker);
        }
    (void)pthread_mutex_unlock(&stats->lock);
}

void stats_view(struct gateway *gateway, const struct registry_entry *entry, struct instance_view *out)
{
    *out = (struct instance_view){0};
    int worst = 0;
    double weighed_us = 0; /* each loop's mean by its answers */
    for (int i = 0; i < gateway->loop_count; i++) {
        struct loop_stats *stats = gateway->loops[i]->stats;
        (void)pthread_mutex_lock(&stats->lock);
        for (size_t k = 0; k < stats->seen_count; k++) {
            const struct seen_instance *seen = &stats->seen[k];
            if (strcmp(seen->service, entry->service) != 0 || strcmp(seen->instance, entry->instance) != 0 ||
                seen->epoch != entry->epoch)
                continue;
            out->threads++;
            out->in_flight += seen->view.in_flight;
            out->connections += seen->view.connections;
            out->requests += seen->view.requests;
            out->failures += seen->view.failures;
            out->errors += seen->view.errors;
            out->answers += seen->view.answers;
            weighed_us += (double)seen->view.latency_us * (double)seen->view.answers;
            if (seen->breaker > worst)
                worst = seen->breaker;
        }
        (void)pthread_mutex_unlock(&stats->lock);
    }
    out->latency_us = out->answers ? (int64_t)(weighed_us / (double)out->answers) : 0;
    out->breaker = BREAKERS[worst];
}
