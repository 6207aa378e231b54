/* The parser of the gateway: what is taken, what is refused, and that it never matters how the bytes were cut. */
#include "http1.h"
#include "test.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

#define H "Host: a.example\r\n"

struct request_case {
    const char *name, *bytes;
    enum http1_fault fault;
};

/* Each is a way to make two readers see two different things, or a plain mistake. */
static const struct request_case REFUSED[] = {
    {"both lengths", "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP1_FAULT_BOTH},
    {"both lengths, other order", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     HTTP1_FAULT_BOTH},
    {"two lengths", "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"two equal lengths", "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
     HTTP1_FAULT_LENGTH},
    {"list of lengths", "POST /a HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"signed length", "POST /a HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"negative length", "POST /a HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"hex length", "POST /a HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"empty length", "POST /a HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"huge length", "POST /a HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"length with inner space", "POST /a HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\n", HTTP1_FAULT_LENGTH},
    {"coding other than chunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", HTTP1_FAULT_CODING},
    {"coding list", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP1_FAULT_CODING},
    {"chunked, identity", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", HTTP1_FAULT_CODING},
    {"identity", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", HTTP1_FAULT_CODING},
    {"xchunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", HTTP1_FAULT_CODING},
    {"chunked;q=1", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", HTTP1_FAULT_CODING},
    {"quoted chunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", HTTP1_FAULT_CODING},
    {"two codings", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP1_FAULT_CODING},
    {"empty coding", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", HTTP1_FAULT_CODING},
    {"coding after a vertical tab",
     "POST /a HTTP/1.1\r\n" H "Transfer-Encoding:\x0b"
     "chunked\r\n\r\n",
     HTTP1_FAULT_LINE_END},
    {"coding in HTTP/1.0", "POST /a HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", HTTP1_FAULT_CODING_10},
    {"space before the colon", "POST /a HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n", HTTP1_FAULT_HEADER},
    {"tab before the colon", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n", HTTP1_FAULT_HEADER},
    {"folded line", "GET /a HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", HTTP1_FAULT_FOLD},
    {"folded by tab", "GET /a HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", HTTP1_FAULT_FOLD},
    {"fold right after the first line", "GET /a HTTP/1.1\r\n X: a\r\n" H "\r\n", HTTP1_FAULT_FOLD},
    {"bare LF ends the first line", "GET /a HTTP/1.1\n" H "\r\n", HTTP1_FAULT_LINE_END},
    {"bare LF ends a header", "GET /a HTTP/1.1\r\nHost: a\n\r\n", HTTP1_FAULT_LINE_END},
    {"bare LF ends the head", "GET /a HTTP/1.1\r\n" H "\n", HTTP1_FAULT_HEADER},
    {"bare CR in a value", "GET /a HTTP/1.1\r\n" H "X: a\rTransfer-Encoding: chunked\r\n\r\n", HTTP1_FAULT_LINE_END},
    {"CR CR LF", "GET /a HTTP/1.1\r\n" H "X: a\r\r\n\r\n", HTTP1_FAULT_LINE_END},
    {"DEL in a value", "GET /a HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", HTTP1_FAULT_LINE_END},
    {"ESC in a value", "GET /a HTTP/1.1\r\n" H "X: \x1b[1m\r\n\r\n", HTTP1_FAULT_LINE_END},
    {"line without colon", "GET /a HTTP/1.1\r\n" H "X\r\n\r\n", HTTP1_FAULT_HEADER},
    {"empty name", "GET /a HTTP/1.1\r\n" H ": a\r\n\r\n", HTTP1_FAULT_HEADER},
    {"byte above ASCII in a name", "GET /a HTTP/1.1\r\n" H "X\xc3\xa9: a\r\n\r\n", HTTP1_FAULT_HEADER},
    {"parenthesis in a name", "GET /a HTTP/1.1\r\n" H "X(1): a\r\n\r\n", HTTP1_FAULT_HEADER},
    {"no Host", "GET /a HTTP/1.1\r\n\r\n", HTTP1_FAULT_HOST},
    {"empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", HTTP1_FAULT_HOST},
    {"two Hosts", "GET /a HTTP/1.1\r\n" H H "\r\n", HTTP1_FAULT_HOST},
    {"Host with a path", "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP1_FAULT_HOST},
    {"Host with a user", "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP1_FAULT_HOST},
    {"Host with two ports", "GET /a HTTP/1.1\r\nHost: a:1:2\r\n\r\n", HTTP1_FAULT_HOST},
    {"Host with a list", "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n", HTTP1_FAULT_HOST},
    {"two Authorizations", "GET /a HTTP/1.1\r\n" H "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
     HTTP1_FAULT_TWICE},
    {"two Idempotency-Keys", "POST /a HTTP/1.1\r\n" H "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
     HTTP1_FAULT_TWICE},
    {"absolute form for another host", "GET http://b.example/a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET_HOST},
    {"absolute form, other port", "GET http://a.example:81/a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET_HOST},
    {"absolute form, other scheme", "GET ftp://a.example/a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"authority form", "GET a.example:80 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_METHOD},
    {"TRACE", "TRACE /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_METHOD},
    {"method in lower case", "get /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_METHOD},
    {"no method", " /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"two spaces", "GET  /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"tab instead of space", "GET\t/a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"space in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"space after the version", "GET /a HTTP/1.1 \r\n" H "\r\n", HTTP1_FAULT_LINE_END},
    {"HTTP/0.9", "GET /a\r\n", HTTP1_FAULT_LINE},
    {"HTTP/1.2", "GET /a HTTP/1.2\r\n" H "\r\n", HTTP1_FAULT_VERSION},
    {"HTTP/2.0", "GET /a HTTP/2.0\r\n" H "\r\n", HTTP1_FAULT_VERSION},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP1_FAULT_METHOD},
    {"HTTP/1.10", "GET /a HTTP/1.10\r\n" H "\r\n", HTTP1_FAULT_LINE_END},
    {"version in lower case", "GET /a http/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HTTP1_FAULT_LINE},
    {"fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"byte above ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"quote in the target", "GET /\" HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"less-than in the query", "GET /a?<b> HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"half a percent code", "GET /a%4 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"percent code that is none", "GET /a%zz HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"percent code in the query that is none", "GET /a?b=%g0 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_TARGET},
    {"dot segment", "GET /api/./users HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"two dots", "GET /api/../internal HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"two dots at the end", "GET /api/.. HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"encoded dots", "GET /api/%2e%2E/internal HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"half encoded dots", "GET /api/.%2e/internal HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"empty segment", "GET /api//users HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"empty segment first", "GET //api/users HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"encoded slash", "GET /api/a%2Fb HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"encoded backslash", "GET /api/a%5cb HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"backslash", "GET /api\\users HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"encoded NUL", "GET /api/a%00 HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"encoded line end", "GET /api/a%0d%0aX:%20b HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_PATH},
    {"other expectation", "POST /a HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", HTTP1_FAULT_EXPECT},
    {"empty lines before the request", "\r\n\r\nGET /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
    {"LF before the request", "\nGET /a HTTP/1.1\r\n" H "\r\n", HTTP1_FAULT_LINE},
};

/* Parses byte by byte and at once; both must agree. */
static enum http1_result parse_both(const char *bytes, size_t length, struct http1_request *out,
                                    enum http1_fault *fault)
{
    enum http1_result stepwise = HTTP1_MORE;
    enum http1_fault step_fault = HTTP1_FAULT_NONE;
    size_t at = 0;
    while (at < length && stepwise == HTTP1_MORE) {
        char *copy = malloc(++at); /* exactly this long, so that a sanitizer sees a step too far */
        memcpy(copy, bytes, at);
        stepwise = http1_parse_request(copy, at, out, &step_fault);
        free(copy);
    }
    enum http1_result whole = http1_parse_request(bytes, length, out, fault);
    EXPECT_I64(stepwise, whole);
    EXPECT_I64(step_fault, *fault);
    if (whole == HTTP1_DONE)
        EXPECT_I64(at, out->head_length);
    return whole;
}

TEST(what_two_readers_could_read_differently_is_refused, "P-43")
{
    struct http1_request request;
    for (size_t i = 0; i < ARRAY_LENGTH(REFUSED); i++) {
        const struct request_case *c = &REFUSED[i];
        enum http1_fault fault;
        size_t length = c->bytes[0] == 0x16 ? 11 : strlen(c->bytes);
        enum http1_result result = parse_both(c->bytes, length, &request, &fault);
        test_check(result == HTTP1_BAD && fault == c->fault, __FILE__, __LINE__, "%s: result %d, fault %d (%s)",
                   c->name, result, fault, http1_fault_words(fault));
    }
}

TEST(a_nul_byte_is_refused_anywhere, "P-43")
{
    static const char GOOD[] = "GET /a?b HTTP/1.1\r\n" H "Accept: x\r\n\r\n";
    struct http1_request request;
    enum http1_fault fault;
    for (size_t i = 0; i < sizeof GOOD - 1; i++) {
        char bytes[sizeof GOOD];
        memcpy(bytes, GOOD, sizeof GOOD);
        bytes[i] = '\0';
        test_check(parse_both(bytes, sizeof GOOD - 1, &request, &fault) == HTTP1_BAD, __FILE__, __LINE__, "NUL at %zu",
                   i);
    }
}

TEST(a_good_request_is_read, "P-43")
{
    static const char BYTES[] =
        "\r\nPOST /api/users/me?x=%20y&z[]=1 HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length:  12 \r\n"
        "Authorization: Bearer abc\r\nX-Empty:\r\nX_Forwarded_For: 1.2.3.4\r\nConnection: X-Own\r\n\r\nrest";
    struct http1_request request;
    enum http1_fault fault;
    REQUIRE(parse_both(BYTES, sizeof BYTES - 1, &request, &fault) == HTTP1_DONE);
    EXPECT_I64(HTTP1_POST, request.method);
    EXPECT(view_equals(request.path, VIEW("/api/users/me")));
    EXPECT(view_equals(request.query, VIEW("x=%20y&z[]=1")));
    EXPECT(view_equals(request.host, VIEW("a.example:8080")));
    EXPECT_I64(12, request.content_length);
    EXPECT(request.keep_alive);
    EXPECT_I64(sizeof BYTES - 1 - 4, request.head_length);
    const struct http1_header *authorization = http1_header(&request.headers, HEADER_AUTHORIZATION);
    REQUIRE(authorization);
    EXPECT(view_equals(authorization->value, VIEW("Bearer abc")));
    EXPECT_I64(0, request.headers.list[3].value.length);
    EXPECT(request.headers.list[4].look_alike);
    EXPECT(http1_header(&request.headers, HEADER_FORWARDED_FOR) == NULL);
    EXPECT(http1_connection_names(&request.headers, VIEW("x-own")));
    EXPECT(!http1_connection_names(&request.headers, VIEW("x-ow")));
}

TEST(absolute_form_for_our_host_becomes_origin_form, "P-43")
{
    struct http1_request request;
    enum http1_fault fault;
    static const char BYTES[] = "GET HTTP://A.example/x?y HTTP/1.1\r\n" H "\r\n";
    REQUIRE(parse_both(BYTES, sizeof BYTES - 1, &request, &fault) == HTTP1_DONE);
    EXPECT(view_equals(request.target, VIEW("/x?y")));
    static const char BARE[] = "GET http://a.example HTTP/1.1\r\n" H "\r\n";
    REQUIRE(parse_both(BARE, sizeof BARE - 1, &request, &fault) == HTTP1_DONE);
    EXPECT(view_equals(request.target, VIEW("/")));
}

TEST(keep_alive_follows_version_and_connection, "P-43")
{
    static const struct {
        const char *bytes;
        bool keep_alive;
    } CASES[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", true},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" H "Connection: x , CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", false},
    };
    struct http1_request request;
    enum http1_fault fault;
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        REQUIRE(parse_both(CASES[i].bytes, strlen(CASES[i].bytes), &request, &fault) == HTTP1_DONE);
        test_check(request.keep_alive == CASES[i].keep_alive, __FILE__, __LINE__, "%s", CASES[i].bytes);
    }
}

#define WS "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
TEST(only_a_whole_websocket_handshake_counts, "P-43")
{
    static const struct {
        const char *bytes;
        bool websocket, upgrade;
    } CASES[] = {
        {"GET /w HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" WS "\r\n", true, false},
        {"GET /w HTTP/1.1\r\n" H "Upgrade: websocket\r\n" WS "\r\n", false, false},
        {"GET /w HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
         false, true},
        {"POST /w HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n" WS "\r\n", false, true},
        {"GET /w HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n" WS "\r\n", false,
         true},
        {"GET /w HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
         false, true},
        {"GET /w HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n" WS "\r\n", false, true},
        {"GET /w HTTP/1.0\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n" WS "\r\n", false, false},
    };
    struct http1_request request;
    enum http1_fault fault;
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        REQUIRE(parse_both(CASES[i].bytes, strlen(CASES[i].bytes), &request, &fault) == HTTP1_DONE);
        test_check(request.websocket == CASES[i].websocket && request.upgrade == CASES[i].upgrade, __FILE__, __LINE__,
                   "%s: websocket %d, upgrade %d", CASES[i].bytes, request.websocket, request.upgrade);
    }
}

static char *request_with(const char *before, size_t filler, char byte, const char *after, size_t *length)
{
    *length = strlen(before) + filler + strlen(after);
    char *bytes = malloc(*length + 1);
    (void)sprintf(bytes, "%s", before);
    memset(bytes + strlen(before), byte, filler);
    (void)sprintf(bytes + strlen(before) + filler, "%s", after);
    return bytes;
}

TEST(long_lines_and_heads_are_refused, "P-43")
{
    struct http1_request request;
    enum http1_fault fault;
    size_t length;
    AUTO_FREE char *target = request_with("GET /", HTTP1_LINE_MAX, 'a', " HTTP/1.1\r\n" H "\r\n", &length);
    EXPECT_I64(HTTP1_BAD, http1_parse_request(target, length, &request, &fault));
    EXPECT_I64(HTTP1_FAULT_TARGET_LONG, fault);
    AUTO_FREE char *fits = request_with("GET /", HTTP1_LINE_MAX - 1, 'a', " HTTP/1.1\r\n" H "\r\n", &length);
    EXPECT_I64(HTTP1_DONE, http1_parse_request(fits, length, &request, &fault));
    AUTO_FREE char *value = request_with("GET / HTTP/1.1\r\n" H "X: ", HTTP1_HEAD_MAX, 'a', "\r\n\r\n", &length);
    EXPECT_I64(HTTP1_BAD, http1_parse_request(value, length, &request, &fault));
    EXPECT_I64(HTTP1_FAULT_HEADERS_LARGE, fault);
    struct str many;
    str_init(&many);
    str_add(&many, "GET / HTTP/1.1\r\n" H);
    for (int i = 1; i < HTTP1_HEADERS_MAX; i++)
        str_printf(&many, "X-%d: a\r\n", i);
    size_t full = many.length;
    str_add(&many, "\r\n");
    EXPECT_I64(HTTP1_DONE, http1_parse_request(many.bytes, many.length, &request, &fault));
    many.length = full;
    str_add(&many, "X-100: a\r\n\r\n");
    EXPECT_I64(HTTP1_BAD, http1_parse_request(many.bytes, many.length, &request, &fault));
    EXPECT_I64(HTTP1_FAULT_HEADERS_MANY, fault);
    str_free(&many);
}

TEST(responses_are_read_as_strictly, "P-43")
{
    static const struct {
        const char *bytes;
        enum http1_result result;
        enum http1_fault fault;
    } CASES[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", HTTP1_DONE, HTTP1_FAULT_NONE},
        {"HTTP/1.1 200 \r\n\r\n", HTTP1_DONE, HTTP1_FAULT_NONE},
        {"HTTP/1.1 200\r\n\r\n", HTTP1_DONE, HTTP1_FAULT_NONE},
        {"HTTP/1.0 404 Not Found\r\n\r\n", HTTP1_DONE, HTTP1_FAULT_NONE},
        {"HTTP/1.1 20 OK\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LINE},
        {"HTTP/1.1 600 OK\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LINE},
        {"HTTP/1.1 2000 OK\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LINE},
        {"HTTP/2 200 OK\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_VERSION},
        {"ICY 200 OK\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LINE},
        {"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LINE_END},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_BOTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_LENGTH},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_CODING},
        {"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_HEADER},
        {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", HTTP1_BAD, HTTP1_FAULT_FOLD},
    };
    struct http1_response response;
    enum http1_fault fault;
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        size_t length = strlen(CASES[i].bytes), at = 0;
        enum http1_result result = HTTP1_MORE;
        while (at < length && result == HTTP1_MORE)
            result = http1_parse_response(CASES[i].bytes, ++at, &response, &fault);
        test_check(result == CASES[i].result && fault == CASES[i].fault, __FILE__, __LINE__, "%s: %d, fault %d",
                   CASES[i].bytes, result, fault);
    }
}

/* Decodes a chunked body in pieces of `step` bytes; the content stands in *out. */
static enum http1_result decode(const char *bytes, size_t length, size_t step, struct str *out, size_t *used)
{
    struct http1_body body;
    http1_body_start(&body, HTTP1_BODY_CHUNKED, 0);
    str_clear(out);
    enum http1_result result = HTTP1_MORE;
    for (*used = 0; *used < length && result == HTTP1_MORE;) {
        size_t piece = length - *used < step ? length - *used : step;
        struct view in = {bytes + *used, piece}, data;
        enum http1_fault fault;
        do {
            result = http1_body_next(&body, &in, &data, &fault);
            str_add_bytes(out, data.bytes, data.length);
        } while (result == HTTP1_MORE && in.length);
        *used += piece - in.length;
    }
    return result;
}

TEST(chunked_bodies_are_read_or_refused, "P-43")
{
    static const struct {
        const char *bytes, *content; /* content NULL: refused */
        const char *rest;
    } CASES[] = {
        {"5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET"},
        {"1\r\na\r\n2\r\nbc\r\n00\r\n\r\n", "abc", ""},
        {"A;x=\"y\";z\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", ""},
        {"3\r\nabc\r\n0\r\nX-Sum: 12\r\nY:\r\n\r\n", "abc", ""},
        {"0\r\n\r\n", "", ""},
        {"5\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5\r\nhello\n0\r\n\r\n", NULL, NULL},
        {"5\r\nhello0\r\n\r\n", NULL, NULL},
        {"4\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"0x5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"+5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"-5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {" 5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5 \r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5 ;x\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {";x\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5;a\nb\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5;a\rb\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"10000000000000000\r\n", NULL, NULL},
        {"00000000000000005\r\nhello\r\n", NULL, NULL},
        {"0\r\n X: folded\r\n\r\n", NULL, NULL},
        {"0\r\nX : a\r\n\r\n", NULL, NULL},
        {"0\r\nX\r\n\r\n", NULL, NULL},
        {"0\r\nX: a\n\r\n", NULL, NULL},
        {"0\r\n\n", NULL, NULL},
    };
    AUTO_STR content;
    str_init(&content);
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++)
        for (size_t step = 1; step < 8; step++) {
            size_t used, length = strlen(CASES[i].bytes);
            enum http1_result result = decode(CASES[i].bytes, length, step, &content, &used);
            bool right = CASES[i].content ? result == HTTP1_DONE && strcmp(content.bytes, CASES[i].content) == 0 &&
                                                strcmp(CASES[i].bytes + used, CASES[i].rest) == 0
                                          : result == HTTP1_BAD;
            test_check(right, __FILE__, __LINE__, "%s by %zu: %d \"%s\"", CASES[i].bytes, step, result, content.bytes);
        }
}

TEST(chunk_extensions_and_trailers_are_bounded, "P-43")
{
    size_t length, used;
    AUTO_STR content;
    str_init(&content);
    AUTO_FREE char *one = request_with("5;", HTTP1_CHUNK_LINE_MAX + 1, 'x', "\r\nhello\r\n0\r\n\r\n", &length);
    EXPECT_I64(HTTP1_BAD, decode(one, length, length, &content, &used));
    struct str many;
    str_init(&many);
    for (int i = 0; i < HTTP1_CHUNK_NOISE_MAX / 2; i++)
        str_add(&many, "1;abcd\r\nx\r\n");
    str_add(&many, "0\r\n\r\n");
    EXPECT_I64(HTTP1_BAD, decode(many.bytes, many.length, many.length, &content, &used));
    str_clear(&many);
    str_add(&many, "0\r\n");
    for (int i = 0; i < HTTP1_CHUNK_NOISE_MAX / 4; i++)
        str_add(&many, "X: abc\r\n");
    str_add(&many, "\r\n");
    EXPECT_I64(HTTP1_BAD, decode(many.bytes, many.length, many.length, &content, &used));
    str_free(&many);
}

TEST(a_body_of_known_length_ends_exactly, "P-43")
{
    struct http1_body body;
    http1_body_start(&body, HTTP1_BODY_LENGTH, 5);
    struct view in = VIEW("hel"), data;
    enum http1_fault fault;
    EXPECT_I64(HTTP1_MORE, http1_body_next(&body, &in, &data, &fault));
    EXPECT(view_equals(data, VIEW("hel")));
    in = VIEW("loGET /");
    EXPECT_I64(HTTP1_DONE, http1_body_next(&body, &in, &data, &fault));
    EXPECT(view_equals(data, VIEW("lo")));
    EXPECT(view_equals(in, VIEW("GET /")));
    EXPECT(http1_body_done(&body));
    http1_body_start(&body, HTTP1_BODY_LENGTH, 0);
    EXPECT(http1_body_done(&body));
}

/* Random damage to good requests: whatever comes out, it comes out the same however the bytes are cut. */
TEST(damage_never_depends_on_the_cut, "P-43")
{
    static const char GOOD[] =
        "POST /api/a.b/%41?x=1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    static const char BYTES[] = "\r\n\t :/%.;,=azAZ09\\\"\x01\x7f\xff?#[]";
    struct http1_request request;
    enum http1_fault fault;
    for (int round = 0; round < 3000; round++) {
        char bytes[sizeof GOOD];
        memcpy(bytes, GOOD, sizeof GOOD);
        for (int i = 0; i < 1 + (int)(test_random() % 3); i++)
            bytes[test_random() % (sizeof GOOD - 1)] = BYTES[test_random() % (sizeof BYTES - 1)];
        (void)parse_both(bytes, sizeof GOOD - 1, &request, &fault);
    }
}
