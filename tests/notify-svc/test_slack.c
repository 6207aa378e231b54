/* test_slack.c - Slack without a database: texts, turns, signatures, events, and the channel against a stand-in
 * (tests/standins/slack.mjs). */
#include "channel_slack.h"
#include "child.h"
#include "crypto.h"
#include "mem.h"
#include "slack_event.h"
#include "slack_pace.h"
#include "slack_text.h"

#include <cjson/cJSON.h>
#include <pthread.h>

/* ---- texts and addresses ---- */

TEST(what_would_call_or_link_is_escaped, "K-46 D-47")
{
    AUTO_STR out;
    str_init(&out);
    slack_add_escaped(&out, "<!channel> & <https://evil.example|마당>", 1000);
    EXPECT_TEXT("&lt;!channel&gt; &amp; &lt;https://evil.example|마당&gt;", out.bytes);
    str_clear(&out);
    slack_add_escaped(&out, "마당입니다", 2);
    EXPECT_TEXT("마당…", out.bytes);
    str_clear(&out);
    slack_add_notice(&out, "제목 <1>", "본문");
    EXPECT_TEXT("*제목 &lt;1&gt;*\n본문", out.bytes);
}

TEST(people_of_an_address_keep_names_and_places, "K-46")
{
    AUTO(arena) arena = arena_open(65536);
    AUTO_STR address;
    str_init(&address);
    slack_address_add(&address, "김, <민아>", "U02ABC");
    slack_address_add(&address, "", "chul@example.com");
    slack_address_add(&address, "영희", "");
    size_t count;
    const struct slack_target_person *people = slack_address_people(arena, address.bytes, &count);
    REQUIRE(count == 3);
    EXPECT_TEXT("김   민아", people[0].name);
    EXPECT_TEXT("U02ABC", people[0].where);
    EXPECT_TEXT("", people[1].name);
    EXPECT_TEXT("chul@example.com", people[1].where);
    EXPECT_TEXT("영희", people[2].name);
    EXPECT_TEXT("", people[2].where);
    people = slack_address_people(arena, "U1A,b@example.com", &count);
    REQUIRE(count == 2);
    EXPECT_TEXT("U1A", people[0].where);
    EXPECT_TEXT("b@example.com", people[1].where);
}

