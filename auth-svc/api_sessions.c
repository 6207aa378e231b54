#include "api.h"

#include "clock.h"
#include "keys.h"

#include <stdio.h>

/* GET /sessions -> 200 and the caller's live sessions, last used first. */
bool api_list_sessions(struct request *req, struct reply *reply, struct err *err)
{
    struct session_row *rows;
    size_t count;
    return store_list_sessions(req->app, req->arena, req->identity->user_id, &rows, &count, err) &&
           reply_sessions(req, reply, rows, count);
}

/* DELETE /sessions/:id -> 204; not_found for others' and ended ones. */
bool api_end_session(struct request *req, struct reply *reply, struct err *err)
{
    const char *id = http_param_uuid(req, "id", err);
    struct origin origin = origin_of(req);
    return id && store_end_session(req->app, req->identity->user_id, id, &origin, err) && reply_empty(reply, 204);
}

/* DELETE /sessions -> 204: all but the caller's. */
bool api_end_other_sessions(struct request *req, struct reply *reply, struct err *err)
{
    struct origin origin = origin_of(req);
    return store_end_other_sessions(req->app, req->identity, &origin, err) && reply_empty(reply, 204);
}

/* POST /ws-ticket -> {ticket, expires_in}: for sockets and streams that can't send headers. Whoever gets it redeems it
 * in Redis, so without Redis none is given: unavailable. */
bool api_ws_ticket(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct account account;
    if (!store_check_caller(app, req->identity, &account, err))
        return false;
    AUTO(redis_reply) pong = REDIS_CALL(app->redis, err, "PING");
    if (!pong)
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "tickets can't be redeemed at this moment");
    struct identity ticket = *req->identity;
    ticket.issued_at_s = clock_now_ms() / 1000;
    ticket.expires_at_s = ticket.issued_at_s + TICKET_SECONDS;
    uuid_new(ticket.jti);
    AUTO_STR token = {0};
    if (!keys_sign(app->keys, &ticket, TICKET_AUDIENCE, &token, err))
        return false;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "ticket", token.bytes);
    json_i64(&reply->body, "expires_in", TICKET_SECONDS);
    json_close(&reply->body, '}');
    reply_header(reply, "Cache-Control", "no-store");
    return true;
}
