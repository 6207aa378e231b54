#include "live.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "store_rooms.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELD_MAX = 32768 };

/* ---- what is said back ---- */

void session_write(struct hub_session *session, const struct str *frame)
{
    if (!session->connection)
        return;
    struct ws_frame *out = ws_frame_new((struct view){frame->bytes, frame->length}, false);
    ws_send(session->connection, out);
    ws_frame_release(&out);
    session->out_s = session->hub->now_s;
}

void session_receipt(struct hub_session *session, const char *receipt, int64_t seq, const char *at)
{
    if (!receipt || session->state == SESSION_OVER)
        return;
    AUTO_STR frame = {0};
    stomp_begin(&frame, "RECEIPT");
    stomp_add(&frame, session->parser.version, "receipt-id", receipt);
    if (seq > 0)
        stomp_add_i64(&frame, "seq", seq);
    if (at)
        stomp_add(&frame, session->parser.version, "at", at);
    stomp_end(&frame, (struct view){0});
    session_write(session, &frame);
}

static void send_error(struct hub_session *session, const char *receipt, const char *message, const char *detail,
                       const char *versions)
{
    const enum stomp_version version = session->parser.version;
    AUTO_STR frame = {0};
    stomp_begin(&frame, "ERROR");
    stomp_add(&frame, version, "message", message);
    if (receipt)
        stomp_add(&frame, version, "receipt-id", receipt);
    if (versions)
        stomp_add(&frame, version, "version", versions);
    stomp_add(&frame, version, "content-type", "text/plain");
    stomp_end(&frame, view_of(detail ? detail : ""));
    session_write(session, &frame);
    metric_add(session->hub->m_errors, 1);
}

void session_fail(struct hub_session *session, int close_code, const char *receipt, const char *message,
                  const char *detail)
{
    if (session->state == SESSION_OVER)
        return;
    send_error(session, receipt, message, detail, NULL);
    session->state = SESSION_OVER;
    if (session->connection)
        ws_close(session->connection, close_code, message);
}

void session_refuse(struct hub_session *session, const struct err *err, const char *receipt, const char *client_id,
                    const char *destination, const char *subscription)
{
    const struct problem *problem = err->problem ? err->problem : &ERR_INTERNAL;
    AUTO_STR body = {0};
    json_open(&body, NULL, '{');
    json_text(&body, "type", "error");
    json_text(&body, "code", problem->code);
    json_i64(&body, "status", problem->status);
    json_text(&body, "title", problem->title);
    if (*err->message)
        json_text(&body, "detail", err->message);
    if (err->field_count)
        json_text(&body, "pointer", err->fields[0].pointer);
    if (err->retry_after_s > 0)
        json_i64(&body, "retry_after", err->retry_after_s);
    if (receipt)
        json_text(&body, "receipt", receipt);
    if (client_id)
        json_text(&body, "client_id", client_id);
    if (destination)
        json_text(&body, "destination", destination);
    if (subscription)
        json_text(&body, "subscription", subscription);
    json_close(&body, '}');
    for (struct hub_sub *sub = session->subs; sub; sub = sub->session_next)
        if (sub->target == TO_ERRORS)
            sub_tell(sub, &body);
}

/* ---- who it is ---- */

static bool check_identity(struct hub *hub, const struct identity *identity, struct err *err)
{
    const char *reason;
    if (identity->role == ROLE_GUEST)
        return err_set(err, &ERR_FORBIDDEN, "Complete your profile first");
    if (ended_recently(hub, identity->session_id, &reason))
        return err_set(err, &ERR_SESSION_ENDED, "%s", reason);
    return true;
}

static bool verify_bearer(struct hub *hub, const char *authorization, struct identity *identity, struct err *err)
{
    static const char SCHEME[] = "Bearer ";
    if (strncasecmp(authorization, SCHEME, sizeof SCHEME - 1) != 0)
        return err_set(err, &ERR_TOKEN_INVALID, "Authorization must be: Bearer <token>");
    return token_verify(hub->tokens, view_of(authorization + sizeof SCHEME - 1), identity, err) &&
           check_identity(hub, identity, err);
}

