/* Redis calls: what they give, and that no caller ever waits long for a Redis that is away. */
#include "redis.h"
#include "redis_internal.h"

#include "log.h"
#include "own_redis.h"
#include "str.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR);
}

#define OWN_REDIS(secret)                                                                                              \
    __attribute__((cleanup(own_redis_kill))) struct own_redis server = {.password = (secret)};                         \
    struct err err = {0};                                                                                              \
    REQUIRE(own_redis_start(&server));                                                                                 \
    AUTO(redis) redis = redis_open(server.url, 2, &err);                                                               \
    REQUIRE_OK(redis, &err)

TEST(redis_reads_addresses_strictly, "I10")
{
    struct redis_address address;
    struct err err = {0};
    REQUIRE_OK(redis_address_parse(&address, "redis://us%65r:p%40ss@example.org:7000/3", &err), &err);
    EXPECT_TEXT("example.org", address.host);
    EXPECT_TEXT("user", address.user);
    EXPECT_TEXT("p@ss", address.password);
    EXPECT_I64(7000, address.port);
    EXPECT_I64(3, address.db);
    REQUIRE_OK(redis_address_parse(&address, "redis://[::1]/", &err), &err);
    EXPECT_TEXT("::1", address.host);
    EXPECT_I64(6379, address.port);
    REQUIRE_OK(redis_address_parse(&address, "redis://:only@h", &err), &err);
    EXPECT_TEXT("", address.user);
    EXPECT_TEXT("only", address.password);
    static const char *const BAD[] = {"",
                                      "127.0.0.1:6379",
                                      "http://h",
                                      "redis://",
                                      "redis://h:",
                                      "redis://h:70000",
                                      "redis://h:x",
                                      "redis://h/x",
                                      "redis://h/0/1",
                                      "redis://h?x=1",
                                      "redis://[::1",
                                      "redis://s:ecret%zz@h"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        bool ok = redis_address_parse(&address, BAD[i], &err);
        test_check(!ok && !strstr(err.message, "ecret"), __FILE__, __LINE__, "%s: %s", BAD[i], err.message);
    }
}

TEST(redis_gives_every_kind_of_reply, "")
{
    struct err err = {0};
    AUTO(redis) redis = redis_open(test_env("REDIS_URL"), 2, &err);
    REQUIRE_OK(redis, &err);
    char key[64];
    (void)snprintf(key, sizeof key, "t_redis_%d", (int)getpid());
    AUTO(redis_reply) none = REDIS_CALL(redis, &err, "GET", key);
    REQUIRE_OK(none && redis_is_nil(none), &err);
    EXPECT(!redis_text(none));
    const char *words[] = {"SET", key, "a\0b", "PX", "60000"};
    const size_t lengths[] = {3, strlen(key), 3, 2, 5};
    AUTO(redis_reply) set = redis_call(redis, 5, words, lengths, &err);
    REQUIRE_OK(set, &err);
    EXPECT_TEXT("OK", redis_text(set));
    AUTO(redis_reply) size = REDIS_CALL(redis, &err, "STRLEN", key);
    EXPECT_I64(3, redis_i64(size));
    AUTO(redis_reply) many = REDIS_CALL(redis, &err, "MGET", key, "t_redis_none");
    EXPECT_I64(2, redis_count(many));
    EXPECT(redis_is_nil(redis_item(many, 1)));
    AUTO(redis_reply) wrong = REDIS_CALL(redis, &err, "LPUSH", key, "x");
    EXPECT(!wrong);
    EXPECT_PROBLEM("internal", &err);
    EXPECT(strstr(err.detail, "LPUSH") && strstr(err.detail, "WRONGTYPE"));
    EXPECT(redis_available(redis)); /* a wrong command is no outage */
    AUTO(redis_reply) gone = REDIS_CALL(redis, &err, "DEL", key);
    EXPECT_I64(1, redis_i64(gone));
}

TEST(redis_logs_in_and_chooses_its_database, "")
{
    OWN_REDIS("pa55");
    AUTO(redis_reply) set = REDIS_CALL(redis, &err, "SET", "k", "0");
    REQUIRE_OK(set, &err);
    char url[160];
    (void)snprintf(url, sizeof url, "redis://:pa55@127.0.0.1:%d/2", server.port);
    AUTO(redis) other = redis_open(url, 1, &err);
    AUTO(redis_reply) none = REDIS_CALL(other, &err, "GET", "k");
    REQUIRE_OK(none, &err);
    EXPECT(redis_is_nil(none));
    (void)snprintf(url, sizeof url, "redis://:wrong@127.0.0.1:%d", server.port);
    AUTO(redis) stranger = redis_open(url, 1, &err);
    AUTO(redis_reply) refused = REDIS_CALL(stranger, &err, "GET", "k");
    EXPECT(!refused);
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(!strstr(err.detail, "wrong@") && !strstr(err.detail, ":wrong"));
}

