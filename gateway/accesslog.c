#include "accesslog.h"

#include "exchange.h"
#include "json.h"
#include "mem.h"
#include "metrics.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 1024 * 1024, WRITE_EVERY_MS = 100, FLUSH_AT_ONCE = 64 * 1024, LINE_BYTES = 1024 };

struct access_log {
    struct str same; /* of each line: level, action, who writes */
    pthread_t thread;
    pthread_mutex_t lock; /* guards held and stop */
    pthread_cond_t wake;
    struct str held;
    bool stop;
    struct metric_child *dropped;
};

static void write_all(const char *bytes, size_t length)
{
    while (length) {
        ssize_t n = write(STDERR_FILENO, bytes, length);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (n < 0) { /* somebody made the descriptor non-blocking */
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            continue;
        }
        bytes += n;
        length -= (size_t)n;
    }
}

static void wait_a_little(struct access_log *log)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WRITE_EVERY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&log->wake, &log->lock, &until);
}

static void *run(void *payload)
{
    struct access_log *log = payload;
    struct str mine;
    str_init(&mine);
    (void)pthread_mutex_lock(&log->lock);
    while (!log->stop || log->held.length) {
        while (!log->stop && !log->held.length)
            (void)pthread_cond_wait(&log->wake, &log->lock);
        if (!log->stop && log->held.length < HELD_MAX / 4)
            wait_a_little(log); /* so that lines leave in few writes */
        struct str swap = mine;
        mine = log->held;
        log->held = swap;
        (void)pthread_mutex_unlock(&log->lock);
        write_all(mine.bytes, mine.length);
        if (mine.capacity > FLUSH_AT_ONCE)
            str_free(&mine);
        str_clear(&mine);
        (void)pthread_mutex_lock(&log->lock);
    }
    (void)pthread_mutex_unlock(&log->lock);
    str_free(&mine);
    return NULL;
}

struct access_log *accesslog_open(const char *instance, struct err *err)
{
    struct access_log *log = MEM_NEW(access_log);
    str_init(&log->same);
    str_add(&log->same, ",\"log.level\":\"info\",\"event.action\":\"request\",\"service.name\":\"gateway\"");
    json_text(&log->same, "service.node.name", instance);
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->wake, NULL);
    str_init(&log->held);
    log->dropped = METRIC_CHILD(
        metric_counter("madang_gateway_access_lines_dropped_total", "Access log lines that nobody took in time", NULL));
    int code = pthread_create(&log->thread, NULL, run, log);
    if (code == 0)
        return log;
    err_set_internal(err, &ERR_INTERNAL, "thread: %s", strerror(code));
    str_free(&log->held);
    str_free(&log->same);
    free(log);
    return NULL;
}

void accesslog_release(struct access_log **log)
{
    struct access_log *old = TAKE(*log);
    if (!old)
        return;
    (void)pthread_mutex_lock(&old->lock);
    old->stop = true;
    (void)pthread_cond_signal(&old->wake);
    (void)pthread_mutex_unlock(&old->lock);
    (void)pthread_join(old->thread, NULL);
    (void)pthread_cond_destroy(&old->wake);
    (void)pthread_mutex_destroy(&old->lock);
    str_free(&old->held);
    str_free(&old->same);
    free(old);
}

void accesslog_flush(struct loop *loop)
{
    struct access_log *log = loop->gateway->access_log;
    if (!log || !loop->log.length)
        return;
    (void)pthread_mutex_lock(&log->lock);
    bool was_empty = !log->held.length;
    if (log->held.length + loop->log.length <= HELD_MAX)
        str_add_bytes(&log->held, loop->log.bytes, loop->log.length);
    else
        metric_add(log->dropped, 1);
    if (was_empty)
        (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->lock);
    if (loop->log.capacity > FLUSH_AT_ONCE)
        str_free(&loop->log);
    str_clear(&loop->log);
}

/* ---- lines ---- */

/* Parameters whose values open doors: tickets, sign-in codes, signed links. */
static const char *const SECRETS[] = {"ticket",    "code",  "state", "token", "access_token", "refresh_token",
                                      "signature", "sig",   "proof", "key",   "password",     "id_token",
                                      "expires",   "email", "phone", NULL};