TEST(ids_are_slacks, "D-49")
{
    EXPECT(slack_is_user_id("U02ABCDEF") && slack_is_user_id("W123"));
    EXPECT(slack_is_channel_id("C02ABCDEF") && slack_is_channel_id("G123") && slack_is_channel_id("D123"));
    static const char *const BAD[] = {
        "", "U", "u02abc", "C02 ABC", "U02ABC/../x", "U02ABC,U03", "U023456789012345678901234567"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        EXPECT(!slack_is_user_id(BAD[i]) && !slack_is_channel_id(BAD[i]));
}

/* ---- turns ---- */

TEST(a_channel_gets_one_turn_per_pace, "D-48")
{
    AUTO(slack_pace) pace = slack_pace_open(1000);
    int64_t wait_ms;
    EXPECT(slack_pace_take(pace, "C1", 5000, 1500, &wait_ms));
    EXPECT_I64(0, wait_ms);
    EXPECT(slack_pace_take(pace, "C1", 5000, 1500, &wait_ms));
    EXPECT_I64(1000, wait_ms);
    EXPECT(!slack_pace_take(pace, "C1", 5000, 1500, &wait_ms)); /* at 7000: too far */
    EXPECT_I64(2000, wait_ms);
    EXPECT(slack_pace_take(pace, "C2", 5000, 1500, &wait_ms)); /* its own turn */
    EXPECT_I64(0, wait_ms);
    EXPECT(slack_pace_take(pace, "C1", 6500, 1500, &wait_ms));
    EXPECT_I64(500, wait_ms);
    slack_pace_hold(pace, "C2", 7000, 60000);
    EXPECT(!slack_pace_take(pace, "C2", 7000, 1500, &wait_ms));
    EXPECT_I64(53000, wait_ms);
    EXPECT_I64(53000, slack_pace_held_ms(pace, "C2", 7000));
    EXPECT_I64(0, slack_pace_held_ms(pace, "C2", 60000));
    EXPECT_I64(0, slack_pace_held_ms(pace, "C3", 7000));
}

TEST(a_hold_finds_room_among_turns_that_are_over, "D-48")
{
    AUTO(slack_pace) pace = slack_pace_open(1000);
    char key[32];
    int64_t wait_ms;
    for (int i = 0; i < 20 * PACE_KEYS; i++) { /* every place was used once */
        snprintf(key, sizeof key, "C%d", i);
        (void)slack_pace_take(pace, key, 1, 1500, &wait_ms);
    }
    slack_pace_hold(pace, "conversations.open", 9000, 39000);
    EXPECT_I64(30000, slack_pace_held_ms(pace, "conversations.open", 9000));
}

TEST(turns_of_very_many_channels_are_bounded_and_never_too_early, "D-48")
{
    AUTO(slack_pace) pace = slack_pace_open(1000);
    char key[32];
    int64_t wait_ms, taken = 0;
    for (int i = 0; i < 20 * PACE_KEYS; i++) {
        snprintf(key, sizeof key, "C%d", i);
        taken += slack_pace_take(pace, key, 1, 1500, &wait_ms);
    }
    EXPECT(taken > PACE_KEYS / 2 && taken <= PACE_KEYS);
    for (int i = 0; i < 20 * PACE_KEYS; i++) { /* later there is room again */
        snprintf(key, sizeof key, "D%d", i);
        if (!test_check(slack_pace_take(pace, key, 2000 + i * 1000, 1500, &wait_ms), __FILE__, __LINE__, "%s", key))
            return;
    }
}

/* ---- events ---- */

#define SECRET "8f742231b10e8888abcd99yyyzzz85a5"
#define BODY "{\"type\":\"url_verification\",\"challenge\":\"abc\"}"
enum { AT = 1531420618 };

static const char *sign(const char *secret, const char *time, const char *body)
{
    static char signature[80];
    char text[512];
    unsigned char mac[SHA256_BYTES];
    int length = snprintf(text, sizeof text, "v0:%s:%s", time, body);
    crypto_hmac_sha256(secret, strlen(secret), text, (size_t)length, mac);
    strcpy(signature, "v0=");
    crypto_hex(mac, sizeof mac, signature + 3);
    return signature;
}

TEST(slacks_own_example_of_a_signature_is_good, "D-50")
{
    /* of Slack's page "Verifying requests from Slack" */
    static const char BODY_OF_SLACK[] =
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        "foobar&user_id=U2CERLKJA&user_name="
        "roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%"
        "2F397700885554%"
        "2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    EXPECT(slack_is_signed("8f742231b10e8888abcd99yyyzzz85a5", "1531420618",
                           "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
                           view_of(BODY_OF_SLACK), (int64_t)AT * 1000));
}

