/* reach.h - where a subscription may make us connect to. A browser's endpoint is a URL that a stranger chose, so it is
 * held against a list of push services when it is put, and the address that its name gives is looked at again at each
 * connection (names can change what they mean). Pure functions; a struct reach is constant after reach_open. */
#ifndef MADANG_PUSH_REACH_H
#define MADANG_PUSH_REACH_H

#include "errors.h"

#include <sys/socket.h>

enum { REACH_HOSTS_MAX = 32, REACH_HOST_BYTES = 256, ENDPOINT_MAX = 2048 };

struct reach {
    char hosts[REACH_HOSTS_MAX][REACH_HOST_BYTES]; /* "push.example", "*.push.example", "*" */
    int host_count;
    bool allow_inner; /* tests: loopback and any port */
};

/* Reads PUSH_WEB_HOSTS. bad_input: too many, too long. */
bool reach_open(struct reach *reach, const char *hosts, bool allow_inner, struct err *err);

/* https, a host of the list, port 443, no user, at most ENDPOINT_MAX characters. bad_input with field
 * subscription.endpoint when it is no such URL; endpoint_refused when it is one and we don't go there. */
bool reach_endpoint(const struct reach *reach, const char *url, struct err *err);

/* "https://host[:port]" of an endpoint that was accepted: what VAPID's aud says. `out` has room for ENDPOINT_MAX bytes.
 */
void reach_origin(const char *url, char *out);

/* An address of the public Internet (or, with allow_inner, loopback). */
bool reach_address(const struct reach *reach, const struct sockaddr *address);

#endif
