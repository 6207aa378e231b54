/* The answer's way: from the channel's bytes to the client. exchange.h has the contract. */
#include "cache.h"
#include "clock.h"
#include "exchange.h"
#include "forward.h"
#include "stats.h"
#include "tunnel.h"

#include <stdio.h>

enum { INFORMATIONAL_MAX = 8, CHUNK_LINE_BYTES = 12 };

/* How the body comes, and how it goes on. */
static void choose_framing(struct exchange *x, const struct http1_response *response)
{
    bool none = x->method == HTTP1_HEAD || response->status == 204 || response->status == 304;
    if (none)
        http1_body_start(&x->response_body, HTTP1_BODY_NONE, 0);
    else if (response->chunked)
        http1_body_start(&x->response_body, HTTP1_BODY_CHUNKED, 0);
    else if (response->content_length >= 0)
        http1_body_start(&x->response_body, HTTP1_BODY_LENGTH, response->content_length);
    else
        http1_body_start(&x->response_body, HTTP1_BODY_CLOSE, 0);
    x->chunk_response = !none && response->content_length < 0 && !x->http10;
    if (x->http10 && !none && response->content_length < 0)
        x->keep_alive = false;
}

static bool is_event_stream(const struct http1_response *response)
{
    static const char TYPE[] = "text/event-stream";
    const struct http1_header *type = http1_header(&response->headers, HEADER_CONTENT_TYPE);
    return type && type->value.length >= sizeof TYPE - 1 &&
           view_equals_nocase((struct view){type->value.bytes, sizeof TYPE - 1}, view_of(TYPE));
}

/* How long the instance thought: a mean over the last requests, the first of them as it is. */
static void note_latency(const struct exchange *x)
{
    struct upstream *upstream = x->upstream;
    const int64_t took_us = x->answer_us - x->joined_us;
    upstream->latency_us += (took_us - upstream->latency_us) /
                            (upstream->answers < LATENCY_OVER ? (int64_t)upstream->answers + 1 : LATENCY_OVER);
    upstream->answers++;
}

/* The final head is there. */
static void start_response(struct exchange *x, struct writer *out)
{
    const struct http1_response *response = &x->loop->response;
    struct upstream *upstream = x->upstream;
    breaker_success(&upstream->breaker);
    x->trial = false;
    x->answer_us = clock_monotonic_us();
    note_latency(x);
    if (response->status >= 500)
        upstream->errors++;
    x->response_started = true;
    x->status = response->status;
    x->replayable = false;
    if (!x->request_done || atomic_load_explicit(&x->loop->gateway->draining, memory_order_relaxed))
        x->keep_alive = false;
    choose_framing(x, response);
    x->channel_reusable = response->keep_alive;
    if (x->route->stream || is_event_stream(response)) {
        x->streaming = !http1_body_done(&x->response_body);
        if (x->streaming)
            exchange_becomes_stream(x);
    }
    if (!x->streaming && x->stream_held && !x->tunnel) { /* refused by the service: no stream is open */
        limits_leave(x->loop->gateway->limits, x->stream_key);
        x->stream_held = false;
    }
    cache_take_head(x, response);
    forward_response(x, out);
}

/* Switches to a tunnel when both sides agreed to. False: it was not asked for. */
static bool start_tunnel(struct exchange *x, struct view early)
{
    struct loop *loop = x->loop;
    if (!x->websocket || !loop->response.websocket)
        return false;
    struct writer out = {loop->out, loop->out + sizeof loop->out, false};
    breaker_success(&x->upstream->breaker);
    x->trial = false;
    x->response_started = true;
    x->status = 101;
    x->tunnel = true;
    forward_response(x, &out);
    client_send(x->client, loop->out, (size_t)(out.at - loop->out));
    tunnel_begin(x, early);
    return true;
}

/* Reads heads off `in` until the final one. False: more bytes are needed, or x took another way. */
static bool take_head(struct exchange *x, struct view *in, struct writer *out)
{
    struct loop *loop = x->loop;
    while (!x->response_started) {
        enum http1_fault fault;
        enum http1_result result = http1_parse_response(in->bytes, in->length, &loop->response, &fault);
        if (result == HTTP1_MORE) {
            if (in->length)
                buffer_add(&loop->buffers, &x->channel->in, in->bytes, in->length);
            return false;
        }
        int status = loop->response.status;
        if (result == HTTP1_DONE)
            *in = (struct view){in->bytes + loop->response.head_length, in->length - loop->response.head_length};
        if (result == HTTP1_DONE && status == 101 && start_tunnel(x, *in))
            return false;
        if (result == HTTP1_BAD || status == 101 || (status < 200 && ++x->informational > INFORMATIONAL_MAX)) {
            exchange_failed(x, FAILED_RESPONSE);
            return false;
        }
        if (status >= 200)
            start_response(x, out);
    }
    return true;
}

