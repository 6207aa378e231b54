#include "loop.h"

#include "accesslog.h"
#include "cache.h"
#include "channel.h"
#include "client.h"
#include "clock.h"
#include "crypto.h"
#include "exchange.h"
#include "log.h"
#include "mem.h"
#include "stats.h"
#include "sys.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_PER_EVENT = 32, ROUND_MAX_WAIT_MS = 1000, FRESH_MS = 1000, HEAL_SECONDS = 600 };

/* ---- services for the parts on this thread ---- */

bool loop_watch(struct loop *loop, int fd, struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = source};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void loop_bury(struct loop *loop, struct source *source)
{
    if (source->dead)
        return;
    source->dead = true;
    source->next_dead = loop->dead;
    loop->dead = source;
}

static void free_dead(struct loop *loop)
{
    while (loop->dead) {
        struct source *source = loop->dead;
        loop->dead = source->next_dead;
        free(source);
    }
}

/* splitmix64: for ids and choices, not for secrets. */
uint64_t loop_random(struct loop *loop)
{
    uint64_t z = loop->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct loop_routes *loop_routes_share(struct loop *loop)
{
    loop->routes->users++;
    return loop->routes;
}

void loop_routes_done(struct loop_routes *routes)
{
    if (--routes->users)
        return;
    stats_close(routes);
    routes_release(&routes->routes);
    free(routes->fleets);
    free(routes);
}

static void take_routes(struct loop *loop)
{
    struct loop_routes *fresh = MEM_NEW(loop_routes);
    fresh->routes = gateway_routes(loop->gateway);
    fresh->users = 1;
    stats_open(fresh);
    if (loop->routes)
        loop_routes_done(loop->routes);
    loop->routes = fresh;
    fresh->fleets = mem_new((size_t)fresh->routes->count, sizeof(void *));
    for (int i = 0; i < fresh->routes->count; i++)
        fresh->fleets[i] = fleet_of(loop, fresh->routes->list[i].service);
}

static void take_instances(struct loop *loop)
{
    struct instance_list *list = instances_get(loop->gateway->instances);
    fleets_update(loop, list);
    instance_list_release(&list);
}

/* ---- the listener ---- */

static void accept_on(struct loop *loop, bool on)
{
    if (loop->accepting == on || loop->listen_fd < 0)
        return;
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = &loop->listener};
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, loop->listen_fd, &event);
    loop->accepting = on;
}

/* Takes one of the places for connections that all loops share. */
static bool connection_place(struct gateway *gateway)
{
    if (atomic_fetch_add(&gateway->connections, 1) < gateway->config->connections_max)
        return true;
    atomic_fetch_sub(&gateway->connections, 1);
    return false;
}

void loop_connection_closed(struct loop *loop)
{
    loop->client_count--;
    atomic_fetch_sub(&loop->gateway->connections, 1);
    if (!loop->finishing)
        accept_on(loop, true);
}

/* False: nobody waits, or there is no place. */
static bool accept_some(struct loop *loop)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT && loop->accepting; i++) {
        if (!connection_place(loop->gateway)) {
            accept_on(loop, false); /* the others wait in the kernel's queue */
            loop_stats_add(loop, STAT_ACCEPT_STOPPED);
            return false;
        }
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        int fd = accept4(loop->listen_fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            atomic_fetch_sub(&loop->gateway->connections, 1);
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                accept_on(loop, false); /* until the next second, or until one closes */
            return false;
        }
        loop->client_count++;
        client_accept(loop, fd, &from);
    }
    return loop->accepting;
}

static void on_listener(struct source *source, uint32_t events)
{
    (void)events;
    (void)accept_some((struct loop *)((char *)source - offsetof(struct loop, listener)));
}

static int bind_to(const struct sockaddr_storage *at, socklen_t length, bool shared)
{
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted ones inherit it */
    if (bind(fd, (const struct sockaddr *)at, length) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* A predecessor that stepped aside (loop_step_aside) leaves its program behind. */
static void all_may_take(int listener)
{
    (void)setsockopt(listener, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &(int){1}, sizeof(int));
}

/* The first loop binds alone before it shares: so another gateway on this port is noticed, not joined, unless
 * LISTEN_SHARED says that it may be there. */
static int listen_on(const char *address, bool alone_wanted, struct err *err)
{
    struct sockaddr_storage at;
    socklen_t length = 0;
    if (!address_resolve(address, &at, &length, err))
        return -1;
    int alone = alone_wanted ? bind_to(&at, length, false) : -1, fd = -1;
    if (alone >= 0)
        (void)close(alone);
    if (!alone_wanted || alone >= 0)
        fd = bind_to(&at, length, true);
    if (fd >= 0)
        all_may_take(fd);
    if (fd >= 0 && listen(fd, BACKLOG) == 0)
        return fd;
    err_set(err, &ERR_BAD_INPUT, "LISTEN: %s: %s", address, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* The sockets of a port are numbered in the order in which they came, and the kernel asks this program which of them
 * gets a connection: one behind all of ours. Where there are none the answer is out of range, and it chooses as before.
 */
void loop_step_aside(const struct loop *loop, int own_count)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)own_count),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, (uint32_t)own_count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    const struct sock_fprog all = {.len = ARRAY_LENGTH(program), .filter = program};
    if (setsockopt(loop->listen_fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &all, sizeof all) != 0)
        log_event(LOG_INFO, "stays_in_the_way", LOG_TEXT("reason", strerror(errno)));
}

int loop_port(const struct loop *loop)
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    if (getsockname(loop->listen_fd, (struct sockaddr *)&at, &length) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port
                                         : ((struct sockaddr_in6 *)&at)->sin6_port);
}