TEST(only_fresh_and_rightly_signed_posts_count, "D-50")
{
    const int64_t now_ms = (int64_t)AT * 1000;
    const char *good = sign(SECRET, "1531420618", BODY);
    EXPECT(slack_is_signed(SECRET, "1531420618", good, view_of(BODY), now_ms));
    EXPECT(slack_is_signed(SECRET, "1531420618", good, view_of(BODY), now_ms + SLACK_WINDOW_MS));
    EXPECT(slack_is_signed(SECRET, "1531420618", good, view_of(BODY), now_ms - SLACK_WINDOW_MS));
    EXPECT(!slack_is_signed(SECRET, "1531420618", good, view_of(BODY), now_ms + SLACK_WINDOW_MS + 1));
    EXPECT(!slack_is_signed(SECRET, "1531420618", good, view_of(BODY), now_ms - SLACK_WINDOW_MS - 1));
    EXPECT(!slack_is_signed(SECRET, "1531420619", good, view_of(BODY), now_ms));
    EXPECT(!slack_is_signed(SECRET, "1531420618", good, view_of(BODY " "), now_ms));
    EXPECT(!slack_is_signed("another", "1531420618", good, view_of(BODY), now_ms));
    EXPECT(!slack_is_signed(SECRET, "1531420618", good + 3, view_of(BODY), now_ms));
    EXPECT(!slack_is_signed(SECRET, "1531420618", "", view_of(BODY), now_ms));
    EXPECT(!slack_is_signed(SECRET, NULL, good, view_of(BODY), now_ms));
    EXPECT(!slack_is_signed(SECRET, "1531420618", NULL, view_of(BODY), now_ms));
    static const char *const TIMES[] = {
        "", "-1531420618", "1531420618x", " 1531420618", "99999999999999999999", "1531420618.0"};
    for (size_t i = 0; i < ARRAY_LENGTH(TIMES); i++)
        EXPECT(!slack_is_signed(SECRET, TIMES[i], sign(SECRET, TIMES[i], BODY), view_of(BODY), now_ms));
    /* without a secret nothing is good, not even what is signed with none */
    EXPECT(!slack_is_signed("", "1531420618", sign("", "1531420618", BODY), view_of(BODY), now_ms));
}

TEST(events_say_who_joined_what, "D-50")
{
    AUTO(arena) arena = arena_open(1024 * 1024);
    struct slack_event event;
    struct err err = {0};
    REQUIRE_OK(slack_event_read(arena, view_of(BODY), &event, &err), &err);
    EXPECT_I64(SLACK_CHALLENGE, event.kind);
    EXPECT_TEXT("abc", event.challenge);
    REQUIRE_OK(slack_event_read(arena,
                                view_of("{\"token\":\"x\",\"type\":\"event_callback\",\"event_id\":\"Ev1\","
                                        "\"authorizations\":[{\"is_bot\":true}],\"event\":{\"type\":"
                                        "\"team_join\",\"user\":{\"id\":\"U02AB\",\"profile\":{\"email\":\"a@b."
                                        "example\",\"x\":null},\"is_bot\":false}}}"),
                                &event, &err),
               &err);
    EXPECT_I64(SLACK_TEAM_JOIN, event.kind);
    EXPECT_TEXT("Ev1", event.event_id);
    EXPECT_TEXT("U02AB", event.slack_id);
    EXPECT_TEXT("", event.channel);
    REQUIRE_OK(
        slack_event_read(
            arena,
            view_of("{\"type\":\"event_callback\",\"event_id\":\"Ev2\",\"event\":{\"type\":\"member_joined_channel\","
                    "\"user\":\"W0123\","
                    "\"channel\":\"C0698JE0H\",\"channel_type\":\"C\",\"team\":\"T024BE7LD\",\"inviter\":\"U123\"}}"),
            &event, &err),
        &err);
    EXPECT_I64(SLACK_MEMBER_JOINED_CHANNEL, event.kind);
    EXPECT_TEXT("W0123", event.slack_id);
    EXPECT_TEXT("C0698JE0H", event.channel);
    static const char *const OTHERS[] = {
        "{\"type\":\"app_rate_limited\",\"minute_rate_limited\":1518467820}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev3\",\"event\":{\"type\":\"message\",\"user\":7}}"};
    for (size_t i = 0; i < ARRAY_LENGTH(OTHERS); i++) {
        REQUIRE_OK(slack_event_read(arena, view_of(OTHERS[i]), &event, &err), &err);
        EXPECT_I64(SLACK_OTHER, event.kind);
    }
}

