/* The registry: the rules of its table in memory, then leases and watches on a real Redis that is paused, wiped,
 * killed. */
#include "registry.h"
#include "registry_internal.h"
#include "registry_table.h"

#include "log.h"
#include "own_redis.h"
#include "test.h"

#include <stdatomic.h>

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}

/* ---- the table ---- */

static struct registry_entry entry_of(const char *service, const char *instance)
{
    struct registry_entry entry;
    memset(&entry, 0, sizeof entry);
    (void)snprintf(entry.service, sizeof entry.service, "%s", service);
    (void)snprintf(entry.instance, sizeof entry.instance, "%s", instance);
    (void)snprintf(entry.address, sizeof entry.address, "%s:1", instance);
    entry.epoch = 1;
    entry.weight = 1;
    return entry;
}

/* One reading: words "service/instance", "-" before it for draining. */
static bool read_in(struct registry_table *table, int64_t now_ms, const char *words)
{
    struct registry_table fresh = {0};
    char copy[200], *rest = copy, *word;
    (void)snprintf(copy, sizeof copy, "%s", words);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (!*word)
            continue;
        bool draining = *word == '-';
        char *slash = strchr(word, '/');
        *slash = '\0';
        struct registry_entry entry = entry_of(word + draining, slash + 1);
        entry.state = draining ? INSTANCE_DRAINING : INSTANCE_UP;
        registry_table_add(&fresh, &entry);
    }
    return registry_table_merge(table, &fresh, now_ms);
}

/* "u/1 -u/2 ?u/3 ?a/1!": up, draining, suspect, kept against Redis' word */
static const char *seen(const struct registry_table *table)
{
    static char text[400];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        const struct registry_row *row = &table->rows[i];
        const char *mark = row->entry.state == INSTANCE_UP ? "" : row->entry.state == INSTANCE_DRAINING ? "-" : "?";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%s/%s%s", i ? " " : "", mark, row->entry.service,
                                 row->entry.instance, row->kept ? "!" : "");
    }
    return text;
}

TEST(registry_table_tells_changes, "P-44")
{
    struct registry_table table __attribute__((cleanup(registry_table_free))) = {0};
    EXPECT(read_in(&table, 1, "u/1 a/1 u/2"));
    EXPECT_TEXT("a/1 u/1 u/2", seen(&table));
    EXPECT(!read_in(&table, 2, "u/2 u/1 a/1"));
    EXPECT(read_in(&table, 3, "u/2 -u/1 a/1"));
    EXPECT_TEXT("a/1 -u/1 u/2", seen(&table));
    EXPECT(read_in(&table, 4, "u/2 a/1")); /* it had said good-bye: gone at once */
    EXPECT_TEXT("a/1 u/2", seen(&table));
}

TEST(registry_table_suspects_for_ten_seconds, "P-44")
{
    struct registry_table table __attribute__((cleanup(registry_table_free))) = {0};
    (void)read_in(&table, 1000, "a/1 u/1 u/2");
    EXPECT(read_in(&table, 2000, "a/1 u/1"));
    EXPECT_TEXT("a/1 u/1 ?u/2", seen(&table));
    EXPECT(!read_in(&table, 11999, "a/1 u/1"));
    EXPECT(read_in(&table, 12000, "a/1 u/1"));
    EXPECT_TEXT("a/1 u/1", seen(&table));
    (void)read_in(&table, 13000, "a/1 u/1 u/2");
    (void)read_in(&table, 14000, "a/1 u/1");
    EXPECT(read_in(&table, 15000, "a/1 u/1 u/2")); /* it was only late */
    EXPECT_TEXT("a/1 u/1 u/2", seen(&table));
}

TEST(registry_table_keeps_what_vanished_with_the_majority, "I5 P-44")
{
    struct registry_table table __attribute__((cleanup(registry_table_free))) = {0};
    (void)read_in(&table, 1000, "a/1 u/1 u/2");
    EXPECT(read_in(&table, 2000, ""));
    EXPECT_TEXT("?a/1! ?u/1! ?u/2!", seen(&table));
    EXPECT_I64(3, table.kept);
    EXPECT(!read_in(&table, 2000 + 60000, ""));
    EXPECT_I64(3, table.kept);
    EXPECT(read_in(&table, 70000, "u/1")); /* one is back: its neighbour is a suspect like others from now on */
    EXPECT_TEXT("?a/1! u/1 ?u/2", seen(&table));
    (void)read_in(&table, 80000, "u/1");
    EXPECT_TEXT("?a/1! u/1", seen(&table));
    (void)read_in(&table, 90000, "a/1 u/1");
    EXPECT_TEXT("a/1 u/1", seen(&table));
    EXPECT_I64(0, table.kept);
    (void)read_in(&table, 100000, "");
    (void)read_in(&table, 100000 + REGISTRY_KEPT_MS, "");
    EXPECT_TEXT("", seen(&table));
}

