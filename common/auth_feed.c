#include "arena.h"
#include "clock.h"
#include "httpclient.h"
#include "log.h"
#include "mem.h"
#include "token.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A revoked session must be refused everywhere within 2 s, also when one of two instances of auth-svc hangs: then a
 * round costs one REVOKED_TIMEOUT_MS and perhaps one KEYS_TIMEOUT_MS more. */
enum {
    REVOKED_EVERY_MS = 1000,
    REVOKED_TIMEOUT_MS = 800,
    KEYS_EVERY_MS = 30000,
    KEYS_TIMEOUT_MS = 500,
    KEYS_REFRESH_MIN_MS = 5000,
    FIRST_TRY_EVERY_MS = 100, /* until both have answered once: daemons start together */
    ADDRESS_BYTES = 80,
    ARENA_MAX = 8 * 1024 * 1024,
};

struct auth_feed {
    struct auth_feed_options options;
    struct httpclient *client;
    struct arena *arena;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stop; never held during a call */
    pthread_cond_t wake;
    bool stop;
    _Atomic bool refresh_wanted, keys_known, revoked_known;
    /* the rest belongs to the thread */
    int64_t after;
    int64_t revoked_due_ms, keys_due_ms, keys_asked_ms; /* monotonic */
    bool lost;                                          /* the last round failed, and the log says so */
};

/* ---- GET /internal/revoked -----------------------------------------------------------------------------------------
 */

static bool read_i64(const cJSON *object, const char *name, int64_t *out)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(member) || !(member->valuedouble >= 0) || member->valuedouble > 9007199254740992.0)
        return false;
    *out = (int64_t)member->valuedouble;
    return true;
}

static bool read_uuid(const cJSON *object, const char *name, struct uuid *out)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text && uuid_parse(text, out);
}

static bool take_sessions(struct revoked *revoked, const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        struct uuid session;
        int64_t until_ms;
        if (!read_uuid(item, "sid", &session) || !read_i64(item, "until", &until_ms))
            return false;
        revoked_add_session(revoked, &session, until_ms);
    }
    return cJSON_IsArray(list);
}

static bool take_users(struct revoked *revoked, const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        struct uuid user;
        int64_t least, until_ms;
        if (!read_uuid(item, "user_id", &user) || !read_i64(item, "least_rv", &least) ||
            !read_i64(item, "until", &until_ms))
            return false;
        revoked_add_user(revoked, &user, least, until_ms);
    }
    return cJSON_IsArray(list);
}

/* What a wrong page has told so far stays: a revocation is never taken back. It is asked again. */
static bool take_page(struct auth_feed *feed, struct view body, bool *more, struct err *err)
{
    cJSON *page = cJSON_ParseWithLength(body.bytes, body.length);
    const cJSON *more_item = cJSON_GetObjectItemCaseSensitive(page, "more");
    int64_t last;
    bool ok = read_i64(page, "last", &last) && cJSON_IsBool(more_item) &&
              take_sessions(feed->options.revoked, cJSON_GetObjectItemCaseSensitive(page, "sessions")) &&
              take_users(feed->options.revoked, cJSON_GetObjectItemCaseSensitive(page, "users"));
    if (ok) {
        bool restored = last < feed->after; /* auth-svc's database is an older one: its numbers begin again */
        *more = cJSON_IsTrue(more_item) && last > feed->after;
        if (restored) {
            log_event(LOG_WARN, "revocations_start_again", LOG_I64("after", feed->after), LOG_I64("last", last));
            *more = true;
        }
        feed->after = restored ? 0 : last;
    }
    cJSON_Delete(page);
    return ok || err_set_internal(err, &ERR_UNAVAILABLE, "auth-svc: /internal/revoked is not as expected");
}

/* ---- asking --------------------------------------------------------------------------------------------------------
 */

static bool stopping(struct auth_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    bool stop = feed->stop;
    pthread_mutex_unlock(&feed->lock);
    return stop;
}

static bool get(struct auth_feed *feed, const char *address, const char *path, int timeout_ms, struct view *body,
                struct err *err)
{
    char url[ADDRESS_BYTES + 80];
    (void)snprintf(url, sizeof url, "http://%s%s", address, path);
    arena_reset(feed->arena);
    struct http_call call = {.method = "GET", .url = url, .timeout_ms = timeout_ms};
    struct http_answer answer = {0};
    if (!httpclient_call(feed->client, feed->arena, &call, &answer, err))
        return false;
    *body = answer.body;
    return answer.status == 200 ||
           err_set_internal(err, &ERR_UNAVAILABLE, "auth-svc at %s: GET %s gave %ld", address, path, answer.status);
}

static bool ask_revoked(struct auth_feed *feed, const char *address, struct err *err)
{
    bool more = true;
    while (more && !stopping(feed)) {
        char path[64];
        struct view body;
        (void)snprintf(path, sizeof path, "/internal/revoked?after=%" PRId64, feed->after);
        if (!get(feed, address, path, REVOKED_TIMEOUT_MS, &body, err) || !take_page(feed, body, &more, err))
            return false;
    }
    if (!more)
        feed->revoked_known = true;
    return true;
}

static bool ask_keys(struct auth_feed *feed, const char *address, struct err *err)
{
    struct view body;
    if (!get(feed, address, "/.well-known/jwks.json", KEYS_TIMEOUT_MS, &body, err) ||
        !keyset_load_jwks(feed->options.keys, body, err))
        return false;
    feed->keys_known = true;
    return true;
}