/* The size line of a chunk goes right before its content; what stands before moves up to it. */
static char *wrap_chunk(char *start, char *content, size_t gap, size_t length)
{
    char line[CHUNK_LINE_BYTES];
    size_t size = (size_t)snprintf(line, sizeof line, "%zx\r\n", length);
    size_t before = (size_t)(content - start) - gap;
    memmove(start + gap - size, start, before);
    memcpy(content - size, line, size);
    return start + gap - size;
}

/* Decodes what is there and writes it in the client's framing. HTTP1_BAD: not valid. */
static enum http1_result take_content(struct exchange *x, struct view *in, struct writer *out, char **start)
{
    enum http1_result result = HTTP1_MORE;
    size_t gap = x->chunk_response ? CHUNK_LINE_BYTES : 0;
    char *content = out->at += gap;
    while (result == HTTP1_MORE && (in->length || http1_body_done(&x->response_body))) {
        struct view data;
        enum http1_fault fault;
        result = http1_body_next(&x->response_body, in, &data, &fault);
        if (result == HTTP1_BAD)
            return result;
        write_view(out, data);
    }
    size_t length = (size_t)(out->at - content);
    x->bytes_out += (int64_t)length;
    cache_take_body(x, (struct view){content, length});
    if (gap && length) {
        *start = wrap_chunk(*start, content, gap, length);
        WRITE_LITERAL(out, "\r\n");
    } else if (gap) {
        out->at -= gap;
    }
    if (result == HTTP1_DONE && x->chunk_response)
        WRITE_LITERAL(out, "0\r\n\r\n");
    return result;
}

static void arm_channel(struct exchange *x)
{
    struct loop *loop = x->loop;
    int64_t wait_ms = x->streaming ? loop->gateway->config->tunnel_idle_ms : x->route->timeout_ms;
    timer_set(&loop->wheel, &x->channel->timer, loop->now_ms + wait_ms);
}

/* One read's bytes. */
static void take_bytes(struct exchange *x, struct view in)
{
    struct loop *loop = x->loop;
    struct writer out = {loop->out, loop->out + sizeof loop->out, false};
    char *start = loop->out;
    if (!x->response_started && !take_head(x, &in, &out))
        return;
    enum http1_result result = take_content(x, &in, &out, &start);
    if (result == HTTP1_BAD) {
        exchange_failed(x, FAILED_RESPONSE);
        return;
    }
    if (result == HTTP1_DONE) {
        client_send_last(x->client, start, (size_t)(out.at - start));
        cache_complete(x);
        exchange_complete(x, x->channel_reusable && !in.length);
    } else {
        x->answer_us = 0;
        client_send(x->client, start, (size_t)(out.at - start));
        arm_channel(x);
    }
}

void exchange_relay(struct exchange *x)
{
    struct client *client = x->client;
    struct channel *channel = x->channel;
    struct loop *loop = x->loop;
    if (x->tunnel) {
        tunnel_from_channel(x);
        return;
    }
    for (int portions = 0; client->exchange == x && x->channel == channel && !x->tunnel && channel->readable &&
                           !client->out && !client->broken;
         portions++) {
        if (portions == PORTIONS_PER_TURN) {
            client_queue(client);
            return;
        }
        size_t have = buffer_length(channel->in);
        if (have) {
            memcpy(loop->in, channel->in->bytes + channel->in->start, have);
            buffer_give(&loop->buffers, &channel->in);
        }
        long n = channel_read(channel, loop->in + have, LOOP_READ_BYTES);
        if (n > 0) {
            take_bytes(x, (struct view){loop->in, have + (size_t)n});
            continue;
        }
        if (have)
            buffer_add(&loop->buffers, &channel->in, loop->in, have);
        if (n == -1)
            return;
        exchange_channel_ended(x, n == 0);
        return;
    }
}

/* The end of the connection is the end of the answer. */
void exchange_end_close_delimited(struct exchange *x)
{
    if (x->tunnel) {
        tunnel_end(x);
        return;
    }
    if (x->chunk_response)
        client_send(x->client, "0\r\n\r\n", 5);
    cache_complete(x);
    exchange_complete(x, false);
}
