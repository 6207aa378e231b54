#include "guard.h"

#include "cors.h"
#include "docs.h"
#include "problems.h"
#include "stats.h"

enum { STREAM_RETRY_S = 5 };

/* ---- limits ---- */

static bool limited(struct exchange *x, struct err *err)
{
    loop_stats_add(x->loop, STAT_LIMITED);
    return err_set_retry(err, &ERR_RATE_LIMITED, (int)x->limit.retry_s, "the limit per %s is used up", x->limit_name);
}

static bool check_address(struct exchange *x, struct err *err)
{
    struct gateway *gateway = x->loop->gateway;
    if (gateway->bench)
        return true;
    const uint64_t key =
        x->proxied ? limits_key(gateway->limits, LIMIT_ADDRESS, 0, address_owner(&x->peer)) : x->client->rate_key;
    x->limit_rate = &gateway->address_rate;
    x->limit_name = "address";
    return limits_take(gateway->limits, key, x->limit_rate, x->loop->now_us, &x->limit) || limited(x, err);
}

static bool check_load(struct exchange *x, struct err *err)
{
    struct loop *loop = x->loop;
    if (loop->in_flight < loop->gateway->config->in_flight_max)
        return true;
    loop_stats_add(loop, STAT_OVERLOADED);
    return err_set_retry(err, &ERR_OVERLOADED, 1, "too many requests are being answered");
}

static bool check_user(struct exchange *x, struct err *err)
{
    struct gateway *gateway = x->loop->gateway;
    struct view user = view_of(x->user_id);
    const struct path_route *route = x->route;
    if (!user.length)
        return true;
    uint64_t key = limits_key(gateway->limits, LIMIT_USER, 0, user);
    x->limit_rate = &gateway->user_rate;
    x->limit_name = "user";
    if (route->rate) {
        key = limits_key(gateway->limits, LIMIT_ROUTE, (uint32_t)route->index, user);
        x->route_rate = (struct limit_rate){.events = route->rate, .per_ms = 1000, .burst = route->burst};
        x->limit_rate = &x->route_rate;
        x->limit_name = "route";
    }
    return limits_take(gateway->limits, key, x->limit_rate, x->loop->now_us, &x->limit) || limited(x, err);
}

static bool check_streams(struct exchange *x, struct err *err)
{
    struct gateway *gateway = x->loop->gateway;
    if (!x->user_id[0] || (!x->route->stream && !x->route->upgrade))
        return true;
    x->stream_key = limits_key(gateway->limits, LIMIT_STREAMS, 0, view_of(x->user_id));
    x->stream_held = limits_enter(gateway->limits, x->stream_key, gateway->config->streams_per_user);
    if (x->stream_held)
        return true;
    loop_stats_add(x->loop, STAT_LIMITED);
    return err_set_retry(err, &ERR_TOO_MANY_STREAMS, STREAM_RETRY_S, "at most %lld streams and sockets at once",
                         (long long)gateway->config->streams_per_user);
}

/* ---- tokens ---- */

/* Of a token that is not remembered, which costs a check of its signature: so wrong ones are counted by address, and
 * too many are not looked at. Who shares an address with a guesser keeps what works. */
static bool verify_strange(struct exchange *x, struct token_verifier *verifier, struct view token,
                           struct identity *identity, struct err *err)
{
    struct gateway *gateway = x->loop->gateway;
    struct limit_state state;
    if (gateway->bench)
        return token_verify(verifier, token, identity, err);
    const uint64_t key = limits_key(gateway->limits, LIMIT_FAILED_TOKENS, 0, address_owner(&x->peer));
    if (!limits_allows(gateway->limits, key, &gateway->failed_rate, x->loop->now_us, &state)) {
        loop_stats_add(x->loop, STAT_LIMITED);
        return err_set_retry(err, &ERR_RATE_LIMITED, (int)state.retry_s, "too many wrong tokens from this address");
    }
    if (token_verify(verifier, token, identity, err))
        return true;
    if (err_is(err, &ERR_TOKEN_INVALID))
        (void)limits_take(gateway->limits, key, &gateway->failed_rate, x->loop->now_us, &state);
    return false;
}

static bool verify(struct exchange *x, struct token_verifier *verifier, struct view token, enum role *role,
                   struct err *err)
{
    struct identity identity;
    if (!auth_feed_ready(x->loop->gateway->feed)) /* without keys and revocations nobody can be believed */
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "tokens can't be checked yet");
    const enum token_recall recalled = token_recall(verifier, token, &identity, err);
    if (recalled == TOKEN_REFUSED || (recalled == TOKEN_STRANGE && !verify_strange(x, verifier, token, &identity, err)))
        return false;
    memcpy(x->user_id, identity.user_id, sizeof x->user_id);
    *role = identity.role;
    return true;
}

/* The token of "Authorization: Bearer ..."; false for another scheme. */
static bool bearer_token(struct view value, struct view *token)
{
    if (value.length <= 7 || !view_equals_nocase((struct view){value.bytes, 7}, VIEW("bearer ")))
        return false;
    *token = (struct view){value.bytes + 7, value.length - 7};
    while (token->length && token->bytes[0] == ' ')
        *token = (struct view){token->bytes + 1, token->length - 1};
    return token->length > 0;
}

/* The first value of a parameter, as it stands. */
static bool query_value(struct view query, struct view name, struct view *value)
{
    const char *at = query.bytes, *end = at + query.length;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        size_t length = (size_t)((next ? next : end) - at);
        if (length > name.length && memcmp(at, name.bytes, name.length) == 0 && at[name.length] == '=') {
            *value = (struct view){at + name.length + 1, length - name.length - 1};
            return true;
        }
        at += length + 1;
    }
    return false;
}

