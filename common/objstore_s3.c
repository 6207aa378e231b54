#include "clock.h"
#include "crypto.h"
#include "httpclient.h"
#include "mem.h"
#include "objstore_internal.h"
#include "sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TRIES = 3,
    FIRST_PAUSE_MS = 100, /* then four times as long */
    TIMEOUT_MS = 30000,
    LINK_MAX_S = 604800,        /* what S3 allows */
    ARENA_MAX = 4 * OBJECT_MAX, /* a body may be copied while it grows */
};

/* http(s)://host[:port], the port left out where it is the usual one, as curl does in the Host header that we sign. */
struct endpoint {
    const char *scheme;
    char host[256];
};

struct s3 {
    struct objstore_config config;
    struct endpoint inner, outer; /* as we and as browsers reach it */
    struct httpclient *client;
};

/* ---- addresses -----------------------------------------------------------------------------------------------------
 */

static bool parse_endpoint(const char *url, struct endpoint *endpoint, struct err *err)
{
    bool tls = strncmp(url, "https://", 8) == 0;
    if (!tls && strncmp(url, "http://", 7) != 0)
        return err_set_internal(err, &ERR_INTERNAL, "S3_ENDPOINT must begin with http:// or https://");
    const char *host = url + (tls ? 8 : 7), *usual = tls ? ":443" : ":80";
    size_t length = strcspn(host, "/?#@ ");
    if (length == 0 || length >= sizeof endpoint->host - 80 ||
        (host[length] != '\0' && strcmp(host + length, "/") != 0))
        return err_set_internal(err, &ERR_INTERNAL, "S3_ENDPOINT is no http(s)://host[:port]");
    if (length > strlen(usual) && strncmp(host + length - strlen(usual), usual, strlen(usual)) == 0)
        length -= strlen(usual);
    endpoint->scheme = tls ? "https" : "http";
    memcpy(endpoint->host, host, length);
    endpoint->host[length] = '\0';
    return true;
}

static void to_virtual_host(struct endpoint *endpoint, const char *bucket)
{
    char host[sizeof endpoint->host];
    (void)snprintf(host, sizeof host, "%s", endpoint->host);
    (void)snprintf(endpoint->host, sizeof endpoint->host, "%.63s.%.180s", bucket, host);
}

void *objstore_s3_open(const struct objstore_config *config, struct err *err)
{
    struct s3 *s3 = MEM_NEW(s3);
    const char *outer =
        config->s3_public_endpoint && config->s3_public_endpoint[0] ? config->s3_public_endpoint : config->s3_endpoint;
    s3->config = *config;
    bool ok = parse_endpoint(config->s3_endpoint, &s3->inner, err) && parse_endpoint(outer, &s3->outer, err);
    if (ok &&
        (!config->s3_access_key || !config->s3_access_key[0] || !config->s3_secret_key || !config->s3_secret_key[0]))
        ok = err_set_internal(err, &ERR_INTERNAL, "S3_ENDPOINT needs S3_ACCESS_KEY and S3_SECRET_KEY");
    if (ok && !config->s3_path_style) {
        to_virtual_host(&s3->inner, config->s3_bucket);
        to_virtual_host(&s3->outer, config->s3_bucket);
    }
    struct httpclient_options options = {
        .allow_http = strcmp(s3->inner.scheme ? s3->inner.scheme : "", "http") == 0,
        .timeout_ms = TIMEOUT_MS,
        .body_max = OBJECT_MAX,
    };
    if (!ok || !(s3->client = httpclient_open(&options, err))) {
        free(s3);
        return NULL;
    }
    return s3;
}

static void s3_release(void *state)
{
    struct s3 *s3 = state;
    httpclient_release(&s3->client);
    free(s3);
}

static char *object_path(const struct s3 *s3, struct arena *arena, const char *key)
{
    return s3->config.s3_path_style ? arena_printf(arena, "/%s/%s", s3->config.s3_bucket, key)
                                    : arena_printf(arena, "/%s", key);
}

