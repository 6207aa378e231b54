#include "address.h"

#include "service.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const unsigned char MAPPED[12] = {[10] = 0xff, [11] = 0xff};

bool address_of(const struct sockaddr_storage *from, struct address *address)
{
    if (from->ss_family == AF_INET) {
        memcpy(address->bytes, MAPPED, sizeof MAPPED);
        memcpy(address->bytes + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    memcpy(address->bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    return true;
}

bool address_parse(struct view text, struct address *address)
{
    char copy[ADDRESS_TEXT_BYTES];
    if (text.length > 2 && text.bytes[0] == '[' && text.bytes[text.length - 1] == ']')
        text = (struct view){text.bytes + 1, text.length - 2};
    if (!text.length || text.length >= sizeof copy)
        return false;
    memcpy(copy, text.bytes, text.length);
    copy[text.length] = '\0';
    struct address parsed;
    memcpy(parsed.bytes, MAPPED, sizeof MAPPED);
    if (inet_pton(AF_INET, copy, parsed.bytes + 12) != 1 && inet_pton(AF_INET6, copy, parsed.bytes) != 1)
        return false;
    *address = parsed;
    return true;
}

bool address_is_v4(const struct address *address)
{
    return memcmp(address->bytes, MAPPED, sizeof MAPPED) == 0;
}

void address_print(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    bool v4 = address_is_v4(address);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? 12 : 0), text, ADDRESS_TEXT_BYTES))
        text[0] = '\0';
}

struct view address_owner(const struct address *address)
{
    return (struct view){(const char *)address->bytes, address_is_v4(address) ? 16 : 8};
}

static bool network_parse(struct view word, struct networks *networks)
{
    if (networks->count == NETWORKS_MAX)
        return false;
    const char *slash = memchr(word.bytes, '/', word.length);
    struct view base = {word.bytes, slash ? (size_t)(slash - word.bytes) : word.length};
    struct address address;
    if (!address_parse(base, &address))
        return false;
    int most = address_is_v4(&address) ? 32 : 128, bits = most;
    if (slash) {
        char *end;
        long value = strtol(slash + 1, &end, 10);
        if (end == slash + 1 || end != word.bytes + word.length || value < 0 || value > most)
            return false;
        bits = (int)value;
    }
    networks->list[networks->count].base = address;
    networks->list[networks->count++].bits = bits + 128 - most;
    return true;
}

bool networks_parse(const char *text, struct networks *networks, struct err *err)
{
    networks->count = 0;
    while (*text) {
        text += strspn(text, ", \t");
        size_t length = strcspn(text, ", \t");
        if (length && !network_parse((struct view){text, length}, networks))
            return err_set(err, &ERR_BAD_INPUT, "\"%.*s\" is not an address or network", (int)length, text);
        text += length;
    }
    return true;
}

bool networks_have(const struct networks *networks, const struct address *address)
{
    for (size_t i = 0; i < networks->count; i++) {
        const unsigned char *base = networks->list[i].base.bytes;
        int bits = networks->list[i].bits;
        if (memcmp(base, address->bytes, (size_t)bits / 8) != 0)
            continue;
        unsigned char mask = (unsigned char)(0xff00 >> bits % 8);
        if (bits % 8 == 0 || ((base[bits / 8] ^ address->bytes[bits / 8]) & mask) == 0)
            return true;
    }
    return false;
}

bool address_resolve(const char *host_port, struct sockaddr_storage *to, socklen_t *length, struct err *err)
{
    char host[64], service[8];
    int port;
    if (!service_split_address(host_port, host, &port, err))
        return false;
    (void)snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return err_set(err, &ERR_BAD_INPUT, "%.60s: %s", host_port, gai_strerror(code));
    memcpy(to, found->ai_addr, found->ai_addrlen);
    *length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}
