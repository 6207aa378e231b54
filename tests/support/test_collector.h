/* test_collector.h - a server that takes what a daemon tells others: traces, reports. It reads one request a
 * connection, as bytes, and answers `status`. One per test program. */
#ifndef MADANG_TEST_COLLECTOR_H
#define MADANG_TEST_COLLECTOR_H

#include "mem.h"
#include "str.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct collector {
    int fd;
    pthread_t thread;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct str received; /* heads and bodies, one behind the other */
static int calls, status = 200;

static inline bool collector_whole(const struct str *text)
{
    const char *end = text->length ? strstr(text->bytes, "\r\n\r\n") : NULL;
    const char *length = end ? strcasestr(text->bytes, "Content-Length:") : NULL;
    return end && length && text->length >= (size_t)(end + 4 - text->bytes) + strtoul(length + 15, NULL, 10);
}

static inline void collector_serve(int fd)
{
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char bytes[65536], answer[96];
    AUTO_STR text;
    str_init(&text);
    for (ssize_t got; !collector_whole(&text) && (got = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
        str_add_bytes(&text, bytes, (size_t)got);
        if (text.length == (size_t)got && strcasestr(text.bytes, "Expect: 100-continue"))
            (void)!write(fd, CONTINUE, sizeof CONTINUE - 1);
    }
    pthread_mutex_lock(&lock);
    calls++;
    str_add_bytes(&received, text.bytes, text.length);
    (void)snprintf(answer, sizeof answer, "HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    pthread_mutex_unlock(&lock);
    (void)!write(fd, answer, strlen(answer));
    (void)close(fd);
}

static inline void *collector_run(void *payload)
{
    const struct collector *collector = payload;
    for (int fd; (fd = accept(collector->fd, NULL, NULL)) >= 0;)
        collector_serve(fd);
    return NULL;
}

/* NULL when it can't listen. `url` becomes http://127.0.0.1:<port><path>. */
static inline struct collector *collector_open(const char *path, char url[96])
{
    struct collector *collector = MEM_NEW(collector);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    collector->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(collector->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(collector->fd, 64) != 0 ||
        getsockname(collector->fd, (struct sockaddr *)&at, &length) != 0)
        return NULL;
    (void)snprintf(url, 96, "http://127.0.0.1:%d%s", ntohs(at.sin_port), path);
    str_free(&received);
    str_init(&received);
    calls = 0;
    status = 200;
    return pthread_create(&collector->thread, NULL, collector_run, collector) == 0 ? collector : NULL;
}

static inline void collector_release(struct collector **held)
{
    struct collector *collector = TAKE(*held);
    if (!collector)
        return;
    (void)shutdown(collector->fd, SHUT_RDWR);
    (void)pthread_join(collector->thread, NULL);
    (void)close(collector->fd);
    free(collector);
    str_free(&received);
    str_init(&received);
}

static inline bool got(const char *words)
{
    pthread_mutex_lock(&lock);
    const bool yes = received.length && strstr(received.bytes, words);
    pthread_mutex_unlock(&lock);
    return yes;
}

#endif