TEST(what_is_none_of_slacks_events_is_bad_input, "D-50")
{
    static const char *const BAD[] = {
        "",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"event_callback\"}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":\"team_join\"}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{\"type\":\"team_join\"}}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{\"type\":\"team_join\",\"user\":{\"id\":[]}}}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{\"type\":\"team_join\",\"user\":\"nobody\"}}",
        "{\"type\":\"event_callback\",\"event\":{\"type\":\"team_join\",\"user\":\"U02AB\"}}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{\"type\":\"member_joined_channel\",\"user\":"
        "\"U02AB\",\"channel\":\"general\"}}",
        "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_id\":\"Ev2\",\"event\":{\"type\":\"team_join\","
        "\"user\":\"U02AB\"}}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        AUTO(arena) arena = arena_open(1024 * 1024);
        struct slack_event event;
        struct err err = {0};
        test_check(!slack_event_read(arena, view_of(BAD[i]), &event, &err), __FILE__, __LINE__, "%s", BAD[i]);
        EXPECT_PROBLEM("bad_input", &err);
    }
}

/* ---- the channel ---- */

static struct child standin;
static char standin_url[64];
static char webhooks[320];

static void standin_tell(const char *line)
{
    child_say(&standin, line);
    child_say(&standin, "\n");
    const char *answer = child_line(&standin, CHILD_MS);
    EXPECT_TEXT("told", answer ? answer : "(nothing)");
}

static void standin_start(void)
{
    if (standin.pid)
        return;
    const char *const argv[] = {"node", test_path("tests/standins/slack.mjs"), NULL};
    child_start(&standin, argv);
    const char *line = child_line(&standin, CHILD_MS);
    if (!line) {
        puts("the stand-in (Node) does not start");
        exit(1);
    }
    snprintf(standin_url, sizeof standin_url, "%s", line);
    snprintf(webhooks, sizeof webhooks,
             "general=%s/services/T1/B1/general, errors=%s/services/T1/B1/errors,gone=%s/services/T1/B1/gone",
             standin_url, standin_url, standin_url);
    standin_tell("{\"set\":{\"channels\":[\"C01\"],\"users\":[{\"id\":\"U01\",\"email\":\"mina@example.com\"},{\"id\":"
                 "\"U02\",\"email\":\"chul@example.com\"},"
                 "{\"id\":\"U03\",\"email\":\"bot@example.com\",\"is_bot\":true},{\"id\":\"U04\",\"email\":\"gone@"
                 "example.com\",\"deleted\":true}]}}");
}

/* The stand-in's next call; the caller's to delete. */
static cJSON *standin_call(const char *method)
{
    const char *line = child_line(&standin, CHILD_MS);
    cJSON *call = line ? cJSON_Parse(line) : NULL;
    if (!call) {
        printf("the stand-in was not asked for %s\n", method);
        exit(1);
    }
    EXPECT_TEXT(method, cJSON_GetStringValue(cJSON_GetObjectItem(call, "method")));
    return call;
}

static void expect_call(const char *method)
{
    cJSON_Delete(standin_call(method));
}

static void expect_text(const char *method, const char *text)
{
    cJSON *call = standin_call(method);
    EXPECT_TEXT(text, cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(call, "body"), "text")));
    cJSON_Delete(call);
}

static struct slack *slack_with(int64_t pace_ms)
{
    static struct slack_config config;
    struct err err = {0};
    standin_start();
    config = (struct slack_config){.token = "xoxb-stand-in-token",
                                   .webhooks = webhooks,
                                   .signing_secret = SECRET,
                                   .base_url = standin_url,
                                   .ca_file = "",
                                   .channel_general = "C01",
                                   .channel_errors = "webhook:errors",
                                   .channel_inquiries = "",
                                   .senders = 1,
                                   .timeout_ms = 5000,
                                   .pace_ms = pace_ms};
    struct slack *slack = slack_open(&config, NULL, &err);
    if (!slack) {
        printf("slack_open: %s\n", err.message);
        exit(1);
    }
    return slack;
}

