#include "hub_internal.h"

#include "clock.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- users ---- */

enum { STREAMS_PER_USER = 20 }; /* as the gateway's STREAMS_PER_USER */

static size_t bucket_of(const char *id)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 1099511628211u;
    return (size_t)(hash >> 17) % BUCKETS;
}

struct hub_user *hub_find_user(struct hub *hub, const char *id)
{
    struct hub_user *user = hub->buckets[bucket_of(id)];
    while (user && strcmp(user->id, id) != 0)
        user = user->next;
    return user;
}

static struct hub_user *take_user(struct hub *hub, const char *id)
{
    struct hub_user *user = hub_find_user(hub, id);
    if (user)
        return user;
    user = MEM_NEW(hub_user);
    memcpy(user->id, id, sizeof user->id);
    struct hub_user **bucket = &hub->buckets[bucket_of(id)];
    user->next = *bucket;
    *bucket = user;
    hub->user_count++;
    return user;
}

static void drop_user(struct hub *hub, struct hub_user *user)
{
    struct hub_user **at = &hub->buckets[bucket_of(user->id)];
    while (*at != user)
        at = &(*at)->next;
    *at = user->next;
    hub_unmark(hub, user);
    hub->user_count--;
    free(user);
}

void hub_mark(struct hub *hub, struct hub_user *user)
{
    if (user->woken)
        return;
    user->woken = true;
    user->woken_before = hub->woken_last;
    user->woken_next = NULL;
    *(hub->woken_last ? &hub->woken_last->woken_next : &hub->woken_first) = user;
    hub->woken_last = user;
    (void)pthread_cond_signal(&hub->woken);
}

void hub_unmark(struct hub *hub, struct hub_user *user)
{
    if (!user->woken)
        return;
    *(user->woken_before ? &user->woken_before->woken_next : &hub->woken_first) = user->woken_next;
    *(user->woken_next ? &user->woken_next->woken_before : &hub->woken_last) = user->woken_before;
    user->woken = false;
}

/* ---- streams ---- */

void stream_bytes(struct stream *stream, const char *bytes, size_t length)
{
    /* A stream over its cap is cut by the server, and `ended` takes it from the table. */
    (void)http_stream_write(stream->out, (struct view){bytes, length});
    stream->written_ms = clock_monotonic_ms();
}

void stream_event(struct stream *stream, const char *event, int64_t id, const char *json, size_t length)
{
    AUTO_STR text;
    str_init(&text);
    if (id >= 0)
        str_printf(&text, "id: %lld\n", (long long)id);
    str_printf(&text, "event: %s\ndata: ", event);
    str_add_bytes(&text, json, length); /* JSON has no line breaks of its own */
    str_add(&text, "\n\n");
    stream_bytes(stream, text.bytes, text.length);
    metric_add(METRIC_CHILD(stream->hub->events, event), 1);
}

/* The connection is gone, or the stream was ended: on the server's thread. */
static void stream_ended(void *payload)
{
    struct stream *stream = payload;
    struct hub *hub = stream->hub;
    struct hub_user *user = stream->user;
    (void)pthread_mutex_lock(&hub->lock);
    struct stream **at = &user->streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    hub->stream_count--;
    if (!user->streams)
        drop_user(hub, user);
    (void)pthread_mutex_unlock(&hub->lock);
    if (hub->signals)
        signals_down(hub->signals, stream->connection);
    free(stream);
}

/* ---- sessions that ended a moment ago ---- */

static size_t ended_slot(const struct uuid *session)
{
    size_t slot;
    memcpy(&slot, session->bytes + sizeof session->bytes - sizeof slot, sizeof slot); /* the random end of a UUIDv7 */
    return slot & (ENDED_REMEMBERED - 1);
}

static bool ended_lately(const struct hub *hub, const struct uuid *session)
{
    const size_t slot = ended_slot(session);
    return memcmp(hub->ended[slot].session.bytes, session->bytes, sizeof session->bytes) == 0 &&
           clock_monotonic_ms() - hub->ended[slot].at_ms < ENDED_KEPT_MS;
}

