#include "events.h"

#include "app.h"
#include "deliver.h"
#include "hub.h"
#include "log.h"
#include "metrics.h"
#include "topics.h"
#include "wake.h"

const char *const NOTIFY_TOPICS[] = {TOPIC_ACCOUNTS,
                                     TOPIC_SESSIONS_ENDED,
                                     TOPIC_NOTIFY_REQUESTS,
                                     TOPIC_PUSH_REQUESTS,
                                     TOPIC_NOTIFY_SETTINGS,
                                     TOPIC_PRESENCE_SIGNALS,
                                     NULL};

/* ---- out ---- */

struct outbox_event event_push(struct arena *arena, const struct push_notice *push)
{
    const struct notice_request *request = push->request;
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "push", NULL);
    json_text(&out, "user_id", push->user_id);
    json_text(&out, "title", push->title);
    json_text(&out, "body", push->body);
    json_open(&out, "data", '{'); /* texts only: push services take nothing else */
    json_text(&out, "kind", request->kind->name);
    json_text(&out, "notification_id", push->notice_id);
    for (size_t i = 0; i < request->args.count; i++)
        json_text(&out, arena_printf(arena, "args.%s", request->args.items[i].name), request->args.items[i].value);
    json_close(&out, '}');
    json_text(&out, "collapse_key", NULL);
    json_i64(&out, "ttl_seconds", request->kind->worth_s);
    json_text(&out, "dedupe_id", request->dedupe_id);
    json_text(&out, "source", "notify");
    json_bool(&out, "urgent", request->kind->locked);
    return event_close(arena, &out, TOPIC_PUSH_REQUESTS, push->user_id, push->origin.request_id,
                       push->origin.traceparent);
}

struct outbox_event event_settings(struct arena *arena, const char *user_id, const struct settings *settings,
                                   const struct origin *origin)
{
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "notify_settings", NULL);
    json_text(&out, "user_id", user_id);
    codec_quiet_hours(&out, "quiet_hours", &settings->quiet);
    json_open(&out, "push_off", '[');
    for (size_t i = 0; i < settings->choice_count; i++)
        if (settings->choices[i].named & ~settings->choices[i].wanted & CHANNEL_PUSH)
            json_text(&out, NULL, settings->choices[i].kind->name);
    json_close(&out, ']');
    json_i64(&out, "version", settings->version);
    return event_close(arena, &out, TOPIC_NOTIFY_SETTINGS, user_id, origin->request_id, origin->traceparent);
}

/* ---- in: workers ---- */

enum {
    BATCH_ARENA_BYTES = 256 * 1024 * 1024,
    ACCOUNTS_BATCH = 200,
    REQUESTS_BATCH = 100,
    SESSIONS_BATCH = 500,
    RECIPIENTS_AT_ONCE =
        1000, /* of one transaction, and the rest of the last request's: bounds its memory and its locks */
};

static struct metric *refused_metric(void)
{
    return metric_counter("madang_notify_refused_total", "Requests that went to the dead letters, by reason", "reason");
}

/* The worker tries a batch with a bad record one by one: only then it is told, so each once. */
static void tell_refused(const struct kafka_batch *batch, const struct err *err)
{
    static const char *const REASONS[] = {"unknown_kind", "missing_arg", "bad_request", NULL};
    if (batch->count != 1 || !err_is(err, &ERR_BAD_INPUT))
        return;
    const char *reason = "bad_request";
    for (int i = 0; REASONS[i]; i++)
        if (strcmp(err->detail, REASONS[i]) == 0)
            reason = REASONS[i];
    metric_add(METRIC_CHILD(refused_metric(), reason), 1);
    log_event(LOG_WARN, "request_refused", LOG_TEXT("reason", reason), LOG_TEXT("why", err->message),
              LOG_I64("partition", batch->partition), LOG_I64("offset", batch->records[0].offset));
}

/* One transaction, and the news of it. */
static bool apply_slice(const struct notify_app *app, const struct kafka_batch *slice,
                        const struct notice_request *requests, struct err *err)
{
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct apply_work work = {
        .arena = arena, .batch = slice, .requests = requests, .slack = &app->config->channels.slack};
    if (!store_apply_requests(app->db, &work, err))
        return false;
    metric_add(METRIC_CHILD(metric_counter("madang_notify_notices_total", "Notices stored in inboxes", NULL)),
               work.stored);
    if (work.woken.count > 0) {
        hub_wake(app->hub, work.woken.items, work.woken.count);
        wake_publish(app->redis, app->config->service.instance, work.woken.items, work.woken.count);
    }
    if (work.deliveries)
        deliver_wake(app->deliver);
    return true;
}

/* A batch is read whole, so that a bad record shows before anything is done, and applied in slices, each with its
 * offset: if a later one fails, the whole batch comes again and what is done is passed over. */
static bool requests_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct notify_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct notice_request *requests = arena_alloc(arena, batch->count * sizeof *requests);
    for (size_t i = 0; i < batch->count; i++) {
        if (!codec_request(arena, &batch->records[i], &requests[i], err)) {
            tell_refused(batch, err);
            return false;
        }
    }
    for (size_t first = 0, end; first < batch->count; first = end) {
        size_t recipients = 0;
        for (end = first; end < batch->count && recipients < RECIPIENTS_AT_ONCE; end++)
            recipients += requests[end].users.count + 1;
        const struct kafka_batch slice = {batch->topic, batch->partition, batch->records + first, end - first};
        if (!apply_slice(app, &slice, requests + first, err))
            return false;
    }
    return true;
}

static bool accounts_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct notify_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct account_copy *copies = accounts_decode(arena, batch, err);
    return copies && store_apply_accounts(app->db, arena, batch, copies, err);
}

static bool sessions_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct notify_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct session_end *ends = session_ends_decode(arena, batch, err);
    return ends && store_apply_sessions(app->db, arena, batch, ends, err);
}

const struct kafka_subscription NOTIFY_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_NOTIFY_REQUESTS,
     .apply = requests_apply,
     .batch_max = REQUESTS_BATCH,
     .poison = POISON_DEAD_LETTER},
    {.topic = TOPIC_ACCOUNTS, .apply = accounts_apply, .batch_max = ACCOUNTS_BATCH, .poison = POISON_STOP},
    {.topic = TOPIC_SESSIONS_ENDED, .apply = sessions_apply, .batch_max = SESSIONS_BATCH, .poison = POISON_DEAD_LETTER},
    {0},
};

/* ---- in: the listener ---- */

/* What is no end of a session is the worker's dead letter. */
static void sessions_hear(void *payload, const struct kafka_batch *batch)
{
    const struct notify_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    for (size_t i = 0; i < batch->count; i++) {
        struct session_end end;
        struct err ignored = {0};
        arena_reset(arena);
        const struct view bytes = batch->records[i].payload;
        if (bytes.bytes && JSON_DECODE_LENIENT(arena, bytes, SESSION_END_FIELDS, &end, &ignored))
            hub_end_session(app->hub, end.user_id, end.sid, end.reason);
    }
}

const struct kafka_listening NOTIFY_LISTENING[] = {
    {.topic = TOPIC_SESSIONS_ENDED, .hear = sessions_hear, .from = LISTEN_FROM_NOW},
    {0},
};
