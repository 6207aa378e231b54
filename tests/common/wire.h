/* wire.h - a plain HTTP client on a socket for tests of servers: it sends any bytes, right or wrong, and reads one
 * answer at a time. Every read ends after 60 s. Header only, so that each test program stands alone. */
#ifndef MADANG_TEST_WIRE_H
#define MADANG_TEST_WIRE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct wire {
    int fd;
    size_t used; /* bytes of `buffer` that were read and not yet taken */
    char buffer[1 << 17];
};

struct answer {
    int status; /* 0: the connection ended without one */
    char head[8192];
    char body[1 << 16];
    size_t length;
};

static inline void wire_open(struct wire *wire, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 60};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->used = 0;
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(wire->fd);
        wire->fd = -1;
    }
}

static inline void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        (void)close(wire->fd);
    wire->fd = -1;
}

static inline bool wire_send_bytes(struct wire *wire, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t sent = send(wire->fd, (const char *)bytes + at, length - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

static inline bool wire_send(struct wire *wire, const char *text)
{
    return wire_send_bytes(wire, text, strlen(text));
}

/* The value of a header of the answer, in a static buffer; "" when absent. */
static inline const char *answer_header(const struct answer *answer, const char *name)
{
    static _Thread_local char value[1024];
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *line = answer->head; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *start = line + length + 1 + strspn(line + length + 1, " ");
            (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r\n"), start);
            return value;
        }
    }
    return value;
}

static inline bool wire_more(struct wire *wire)
{
    ssize_t got = recv(wire->fd, wire->buffer + wire->used, sizeof wire->buffer - 1 - wire->used, 0);
    if (got <= 0)
        return false;
    wire->used += (size_t)got;
    wire->buffer[wire->used] = '\0';
    return true;
}

/* Reads one answer; `bodiless` for HEAD. */
static inline bool wire_read(struct wire *wire, struct answer *answer, bool bodiless)
{
    char *end;
    memset(answer, 0, sizeof *answer);
    wire->buffer[wire->used] = '\0';
    while (!(end = strstr(wire->buffer, "\r\n\r\n"))) {
        if (!wire_more(wire))
            return false;
    }
    size_t head = (size_t)(end - wire->buffer) + 4;
    (void)snprintf(answer->head, sizeof answer->head, "%.*s", (int)head, wire->buffer);
    answer->status = atoi(answer->head + sizeof "HTTP/1.1");
    if (answer->status == 100) {
        memmove(wire->buffer, wire->buffer + head, wire->used -= head);
        return wire_read(wire, answer, bodiless);
    }
    bool empty = bodiless || answer->status == 204 || answer->status == 304;
    answer->length = empty ? 0 : strtoul(answer_header(answer, "Content-Length"), NULL, 10);
    while (wire->used < head + answer->length) {
        if (!wire_more(wire))
            return false;
    }
    memcpy(answer->body, wire->buffer + head,
           answer->length < sizeof answer->body ? answer->length : sizeof answer->body - 1);
    memmove(wire->buffer, wire->buffer + head + answer->length, wire->used -= head + answer->length);
    return true;
}

/* True when the server has closed the connection and nothing is left to read. */
static inline bool wire_ended(struct wire *wire)
{
    char byte;
    return wire->used == 0 && recv(wire->fd, &byte, 1, 0) == 0;
}

/* A whole exchange on a connection of its own. */
static inline int wire_call(int port, const char *request, struct answer *answer)
{
    struct wire *wire = malloc(sizeof *wire);
    wire_open(wire, port);
    bool ok = wire->fd >= 0 && wire_send(wire, request) && wire_read(wire, answer, strncmp(request, "HEAD ", 5) == 0);
    if (!ok)
        answer->status = 0;
    wire_close(wire);
    free(wire);
    return answer->status;
}

#endif
