/* floor_proxy - what a proxy of TCP connections can't do without: floor_proxy LISTEN_PORT UPSTREAM_PORT
 * Loopback only, one epoll loop, one connection upstream for each client. It reads nothing of what it carries: two
 * receives and two sends a request and a share of epoll_wait. What a real proxy takes more is its own work. Sends of a
 * round leave together at its end, those to clients first, which costs the kernel less (tests/bench/README.md). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BYTES = 16384 };

struct end {
    int fd;
    struct end *other;
    size_t have;
    char bytes[BYTES]; /* for the other end */
};

static int epoll_fd;

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The lowest bit of what epoll keeps says which side an end is. */
static void watch(struct end *end, uintptr_t is_client)
{
    (void)setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = (uintptr_t)end | is_client};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, end->fd, &event);
}

static void accept_all(int listener, const struct sockaddr_in *upstream)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct end *ends = calloc(2, sizeof *ends);
        ends[0] = (struct end){.fd = fd, .other = &ends[1]};
        ends[1] = (struct end){.fd = socket(AF_INET, SOCK_STREAM, 0), .other = &ends[0]};
        if (connect(ends[1].fd, (const struct sockaddr *)upstream, sizeof *upstream) < 0) {
            perror("connect");
            exit(1);
        }
        watch(&ends[0], 1);
        watch(&ends[1], 0);
    }
}

static void hang_up(struct end *end)
{
    close(end->fd);
    close(end->other->fd); /* the memory stays: another event of this round may name it */
}

static void receive(struct end *end)
{
    const ssize_t n = recv(end->fd, end->bytes, BYTES, MSG_DONTWAIT);
    if (n > 0)
        end->have = (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        hang_up(end);
}

static void pass_on(struct end *end)
{
    if (end->have > 0 && send(end->other->fd, end->bytes, end->have, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        hang_up(end);
    end->have = 0;
}

static void serve(int listener, const struct sockaddr_in *upstream)
{
    struct epoll_event events[EVENTS];
    const int n = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == 0)
            accept_all(listener, upstream);
        else
            receive((struct end *)(uintptr_t)(events[i].data.u64 & ~1ULL));
    }
    for (uintptr_t client = 0; client <= 1; client++)
        for (int i = 0; i < n; i++)
            if (events[i].data.u64 != 0 && (events[i].data.u64 & 1) == client)
                pass_on((struct end *)(uintptr_t)(events[i].data.u64 & ~1ULL));
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fputs("usage: floor_proxy LISTEN_PORT UPSTREAM_PORT\n", stderr);
        return 2;
    }
    const struct sockaddr_in at = loopback(argv[1]), upstream = loopback(argv[2]);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (const struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) {
        perror("listen");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;)
        serve(listener, &upstream);
}
