#include "cors.h"

#include "mem.h"

#include <stdlib.h>

enum { ORIGINS_MAX = 64 };

const char CORS_PREFLIGHT[] =
    "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"
    "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, Prefer, Last-Event-ID, "
    "X-Requested-With, X-Request-Id, traceparent\r\n"
    "Access-Control-Max-Age: 600\r\n";

const char CORS_EXPOSED[] = "Access-Control-Allow-Credentials: true\r\n"
                            "Access-Control-Expose-Headers: ETag, Location, Retry-After, RateLimit, X-Request-Id\r\n";

struct cors {
    bool localhost;
    size_t count;
    struct view origins[ORIGINS_MAX];
    char *text;
};

static bool starts_with(struct view text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.bytes, prefix, length) == 0;
}

/* scheme://host[:port] and nothing more. */
static bool origin_valid(struct view origin)
{
    size_t scheme = starts_with(origin, "https://") ? 8 : starts_with(origin, "http://") ? 7 : 0;
    if (!scheme || origin.length == scheme || origin.length > 120)
        return false;
    for (size_t i = scheme; i < origin.length; i++) {
        char c = origin.bytes[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !strchr(".-:[]", c))
            return false;
    }
    return true;
}

struct cors *cors_open(const char *origins, bool localhost, struct err *err)
{
    struct cors *cors = MEM_NEW(cors);
    cors->localhost = localhost;
    cors->text = mem_text(origins);
    for (const char *at = cors->text; *at;) {
        at += strspn(at, ", \t");
        struct view origin = {at, strcspn(at, ", \t")};
        if (origin.length && (!origin_valid(origin) || cors->count == ORIGINS_MAX)) {
            err_set(err, &ERR_BAD_INPUT, "CORS_ORIGINS: \"%.*s\" is not an origin such as https://app.example",
                    (int)(origin.length > 100 ? 100 : origin.length), at);
            cors_release(&cors);
            return NULL;
        }
        if (origin.length)
            cors->origins[cors->count++] = origin;
        at += origin.length;
    }
    return cors;
}

void cors_release(struct cors **cors)
{
    struct cors *old = TAKE(*cors);
    if (!old)
        return;
    free(old->text);
    free(old);
}

static bool is_localhost(struct view origin)
{
    static const char *const HOSTS[] = {"http://localhost",  "https://localhost", "http://127.0.0.1",
                                        "https://127.0.0.1", "http://[::1]",      "https://[::1]"};
    for (size_t i = 0; i < ARRAY_LENGTH(HOSTS); i++) {
        if (!starts_with(origin, HOSTS[i]))
            continue;
        size_t at = strlen(HOSTS[i]);
        if (at == origin.length)
            return true;
        if (origin.bytes[at++] != ':' || at == origin.length || origin.length - at > 5)
            continue;
        while (at < origin.length && origin.bytes[at] >= '0' && origin.bytes[at] <= '9')
            at++;
        if (at == origin.length)
            return true;
    }
    return false;
}

bool cors_allows(const struct cors *cors, struct view origin)
{
    for (size_t i = 0; i < cors->count; i++)
        if (view_equals(cors->origins[i], origin))
            return true;
    return cors->localhost && is_localhost(origin);
}

bool cors_same_origin(struct view origin, struct view host)
{
    size_t scheme = starts_with(origin, "https://") ? 8 : starts_with(origin, "http://") ? 7 : 0;
    return scheme && host.length &&
           view_equals_nocase((struct view){origin.bytes + scheme, origin.length - scheme}, host);
}