/* True when any Cookie header has a cookie of this name. */
static bool has_cookie(const struct http1_headers *headers, struct view name)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (headers->list[i].id != HEADER_COOKIE)
            continue;
        const char *at = headers->list[i].value.bytes, *end = at + headers->list[i].value.length;
        while (at < end) {
            while (at < end && (*at == ' ' || *at == ';'))
                at++;
            const char *semicolon = memchr(at, ';', (size_t)(end - at));
            size_t length = (size_t)((semicolon ? semicolon : end) - at);
            if (length > name.length && memcmp(at, name.bytes, name.length) == 0 && at[name.length] == '=')
                return true;
            at += length;
        }
    }
    return false;
}

/* Tickets open sockets and streams that can't send headers. Only the signature is checked here. */
static bool check_ticket(struct exchange *x, bool *present, struct err *err)
{
    struct view ticket;
    enum role role;
    *present = (x->route->stream || x->route->upgrade) && query_value(x->loop->request.query, VIEW("ticket"), &ticket);
    return *present && verify(x, x->loop->tickets, ticket, &role, err);
}

static bool check_open(struct exchange *x, const struct http1_header *authorization, struct err *err)
{
    struct view token;
    enum role role;
    bool ticket;
    if (authorization) { /* not needed here: a wrong one is the service's to judge, a good one counts for its user */
        struct err ignored;
        if (bearer_token(authorization->value, &token))
            (void)verify(x, x->loop->tokens, token, &role, &ignored);
        return true;
    }
    return check_ticket(x, &ticket, err) || !ticket;
}

static bool check_who(struct exchange *x, struct err *err)
{
    static const enum role LEAST[WHOS] = {
        [WHO_GUEST] = ROLE_GUEST, [WHO_USER] = ROLE_USER, [WHO_ADMIN] = ROLE_ADMIN, [WHO_STREAM] = ROLE_USER};
    const struct http1_headers *headers = &x->loop->request.headers;
    const struct http1_header *authorization = http1_header(headers, HEADER_AUTHORIZATION);
    enum who who = x->route->who;
    if (who == WHO_OPEN)
        return check_open(x, authorization, err);
    struct view token;
    enum role role = ROLE_GUEST;
    if (authorization) {
        if (!bearer_token(authorization->value, &token))
            return err_set(err, &ERR_TOKEN_INVALID, "the Authorization header is not a bearer token");
        if (!verify(x, x->loop->tokens, token, &role, err))
            return false;
        return role >= LEAST[who] || err_set(err, &ERR_FORBIDDEN, "this needs the role %s", role_name(LEAST[who]));
    }
    bool ticket = false, cookie = who == WHO_STREAM && has_cookie(headers, VIEW("madang_stream"));
    if (who == WHO_STREAM && check_ticket(x, &ticket, err))
        return true;
    if (cookie && (!ticket || err_is(err, &ERR_TOKEN_EXPIRED)))
        return true; /* a reconnect repeats its spent ticket; the service knows the cookie */
    return ticket ? false : err_set(err, &ERR_TOKEN_MISSING, "log in first");
}

/* ---- origin, route, size ---- */

static bool is_preflight(const struct exchange *x)
{
    return x->method == HTTP1_OPTIONS && x->origin[0] &&
           http1_header(&x->loop->request.headers, HEADER_REQUEST_METHOD) != NULL;
}

static bool check_origin(struct exchange *x, struct err *err)
{
    const struct http1_request *request = &x->loop->request;
    const struct http1_header *origin = http1_header(&request->headers, HEADER_ORIGIN);
    if (!origin)
        return true;
    size_t length = origin->value.length < sizeof x->origin ? origin->value.length : 0;
    memcpy(x->origin, origin->value.bytes, length);
    x->origin[length] = '\0';
    x->origin_allowed = length && cors_allows(x->loop->gateway->cors, origin->value);
    bool fine = x->origin_allowed || cors_same_origin(origin->value, request->host);
    if (fine || (!request->websocket && !is_preflight(x)))
        return true; /* a page elsewhere: without our headers its browser keeps the answer from it */
    return err_set(err, &ERR_ORIGIN, "pages of this origin may not call here");
}

static bool check_route(struct exchange *x, struct err *err)
{
    const struct http1_request *request = &x->loop->request;
    x->route = routes_find(x->table->routes, request->path);
    if (!x->route)
        return err_set(err, &ERR_NOT_FOUND, "nothing is here");
    if (!x->route->upgrade)
        x->websocket = false; /* then it is a plain request; the protocol offered is not taken */
    else if (!x->websocket)
        return err_set(err, &ERR_UPGRADE_REQUIRED, "a WebSocket handshake (RFC 6455, version 13) is needed here");
    return true;
}

static bool check_size(struct exchange *x, struct err *err)
{
    if (x->loop->request.content_length <= x->route->body_max)
        return true;
    return err_set(err, &ERR_TOO_LARGE, "at most %lld bytes are taken here", (long long)x->route->body_max);
}

bool guard_admit(struct exchange *x, struct err *err)
{
    if (!check_address(x, err) || !check_load(x, err) || !check_origin(x, err))
        return false;
    if (is_preflight(x) || docs_have(x->loop->gateway->docs, x->loop->request.path))
        return true;
    return check_route(x, err) && check_who(x, err) && check_user(x, err) && check_size(x, err) &&
           check_streams(x, err);
}

bool guard_answer(struct exchange *x)
{
    if (is_preflight(x)) {
        exchange_answer(x, 204, NULL, CORS_PREFLIGHT, VIEW(""));
        return true;
    }
    return docs_answer(x);
}
