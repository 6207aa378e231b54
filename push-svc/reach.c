#include "reach.h"

#include "mem.h"
#include "problems.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool reach_open(struct reach *reach, const char *hosts, bool allow_inner, struct err *err)
{
    *reach = (struct reach){.allow_inner = allow_inner};
    for (const char *at = hosts; *(at += strspn(at, ", "));) {
        const size_t length = strcspn(at, ", ");
        if (reach->host_count == REACH_HOSTS_MAX || length >= REACH_HOST_BYTES)
            return err_set(err, &ERR_BAD_INPUT, "PUSH_WEB_HOSTS: at most %d hosts of %d characters", REACH_HOSTS_MAX,
                           REACH_HOST_BYTES - 1);
        memcpy(reach->hosts[reach->host_count], at, length);
        reach->hosts[reach->host_count++][length] = '\0';
        at += length;
    }
    return true;
}

/* ---- endpoints ---- */

static bool host_fits(const char *pattern, const char *host)
{
    if (strcmp(pattern, "*") == 0)
        return true;
    if (strncmp(pattern, "*.", 2) != 0)
        return strcasecmp(pattern, host) == 0;
    const size_t tail = strlen(pattern + 1), length = strlen(host);
    return length > tail && strcasecmp(host + length - tail, pattern + 1) == 0;
}

static bool host_is_listed(const struct reach *reach, const char *host)
{
    for (int i = 0; i < reach->host_count; i++)
        if (host_fits(reach->hosts[i], host))
            return true;
    return false;
}

/* Parts of a URL as curl itself reads it: who checks and who connects must not differ. */
struct parts {
    CURLU *url;
    char *scheme, *host, *port, *user, *password;
};

static void parts_free(struct parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->user);
    curl_free(parts->password);
    curl_url_cleanup(parts->url);
}

static bool parts_read(struct parts *parts, const char *text)
{
    *parts = (struct parts){.url = curl_url()};
    if (!parts->url ||
        curl_url_set(parts->url, CURLUPART_URL, text, CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        return false;
    (void)curl_url_get(parts->url, CURLUPART_USER, &parts->user, 0);
    (void)curl_url_get(parts->url, CURLUPART_PASSWORD, &parts->password, 0);
    return curl_url_get(parts->url, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
           curl_url_get(parts->url, CURLUPART_HOST, &parts->host, 0) == CURLUE_OK &&
           curl_url_get(parts->url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

static bool is_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '\\' || *c == '"' || *c == '<' || *c == '>')
            return false;
    return true;
}

static bool parts_allowed(const struct reach *reach, const struct parts *parts, struct err *err)
{
    if (strcmp(parts->scheme, "https") != 0)
        return err_add_field(err, "/subscription/endpoint", "must be https");
    if (parts->user || parts->password)
        return err_add_field(err, "/subscription/endpoint", "must not name a user");
    if (!reach->allow_inner && strcmp(parts->port, "443") != 0)
        return err_set(err, &ERR_ENDPOINT_REFUSED, "a push service answers at port 443");
    if (!host_is_listed(reach, parts->host))
        return err_set(err, &ERR_ENDPOINT_REFUSED, "this is not a push service we know");
    return true;
}

bool reach_endpoint(const struct reach *reach, const char *url, struct err *err)
{
    if (strlen(url) > ENDPOINT_MAX)
        return err_add_field(err, "/subscription/endpoint", "at most %d characters", ENDPOINT_MAX);
    struct parts parts = {0};
    const bool is_url = is_plain(url) && strncasecmp(url, "https://", 8) == 0 && parts_read(&parts, url);
    if (!is_url)
        (void)err_add_field(err, "/subscription/endpoint", "must be an https URL");
    const bool allowed = is_url && parts_allowed(reach, &parts, err);
    parts_free(&parts);
    return allowed;
}

void reach_origin(const char *url, char *out)
{
    struct parts parts;
    *out = '\0';
    if (parts_read(&parts, url)) {
        const bool usual = strcmp(parts.port, "443") == 0;
        (void)snprintf(out, ENDPOINT_MAX, "https://%s%s%s", parts.host, usual ? "" : ":", usual ? "" : parts.port);
    }
    parts_free(&parts);
}

/* ---- addresses ---- */

/* What is not the public Internet: RFC 6890 and its kin. */
static const struct {
    uint32_t network;
    int bits;
} INNER_4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* carrier's */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link, where clouds keep their secrets */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};

static bool is_public_4(uint32_t address)
{
    for (size_t i = 0; i < ARRAY_LENGTH(INNER_4); i++)
        if ((address ^ INNER_4[i].network) >> (32 - INNER_4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Only global unicast, 2000::/3; what carries an IPv4 address inside is judged by that one. */
static bool is_public_6(const unsigned char *a)
{
    static const unsigned char MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const unsigned char NAT64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(a, MAPPED, 12) == 0 || memcmp(a, NAT64, 12) == 0)
        return is_public_4(number_at(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return is_public_4(number_at(a + 2));
    const bool teredo = a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0;
    const bool documentation = a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8;
    return a[0] >> 5 == 1 && !teredo && !documentation;
}

static bool is_loopback_6(const unsigned char *a)
{
    static const unsigned char ONE[16] = {[15] = 1};
    return memcmp(a, ONE, 16) == 0;
}

bool reach_address(const struct reach *reach, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        const uint32_t number = ntohl(in->sin_addr.s_addr);
        return is_public_4(number) || (reach->allow_inner && number >> 24 == 127);
    }
    if (address->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in = (const void *)address;
    return is_public_6(in->sin6_addr.s6_addr) || (reach->allow_inner && is_loopback_6(in->sin6_addr.s6_addr));
}
