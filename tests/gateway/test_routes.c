/* The route table, addresses, origins, and what the access log writes of a target. */
#include "accesslog.h"
#include "address.h"
#include "cors.h"
#include "routes.h"
#include "test.h"

#include "mem.h"

#include <stdio.h>

static struct routes *parse(const char *text, struct err *err)
{
    err_clear(err);
    return routes_parse(view_of(text), err);
}

TEST(the_longest_prefix_of_whole_segments_wins, "P-43")
{
    struct err err = {0};
    AUTO(routes)
    routes = parse("/api/users user-svc guest\n"
                   "/api/users/me/files files-svc user\n"
                   "  /api\tapi-svc   open # a comment\r\n"
                   "\n# another\n"
                   "/.well-known auth-svc open",
                   &err);
    REQUIRE(routes);
    static const struct {
        const char *path, *service;
    } CASES[] = {
        {"/api/users", "user-svc"},
        {"/api/users/", "user-svc"},
        {"/api/users/me", "user-svc"},
        {"/api/users/me/files", "files-svc"},
        {"/api/users/me/files/x", "files-svc"},
        {"/api/users/me/filesx", "user-svc"},
        {"/api/usersx", "api-svc"},
        {"/api", "api-svc"},
        {"/apix", NULL},
        {"/ap", NULL},
        {"/", NULL},
        {"", NULL},
        {"/API/users", NULL},
        {"/.well-known/jwks.json", "auth-svc"},
        {"/internal/revoked", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        const struct path_route *found = routes_find(routes, view_of(CASES[i].path));
        test_check((!found && !CASES[i].service) ||
                       (found && CASES[i].service && strcmp(found->service, CASES[i].service) == 0),
                   __FILE__, __LINE__, "%s -> %s", CASES[i].path, found ? found->service : "nobody");
    }
}

TEST(options_are_read_with_their_units, "P-43")
{
    struct err err = {0};
    AUTO(routes)
    routes = parse("/a a-svc stream stream body=5m timeout=250ms rate=20/40\n"
                   "/b b-svc open upgrade cache=5s body=0 timeout=2m\n/c c-svc admin body=10",
                   &err);
    REQUIRE(routes);
    const struct path_route *a = routes_find(routes, VIEW("/a")), *b = routes_find(routes, VIEW("/b"));
    const struct path_route *c = routes_find(routes, VIEW("/c"));
    EXPECT_I64(WHO_STREAM, a->who);
    EXPECT(a->stream && !a->upgrade);
    EXPECT_I64(5 << 20, a->body_max);
    EXPECT_I64(250, a->timeout_ms);
    EXPECT_I64(20, a->rate);
    EXPECT_I64(40, a->burst);
    EXPECT(b->upgrade);
    EXPECT_I64(5000, b->cache_ms);
    EXPECT_I64(0, b->body_max);
    EXPECT_I64(120000, b->timeout_ms);
    EXPECT_I64(WHO_ADMIN, c->who);
    EXPECT_I64(10, c->body_max);
    EXPECT_I64(15000, c->timeout_ms);
}

TEST(a_wrong_line_is_named, "P-43")
{
    static const char *const WRONG[] = {
        "/ok ok open\n/a",
        "/ok ok open\n/a svc",
        "/ok ok open\na svc open",
        "/ok ok open\n/a/ svc open",
        "/ok ok open\n//a svc open",
        "/ok ok open\n/ svc open",
        "/ok ok open\n/a/../b svc open",
        "/ok ok open\n/a%2f svc open",
        "/ok ok open\n/internal svc open",
        "/ok ok open\n/internal/x svc open",
        "/ok ok open\n/a Svc open",
        "/ok ok open\n/a svc anybody",
        "/ok ok open\n/a svc open fast",
        "/ok ok open\n/a svc open body=",
        "/ok ok open\n/a svc open body=1x",
        "/ok ok open\n/a svc open body=-1",
        "/ok ok open\n/a svc open body=99999999999999999999",
        "/ok ok open\n/a svc open timeout=0",
        "/ok ok open\n/a svc open rate=5",
        "/ok ok open\n/a svc open rate=0/5",
        "/ok ok open\n/a svc user cache=5s",
        "/ok ok open\n/ok svc open",
    };
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        AUTO(routes) routes = parse(WRONG[i], &err);
        test_check(!routes && strstr(err.message, "line 2"), __FILE__, __LINE__, "%s: %s", WRONG[i], err.message);
    }
    AUTO(routes) empty = parse("# nothing\n", &err);
    EXPECT(!empty);
    AUTO(routes) missing = routes_load("/nonexistent", &err);
    EXPECT(!missing && strstr(err.message, "ROUTES_FILE"));
    AUTO(routes) built_in = routes_load("", &err);
    REQUIRE(built_in);
    EXPECT_TEXT("user-svc", routes_find(built_in, VIEW("/api/users/me"))->service);
    EXPECT(!routes_find(built_in, VIEW("/internal/revoked")));
}

