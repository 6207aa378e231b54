#include "http_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* v4 and v6 in one form, so that ::ffff:127.0.0.1 is 127.0.0.1. *v4 tells how it was written. */
static bool parse_address(const char *text, struct in6_addr *address, bool *v4)
{
    struct in_addr four;
    *v4 = inet_pton(AF_INET, text, &four) == 1;
    if (!*v4)
        return inet_pton(AF_INET6, text, address) == 1;
    *address = (struct in6_addr){0};
    address->s6_addr[10] = address->s6_addr[11] = 0xff;
    memcpy(address->s6_addr + 12, &four, sizeof four);
    return true;
}

static void print_address(const struct in6_addr *address, char text[INET6_ADDRSTRLEN])
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        (void)inet_ntop(AF_INET, address->s6_addr + 12, text, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, address, text, INET6_ADDRSTRLEN);
}

static bool parse_network(const char *text, size_t length, struct http_network *network)
{
    char copy[INET6_ADDRSTRLEN + 5], *slash, *end;
    bool v4;
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (!parse_address(copy, &network->address, &v4))
        return false;
    long most = v4 ? 32 : 128, bits = most;
    if (slash) {
        bits = strtol(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || bits < 0 || bits > most)
            return false;
    }
    network->bits = (int)(bits + (v4 ? 96 : 0));
    return true;
}

bool http_networks_parse(struct http_networks *networks, const char *text, struct err *err)
{
    networks->count = 0;
    while (text && *text) {
        text += strspn(text, ", ");
        size_t length = strcspn(text, ", ");
        if (length == 0)
            break;
        if (networks->count == sizeof networks->list / sizeof networks->list[0])
            return err_set(err, &ERR_BAD_INPUT, "GATEWAY_ADDRESSES: too many");
        if (!parse_network(text, length, &networks->list[networks->count++]))
            return err_set(err, &ERR_BAD_INPUT, "GATEWAY_ADDRESSES: \"%.*s\" is no address or network", (int)length,
                           text);
        text += length;
    }
    return true;
}

static bool contains(const struct http_networks *networks, const struct in6_addr *address)
{
    for (size_t i = 0; i < networks->count; i++) {
        const struct http_network *network = &networks->list[i];
        size_t whole = (size_t)network->bits / 8;
        int rest = network->bits % 8;
        if (memcmp(address, &network->address, whole) != 0)
            continue;
        if (rest == 0 || ((address->s6_addr[whole] ^ network->address.s6_addr[whole]) >> (8 - rest)) == 0)
            return true;
    }
    return false;
}

void http_peer_set(struct http_peer *peer, const struct http_networks *networks, const struct sockaddr *address)
{
    struct in6_addr six = {0};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        six.s6_addr[10] = six.s6_addr[11] = 0xff;
        memcpy(six.s6_addr + 12, &four->sin_addr, sizeof four->sin_addr);
    } else {
        six = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    }
    print_address(&six, peer->address);
    peer->believed = contains(networks, &six);
}

void http_peer_client(const struct http_peer *peer, const struct http_networks *networks, const char *forwarded_for,
                      char client[INET6_ADDRSTRLEN])
{
    memcpy(client, peer->address, INET6_ADDRSTRLEN);
    if (!peer->believed || !forwarded_for)
        return;
    const char *end = forwarded_for + strlen(forwarded_for);
    while (end > forwarded_for) {
        const char *start = end;
        while (start > forwarded_for && start[-1] != ',')
            start--;
        const char *first = start + strspn(start, " \t"), *last = end;
        while (last > first && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;
        bool v4;
        if (last <= first || (size_t)(last - first) >= sizeof text)
            return;
        memcpy(text, first, (size_t)(last - first));
        text[last - first] = '\0';
        if (!parse_address(text, &address, &v4))
            return; /* what stands left of a wrong entry can't be believed */
        print_address(&address, client);
        if (!contains(networks, &address))
            return;
        end = start > forwarded_for ? start - 1 : start;
    }
}