TEST(registry_table_picks_in_turn_the_best_there_is, "P-44")
{
    struct registry_table table __attribute__((cleanup(registry_table_free))) = {0};
    EXPECT(!registry_table_pick(&table, "u", 0));
    (void)read_in(&table, 1, "u/1 u/2 -u/3 a/1");
    for (unsigned turn = 0; turn < 6; turn++)
        EXPECT_TEXT(turn % 2 ? "2" : "1", registry_table_pick(&table, "u", turn)->instance);
    (void)read_in(&table, 2, "-u/3 a/1 b/1 b/2"); /* both vanished: half, so suspects */
    EXPECT_TEXT("3", registry_table_pick(&table, "u", 0)->instance);
    (void)read_in(&table, 3, "a/1 b/1 b/2");
    EXPECT_TEXT("1", registry_table_pick(&table, "u", 0)->instance);
}

TEST(registry_records_are_read_strictly, "I10")
{
    AUTO(arena) arena = arena_open(1 << 20);
    AUTO_STR out;
    str_init(&out);
    struct registry_entry entry = entry_of("user-svc", "h-1"), back;
    entry.epoch = 9007199254740993;
    entry.state = INSTANCE_DRAINING;
    registry_record_print(&out, &entry);
    REQUIRE(registry_record_parse(arena, out.bytes, out.length, &back));
    EXPECT(memcmp(&entry, &back, sizeof entry) == 0);
#define RECORD(service, epoch, state)                                                                                  \
    "{\"service\":\"" service "\",\"instance\":\"i\",\"address\":\"h:1\",\"epoch\":" epoch ",\"state\":\"" state "\"}"
    REQUIRE(registry_record_parse(arena, RECORD("s", "1", "up"), strlen(RECORD("s", "1", "up")), &back));
    static const char *const BAD[] = {"",
                                      "x",
                                      "{}",
                                      "[]",
                                      RECORD("s", "0", "up"),
                                      RECORD("s", "1", "sideways"),
                                      RECORD("sssssssssssssssssssssssssssssssss", "1", "up")};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        test_check(!registry_record_parse(arena, BAD[i], strlen(BAD[i]), &back), __FILE__, __LINE__, "taken: %s",
                   BAD[i]);
    str_clear(&out);
    str_add(&out, "{\"service\":\""); /* few enough characters, too many bytes */
    for (int i = 0; i < 11; i++)
        str_add(&out, "\xea\xb0\x80");
    str_add(&out, "\",\"instance\":\"i\",\"address\":\"h:1\",\"epoch\":1,\"state\":\"up\"}");
    EXPECT(!registry_record_parse(arena, out.bytes, out.length, &back));
}

/* ---- on Redis ---- */

static _Atomic int changes;
static void note_change(void *payload)
{
    (void)payload;
    changes++;
}

#define OWN_REGISTRY                                                                                                   \
    __attribute__((cleanup(own_redis_kill))) struct own_redis server = {0};                                            \
    struct err err = {0};                                                                                              \
    REQUIRE(own_redis_start(&server));                                                                                 \
    AUTO(registry_watch) watch = registry_watch_start(server.url, note_change, NULL, &err);                            \
    REQUIRE_OK(watch, &err);                                                                                           \
    REQUIRE(EVENTUALLY(5000, registry_watch_ready(watch)))

static int count_in(struct registry_watch *watch, const char *service, int state)
{
    struct registry_entry entries[16];
    size_t found = registry_list(watch, service, entries, ARRAY_LENGTH(entries));
    int count = 0;
    for (size_t i = 0; i < found && i < ARRAY_LENGTH(entries); i++)
        count += state < 0 || (int)entries[i].state == state;
    return count;
}

