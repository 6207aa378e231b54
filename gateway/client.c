#include "client.h"

#include "exchange.h"
#include "mem.h"
#include "stats.h"
#include "sys.h"
#include "tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    REQUESTS_PER_TURN = 16, /* of one connection that has more of them ready, before others have their turn */
    LINGER_MS = 2000,       /* bytes that follow a refusal are thrown away this long, */
    LINGER_BYTES = 1 << 20, /* and at most so many */
    TOGETHER_BYTES = 4096,  /* what is larger is not copied to leave with others */
    HALF_CLOSED_MS = 1000,  /* a client that has finished sending still gets an answer that comes this soon */
};

static void on_event(struct source *source, uint32_t events);
static void on_timer(struct timer *timer);

/* ---- its life ---- */

void client_accept(struct loop *loop, int fd, const struct sockaddr_storage *from)
{
    struct gateway *gateway = loop->gateway;
    struct client *client = MEM_NEW(client);
    client->source.on_event = on_event;
    client->timer.fire = on_timer;
    client->fd = fd;
    client->loop = loop;
    client->accepted_ms = loop->now_ms;
    client->next = loop->clients;
    if (loop->clients)
        loop->clients->previous = client;
    loop->clients = client;
    bool known = address_of(from, &client->address);
    address_print(&client->address, client->address_text);
    client->address_key = limits_key(gateway->limits, LIMIT_CONNECTIONS, 0, address_owner(&client->address));
    client->rate_key = limits_key(gateway->limits, LIMIT_ADDRESS, 0, address_owner(&client->address));
    client->counted = !gateway->bench && !networks_have(&gateway->trusted, &client->address);
    if (client->counted &&
        !limits_enter(gateway->limits, client->address_key, gateway->config->connections_per_address)) {
        client->counted = false;
        known = false;
        loop_stats_add(loop, STAT_CONNECTIONS_REFUSED);
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (gateway->tls) {
        client->state = CLIENT_HANDSHAKE;
        client->tls = tls_accept(gateway->tls, fd);
        known = known && client->tls;
    } else {
        client->state = CLIENT_OPEN;
    }
    if (!known || !loop_watch(loop, fd, &client->source)) {
        client_close(client);
        return;
    }
    loop_stats_add(loop, STAT_CONNECTIONS);
    client_arm(client);
}

/* Its memory goes at the end of this round; the queue may last longer. */
static void leave_queue(struct client *client)
{
    struct client **at = &client->loop->ready;
    while (client->queued && *at && *at != client)
        at = &(*at)->next_ready;
    if (!client->queued || !*at)
        return;
    *at = client->next_ready;
    if (!*at)
        client->loop->ready_end = at;
}

void client_close(struct client *client)
{
    struct loop *loop = client->loop;
    if (client->source.dead)
        return;
    if (client->exchange)
        exchange_cancel(client->exchange);
    if (client->counted)
        limits_leave(loop->gateway->limits, client->address_key);
    if (client->next)
        client->next->previous = client->previous;
    if (client->previous)
        client->previous->next = client->next;
    else
        loop->clients = client->next;
    timer_remove(&client->timer);
    buffer_give(&loop->buffers, &client->in);
    buffer_give(&loop->buffers, &client->out);
    leave_queue(client);
    tls_close(&client->tls, client->broken);
    (void)close(client->fd);
    loop_bury(loop, &client->source);
    loop_connection_closed(loop);
}

void client_queue(struct client *client)
{
    if (client->queued)
        return;
    client->queued = true;
    client->next_ready = NULL;
    *client->loop->ready_end = client;
    client->loop->ready_end = &client->next_ready;
}

/* ---- bytes ---- */

long client_read(struct client *client, char *bytes, size_t size)
{
    if (client->tls)
        return tls_read(client, bytes, size);
    ssize_t n = sys_recv(client->fd, bytes, size);
    if (n > 0) {
        if ((size_t)n < size && !client->hung_up)
            client->readable = false;
        return (long)n;
    }
    if (n == 0)
        return 0;
    if (errno != EAGAIN && errno != EINTR)
        return -2;
    client->readable = false;
    return -1;
}

/* Bytes written, 0 when it would block, -1: broken. */
static long client_write(struct client *client, const char *bytes, size_t length)
{
    if (client->tls)
        return tls_write(client, bytes, length);
    ssize_t n = sys_send(client->fd, bytes, length);
    if (n >= 0) {
        if ((size_t)n < length)
            client->writable = false;
        return (long)n;
    }
    if (errno != EAGAIN && errno != EINTR)
        return -1;
    client->writable = false;
    return 0;
}

void client_send(struct client *client, const char *bytes, size_t length)
{
    if (client->broken || !length)
        return;
    if (!client->out) {
        long n = client_write(client, bytes, length);
        if (n < 0) {
            client->broken = true;
            return;
        }
        bytes += n;
        length -= (size_t)n;
    }
    if (length) {
        buffer_add(&client->loop->buffers, &client->out, bytes, length);
        client_arm(client);
    }
}

void client_send_last(struct client *client, const char *bytes, size_t length)
{
    if (client->broken || client->out || length > TOGETHER_BYTES) {
        client_send(client, bytes, length);
        return;
    }
    if (length)
        buffer_add(&client->loop->buffers, &client->out, bytes, length);
    client_queue(client);
}

/* Writes what waited. False: some still waits, or it broke. */
static bool flush(struct client *client)
{
    if (!client->out || !client->writable)
        return !client->out;
    while (client->out && client->writable) {
        struct view waiting = buffer_view(client->out);
        long n = client_write(client, waiting.bytes, waiting.length);
        if (n < 0) {
            client->broken = true;
            return false;
        }
        if (n > 0)
            buffer_consume(&client->loop->buffers, &client->out, (size_t)n);
    }
    client_arm(client);
    return !client->out;
}

/* ---- timers ---- */

/* What it waits for decides how long it may take. */
static int64_t deadline_of(const struct client *client)
{
    const struct gateway_config *config = client->loop->gateway->config;
    const struct exchange *exchange = client->exchange;
    int64_t now_ms = client->loop->now_ms;
    if (client->state == CLIENT_LINGER)
        return now_ms + LINGER_MS;
    if (client->out)
        return now_ms + config->send_stall_ms;
    if (exchange && exchange->tunnel)
        return 0; /* its channel has the timer */
    if (exchange && !exchange->request_done)
        return exchange->window_start_ms + config->body_idle_ms;
    if (exchange)
        return client->hung_up ? now_ms + HALF_CLOSED_MS : 0;
    if (client->skip)
        return now_ms + config->body_idle_ms;
    if (client->head_since_ms)
        return client->head_since_ms + config->header_timeout_ms;
    return now_ms + (client->requests ? config->keep_alive_ms : config->header_timeout_ms);
}

void client_arm(struct client *client)
{
    timer_set(&client->loop->wheel, &client->timer, deadline_of(client));
}

static void on_timer(struct timer *timer)
{
    struct client *client = (struct client *)((char *)timer - offsetof(struct client, timer));
    struct exchange *exchange = client->exchange;
    if (client->state == CLIENT_OPEN && !client->out && exchange && !exchange->request_done && !exchange->tunnel) {
        exchange_body_late(exchange);
    } else if (client->state == CLIENT_OPEN && !client->out && !exchange && client->head_since_ms) {
        exchange_late_head(client);
    } else {
        /* idle, lingering, not reading, gone quiet in the handshake, or finished sending without an answer in time */
        client->broken = true;
    }
    client_pump(client);
}

/* ---- requests ---- */

/* The last answer is out: tells the end and waits for the other side's. */
static void linger(struct client *client)
{
    client->state = CLIENT_LINGER;
    tls_end(client);
    (void)shutdown(client->fd, SHUT_WR);
    client_arm(client);
}

/* Throws away what comes after the last answer, up to LINGER_BYTES: a body that was on its way when it was refused.
 * Whoever sends on and on is left with full buffers until the time is over; the answer waits in front of them. */
static void drain_linger(struct client *client)
{
    for (int reads = 0; reads < 64 && client->readable; reads++) {
        if (client->drained > LINGER_BYTES)
            return;
        ssize_t n = recv(client->fd, client->loop->in, LOOP_READ_BYTES, 0);
        if (n < 0 && errno == EAGAIN) {
            client->readable = false;
        } else if (n <= 0) {
            client->broken = true;
            return;
        } else {
            client->drained += n;
        }
    }
    if (client->readable)
        client_queue(client);
}

/* Throws away the body of a refused request, so that the connection can go on. False: more has to come. */
static bool skip_body(struct client *client)
{
    struct loop *loop = client->loop;
    while (client->skip) {
        long n = (long)buffer_length(client->in);
        if (n) {
            if (n > client->skip)
                n = (long)client->skip;
            buffer_consume(&loop->buffers, &client->in, (size_t)n);
        } else if (!client->readable) {
            client_arm(client);
            return false;
        } else {
            n = client_read(client, loop->in, client->skip < LOOP_READ_BYTES ? (size_t)client->skip : LOOP_READ_BYTES);
            if (n == 0 || n == -2) {
                client->broken = true;
                return false;
            }
        }
        if (n > 0)
            client->skip -= n;
    }
    return true;
}

/* All that was kept goes to the front of loop->in. */
static long take_kept(struct client *client)
{
    size_t have = buffer_length(client->in);
    memcpy(client->loop->in, client->in->bytes + client->in->start, have);
    buffer_give(&client->loop->buffers, &client->in);
    return (long)have;
}

/* Brings what is there into loop->in. 0: nothing that could end a head; -1: the end. */
static long gather(struct client *client)
{
    struct loop *loop = client->loop;
    if (client->in && !client->in_partial)
        return take_kept(client);
    while (client->readable) {
        size_t have = buffer_length(client->in);
        long n = client_read(client, loop->in, LOOP_READ_BYTES);
        if (n == -1)
            return 0;
        if (n <= 0)
            return -1;
        if (!have)
            return n;
        /* a head that drips in is looked at line by line, not byte by byte */
        bool line = memchr(loop->in, '\n', (size_t)n) || have + (size_t)n >= HTTP1_HEAD_MAX;
        buffer_add(&loop->buffers, &client->in, loop->in, (size_t)n);
        if (line)
            return take_kept(client);
    }
    return 0;
}

/* Reads one request's head and starts it. False: nothing more to do now. */
static bool next_request(struct client *client)
{
    struct loop *loop = client->loop;
    long length = gather(client);
    if (length < 0) {
        client->broken = true; /* between requests, or in the middle of a head: nobody waits for an answer */
        return false;
    }
    if (length == 0) {
        client_arm(client);
        return false;
    }
    enum http1_fault fault;
    switch (http1_parse_request(loop->in, (size_t)length, &loop->request, &fault)) {
    case HTTP1_MORE:
        buffer_add(&loop->buffers, &client->in, loop->in, (size_t)length);
        client->in_partial = true;
        if (!client->head_since_ms)
            client->head_since_ms = loop->now_ms;
        client_arm(client);
        return client->readable;
    case HTTP1_BAD:
        client->head_since_ms = 0;
        exchange_refuse_head(client, fault);
        return true;
    case HTTP1_DONE:
        break;
    }
    client->head_since_ms = 0;
    client->in_partial = false;
    client->requests++;
    size_t used = loop->request.head_length;
    exchange_begin(client, (struct view){loop->in + used, (size_t)length - used});
    return true;
}

/* An exchange is under way: what the client sends belongs to it. */
static void serve_exchange(struct client *client)
{
    struct exchange *exchange = client->exchange;
    if (exchange->resume) {
        exchange->resume = false;
        exchange_send_on(exchange);
        return;
    }
    if (exchange->rest.length && !client->out)
        exchange_send_rest(exchange);
    else if (exchange->tunnel || !exchange->request_done)
        exchange_pull(exchange);
    else if (client->hung_up)
        exchange_client_ended(exchange);
    if (client->exchange == exchange && exchange->channel && exchange->channel->readable &&
        !exchange->channel->connecting && !client->out && !client->broken)
        exchange_relay(exchange);
}

/* One step. False: there is nothing more to do now. */
static bool step(struct client *client)
{
    bool flushed = flush(client);
    if (client->broken)
        return false;
    if (client->exchange) {
        serve_exchange(client);
        return !client->exchange;
    }
    if (!flushed)
        return false;
    if (client->close_after) {
        linger(client);
        return true;
    }
    return skip_body(client) && !client->broken && next_request(client);
}

void client_pump(struct client *client)
{
    if (client->source.dead)
        return;
    if (client->state == CLIENT_HANDSHAKE && !client->broken)
        tls_handshake(client);
    if (client->state == CLIENT_OPEN) {
        int turns = 0;
        while (!client->broken && client->state == CLIENT_OPEN && step(client))
            if (++turns == REQUESTS_PER_TURN && !client->exchange) {
                client_queue(client);
                break;
            }
    }
    if (client->state == CLIENT_LINGER && !client->broken)
        drain_linger(client);
    if (client->broken)
        client_close(client);
}

static void on_event(struct source *source, uint32_t events)
{
    struct client *client = (struct client *)source;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        client->readable = true;
    if (events & EPOLLOUT)
        client->writable = true;
    if (events & EPOLLRDHUP)
        client->hung_up = true;
    if (events & (EPOLLHUP | EPOLLERR))
        client->broken = true;
    client_pump(client);
}