static void feed(struct hub_session *session, struct view bytes);

struct ticket_job {
    struct desk_job job;
    struct hub *hub;
    struct hub_session *session;
    struct identity identity;
    struct err err;
    bool good;
    char ticket[];
};

static void run_ticket(void *app, struct desk_job *job)
{
    (void)app;
    struct ticket_job *ticket = (struct ticket_job *)(void *)job;
    ticket->good = ticket_redeem(ticket->hub->tickets, view_of(ticket->ticket), &ticket->identity, &ticket->err);
}

static void done_ticket(void *app, struct desk_job *job, bool alive)
{
    (void)app;
    struct ticket_job *ticket = (struct ticket_job *)(void *)job;
    struct hub_session *session = ticket->session;
    if (alive) {
        session->ticket_pending = false;
        if (ticket->good)
            ticket->good = check_identity(session->hub, &ticket->identity, &ticket->err);
        if (!ticket->good) {
            session_fail(session, CLOSE_ENDED, NULL, ticket->err.problem->code, ticket->err.message);
        } else if (session->state == SESSION_NEW && session->connection) {
            session->identity = MEM_NEW(identity);
            *session->identity = ticket->identity;
            struct str held = session->held;
            session->held = (struct str){0};
            if (held.length)
                feed(session, (struct view){held.bytes, held.length});
            str_free(&held);
        }
        session_let_go(session);
    }
    free(ticket);
}

/* The value of `ticket` in a query string that was decoded already. */
static const char *ticket_of(const char *query)
{
    for (const char *at = query; at && *at; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, "ticket=", 7) == 0)
            return at + 7;
    }
    return NULL;
}

static bool ask_ticket(struct hub_session *session, const char *ticket, struct err *err)
{
    struct hub *hub = session->hub;
    const size_t length = strcspn(ticket, "&");
    if (length == 0 || length > 4000)
        return err_set(err, &ERR_TOKEN_INVALID, "The ticket is not valid");
    struct ticket_job *job = mem_new(1, sizeof *job + length + 1);
    job->job.run = run_ticket;
    job->job.done = done_ticket;
    job->hub = hub;
    job->session = session;
    memcpy(job->ticket, ticket, length);
    if (!desk_ask(hub->desk, &job->job)) {
        free(job);
        return err_set_retry(err, &ERR_OVERLOADED, 1, "Too many connect at once");
    }
    session_hold(session);
    session->ticket_pending = true;
    return true;
}

/* ---- the socket ---- */

static struct hub_session *session_new(struct hub *hub, struct ws_connection *connection)
{
    struct hub_session *session = MEM_NEW(hub_session);
    session->hub = hub;
    session->connection = connection;
    session->in_s = session->out_s = hub->now_s;
    session->connect_by_s = hub->now_s + (uint32_t)hub->app->config->connect_seconds;
    session->parser.content_length = -1;
    session->all_next = hub->sessions;
    if (hub->sessions)
        hub->sessions->all_previous = session;
    hub->sessions = session;
    return session;
}

static void session_free(struct hub_session *session)
{
    struct hub *hub = session->hub;
    if (session->all_previous)
        session->all_previous->all_next = session->all_next;
    else
        hub->sessions = session->all_next;
    if (session->all_next)
        session->all_next->all_previous = session->all_previous;
    str_free(&session->held);
    free(session->identity);
    free(session);
}

void session_hold(struct hub_session *session)
{
    session->references++;
}

void session_let_go(struct hub_session *session)
{
    session->references--;
    if (!session->references && !session->connection)
        session_free(session);
}

