#include "report.h"

#include "arena.h"
#include "clock.h"
#include "httpclient.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "uuid.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAITING_MAX = 16,
    GROUPS_MAX = 64,
    A_MINUTE_MS = 60000,
    A_MINUTE_MOST = 10,
    CALL_MS = 2000,
    LINE_BYTES = 4096,
    ACTION_BYTES = 64,
};

struct waiting {
    char action[ACTION_BYTES], line[LINE_BYTES];
    int64_t at_ms, held_back;
};

/* Of one action: when it was told last, and how often it was not. */
struct group {
    char action[ACTION_BYTES];
    int64_t told_ms, held_back;
};

static struct {
    char *service, *instance, *environment, *url, *auth;
    struct httpclient *client;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t news;
    bool open, stop;
    struct waiting *waiting;
    size_t first, count;
    struct group groups[GROUPS_MAX];
    size_t group_count;
    int64_t minute_ms;
    int in_minute;
    struct metric_child *sent, *held, *lost;
} report = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

/* ---- keeping; holds the lock ---- */

/* The last group is everybody's who found no place. */
static struct group *group_of(const char *action)
{
    for (size_t i = 0; i < report.group_count; i++)
        if (strcmp(report.groups[i].action, action) == 0)
            return &report.groups[i];
    if (report.group_count == GROUPS_MAX)
        return &report.groups[GROUPS_MAX - 1];
    struct group *group = &report.groups[report.group_count++];
    (void)snprintf(group->action, sizeof group->action, "%s", action);
    group->told_ms = -A_MINUTE_MS;
    return group;
}

static bool may_tell(const struct group *group, int64_t now_ms)
{
    if (now_ms - report.minute_ms >= A_MINUTE_MS) {
        report.minute_ms = now_ms;
        report.in_minute = 0;
    }
    return now_ms - group->told_ms >= A_MINUTE_MS && report.in_minute < A_MINUTE_MOST && report.count < WAITING_MAX;
}

static void hear(const char *action, const char *line, size_t length)
{
    const int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&report.lock);
    struct group *group = report.open ? group_of(action) : NULL;
    if (group && may_tell(group, now_ms)) {
        struct waiting *waiting = &report.waiting[(report.first + report.count++) % WAITING_MAX];
        (void)snprintf(waiting->action, sizeof waiting->action, "%s", action);
        (void)snprintf(waiting->line, sizeof waiting->line, "%.*s", (int)length, line);
        waiting->at_ms = clock_now_ms();
        waiting->held_back = group->held_back;
        group->told_ms = now_ms;
        group->held_back = 0;
        report.in_minute++;
        pthread_cond_signal(&report.news);
    } else if (group) {
        group->held_back++;
        metric_add(report.held, 1);
    }
    pthread_mutex_unlock(&report.lock);
}

/* ---- sending ---- */

static void print_event(struct str *out, const struct waiting *waiting, const char *id)
{
    char seconds[32];
    (void)snprintf(seconds, sizeof seconds, "%lld.%03d", (long long)(waiting->at_ms / 1000),
                   (int)(waiting->at_ms % 1000));
    json_open(out, NULL, '{');
    json_text(out, "event_id", id);
    json_raw(out, "timestamp", seconds);
    json_text(out, "platform", "native");
    json_text(out, "level", "error");
    json_text(out, "logger", report.service);
    json_text(out, "server_name", report.instance);
    json_text(out, "environment", report.environment);
    json_text(out, "release", "madang@" VERSION);
    json_text(out, "message", waiting->action);
    json_open(out, "tags", '{');
    json_text(out, "service", report.service);
    json_text(out, "action", waiting->action);
    json_close(out, '}');
    json_open(out, "fingerprint", '[');
    json_text(out, NULL, report.service);
    json_text(out, NULL, waiting->action);
    json_close(out, ']');
    json_open(out, "extra", '{');
    json_text(out, "line", waiting->line);
    json_i64(out, "held_back", waiting->held_back);
    json_close(out, '}');
    json_close(out, '}');
}

