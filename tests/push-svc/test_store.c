/* The store of push-svc on real PostgreSQL: devices, copies, requests once, claims, what is written down, cleaning. */
#include "test_store.h"
#include "migrate.h"
#include "store.h"

extern const struct migration PUSH_MIGRATIONS[];

static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    if (!pool) {
        struct err err = {0};
        pool = test_pool("push", 8);
        if (!migrate_up(pool, PUSH_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

/* ---- the world by events ---- */

static int64_t next_offset[8];

static struct kafka_batch batch_of(int topic, size_t count)
{
    static const char *const NAMES[] = {"accounts", "sessions.ended", "presence.changes", "notify.settings",
                                        "push.requests"};
    static struct kafka_record records[64];
    for (size_t i = 0; i < count; i++)
        records[i] = (struct kafka_record){.offset = next_offset[topic]++};
    return (struct kafka_batch){.topic = NAMES[topic], .partition = 0, .records = records, .count = count};
}

static struct identity someone(void)
{
    struct identity identity = {.role = ROLE_USER};
    uuid_new(identity.user_id);
    uuid_new(identity.session_id);
    return identity;
}

static const char *put(const struct identity *caller, const char *id, const char *address, int64_t most)
{
    struct device device = {.device_id = id, .platform = "android", .address = address};
    struct device_times times;
    struct err err = {0};
    crypto_sha256(address, strlen(address), device.address_hash);
    const struct device_put wish = {caller, &device, most};
    return store_put_device(database(), &wish, &times, &err) ? "" : err.problem->code;
}

static void withdraw(const char *user_id)
{
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct account_copy copy = {.user_id = user_id, .locale = "ko", .withdrawn = true, .version = 2};
    const struct kafka_batch batch = batch_of(0, 1);
    REQUIRE_OK(store_apply_accounts(database(), arena, &batch, &copy, &err), &err);
}

static void end_session(const struct identity *who)
{
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct session_end ended = {.user_id = who->user_id, .sid = who->session_id};
    const struct kafka_batch batch = batch_of(1, 1);
    REQUIRE_OK(store_apply_ended(database(), arena, &batch, &ended, &err), &err);
}

static void presence(const char *user_id, bool online, int64_t n)
{
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct presence_change change = {user_id, online, n};
    const struct kafka_batch batch = batch_of(2, 1);
    REQUIRE_OK(store_apply_presence(database(), arena, &batch, &change, &err), &err);
}

static const struct request_limits LIMITS = {.queue_max = 100000, .presence_wait_ms = 3600 * 1000};

static struct push_request request_of(const char *user_id, const char *dedupe_id, const char *source)
{
    return (struct push_request){.user_id = user_id,
                                 .title = "t",
                                 .body = "b",
                                 .data = "{}",
                                 .dedupe_id = dedupe_id,
                                 .source = source,
                                 .expires_ms = test_now_ms() > 0 ? 4102444800000 : 0};
}

static struct taken_requests ask_limited(const struct push_request *requests, size_t count,
                                         const struct request_limits *limits)
{
    struct err err = {0};
    struct taken_requests taken = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct kafka_batch batch = batch_of(4, count);
    test_check(store_apply_requests(database(), arena, &batch, requests, limits, &taken, &err), __FILE__, __LINE__,
               "%s", err.detail);
    return taken;
}

static struct taken_requests ask(const struct push_request *request)
{
    return ask_limited(request, 1, &LIMITS);
}

static int64_t count(const char *what)
{
    return atoll(test_sql("SELECT count(*) FROM %s", what));
}

/* Nothing left by other tests. */
static void clear(void)
{
    (void)database();
    (void)test_sql("TRUNCATE requests, sends, sink, devices, presence, preferences");
}

/* Claims one send; its verdict ("" : send it). */
static const char *verdict(int slot, int64_t *send_id)
{
    static char text[200];
    struct err err = {0};
    AUTO(pg_result) rows = store_claim(database(), "fcm", 1, slot, 60, &err);
    (void)snprintf(text, sizeof text, "%s", rows ? "none" : err.detail);
    if (!rows || pg_rows(rows) != 1)
        return text;
    const struct claimed claimed = store_claimed(rows, 0);
    *send_id = claimed.send_id;
    (void)snprintf(text, sizeof text, "%s", claimed.verdict ? claimed.verdict : "");
    return text;
}

static void finish(int slot, int64_t send_id, struct outcome outcome, const char *address)
{
    struct err err = {0};
    struct finished item = {.send_id = send_id, .outcome = outcome, .sink = false};
    item.device = atoll(test_sql("SELECT device FROM sends WHERE id = %lld", (long long)send_id));
    crypto_sha256_hex(address, strlen(address), item.address_hash);
    REQUIRE_OK(store_finish(database(), slot, &item, 1, &err), &err);
}

/* ---- devices ---- */

TEST(a_device_moves_and_the_oldest_goes, "P-38")
{
    const struct identity kim = someone(), lee = someone();
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-a", 2));
    EXPECT_TEXT("", put(&kim, "b", "token-b", 2));
    EXPECT_TEXT("", put(&kim, "a", "token-a", 2)); /* fresh again */
    EXPECT_TEXT("", put(&kim, "c", "token-c", 2));
    EXPECT_TEXT("a,c",
                test_sql("SELECT string_agg(device_id, ',' ORDER BY device_id) FROM devices WHERE user_id = '%s'",
                         kim.user_id));
    EXPECT_TEXT("", put(&lee, "x", "token-a", 2));
    EXPECT_TEXT("c", test_sql("SELECT string_agg(device_id, ',') FROM devices WHERE user_id = '%s'", kim.user_id));
    EXPECT_TEXT("", put(&lee, "y", "token-a", 2)); /* and within one user */
    EXPECT_TEXT("y", test_sql("SELECT string_agg(device_id, ',') FROM devices WHERE user_id = '%s'", lee.user_id));
}

TEST(no_device_after_the_end_of_its_session_or_account, "P-38")
{
    const struct identity kim = someone(), lee = someone();
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    end_session(&kim);
    EXPECT_I64(0, count("devices"));
    EXPECT_TEXT("session_ended", put(&kim, "a", "token-1", 9));
    EXPECT_TEXT("", put(&lee, "a", "token-2", 9));
    const struct push_request request = request_of(lee.user_id, "d", "chat");
    EXPECT_I64(1, ask(&request).sends);
    withdraw(lee.user_id);
    EXPECT_I64(0, count("devices"));
    EXPECT_I64(0, count("requests"));
    EXPECT_I64(0, count("sends"));
    EXPECT_TEXT("session_ended", put(&lee, "a", "token-2", 9));
    const struct push_request late = request_of(lee.user_id, "e", "chat");
    EXPECT_I64(0, ask(&late).fresh);
}

TEST(all_instances_have_one_vapid_key, "P-39")
{
    unsigned char one[VAPID_KEY_BYTES], two[VAPID_KEY_BYTES];
    struct err err = {0};
    REQUIRE_OK(store_vapid_key(database(), one, &err), &err);
    REQUIRE_OK(store_vapid_key(database(), two, &err), &err);
    EXPECT(memcmp(one, two, sizeof one) == 0);
}

/* ---- requests ---- */

TEST(a_request_is_taken_once, "P-39 I1")
{
    const struct identity kim = someone();
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    EXPECT_TEXT("", put(&kim, "b", "token-2", 9));
    const struct push_request twice[] = {request_of(kim.user_id, "d", "chat"),
                                         request_of(kim.user_id, "d", "chat"),
                                         {0},
                                         request_of(kim.user_id, "e", "notify")};
    const struct taken_requests taken = ask_limited(twice, 4, &LIMITS);
    EXPECT_I64(2, taken.fresh);
    EXPECT_I64(2, taken.with_devices);
    EXPECT_I64(4, taken.sends);
    EXPECT_I64(0, ask(&twice[0]).fresh);
    /* The same records again, as after a crash before the commit to Kafka. */
    next_offset[4] -= 4;
    EXPECT_I64(0, ask_limited(twice, 4, &LIMITS).fresh);
    EXPECT_I64(4, count("sends"));
}

TEST(the_queue_is_bounded, "P-40 I9")
{
    const struct identity kim = someone();
    const struct request_limits limits = {.queue_max = 3};
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    struct push_request requests[6];
    static const char *const IDS[] = {"n1", "c1", "c2", "n2", "c3", "n3"};
    for (size_t i = 0; i < 6; i++)
        requests[i] = request_of(kim.user_id, IDS[i], IDS[i][0] == 'c' ? "chat" : "notify");
    EXPECT_I64(2, ask_limited(requests, 5, &limits).dropped);
    EXPECT_I64(1, ask_limited(requests + 5, 1, &limits).dropped);
    EXPECT_TEXT("n1,n2,n3",
                test_sql("SELECT string_agg(r.dedupe_id, ',' ORDER BY r.dedupe_id) FROM sends s JOIN requests r"
                         " ON r.id = s.request_id WHERE s.done_at IS NULL"));
    /* What is in somebody's hand stays. */
    int64_t send;
    EXPECT_TEXT("", verdict(1, &send));
    const struct push_request more = request_of(kim.user_id, "n4", "notify");
    EXPECT_I64(1, ask_limited(&more, 1, &limits).dropped);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM sends WHERE id = %lld AND done_at IS NULL", (long long)send));
}

/* ---- claims ---- */

TEST(a_claim_is_one_slots_until_it_is_over, "P-40 I1")
{
    const struct identity kim = someone();
    struct err err = {0};
    int64_t send = 0, again = 0, taken_over = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    const struct push_request request = request_of(kim.user_id, "d", "chat");
    (void)ask(&request);
    EXPECT_TEXT("", verdict(1, &send));
    EXPECT_TEXT("none", verdict(2, &again));
    /* Its process died: the next one of the slot, but not another slot's, takes it over. */
    REQUIRE_OK(store_reclaim(database(), 2, &taken_over, &err), &err);
    EXPECT_I64(0, taken_over);
    REQUIRE_OK(store_reclaim(database(), 1, &taken_over, &err), &err);
    EXPECT_I64(1, taken_over);
    EXPECT_TEXT("", verdict(2, &again));
    EXPECT_I64(send, again);
    /* The first one wakes up: what it says does not count any more. */
    finish(1, send, (struct outcome){OUTCOME_DROPPED, .reason = "expired"}, "token-1");
    EXPECT_TEXT("queued", test_sql("SELECT state FROM sends WHERE id = %lld", (long long)send));
    finish(2, send, (struct outcome){OUTCOME_DELIVERED, .reason = NULL}, "token-1");
    EXPECT_TEXT("delivered 2", test_sql("SELECT state || ' ' || attempts FROM sends WHERE id = %lld", (long long)send));
    EXPECT_TEXT("none", verdict(1, &again));
}

TEST(retries_wait_and_what_was_no_try_is_none, "P-40")
{
    const struct identity kim = someone();
    int64_t send = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    const struct push_request request = request_of(kim.user_id, "d", "chat");
    (void)ask(&request);
    EXPECT_TEXT("", verdict(1, &send));
    finish(1, send, (struct outcome){OUTCOME_RETRY, .reason = "not_started", .untried = true}, "token-1");
    EXPECT_TEXT("queued 0", test_sql("SELECT state || ' ' || attempts FROM sends"));
    EXPECT_TEXT("", verdict(1, &send));
    finish(1, send, (struct outcome){OUTCOME_RETRY, .reason = "unavailable", .delay_ms = 3600000}, "token-1");
    EXPECT_TEXT("retry 1 unavailable", test_sql("SELECT state || ' ' || attempts || ' ' || reason FROM sends"));
    EXPECT_TEXT("none", verdict(1, &send));
    EXPECT_TEXT("t", test_sql("SELECT next_at > now() + interval '59 minutes' FROM sends"));
}

TEST(a_dead_token_goes_unless_it_was_replaced, "P-38")
{
    const struct identity kim = someone();
    int64_t send = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "old", 9));
    const struct push_request one = request_of(kim.user_id, "d", "chat"), two = request_of(kim.user_id, "e", "chat");
    (void)ask(&one);
    EXPECT_TEXT("", verdict(1, &send));
    EXPECT_TEXT("", put(&kim, "a", "new", 9));
    finish(1, send, (struct outcome){OUTCOME_DEAD_TOKEN, .reason = "unregistered"}, "old");
    EXPECT_I64(1, count("devices"));
    (void)ask(&two);
    EXPECT_TEXT("", verdict(1, &send));
    finish(1, send, (struct outcome){OUTCOME_DEAD_TOKEN, .reason = "unregistered"}, "new");
    EXPECT_I64(0, count("devices"));
}

TEST(policy_has_the_last_look, "P-37 P-39 P-42")
{
    const struct identity kim = someone();
    int64_t send = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    struct push_request request = request_of(kim.user_id, "1", "chat");
    presence(kim.user_id, true, 2);
    presence(kim.user_id, false, 1); /* older */
    (void)ask(&request);
    EXPECT_TEXT("none", verdict(1, &send)); /* a second look later */
    (void)test_sql("UPDATE sends SET next_at = now()");
    EXPECT_TEXT("online", verdict(1, &send));
    finish(1, send, (struct outcome){OUTCOME_DROPPED, .reason = "online", .untried = true}, "token-1");
    request = request_of(kim.user_id, "2", "notify");
    request.urgent = true;
    (void)ask(&request);
    EXPECT_TEXT("", verdict(1, &send));
    presence(kim.user_id, false, 3);
    (void)test_sql("INSERT INTO preferences (user_id, chat_off, version) VALUES ('%s', true, 1)", kim.user_id);
    request = request_of(kim.user_id, "3", "chat");
    (void)ask(&request);
    EXPECT_TEXT("switched_off", verdict(1, &send));
    request = request_of(kim.user_id, "4", "notify");
    (void)ask(&request);
    EXPECT_TEXT("", verdict(1, &send));
    request = request_of(kim.user_id, "5", "notify");
    request.expires_ms = 1000;
    (void)ask(&request);
    EXPECT_TEXT("expired", verdict(1, &send));
    request = request_of(kim.user_id, "6", "notify");
    (void)ask(&request);
    (void)test_sql("UPDATE devices SET slow_until = now() + interval '1 hour'");
    EXPECT_TEXT(VERDICT_SLOW, verdict(1, &send));
    (void)test_sql("UPDATE devices SET slow_until = NULL, p256dh = '\\x00', auth = '\\x00'"); /* the same device, by Web
                                                                                                 Push now */
    (void)test_sql("UPDATE sends SET next_at = now() WHERE id = %lld", (long long)send);
    EXPECT_TEXT("device_gone", verdict(1, &send));
    (void)test_sql("UPDATE sends SET next_at = now() WHERE id = %lld", (long long)send);
    (void)test_sql("DELETE FROM devices");
    EXPECT_TEXT("device_gone", verdict(1, &send));
}

/* Sets the hours so that the minute of the user is inside or not, whatever the time is now. */
static void quiet(const char *user_id, const char *zone, int from, int to)
{
    (void)test_sql("INSERT INTO preferences (user_id, chat_off, quiet_start, quiet_end, zone, version)"
                   " SELECT '%s', false, (m + 1440 + %d) %% 1440, (m + 1440 + %d) %% 1440, '%s', 1 FROM (SELECT "
                   "(extract(hour FROM t) * 60"
                   " + extract(minute FROM t))::int AS m FROM (SELECT now() AT TIME ZONE '%s' AS t) n) n"
                   " ON CONFLICT (user_id) DO UPDATE SET quiet_start = excluded.quiet_start, quiet_end = "
                   "excluded.quiet_end, zone = excluded.zone",
                   user_id, from, to, zone, zone);
}

TEST(quiet_hours_are_the_users_own, "P-42")
{
    static const struct {
        const char *zone;
        int from, to;
        const char *verdict;
    } ROWS[] = {
        {"UTC", -5, 5, "quiet_hours"},
        {"UTC", 5, 10, ""},
        {"Asia/Seoul", -1439 + 5, 5, "quiet_hours"},
        {"Asia/Kolkata", -10, -5, ""},
        {"America/New_York", -700, 5, "quiet_hours"},
        {"Pacific/Auckland", 5, -5, ""},
        {"Pacific/Apia", -5, 700, "quiet_hours"},
        {"Europe/Berlin", 10, 5, "quiet_hours"},
    };
    const struct identity kim = someone();
    int64_t send = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    for (size_t i = 0; i < ARRAY_LENGTH(ROWS); i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "q%zu", i);
        const struct push_request request = request_of(kim.user_id, id, "notify");
        quiet(kim.user_id, ROWS[i].zone, ROWS[i].from, ROWS[i].to);
        (void)ask(&request);
        const char *said = verdict(1, &send);
        test_check(strcmp(said, ROWS[i].verdict) == 0, __FILE__, __LINE__, "%s %d to %d: %s", ROWS[i].zone,
                   ROWS[i].from, ROWS[i].to, said);
        finish(1, send, (struct outcome){OUTCOME_DROPPED, .reason = "quiet_hours"}, "token-1");
    }
}

