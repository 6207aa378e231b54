#include "http_internal.h"

#include "clock.h"
#include "crypto.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_header_safe(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
    size_t room = sizeof reply->headers / sizeof reply->headers[0];
    if (!is_header_safe(value) || reply->header_count == room) {
        log_event(LOG_ERROR, "reply_header_dropped", LOG_TEXT("header", name));
        return;
    }
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count++].value = value;
}

/* RFC 6265: no controls, white space, quotes, commas, semicolons, backslashes. */
static bool is_cookie_safe(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f || strchr("\",;\\", *text))
            return false;
    }
    return true;
}

void reply_cookie(struct request *req, struct reply *reply, const char *name, const char *value, const char *path,
                  int64_t max_age_s, bool secure, const char *same_site)
{
    char age[40] = "";
    if (!is_cookie_safe(name) || !is_cookie_safe(value) || !is_cookie_safe(path) || !is_cookie_safe(same_site)) {
        log_event(LOG_ERROR, "reply_cookie_dropped", LOG_TEXT("cookie", name));
        return;
    }
    if (max_age_s >= 0)
        (void)snprintf(age, sizeof age, "; Max-Age=%" PRId64, max_age_s);
    reply_header(reply, "Set-Cookie",
                 arena_printf(req->arena, "%s=%s; Path=%s%s; HttpOnly%s; SameSite=%s", name, value, path, age,
                              secure ? "; Secure" : "", same_site));
}

bool reply_empty(struct reply *reply, int status)
{
    reply->status = status;
    str_clear(&reply->body);
    return true;
}

bool reply_redirect(struct request *req, struct reply *reply, const char *location)
{
    reply_header(reply, "Location", arena_text(req->arena, location));
    return reply_empty(reply, 302);
}

/* If-None-Match: * or a list of tags; weak ones are compared by their value (RFC 9110 section 13.1.2). */
static bool tag_matches(const char *list, const char *tag)
{
    size_t length = strlen(tag);
    for (const char *at = list; *at;) {
        at += strspn(at, ", \t");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (strncmp(at, tag, length) == 0 && (at[length] == '\0' || strchr(", \t", at[length])))
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

void reply_etag(struct request *req, struct reply *reply)
{
    unsigned char hash[SHA256_BYTES];
    char text[33];
    crypto_sha256(reply->body.bytes ? reply->body.bytes : "", reply->body.length, hash);
    crypto_hex(hash, 16, text);
    const char *tag = arena_printf(req->arena, "\"%s\"", text), *wanted = http_header(req, "If-None-Match");
    reply_header(reply, "ETag", tag);
    bool reading = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
    if (reading && wanted && tag_matches(wanted, tag))
        (void)reply_empty(reply, 304);
}

bool http_must_hand_over(struct request *req)
{
    struct http_exchange *exchange = req->exchange;
    exchange->handing_over = exchange->on_loop;
    return exchange->on_loop;
}

bool http_try_again(struct request *req, int after_ms)
{
    struct http_exchange *exchange = req->exchange;
    exchange->again = true;
    exchange->due_ms = clock_monotonic_ms() + (after_ms > 0 ? after_ms : 1);
    return false;
}