static struct outcome send_to(struct slack *slack, const char *address, const char *locale)
{
    const struct delivery delivery = {.kind = "match_done",
                                      .dedupe_id = "match-1",
                                      .user_id = "",
                                      .address = address,
                                      .locale = locale,
                                      .title = "매칭 완료 <1>",
                                      .body = "A & B",
                                      .attempt = 1};
    struct outcome outcome = {.kind = OUTCOME_DROPPED};
    slack_channel_send(slack, &delivery, &outcome);
    return outcome;
}

TEST(a_webhook_must_say_ok, "D-47")
{
    AUTO(slack) slack = slack_with(0);
    struct outcome outcome = send_to(slack, "webhook:errors", "ko");
    EXPECT_I64(OUTCOME_SENT, outcome.kind);
    expect_text("/services/T1/B1/errors", "*매칭 완료 &lt;1&gt;*\nA &amp; B");
    outcome = send_to(slack, "webhook:gone", "ko");
    EXPECT_I64(OUTCOME_DEAD, outcome.kind);
    EXPECT_TEXT("status 404 no_service", outcome.reason);
    expect_call("/services/T1/B1/gone");
    standin_tell("{\"fail\":\"/services/T1/B1/errors\",\"status\":200,\"body\":\"<html>hello</html>\"}");
    outcome = send_to(slack, "webhook:errors", "ko");
    EXPECT_I64(OUTCOME_DEAD, outcome.kind);
    EXPECT(strstr(outcome.reason, "html") == NULL);
    expect_call("/services/T1/B1/errors");
    EXPECT_I64(OUTCOME_DEAD, send_to(slack, "webhook:unknown", "ko").kind);
    EXPECT(strstr(send_to(slack, "webhook:unknown", "ko").reason, standin_url) == NULL);
}

TEST(a_channel_takes_a_message_only_from_members, "D-47")
{
    AUTO(slack) slack = slack_with(0);
    EXPECT_I64(OUTCOME_SENT, send_to(slack, "C01", "ko").kind);
    expect_text("chat.postMessage", "*매칭 완료 &lt;1&gt;*\nA &amp; B");
    const struct outcome outcome = send_to(slack, "C99", "ko"); /* ok false with 200 */
    EXPECT_I64(OUTCOME_DEAD, outcome.kind);
    EXPECT_TEXT("chat.postMessage: not_in_channel", outcome.reason);
    expect_call("chat.postMessage");
}

TEST(a_group_is_found_by_email_and_reads_who_is_missing, "K-46")
{
    AUTO(slack) slack = slack_with(0);
    EXPECT_I64(
        OUTCOME_SENT,
        send_to(slack,
                "민아 <mina@example.com>,철수 <U02>,봇 <bot@example.com>,영희 <young@example.com>,<no@example.com>",
                "ko")
            .kind);
    expect_call("users.lookupByEmail");
    expect_call("users.lookupByEmail");
    expect_call("users.lookupByEmail");
    expect_call("users.lookupByEmail");
    cJSON *open = standin_call("conversations.open");
    EXPECT_TEXT("U01,U02", cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(open, "body"), "users")));
    cJSON_Delete(open);
    expect_text("chat.postMessage",
                "*매칭 완료 &lt;1&gt;*\nA &amp; B\nSlack에서 찾지 못한 분: 봇, 영희. 직접 초대해 주세요.");
    EXPECT_I64(OUTCOME_SENT,
               send_to(slack, "민아 <mina@example.com>", "en").kind); /* found a moment ago: not asked again */
    expect_call("conversations.open");
    expect_text("chat.postMessage", "*매칭 완료 &lt;1&gt;*\nA &amp; B");
    EXPECT_I64(OUTCOME_SENT, send_to(slack, "U01, <young@example.com>", "en").kind);
    expect_call("users.lookupByEmail");
    expect_call("conversations.open");
    expect_text("chat.postMessage", "*매칭 완료 &lt;1&gt;*\nA &amp; B\nNot found in Slack: 1. Please invite them.");
}

