#include "http_internal.h"

#include "clock.h"
#include "mem.h"
#include "uuid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

static const char DIGITS[] = "0123456789abcdef";

/* Ids must differ, not be secret: splitmix64 from a seed of the kernel, without a system call each. */
static uint64_t random_u64(void)
{
    static _Thread_local uint64_t state;
    while (state == 0) {
        if (getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state)
            state = (uint64_t)clock_now_us() ^ (uint64_t)(uintptr_t)&state;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static void random_hex(char *text, size_t digits)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < digits; i++, bits >>= 4) {
        if (i % 16 == 0)
            bits = random_u64() | 1; /* never all zero, which traceparent forbids */
        text[i] = DIGITS[bits & 15];
    }
    text[digits] = '\0';
}

static bool is_lower_hex(const char *text, size_t length)
{
    bool zero = true;
    for (size_t i = 0; i < length; i++) {
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
        zero = zero && text[i] == '0';
    }
    return !zero;
}

/* W3C Trace Context: 00-<32>-<16>-<2>; a higher version may go on after its first 55 characters. */
static bool traceparent_valid(const char *text)
{
    size_t length = strlen(text);
    if (length < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    bool version_zero = memcmp(text, "00", 2) == 0, version = version_zero || is_lower_hex(text, 2);
    if (!version || memcmp(text, "ff", 2) == 0 || (version_zero ? length != 55 : length > 55 && text[55] != '-'))
        return false;
    bool flags = memcmp(text + 53, "00", 2) == 0 || is_lower_hex(text + 53, 2);
    return is_lower_hex(text + 3, 32) && is_lower_hex(text + 36, 16) && flags;
}

static void take_trace(struct http_exchange *exchange, const char *traceparent)
{
    /* 00-<trace, 32>-<span, 16>-<flags, 2> */
    static const char FORM[] = "00-................................-................-00";
    char span[17], *out = exchange->traceparent;
    memcpy(out, FORM, sizeof FORM);
    if (traceparent && traceparent_valid(traceparent)) {
        memcpy(exchange->trace_id, traceparent + 3, 32);
        exchange->trace_id[32] = '\0';
        memcpy(exchange->parent_span, traceparent + 36, 16);
        exchange->parent_span[16] = '\0';
        memcpy(out + 53, traceparent + 53, 2);
    } else {
        random_hex(exchange->trace_id, 32);
    }
    random_hex(span, 16);
    memcpy(out + 3, exchange->trace_id, 32);
    memcpy(out + 36, span, 16);
}

static void take_request_id(struct http_exchange *exchange, const char *id)
{
    size_t length = id && exchange->peer->believed
                        ? strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
                        : 0;
    if (length > 0 && length < HTTP_REQUEST_ID_BYTES && id[length] == '\0')
        memcpy(exchange->request_id, id, length + 1);
    else
        random_hex(exchange->request_id, 32);
}

/* ---- headers ---- */

struct headers {
    const char *authorization, *content_type, *request_id, *traceparent, *forwarded_for, *accept_language, *cookie;
    bool doubled; /* one that must be single came twice */
};

static void take_single(struct headers *headers, const char **place, const char *value)
{
    headers->doubled = headers->doubled || *place;
    *place = value;
}

static enum MHD_Result take_header(void *payload, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct headers *headers = payload;
    (void)kind;
    if (!value)
        return MHD_YES;
    switch (name[0] | 0x20) {
    case 'a':
        if (strcasecmp(name, "Authorization") == 0)
            take_single(headers, &headers->authorization, value);
        else if (strcasecmp(name, "Accept-Language") == 0)
            headers->accept_language = value;
        break;
    case 'c':
        if (strcasecmp(name, "Content-Type") == 0)
            take_single(headers, &headers->content_type, value);
        else if (strcasecmp(name, "Cookie") == 0)
            headers->cookie = value;
        break;
    case 't':
        if (strcasecmp(name, "Traceparent") == 0)
            headers->traceparent = value;
        break;
    case 'x':
        if (strcasecmp(name, "X-Request-Id") == 0)
            headers->request_id = value;
        else if (strcasecmp(name, "X-Forwarded-For") == 0)
            headers->forwarded_for = value; /* of several the last: it is read from the right */
        break;
    default:
        break;
    }
    return MHD_YES;
}

/* The quality of a language in Accept-Language, in thousandths; -1 when it is not named. */
static int language_quality(const char *list, const char *wanted, size_t *position)
{
    size_t length = strlen(wanted), place = 0;
    for (const char *at = list; *at; place++) {
        at += strspn(at, ", \t");
        size_t item = strcspn(at, ",");
        bool same = strncasecmp(at, wanted, length) == 0 && (at[length] == '\0' || strchr("-;, \t", at[length]));
        if (same && item) {
            const char *q = memmem(at, item, "q=", 2);
            *position = place;
            return q ? (int)(strtod(q + 2, NULL) * 1000) : 1000;
        }
        at += item;
    }
    return -1;
}

static bool prefers_korean(const char *list)
{
    size_t ko_place = 0, en_place = 0, any_place = 0;
    if (!list || strlen(list) > 200)
        return false;
    int ko = language_quality(list, "ko", &ko_place), en = language_quality(list, "en", &en_place);
    if (en < 0) {
        en = language_quality(list, "*", &any_place);
        en_place = any_place;
    }
    return ko > 0 && (ko > en || (ko == en && ko_place < en_place));
}

static void read_headers(struct http_exchange *exchange, struct headers *headers)
{
    struct request *req = &exchange->req;
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, take_header, headers);
    if (!*exchange->request_id) { /* once: later runs keep them */
        take_request_id(exchange, headers->request_id);
        take_trace(exchange, headers->traceparent);
        http_peer_client(exchange->peer, &exchange->server->gateways, headers->forwarded_for, exchange->client_address);
    }
    exchange->authorization = headers->authorization;
    exchange->cookie = headers->cookie;
    req->app = exchange->server->options.app;
    req->arena = exchange->arena;
    req->route = exchange->compiled ? exchange->compiled->route : NULL;
    req->path = exchange->path.text;
    req->identity = NULL;
    req->body = (struct view){exchange->body.bytes ? exchange->body.bytes : "", exchange->body.length};
    req->content_type = headers->content_type ? headers->content_type : "";
    req->client_address = exchange->client_address;
    req->request_id = exchange->request_id;
    req->traceparent = exchange->traceparent;
    req->korean = prefers_korean(headers->accept_language);
    req->exchange = exchange;
}