TEST(a_zone_nobody_knows_is_left_out, "P-42 I10")
{
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct identity kim = someone(), lee = someone();
    const struct preference copies[] = {
        {.user_id = kim.user_id, .quiet_start = 60, .quiet_end = 120, .zone = "Mars/Olympus", .version = 1},
        {.user_id = lee.user_id, .quiet_start = 60, .quiet_end = 120, .zone = "Asia/Seoul", .version = 2},
        {.user_id = lee.user_id, .quiet_start = 90, .quiet_end = 120, .zone = "Asia/Seoul", .version = 1},
    };
    clear();
    const struct kafka_batch batch = batch_of(3, 3);
    REQUIRE_OK(store_apply_preferences(database(), arena, &batch, copies, &err), &err);
    EXPECT_TEXT(
        "1", test_sql("SELECT count(*) FROM preferences WHERE user_id = '%s' AND zone IS NULL AND quiet_start IS NULL",
                      kim.user_id));
    EXPECT_TEXT("60", test_sql("SELECT quiet_start FROM preferences WHERE user_id = '%s'", lee.user_id));
}

TEST(an_older_retry_gives_way_to_a_newer_push, "P-39")
{
    const struct identity kim = someone();
    int64_t older = 0, newer = 0;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    struct push_request one = request_of(kim.user_id, "d", "chat"), two = request_of(kim.user_id, "e", "chat");
    one.collapse_key = two.collapse_key = "room";
    (void)ask(&one);
    EXPECT_TEXT("", verdict(1, &older));
    finish(1, older, (struct outcome){OUTCOME_RETRY, .reason = "unavailable"}, "token-1");
    (void)ask(&two);
    (void)test_sql("UPDATE sends SET next_at = now() - interval '1 second' WHERE id = %lld", (long long)older);
    EXPECT_TEXT("superseded", verdict(1, &older));
    EXPECT_TEXT("", verdict(1, &newer));
    EXPECT(newer > older);
}

