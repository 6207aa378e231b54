#include "api.h"

#include "app.h"
#include "cookie.h"
#include "hub.h"
#include "json.h"
#include "metrics.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>

/* ---- who ---- */

struct caller {
    char user_id[UUID_TEXT_BYTES], session_id[UUID_TEXT_BYTES];
    bool by_ticket; /* gets a cookie */
};

static bool by_identity(const struct identity *identity, struct caller *caller, struct err *err)
{
    if (identity->role < ROLE_USER)
        return err_set(err, &ERR_FORBIDDEN, "this needs the role user");
    memcpy(caller->user_id, identity->user_id, sizeof caller->user_id);
    memcpy(caller->session_id, identity->session_id, sizeof caller->session_id);
    return true;
}

/* The session that a ticket speaks of, without believing it; "" when it can't be read. */
static void ticket_session(struct arena *arena, const char *ticket, char session_id[UUID_TEXT_BYTES])
{
    struct claims {
        const char *sid;
    } claims;
    static const struct field FIELDS[] = {FIELD_UUID(struct claims, sid), {0}};
    struct token_parts *parts = ARENA_NEW(arena, token_parts);
    struct err ignored = {0};
    *session_id = '\0';
    if (token_split(view_of(ticket), parts, &ignored) &&
        JSON_DECODE_LENIENT(arena, ((struct view){(const char *)parts->payload, parts->payload_length}), FIELDS,
                            &claims, &ignored) &&
        claims.sid)
        memcpy(session_id, claims.sid, UUID_TEXT_BYTES);
}

/* The cookie of a session that lives. A ticket beside it must be of the same session: somebody else may have logged in
 * here. */
static bool by_cookie(struct request *req, const char *ticket, struct caller *caller, struct err *err)
{
    const struct notify_app *app = req->app;
    const char *cookie = http_cookie(req, STREAM_COOKIE);
    char claimed[UUID_TEXT_BYTES];
    if (!cookie || !cookie_read(app->cookie_key, cookie, caller->session_id))
        return false;
    if (ticket) {
        ticket_session(req->arena, ticket, claimed);
        if (strcmp(claimed, caller->session_id) != 0)
            return false;
    }
    /* As a token: auth-svc's list is there sooner than the event that ends the row. */
    struct uuid session;
    if (!uuid_parse(caller->session_id, &session) || revoked_session(app->revoked, &session))
        return err_set(err, &ERR_SESSION_ENDED, "the session has ended");
    return store_stream_session_find(app->db, caller->session_id, caller->user_id, err);
}

/* A fresh ticket is spent even where the cookie would do: it must not lie around. */
static bool by_ticket(struct request *req, const char *ticket, struct caller *caller, struct err *err)
{
    const struct notify_app *app = req->app;
    struct identity identity;
    if (ticket_redeem(app->tickets, view_of(ticket), &identity, err)) {
        caller->by_ticket = true;
        return by_identity(&identity, caller, err) &&
               store_stream_session(app->db, caller->session_id, caller->user_id, err);
    }
    struct err cookie_err = {0};
    if (by_cookie(req, ticket, caller, &cookie_err))
        return true;
    if (cookie_err.problem)
        *err = cookie_err;
    return false;
}

/* A token in the header, else a ticket, else the cookie. */
static bool find_caller(struct request *req, struct caller *caller, struct err *err)
{
    const char *ticket = http_query(req, "ticket");
    *caller = (struct caller){0};
    if (req->identity)
        return by_identity(req->identity, caller, err);
    if (http_header(req, "Authorization"))
        return err_set(err, &ERR_TOKEN_INVALID, "the access token is not valid");
    if (ticket)
        return by_ticket(req, ticket, caller, err);
    return by_cookie(req, NULL, caller, err) || (!err->problem && err_set(err, &ERR_TOKEN_MISSING, "log in first"));
}

/* ---- from where ---- */

static bool read_seq(const char *text, int64_t *seq)
{
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    *seq = number;
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* Last-Event-ID wins: a reconnect repeats the query of the first time. An id that is not ours counts as none; a wrong
 * parameter is told. */
static bool read_position(struct request *req, int64_t *after, struct err *err)
{
    const char *last = http_header(req, "Last-Event-ID");
    const char *names[] = {"after", "lastEventId"};
    if (last && read_seq(last, after))
        return true;
    *after = -1;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *text = http_query(req, names[i]);
        if (text && *text && !read_seq(text, after))
            return err_add_field(err, names[i], "the seq of a notification");
        if (text && *text)
            return true;
    }
    return true;
}

/* GET /api/notifications/stream -> text/event-stream: hello, what was missed, then what comes; README.md says all. */
bool stream_open(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    struct caller caller;
    int64_t after;
    if (!read_position(req, &after, err) || !find_caller(req, &caller, err))
        return false;
    reply->stream = hub_open(app->hub, caller.user_id, caller.session_id, after, err);
    if (!reply->stream)
        return false;
    reply->content_type = "text/event-stream";
    if (caller.by_ticket) {
        char *cookie = arena_alloc(req->arena, COOKIE_TEXT_BYTES);
        cookie_print(app->cookie_key, caller.session_id, cookie);
        reply_cookie(req, reply, STREAM_COOKIE, cookie, STREAM_PATH, -1, app->cookie_secure, "Strict");
    }
    return true;
}
