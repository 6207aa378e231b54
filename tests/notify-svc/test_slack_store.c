/* test_slack_store.c - Slack's tables on a real PostgreSQL: codes and their limits, links, events told once, and where
 * notices go. */
#include "clock.h"
#include "mem.h"
#include "migrate.h"
#include "slack_target.h"
#include "store_slack.h"
#include "test_store.h"
#include "uuid.h"

#include <pthread.h>

extern const struct migration NOTIFY_MIGRATIONS[];

static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    if (!pool) {
        struct err err = {0};
        pool = test_pool("slack", 16);
        if (!migrate_up(pool, NOTIFY_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

struct someone {
    char id[UUID_TEXT_BYTES], email[64];
};

static struct someone someone(const char *name, bool verified)
{
    struct someone who;
    (void)database();
    uuid_new(who.id);
    snprintf(who.email, sizeof who.email, "%s@example.com", name);
    (void)test_sql("INSERT INTO accounts (user_id, email, email_verified, nickname, phone, locale, version)"
                   " VALUES ('%s', '%s', %s, '%s', '', 'ko', 1)",
                   who.id, who.email, verified ? "true" : "false", name);
    return who;
}

/* The problem's code; "" when it was taken. */
static const char *put_code(const struct someone *who, const char *slack_id, const char *code)
{
    struct err err = {0};
    return store_slack_code_put(database(), who->id, slack_id, code, &err) ? "" : err.problem->code;
}

static const char *confirm(const struct someone *who, const char *code)
{
    struct err err = {0};
    return store_slack_confirm(database(), who->id, code, &err) ? "" : err.problem->code;
}

static struct slack_link link_of(const struct someone *who)
{
    static struct arena *arena;
    struct err err = {0};
    struct slack_link link = {0};
    if (!arena)
        arena = arena_open(1 << 20);
    test_check(store_slack_link(database(), arena, who->id, &link, &err), __FILE__, __LINE__, "link: %s", err.detail);
    return link;
}

static void a_minute_later(void)
{
    (void)test_sql("UPDATE slack_code_sends SET at = at - interval '61 seconds'");
}

static bool is_linked_to(const struct someone *who, const char *slack_id)
{
    const struct slack_link link = link_of(who);
    return link.slack_id && strcmp(link.slack_id, slack_id) == 0;
}

/* ---- codes ---- */

TEST(a_code_proves_the_slack_id, "D-49")
{
    const struct someone mina = someone("mina", false);
    EXPECT(link_of(&mina).slack_id == NULL && link_of(&mina).pending_id == NULL);
    EXPECT_TEXT("", put_code(&mina, "U0MINA", "123456"));
    EXPECT_TEXT("U0MINA", link_of(&mina).pending_id);
    EXPECT(link_of(&mina).pending_until_ms > clock_now_ms() + 500000);
    EXPECT(link_of(&mina).slack_id == NULL);
    EXPECT_TEXT("bad_code", confirm(&mina, "123457"));
    EXPECT_TEXT("", confirm(&mina, "123456"));
    EXPECT(is_linked_to(&mina, "U0MINA"));
    EXPECT_TEXT("code", link_of(&mina).how);
    EXPECT(link_of(&mina).pending_id == NULL);
    EXPECT_TEXT("bad_code", confirm(&mina, "123456")); /* one use */
}

TEST(a_code_can_be_tried_five_times, "D-49")
{
    const struct someone chul = someone("chul", false);
    EXPECT_TEXT("", put_code(&chul, "U0CHUL", "123456"));
    for (int i = 0; i < SLACK_CODE_TRIES; i++)
        EXPECT_TEXT("bad_code", confirm(&chul, "000000"));
    EXPECT_TEXT("bad_code", confirm(&chul, "123456"));
    EXPECT(link_of(&chul).slack_id == NULL && link_of(&chul).pending_id == NULL);
    a_minute_later();
    EXPECT_TEXT("", put_code(&chul, "U0CHUL", "654321")); /* a new one has its own tries */
    EXPECT_TEXT("bad_code", confirm(&chul, "123456"));
    EXPECT_TEXT("", confirm(&chul, "654321"));
}

TEST(a_code_ends_after_ten_minutes, "D-49")
{
    const struct someone young = someone("young", false);
    EXPECT_TEXT("", put_code(&young, "U0YOUNG", "123456"));
    EXPECT_TEXT("t", test_sql("SELECT expires_at BETWEEN now() + interval '595 seconds' AND now() + interval '600 "
                              "seconds' FROM slack_codes"
                              " WHERE user_id = '%s'",
                              young.id));
    (void)test_sql("UPDATE slack_codes SET expires_at = now() WHERE user_id = '%s'", young.id);
    EXPECT_TEXT("bad_code", confirm(&young, "123456"));
    EXPECT(link_of(&young).slack_id == NULL && link_of(&young).pending_id == NULL);
}

TEST(a_code_is_kept_only_as_a_hash, "D-49")
{
    const struct someone hana = someone("hana", false);
    EXPECT_TEXT("", put_code(&hana, "U0HANA", "778899"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM slack_codes WHERE slack_codes::text LIKE '%%778899%%' OR "
                              "encode(code_hash, 'escape') LIKE '%%778899%%'"));
    EXPECT_TEXT("32", test_sql("SELECT length(code_hash) FROM slack_codes WHERE user_id = '%s'", hana.id));
}

TEST(codes_are_sent_once_a_minute_and_ten_times_a_day, "D-49")
{
    const struct someone bora = someone("bora", false), other = someone("other", false),
                         third = someone("third", false);
    EXPECT_TEXT("", put_code(&bora, "U0BORA", "111111"));
    EXPECT_TEXT("rate_limited", put_code(&bora, "U0BORA2", "222222")); /* the same account */
    EXPECT_TEXT("rate_limited", put_code(&other, "U0BORA", "222222")); /* the same Slack user */
    EXPECT_TEXT("", put_code(&other, "U0OTHER", "333333"));
    EXPECT_TEXT("", confirm(&bora, "111111")); /* what was refused left the code alone */
    for (int i = 1; i < SLACK_SENDS_A_DAY; i++) {
        a_minute_later();
        EXPECT_TEXT("", put_code(&bora, "U0BORA", "444444"));
    }
    a_minute_later();
    EXPECT_TEXT("rate_limited", put_code(&bora, "U0NEW", "555555"));
    EXPECT_TEXT("rate_limited", put_code(&third, "U0BORA", "555555"));
    (void)test_sql("UPDATE slack_code_sends SET at = at - interval '1 day'");
    EXPECT_TEXT("", put_code(&bora, "U0BORA", "666666"));
}

TEST(a_code_that_could_not_be_sent_costs_nothing, "D-49")
{
    const struct someone jin = someone("jin", false);
    struct err err = {0};
    EXPECT_TEXT("", put_code(&jin, "U0JIN", "111111"));
    REQUIRE_OK(store_slack_code_drop(database(), jin.id, &err), &err);
    EXPECT_TEXT("bad_code", confirm(&jin, "111111"));
    EXPECT_TEXT("", put_code(&jin, "U0JIN", "222222"));
    EXPECT_TEXT("", confirm(&jin, "222222"));
}

struct guess {
    const struct someone *who;
    int first, right;
};

static void *guess_some(void *payload)
{
    struct guess *guess = payload;
    for (int i = 0; i < 20; i++) {
        char code[16];
        snprintf(code, sizeof code, "%06d", guess->first + i);
        guess->right += *confirm(guess->who, code) == 0;
    }
    return NULL;
}

TEST(tries_count_though_they_come_at_once, "D-49")
{
    enum { THREADS = 6 };
    const struct someone sora = someone("sora", false);
    struct guess guesses[THREADS];
    pthread_t threads[THREADS];
    EXPECT_TEXT("", put_code(&sora, "U0SORA", "999999"));
    for (int i = 0; i < THREADS; i++) {
        guesses[i] = (struct guess){.who = &sora, .first = i * 100};
        REQUIRE(pthread_create(&threads[i], NULL, guess_some, &guesses[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        EXPECT_I64(0, guesses[i].right);
    }
    EXPECT_TEXT("5", test_sql("SELECT tries FROM slack_codes WHERE user_id = '%s'", sora.id));
}

/* ---- links ---- */

TEST(one_slack_id_is_one_accounts_at_a_time, "D-49")
{
    const struct someone old = someone("old", true), new = someone("new", true);
    struct err err = {0};
    EXPECT_TEXT("", put_code(&old, "U0SAME", "111111"));
    EXPECT_TEXT("", confirm(&old, "111111"));
    a_minute_later();
    EXPECT_TEXT("", put_code(&new, "U0SAME", "222222"));
    EXPECT(is_linked_to(&old, "U0SAME")); /* asking takes nothing away */
    EXPECT_TEXT("", confirm(&new, "222222"));
    EXPECT(is_linked_to(&new, "U0SAME"));
    EXPECT(link_of(&old).slack_id == NULL);
    REQUIRE_OK(store_slack_unlink(database(), new.id, &err), &err);
    EXPECT(link_of(&new).slack_id == NULL);
    REQUIRE_OK(store_slack_unlink(database(), new.id, &err), &err); /* again: nothing to do */
}

/* ---- events ---- */

static struct slack_event event_of(const char *event_id, const char *slack_id, const char *channel)
{
    return (struct slack_event){.kind = *channel ? SLACK_MEMBER_JOINED_CHANNEL : SLACK_TEAM_JOIN,
                                .challenge = "",
                                .event_id = event_id,
                                .slack_id = slack_id,
                                .channel = channel};
}

static bool add_event(const char *event_id, const char *slack_id, const char *channel)
{
    const struct slack_event event = event_of(event_id, slack_id, channel);
    struct err err = {0};
    bool added = false;
    test_check(store_slack_event_add(database(), &event, &added, &err), __FILE__, __LINE__, "add: %s", err.detail);
    return added;
}

/* Takes the event and ends it, as one whose Slack user has this e-mail. */
static bool finish_event(const char *event_id, const char *email, const char *notice)
{
    AUTO(arena) arena = arena_open(65536);
    struct slack_join join;
    struct err err = {0};
    bool found = false;
    test_check(store_slack_event_claim(database(), arena, &join, &found, &err) && found, __FILE__, __LINE__,
               "claim: %s", err.detail);
    if (!found)
        return false;
    EXPECT_TEXT(event_id, join.event.event_id);
    struct slack_join_done done = {.join = &join, .email = email, .notice_key = "C01", .notice = notice};
    test_check(store_slack_event_done(database(), &done, &err), __FILE__, __LINE__, "done: %s %s", err.message,
               err.detail);
    return done.linked;
}

TEST(an_event_told_again_is_one_event, "D-50")
{
    (void)database();
    EXPECT(add_event("EvOnce", "U0ONCE", "C01"));
    EXPECT(!add_event("EvOnce", "U0ONCE", "C01"));
    EXPECT(!finish_event("EvOnce", "", "{\"n\":1}"));
    EXPECT(!add_event("EvOnce", "U0ONCE", "C01"));
    AUTO(arena) arena = arena_open(65536);
    struct slack_join join;
    struct err err = {0};
    bool found = true;
    REQUIRE_OK(store_slack_event_claim(database(), arena, &join, &found, &err), &err);
    EXPECT(!found);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM outbox"));
    (void)test_sql("DELETE FROM outbox");
}

TEST(who_joins_is_linked_by_a_verified_email_only, "D-50 D-49")
{
    const struct someone good = someone("Good", true), unproved = someone("unproved", false);
    (void)add_event("EvGood", "U0GOOD", "");
    EXPECT(finish_event("EvGood", "good@EXAMPLE.com", NULL));
    EXPECT(is_linked_to(&good, "U0GOOD"));
    EXPECT_TEXT("email", link_of(&good).how);
    (void)add_event("EvUnproved", "U0UNPROVED", "C01");
    EXPECT(!finish_event("EvUnproved", unproved.email, NULL));
    EXPECT(link_of(&unproved).slack_id == NULL);
    (void)add_event("EvStranger", "U0STRANGER", "C01");
    EXPECT(!finish_event("EvStranger", "stranger@example.com", NULL));
    (void)add_event("EvNone", "U0NONE", "C01"); /* accounts without an e-mail are nobody's */
    (void)test_sql("INSERT INTO accounts (user_id, email, email_verified, nickname, phone, locale, version) VALUES "
                   "(gen_random_uuid(), '', true, 'x', '', 'ko', 1)");
    EXPECT(!finish_event("EvNone", "", NULL));
}

TEST(an_event_changes_no_link_that_its_owner_made, "D-49 D-50")
{
    const struct someone own = someone("own", true), left = someone("left", true), rival = someone("rival", true);
    struct err err = {0};
    a_minute_later();
    EXPECT_TEXT("", put_code(&own, "U0OWN", "111111"));
    EXPECT_TEXT("", confirm(&own, "111111"));
    (void)add_event("EvOwn", "U0ELSE", "C01");
    EXPECT(!finish_event("EvOwn", own.email, NULL));
    EXPECT(is_linked_to(&own, "U0OWN"));
    (void)add_event("EvRival", "U0OWN", "C01"); /* the Slack user is another account's */
    EXPECT(!finish_event("EvRival", rival.email, NULL));
    EXPECT(is_linked_to(&own, "U0OWN") && link_of(&rival).slack_id == NULL);
    (void)add_event("EvLeft1", "U0LEFT", "C01");
    EXPECT(finish_event("EvLeft1", left.email, NULL));
    REQUIRE_OK(store_slack_unlink(database(), left.id, &err), &err);
    (void)add_event("EvLeft2", "U0LEFT", "C02");
    EXPECT(!finish_event("EvLeft2", left.email, NULL)); /* unlinked stays unlinked */
    EXPECT(link_of(&left).slack_id == NULL);
}

TEST(an_event_that_fails_comes_again_and_ends_dead, "D-50 D-48")
{
    (void)database();
    (void)add_event("EvFail", "U0FAIL", "C01");
    for (int attempt = 1; attempt <= SLACK_EVENT_TRIES; attempt++) {
        AUTO(arena) arena = arena_open(65536);
        struct slack_join join;
        struct err err = {0};
        bool found = false;
        REQUIRE_OK(store_slack_event_claim(database(), arena, &join, &found, &err), &err);
        REQUIRE(found);
        EXPECT_I64(attempt, join.attempt);
        bool twice = true;
        struct slack_join second;
        REQUIRE_OK(store_slack_event_claim(database(), arena, &second, &twice, &err),
                   &err); /* taken: nobody else has it */
        EXPECT(!twice);
        REQUIRE_OK(store_slack_event_again(database(), &join, 0, &err), &err);
    }
    EXPECT_TEXT("dead", test_sql("SELECT state FROM slack_events WHERE event_id = 'EvFail'"));
}

TEST(what_is_old_goes_and_withdrawn_accounts_lose_their_link, "D-49 D-50")
{
    const struct someone gone = someone("gone", true);
    struct err err = {0};
    (void)add_event("EvGone", "U0GONE", "C01");
    EXPECT(finish_event("EvGone", gone.email, NULL));
    (void)test_sql("UPDATE accounts SET withdrawn = true, email = '' WHERE user_id = '%s'", gone.id);
    (void)test_sql("UPDATE slack_events SET received_at = now() - interval '3 days' WHERE event_id = 'EvGone'");
    (void)test_sql("UPDATE slack_codes SET expires_at = now() - interval '1 second'");
    REQUIRE_OK(store_slack_sweep(database(), &err), &err);
    EXPECT(link_of(&gone).slack_id == NULL);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM slack_links WHERE user_id = '%s'", gone.id));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM slack_events WHERE event_id = 'EvGone'"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM slack_codes"));
}

/* ---- where notices go ---- */

static const struct slack_config CONFIG = {
    .channel_general = "C0GENERAL", .channel_errors = "webhook:errors", .channel_inquiries = ""};

struct asking {
    struct slack_target_wish wish;
    struct arena *arena;
    const char *address, *reason;
};

static bool ask(struct pg_tx *tx, void *payload, struct err *err)
{
    struct asking *asking = payload;
    return slack_target_find(tx, asking->arena, &CONFIG, &asking->wish, &asking->address, &asking->reason, err);
}

static const char *address_of(struct arena *arena, const char *kind, const struct someone *people, size_t count,
                              const char *slack)
{
    const char *ids[8];
    struct err err = {0};
    for (size_t i = 0; i < count; i++)
        ids[i] = people[i].id;
    struct asking asking = {.wish = {.kind = kind, .user_ids = ids, .user_count = count, .slack = slack},
                            .arena = arena};
    test_check(pg_transaction(database(), ask, &asking, &err), __FILE__, __LINE__, "target: %s %s", err.message,
               err.detail);
    test_check((asking.address == NULL) == (*asking.reason != 0), __FILE__, __LINE__, "%s: a reason or an address",
               kind);
    return asking.address ? asking.address : "(none)";
}

TEST(a_match_is_told_to_all_its_people_in_one_conversation, "K-46")
{
    AUTO(arena) arena = arena_open(65536);
    struct someone people[] = {someone("one", true), someone("two", true), someone("three", false),
                               someone("four", true)};
    (void)add_event("EvTwo", "U0TWO", "C01");
    EXPECT(finish_event("EvTwo", people[1].email, NULL));
    (void)test_sql("UPDATE accounts SET withdrawn = true WHERE user_id = '%s'", people[3].id);
    EXPECT(slack_target_is_group("match_done"));
    EXPECT(!slack_target_is_group("comment_added") && !slack_target_is_group("workspace_joined"));
    EXPECT_TEXT("one <one@example.com>,two <U0TWO>,three <>, <>", address_of(arena, "match_done", people, 4, NULL));
    EXPECT_TEXT("(none)", address_of(arena, "match_done", people + 2, 1, NULL));
    struct someone unknown;
    uuid_new(unknown.id);
    EXPECT_TEXT("(none)", address_of(arena, "match_done", &unknown, 1, NULL));
}

TEST(each_kind_has_its_place_in_slack, "D-47 M-55")
{
    AUTO(arena) arena = arena_open(65536);
    const struct someone author = someone("author", true), nobody = someone("nobody", true);
    (void)add_event("EvAuthor", "U0AUTHOR", "C01");
    EXPECT(finish_event("EvAuthor", author.email, NULL));
    EXPECT_TEXT("author <U0AUTHOR>", address_of(arena, "comment_added", &author, 1, NULL));
    EXPECT_TEXT("(none)",
                address_of(arena, "comment_added", &nobody, 1, NULL)); /* only if linked, though the e-mail is known */
    EXPECT_TEXT("author <U0AUTHOR>", address_of(arena, "meetup_approved", &author, 1, NULL));
    EXPECT_TEXT("author <U0AUTHOR>", address_of(arena, "payment_done", &author, 1, NULL));
    EXPECT_TEXT("C0GENERAL", address_of(arena, "workspace_joined", NULL, 0, "C0ELSE"));
    EXPECT_TEXT("C0ELSE", address_of(arena, "channel_joined", NULL, 0, "C0ELSE"));
    EXPECT_TEXT("(none)", address_of(arena, "channel_joined", NULL, 0, "#general"));
    EXPECT_TEXT("webhook:errors", address_of(arena, "error_reported", NULL, 0, NULL));
    EXPECT_TEXT("(none)", address_of(arena, "inquiry_received", NULL, 0, NULL)); /* no setting */
}