/* ---- cleaning ---- */

TEST(what_is_finished_goes_what_waits_stays, "P-40 I9")
{
    const struct identity kim = someone();
    struct err err = {0};
    int64_t send = 0, waiting = 0;
    bool more = true;
    clear();
    EXPECT_TEXT("", put(&kim, "a", "token-1", 9));
    const struct push_request one = request_of(kim.user_id, "d", "chat"), two = request_of(kim.user_id, "e", "chat");
    (void)ask(&one);
    EXPECT_TEXT("", verdict(1, &send));
    finish(1, send, (struct outcome){OUTCOME_DELIVERED, .reason = NULL}, "token-1");
    (void)ask(&two);
    (void)test_sql("UPDATE requests SET at = now() - interval '3 days'");
    (void)test_sql("INSERT INTO ended_sessions VALUES (gen_random_uuid(), now() - interval '2 days')");
    REQUIRE_OK(store_count_waiting(database(), &waiting, &err), &err);
    EXPECT_I64(1, waiting);
    REQUIRE_OK(store_sweep(database(), 48, &more, &err), &err);
    EXPECT(!more);
    EXPECT_TEXT("e", test_sql("SELECT string_agg(dedupe_id, ',') FROM requests"));
    EXPECT_I64(1, count("sends"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM ended_sessions WHERE ended_at < now() - interval '1 day'"));
}