/* ---- what others ask ---- */

/* Closes what is idle; connections with a request close after its answer. */
static void close_idle_clients(struct loop *loop)
{
    for (struct client *client = loop->clients, *next; client; client = next) {
        next = client->next;
        if (client->exchange || (client->in && !client->in_partial))
            continue;
        if (!client->requests && loop->now_ms - client->accepted_ms < FRESH_MS)
            continue; /* just come: its first request is on its way, and whoever sends one for the first time may not
                         repeat it */
        if (client->out)
            client->close_after = true;
        else
            client_close(client);
    }
}

/* Asked again and again until everybody is gone. */
static void finish(struct loop *loop)
{
    while (!loop->finishing && loop->listen_fd >= 0 && accept_some(loop)) {
        /* what waits in the queue would be reset with the listener */
    }
    loop->finishing = true;
    if (loop->listen_fd >= 0) {
        (void)close(loop->listen_fd);
        loop->listen_fd = -1;
        loop->accepting = false;
    }
    close_idle_clients(loop);
}

static void on_waker(struct source *source, uint32_t events)
{
    (void)events;
    struct loop *loop = (struct loop *)((char *)source - offsetof(struct loop, waker));
    eventfd_t ignored;
    (void)eventfd_read(loop->wake_fd, &ignored);
    int asked = atomic_exchange(&loop->asked, 0);
    if (asked & LOOP_ROUTES)
        take_routes(loop);
    if (asked & LOOP_INSTANCES)
        take_instances(loop);
    if (asked & LOOP_FINISH)
        finish(loop);
    if (asked & LOOP_STOP)
        loop->stop = true;
}

static void on_alarm(struct source *source, uint32_t events)
{
    (void)events;
    struct loop *loop = (struct loop *)((char *)source - offsetof(struct loop, alarm));
    uint64_t ignored;
    (void)!read(loop->alarm_fd, &ignored, sizeof ignored);
    loop->alarm_ms = 0;
}

/* Rings no later than the next timer is due, and within ROUND_MAX_WAIT_MS: an epoll_wait without a time limit sets no
 * timer of the kernel's, and cancels none, each time that it sleeps. */
static void set_alarm(struct loop *loop)
{
    if (loop->alarm_ms && loop->alarm_ms <= loop->wheel.soonest_ms)
        return;
    const int64_t due_ms = loop->now_ms + wheel_wait_ms(&loop->wheel, loop->now_ms, ROUND_MAX_WAIT_MS);
    loop->wheel.soonest_ms = INT64_MAX;
    if (loop->alarm_ms && loop->alarm_ms <= due_ms)
        return;
    const struct itimerspec at = {.it_value = {due_ms / 1000, due_ms % 1000 * 1000000}};
    (void)timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &at, NULL);
    loop->alarm_ms = due_ms;
}

void loop_ask(struct loop *loop, int what)
{
    atomic_fetch_or(&loop->asked, what);
    (void)eventfd_write(loop->wake_fd, 1);
}

/* ---- the round ---- */

static void read_clock(struct loop *loop)
{
    loop->now_us = clock_monotonic_us();
    loop->now_ms = loop->now_us / 1000;
}