bool session_open(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                  struct err *err)
{
    struct hub *hub = app;
    struct hub_session *session = session_new(hub, connection);
    const char *ticket = ticket_of(upgrade->query);
    bool good = true;
    if (*upgrade->authorization) {
        session->identity = MEM_NEW(identity);
        good = verify_bearer(hub, upgrade->authorization, session->identity, err);
    } else if (ticket) {
        good = ask_ticket(session, ticket, err);
    }
    if (!good) {
        session->connection = NULL;
        session_free(session);
        return false;
    }
    *user = session;
    return true;
}

void session_closed(void *app, struct ws_connection *connection, void *user)
{
    (void)connection;
    struct hub *hub = app;
    struct hub_session *session = user;
    session->connection = NULL;
    session->state = SESSION_OVER;
    while (session->subs)
        sub_end(session->subs);
    for (int i = 0; i < TRANSACTIONS_MAX; i++)
        transaction_free(&session->transactions[i]);
    stomp_parser_free(&session->parser);
    str_free(&session->held);
    if (session->user) {
        signals_down(hub->signals, session->signal);
        for (struct hub_session **at = &session->user->sessions; *at; at = &(*at)->user_next) {
            if (*at == session) {
                *at = session->user_next;
                break;
            }
        }
        session->user->session_count--;
        metric_add(hub->m_sessions, -1);
        user_rest(hub, session->user);
        session->user = NULL;
    }
    if (!session->references)
        session_free(session);
}

/* ---- CONNECT ---- */

static void fail_by(struct hub_session *session, const char *receipt, const struct err *err)
{
    session_fail(session, err->problem->status == 401 || err->problem->status == 403 ? CLOSE_ENDED : 1013, receipt,
                 err->problem->code, *err->message ? err->message : err->problem->title);
}

static bool identify(struct hub_session *session, const struct stomp_frame *frame, struct identity *identity,
                     struct err *err)
{
    if (session->identity) {
        *identity = *session->identity;
        return check_identity(session->hub, identity, err);
    }
    const char *authorization = stomp_header(frame, "Authorization");
    if (!authorization)
        authorization = stomp_header(frame, "authorization");
    if (!authorization)
        return err_set(err, &ERR_TOKEN_MISSING, "Log in first: Authorization, or a ticket");
    return verify_bearer(session->hub, authorization, identity, err);
}

static bool agree_on_beats(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *beats = stomp_header(frame, "heart-beat");
    int64_t can_ms, wants_ms;
    if (!beats)
        return true;
    if (!stomp_parse_beats(beats, &can_ms, &wants_ms))
        return false;
    const int64_t ours_ms = session->hub->app->config->ws_beat_ms;
    const int64_t expects_ms = can_ms > ours_ms ? can_ms : ours_ms, gives_ms = wants_ms > ours_ms ? wants_ms : ours_ms;
    session->expects_s = can_ms ? (uint16_t)(expects_ms > 3600000 ? 3600 : (expects_ms + 999) / 1000) : 0;
    session->gives_s = wants_ms ? (uint16_t)(gives_ms > 3600000 ? 3600 : gives_ms / 1000) : 0;
    return true;
}

/* ---- who has just signed up has no row of people yet: it is made from the token, so that the first message need not
 * wait ---- */

enum { YOUNG_MS = 600000 };

struct row_job {
    struct desk_job job;
    struct identity identity;
};

static void run_row(void *app, struct desk_job *job)
{
    struct hub *hub = app;
    struct err err = {0};
    if (!store_own_row(hub->app->db, &((struct row_job *)(void *)job)->identity, &err))
        log_err("own_row_not_made", &err); /* the account's event will bring it */
}

static void done_row(void *app, struct desk_job *job, bool alive)
{
    (void)app, (void)alive;
    free(job);
}

static void know(struct hub *hub, const struct identity *identity)
{
    if (clock_now_ms() - uuid_time_ms(identity->user_id) > YOUNG_MS)
        return;
    struct row_job *row = MEM_NEW(row_job);
    row->job.run = run_row;
    row->job.done = done_row;
    row->identity = *identity;
    if (!desk_ask(hub->desk, &row->job))
        free(row);
}

