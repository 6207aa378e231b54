/* client.h - what the load generators share: many sockets in one epoll loop, HTTP/1.1 replies as they arrive, files of
 * lines. Header only, so that each tool is one program of one file. */
#ifndef MADANG_BENCH_CLIENT_H
#define MADANG_BENCH_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline _Noreturn __attribute__((format(printf, 1, 2))) void client_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(2);
}

static inline int64_t client_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- sockets ---- */

/* As many descriptors as the system gives. */
static inline void client_many_files(void)
{
    struct rlimit files = {65536, 65536};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* "127.0.0.1:8080" */
static inline bool client_address(const char *text, struct sockaddr_in *to)
{
    char host[64];
    int port = 0;
    *to = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &to->sin_addr) != 1)
        return false;
    to->sin_port = htons((uint16_t)port);
    return port > 0;
}

/* A connected socket that does not block; its events come with `owner`. */
static inline int client_dial(int epoll_fd, const struct sockaddr_in *to, void *owner)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        client_die("connect: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

/* What is sent fits the socket's buffer, or the other side is gone: false. */
static inline bool client_send(int fd, const void *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* ---- replies ---- */

struct client_reply {
    int status;
    const char *body;
    bool has_length, closing; /* Content-Length; Connection: close */
};

/* One line of a head: a pass over each line's first letters, since the generator shares the cores with what it
 * measures. */
static inline void client_note_header(const char *line, struct client_reply *reply, size_t *length, bool *chunked)
{
    static const char LENGTH[] = "content-length:", CODING[] = "transfer-encoding:", CLOSE[] = "connection: close";
    if (strncasecmp(line, LENGTH, sizeof LENGTH - 1) == 0) {
        reply->has_length = true;
        *length = strtoull(line + sizeof LENGTH - 1, NULL, 10);
    } else if (strncasecmp(line, CODING, sizeof CODING - 1) == 0) {
        *chunked = true;
    } else if (strncasecmp(line, CLOSE, sizeof CLOSE - 1) == 0) {
        reply->closing = true;
    }
}

/* True once a whole reply is there: Content-Length, or chunked ended by "0\r\n\r\n". `text` has room for a NUL behind
 * `have`. */
static inline bool client_whole_reply(char *text, size_t have, struct client_reply *reply)
{
    static const char VERSION[] = "HTTP/1.1 ";
    size_t length = 0;
    bool chunked = false;
    text[have] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    if (!end || strncmp(text, VERSION, sizeof VERSION - 1) != 0)
        return false;
    *reply = (struct client_reply){.status = (int)strtol(text + sizeof VERSION - 1, NULL, 10), .body = end + 4};
    for (const char *line = text; line < end; line = strstr(line, "\r\n") + 2)
        client_note_header(line, reply, &length, &chunked);
    const size_t head = (size_t)(reply->body - text);
    if (reply->has_length)
        return have >= head + length;
    return !chunked || (have >= head + 5 && memcmp(text + have - 5, "0\r\n\r\n", 5) == 0);
}

/* ---- files ---- */

/* The lines of a file, without their ends. */
static inline char **client_lines(const char *path, size_t *count)
{
    FILE *file = fopen(path, "r");
    if (!file)
        client_die("%s: %s", path, strerror(errno));
    char **lines = NULL, *line = NULL;
    size_t room = 0, capacity = 0;
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (*count == capacity)
            lines = realloc(lines, (capacity = capacity ? capacity * 2 : 1024) * sizeof *lines);
        lines[(*count)++] = strdup(line);
    }
    free(line);
    (void)fclose(file);
    return lines;
}

#endif