void hub_end_session(struct hub *hub, const char *user_id, const char *session_id, const char *reason)
{
    struct uuid session;
    if (!uuid_parse(session_id, &session))
        return;
    AUTO_STR json;
    str_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "reason", reason);
    json_close(&json, '}');
    (void)pthread_mutex_lock(&hub->lock);
    const size_t slot = ended_slot(&session);
    hub->ended[slot].session = session;
    hub->ended[slot].at_ms = clock_monotonic_ms();
    struct hub_user *user = hub_find_user(hub, user_id);
    for (struct stream *stream = user ? user->streams : NULL; stream; stream = stream->next) {
        if (memcmp(stream->session.bytes, session.bytes, sizeof session.bytes) == 0) {
            stream_event(stream, "session_ended", -1, json.bytes, json.length);
            http_stream_end(stream->out);
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
}

/* ---- opening ---- */

static size_t streams_of(struct hub *hub, const char *user_id)
{
    const struct hub_user *user = hub_find_user(hub, user_id);
    size_t count = 0;
    for (const struct stream *stream = user ? user->streams : NULL; stream; stream = stream->next)
        count++;
    return count;
}

static bool may_open(struct hub *hub, const char *user_id, const struct uuid *session, struct err *err)
{
    if (hub->draining || hub->stop)
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "this instance is stopping");
    if (hub->stream_count >= (size_t)hub->options.streams_max)
        return err_set_retry(err, &ERR_OVERLOADED, 5, "too many streams are open");
    /* The gateway counts those whom it knows; who comes with the stream's cookie it does not. */
    if (streams_of(hub, user_id) >= STREAMS_PER_USER)
        return err_set_retry(err, &ERR_RATE_LIMITED, 5, "at most %d streams at once", STREAMS_PER_USER);
    return !ended_lately(hub, session) || err_set(err, &ERR_SESSION_ENDED, "the session has ended");
}

struct http_stream *hub_open(struct hub *hub, const char *user_id, const char *session_id, int64_t after,
                             struct err *err)
{
    struct stream *stream = MEM_NEW(stream);
    stream->hub = hub;
    stream->position = after;
    stream->written_ms = clock_monotonic_ms();
    if (!uuid_parse(session_id, &stream->session)) {
        free(stream);
        err_set(err, &ERR_TOKEN_INVALID, "no session");
        return NULL;
    }
    (void)pthread_mutex_lock(&hub->lock);
    const bool good = may_open(hub, user_id, &stream->session, err);
    if (good) {
        stream->out = http_stream_new(STREAM_CAP_BYTES, stream_ended, stream);
        stream->number = ++hub->last_number;
        stream->user = take_user(hub, user_id);
        stream->next = stream->user->streams;
        stream->user->streams = stream;
        hub->stream_count++;
        hub_mark(hub, stream->user);
    }
    struct http_stream *out = stream->out;
    (void)pthread_mutex_unlock(&hub->lock);
    /* `ended` can't run before the reply has the stream. */
    if (good && hub->signals)
        signals_up(hub->signals, user_id, stream->connection);
    if (good)
        return out;
    free(stream);
    return NULL;
}

void hub_wake(struct hub *hub, const char *const *users, size_t count)
{
    (void)pthread_mutex_lock(&hub->lock);
    for (size_t i = 0; i < count; i++) {
        struct hub_user *user = hub_find_user(hub, users[i]);
        if (user)
            hub_mark(hub, user);
    }
    (void)pthread_mutex_unlock(&hub->lock);
}

void hub_wake_all(struct hub *hub)
{
    (void)pthread_mutex_lock(&hub->lock);
    hub->look_all = true;
    (void)pthread_cond_signal(&hub->woken);
    (void)pthread_mutex_unlock(&hub->lock);
}

void hub_drain(struct hub *hub)
{
    char text[64];
    (void)pthread_mutex_lock(&hub->lock);
    hub->draining = true;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct hub_user *user = hub->buckets[i]; user; user = user->next) {
            for (struct stream *stream = user->streams; stream; stream = stream->next) {
                const int length =
                    snprintf(text, sizeof text, "retry: %d\n\n", 500 + (int)(stream->number * 37 % 3000));
                stream_bytes(stream, text, (size_t)length);
                http_stream_end(stream->out);
            }
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
}

/* ---- life ---- */

static int64_t count_streams(void *payload)
{
    return (int64_t)((struct hub *)payload)->stream_count;
}

void hub_use_signals(struct hub *hub, struct signals *signals)
{
    hub->signals = signals;
}

static void hub_free(struct hub *hub)
{
    metric_forget(hub);
    (void)pthread_cond_destroy(&hub->woken);
    (void)pthread_mutex_destroy(&hub->lock);
    free(hub);
}

struct hub *hub_start(const struct hub_options *options, struct err *err)
{
    struct hub *hub = MEM_NEW(hub);
    hub->options = *options;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&hub->lock, NULL);
    (void)pthread_cond_init(&hub->woken, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    hub->events = metric_counter("madang_notify_stream_events_total", "Events written to streams", "event");
    metric_gauge_read("madang_notify_streams", "Open event streams", count_streams, hub);
    hub->pump_runs = pthread_create(&hub->pump, NULL, hub_pump_run, hub) == 0;
    if (hub->pump_runs)
        return hub;
    err_set_internal(err, &ERR_INTERNAL, "no thread for the streams");
    hub_free(hub);
    return NULL;
}

/* The HTTP server has ended all streams before: none is left in the table. */
void hub_release(struct hub **hub)
{
    if (!*hub)
        return;
    (void)pthread_mutex_lock(&(*hub)->lock);
    (*hub)->stop = true;
    (void)pthread_cond_signal(&(*hub)->woken);
    (void)pthread_mutex_unlock(&(*hub)->lock);
    (void)pthread_join((*hub)->pump, NULL);
    hub_free(*hub);
    *hub = NULL;
}