static void welcome(struct hub_session *session, const struct identity *identity)
{
    struct hub *hub = session->hub;
    struct hub_user *user = user_get(hub, identity->user_id);
    session->user = user;
    session->user_next = user->sessions;
    user->sessions = session;
    user->session_count++;
    memcpy(session->session_id, identity->session_id, sizeof session->session_id);
    session->state = SESSION_READY;
    know(hub, identity);
    free(session->identity);
    session->identity = NULL;
    signals_up(hub->signals, user->id, session->signal);
    metric_add(hub->m_sessions, 1);
    AUTO_STR frame = {0};
    char beats[32];
    (void)snprintf(beats, sizeof beats, "%d,%d", (int)hub->app->config->ws_beat_ms, (int)hub->app->config->ws_beat_ms);
    stomp_begin(&frame, "CONNECTED"); /* never escaped: all its values are plain */
    stomp_add(&frame, STOMP_1_0, "version", stomp_version_name(session->parser.version));
    stomp_add(&frame, STOMP_1_0, "heart-beat", beats);
    stomp_add(&frame, STOMP_1_0, "session", session->signal);
    stomp_add(&frame, STOMP_1_0, "server", "madang");
    stomp_add(&frame, STOMP_1_0, "user-name", user->id);
    stomp_end(&frame, (struct view){0});
    session_write(session, &frame);
}

static void on_connect(struct hub_session *session, const struct stomp_frame *frame)
{
    struct hub *hub = session->hub;
    const char *receipt = stomp_header(frame, "receipt");
    struct err err = {0};
    struct identity identity;
    if (session->state != SESSION_NEW) {
        session_fail(session, CLOSE_BROKEN, receipt, "already connected", NULL);
        return;
    }
    if (!stomp_choose_version(stomp_header(frame, "accept-version"), &session->parser.version)) {
        send_error(session, receipt, "unsupported version", "1.2, 1.1 and 1.0 are spoken here", "1.2,1.1,1.0");
        session->state = SESSION_OVER;
        ws_close(session->connection, CLOSE_BROKEN, "unsupported version");
        return;
    }
    if (!agree_on_beats(session, frame)) {
        session_fail(session, CLOSE_BROKEN, receipt, "heart-beat must be two numbers", NULL);
        return;
    }
    if (!identify(session, frame, &identity, &err)) {
        fail_by(session, receipt, &err);
        return;
    }
    struct uuid id;
    const struct hub_user *known =
        uuid_parse(identity.user_id, &id) ? (const struct hub_user *)(const void *)id_map_get(&hub->users, &id) : NULL;
    if (known && known->session_count >= SOCKETS_MAX) {
        err_set_retry(&err, &ERR_RATE_LIMITED, 5, "at most %d sockets of one user", SOCKETS_MAX);
        fail_by(session, receipt, &err);
        return;
    }
    welcome(session, &identity);
    session_receipt(session, receipt, 0, NULL);
}

static void on_disconnect(struct hub_session *session, const struct stomp_frame *frame)
{
    session_receipt(session, stomp_header(frame, "receipt"), 0, NULL);
    session->state = SESSION_OVER;
    ws_close(session->connection, 1000, "");
}

/* ---- frames in ---- */

static void on_ack_frame(struct hub_session *session, const struct stomp_frame *frame)
{
    on_ack(session, frame, true);
}
static void on_nack_frame(struct hub_session *session, const struct stomp_frame *frame)
{
    on_ack(session, frame, false);
}

static const struct {
    const char *name;
    void (*handle)(struct hub_session *session, const struct stomp_frame *frame);
} HANDLERS[STOMP_COMMANDS] = {
    [STOMP_CONNECT] = {"CONNECT", on_connect},
    [STOMP_SEND] = {"SEND", on_send},
    [STOMP_SUBSCRIBE] = {"SUBSCRIBE", on_subscribe},
    [STOMP_UNSUBSCRIBE] = {"UNSUBSCRIBE", on_unsubscribe},
    [STOMP_ACK] = {"ACK", on_ack_frame},
    [STOMP_NACK] = {"NACK", on_nack_frame},
    [STOMP_BEGIN] = {"BEGIN", on_begin},
    [STOMP_COMMIT] = {"COMMIT", on_commit},
    [STOMP_ABORT] = {"ABORT", on_abort},
    [STOMP_DISCONNECT] = {"DISCONNECT", on_disconnect},
};

