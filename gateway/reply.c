/* Answers that the gateway writes itself. exchange.h has the contract. */
#include "exchange.h"
#include "forward.h"
#include "http.h"
#include "problems.h"

#include <stdio.h>

enum { SKIP_MAX = 64 * 1024, PIECE_BYTES = 64 * 1024 };

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } REASONS[] = {{200, "OK"},
                   {204, "No Content"},
                   {301, "Moved Permanently"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {417, "Expectation Failed"},
                   {426, "Upgrade Required"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof REASONS / sizeof REASONS[0]; i++)
        if (REASONS[i].status == status)
            return REASONS[i].reason;
    return "Other";
}

/* The rest of the request's body is thrown away when that is little, else the connection ends with this answer. */
static void settle_body(struct exchange *x)
{
    struct client *client = x->client;
    if (!x->parsed)
        x->keep_alive = false;
    if (!x->keep_alive || x->request_done)
        return;
    bool unclear = x->awaits_continue && !client->in; /* whether it still sends the body is up to the client */
    if (x->request_body.kind == HTTP1_BODY_LENGTH && x->request_body.left <= SKIP_MAX && !unclear)
        client->skip = (int64_t)x->request_body.left; /* the exchange takes no more of it */
    else
        x->keep_alive = false;
}

void exchange_answer(struct exchange *x, int status, const char *content_type, const char *headers, struct view body)
{
    struct loop *loop = x->loop;
    struct writer out = {loop->out, loop->out + sizeof loop->out, false};
    settle_body(x);
    x->request_done = true;
    x->status = status;
    WRITE_LITERAL(&out, "HTTP/1.1 ");
    write_number(&out, status);
    WRITE_LITERAL(&out, " ");
    write_text(&out, reason_of(status));
    WRITE_LITERAL(&out, "\r\nDate: ");
    write_text(&out, loop->date);
    if (content_type) {
        WRITE_LITERAL(&out, "\r\nContent-Type: ");
        write_text(&out, content_type);
    }
    if (status != 204 && status != 304) {
        WRITE_LITERAL(&out, "\r\nContent-Length: ");
        write_number(&out, (int64_t)body.length);
    }
    WRITE_LITERAL(&out, "\r\n");
    write_text(&out, headers);
    forward_common(x, &out, strcasestr(headers, "Content-Security-Policy:") != NULL);
    if (!x->keep_alive)
        WRITE_LITERAL(&out, "Connection: close\r\n");
    WRITE_LITERAL(&out, "\r\n");
    x->response_started = true;
    client_send(x->client, loop->out, (size_t)(out.at - loop->out));
    if (x->method != HTTP1_HEAD || !x->parsed)
        x->rest = body;
    exchange_send_rest(x);
}

void exchange_send_rest(struct exchange *x)
{
    while (x->rest.length && !x->client->out && !x->client->broken) {
        size_t length = x->rest.length < PIECE_BYTES ? x->rest.length : PIECE_BYTES;
        client_send(x->client, x->rest.bytes, length);
        x->rest = (struct view){x->rest.bytes + length, x->rest.length - length};
        x->bytes_out += (int64_t)length;
    }
    if (x->rest.length && x->rest.length <= PIECE_BYTES && !x->docs) { /* small, and only lent: kept by the client */
        client_send(x->client, x->rest.bytes, x->rest.length);
        x->bytes_out += (int64_t)x->rest.length;
        x->rest.length = 0;
    }
    if (!x->rest.length)
        exchange_finish(x);
}

void exchange_refuse(struct exchange *x, const struct err *err)
{
    char headers[200] = "Cache-Control: no-store\r\n";
    size_t used = strlen(headers);
    int status = err->problem->status;
    if (err->retry_after_s > 0)
        used += (size_t)snprintf(headers + used, sizeof headers - used, "Retry-After: %d\r\n", err->retry_after_s);
    if (status == 401)
        (void)snprintf(headers + used, sizeof headers - used, "WWW-Authenticate: Bearer\r\n");
    else if (status == 426)
        (void)snprintf(headers + used, sizeof headers - used, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    x->problem = err->problem;
    AUTO_STR body;
    str_init(&body);
    problem_print(&body, err, x->korean, x->request_id);
    exchange_answer(x, status, "application/problem+json", headers, (struct view){body.bytes, body.length});
}