static struct sigv4 signer(const struct s3 *s3, int64_t at_s)
{
    return (struct sigv4){.access_key = s3->config.s3_access_key,
                          .secret_key = s3->config.s3_secret_key,
                          .region = s3->config.s3_region,
                          .service = "s3",
                          .at_s = at_s};
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

struct s3_call {
    const char *method, *key;
    struct view body;
    const char *content_type; /* with a body */
};

static bool call_once(struct s3 *s3, struct arena *arena, const struct s3_call *call, struct http_answer *answer,
                      struct err *err)
{
    char date[17], hash[SHA256_HEX_BYTES];
    struct sigv4 sigv4 = signer(s3, clock_now_ms() / 1000); /* each try anew: a signature ages */
    sigv4_date(sigv4.at_s, date);
    crypto_sha256_hex(call->body.bytes ? call->body.bytes : "", call->body.length, hash);
    const char *path = object_path(s3, arena, call->key);
    const struct sigv4_pair headers[] = {
        {"host", s3->inner.host},
        {"x-amz-content-sha256", hash},
        {"x-amz-date", date},
        {call->content_type ? "content-type" : NULL, call->content_type},
        {0},
    };
    struct sigv4_request request = {.method = call->method, .path = path, .headers = headers, .payload_hash = hash};
    AUTO_STR authorization, url;
    str_init(&authorization);
    str_init(&url);
    sigv4_authorization(&sigv4, &request, &authorization);
    str_printf(&url, "%s://%s", s3->inner.scheme, s3->inner.host);
    str_add_percent(&url, path, true);
    const char *const lines[] = {
        arena_printf(arena, "Authorization: %s", authorization.bytes),
        arena_printf(arena, "x-amz-content-sha256: %s", hash),
        arena_printf(arena, "x-amz-date: %s", date),
        "Expect:", /* no waiting for 100 Continue */
        call->content_type ? arena_printf(arena, "Content-Type: %s", call->content_type) : NULL,
        NULL,
    };
    return httpclient_call(
        s3->client, arena,
        &(struct http_call){.method = call->method, .url = url.bytes, .headers = lines, .body = call->body}, answer,
        err);
}

static bool worth_another_try(bool answered, long status)
{
    return !answered || status == 408 || status == 429 || status == 500 || status >= 502;
}

static void pause_ms(int ms)
{
    unsigned char jitter;
    crypto_random(&jitter, 1);
    ms += ms * jitter / 512; /* up to half as long again */
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* GET, PUT and DELETE of one object can all be repeated. */
static bool call_s3(struct s3 *s3, struct arena *arena, const struct s3_call *call, struct http_answer *answer,
                    struct err *err)
{
    int wait_ms = FIRST_PAUSE_MS;
    for (int try = 1;; try++) {
        *answer = (struct http_answer){0};
        bool answered = call_once(s3, arena, call, answer, err);
        if (try == TRIES || !worth_another_try(answered, answer->status))
            return answered;
        pause_ms(wait_ms);
        wait_ms *= 4;
    }
}

/* The error code of the XML body goes to the log. */
static bool refused(const struct s3_call *call, const struct http_answer *answer, struct err *err)
{
    static const char OPEN[] = "<Code>";
    const char *code =
        answer->body.length ? memmem(answer->body.bytes, answer->body.length, OPEN, sizeof OPEN - 1) : NULL;
    size_t length = 0;
    if (code) {
        code += sizeof OPEN - 1;
        size_t left = answer->body.length - (size_t)(code - answer->body.bytes);
        while (length < left && length < 40 && code[length] != '<')
            length++;
    }
    return err_set_internal(err, &ERR_UNAVAILABLE, "S3: %s %s gave %ld %.*s", call->method, call->key, answer->status,
                            (int)length, code ? code : "");
}

static bool s3_put(void *state, const char *key, struct view bytes, const char *content_type, struct err *err)
{
    AUTO(arena) arena = arena_open(ARENA_MAX);
    struct s3_call call = {.method = "PUT",
                           .key = key,
                           .body = {bytes.length ? bytes.bytes : "", bytes.length},
                           .content_type = content_type};
    struct http_answer answer;
    return call_s3(state, arena, &call, &answer, err) && (answer.status == 200 || refused(&call, &answer, err));
}

static bool s3_get(void *state, const char *key, size_t max, struct arena *arena, struct view *bytes,
                   const char **content_type, struct err *err)
{
    AUTO(arena) own = arena_open(ARENA_MAX);
    struct s3_call call = {.method = "GET", .key = key};
    struct http_answer answer;
    if (!call_s3(state, own, &call, &answer, err))
        return false;
    if (answer.status == 404)
        return err_set(err, &ERR_NOT_FOUND, "no such file");
    if (answer.status != 200)
        return refused(&call, &answer, err);
    char *content = answer.body.length <= max ? arena_try(arena, answer.body.length + 1) : NULL;
    if (!content)
        return err_set(err, &ERR_TOO_LARGE, "the file is larger than %zu bytes", max);
    if (answer.body.length)
        memcpy(content, answer.body.bytes, answer.body.length);
    *bytes = (struct view){content, answer.body.length};
    *content_type = arena_text(arena, answer.content_type[0] ? answer.content_type : "application/octet-stream");
    return true;
}

static bool s3_remove(void *state, const char *key, struct err *err)
{
    AUTO(arena) arena = arena_open(ARENA_MAX);
    struct s3_call call = {.method = "DELETE", .key = key};
    struct http_answer answer;
    if (!call_s3(state, arena, &call, &answer, err))
        return false;
    return answer.status == 204 || answer.status == 200 || answer.status == 404 || refused(&call, &answer, err);
}

/* ---- links ---------------------------------------------------------------------------------------------------------
 */

static bool s3_link(void *state, const char *key, int64_t now_s, int64_t until_s, struct str *out, struct err *err)
{
    const struct s3 *s3 = state;
    if (until_s <= now_s || until_s - now_s > LINK_MAX_S)
        return err_set_internal(err, &ERR_INTERNAL, "S3: a link lives from 1 s to %d s", LINK_MAX_S);
    AUTO(arena) arena = arena_open(64 * 1024);
    struct sigv4 sigv4 = signer(s3, now_s);
    const struct sigv4_pair headers[] = {{"host", s3->outer.host}, {0}};
    str_printf(out, "%s://%s", s3->outer.scheme, s3->outer.host);
    sigv4_presign(&sigv4,
                  &(struct sigv4_request){.method = "GET", .path = object_path(s3, arena, key), .headers = headers},
                  until_s - now_s, out);
    return true;
}

/* Nobody shows us such a link: the S3 server checks it. */
static bool s3_link_valid(void *state, const char *key, const char *expires, const char *signature, int64_t now_s)
{
    (void)state, (void)key, (void)expires, (void)signature, (void)now_s;
    return false;
}

const struct objstore_kind OBJSTORE_S3 = {
    .put = s3_put,
    .get = s3_get,
    .remove = s3_remove,
    .link = s3_link,
    .link_valid = s3_link_valid,
    .release = s3_release,
};
