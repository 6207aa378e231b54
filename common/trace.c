#include "trace.h"

#include "arena.h"
#include "clock.h"
#include "httpclient.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    SPANS_MAX = 4096, /* that wait for the collector */
    SEND_AT_ONCE = 512,
    EVERY_MS = 1000,
    CALL_MS = 2000,
    ARENA_BYTES = 1 << 20,
    TEXT_BYTES = 96, /* of names and values; longer ones are cut */
};

struct kept {
    enum trace_kind kind;
    char traceparent[TRACE_PARENT_BYTES], parent[17], name[TEXT_BYTES];
    char attributes[TRACE_ATTRIBUTES_MAX][2][TEXT_BYTES];
    int64_t start_us, took_us;
    bool failed;
};

static struct {
    atomic_bool on;
    char *service, *instance, *url;
    struct httpclient *client;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t news;
    bool stop;
    struct kept *spans; /* a ring */
    size_t first, count;
    struct metric_child *sent, *dropped;
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

/* ---- keeping ---- */

/* The lowest bit of two hexadecimal digits: "sampled". */
static bool is_sampled(const char *flags)
{
    const char digit = flags[1];
    return digit <= '9' ? digit & 1 : !(digit & 1); /* 'a' is odd, ten is not */
}

bool trace_is_exported(void)
{
    return atomic_load_explicit(&trace.on, memory_order_acquire);
}

bool trace_wants_flags(const char *flags)
{
    return trace_is_exported() && is_sampled(flags);
}

bool trace_wants(const char *traceparent)
{
    return traceparent && strlen(traceparent) == TRACE_PARENT_BYTES - 1 &&
           trace_wants_flags(traceparent + TRACE_PARENT_BYTES - 3);
}

static void copy_text(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text ? text : "");
}

void trace_add(const struct trace_span *span)
{
    if (!trace_wants(span->traceparent))
        return;
    pthread_mutex_lock(&trace.lock);
    if (trace.count == SPANS_MAX) {
        metric_add(trace.dropped, 1);
        pthread_mutex_unlock(&trace.lock);
        return;
    }
    struct kept *kept = &trace.spans[(trace.first + trace.count++) % SPANS_MAX];
    kept->kind = span->kind;
    kept->start_us = span->start_us;
    kept->took_us = span->took_us;
    kept->failed = span->failed;
    copy_text(kept->traceparent, sizeof kept->traceparent, span->traceparent);
    copy_text(kept->parent, sizeof kept->parent, span->parent);
    copy_text(kept->name, sizeof kept->name, span->name);
    for (size_t i = 0; i < TRACE_ATTRIBUTES_MAX; i++) {
        copy_text(kept->attributes[i][0], TEXT_BYTES, span->attributes[i].name);
        copy_text(kept->attributes[i][1], TEXT_BYTES, span->attributes[i].value);
        if (!span->attributes[i].name)
            break;
    }
    if (trace.count == SEND_AT_ONCE)
        pthread_cond_signal(&trace.news);
    pthread_mutex_unlock(&trace.lock);
}

void trace_child(const char *traceparent, char out[TRACE_PARENT_BYTES])
{
    uint64_t id = 0;
    (void)!getrandom(&id, sizeof id, 0);
    (void)snprintf(out, TRACE_PARENT_BYTES, "%.36s%016llx%.3s", traceparent, (unsigned long long)(id | 1),
                   traceparent + 52);
}

/* ---- sending ---- */

static void print_attribute(struct str *out, const char *name, const char *value)
{
    json_open(out, NULL, '{');
    json_text(out, "key", name);
    json_open(out, "value", '{');
    json_text(out, "stringValue", value);
    json_close(out, '}');
    json_close(out, '}');
}

/* Nanoseconds are strings: 64-bit numbers of protobuf are, in JSON. */
static void print_nanoseconds(struct str *out, const char *name, int64_t us)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld000", (long long)us);
    json_text(out, name, text);
}

static void print_span(struct str *out, const struct kept *span)
{
    char id[33];
    json_open(out, NULL, '{');
    (void)snprintf(id, sizeof id, "%.32s", span->traceparent + 3);
    json_text(out, "traceId", id);
    (void)snprintf(id, sizeof id, "%.16s", span->traceparent + 36);
    json_text(out, "spanId", id);
    if (*span->parent)
        json_text(out, "parentSpanId", span->parent);
    json_text(out, "name", span->name);
    json_i64(out, "kind", span->kind);
    print_nanoseconds(out, "startTimeUnixNano", span->start_us);
    print_nanoseconds(out, "endTimeUnixNano", span->start_us + span->took_us);
    json_open(out, "attributes", '[');
    for (size_t i = 0; i < TRACE_ATTRIBUTES_MAX && *span->attributes[i][0]; i++)
        print_attribute(out, span->attributes[i][0], span->attributes[i][1]);
    json_close(out, ']');
    if (span->failed) {
        json_open(out, "status", '{');
        json_i64(out, "code", 2);
        json_close(out, '}');
    }
    json_close(out, '}');
}