TEST(redis_restarted_costs_no_call, "I1")
{
    OWN_REDIS(NULL);
    int good = 0;
    for (int round = 0; good < 3 && round < 30; round++) {
        REQUIRE(EVENTUALLY(10000, ({
                               AUTO(redis_reply) first = REDIS_CALL(redis, &err, "PING");
                               first != NULL;
                           })));
        own_redis_kill(&server);
        REQUIRE(own_redis_start(&server));
        const int64_t start = test_now_ms();
        AUTO(redis_reply) second = REDIS_CALL(redis, &err, "PING"); /* on a connection that died meanwhile */
        if (!second && test_now_ms() - start >= REDIS_TIMEOUT_MS)
            continue; /* a machine so busy that no call is answered in its time */
        REQUIRE_OK(second, &err);
        EXPECT_TEXT("PONG", redis_text(second));
        good++;
    }
    EXPECT_I64(3, good);
}

/* Takes the time of the fastest of a few calls: on a busy machine single ones can be late for other reasons. */
static int64_t fastest_failure_ms(struct redis *redis, int calls, struct err *err)
{
    int64_t fastest = 1000000;
    for (int i = 0; i < calls; i++) {
        int64_t start = test_now_ms();
        AUTO(redis_reply) reply = REDIS_CALL(redis, err, "PING");
        int64_t took = test_now_ms() - start;
        if (!reply && took < fastest)
            fastest = took;
    }
    return fastest;
}

TEST(redis_paused_fails_within_its_time_then_at_once_then_comes_back, "I5")
{
    OWN_REDIS(NULL);
    AUTO(redis_reply) first = REDIS_CALL(redis, &err, "PING");
    REQUIRE_OK(first, &err);
    own_redis_pause(&server);
    EXPECT(fastest_failure_ms(redis, 2, &err) >= 150); /* these two did wait for an answer, and opened the breaker */
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(!redis_available(redis));
    EXPECT(fastest_failure_ms(redis, 20, &err) < 50); /* these did not */
    EXPECT(strstr(err.detail, "not asked") != NULL);
    own_redis_go_on(&server);
    EXPECT(EVENTUALLY(10000, ({
                          AUTO(redis_reply) reply = REDIS_CALL(redis, &err, "PING");
                          reply != NULL;
                      })));
    EXPECT(redis_available(redis));
}

struct load {
    struct redis *redis;
    atomic_bool stop;
    _Atomic int good, bad, wrong;
};

static void *call_often(void *payload)
{
    struct load *load = payload;
    int64_t n = 0;
    while (!atomic_load(&load->stop)) {
        struct err err = {0};
        char text[32];
        (void)snprintf(text, sizeof text, "%lld-%p", (long long)n++, (void *)&n);
        AUTO(redis_reply) reply = REDIS_CALL(load->redis, &err, "ECHO", text);
        if (!reply)
            load->bad++;
        else if (strcmp(redis_text(reply), text) == 0)
            load->good++;
        else
            load->wrong++; /* somebody else's answer */
    }
    return NULL;
}

TEST(redis_many_threads_never_get_each_others_answers, "I10")
{
    OWN_REDIS(NULL);
    struct load load = {.redis = redis};
    pthread_t threads[6];
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        (void)pthread_create(&threads[i], NULL, call_often, &load);
    EXPECT(EVENTUALLY(10000, load.good > 500));
    own_redis_pause(&server);
    EXPECT(EVENTUALLY(10000, load.bad > 0 && !redis_available(redis)));
    own_redis_go_on(&server);
    int good = load.good;
    EXPECT(EVENTUALLY(10000, load.good > good + 500));
    own_redis_kill(&server);
    EXPECT(EVENTUALLY(10000, !redis_available(redis)));
    REQUIRE(own_redis_start(&server));
    good = load.good;
    EXPECT(EVENTUALLY(10000, load.good > good + 500));
    atomic_store(&load.stop, true);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_I64(0, load.wrong);
}

TEST(redis_needs_no_server_to_open, "")
{
    struct err err = {0};
    char url[64];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", own_redis_free_port());
    AUTO(redis) redis = redis_open(url, 1, &err);
    REQUIRE_OK(redis, &err);
    AUTO(redis_reply) reply = REDIS_CALL(redis, &err, "PING");
    EXPECT(!reply);
    EXPECT_PROBLEM("unavailable", &err);
}
