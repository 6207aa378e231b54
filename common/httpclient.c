#include "httpclient.h"

#include "log.h"
#include "mem.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    SPARE_HANDLES = 8, /* kept with their connections */
    CONNECT_MS = 3000,
    CALL_MS = 10000,
    BODY_BYTES = 1024 * 1024,
    HEADERS_MAX = 32,
    HEADER_VALUE_BYTES = 256,
};

struct httpclient {
    struct httpclient_options options;
    char *ca_file;
    pthread_mutex_t lock;
    CURL *spare[SPARE_HANDLES];
    int spare_count;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_open(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

struct httpclient *httpclient_open(const struct httpclient_options *options, struct err *err)
{
    (void)err;
    (void)pthread_once(&curl_once, curl_open);
    struct httpclient *client = MEM_NEW(httpclient);
    client->options = *options;
    client->ca_file = options->ca_file ? mem_text(options->ca_file) : NULL;
    if (!client->options.connect_timeout_ms)
        client->options.connect_timeout_ms = CONNECT_MS;
    if (!client->options.timeout_ms)
        client->options.timeout_ms = CALL_MS;
    if (!client->options.body_max)
        client->options.body_max = BODY_BYTES;
    (void)pthread_mutex_init(&client->lock, NULL);
    return client;
}

void httpclient_release(struct httpclient **place)
{
    struct httpclient *client = *place;
    if (!client)
        return;
    while (client->spare_count)
        curl_easy_cleanup(client->spare[--client->spare_count]);
    (void)pthread_mutex_destroy(&client->lock);
    free(client->ca_file);
    free(client);
    *place = NULL;
}

static CURL *handle_take(struct httpclient *client)
{
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&client->lock);
    if (client->spare_count)
        handle = client->spare[--client->spare_count];
    (void)pthread_mutex_unlock(&client->lock);
    return handle ? handle : curl_easy_init();
}

/* curl_easy_reset() forgets the request and keeps the connections. */
static void handle_give(struct httpclient *client, CURL *handle)
{
    curl_easy_reset(handle);
    (void)pthread_mutex_lock(&client->lock);
    if (client->spare_count < SPARE_HANDLES)
        client->spare[client->spare_count++] = TAKE(handle);
    (void)pthread_mutex_unlock(&client->lock);
    if (handle)
        curl_easy_cleanup(handle);
}

/* ---- one call ---- */

struct transfer {
    struct arena *arena;
    struct http_answer *answer;
    struct str body;
    size_t body_max;
    bool too_large;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *payload)
{
    struct transfer *transfer = payload;
    size_t length = size * count;
    if (transfer->body.length + length > transfer->body_max) {
        transfer->too_large = true;
        return 0; /* curl ends the transfer */
    }
    str_add_bytes(&transfer->body, bytes, length);
    return length;
}

static const char *copy_value(struct arena *arena, const char *line, size_t length, size_t name_length)
{
    const char *value = line + name_length + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t kept = (size_t)(end - value);
    return arena_bytes(arena, value, kept < HEADER_VALUE_BYTES ? kept : 0);
}

static size_t on_header(char *line, size_t size, size_t count, void *payload)
{
    static const char ETAG[] = "etag";
    struct transfer *transfer = payload;
    size_t length = size * count;
    if (length >= sizeof ETAG && line[sizeof ETAG - 1] == ':' && strncasecmp(line, ETAG, sizeof ETAG - 1) == 0)
        transfer->answer->etag = copy_value(transfer->arena, line, length, sizeof ETAG - 1);
    return length;
}

/* A line break in a header would be a second header. */
static bool header_is_safe(const char *line)
{
    for (const char *c = line; *c; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\t')
            return false;
    }
    return strchr(line, ':') != NULL || strchr(line, ';') != NULL;
}

static bool add_header(struct curl_slist **list, const char *line, struct err *err)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return err_set_internal(err, &ERR_INTERNAL, "out of memory");
    *list = longer;
    return true;
}