/* Three lines: the envelope's head, the item's, the event. */
static bool send_one(const struct waiting *waiting)
{
    char id[UUID_TEXT_BYTES], plain[33];
    const char *headers[] = {"Content-Type: application/x-sentry-envelope", report.auth, NULL};
    AUTO(arena) arena = arena_open(64 * 1024);
    AUTO_STR body;
    str_init(&body);
    uuid_new(id);
    (void)snprintf(plain, sizeof plain, "%.8s%.4s%.4s%.4s%.12s", id, id + 9, id + 14, id + 19, id + 24);
    str_printf(&body, "{\"event_id\":\"%s\"}\n{\"type\":\"event\"}\n", plain);
    print_event(&body, waiting, plain);
    str_add_char(&body, '\n');
    const struct http_call call = {.method = "POST",
                                   .url = report.url,
                                   .headers = headers,
                                   .body = {body.bytes, body.length},
                                   .timeout_ms = CALL_MS};
    struct http_answer answer;
    struct err err = {0};
    return httpclient_call(report.client, arena, &call, &answer, &err) && answer.status >= 200 && answer.status < 300;
}

static void *run(void *payload)
{
    AUTO_FREE struct waiting *one = MEM_NEW(waiting);
    (void)payload;
    for (bool last = false, away = false; !last;) {
        pthread_mutex_lock(&report.lock);
        while (!report.count && !report.stop)
            pthread_cond_wait(&report.news, &report.lock);
        const bool some = report.count > 0;
        if (some) {
            *one = report.waiting[report.first];
            report.first = (report.first + 1) % WAITING_MAX;
            report.count--;
        }
        last = report.stop && (!report.count || away);
        pthread_mutex_unlock(&report.lock);
        away = some && !send_one(one);
        if (some)
            metric_add(away ? report.lost : report.sent, 1);
    }
    return NULL;
}

/* ---- opening and closing ---- */

/* https://key@host:port/path/7 -> https://host:port/path/api/7/envelope/ */
static bool take_dsn(const char *dsn, struct err *err)
{
    const char *scheme = strstr(dsn, "://"), *at = scheme ? strchr(scheme + 3, '@') : NULL;
    const char *slash = at ? strrchr(at, '/') : NULL;
    if (!slash || at == scheme + 3 || slash == at + 1 || !slash[1] || strlen(dsn) > 400 ||
        (strncmp(dsn, "https://", 8) != 0 && strncmp(dsn, "http://", 7) != 0))
        return err_set(err, &ERR_BAD_INPUT, "SENTRY_DSN must be scheme://key@host/project");
    AUTO_STR text;
    str_init(&text);
    str_printf(&text, "%.*s://%.*s/api/%s/envelope/", (int)(scheme - dsn), dsn, (int)(slash - at - 1), at + 1,
               slash + 1);
    report.url = mem_text(text.bytes);
    str_clear(&text);
    str_printf(&text, "X-Sentry-Auth: Sentry sentry_version=7, sentry_client=madang/" VERSION ", sentry_key=%.*s",
               (int)strcspn(scheme + 3, ":@"), scheme + 3);
    report.auth = mem_text(text.bytes);
    return true;
}

bool report_open(const char *service, const char *instance, const char *environment, const char *dsn, struct err *err)
{
    if (!*dsn)
        return true;
    if (!take_dsn(dsn, err))
        return false;
    struct metric *reports =
        metric_counter("madang_reports_total", "Reports of faults by what became of them", "result");
    report.sent = METRIC_CHILD(reports, "sent");
    report.held = METRIC_CHILD(reports, "held_back");
    report.lost = METRIC_CHILD(reports, "lost");
    report.client = httpclient_open(&(struct httpclient_options){.allow_http = true, .timeout_ms = CALL_MS}, err);
    if (!report.client)
        return false;
    report.service = mem_text(service);
    report.instance = mem_text(instance);
    report.environment = mem_text(environment);
    report.waiting = mem_new(WAITING_MAX, sizeof *report.waiting);
    report.stop = false;
    report.open = true;
    report.group_count = 0;
    report.minute_ms = clock_monotonic_ms();
    report.in_minute = 0;
    if (pthread_create(&report.thread, NULL, run, NULL) != 0)
        return err_set_internal(err, &ERR_INTERNAL, "no thread for reports");
    log_on_error(hear);
    return true;
}

void report_close(void)
{
    pthread_mutex_lock(&report.lock);
    const bool open = report.open;
    report.open = false;
    report.stop = true;
    pthread_cond_signal(&report.news);
    pthread_mutex_unlock(&report.lock);
    if (!open)
        return;
    log_on_error(NULL);
    (void)pthread_join(report.thread, NULL);
    httpclient_release(&report.client);
    free(report.service);
    free(report.instance);
    free(report.environment);
    free(report.url);
    free(report.auth);
    free(report.waiting);
    report.waiting = NULL;
    report.first = report.count = 0;
}