static void handle(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *receipt = stomp_header(frame, "receipt");
    if (session->state == SESSION_NEW && frame->command != STOMP_CONNECT)
        session_fail(session, CLOSE_BROKEN, receipt, "CONNECT comes first", HANDLERS[frame->command].name);
    else if (receipt && strlen(receipt) > ID_MAX)
        session_fail(session, CLOSE_TOO_LARGE, NULL, "the receipt is too long", NULL);
    else
        HANDLERS[frame->command].handle(session, frame);
}

static void feed(struct hub_session *session, struct view bytes)
{
    struct hub *hub = session->hub;
    enum stomp_result got = STOMP_MORE;
    const char *why;
    stomp_feed(&session->parser, bytes);
    while (session->state != SESSION_OVER && (got = stomp_next(&session->parser, &hub->frame, &why)) == STOMP_FRAME)
        handle(session, &hub->frame);
    if (got == STOMP_BROKEN) {
        char receipt[ID_MAX + 1];
        const bool has = stomp_receipt_of_broken(&session->parser, receipt, sizeof receipt);
        session_fail(session, stomp_too_large(why) ? CLOSE_TOO_LARGE : CLOSE_BROKEN, has ? receipt : NULL, why, NULL);
    }
    if (session->state == SESSION_OVER)
        stomp_parser_free(&session->parser);
}

void session_message(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary)
{
    (void)app, (void)connection, (void)binary;
    struct hub_session *session = user;
    if (session->state == SESSION_OVER)
        return;
    session->in_s = session->hub->now_s;
    if (!session->ticket_pending) {
        feed(session, bytes);
        return;
    }
    if (session->held.length + bytes.length > HELD_MAX)
        session_fail(session, CLOSE_TOO_LARGE, NULL, "too much before CONNECTED", NULL);
    else
        str_add_bytes(&session->held, bytes.bytes, bytes.length);
}

/* ---- each second ---- */

static void look_after(struct hub *hub, struct hub_session *session)
{
    const uint32_t now = hub->now_s;
    if (session->state == SESSION_NEW) {
        if (now > session->connect_by_s)
            session_fail(session, CLOSE_SILENT, NULL, "CONNECT did not come in time", NULL);
    } else if (session->expects_s && now - session->in_s > (uint32_t)session->expects_s * BEAT_PATIENCE) {
        session_fail(session, CLOSE_SILENT, NULL, "no heart-beat", NULL);
    } else if (session->gives_s && now - session->out_s + 1 >= session->gives_s) {
        ws_send(session->connection, hub->beat);
        session->out_s = now;
    }
}

/* All that are still open leave by drain_until_ms, as many each second as there must. */
static void drain_some(struct hub *hub)
{
    const int64_t left_ms = hub->drain_until_ms - clock_monotonic_ms();
    size_t open = 0;
    for (const struct hub_session *at = hub->sessions; at; at = at->all_next)
        open += at->connection && at->state != SESSION_OVER;
    size_t now = left_ms <= 1000 ? open : open / (size_t)(left_ms / 1000) + 1;
    for (struct hub_session *at = hub->sessions; at && now; at = at->all_next) {
        if (at->connection && at->state != SESSION_OVER) {
            at->state = SESSION_OVER;
            ws_close(at->connection, 1001, "this instance is stopping");
            now--;
        }
    }
}

void session_tick(struct hub *hub)
{
    for (struct hub_session *at = hub->sessions; at; at = at->all_next)
        if (at->connection && at->state != SESSION_OVER)
            look_after(hub, at);
    if (hub->draining)
        drain_some(hub);
}