TEST(a_group_nobody_of_which_is_in_slack_is_dropped, "K-46")
{
    AUTO(slack) slack = slack_with(0);
    EXPECT_I64(
        OUTCOME_DROPPED,
        send_to(slack, "영희 <young@example.com>,봇 <bot@example.com>,지움 <gone@example.com>,모름 <>", "ko").kind);
    expect_call("users.lookupByEmail");
    expect_call("users.lookupByEmail");
    expect_call("users.lookupByEmail");
}

TEST(more_people_than_a_conversation_takes_are_named, "K-46")
{
    AUTO(slack) slack = slack_with(0);
    AUTO_STR users;
    str_init(&users);
    AUTO_STR address;
    str_init(&address);
    str_add(&users, "{\"set\":{\"users\":[");
    for (int i = 0; i < 10; i++) {
        char id[16], name[16];
        snprintf(id, sizeof id, "U1%d", i);
        snprintf(name, sizeof name, "n%d", i);
        str_printf(&users, "%s{\"id\":\"%s\",\"email\":\"u1%d@example.com\"}", i ? "," : "", id, i);
        slack_address_add(&address, name, id);
    }
    str_add(&users, "]}}");
    standin_tell(users.bytes);
    EXPECT_I64(OUTCOME_SENT, send_to(slack, address.bytes, "en").kind);
    expect_call("conversations.open");
    expect_text("chat.postMessage",
                "*매칭 완료 &lt;1&gt;*\nA &amp; B\nNot found in Slack: n8, n9. Please invite them.");
}

static const struct answer_case {
    const char *told;
    enum outcome_kind kind;
    int64_t retry_after_ms;
    bool untried;
} ANSWERS[] = {
    {"{\"fail\":\"chat.postMessage\",\"status\":429,\"body\":{\"ok\":false,\"error\":\"ratelimited\"},\"headers\":{"
     "\"Retry-After\":\"30\"}}",
     OUTCOME_RETRY, 30000, true},
    {"{\"fail\":\"chat.postMessage\",\"status\":503,\"body\":\"down\"}", OUTCOME_RETRY, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":{\"ok\":false,\"error\":\"internal_error\"}}", OUTCOME_RETRY, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":{\"ok\":false,\"error\":\"invalid_auth\"}}", OUTCOME_RETRY, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":{\"ok\":false,\"error\":\"is_archived\"}}", OUTCOME_DEAD, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":{\"ok\":false,\"error\":\"channel_not_found\"}}", OUTCOME_DEAD, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":{\"ok\":false,\"error\":\"<b>bold words with text</b>\"}}", OUTCOME_DEAD,
     0, false},
    {"{\"fail\":\"chat.postMessage\",\"body\":\"<html>\"}", OUTCOME_RETRY, 0, false},
    {"{\"fail\":\"chat.postMessage\",\"drop\":true}", OUTCOME_RETRY, 0, false},
};

TEST(answers_come_to_again_or_never, "K-46 D-48")
{
    for (size_t i = 0; i < ARRAY_LENGTH(ANSWERS); i++) {
        AUTO(slack) slack = slack_with(0); /* each with its own memory of limits */
        standin_tell(ANSWERS[i].told);
        const struct outcome outcome = send_to(slack, "C01", "ko");
        test_check(outcome.kind == ANSWERS[i].kind && outcome.retry_after_ms == ANSWERS[i].retry_after_ms &&
                       outcome.untried == ANSWERS[i].untried,
                   __FILE__, __LINE__, "%s: %d %s", ANSWERS[i].told, outcome.kind, outcome.reason);
        EXPECT(strstr(outcome.reason, "xoxb") == NULL && strstr(outcome.reason, "bold") == NULL);
        expect_call("chat.postMessage");
    }
}