void http_request_identify(struct http_exchange *exchange)
{
    struct headers headers = {0};
    read_headers(exchange, &headers);
}

/* JSON routes take JSON (or say nothing); routes with a body_max of their own take what they like. */
static bool content_type_fits(const struct request *req)
{
    static const char JSON[] = "application/json";
    if (!req->body.length || !*req->content_type || req->route->body_max > HTTP_BODY_MAX)
        return true;
    return strncasecmp(req->content_type, JSON, sizeof JSON - 1) == 0 &&
           (req->content_type[sizeof JSON - 1] == '\0' || strchr("; \t", req->content_type[sizeof JSON - 1]));
}

bool http_request_prepare(struct http_exchange *exchange, struct err *err)
{
    struct headers headers = {0};
    arena_reset(exchange->arena);
    read_headers(exchange, &headers);
    if (headers.doubled)
        return err_set(err, &ERR_BAD_INPUT, "Authorization and Content-Type may be sent once");
    const char *mark = strchr(exchange->uri.bytes, '?');
    if (!http_query_parse(exchange->arena, mark ? mark + 1 : "", exchange->query, &exchange->query_count, err))
        return false;
    if (!content_type_fits(&exchange->req))
        return err_set(err, &ERR_MEDIA_TYPE, "Send application/json");
    return true;
}

