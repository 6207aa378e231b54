#include "routes.h"

#include "mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 64 * 1024, WORDS_MAX = 12, WORD_BYTES = 96 };
enum { BODY_DEFAULT = 64 * 1024, TIMEOUT_DEFAULT_MS = 15000 };

const char *const WHO_NAMES[WHOS] = {"open", "guest", "user", "admin", "stream"};

struct words {
    size_t count;
    char list[WORDS_MAX][WORD_BYTES];
};

/* Splits at blanks; '#' starts a comment. False when a word or the line is too long. */
static bool split_line(struct view line, struct words *words)
{
    words->count = 0;
    const char *at = line.bytes, *end = at + line.length;
    while (at < end) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
            at++;
        if (at == end || *at == '#')
            return true;
        const char *start = at;
        while (at < end && *at != ' ' && *at != '\t' && *at != '\r' && *at != '#')
            at++;
        size_t length = (size_t)(at - start);
        if (words->count == WORDS_MAX || length >= WORD_BYTES)
            return false;
        memcpy(words->list[words->count], start, length);
        words->list[words->count++][length] = '\0';
    }
    return true;
}

static const struct unit {
    const char *name;
    int64_t factor;
} SIZES[] = {{"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {NULL, 0}},
  TIMES[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {NULL, 0}};

static bool read_amount(const char *text, const struct unit *units, int64_t max, int64_t *out)
{
    char *rest;
    errno = 0;
    long long number = strtoll(text, &rest, 10);
    if (rest == text || *text < '0' || *text > '9' || errno)
        return false;
    for (; units->name; units++)
        if (strcmp(rest, units->name) == 0) {
            if (number > max / units->factor)
                return false;
            *out = number * units->factor;
            return true;
        }
    return false;
}

static bool read_rate(const char *text, struct path_route *route)
{
    static const struct unit PLAIN[] = {{"", 1}, {NULL, 0}};
    char rate[24];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : sizeof rate;
    if (length >= sizeof rate)
        return false;
    memcpy(rate, text, length);
    rate[length] = '\0';
    return read_amount(rate, PLAIN, 100000, &route->rate) && read_amount(slash + 1, PLAIN, 1000000, &route->burst) &&
           route->rate > 0 && route->burst > 0;
}

/* One word after the first three: a flag or name=value. */
static bool read_option(const char *word, struct path_route *route)
{
    if (strcmp(word, "upgrade") == 0)
        return route->upgrade = true;
    if (strcmp(word, "stream") == 0)
        return route->stream = true;
    if (strncmp(word, "body=", 5) == 0)
        return read_amount(word + 5, SIZES, (int64_t)1 << 32, &route->body_max);
    if (strncmp(word, "timeout=", 8) == 0)
        return read_amount(word + 8, TIMES, 3600000, &route->timeout_ms) && route->timeout_ms > 0;
    if (strncmp(word, "cache=", 6) == 0)
        return read_amount(word + 6, TIMES, 3600000, &route->cache_ms);
    if (strncmp(word, "rate=", 5) == 0)
        return read_rate(word + 5, route);
    return false;
}

/* One or more segments, each of unreserved characters and neither empty nor dots. */
static bool prefix_valid(const char *prefix)
{
    const char *at = prefix;
    while (*at == '/') {
        size_t length = strcspn(++at, "/");
        if (!length || (length <= 2 && strspn(at, ".") == length))
            return false;
        for (const char *c = at; c < at + length; c++)
            if (!strchr("-._~", *c) && !(*c >= '0' && *c <= '9') && !((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z'))
                return false;
        at += length;
    }
    return at > prefix && !*at;
}

static bool service_valid(const char *service)
{
    size_t length = strspn(service, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length < sizeof((struct path_route *)0)->service && !service[length];
}

static bool read_route(const struct words *words, int line, struct path_route *route, struct err *err)
{
    *route = (struct path_route){.body_max = BODY_DEFAULT, .timeout_ms = TIMEOUT_DEFAULT_MS};
    if (words->count < 3)
        return err_set(err, &ERR_BAD_INPUT, "line %d: needs a prefix, a service and who may call", line);
    if (!prefix_valid(words->list[0]))
        return err_set(err, &ERR_BAD_INPUT, "line %d: \"%s\" is not a prefix of whole segments", line, words->list[0]);
    if (strncmp(words->list[0], "/internal", 9) == 0 && strchr("/", words->list[0][9]))
        return err_set(err, &ERR_BAD_INPUT, "line %d: /internal is never routed", line);
    if (!service_valid(words->list[1]))
        return err_set(err, &ERR_BAD_INPUT, "line %d: \"%s\" is not the name of a service", line, words->list[1]);
    (void)snprintf(route->prefix, sizeof route->prefix, "%s", words->list[0]);
    route->prefix_length = strlen(route->prefix);
    (void)snprintf(route->service, sizeof route->service, "%.31s", words->list[1]);
    int who = 0;
    while (who < WHOS && strcmp(words->list[2], WHO_NAMES[who]) != 0)
        who++;
    if (who == WHOS)
        return err_set(err, &ERR_BAD_INPUT, "line %d: who is open, guest, user, admin or stream, not \"%s\"", line,
                       words->list[2]);
    route->who = (enum who)who;
    for (size_t i = 3; i < words->count; i++)
        if (!read_option(words->list[i], route))
            return err_set(err, &ERR_BAD_INPUT, "line %d: \"%s\" is not an option", line, words->list[i]);
    if (route->cache_ms && route->who != WHO_OPEN)
        return err_set(err, &ERR_BAD_INPUT, "line %d: only open routes can be kept", line);
    return true;
}

static bool add_route(struct routes *routes, const struct path_route *route, int line, struct err *err)
{
    if (routes->count == ROUTES_MAX)
        return err_set(err, &ERR_BAD_INPUT, "line %d: more than %d routes", line, ROUTES_MAX);
    int at = routes->count;
    for (int i = 0; i < routes->count; i++) {
        if (strcmp(routes->list[i].prefix, route->prefix) == 0)
            return err_set(err, &ERR_BAD_INPUT, "line %d: %s stands twice", line, route->prefix);
        if (at == routes->count && routes->list[i].prefix_length < route->prefix_length)
            at = i;
    }
    memmove(&routes->list[at + 1], &routes->list[at], (size_t)(routes->count - at) * sizeof *routes->list);
    routes->list[at] = *route;
    routes->count++;
    return true;
}

struct routes *routes_parse(struct view text, struct err *err)
{
    struct routes *routes = mem_new(1, sizeof *routes + ROUTES_MAX * sizeof *routes->list);
    atomic_init(&routes->users, 1);
    const char *at = text.bytes, *end = at + text.length;
    for (int line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        struct words words;
        struct path_route route;
        bool fine =
            split_line((struct view){at, length}, &words) || err_set(err, &ERR_BAD_INPUT, "line %d: too long", line);
        if (fine && words.count)
            fine = read_route(&words, line, &route, err) && add_route(routes, &route, line, err);
        if (!fine) {
            free(routes);
            return NULL;
        }
        at += length + 1;
    }
    if (!routes->count) {
        err_set(err, &ERR_BAD_INPUT, "no routes");
        free(routes);
        return NULL;
    }
    for (int i = 0; i < routes->count; i++)
        routes->list[i].index = i;
    return mem_grow(routes, 1, sizeof *routes + (size_t)routes->count * sizeof *routes->list);
}

struct routes *routes_load(const char *path, struct err *err)
{
    if (!*path)
        return routes_parse(view_of(ROUTES_DEFAULT), err);
    FILE *file = fopen(path, "re");
    if (!file) {
        err_set(err, &ERR_BAD_INPUT, "ROUTES_FILE: %s: %s", path, strerror(errno));
        return NULL;
    }
    AUTO_FREE char *text = mem_new(FILE_MAX + 1, 1);
    size_t length = fread(text, 1, FILE_MAX + 1, file);
    bool broken = ferror(file) != 0;
    (void)fclose(file);
    if (broken || length > FILE_MAX) {
        err_set(err, &ERR_BAD_INPUT, "ROUTES_FILE: %s can't be read or is larger than %d bytes", path, FILE_MAX);
        return NULL;
    }
    return routes_parse((struct view){text, length}, err);
}

struct routes *routes_share(struct routes *routes)
{
    atomic_fetch_add_explicit(&routes->users, 1, memory_order_relaxed);
    return routes;
}

void routes_release(struct routes **routes)
{
    struct routes *old = TAKE(*routes);
    if (old && atomic_fetch_sub_explicit(&old->users, 1, memory_order_acq_rel) == 1)
        free(old);
}

const struct path_route *routes_find(const struct routes *routes, struct view path)
{
    for (int i = 0; i < routes->count; i++) {
        const struct path_route *route = &routes->list[i];
        if (path.length < route->prefix_length || memcmp(path.bytes, route->prefix, route->prefix_length) != 0)
            continue;
        if (path.length == route->prefix_length || path.bytes[route->prefix_length] == '/')
            return route;
    }
    return NULL;
}