/* Asks an instance and, when that fails, at once another one. */
static bool ask_any(struct auth_feed *feed, bool (*ask)(struct auth_feed *, const char *, struct err *),
                    struct err *err)
{
    char first[ADDRESS_BYTES], second[ADDRESS_BYTES];
    if (!feed->options.find(feed->options.payload, first, sizeof first))
        return err_set_internal(err, &ERR_UNAVAILABLE, "no instance of auth-svc is known");
    if (ask(feed, first, err))
        return true;
    return !stopping(feed) && feed->options.find(feed->options.payload, second, sizeof second) &&
           strcmp(first, second) != 0 && ask(feed, second, err);
}

/* Says once that auth-svc is away, and once that it is back. */
static void tell(struct auth_feed *feed, bool ok, const struct err *err)
{
    if (ok && feed->lost)
        log_event(LOG_INFO, "auth_feed_back", LOG_I64("after", feed->after));
    if (!ok && !feed->lost)
        log_event(LOG_WARN, "auth_feed_lost", LOG_TEXT("reason", err->detail[0] ? err->detail : err->message));
    feed->lost = !ok;
}

/* ---- the thread ----------------------------------------------------------------------------------------------------
 */

/* Monotonic; a wanted refresh makes the keys due earlier. Revocations come first: with keys alone, a token whose
 * session has ended would be believed. */
static int64_t keys_due(const struct auth_feed *feed)
{
    if (!feed->revoked_known)
        return INT64_MAX;
    int64_t earliest_ms = feed->keys_asked_ms + KEYS_REFRESH_MIN_MS;
    return feed->refresh_wanted && earliest_ms < feed->keys_due_ms ? earliest_ms : feed->keys_due_ms;
}

static int64_t next_due(const struct auth_feed *feed)
{
    int64_t keys_ms = keys_due(feed);
    return keys_ms < feed->revoked_due_ms ? keys_ms : feed->revoked_due_ms;
}

static void do_what_is_due(struct auth_feed *feed)
{
    struct err err = {0};
    bool ok = true;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= feed->revoked_due_ms) {
        ok = ask_any(feed, ask_revoked, &err);
        feed->revoked_due_ms = now_ms + (feed->revoked_known ? REVOKED_EVERY_MS : FIRST_TRY_EVERY_MS);
    }
    if (now_ms >= keys_due(feed)) {
        feed->refresh_wanted = false;
        feed->keys_asked_ms = now_ms;
        bool keys_ok = ask_any(feed, ask_keys, &err);
        int again_ms = keys_ok ? KEYS_EVERY_MS : feed->keys_known ? REVOKED_EVERY_MS : FIRST_TRY_EVERY_MS;
        feed->keys_due_ms = now_ms + again_ms;
        ok = ok && keys_ok;
    }
    tell(feed, ok, &err);
}

static void *feed_run(void *payload)
{
    struct auth_feed *feed = payload;
    while (!stopping(feed)) {
        do_what_is_due(feed);
        pthread_mutex_lock(&feed->lock);
        while (!feed->stop && clock_monotonic_ms() < next_due(feed)) {
            int64_t until_ms = next_due(feed);
            struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
            pthread_cond_timedwait(&feed->wake, &feed->lock, &until);
        }
        pthread_mutex_unlock(&feed->lock);
    }
    return NULL;
}

static bool start_thread(struct auth_feed *feed, struct err *err)
{
    sigset_t all, before; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&feed->thread, NULL, feed_run, feed);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_set_internal(err, &ERR_INTERNAL, "auth feed: no thread: %s", strerror(failed)) : true;
}

static void feed_free(struct auth_feed *feed)
{
    httpclient_release(&feed->client);
    arena_release(&feed->arena);
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

struct auth_feed *auth_feed_start(const struct auth_feed_options *options, struct err *err)
{
    struct auth_feed *feed = MEM_NEW(auth_feed);
    feed->options = *options;
    feed->keys_asked_ms = -KEYS_REFRESH_MIN_MS;
    feed->arena = arena_open(ARENA_MAX);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* auth-svc is on the inner network, where services speak plain HTTP */
    feed->client = httpclient_open(&(struct httpclient_options){.allow_http = true,
                                                                .connect_timeout_ms = KEYS_TIMEOUT_MS,
                                                                .timeout_ms = REVOKED_TIMEOUT_MS},
                                   err);
    if (!feed->client || !start_thread(feed, err)) {
        feed_free(feed);
        return NULL;
    }
    return feed;
}

void auth_feed_release(struct auth_feed **feed)
{
    struct auth_feed *old = TAKE(*feed);
    if (!old)
        return;
    pthread_mutex_lock(&old->lock);
    old->stop = true;
    pthread_cond_signal(&old->wake);
    pthread_mutex_unlock(&old->lock);
    pthread_join(old->thread, NULL);
    feed_free(old);
}

bool auth_feed_ready(void *feed)
{
    const struct auth_feed *it = feed;
    return it->keys_known && it->revoked_known;
}

void auth_feed_refresh(void *feed)
{
    struct auth_feed *it = feed;
    if (atomic_exchange(&it->refresh_wanted, true))
        return; /* somebody has asked already */
    pthread_mutex_lock(&it->lock);
    pthread_cond_signal(&it->wake);
    pthread_mutex_unlock(&it->lock);
}
