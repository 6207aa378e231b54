/* delay_proxy - a TCP proxy that delivers what the server says DELAY_MS later: a store that is far away.
 *     delay_proxy LISTEN_PORT TARGET_PORT DELAY_MS
 * Loopback only. The client's bytes pass at once, so a round trip costs one delay. One epoll loop; what waits is
 * bounded by what the two ends have in flight. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct chunk {
    struct chunk *next;
    struct side *to;
    int64_t due_us;
    size_t length;
    char bytes[];
};

struct side {
    int fd;
    bool is_server;
    struct side *other;
};

static struct chunk *first, **last = &first;
static int epoll_fd, target_port;
static int64_t delay_us;

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void write_all(int fd, const char *bytes, size_t length)
{
    while (length) { /* blocking sockets: a store's replies fit the buffers of a benchmark */
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        length -= (size_t)n;
    }
}

static void watch(struct side *side)
{
    (void)setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = side});
}

static void on_connect(int listener)
{
    int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)target_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (client < 0 || server < 0 || connect(server, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("connect");
        close(client);
        close(server);
        return;
    }
    struct side *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    *a = (struct side){client, false, b};
    *b = (struct side){server, true, a};
    watch(a);
    watch(b);
}

static void on_bytes(struct side *side)
{
    char bytes[65536];
    ssize_t n = recv(side->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* the pair ends; its memory stays, for chunks may still name it, and a benchmark is short */
        (void)shutdown(side->other->fd, SHUT_RDWR);
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, side->fd, NULL);
        return;
    }
    if (!side->is_server) {
        write_all(side->other->fd, bytes, (size_t)n);
        return;
    }
    struct chunk *chunk = malloc(sizeof *chunk + (size_t)n);
    *chunk = (struct chunk){.to = side->other, .due_us = now_us() + delay_us, .length = (size_t)n};
    memcpy(chunk->bytes, bytes, (size_t)n);
    *last = chunk;
    last = &chunk->next;
}

static void deliver_due(void)
{
    for (int64_t now = now_us(); first && first->due_us <= now;) {
        struct chunk *chunk = first;
        first = chunk->next;
        if (!first)
            last = &first;
        write_all(chunk->to->fd, chunk->bytes, chunk->length);
        free(chunk);
    }
}

int main(int argc, char **argv)
{
    int port = argc == 4 ? atoi(argv[1]) : 0;
    if (port < 1 || (target_port = atoi(argv[2])) < 1) {
        (void)fputs("usage: delay_proxy LISTEN_PORT TARGET_PORT DELAY_MS\n", stderr);
        return 2;
    }
    delay_us = (int64_t)atoi(argv[3]) * 1000;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 256) < 0) {
        perror("listen");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    struct epoll_event events[64];
    for (;;) {
        int64_t wait_us = first ? first->due_us - now_us() : 1000000;
        struct timespec wait = {.tv_sec = wait_us > 0 ? wait_us / 1000000 : 0,
                                .tv_nsec = wait_us > 0 ? wait_us % 1000000 * 1000 : 0};
        int n = epoll_pwait2(epoll_fd, events, 64, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_bytes(events[i].data.ptr);
            else
                on_connect(listener);
        }
        deliver_due();
    }
}
