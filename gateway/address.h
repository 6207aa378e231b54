/* address.h - who is at the other end: IPv4 and IPv6 addresses as bytes and text, and lists of networks. Pure. */
#ifndef GATEWAY_ADDRESS_H
#define GATEWAY_ADDRESS_H

#include "errors.h"
#include "str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_BYTES = 46, NETWORKS_MAX = 32 };

struct address {
    unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};

bool address_of(const struct sockaddr_storage *from, struct address *address);
bool address_parse(struct view text, struct address *address); /* without port; [v6] is taken too */
bool address_is_v4(const struct address *address);
void address_print(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
/* What limits count by: the IPv4 address, or the /64 that a household gets. */
struct view address_owner(const struct address *address);

struct networks {
    size_t count;
    struct {
        struct address base;
        int bits; /* of 128 */
    } list[NETWORKS_MAX];
};
/* "10.0.0.0/8, 127.0.0.1, fd00::/8"; ERR_BAD_INPUT names the wrong one. */
bool networks_parse(const char *text, struct networks *networks, struct err *err);
bool networks_have(const struct networks *networks, const struct address *address);

/* "host:port" with a numeric host or a name that is resolved now (it may block). */
bool address_resolve(const char *host_port, struct sockaddr_storage *to, socklen_t *length, struct err *err);

#endif
