#include "exchange.h"

#include "accesslog.h"
#include "cache.h"
#include "clock.h"
#include "docs.h"
#include "log.h"
#include "mem.h"
#include "problems.h"
#include "stats.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

enum { SPARE_EXCHANGES = 256 };

/* ---- its life ---- */

struct exchange *exchange_new(struct client *client)
{
    struct loop *loop = client->loop;
    struct exchange *x = loop->free_exchanges;
    if (x) {
        loop->free_exchanges = x->next;
        loop->free_exchange_count--;
        memset(x, 0, sizeof *x);
    } else {
        x = MEM_NEW(exchange);
    }
    x->loop = loop;
    x->client = client;
    x->table = loop_routes_share(loop);
    x->started_us = loop->now_us;
    x->replayable = true;
    client->exchange = x;
    return x;
}

static void exchange_free(struct exchange *x)
{
    struct loop *loop = x->loop;
    loop_routes_done(x->table);
    buffer_give(&loop->buffers, &x->request);
    if (!GATEWAY_REUSES || loop->free_exchange_count >= SPARE_EXCHANGES) {
        free(x);
        return;
    }
    x->next = loop->free_exchanges;
    loop->free_exchanges = x;
    loop->free_exchange_count++;
}

void exchange_pool_free(struct loop *loop)
{
    while (loop->free_exchanges) {
        struct exchange *x = loop->free_exchanges;
        loop->free_exchanges = x->next;
        free(x);
    }
}

/* The upstream has one fewer of us in flight. */
static void leave_upstream(struct exchange *x)
{
    struct upstream *upstream = TAKE(x->upstream);
    if (!upstream)
        return;
    if (x->trial)
        upstream->breaker.trying = false;
    x->trial = false;
    upstream->in_flight--;
    upstream_check(upstream);
}

static void drop_channel(struct exchange *x)
{
    struct channel *channel = TAKE(x->channel);
    if (channel)
        channel_close(channel);
    leave_upstream(x);
}

void exchange_becomes_stream(struct exchange *x)
{
    exchange_uncount(x);
    atomic_fetch_add(&x->loop->gateway->streams, 1);
}

void exchange_uncount(struct exchange *x)
{
    if (x->counted)
        x->loop->in_flight--;
    x->counted = false;
}

static void add_span(const struct exchange *x, int64_t took_us)
{
    char traceparent[TRACE_PARENT_BYTES], name[128], status[12];
    if (!trace_wants_flags(x->trace_flags))
        return;
    (void)snprintf(traceparent, sizeof traceparent, "00-%.32s-%.16s-%.2s", x->trace_id, x->span, x->trace_flags);
    (void)snprintf(name, sizeof name, "gateway %s", x->route ? x->route->prefix : "none");
    (void)snprintf(status, sizeof status, "%d", x->status);
    trace_add(&(struct trace_span){.name = name,
                                   .kind = TRACE_SERVER,
                                   .traceparent = traceparent,
                                   .parent = *x->parent_span ? x->parent_span : NULL,
                                   .start_us = clock_now_us() - took_us,
                                   .took_us = took_us,
                                   .failed = x->status >= 500,
                                   .attributes = {{"http.response.status_code", status},
                                                  {"request.id", x->request_id},
                                                  {"madang.instance", x->instance}}});
}

/* Everything that it holds but its memory. */
static void let_go(struct exchange *x)
{
    drop_channel(x);
    cache_leave(x);
    docs_leave(x);
    exchange_uncount(x);
    if (x->stream_held)
        limits_leave(x->loop->gateway->limits, x->stream_key);
    if (x->tunnel || x->streaming)
        atomic_fetch_sub(&x->loop->gateway->streams, 1);
    const int64_t took_us = (x->answer_us ? x->answer_us : clock_monotonic_us()) - x->started_us;
    stats_count(x, took_us);
    accesslog_line(x, took_us);
    add_span(x, took_us);
    x->client->exchange = NULL;
}

void exchange_finish(struct exchange *x)
{
    struct client *client = x->client;
    let_go(x);
    if (!x->keep_alive || client->loop->finishing)
        client->close_after = true;
    exchange_free(x);
    client_arm(client);
}

void exchange_cancel(struct exchange *x)
{
    if (!x->status)
        x->status = 499; /* for the log: nobody was there to answer */
    if (!x->tunnel && !x->streaming && !x->truncated)
        loop_stats_add(x->loop, STAT_CANCELLED);
    let_go(x);
    exchange_free(x);
}

/* The service's answer is complete: its connection can serve others. */
void exchange_complete(struct exchange *x, bool reusable)
{
    struct channel *channel = x->channel;
    if (reusable && x->request_done && buffer_length(x->request) == x->sent && !channel->in) {
        x->channel = NULL;
        channel_keep(channel);
    }
    if (!x->request_done)
        x->keep_alive = false; /* the rest of the body is of no use */
    exchange_finish(x);
}

/* ---- an instance ---- */

static void join_upstream(struct exchange *x, struct upstream *upstream)
{
    x->upstream = upstream;
    upstream->in_flight++;
    upstream->requests++;
    x->joined_us = x->loop->now_us;
    x->trial = upstream->breaker.open_until_ms != 0;
    if (x->trial)
        upstream->breaker.trying = true;
    memcpy(x->instance, upstream->instance.entry.instance, sizeof x->instance);
}

static void refuse_unavailable(struct exchange *x)
{
    struct err err;
    err_set_retry(&err, &ERR_UNAVAILABLE, 1, "no instance of %s can be reached", x->route->service);
    exchange_refuse(x, &err);
}

