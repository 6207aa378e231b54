/* probe.c - see probe.h. */
#include "probe.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

bool probe_postgres(const char *url)
{
    const char *names[] = {"dbname", "connect_timeout", NULL};
    /* The database may not be there yet; "no such database" is an answer too. */
    const char *values[] = {url, "2", NULL};
    return PQpingParams(names, values, 1) == PQPING_OK;
}

/* Sends a question, reads the beginning of the answer. */
static bool ask(const char *host, const char *port, const char *question, char *answer, size_t size)
{
    struct addrinfo *found = NULL;
    struct addrinfo wish = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, port, &wish, &found) != 0)
        return false;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ssize_t got = -1;
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
        send(fd, question, strlen(question), MSG_NOSIGNAL) == (ssize_t)strlen(question))
        got = recv(fd, answer, size - 1, 0);
    answer[got > 0 ? got : 0] = 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return got > 0;
}

/* "scheme://[login@]host:port[/...]" -> host, port. */
static bool split_url(const char *url, char host[256], char port[8], const char *default_port)
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t length = strcspn(start, "/?");
    char authority[512];
    snprintf(authority, sizeof authority, "%.*s", (int)length, start);
    char *at = strrchr(authority, '@');
    char *name = at ? at + 1 : authority;
    char *colon = strrchr(name, ':');
    snprintf(port, 8, "%s", colon ? colon + 1 : default_port);
    if (colon)
        *colon = 0;
    snprintf(host, 256, "%.255s", name);
    return *host != 0;
}

bool probe_redis(const char *url)
{
    char host[256], port[8], answer[64];
    /* A server that wants a password first, answers too. */
    return split_url(url, host, port, "6379") && ask(host, port, "PING\r\n", answer, sizeof answer) &&
           (strncmp(answer, "+PONG", 5) == 0 || strncmp(answer, "-NOAUTH", 7) == 0);
}

bool probe_readyz(const char *address)
{
    char host[256], port[8], answer[64];
    return split_url(address, host, port, "80") &&
           ask(host, port, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", answer,
               sizeof answer) &&
           strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static void say_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client, (void)level, (void)facility, (void)text; /* refused connections are what a probe expects */
}

bool probe_kafka(const char *brokers)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "reconnect.backoff.ms", "50", why, sizeof why);
    rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "200", why, sizeof why);
    rd_kafka_conf_set_log_cb(conf, say_nothing);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!client) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    const struct rd_kafka_metadata *metadata = NULL;
    bool answered =
        rd_kafka_metadata(client, 0, NULL, &metadata, 800) == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->broker_cnt > 0;
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_destroy(client);
    return answered;
}

bool probe_port_free(const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int yes = 1; /* old connections in TIME_WAIT do not count; a listener does */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_free;
}