TEST(registry_tells_of_instances_that_come_drain_and_go, "P-44 I8")
{
    OWN_REGISTRY;
    changes = 0;
    AUTO(registry_lease) one = registry_announce(server.url, "user-svc", "one", "127.0.0.1:1001", 1, &err);
    REQUIRE_OK(one, &err);
    EXPECT(
        EVENTUALLY(2000, count_in(watch, "user-svc", INSTANCE_UP) == 1)); /* by message: sooner than the next reading */
    AUTO(registry_lease) two = registry_announce(server.url, "user-svc", "two", "127.0.0.1:1002", 1, &err);
    EXPECT(EVENTUALLY(2000, count_in(watch, "user-svc", INSTANCE_UP) == 2));
    EXPECT(changes >= 2);
    char first[80], second[80];
    EXPECT(registry_pick(watch, "user-svc", first, sizeof first) &&
           registry_pick(watch, "user-svc", second, sizeof second));
    EXPECT(strcmp(first, second) != 0);
    EXPECT(!registry_pick(watch, "other-svc", first, sizeof first));
    struct registry_entry entry;
    EXPECT_I64(2, registry_list(watch, NULL, &entry, 1));
    EXPECT_TEXT("127.0.0.1:1001", entry.address);
    EXPECT_TEXT(VERSION, entry.version);
    EXPECT(entry.epoch > 0 && entry.started_ms > 0 && entry.weight == 1);
    registry_drain(one);
    EXPECT(EVENTUALLY(2000, count_in(watch, "user-svc", INSTANCE_DRAINING) == 1));
    registry_lease_release(&one);
    EXPECT(EVENTUALLY(2000, count_in(watch, "user-svc", -1) == 1));
    EXPECT(!registry_watch_stale(watch));
}

TEST(an_operator_asks_an_instance_to_drain_and_takes_it_back, "P-44 P-48 I8")
{
    OWN_REGISTRY;
    AUTO(registry_lease) one = registry_announce(server.url, "user-svc", "one", "127.0.0.1:1001", 1, &err);
    AUTO(registry_lease) two = registry_announce(server.url, "user-svc", "two", "127.0.0.1:1002", 1, &err);
    EXPECT(EVENTUALLY(8000, count_in(watch, "user-svc", INSTANCE_UP) == 2));
    REQUIRE_OK(registry_ask_drain(server.url, "user-svc", "one", true, &err), &err);
    EXPECT(EVENTUALLY(8000, count_in(watch, "user-svc", INSTANCE_DRAINING) == 1));
    char address[80];
    for (int i = 0; i < 4; i++)
        EXPECT(registry_pick(watch, "user-svc", address, sizeof address) && strcmp(address, "127.0.0.1:1002") == 0);
    REQUIRE_OK(registry_ask_drain(server.url, "user-svc", "one", false, &err), &err);
    EXPECT(EVENTUALLY(8000, count_in(watch, "user-svc", INSTANCE_UP) == 2));
    EXPECT(!registry_ask_drain("redis://127.0.0.1:1", "user-svc", "one", true, &err));
}

TEST(registry_suspects_an_instance_that_was_killed, "P-44 I8")
{
    OWN_REGISTRY;
    AUTO(registry_lease) one = registry_announce(server.url, "user-svc", "one", "127.0.0.1:1001", 1, &err);
    AUTO(registry_lease) two = registry_announce(server.url, "auth-svc", "two", "127.0.0.1:1002", 1, &err);
    pid_t victim = fork(); /* a process that dies without a word, leaving its lease */
    if (victim == 0) {
        AUTO(redis) redis = redis_open(server.url, 1, &err);
        AUTO_STR record;
        str_init(&record);
        struct registry_entry entry = entry_of("user-svc", "three");
        registry_record_print(&record, &entry);
        AUTO(redis_reply) set = REDIS_CALL(redis, &err, "SET", "registry:user-svc:three", record.bytes, "PX", "1500");
        _exit(set ? 0 : 1);
    }
    int status = 1;
    EXPECT(waitpid(victim, &status, 0) == victim && status == 0);
    EXPECT(EVENTUALLY(8000, count_in(watch, "user-svc", INSTANCE_UP) == 2)); /* it told nobody: at the next reading */
    EXPECT(EVENTUALLY(8000, count_in(watch, "user-svc", INSTANCE_SUSPECT) == 1));
    char address[80];
    for (int i = 0; i < 4; i++)
        EXPECT(registry_pick(watch, "user-svc", address, sizeof address) && strcmp(address, "127.0.0.1:1001") == 0);
}