static void each_second(struct loop *loop)
{
    loop->wall_ms = loop->now_ms + loop->wall_ahead_ms;
    if (loop->wall_ms / 1000 == loop->second)
        return;
    loop->wall_ms = clock_now_ms(); /* once a second: it may be set, and the other clock drifts from it */
    loop->wall_ahead_ms = loop->wall_ms - loop->now_ms;
    const int64_t second = loop->wall_ms / 1000;
    if (second == loop->second)
        return;
    loop->second = second;
    time_t whole = (time_t)second;
    struct tm utc;
    (void)gmtime_r(&whole, &utc);
    (void)strftime(loop->date, sizeof loop->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    char stamp[CLOCK_TEXT_BYTES];
    clock_format(second * 1000, stamp);
    memcpy(loop->stamp, stamp, sizeof loop->stamp);
    buffer_pool_trim(&loop->buffers);
    stats_publish(loop);
    fleets_probe(loop);
    if (!loop->finishing)
        accept_on(loop, true);
    const struct gateway *gateway = loop->gateway;
    if (gateway->config->listen_shared && !atomic_load(&gateway->draining) && second % HEAL_SECONDS == 0)
        all_may_take(loop->listen_fd); /* where a predecessor with fewer threads has left its program */
}

/* Answers leave here, and whoever had more to do than fits one turn goes on. */
static void run_ready(struct loop *loop)
{
    struct client *list = loop->ready;
    loop->ready = NULL;
    loop->ready_end = &loop->ready;
    while (list) {
        struct client *client = list;
        list = client->next_ready;
        client->queued = false;
        if (!client->source.dead)
            client_pump(client);
    }
}

static void run_sending(struct loop *loop)
{
    const int64_t now_us = loop->sending_count ? clock_monotonic_us() : 0;
    for (int i = 0; i < loop->sending_count; i++) {
        struct channel *channel = loop->sending[i];
        if (channel->source.dead || !channel->exchange)
            continue;
        channel->exchange->joined_us = now_us;
        exchange_push(channel->exchange);
    }
    loop->sending_count = 0;
}

void loop_send(struct loop *loop, struct channel *channel)
{
    if (loop->sending_count == LOOP_EVENTS)
        run_sending(loop);
    loop->sending[loop->sending_count++] = channel;
}

static void *loop_run(void *payload)
{
    struct loop *loop = payload;
    struct epoll_event events[LOOP_EVENTS];
    read_clock(loop);
    while (!loop->stop) {
        if (!loop->ready)
            set_alarm(loop);
        int count = sys_epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, loop->ready ? 0 : -1);
        read_clock(loop);
        each_second(loop);
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            if (!source->dead)
                source->on_event(source, events[i].events);
        }
        run_ready(loop);
        run_sending(loop); /* sets the channel's timer, so before the timers; and what they started, after them */
        wheel_advance(&loop->wheel, loop->now_ms);
        run_sending(loop);
        accesslog_flush(loop);
        free_dead(loop);
    }
    while (loop->clients)
        client_close(loop->clients);
    stats_publish(loop);
    accesslog_flush(loop);
    return NULL;
}

/* ---- its life ---- */

static bool open_descriptors(struct loop *loop, struct err *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    loop->waker.on_event = on_waker;
    loop->alarm.on_event = on_alarm;
    loop->listener.on_event = on_listener;
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &loop->waker};
    struct epoll_event ringing = {.events = EPOLLIN, .data.ptr = &loop->alarm};
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &loop->listener};
    loop->accepting = true;
    return (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) == 0 &&
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->alarm_fd, &ringing) == 0 &&
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->listen_fd, &listening) == 0) ||
           err_set_internal(err, &ERR_INTERNAL, "epoll: %s", strerror(errno));
}

static bool open_verifiers(struct loop *loop, struct err *err)
{
    struct gateway *gateway = loop->gateway;
    struct token_options options = {
        .keys = gateway->keys,
        .revoked = gateway->revoked,
        .issuer = TOKEN_ISSUER,
        .audience = TOKEN_AUDIENCE,
        .cache_entries = (size_t)gateway->config->token_cache,
        .unknown_kid = auth_feed_refresh,
        .payload = gateway->feed,
    };
    loop->tokens = token_verifier_open(&options, err);
    options.audience = TICKET_AUDIENCE;
    options.cache_entries = 0;
    loop->tickets = loop->tokens ? token_verifier_open(&options, err) : NULL;
    return loop->tickets != NULL;
}

struct loop *loop_open(struct gateway *gateway, int index, struct err *err)
{
    struct loop *loop = MEM_NEW(loop);
    loop->gateway = gateway;
    loop->index = index;
    loop->second = -1; /* the first round has the once-a-second work */
    loop->epoll_fd = loop->wake_fd = loop->alarm_fd = -1;
    loop->ready_end = &loop->ready;
    str_init(&loop->log);
    crypto_random(&loop->random, sizeof loop->random);
    read_clock(loop);
    wheel_open(&loop->wheel, loop->now_ms);
    loop_stats_open(loop);
    take_routes(loop);
    take_instances(loop);
    loop->cache = gateway->config->cache_kb ? cache_open(gateway->config->cache_kb * 1024) : NULL;
    loop->listen_fd = listen_on(gateway->listen, index == 0 && !gateway->config->listen_shared, err);
    if (loop->listen_fd < 0 || !open_descriptors(loop, err) || !open_verifiers(loop, err)) {
        loop_release(&loop);
        return NULL;
    }
    return loop;
}

bool loop_start(struct loop *loop, struct err *err)
{
    int code = pthread_create(&loop->thread, NULL, loop_run, loop);
    return code == 0 || err_set_internal(err, &ERR_INTERNAL, "thread: %s", strerror(code));
}

void loop_join(struct loop *loop)
{
    (void)pthread_join(loop->thread, NULL);
}

void loop_release(struct loop **loop)
{
    struct loop *old = TAKE(*loop);
    if (!old)
        return;
    fleets_release(old);
    free_dead(old);
    loop_routes_done(old->routes);
    cache_release(&old->cache);
    exchange_pool_free(old);
    buffer_pool_free(&old->buffers);
    token_verifier_release(&old->tokens);
    token_verifier_release(&old->tickets);
    loop_stats_close(old);
    str_free(&old->log);
    int fds[] = {old->listen_fd, old->wake_fd, old->alarm_fd, old->epoll_fd};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    free(old);
}
