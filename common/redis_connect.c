#include "redis_internal.h"

#include "clock.h"
#include "percent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static bool wrong(struct err *err, const char *why)
{
    return err_set(err, &ERR_BAD_INPUT, "REDIS_URL: %s; expected redis://[user:password@]host[:port][/db]", why);
}

static bool take_part(const char *text, size_t length, char *out, size_t room)
{
    return percent_decode(text, length, false, out, room);
}

static bool take_login(struct redis_address *address, const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    size_t user = colon ? (size_t)(colon - text) : 0;
    if (!colon) /* redis://password@host */
        return take_part(text, length, address->password, sizeof address->password);
    return take_part(text, user, address->user, sizeof address->user) &&
           take_part(colon + 1, length - user - 1, address->password, sizeof address->password);
}

static bool take_number(const char *text, size_t length, int most, int *out)
{
    char *end;
    if (length == 0 || length > 5 || strspn(text, "0123456789") < length)
        return false;
    *out = (int)strtol(text, &end, 10);
    return *out <= most;
}

bool redis_address_parse(struct redis_address *address, const char *url, struct err *err)
{
    static const char SCHEME[] = "redis://";
    *address = (struct redis_address){.port = 6379};
    if (strncmp(url, SCHEME, sizeof SCHEME - 1) != 0)
        return wrong(err, "unknown scheme");
    const char *rest = url + sizeof SCHEME - 1;
    size_t authority = strcspn(rest, "/?#");
    const char *path = rest + authority, *at = memrchr(rest, '@', authority);
    if (at && !take_login(address, rest, (size_t)(at - rest)))
        return wrong(err, "wrong user or password");
    const char *host = at ? at + 1 : rest;
    bool bracket = *host == '[';
    const char *end = bracket ? memchr(host, ']', (size_t)(path - host)) : memchr(host, ':', (size_t)(path - host));
    if (bracket && !end)
        return wrong(err, "wrong host");
    const char *host_end = end ? end : path, *port = bracket ? end + 1 : host_end;
    host += bracket;
    if (host_end == host || !take_part(host, (size_t)(host_end - host), address->host, sizeof address->host))
        return wrong(err, "wrong host");
    if (port < path && (*port != ':' || !take_number(port + 1, (size_t)(path - port - 1), 65535, &address->port)))
        return wrong(err, "wrong port");
    if (*path == '/' && path[1] && !take_number(path + 1, strlen(path + 1), 9999, &address->db))
        return wrong(err, "wrong database number");
    return (*path == '\0' || *path == '/') || wrong(err, "something follows the address");
}

static struct timeval time_of(int64_t milliseconds)
{
    if (milliseconds < 1)
        milliseconds = 1;
    return (struct timeval){.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
}

static bool say(redisContext *context, int argc, const char **argv, struct err *err)
{
    redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
    bool ok = reply && reply->type != REDIS_REPLY_ERROR;
    if (!ok)
        err_set_internal(err, &ERR_UNAVAILABLE, "Redis refuses %s: %s", argv[0], reply ? reply->str : context->errstr);
    if (reply)
        freeReplyObject(reply);
    return ok;
}

static bool log_in(redisContext *context, const struct redis_address *address, struct err *err)
{
    char db[12];
    (void)snprintf(db, sizeof db, "%d", address->db);
    const char *named[] = {"AUTH", address->user, address->password}, *plain[] = {"AUTH", address->password};
    const char *choose[] = {"SELECT", db};
    if (*address->user && !say(context, 3, named, err))
        return false;
    if (!*address->user && *address->password && !say(context, 2, plain, err))
        return false;
    return address->db == 0 || say(context, 2, choose, err);
}

redisContext *redis_connect(const struct redis_address *address, int timeout_ms, struct err *err)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN); /* hiredis writes without MSG_NOSIGNAL; daemons ignore it anyhow */
    redisContext *context = redisConnectWithTimeout(address->host, address->port, time_of(timeout_ms));
    if (!context || context->err) {
        err_set_internal(err, &ERR_UNAVAILABLE, "no connection to Redis at %s:%d: %s", address->host, address->port,
                         context ? context->errstr : "out of memory");
    } else if (redisSetTimeout(context, time_of(until_ms - clock_monotonic_ms())) != REDIS_OK ||
               !log_in(context, address, err)) {
        if (!err->problem)
            err_set_internal(err, &ERR_UNAVAILABLE, "Redis: %s", context->errstr);
    } else if (redisSetTimeout(context, time_of(timeout_ms)) == REDIS_OK) {
        return context;
    }
    if (context)
        redisFree(context);
    return NULL;
}
