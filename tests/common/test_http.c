/* The HTTP server as clients see it: what it takes, refuses and answers; every byte over a real socket. */
#include "http_world.h"

/* ---- routes ---- */

TEST(http_routes_by_path_and_method, "")
{
    WORLD(2, 16);
    EXPECT_I64(200, get(&world, "/items/a%20b?q=x+y%26z", "", answer));
    says(answer, "\"path\":\"/items/a b\"");
    says(answer, "\"id\":\"a b\"");
    says(answer, "\"q\":\"x y&z\"");
    EXPECT_TEXT("application/json", answer_header(answer, "Content-Type"));
    EXPECT_TEXT("no-store", answer_header(answer, "Cache-Control"));
    EXPECT_I64(200, get(&world, "/items/mine", "", answer)); /* a literal wins over a parameter */
    says(answer, "\"mine\":null");
    EXPECT_I64(200, get(&world, "/items/1/parts/2", "", answer));
    EXPECT_I64(200, get(&world, "/files/a/b%20c/d.png", "", answer));
    says(answer, "\"id\":\"a/b c/d.png\"");
    EXPECT_I64(404, get(&world, "/files", "", answer));
    EXPECT_I64(404, get(&world, "/items", "", answer));
    EXPECT_I64(404, get(&world, "/items/1/parts", "", answer));
    EXPECT_I64(404, get(&world, "/nothing/here", "", answer));
    says(answer, "\"code\":\"not_found\"");
    EXPECT_TEXT("application/problem+json", answer_header(answer, "Content-Type"));
    EXPECT_I64(405, wire_call(world.port, "DELETE /items/7 HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_TEXT("GET, HEAD, PUT", answer_header(answer, "Allow"));
    EXPECT_I64(405, wire_call(world.port, "BREW /tell HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_I64(404, wire_call(world.port, "BREW /none HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_I64(200, get(&world, "/uuid/0190A000-0000-7000-8000-00000000000F", "", answer));
    EXPECT_TEXT("\"0190a000-0000-7000-8000-00000000000f\"", answer->body);
    EXPECT_I64(404, get(&world, "/uuid/7", "", answer));
}

TEST(http_refuses_paths_and_queries_that_are_not_clear, "I10")
{
    static const char *const BAD[] = {
        "/items/%zz",   "/items/%4",  "/items/%",  "/items/%00",  "/items/a%00b",   "/items/%ff",    "/items/%c0%af",
        "/items//x",    "/items/",    "//items/1", "/items/./x",  "/items/../tell", "/items/%2e%2e", "/items/a%2fb",
        "/items/a%5Cb", "/items/%0a", "/tell?q=%", "/tell?q=%ff", "/tell?%00=1",    "/tell?q=%zz",   "*",
        "tell"};
    WORLD(1, 16);
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        int status = get(&world, BAD[i], "", answer);
        test_check(status == 400, __FILE__, __LINE__, "%s: %d %s", BAD[i], status, answer->body);
    }
    char request[3000] = "GET /items/", *at = request + strlen(request);
    memset(at, 'a', 2000);
    (void)strcpy(at + 2000, " HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_I64(400, wire_call(world.port, request, answer));
    at = request + sprintf(request, "GET /tell?");
    for (int i = 0; i < 40; i++)
        at += sprintf(at, "a%d=1&", i);
    (void)strcpy(at, " HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_I64(400, wire_call(world.port, request, answer));
    EXPECT_I64(200, get(&world, "/number?limit=100", "", answer));
    EXPECT_TEXT("100", answer->body);
    static const char *const NUMBERS[] = {"0", "101", "-1", "", "1.0", "9x", "+5", "99999999999999999999", " 5"};
    for (size_t i = 0; i < ARRAY_LENGTH(NUMBERS); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/number?limit=%s", *NUMBERS[i] == ' ' ? "%205" : NUMBERS[i]);
        int status = get(&world, path, "", answer);
        test_check(status == 400 && strstr(answer->body, "\"pointer\":\"limit\""), __FILE__, __LINE__, "%s: %d %s",
                   path, status, answer->body);
    }
}

/* ---- connections and bodies ---- */

TEST(http_keeps_connections_and_answers_pipelined_requests_in_order, "")
{
    WORLD(4, 64);
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(
        wire, "GET /items/1 HTTP/1.1\r\nHost: t\r\n\r\nHEAD /items/2 HTTP/1.1\r\nHost: t\r\n\r\n"
              "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n"
              "GET /items/5 HTTP/1.1\r\nHost: t\r\n\r\n"));
    EXPECT(wire_read(wire, answer, false));
    says(answer, "\"id\":\"1\"");
    EXPECT(wire_read(wire, answer, true));
    EXPECT_I64(200, answer->status);
    EXPECT(atoi(answer_header(answer, "Content-Length")) > 50);
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(201, answer->status);
    EXPECT_TEXT("{}", answer->body);
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(404, answer->status);
    EXPECT(wire_read(wire, answer, false));
    says(answer, "\"id\":\"5\"");
    for (int i = 0; i < 300; i++) {
        char request[100];
        (void)snprintf(request, sizeof request, "GET /items/%d HTTP/1.1\r\nHost: t\r\n\r\n", i);
        REQUIRE(wire_send(wire, request) && wire_read(wire, answer, false));
        (void)snprintf(request, sizeof request, "\"id\":\"%d\"", i);
        REQUIRE(says(answer, request));
    }
    wire_close(wire);
}

TEST(http_takes_bodies_up_to_the_cap_and_reads_no_further, "I9 I10")
{
    WORLD(2, 16);
    char *big AUTO_FREE = mem_new(1, 3 << 20);
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    int at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65536\r\n\r\n");
    memset(big + at, 'x', 65536);
    wire_open(wire, world.port);
    EXPECT(wire_send_bytes(wire, big, (size_t)at + 65536) && wire_read(wire, answer, false));
    EXPECT_I64(201, answer->status);
    EXPECT_I64(65536, answer->length);
    /* one byte more: refused by the announced length alone, and the connection ends */
    EXPECT(wire_send(wire, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65537\r\n\r\n") &&
           wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    says(answer, "\"code\":\"body_too_large\"");
    EXPECT(wire_ended(wire));
    wire_close(wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(wire, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999999\r\n\r\n") &&
           wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    wire_close(wire);
    /* chunked: counted as it comes */
    at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n");
    memset(big + at, 'x', 65537);
    (void)strcpy(big + at + 65537, "\r\n0\r\n\r\n");
    wire_open(wire, world.port);
    EXPECT(wire_send_bytes(wire, big, (size_t)at + 65537 + 7) && wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    EXPECT_TEXT("close", answer_header(answer, "Connection"));
    wire_close(wire);
    /* a chunked body without end is cut */
    at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n");
    memset(big + at, 'x', 2 << 20);
    wire_open(wire, world.port);
    (void)wire_send_bytes(wire, big, (size_t)at + (2 << 20));
    EXPECT(!wire_read(wire, answer, false));
    wire_close(wire);
    EXPECT_I64(
        201,
        wire_call(
            world.port,
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
            answer));
    EXPECT_TEXT("{\"a\":1}", answer->body);
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", answer));
}

TEST(http_refuses_bodies_whose_length_is_not_clear, "I10")
{
    WORLD(1, 16);
    static const char *const BAD[] = {
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2x\r\n\r\n{}",
        "GET /tell HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}",
        "GET /tell HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        int status = wire_call(world.port, BAD[i], answer);
        test_check(status == 400, __FILE__, __LINE__, "%zu: %d %s", i, status, answer->body);
    }
    /* an early refusal never reads what follows as the next request */
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(
        wire,
        "DELETE /tell HTTP/1.1\r\nHost: t\r\nContent-Length: 36\r\n\r\nGET /items/1 HTTP/1.1\r\nHost: t\r\n\r\n "));
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(405, answer->status);
    EXPECT(!wire_read(wire, answer, false));
    wire_close(wire);
}

TEST(http_takes_json_on_json_routes_and_anything_where_a_cap_is_set, "I10")
{
    WORLD(1, 16);
#define BODY "\r\nContent-Length: 2\r\n\r\n{}"
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t" BODY, answer));
    EXPECT_I64(201,
               wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json" BODY, answer));
    EXPECT_I64(201, wire_call(world.port,
                              "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: Application/JSON; charset=utf-8" BODY,
                              answer));
    EXPECT_I64(415, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain" BODY, answer));
    says(answer, "unsupported_media_type");
    EXPECT_I64(415,
               wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/jsonx" BODY, answer));
    EXPECT_I64(200, wire_call(world.port, "PUT /big HTTP/1.1\r\nHost: t\r\nContent-Type: image/png" BODY, answer));
    EXPECT_I64(
        400,
        wire_call(world.port,
                  "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Type: text/html" BODY,
                  answer));
}

/* ---- answers ---- */

TEST(http_turns_failures_into_problems, "")
{
    WORLD(1, 16);
    EXPECT_I64(
        400, get(&world, "/fail", "Accept-Language: ko-KR,ko;q=0.9,en;q=0.5\r\nX-Request-Id: abc.DEF-1_2\r\n", answer));
    EXPECT_TEXT("{\"type\":\"urn:madang:problem:bad_input\",\"title\":\"잘못된 "
                "요청입니다\",\"status\":400,\"code\":\"bad_input\","
                "\"detail\":\"Some fields are not valid\",\"request_id\":\"abc.DEF-1_2\","
                "\"errors\":[{\"pointer\":\"/name\",\"detail\":\"must be \\\"short\\\"\"}]}",
                answer->body);
    EXPECT_TEXT("ko", answer_header(answer, "Content-Language"));
    EXPECT_TEXT("abc.DEF-1_2", answer_header(answer, "X-Request-Id"));
    EXPECT_I64(400, get(&world, "/fail", "Accept-Language: en-GB, ko;q=0.3\r\n", answer));
    EXPECT_TEXT("en", answer_header(answer, "Content-Language"));
    EXPECT_I64(429, get(&world, "/fail?how=retry", "", answer));
    EXPECT_TEXT("7", answer_header(answer, "Retry-After"));
    EXPECT_I64(500, get(&world, "/fail?how=inner", "", answer));
    EXPECT(!strstr(answer->body, "secret"));
    EXPECT_I64(500, get(&world, "/fail?how=nothing", "", answer));
    says(answer, "\"code\":\"internal\"");
}

TEST(http_headers_cookies_etags_redirects, "")
{
    WORLD(1, 16);
    EXPECT_I64(200, get(&world, "/cookie", "Cookie: a=b; mine=\"v0\"; minex=1\r\n", answer));
    says(answer, "\"mine\":\"v0\"");
    EXPECT(strstr(answer->head, "Set-Cookie: mine=v1; Path=/cookie; Max-Age=60; HttpOnly; Secure; SameSite=Lax\r\n"));
    EXPECT(strstr(answer->head, "Set-Cookie: other=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict\r\n"));
    EXPECT(!strstr(answer->head, "evil") && !strstr(answer->head, "Evil") && !strstr(answer->head, "b=c"));
    EXPECT_I64(200, get(&world, "/tagged", "", answer));
    char tag[80], headers[256];
    (void)snprintf(tag, sizeof tag, "%s", answer_header(answer, "ETag"));
    EXPECT_I64(34, strlen(tag));
    EXPECT_TEXT("max-age=5", answer_header(answer, "Cache-Control"));
    (void)snprintf(headers, sizeof headers, "If-None-Match: \"x\", W/%s\r\n", tag);
    EXPECT_I64(304, get(&world, "/tagged", headers, answer));
    EXPECT_TEXT(tag, answer_header(answer, "ETag"));
    EXPECT_I64(200, get(&world, "/tagged", "If-None-Match: \"x\"\r\n", answer));
    EXPECT_I64(302, get(&world, "/away", "", answer));
    EXPECT_TEXT("https://example.org/x?a=b", answer_header(answer, "Location"));
}

TEST(http_ids_and_traces_come_in_and_go_on, "")
{
    WORLD(1, 16);
    static const char TRACE[] = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    EXPECT_I64(200, get(&world, "/tell", TRACE, answer));
    says(answer, "\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-");
    EXPECT(!strstr(answer->body, "b7ad6b7169203331")); /* our own span */
    says(answer, "-01\"");
    static const char *const BAD[] = {
        "traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n",
        "traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01\r\n",
        "traceparent: x\r\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        EXPECT_I64(200, get(&world, "/tell", BAD[i], answer));
        test_check(!strstr(answer->body, "0af7651916cd43dd"), __FILE__, __LINE__, "believed: %s", BAD[i]);
        says(answer, "\"trace\":\"00-");
    }
    EXPECT_I64(200, get(&world, "/tell",
                        "traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes\r\n", answer));
    says(answer, "\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-");
    EXPECT_I64(200, get(&world, "/tell", "X-Request-Id: has space\r\n", answer));
    EXPECT_I64(32, strlen(answer_header(answer, "X-Request-Id")));
    char longest[128];
    (void)snprintf(longest, sizeof longest, "X-Request-Id: %065d\r\n", 1);
    EXPECT_I64(200, get(&world, "/tell", longest, answer));
    EXPECT_I64(32, strlen(answer_header(answer, "X-Request-Id")));
}

TEST(http_believes_forwarded_addresses_of_gateways_alone, "")
{
    WORLD(1, 16);
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", answer));
    says(answer, "\"client\":\"2.2.2.2\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 2001:DB8::1\r\n", answer));
    says(answer, "\"client\":\"2001:db8::1\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, rubbish\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 127.0.0.1\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    world_close(&world);
    REQUIRE(world_open(&world, 1, 16, "10.0.0.0/8,::1"));
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1\r\nX-Request-Id: mine\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    EXPECT(strcmp(answer_header(answer, "X-Request-Id"), "mine") != 0);
    world_close(&world);
    REQUIRE(world_open(&world, 1, 16, "127.0.0.0/8"));
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, 127.9.9.9\r\n", answer));
    says(answer, "\"client\":\"1.1.1.1\"");
}

TEST(http_asks_for_tokens_and_roles, "P-43")
{
    WORLD(1, 16);
    AUTO_STR token;
    str_init(&token);
    struct identity identity = key_kit_identity();
    (void)snprintf(identity.handle, sizeof identity.handle, "mina");
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    char headers[3000];
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token.bytes);
    EXPECT_I64(401, get(&world, "/guest", "", answer));
    says(answer, "\"code\":\"token_missing\"");
    EXPECT_TEXT("Bearer", answer_header(answer, "WWW-Authenticate"));
    EXPECT_I64(401, get(&world, "/user", "Authorization: Bearer rubbish\r\n", answer));
    says(answer, "\"code\":\"token_invalid\"");
    EXPECT_I64(401, get(&world, "/user", "Authorization: Basic dTpw\r\n", answer));
    says(answer, "\"code\":\"token_invalid\"");
    EXPECT_I64(200, get(&world, "/user", headers, answer));
    says(answer, "\"who\":\"mina\"");
    EXPECT_I64(200, get(&world, "/tell", headers, answer));
    says(answer, "\"who\":\"mina\"");
    EXPECT_I64(200, get(&world, "/tell", "Authorization: Bearer rubbish\r\n", answer)); /* open: ignored */
    says(answer, "\"who\":null");
    EXPECT_I64(403, get(&world, "/admin", headers, answer));
    says(answer, "\"code\":\"forbidden\"");
    identity.role = ROLE_GUEST;
    str_clear(&token);
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    (void)snprintf(headers, sizeof headers, "authorization: bearer %s\r\n", token.bytes);
    EXPECT_I64(200, get(&world, "/guest", headers, answer));
    EXPECT_I64(403, get(&world, "/user", headers, answer));
    identity.role = ROLE_ADMIN;
    str_clear(&token);
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token.bytes);
    EXPECT_I64(200, get(&world, "/admin", headers, answer));
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nAuthorization: Bearer x\r\n", token.bytes);
    EXPECT_I64(400, get(&world, "/admin", headers, answer));
}