bool http_request_authorize(struct http_exchange *exchange, struct err *err)
{
    static const char BEARER[] = "Bearer ";
    struct request *req = &exchange->req;
    enum auth_need who = req->route->who;
    const char *header = exchange->authorization;
    struct token_verifier *tokens = exchange->server->options.tokens;
    if (!header || !tokens)
        return who == AUTH_OPEN || err_set(err, &ERR_TOKEN_MISSING, "Send Authorization: Bearer with an access token");
    struct err wrong = {0};
    bool ok = false;
    if (strncasecmp(header, BEARER, sizeof BEARER - 1) == 0) {
        const char *token = header + sizeof BEARER - 1;
        token += strspn(token, " ");
        if (exchange->on_loop) {
            const enum token_recall recalled = token_recall(tokens, view_of(token), &exchange->identity, &wrong);
            exchange->handing_over = recalled == TOKEN_STRANGE; /* a signature takes longer than the whole request */
            if (exchange->handing_over)
                return false;
            ok = recalled == TOKEN_GOOD;
        } else {
            ok = token_verify(tokens, view_of(token), &exchange->identity, &wrong);
        }
    } else {
        err_set(&wrong, &ERR_TOKEN_INVALID, "Authorization must be Bearer and an access token");
    }
    if (ok)
        req->identity = &exchange->identity;
    else if (who != AUTH_OPEN || err_is(&wrong, &ERR_UNAVAILABLE)) /* who can't be known yet is not nobody */
        *err = wrong;
    if (!ok)
        return !err->problem;
    bool allowed = who == AUTH_OPEN || who == AUTH_GUEST || (who == AUTH_USER && req->identity->role >= ROLE_USER) ||
                   (who == AUTH_ADMIN && req->identity->role == ROLE_ADMIN);
    return allowed || err_set(err, &ERR_FORBIDDEN, "This needs role %s", who == AUTH_ADMIN ? "admin" : "user");
}

/* ---- what handlers ask for ---- */

const char *http_param(const struct request *req, const char *name)
{
    const struct http_exchange *exchange = req->exchange;
    const struct compiled_route *route = exchange->compiled;
    for (size_t i = 0; i < route->count; i++) {
        if (!route->names[i] || strcmp(route->names[i], name) != 0)
            continue;
        if (route->rest && i + 1 == route->count) /* one byte on in `text`, which starts with a slash */
            return exchange->path.text + 1 + (exchange->path.segments[i] - exchange->path.split);
        return exchange->path.segments[i];
    }
    return "";
}

const char *http_query(const struct request *req, const char *name)
{
    const struct http_exchange *exchange = req->exchange;
    for (size_t i = 0; i < exchange->query_count; i++) {
        if (strcmp(exchange->query[i].name, name) == 0)
            return exchange->query[i].value;
    }
    return NULL;
}

const char *http_header(const struct request *req, const char *name)
{
    return MHD_lookup_connection_value(req->exchange->connection, MHD_HEADER_KIND, name);
}

const char *http_cookie(const struct request *req, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = req->exchange->cookie; at && *at;) {
        at += strspn(at, "; \t");
        size_t item = strcspn(at, ";");
        if (item > length && strncmp(at, name, length) == 0 && at[length] == '=') {
            const char *value = at + length + 1, *end = at + item;
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            if (end - value >= 2 && *value == '"' && end[-1] == '"') {
                value++;
                end--;
            }
            return arena_bytes(req->arena, value, (size_t)(end - value));
        }
        at += item;
    }
    return NULL;
}

const char *http_param_uuid(struct request *req, const char *name, struct err *err)
{
    struct uuid uuid;
    if (!uuid_parse(http_param(req, name), &uuid)) {
        err_set(err, &ERR_NOT_FOUND, "%s", "");
        return NULL;
    }
    char *text = arena_alloc(req->arena, UUID_TEXT_BYTES);
    uuid_format(&uuid, text);
    return text;
}

bool http_query_i64(struct request *req, const char *name, int64_t default_value, int64_t min, int64_t max,
                    int64_t *out, struct err *err)
{
    const char *text = http_query(req, name);
    *out = default_value;
    if (!text)
        return true;
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (digits == 0 || text[digits + (*text == '-')] || errno || value < min || value > max) {
        err_set(err, &ERR_BAD_INPUT, "The query is not valid");
        return err_add_field(err, name, "must be a whole number from %" PRId64 " to %" PRId64, min, max);
    }
    *out = value;
    return true;
}