static void print_all(struct str *out, const struct kept *spans, size_t count)
{
    json_open(out, NULL, '{');
    json_open(out, "resourceSpans", '[');
    json_open(out, NULL, '{');
    json_open(out, "resource", '{');
    json_open(out, "attributes", '[');
    print_attribute(out, "service.name", trace.service);
    print_attribute(out, "service.version", VERSION);
    print_attribute(out, "service.instance.id", trace.instance);
    json_close(out, ']');
    json_close(out, '}');
    json_open(out, "scopeSpans", '[');
    json_open(out, NULL, '{');
    json_open(out, "scope", '{');
    json_text(out, "name", "madang");
    json_close(out, '}');
    json_open(out, "spans", '[');
    for (size_t i = 0; i < count; i++)
        print_span(out, &spans[i]);
    json_close(out, ']');
    json_close(out, '}');
    json_close(out, ']');
    json_close(out, '}');
    json_close(out, ']');
    json_close(out, '}');
}

static bool send_spans(const struct kept *spans, size_t count)
{
    static const char *const HEADERS[] = {"Content-Type: application/json", NULL};
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    AUTO_STR body;
    str_init(&body);
    print_all(&body, spans, count);
    const struct http_call call = {.method = "POST",
                                   .url = trace.url,
                                   .headers = HEADERS,
                                   .body = {body.bytes, body.length},
                                   .timeout_ms = CALL_MS};
    struct http_answer answer;
    struct err err = {0};
    return httpclient_call(trace.client, arena, &call, &answer, &err) && answer.status >= 200 && answer.status < 300;
}

/* Takes what waits, as far as one call goes. */
static size_t take(struct kept *out)
{
    size_t count = trace.count < SEND_AT_ONCE ? trace.count : SEND_AT_ONCE;
    for (size_t i = 0; i < count; i++)
        out[i] = trace.spans[(trace.first + i) % SPANS_MAX];
    trace.first = (trace.first + count) % SPANS_MAX;
    trace.count -= count;
    return count;
}

static void wait_for_spans(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += EVERY_MS / 1000;
    while (!trace.stop && trace.count < SEND_AT_ONCE)
        if (pthread_cond_timedwait(&trace.news, &trace.lock, &until) != 0)
            break;
}

static bool stopped(void)
{
    pthread_mutex_lock(&trace.lock);
    const bool stop = trace.stop;
    pthread_mutex_unlock(&trace.lock);
    return stop;
}

static void *run(void *payload)
{
    AUTO_FREE struct kept *spans = mem_new(SEND_AT_ONCE, sizeof *spans);
    (void)payload;
    for (bool last = false; !last;) {
        pthread_mutex_lock(&trace.lock);
        wait_for_spans();
        const size_t count = take(spans);
        last = trace.stop && !trace.count;
        pthread_mutex_unlock(&trace.lock);
        const bool ok = !count || send_spans(spans, count);
        metric_add(ok ? trace.sent : trace.dropped, (int64_t)count);
        if (!ok) /* at the end a collector that is away is not waited for */
            last = stopped();
    }
    return NULL;
}

/* ---- opening and closing ---- */

bool trace_open(const char *service, const char *instance, const char *url, struct err *err)
{
    if (!*url)
        return true;
    struct metric *spans = metric_counter("madang_trace_spans_total", "Spans by what became of them", "result");
    trace.sent = METRIC_CHILD(spans, "sent");
    trace.dropped = METRIC_CHILD(spans, "dropped");
    trace.client = httpclient_open(&(struct httpclient_options){.allow_http = true, .timeout_ms = CALL_MS}, err);
    if (!trace.client)
        return false;
    trace.service = mem_text(service);
    trace.instance = mem_text(instance);
    trace.url = mem_text(url);
    trace.spans = mem_new(SPANS_MAX, sizeof *trace.spans);
    trace.stop = false;
    if (pthread_create(&trace.thread, NULL, run, NULL) != 0)
        return err_set_internal(err, &ERR_INTERNAL, "no thread for traces");
    atomic_store_explicit(&trace.on, true, memory_order_release);
    return true;
}

void trace_close(void)
{
    if (!atomic_exchange(&trace.on, false))
        return;
    pthread_mutex_lock(&trace.lock);
    trace.stop = true;
    pthread_cond_signal(&trace.news);
    pthread_mutex_unlock(&trace.lock);
    (void)pthread_join(trace.thread, NULL);
    httpclient_release(&trace.client);
    free(trace.service);
    free(trace.instance);
    free(trace.url);
    free(trace.spans);
    trace.spans = NULL;
    trace.first = trace.count = 0;
}