void exchange_connect(struct exchange *x)
{
    struct loop *loop = x->loop;
    struct fleet *fleet = x->table->fleets[x->route->index];
    for (;;) {
        struct upstream *upstream = fleet_pick(loop, fleet, x->avoid);
        bool again = x->tries && upstream == x->avoid; /* the one that failed, for want of another */
        if (!upstream || x->tries >= TRIES_MAX || (again && x->failure == FAILED_CONNECT)) {
            refuse_unavailable(x);
            return;
        }
        if (x->tries++)
            loop_stats_add(loop, STAT_RETRIES);
        join_upstream(x, upstream);
        struct channel *channel = channel_open(loop, upstream, again);
        if (channel) {
            x->channel = channel;
            channel->exchange = x;
            loop_send(loop, channel);
            return;
        }
        breaker_failure(&upstream->breaker, loop->now_ms);
        upstream->failures++;
        x->avoid = upstream;
        x->failure = FAILED_CONNECT;
        leave_upstream(x);
    }
}

/* ---- failures ---- */

static void report(struct exchange *x, enum failure failure)
{
    static const char *const WORDS[] = {[FAILED_CONNECT] = "connect",
                                        [FAILED_LOST] = "lost",
                                        [FAILED_TIMEOUT] = "timeout",
                                        [FAILED_RESPONSE] = "bad_response"};
    struct upstream *upstream = x->upstream;
    if (failure == FAILED_UNTOUCHED)
        return; /* an idle connection that ended: nobody's fault */
    upstream->failures++;
    breaker_failure(&upstream->breaker, x->loop->now_ms);
    if (upstream->breaker.failures <= BREAKER_FAILURES) /* more say nothing new */
        log_event(LOG_WARN, "upstream_failed", LOG_TEXT("madang.service", upstream->instance.entry.service),
                  LOG_TEXT("madang.upstream", upstream->instance.entry.instance), LOG_TEXT("reason", WORDS[failure]),
                  LOG_TEXT("http.request.id", x->request_id));
}

static bool may_try_again(const struct exchange *x, enum failure failure)
{
    if (!x->replayable || x->tries >= TRIES_MAX)
        return false;
    if (failure == FAILED_CONNECT || failure == FAILED_UNTOUCHED)
        return true;
    return failure == FAILED_LOST && x->idempotent && !x->losses;
}

static void refuse_failure(struct exchange *x, enum failure failure)
{
    bool safe = x->method == HTTP1_GET || x->method == HTTP1_HEAD || x->method == HTTP1_OPTIONS;
    struct err err;
    switch (failure) {
    case FAILED_CONNECT:
    case FAILED_UNTOUCHED:
        refuse_unavailable(x);
        return;
    case FAILED_TIMEOUT:
        err_set(&err, &ERR_UPSTREAM_TIMEOUT, "%s did not answer in time", x->route->service);
        break;
    case FAILED_RESPONSE:
        err_set(&err, &ERR_BAD_GATEWAY, "the answer of %s is not valid HTTP", x->route->service);
        break;
    case FAILED_LOST:
        if (safe)
            err_set(&err, &ERR_BAD_GATEWAY, "%s was lost before it answered", x->route->service);
        else
            err_set(&err, &ERR_OUTCOME_UNKNOWN, "%s was lost before it answered: look before you repeat",
                    x->route->service);
        break;
    }
    exchange_refuse(x, &err);
}

/* Too late to say anything: the client sees an answer that ends early. */
static void cut_off(struct exchange *x)
{
    x->truncated = true;
    x->keep_alive = false;
    loop_stats_add(x->loop, STAT_TRUNCATED);
    x->client->broken = true;
}

void exchange_failed(struct exchange *x, enum failure failure)
{
    report(x, failure);
    if (x->response_started) {
        drop_channel(x);
        cut_off(x);
        return;
    }
    x->avoid = x->upstream;
    x->failure = failure;
    drop_channel(x);
    if (!may_try_again(x, failure)) {
        refuse_failure(x, failure);
        return;
    }
    x->losses += failure == FAILED_LOST;
    x->sent = 0;
    x->informational = 0;
    exchange_connect(x);
}

void exchange_late(struct exchange *x)
{
    struct channel *channel = x->channel;
    bool waits_for_client = x->client->out || (!x->request_done && buffer_length(x->request) == x->sent);
    if (channel->connecting) {
        exchange_failed(x, FAILED_CONNECT);
    } else if (x->tunnel || x->streaming) {
        x->client->broken = true; /* nothing for so long: the other side has forgotten it */
    } else if (waits_for_client) {
        timer_set(&x->loop->wheel, &channel->timer, x->loop->now_ms + x->route->timeout_ms);
    } else {
        exchange_failed(x, FAILED_TIMEOUT);
    }
}

/* The connection to the instance has ended, before or within the answer. */
void exchange_channel_ended(struct exchange *x, bool clean)
{
    if (x->tunnel || (x->response_started && x->response_body.kind == HTTP1_BODY_CLOSE && clean)) {
        exchange_end_close_delimited(x);
        return;
    }
    bool untouched =
        clean && !x->response_started && !x->channel->in && x->replayable && channel_untouched(x->channel, x->sent);
    exchange_failed(x, untouched ? FAILED_UNTOUCHED : FAILED_LOST);
}

void exchange_client_ended(struct exchange *x)
{
    if (!x->request_done || x->tunnel || x->streaming) {
        x->client->broken = true;
        return;
    }
    if (!x->client->timer.deadline_ms) /* it may have finished sending and still listen: a short while */
        client_arm(x->client);
}