TEST(too_many_routes_and_long_words_are_refused, "P-43")
{
    AUTO_STR text;
    struct err err = {0};
    str_init(&text);
    for (int i = 0; i < ROUTES_MAX; i++)
        str_printf(&text, "/r%d svc open\n", i);
    AUTO(routes) full = parse(text.bytes, &err);
    EXPECT(full);
    str_add(&text, "/more svc open\n");
    AUTO(routes) over = parse(text.bytes, &err);
    EXPECT(!over);
    str_clear(&text);
    str_add(&text, "/");
    for (int i = 0; i < 200; i++)
        str_add(&text, "a");
    str_add(&text, " svc open");
    AUTO(routes) longer = parse(text.bytes, &err);
    EXPECT(!longer);
}

TEST(addresses_and_networks, "P-43")
{
    static const struct {
        const char *address;
        bool inside;
    } CASES[] = {{"10.1.2.3", true},        {"11.0.0.1", false},    {"127.0.0.1", true}, {"127.0.0.2", false},
                 {"192.168.7.255", true},   {"192.168.8.0", false}, {"fd00::1", true},   {"fe00::1", false},
                 {"::ffff:10.0.0.1", true}, {"[fd12::2]", true}};
    struct networks networks = {0};
    struct err err = {0};
    REQUIRE_OK(networks_parse("10.0.0.0/8, 127.0.0.1 192.168.6.0/23,fd00::/8", &networks, &err), &err);
    struct address address;
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        REQUIRE(address_parse(view_of(CASES[i].address), &address));
        test_check(networks_have(&networks, &address) == CASES[i].inside, __FILE__, __LINE__, "%s", CASES[i].address);
    }
    static const char *const WRONG[] = {"10.0.0.0/33", "10.0.0", "x", "10.0.0.0/", "10.0.0.0/8x", "::1/129"};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++)
        EXPECT(!networks_parse(WRONG[i], &networks, &err));
    char text[ADDRESS_TEXT_BYTES];
    REQUIRE(address_parse(VIEW("2001:db8::0:1"), &address));
    address_print(&address, text);
    EXPECT_TEXT("2001:db8::1", text);
    EXPECT_I64(8, address_owner(&address).length);
    REQUIRE(address_parse(VIEW("::ffff:1.2.3.4"), &address));
    address_print(&address, text);
    EXPECT_TEXT("1.2.3.4", text);
    EXPECT_I64(16, address_owner(&address).length);
    EXPECT(!address_parse(VIEW("1.2.3.4:80"), &address));
    EXPECT(!address_parse(VIEW(""), &address));
}

TEST(origins_are_compared_exactly, "P-43")
{
    struct err err = {0};
    AUTO(cors) cors = cors_open("https://app.example,http://b.example:81", false, &err);
    REQUIRE(cors);
    EXPECT(cors_allows(cors, VIEW("https://app.example")));
    EXPECT(cors_allows(cors, VIEW("http://b.example:81")));
    EXPECT(!cors_allows(cors, VIEW("http://app.example")));
    EXPECT(!cors_allows(cors, VIEW("https://app.example.")));
    EXPECT(!cors_allows(cors, VIEW("https://app.exampl")));
    EXPECT(!cors_allows(cors, VIEW("http://localhost:3000")));
    EXPECT(!cors_allows(cors, VIEW("null")));
    AUTO(cors) dev = cors_open("", true, &err);
    REQUIRE(dev);
    EXPECT(cors_allows(dev, VIEW("http://localhost")));
    EXPECT(cors_allows(dev, VIEW("https://localhost:65535")));
    EXPECT(cors_allows(dev, VIEW("http://127.0.0.1:1")));
    EXPECT(cors_allows(dev, VIEW("http://[::1]:80")));
    EXPECT(!cors_allows(dev, VIEW("http://localhost.evil")));
    EXPECT(!cors_allows(dev, VIEW("http://localhost:")));
    EXPECT(!cors_allows(dev, VIEW("http://localhost:80x")));
    EXPECT(!cors_allows(dev, VIEW("http://localhost:123456")));
    EXPECT(cors_same_origin(VIEW("http://a.example:8080"), VIEW("A.example:8080")));
    EXPECT(!cors_same_origin(VIEW("http://a.example"), VIEW("a.example:8080")));
    EXPECT(!cors_same_origin(VIEW("http://"), VIEW("")));
    static const char *const WRONG[] = {"app.example", "https://", "https://a/b", "https://A.example", "ftp://a"};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        AUTO(cors) none = cors_open(WRONG[i], false, &err);
        test_check(!none, __FILE__, __LINE__, "%s", WRONG[i]);
    }
}

static const char *logged(const char *path, const char *query, size_t size)
{
    static char out[200];
    accesslog_target(out, size, view_of(path), view_of(query));
    return out;
}

TEST(the_log_hides_secret_parameters, "P-46")
{
    EXPECT_TEXT("/a", logged("/a", "", 200));
    EXPECT_TEXT("/a?x=1&y", logged("/a", "x=1&y", 200));
    EXPECT_TEXT("/a?ticket=***", logged("/a", "ticket=abc", 200));
    EXPECT_TEXT("/a?x=1&CODE=***&z=2", logged("/a", "x=1&CODE=abc&z=2", 200));
    EXPECT_TEXT("/a?tick%65t=***", logged("/a", "tick%65t=abc", 200));
    EXPECT_TEXT("/a?signature=***&expires=***", logged("/a", "signature=a=b&expires=5", 200));
    EXPECT_TEXT("/abc?", logged("/abc", "ticket=secret", 6));
    EXPECT_TEXT("/a?ticket=*", logged("/a", "ticket=secret", 12));
}