static bool secret(struct view name)
{
    for (size_t i = 0; SECRETS[i]; i++)
        if (view_equals_nocase(name, view_of(SECRETS[i])))
            return true;
    /* an encoded letter in a name could hide one */
    return name.length && memchr(name.bytes, '%', name.length);
}

static void put(char **at, const char *end, const char *bytes, size_t length)
{
    size_t room = (size_t)(end - *at);
    if (length > room)
        length = room;
    memcpy(*at, bytes, length);
    *at += length;
}

void accesslog_target(char *out, size_t size, struct view path, struct view query)
{
    char *at = out, *end = out + size - 1;
    put(&at, end, path.bytes, path.length);
    const char *part = query.bytes, *stop = part + query.length;
    for (char before = '?'; part < stop && at < end; before = '&') {
        const char *next = memchr(part, '&', (size_t)(stop - part));
        size_t length = (size_t)((next ? next : stop) - part);
        const char *equals = memchr(part, '=', length);
        size_t name = equals ? (size_t)(equals - part) : length;
        put(&at, end, &before, 1);
        put(&at, end, part, name);
        if (equals && secret((struct view){part, name}))
            put(&at, end, "=***", 4);
        else if (equals)
            put(&at, end, equals, length - name);
        part += length + 1;
    }
    *at = '\0';
}

#define ADD(out, literal) str_add_bytes((out), (literal), sizeof(literal) - 1)

/* Text that needs no escapes: targets as the parser lets them through, ids, names of ours. */
static void add_plain(struct str *out, struct view name, const char *text)
{
    if (!*text)
        return;
    str_add_bytes(out, name.bytes, name.length);
    str_add(out, text);
    str_add_char(out, '"');
}

/* The time to the second is formatted once a second. */
static void add_time(struct loop *loop, struct str *out)
{
    char rest[] = ".000Z\"";
    int ms = (int)(loop->wall_ms % 1000);
    rest[1] = (char)('0' + ms / 100);
    rest[2] = (char)('0' + ms / 10 % 10);
    rest[3] = (char)('0' + ms % 10);
    ADD(out, "{\"@timestamp\":\"");
    str_add_bytes(out, loop->stamp, sizeof loop->stamp);
    str_add_bytes(out, rest, sizeof rest - 1);
}

/* Without printf: at tens of thousands of lines a second that would cost as much as all else that is done here. */
void accesslog_line(struct exchange *x, int64_t took_us)
{
    const struct access_log *log = x->loop->gateway->access_log;
    if (!log)
        return;
    struct str *out = &x->loop->log;
    str_reserve(out, LINE_BYTES);
    add_time(x->loop, out);
    str_add_bytes(out, log->same.bytes, log->same.length);
    add_plain(out, VIEW(",\"http.request.id\":\""), x->request_id);
    add_plain(out, VIEW(",\"trace.id\":\""), x->trace_id);
    if (x->parsed)
        add_plain(out, VIEW(",\"http.request.method\":\""), HTTP1_METHOD_NAMES[x->method]);
    ADD(out, ",\"http.response.status_code\":");
    str_add_i64(out, x->status);
    ADD(out, ",\"event.duration\":");
    str_add_i64(out, took_us * 1000);
    add_plain(out, VIEW(",\"client.ip\":\""), x->address);
    ADD(out, ",\"http.request.body.bytes\":");
    str_add_i64(out, x->bytes_in);
    ADD(out, ",\"http.response.bytes\":");
    str_add_i64(out, x->bytes_out);
    add_plain(out, VIEW(",\"url.original\":\""), x->target);
    add_plain(out, VIEW(",\"user.id\":\""), x->user_id);
    if (x->route)
        add_plain(out, VIEW(",\"madang.service\":\""), x->route->service);
    if (x->instance[0])
        json_text(out, "madang.upstream", x->instance);
    if (x->tries > 1)
        json_i64(out, "madang.tries", x->tries);
    if (x->problem)
        json_text(out, "error.code", x->problem->code);
    if (x->truncated)
        json_bool(out, "madang.truncated", true);
    str_add(out, "}\n");
}
