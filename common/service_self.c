/* service_self.c - what a process asks about itself: where others reach it, and (from a second process, --health)
 * whether it lives. */
#include "service.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEALTH_MS = 2000 };

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* The first address of this host's name that others can use; containers and pods have theirs in /etc/hosts. */
static bool find_own_host(char out[64])
{
    char name[256];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    bool ok = false;
    if (gethostname(name, sizeof name) != 0 || getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    for (const struct addrinfo *item = found; item && !ok; item = item->ai_next)
        ok = getnameinfo(item->ai_addr, item->ai_addrlen, out, 64, NULL, 0, NI_NUMERICHOST) == 0 &&
             strncmp(out, "127.", 4) != 0 && strcmp(out, "::1") != 0 && !strchr(out, '%');
    freeaddrinfo(found);
    return ok;
}

bool service_reachable_address(const char *address, char out[96], struct err *err)
{
    char host[64];
    int port;
    if (!service_split_address(address, host, &port, err))
        return false;
    if (is_wildcard(host) && !find_own_host(host))
        return err_set(err, &ERR_BAD_INPUT,
                       "ADVERTISE must be set: this host's name has no address that others can use");
    (void)snprintf(out, 96, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    return true;
}

static int connect_to(const char *host, int port)
{
    char service[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval most = {.tv_sec = HEALTH_MS / 1000};
    const bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) == 0 &&
                    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0 &&
                    connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!ok && fd >= 0)
        (void)close(fd);
    return ok ? fd : -1;
}

bool service_ask_health(const char *admin_listen, struct err *err)
{
    static const char REQUEST[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char host[64], answer[64] = "";
    int port;
    if (!service_split_address(admin_listen, host, &port, err))
        return false;
    const int fd = connect_to(strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1"
                              : strcmp(host, "::") == 0    ? "::1"
                                                           : host,
                              port);
    const bool ok = fd >= 0 && send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) == (ssize_t)sizeof REQUEST - 1 &&
                    recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0;
    if (fd >= 0)
        (void)close(fd);
    if (!ok || strncmp(answer, "HTTP/1.1 200", 12) != 0)
        return err_set(err, &ERR_UNAVAILABLE, "%s does not answer as healthy", admin_listen);
    return true;
}
