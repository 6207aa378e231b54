#include "channel.h"

#include "exchange.h"
#include "mem.h"
#include "sys.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void on_event(struct source *source, uint32_t events);
static void on_timer(struct timer *timer);

static struct channel *connect_new(struct loop *loop, struct upstream *upstream)
{
    const struct instance *instance = &upstream->instance;
    int fd = socket(instance->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct channel *channel = MEM_NEW(channel);
    channel->source.on_event = on_event;
    channel->timer.fire = on_timer;
    channel->fd = fd;
    channel->loop = loop;
    channel->upstream = upstream;
    channel->connecting = true;
    if ((connect(fd, (const struct sockaddr *)&instance->to, instance->to_length) != 0 && errno != EINPROGRESS) ||
        !loop_watch(loop, fd, &channel->source)) {
        (void)close(fd);
        free(channel);
        return NULL;
    }
    upstream->connections++;
    timer_set(&loop->wheel, &channel->timer, loop->now_ms + loop->gateway->config->connect_timeout_ms);
    return channel;
}

static void unlink_idle(struct channel *channel)
{
    struct upstream *upstream = channel->upstream;
    if (channel->next)
        channel->next->previous = channel->previous;
    if (channel->previous)
        channel->previous->next = channel->next;
    else
        upstream->idle = channel->next;
    channel->next = channel->previous = NULL;
    upstream->idle_count--;
}

static bool is_idle(const struct channel *channel)
{
    return channel->previous || channel->upstream->idle == channel;
}

struct channel *channel_open(struct loop *loop, struct upstream *upstream, bool fresh)
{
    struct channel *channel = upstream->idle;
    if (!channel || fresh)
        return connect_new(loop, upstream);
    unlink_idle(channel);
    return channel;
}

void channel_keep(struct channel *channel)
{
    struct upstream *upstream = channel->upstream;
    channel->exchange = NULL;
    if (upstream->gone || upstream->instance.entry.state == INSTANCE_DRAINING || channel->hung_up ||
        upstream->idle_count >= IDLE_CHANNELS_MAX || channel->loop->finishing) {
        channel_close(channel);
        return;
    }
    channel->next = upstream->idle;
    if (upstream->idle)
        upstream->idle->previous = channel;
    upstream->idle = channel;
    upstream->idle_count++;
    timer_set(&channel->loop->wheel, &channel->timer,
              channel->loop->now_ms + channel->loop->gateway->config->upstream_idle_ms);
}

void channel_close(struct channel *channel)
{
    struct upstream *upstream = channel->upstream;
    if (is_idle(channel))
        unlink_idle(channel);
    timer_remove(&channel->timer);
    buffer_give(&channel->loop->buffers, &channel->in);
    (void)close(channel->fd);
    channel->exchange = NULL;
    upstream->connections--;
    loop_bury(channel->loop, &channel->source);
    upstream_check(upstream);
}

long channel_write(struct channel *channel, const char *bytes, size_t length)
{
    ssize_t n = sys_send(channel->fd, bytes, length);
    if (n >= 0) {
        if ((size_t)n < length)
            channel->writable = false;
        return (long)n;
    }
    if (errno != EAGAIN && errno != EINTR)
        return -1;
    channel->writable = false;
    return 0;
}

long channel_read(struct channel *channel, char *bytes, size_t size)
{
    ssize_t n = sys_recv(channel->fd, bytes, size);
    if (n > 0) {
        /* Less than asked for: it is empty, and the next bytes make a new event. */
        if ((size_t)n < size && !channel->hung_up)
            channel->readable = false;
        return (long)n;
    }
    if (n == 0)
        return 0;
    if (errno != EAGAIN && errno != EINTR)
        return -2;
    channel->readable = false;
    return -1;
}

bool channel_untouched(const struct channel *channel, size_t sent)
{
    int unacknowledged = 0;
    return ioctl(channel->fd, SIOCOUTQ, &unacknowledged) == 0 && (size_t)unacknowledged >= sent;
}

void channel_probe(struct loop *loop, struct upstream *upstream)
{
    upstream->probe = connect_new(loop, upstream);
}

static void probed(struct channel *channel, bool taken)
{
    struct upstream *upstream = channel->upstream;
    upstream->probe = NULL;
    if (taken) {
        channel_keep(channel);
        return;
    }
    breaker_failure(&upstream->breaker, channel->loop->now_ms);
    channel_close(channel);
}

/* The connection has been made, or not. */
static void connected(struct channel *channel)
{
    int code = 0;
    socklen_t length = sizeof code;
    bool taken = getsockopt(channel->fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 && code == 0;
    channel->connecting = false;
    if (!channel->exchange)
        probed(channel, taken);
    else if (taken)
        exchange_push(channel->exchange);
    else
        exchange_failed(channel->exchange, FAILED_CONNECT);
}

static void on_event(struct source *source, uint32_t events)
{
    struct channel *channel = (struct channel *)source;
    struct exchange *exchange = channel->exchange;
    if (!exchange && channel->connecting) {
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
            channel->writable = true;
            connected(channel);
        }
        return;
    }
    if (!exchange) { /* idle: bytes are of no use, and an end is an end; being writable is nothing new */
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            channel_close(channel);
        return;
    }
    struct client *client = exchange->client;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        channel->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        channel->hung_up = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        channel->writable = true;
    if (channel->connecting) {
        if (!channel->writable)
            return;
        connected(channel);
    } else if (channel->writable && !exchange->request_done) {
        exchange_pull(exchange);
    } else if (channel->writable && buffer_length(exchange->request) > exchange->sent) {
        exchange_push(exchange);
    }
    if (!source->dead && channel->exchange == exchange && channel->readable && !channel->connecting)
        exchange_relay(exchange);
    if (!client->source.dead)
        client_queue(client);
}

static void on_timer(struct timer *timer)
{
    struct channel *channel = (struct channel *)((char *)timer - offsetof(struct channel, timer));
    struct exchange *exchange = channel->exchange;
    if (!exchange) {
        if (channel->connecting)
            probed(channel, false);
        else
            channel_close(channel);
        return;
    }
    struct client *client = exchange->client;
    exchange_late(exchange);
    if (!client->source.dead)
        client_pump(client);
}
