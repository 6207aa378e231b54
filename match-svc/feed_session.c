#include "feed_internal.h"

#include "clock.h"
#include "feed_tell.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

/* ---- what is sent ---- */

void session_say(struct feed_session *session, struct ws_frame *frame)
{
    if (!session->over)
        ws_send(session->connection, frame);
}

static void say_scratch(struct feed_session *session)
{
    struct ws_frame *frame = feed_frame(session->feed);
    session_say(session, frame);
    ws_frame_release(&frame);
}

/* Half of what may wait: so a reader is behind, and conflated, long before its queue is cut. */
static bool has_room(const struct feed_session *session)
{
    return ws_queued_bytes(session->connection) < session->feed->options.output_max / 2;
}

static void fall_behind(struct feed_session *session)
{
    struct feed *feed = session->feed;
    if (session->behind_ms)
        return;
    session->behind_ms = clock_monotonic_ms();
    session->behind_next = feed->behind;
    if (feed->behind)
        feed->behind->behind_previous = session;
    feed->behind = session;
}

static void keep_up(struct feed_session *session)
{
    struct feed *feed = session->feed;
    if (!session->behind_ms)
        return;
    if (session->behind_previous)
        session->behind_previous->behind_next = session->behind_next;
    else
        feed->behind = session->behind_next;
    if (session->behind_next)
        session->behind_next->behind_previous = session->behind_previous;
    session->behind_next = session->behind_previous = NULL;
    session->behind_ms = 0;
}

void session_give(struct feed_sub *sub, struct ws_frame *frame)
{
    struct feed_session *session = sub->session;
    struct feed *feed = session->feed;
    if (session->over)
        return;
    if (sub->behind || !has_room(session)) {
        sub->behind = true;
        metric_add(feed->m_conflated, 1);
        fall_behind(session);
        return;
    }
    metric_add(feed->m_delivered, 1);
    ws_send(session->connection, frame);
}

static void end(struct feed_session *session, int code, const char *reason)
{
    if (session->over)
        return;
    session->over = true;
    ws_close(session->connection, code, reason);
}

/* ---- subscriptions ---- */

static struct feed_sub *find_sub(const struct feed_session *session, enum feed_channel channel,
                                 const struct uuid *company)
{
    struct feed_sub *sub = session->subs;
    while (sub && !(sub->channel == channel && memcmp(&sub->company->node.id, company, sizeof *company) == 0))
        sub = sub->session_next;
    return sub;
}

void session_drop_sub(struct feed_sub *sub)
{
    struct feed_session *session = sub->session;
    struct feed_sub **at = &session->subs;
    while (*at != sub)
        at = &(*at)->session_next;
    *at = sub->session_next;
    session->sub_count--;
    company_remove_sub(session->feed, sub);
    free(sub);
}

static struct feed_sub *add_sub(struct feed_session *session, const struct feed_ask *ask, struct err *err)
{
    struct feed *feed = session->feed;
    if (session->sub_count >= SUBSCRIPTIONS_MAX) {
        err_set(err, &ERR_RATE_LIMITED, "at most %d subscriptions of a socket", SUBSCRIPTIONS_MAX);
        return NULL;
    }
    struct feed_company *company = company_get(feed, &ask->company);
    if (!company) {
        err_set(err, &ERR_NOT_FOUND, "no such company in a running round");
        return NULL;
    }
    struct feed_sub *sub = MEM_NEW(feed_sub);
    sub->session = session;
    sub->channel = ask->channel;
    sub->session_next = session->subs;
    session->subs = sub;
    session->sub_count++;
    company_add_sub(feed, company, sub);
    return sub;
}

/* To subscribe again is to ask for a snapshot again. */
static bool subscribe(struct feed_session *session, const struct feed_ask *ask, struct err *err)
{
    struct feed_sub *sub = find_sub(session, ask->channel, &ask->company);
    if (!sub)
        sub = add_sub(session, ask, err);
    if (!sub)
        return false;
    session_give(sub, company_snapshot(session->feed, sub->company, sub->channel));
    return true;
}

static bool unsubscribe(struct feed_session *session, const struct feed_ask *ask, struct err *err)
{
    (void)err;
    struct feed_sub *sub = find_sub(session, ask->channel, &ask->company);
    if (sub)
        session_drop_sub(sub);
    tell_end(&session->feed->scratch, "unsubscribed", ask->channel, &ask->company);
    say_scratch(session);
    return true;
}

static bool pong(struct feed_session *session, const struct feed_ask *ask, struct err *err)
{
    (void)ask, (void)err;
    tell_pong(&session->feed->scratch, clock_now_ms());
    say_scratch(session);
    return true;
}

