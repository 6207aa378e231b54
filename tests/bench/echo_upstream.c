/* echo_upstream - the smallest HTTP/1.1 server that a proxy can be measured against.
 *     echo_upstream PORT [BODY_BYTES]
 * One epoll loop; answers each request head (no bodies) with 200 and BODY_BYTES (200) of JSON, prebuilt. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, EVENTS = 256 };

struct client {
    int fd;
    size_t have;
    char head[HEAD_MAX];
};

static char reply[70000];
static size_t reply_length;

static void build_reply(size_t body)
{
    int n =
        snprintf(reply, sizeof reply,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n{\"pad\":\"", body);
    reply_length = (size_t)n - 8 + body;
    memset(reply + n, 'x', body - 10);
    memcpy(reply + reply_length - 2, "\"}", 2);
}

static void accept_all(int listener, int epoll_fd)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct client *client = calloc(1, sizeof *client);
        client->fd = fd;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = client});
    }
}

static int serve(struct client *client)
{
    ssize_t n = recv(client->fd, client->head + client->have, HEAD_MAX - 1 - client->have, 0);
    if (n < 0 && errno == EAGAIN)
        return 1;
    if (n <= 0)
        return 0;
    client->have += (size_t)n;
    client->head[client->have] = '\0';
    for (char *end; (end = strstr(client->head, "\r\n\r\n"));) {
        if (send(client->fd, reply, reply_length, MSG_NOSIGNAL) != (ssize_t)reply_length)
            return 0;
        size_t used = (size_t)(end + 4 - client->head);
        client->have -= used;
        memmove(client->head, end + 4, client->have + 1);
    }
    return client->have < HEAD_MAX - 1;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    size_t body = argc > 2 ? strtoul(argv[2], NULL, 10) : 200;
    if (port < 1 || body < 10 || body > 65536) {
        (void)fputs("usage: echo_upstream PORT [BODY_BYTES 10..65536]\n", stderr);
        return 2;
    }
    build_reply(body);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) {
        perror("listen");
        return 1;
    }
    int epoll_fd = epoll_create1(0);
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                accept_all(listener, epoll_fd);
            } else if (!serve(client)) {
                close(client->fd);
                free(client);
            }
        }
    }
}