static bool make_headers(const struct http_call *call, struct curl_slist **list, struct err *err)
{
    char request_id[128];
    bool typed = false, named = false;
    if (!add_header(list, "Expect:", err)) /* else curl waits a second before it sends a body to some servers */
        return false;
    for (int i = 0; call->headers && call->headers[i]; i++) {
        const char *line = call->headers[i];
        if (i == HEADERS_MAX || !header_is_safe(line))
            return err_set_internal(err, &ERR_INTERNAL, "a header of a call is not valid");
        typed = typed || strncasecmp(line, "Content-Type:", 13) == 0;
        named = named || strncasecmp(line, "X-Request-Id:", 13) == 0;
        if (!add_header(list, line, err))
            return false;
    }
    if (call->body.bytes && !typed && !add_header(list, "Content-Type:", err)) /* not curl's form type by accident */
        return false;
    (void)snprintf(request_id, sizeof request_id, "X-Request-Id: %s", log_request_id());
    return named || !*log_request_id() || add_header(list, request_id, err);
}

static void set_method(CURL *handle, const struct http_call *call)
{
    bool put = strcmp(call->method, "PUT") == 0, post = strcmp(call->method, "POST") == 0;
    if (call->body.bytes || put || post) {
        curl_easy_setopt(handle, CURLOPT_POST, 1L);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, call->body.bytes ? call->body.bytes : "");
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
    }
    if (strcmp(call->method, "HEAD") == 0)
        curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_options(struct httpclient *client, CURL *handle, const struct http_call *call,
                        struct curl_slist *headers, struct transfer *transfer, char error[CURL_ERROR_SIZE])
{
    long timeout_ms = call->timeout_ms ? call->timeout_ms : client->options.timeout_ms;
    long connect_ms = client->options.connect_timeout_ms;
    curl_easy_setopt(handle, CURLOPT_URL, call->url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, client->options.allow_http ? "http,https" : "https");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_PROXY, ""); /* not by accident of the environment */
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, connect_ms < timeout_ms ? connect_ms : timeout_ms);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(handle, CURLOPT_MAXCONNECTS, 4L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    if (client->ca_file)
        curl_easy_setopt(handle, CURLOPT_CAINFO, client->ca_file);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
    set_method(handle, call);
}

/* Whether the server may have seen the request: unless curl never came to send it. */
static bool may_have_been_sent(CURL *handle, CURLcode code)
{
    long request_bytes = 0;
    curl_off_t body_bytes = 0;
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_SSL_CONNECT_ERROR ||
        code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT)
        return false;
    (void)curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &request_bytes);
    (void)curl_easy_getinfo(handle, CURLINFO_SIZE_UPLOAD_T, &body_bytes);
    return request_bytes > 0 || body_bytes > 0;
}

static void read_answer(CURL *handle, struct transfer *transfer)
{
    struct http_answer *answer = transfer->answer;
    char *type = NULL;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer->status);
    (void)curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &retry_after);
    answer->content_type = type ? arena_text(transfer->arena, type) : "";
    answer->retry_after_s = retry_after > 86400 ? 86400 : (int)retry_after;
    char *bytes = arena_bytes(transfer->arena, transfer->body.bytes ? transfer->body.bytes : "", transfer->body.length);
    answer->body = (struct view){bytes, transfer->body.length};
}

static bool call_on(struct httpclient *client, CURL *handle, const struct http_call *call, struct curl_slist *headers,
                    struct transfer *transfer, struct err *err)
{
    char error[CURL_ERROR_SIZE] = "";
    set_options(client, handle, call, headers, transfer, error);
    CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK) {
        transfer->answer->sent = true;
        read_answer(handle, transfer);
        return true;
    }
    transfer->answer->sent = may_have_been_sent(handle, code);
    if (transfer->too_large)
        return err_set_internal(err, &ERR_UNAVAILABLE, "the answer is larger than %zu bytes", transfer->body_max);
    /* curl's words name hosts and ports, never headers or bodies */
    return err_set_internal(err, &ERR_UNAVAILABLE, "no answer: %s", *error ? error : curl_easy_strerror(code));
}

bool httpclient_call(struct httpclient *client, struct arena *arena, const struct http_call *call,
                     struct http_answer *answer, struct err *err)
{
    *answer = (struct http_answer){.content_type = "", .etag = "", .body = {"", 0}};
    struct transfer transfer = {.arena = arena, .answer = answer, .body_max = client->options.body_max};
    struct curl_slist *headers = NULL;
    CURL *handle = handle_take(client);
    bool ok =
        handle ? make_headers(call, &headers, err) : err_set_internal(err, &ERR_INTERNAL, "libcurl gives no handle");
    ok = ok && call_on(client, handle, call, headers, &transfer, err);
    if (handle)
        handle_give(client, handle);
    curl_slist_free_all(headers);
    str_free(&transfer.body);
    return ok;
}