static bool (*const OPS[])(struct feed_session *session, const struct feed_ask *ask, struct err *err) = {
    [FEED_SUBSCRIBE] = subscribe,
    [FEED_UNSUBSCRIBE] = unsubscribe,
    [FEED_PING] = pong,
};

/* ---- what is heard ---- */

static void refuse(struct feed_session *session, const struct err *err, const struct feed_ask *ask)
{
    metric_add(session->feed->m_refused, 1);
    tell_error(&session->feed->scratch, err, ask);
    say_scratch(session);
}

static bool take_token(struct feed_session *session)
{
    const int64_t now_ms = clock_monotonic_ms();
    session->tokens += (double)(now_ms - session->filled_ms) * ASKS_A_SECOND / 1000;
    session->filled_ms = now_ms;
    if (session->tokens > ASKS_BURST)
        session->tokens = ASKS_BURST;
    if (session->tokens < 1)
        return false;
    session->tokens -= 1;
    return true;
}

void session_message(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary)
{
    (void)app, (void)connection;
    struct feed_session *session = user;
    struct feed_ask ask;
    struct err err = {0};
    if (session->over)
        return;
    if (binary) {
        metric_add(session->feed->m_refused, 1);
        end(session, CLOSE_BINARY, "text frames only");
        return;
    }
    if (!take_token(session)) {
        err_set(&err, &ERR_RATE_LIMITED, "at most %d frames a second", ASKS_A_SECOND);
        refuse(session, &err, NULL);
        end(session, CLOSE_POLICY, "too many frames");
        return;
    }
    arena_reset(session->feed->arena);
    if (!feed_ask_read(session->feed->arena, bytes, &ask, &err)) {
        refuse(session, &err, NULL);
        if (++session->refusals >= REFUSALS_MAX)
            end(session, CLOSE_POLICY, "too many frames that make no sense");
    } else if (!OPS[ask.op](session, &ask, &err)) {
        refuse(session, &err, &ask);
    }
}

/* ---- the life of a socket ---- */

bool session_open(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                  struct err *err)
{
    (void)upgrade;
    struct feed *feed = app;
    if (!atomic_load(&feed->open))
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "This instance is starting");
    struct feed_session *session = MEM_NEW(feed_session);
    session->feed = feed;
    session->connection = connection;
    session->tokens = ASKS_BURST;
    session->filled_ms = clock_monotonic_ms();
    session->next = feed->sessions;
    if (feed->sessions)
        feed->sessions->previous = session;
    feed->sessions = session;
    metric_set(feed->m_viewers, ++feed->session_count);
    *user = session;
    return true;
}

void session_closed(void *app, struct ws_connection *connection, void *user)
{
    (void)connection;
    struct feed *feed = app;
    struct feed_session *session = user;
    while (session->subs)
        session_drop_sub(session->subs);
    keep_up(session);
    if (session->previous)
        session->previous->next = session->next;
    else
        feed->sessions = session->next;
    if (session->next)
        session->next->previous = session->previous;
    metric_set(feed->m_viewers, --feed->session_count);
    free(session);
}

/* What it missed, in its newest form; false when there is no room for all of it. */
static bool catch_up(struct feed_session *session)
{
    for (struct feed_sub *sub = session->subs; sub; sub = sub->session_next) {
        if (!sub->behind)
            continue;
        if (!has_room(session))
            return false;
        sub->behind = false;
        session_give(sub, company_snapshot(session->feed, sub->company, sub->channel));
    }
    return true;
}

/* All that are still open leave by drain_until_ms, a part of them at each tick. */
static void drain_some(struct feed *feed, int64_t now_ms)
{
    const int64_t left_ms = feed->drain_until_ms - now_ms, passed_ms = now_ms - feed->drained_ms;
    int64_t open = 0, now;
    for (const struct feed_session *at = feed->sessions; at; at = at->next)
        open += !at->over;
    now = left_ms <= 1000 ? open : open * passed_ms / left_ms + 1;
    feed->drained_ms = now_ms;
    for (struct feed_session *at = feed->sessions; at && now > 0; at = at->next) {
        if (!at->over) {
            end(at, CLOSE_GOING_AWAY, "this instance is stopping");
            now--;
        }
    }
}

void session_tick(struct feed *feed, int64_t now_ms)
{
    for (struct feed_session *session = feed->behind, *next; session; session = next) {
        next = session->behind_next;
        if (session->over || catch_up(session)) {
            keep_up(session);
        } else if (now_ms - session->behind_ms > feed->options.patience_ms) {
            metric_add(feed->m_cut, 1);
            end(session, CLOSE_SLOW, "the reader is too slow");
        }
    }
    if (feed->draining && now_ms - feed->drained_ms >= 200)
        drain_some(feed, now_ms);
}
