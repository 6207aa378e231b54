/* trace.h - spans for an OpenTelemetry collector: what a request cost in each daemon that it touched.
 *
 * By setting (OTLP_URL, "http://collector:4318/v1/traces"); without it nothing is kept. Whether a trace is sampled is
 * decided where it begins (the gateway's TRACE_PERCENT, or the client's own traceparent) and travels in its flags (W3C
 * Trace Context), through HTTP and Kafka headers. Spans are copied into a bounded list; a thread sends them once a
 * second as OTLP/HTTP JSON (opentelemetry-proto 1.x). A collector that is away costs spans (counted), never requests.
 * Units: microseconds of the Unix clock. Threads: all functions are thread-safe. One per process. */
#ifndef MADANG_TRACE_H
#define MADANG_TRACE_H

#include "errors.h"

#include <stdint.h>

enum trace_kind { TRACE_SERVER = 2, TRACE_CONSUMER = 5 }; /* of opentelemetry.proto.trace.v1.Span.SpanKind */

enum { TRACE_PARENT_BYTES = 56, TRACE_ATTRIBUTES_MAX = 4 };

struct trace_span {
    const char *name; /* low in number: "GET /api/users/:id", "chat.inbound apply" */
    enum trace_kind kind;
    const char *traceparent; /* 00-<trace>-<this span>-<flags> */
    const char *parent;      /* the parent's span id (16 hex), or NULL: the trace begins here */
    int64_t start_us, took_us;
    bool failed;
    struct {
        const char *name, *value;       /* no secrets, no personal data */
    } attributes[TRACE_ATTRIBUTES_MAX]; /* name NULL ends them */
};

/* url "": every other function does nothing. */
bool trace_open(const char *service, const char *instance, const char *url, struct err *err);
void trace_close(void); /* sends what there is, up to 2 s */
/* False: trace_wants says no to all. */
bool trace_is_exported(void);
/* Spans of this trace are wanted here: ask before making one. */
bool trace_wants(const char *traceparent);
bool trace_wants_flags(const char *flags); /* the same, for whoever has no text of it yet: its last two digits */
void trace_add(const struct trace_span *span);
/* A child of `traceparent` in the same trace, with a new span id; `out` has room for TRACE_PARENT_BYTES. */
void trace_child(const char *traceparent, char out[TRACE_PARENT_BYTES]);

#endif