TEST(a_limited_channel_is_left_alone_until_its_time, "D-48")
{
    AUTO(slack) slack = slack_with(0);
    standin_tell("{\"fail\":\"chat.postMessage\",\"status\":429,\"body\":{\"ok\":false,\"error\":\"ratelimited\"},"
                 "\"headers\":{\"Retry-After\":\"30\"}}");
    EXPECT_I64(OUTCOME_RETRY, send_to(slack, "C01", "ko").kind);
    expect_call("chat.postMessage");
    const struct outcome outcome = send_to(slack, "C01", "ko");
    EXPECT_I64(OUTCOME_RETRY, outcome.kind);
    EXPECT(outcome.untried && outcome.retry_after_ms > 20000 && outcome.retry_after_ms <= 30000);
    EXPECT_I64(OUTCOME_SENT, send_to(slack, "webhook:general", "ko").kind); /* the next call is another's */
    expect_call("/services/T1/B1/general");
}

TEST(a_wrong_token_can_be_mended, "D-51")
{
    static struct slack_config config;
    struct err err = {0};
    standin_start();
    config = (struct slack_config){
        .token = "xoxb-wrong", .webhooks = "", .base_url = standin_url, .ca_file = "", .timeout_ms = 5000};
    AUTO(slack) slack = slack_open(&config, NULL, &err);
    REQUIRE(slack);
    const struct outcome outcome = send_to(slack, "U01", "ko");
    EXPECT_I64(OUTCOME_RETRY, outcome.kind);
    EXPECT_TEXT("conversations.open: invalid_auth", outcome.reason);
    expect_call("conversations.open");
}

struct burst {
    struct slack *slack;
    int sent, again;
};

static void *send_some(void *payload)
{
    struct burst *burst = payload;
    for (int tries = 0; tries < 3; tries++) {
        const struct outcome outcome = send_to(burst->slack, "C02", "ko");
        burst->sent += outcome.kind == OUTCOME_SENT;
        burst->again += outcome.kind == OUTCOME_RETRY && outcome.untried;
    }
    return NULL;
}

TEST(many_senders_keep_one_channels_pace, "D-48 K-46")
{
    enum { SENDERS = 4 };
    AUTO(slack) slack = slack_with(500);
    struct burst bursts[SENDERS];
    pthread_t threads[SENDERS];
    int sent = 0, again = 0;
    standin_tell("{\"set\":{\"channels\":[\"C02\"],\"pace_ms\":100}}"); /* it answers 429 to what comes sooner */
    for (int i = 0; i < SENDERS; i++) {
        bursts[i] = (struct burst){.slack = slack};
        REQUIRE(pthread_create(&threads[i], NULL, send_some, &bursts[i]) == 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        (void)pthread_join(threads[i], NULL);
        sent += bursts[i].sent;
        again += bursts[i].again;
    }
    EXPECT_I64(3 * SENDERS, sent + again);
    EXPECT(sent >= 4);
    for (int i = 0; i < sent; i++) {
        cJSON *call = standin_call("chat.postMessage");
        EXPECT_I64(200, cJSON_GetNumberValue(cJSON_GetObjectItem(call, "status")));
        cJSON_Delete(call);
    }
    standin_tell("{\"set\":{\"pace_ms\":0}}");
}

TEST(bad_settings_stop_the_start_without_telling_addresses, "D-51")
{
    static const char *const BAD[] = {"https://hooks.example/secret", "a=ftp://secret.example",
                                      "=https://secret.example", "a b=https://secret.example", "a"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct err err = {0};
        const struct slack_config config = {
            .token = "", .webhooks = BAD[i], .base_url = "https://slack.com", .ca_file = "", .timeout_ms = 1000};
        AUTO(slack) slack = slack_open(&config, NULL, &err);
        EXPECT(!slack);
        EXPECT(strncmp(err.message, "SLACK_WEBHOOKS", 14) == 0 && strstr(err.message, "secret") == NULL);
    }
}