TEST(registry_keeps_its_table_while_redis_is_paused_and_when_it_is_wiped, "P-44 I5")
{
    OWN_REGISTRY;
    AUTO(registry_lease) one = registry_announce(server.url, "user-svc", "one", "127.0.0.1:1001", 1, &err);
    AUTO(registry_lease) two = registry_announce(server.url, "auth-svc", "two", "127.0.0.1:1002", 1, &err);
    REQUIRE(EVENTUALLY(5000, count_in(watch, NULL, INSTANCE_UP) == 2));
    own_redis_pause(&server);
    EXPECT(EVENTUALLY(10000, registry_watch_stale(watch)));
    EXPECT_I64(2, count_in(watch, NULL, INSTANCE_UP));
    own_redis_go_on(&server);
    EXPECT(EVENTUALLY(10000, !registry_watch_stale(watch) && count_in(watch, NULL, INSTANCE_UP) == 2));
    own_redis_kill(&server); /* and everything in it */
    EXPECT(EVENTUALLY(10000, registry_watch_stale(watch)));
    EXPECT_I64(2, count_in(watch, NULL, -1));
    REQUIRE(own_redis_start(&server));
    EXPECT(EVENTUALLY(10000, !registry_watch_stale(watch) && count_in(watch, NULL, INSTANCE_UP) == 2));
    AUTO(redis) redis = redis_open(server.url, 1, &err);
    AUTO(redis_reply) wiped = REDIS_CALL(redis, &err, "FLUSHALL");
    REQUIRE_OK(wiped, &err);
    char address[80];
    EXPECT(EVENTUALLY(10000, ({
                          AUTO(redis_reply)
                          key = REDIS_CALL(redis, &err, "GET", "registry:user-svc:one"); /* announced again */
                          bool known =
                              registry_pick(watch, "user-svc", address, sizeof address); /* and known at every moment */
                          test_check(known, __FILE__, __LINE__, "user-svc is lost");
                          key && !redis_is_nil(key);
                      })));
    EXPECT(EVENTUALLY(10000, !registry_watch_stale(watch) && count_in(watch, NULL, INSTANCE_UP) == 2));
}

TEST(registry_lets_the_newer_of_two_with_one_id_win, "P-44")
{
    OWN_REGISTRY;
    AUTO(redis) redis = redis_open(server.url, 1, &err);
    AUTO(registry_lease) old = registry_announce(server.url, "user-svc", "same", "127.0.0.1:1001", 1, &err);
    char address[80] = "";
    REQUIRE(EVENTUALLY(5000, registry_pick(watch, "user-svc", address, sizeof address)));
    AUTO(registry_lease) new = registry_announce(server.url, "user-svc", "same", "127.0.0.1:1002", 1, &err);
    EXPECT(EVENTUALLY(5000, registry_pick(watch, "user-svc", address, sizeof address) &&
                                strcmp(address, "127.0.0.1:1002") == 0));
    registry_drain(old);          /* has no say any more */
    registry_lease_release(&old); /* and takes nothing with it */
    AUTO(redis_reply) key = REDIS_CALL(redis, &err, "GET", "registry:user-svc:same");
    REQUIRE_OK(key && redis_text(key), &err);
    EXPECT(strstr(redis_text(key), "127.0.0.1:1002") && strstr(redis_text(key), "\"state\":\"up\""));
    registry_lease_release(&new);
    EXPECT(EVENTUALLY(5000, count_in(watch, "user-svc", -1) == 0));
    AUTO(redis_reply) none = REDIS_CALL(redis, &err, "GET", "registry:user-svc:same");
    EXPECT(none && redis_is_nil(none));
}

TEST(registry_starts_without_redis_and_finds_it_later, "P-44")
{
    __attribute__((cleanup(own_redis_kill))) struct own_redis server = {0};
    struct err err = {0};
    char url[64];
    server.port = own_redis_free_port();
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", server.port);
    AUTO(registry_watch) watch = registry_watch_start(url, NULL, NULL, &err);
    AUTO(registry_lease) lease = registry_announce(url, "user-svc", "one", "127.0.0.1:1001", 1, &err);
    REQUIRE_OK(watch && lease, &err);
    EXPECT(EVENTUALLY(5000, registry_watch_stale(watch)));
    EXPECT(!registry_watch_ready(watch));
    REQUIRE(own_redis_start(&server));
    EXPECT(EVENTUALLY(10000, registry_watch_ready(watch) && count_in(watch, "user-svc", INSTANCE_UP) == 1));
    EXPECT(!registry_announce(url, "user-svc", "", "127.0.0.1:1", 1, &err));
}

TEST(registry_skips_records_that_are_wrong, "I10")
{
    OWN_REGISTRY;
    AUTO(redis) redis = redis_open(server.url, 1, &err);
    AUTO(redis_reply) rubbish = REDIS_CALL(redis, &err, "SET", "registry:user-svc:bad", "{\"service\":");
    AUTO(redis_reply) list = REDIS_CALL(redis, &err, "LPUSH", "registry:user-svc:list", "x");
    AUTO(registry_lease) good = registry_announce(server.url, "user-svc", "good", "127.0.0.1:1001", 1, &err);
    REQUIRE_OK(rubbish && list && good, &err);
    EXPECT(EVENTUALLY(5000, count_in(watch, "user-svc", INSTANCE_UP) == 1));
    EXPECT_I64(1, count_in(watch, NULL, -1));
}
