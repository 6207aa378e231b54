/* Every statement on a real PostgreSQL, in a schema of its own: what constraints hold, what transactions leave behind.
 */
#include "test_store.h"
#include "clock.h"
#include "migrate.h"
#include "problems.h"
#include "store.h"

#include <pthread.h>

extern const struct migration AUTH_MIGRATIONS[];

static const struct origin ORIGIN = {.ip = "192.0.2.1"};
static struct auth_config cfg = {
    .first_admin = "",
    .access_seconds = 300,
    .refresh_seconds = 1000,
    .session_seconds = 2000,
    .refresh_grace_seconds = 10,
    .sessions_max = 5,
    .key_rotate_seconds = 1000,
    .key_lead_seconds = 60,
    .key_overlap_seconds = 600,
    .code_seconds = 180,
    .code_resend_seconds = 60,
    .code_tries = 5,
    .code_address_per_day = 20,
    .code_ip_per_hour = 60,
    .proof_seconds = 600,
    .social_code_seconds = 60,
    .service = {.profile = "production"},
};

/* The app of this program, its schema migrated. */
static const struct auth_app *the_app(void)
{
    static struct auth_app app;
    if (!app.db) {
        struct err err = {0};
        app.cfg = &cfg;
        app.db = test_pool("auth", 24);
        secret_init(&app.secret, "test", 4);
        if (!migrate_up(app.db, AUTH_MIGRATIONS, &err)) {
            printf("migrate_up: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return &app;
}

/* Names nobody has. */
struct somebody {
    char email[64], name[32];
    struct new_account wish;
};
static void make_somebody(struct somebody *one)
{
    static int count;
    int n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    (void)snprintf(one->email, sizeof one->email, "s%d@yard.example", n);
    (void)snprintf(one->name, sizeof one->name, "somebody%d", n);
    one->wish = (struct new_account){.email = one->email,
                                     .email_folded = one->email,
                                     .handle = one->name,
                                     .nickname = {one->name, one->name},
                                     .password_hash = "hash",
                                     .role = ROLE_USER};
}

static bool add_somebody(struct account *account, struct err *err)
{
    struct somebody one;
    make_somebody(&one);
    return store_add_account(the_app(), &one.wish, &ORIGIN, account, err);
}

static bool open_session(const char *user_id, bool single, struct refresh_token *token, struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    refresh_new(&the_app()->secret, id, token);
    struct session_grant grant;
    const struct new_session wish = {.refresh = token, .user_id = user_id, .device_name = "", .single = single};
    return store_open_session(the_app(), &wish, &ORIGIN, &grant, err);
}

static bool refresh_once(const struct refresh_token *token, struct refresh_token *next, struct err *err)
{
    struct session_grant grant;
    refresh_successor(&the_app()->secret, token, next);
    return store_refresh(the_app(), token, next, clock_monotonic_ms(), &ORIGIN, &grant, err);
}

static struct identity identity_of(const struct account *account, const struct refresh_token *token)
{
    struct identity who = {.role = account->role, .role_version = account->role_version};
    (void)snprintf(who.user_id, sizeof who.user_id, "%s", account->id);
    (void)snprintf(who.session_id, sizeof who.session_id, "%s", token->session_id);
    return who;
}

TEST(the_code_of_a_conflict_says_which_name_is_taken, "P-01 S-01 M-01")
{
    struct somebody first, second;
    struct account account;
    struct err err = {0};
    make_somebody(&first);
    REQUIRE_OK(store_add_account(the_app(), &first.wish, &ORIGIN, &account, &err), &err);
    make_somebody(&second);
    second.wish.email_folded = first.wish.email_folded;
    EXPECT(!store_add_account(the_app(), &second.wish, &ORIGIN, &account, &err));
    EXPECT_PROBLEM("email_taken", &err);
    make_somebody(&second);
    second.wish.handle = first.wish.handle;
    EXPECT(!store_add_account(the_app(), &second.wish, &ORIGIN, &account, &err));
    EXPECT_PROBLEM("handle_taken", &err);
    make_somebody(&second);
    second.wish.nickname = first.wish.nickname;
    EXPECT(!store_add_account(the_app(), &second.wish, &ORIGIN, &account, &err));
    EXPECT_PROBLEM("nickname_taken", &err);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM accounts WHERE email_folded = '%s'", first.email));
}

TEST(the_schema_itself_refuses_what_the_rules_do, "P-01 D-01")
{
    static const char *const BAD[] = {
        "role = 'king'",      "handle = 'Not OK'", "handle = NULL",        "nickname_folded = NULL",
        "phone = '010-1234'", "gender = 'cat'",    "withdrawn_at = now()", /* with its names still there */
    };
    struct account account;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct pg_statement update = {"bad_update", NULL};
        char sql[200], name[40];
        (void)snprintf(sql, sizeof sql, "UPDATE accounts SET %s WHERE id = $1::uuid", BAD[i]);
        (void)snprintf(name, sizeof name, "bad_update_%zu", i);
        update = (struct pg_statement){name, sql};
        err_clear(&err);
        test_check(!pg_exec(the_app()->db, &update, PARAMS(PG_TEXT(account.id)), NULL, &err), __FILE__, __LINE__, "%s",
                   BAD[i]);
    }
}

TEST(every_change_of_an_account_leaves_an_event_with_the_next_version, "P-01 S-09")
{
    struct account account;
    struct refresh_token token;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &token, &err), &err);
    struct identity who = identity_of(&account, &token);
    for (int version = 2; version < 5; version++) {
        char name[40];
        (void)snprintf(name, sizeof name, "renamed%d%.8s", version, account.id + 28);
        struct nickname nickname = {name, name};
        REQUIRE_OK(store_rename(the_app(), &who, &nickname, NULL, version - 1, &ORIGIN, &account, &err), &err);
        EXPECT_I64(version, account.version);
    }
    EXPECT_TEXT("1,2,3,4", test_sql("SELECT string_agg(payload::jsonb ->> 'version', ',' ORDER BY id) FROM outbox "
                                    "WHERE topic = 'accounts' AND key = '%s'",
                                    account.id));
    struct nickname late = {"too late", "too late"};
    EXPECT(!store_rename(the_app(), &who, &late, NULL, 2, &ORIGIN, &account, &err));
    EXPECT_PROBLEM("stale_version", &err);
}

TEST(a_failed_change_leaves_nothing, "P-01")
{
    struct somebody one;
    struct account account;
    struct err err = {0};
    const char *before = test_sql("SELECT count(*) FROM outbox");
    char kept[32];
    (void)snprintf(kept, sizeof kept, "%s", before);
    make_somebody(&one);
    one.wish.proof = "no such proof";
    EXPECT(!store_add_account(the_app(), &one.wish, &ORIGIN, &account, &err));
    EXPECT_PROBLEM("bad_proof", &err);
    EXPECT_TEXT(kept, test_sql("SELECT count(*) FROM outbox"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM accounts WHERE email_folded = '%s'", one.email));
}

TEST(sessions_over_the_limit_end_the_stalest_first, "S-06")
{
    struct account account;
    struct refresh_token tokens[7], next;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(tokens); i++)
        REQUIRE_OK(open_session(account.id, false, &tokens[i], &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(tokens); i++) {
        err_clear(&err);
        test_check(refresh_once(&tokens[i], &next, &err) == (i >= 2), __FILE__, __LINE__, "session %zu", i);
    }
    struct session_row *rows;
    size_t count;
    AUTO(arena) arena = arena_open(1 << 20);
    REQUIRE_OK(store_list_sessions(the_app(), arena, account.id, &rows, &count, &err), &err);
    EXPECT_I64(cfg.sessions_max, count);
}

TEST(a_refresh_token_is_stored_as_a_hash_only, "P-04 P-09")
{
    struct account account;
    struct refresh_token token;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &token, &err), &err);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM sessions WHERE sessions::text LIKE '%%%s%%'", token.text));
    EXPECT_TEXT("32", test_sql("SELECT length(current_hash) FROM sessions WHERE id = '%s'", token.session_id));
}

TEST(refresh_slides_but_never_past_the_session_s_end, "P-04 M-06")
{
    struct account account;
    struct refresh_token token, next;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &token, &err), &err);
    (void)test_sql(
        "UPDATE sessions SET ends_at = now() + interval '7 seconds', expires_at = now() + interval '3 seconds' "
        "WHERE id = '%s'",
        token.session_id);
    REQUIRE_OK(refresh_once(&token, &next, &err), &err);
    EXPECT_TEXT("t", test_sql("SELECT expires_at = ends_at FROM sessions WHERE id = '%s'", token.session_id));
    (void)test_sql("UPDATE sessions SET expires_at = now() WHERE id = '%s'", token.session_id);
    EXPECT(!refresh_once(&next, &token, &err));
    EXPECT_PROBLEM("refresh_expired", &err);
}

/* ---- revocations ---- */

static void *log_out_some(void *payload)
{
    struct refresh_token *tokens = payload;
    for (int i = 0; i < 10; i++) {
        const char *id = tokens[i].session_id;
        struct err err = {0};
        if (!store_log_out(the_app(), &id, 1, &ORIGIN, &err))
            return "failed";
    }
    return NULL;
}

TEST(revocation_numbers_have_no_holes_and_no_doubles, "P-05 D-02")
{
    enum { THREADS = 6 };
    static struct refresh_token tokens[THREADS][10];
    int64_t first = strtoll(test_sql("SELECT n FROM revocation_counter"), NULL, 10);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        for (int k = 0; k < 10; k += 5) { /* five sessions an account are allowed */
            struct account account;
            struct err err = {0};
            REQUIRE_OK(add_somebody(&account, &err), &err);
            for (int j = k; j < k + 5; j++)
                REQUIRE_OK(open_session(account.id, false, &tokens[i][j], &err), &err);
        }
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, log_out_some, tokens[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        EXPECT(pthread_join(threads[i], &wrong) == 0 && !wrong);
    }
    EXPECT_I64(first + THREADS * 10, strtoll(test_sql("SELECT n FROM revocation_counter"), NULL, 10));
    EXPECT_I64(
        THREADS * 10,
        strtoll(test_sql("SELECT count(DISTINCT n) FROM revocations WHERE n > %lld", (long long)first), NULL, 10));
    const char *again = tokens[0][0].session_id;
    struct err err = {0};
    REQUIRE_OK(store_log_out(the_app(), &again, 1, &ORIGIN, &err), &err);
    EXPECT_I64(first + THREADS * 10, strtoll(test_sql("SELECT n FROM revocation_counter"), NULL, 10)); /* ended once */
}

TEST(a_role_change_makes_older_tokens_stale, "D-02 M-09")
{
    struct account account;
    struct refresh_token token;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &token, &err), &err);
    struct identity who = identity_of(&account, &token);
    REQUIRE_OK(store_check_caller(the_app(), &who, &account, &err), &err);
    REQUIRE_OK(store_set_role(the_app(), account.id, ROLE_TUTOR, &ORIGIN, &err), &err);
    EXPECT(!store_check_caller(the_app(), &who, &account, &err));
    EXPECT_PROBLEM("token_stale", &err);
    EXPECT_TEXT("2", test_sql("SELECT least_rv FROM revocations WHERE user_id = '%s'", account.id));
    EXPECT(!store_set_role(the_app(), "01980000-0000-7000-8000-000000000000", ROLE_TUTOR, &ORIGIN, &err));
    EXPECT_PROBLEM("not_found", &err);
}

/* ---- single session ---- */

struct race {
    const char *user_id;
    struct refresh_token token;
};
static void *log_in_single(void *payload)
{
    struct race *race = payload;
    struct err err = {0};
    return open_session(race->user_id, true, &race->token, &err) ? NULL : "failed";
}

TEST(of_racing_single_session_log_ins_one_session_remains, "S-07")
{
    enum { RACERS = 8 };
    struct account account;
    struct err err = {0};
    struct race races[RACERS];
    pthread_t threads[RACERS];
    REQUIRE_OK(add_somebody(&account, &err), &err);
    for (int i = 0; i < RACERS; i++) {
        races[i].user_id = account.id;
        REQUIRE(pthread_create(&threads[i], NULL, log_in_single, &races[i]) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        void *wrong = NULL;
        EXPECT(pthread_join(threads[i], &wrong) == 0 && !wrong);
    }
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM sessions WHERE user_id = '%s' AND ended_at IS NULL", account.id));
    EXPECT_TEXT("7", test_sql("SELECT count(*) FROM outbox WHERE topic = 'sessions.ended' AND key = '%s'", account.id));
}

/* ---- leaving ---- */

TEST(who_left_is_found_by_the_former_names_until_somebody_takes_them, "P-06 M-11 D-04")
{
    struct somebody one;
    struct account account, heir;
    struct refresh_token token;
    struct login_row row = {0};
    struct err err = {0};
    make_somebody(&one);
    REQUIRE_OK(store_add_account(the_app(), &one.wish, &ORIGIN, &account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &token, &err), &err);
    struct identity who = identity_of(&account, &token);
    EXPECT(!store_withdraw(the_app(), &who, "another hash", &ORIGIN, &err));
    EXPECT_PROBLEM("bad_credentials", &err);
    REQUIRE_OK(store_withdraw(the_app(), &who, "hash", &ORIGIN, &err), &err);
    REQUIRE_OK(store_find_login(the_app(), one.email, NULL, &row, &err), &err);
    EXPECT(row.found && row.account.withdrawn);
    EXPECT_TEXT("hash", row.password_hash);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM accounts WHERE accounts::text LIKE '%%%s%%'", one.name));
    EXPECT_TEXT("0",
                test_sql("SELECT count(*) FROM withdrawn_logins WHERE withdrawn_logins::text LIKE '%%%s%%'", one.name));
    EXPECT(!open_session(account.id, false, &token, &err));
    EXPECT_PROBLEM("withdrawn", &err);
    REQUIRE_OK(store_add_account(the_app(), &one.wish, &ORIGIN, &heir, &err), &err);
    row = (struct login_row){0};
    REQUIRE_OK(store_find_login(the_app(), one.name, NULL, &row, &err), &err);
    EXPECT(row.found && !row.account.withdrawn);
    EXPECT_TEXT(heir.id, row.account.id);
}

/* ---- keys ---- */

TEST(keys_follow_each_other, "P-03 K-05")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct key_row *rows, first = {.kid = "one", .private_pem = "p", .x = "x", .y = "y"}, second = first;
    size_t count;
    bool due;
    struct err err = {0};
    second.kid = "two";
    REQUIRE_OK(store_key_due(the_app(), &due, &err), &err);
    EXPECT(due);
    REQUIRE_OK(store_add_key(the_app(), &first, &err), &err);
    REQUIRE_OK(store_add_key(the_app(), &second, &err), &err); /* another instance was first: nothing happens */
    REQUIRE_OK(store_list_keys(the_app(), arena, &rows, &count, &err), &err);
    REQUIRE(count == 1 && rows[0].signs);
    (void)test_sql("UPDATE signing_keys SET created_at = now() - interval '1001 seconds'");
    REQUIRE_OK(store_add_key(the_app(), &second, &err), &err);
    REQUIRE_OK(store_list_keys(the_app(), arena, &rows, &count, &err), &err);
    REQUIRE(count == 2);
    EXPECT(rows[0].signs && !rows[1].signs); /* published, but it does not sign yet */
    EXPECT_TEXT("t",
                test_sql("SELECT signs_from = now_ + interval '60 s' FROM (SELECT created_at AS now_, signs_from FROM "
                         "signing_keys WHERE kid = 'two') k"));
    (void)test_sql("UPDATE signing_keys SET signs_from = now() WHERE kid = 'two'");
    REQUIRE_OK(store_list_keys(the_app(), arena, &rows, &count, &err), &err);
    REQUIRE(count == 2);
    EXPECT(!rows[0].signs && rows[1].signs); /* the old one is still published */
    (void)test_sql("UPDATE signing_keys SET gone_at = now() WHERE kid = 'one'");
    REQUIRE_OK(store_list_keys(the_app(), arena, &rows, &count, &err), &err);
    REQUIRE(count == 1);
    EXPECT_TEXT("two", rows[0].kid);
}

TEST(the_server_key_is_made_once, "P-09 K-05")
{
    unsigned char a[SHA256_BYTES] = {1}, b[SHA256_BYTES] = {2}, got[SHA256_BYTES], again[SHA256_BYTES];
    struct err err = {0};
    REQUIRE_OK(store_secret(the_app()->db, a, got, &err), &err);
    REQUIRE_OK(store_secret(the_app()->db, b, again, &err), &err);
    EXPECT(memcmp(got, a, sizeof a) == 0 && memcmp(again, a, sizeof a) == 0);
}

/* ---- social ---- */

TEST(an_outside_identity_is_one_account_whatever_its_e_mail, "M-08 D-03 K-01 S-05")
{
    AUTO(arena) arena = arena_open(1 << 20);
    char first[UUID_TEXT_BYTES], again[UUID_TEXT_BYTES], other[UUID_TEXT_BYTES];
    struct err err = {0};
    struct social_person person = {.provider = "kakao", .subject = "9007199254740993", .email = "out1@yard.example"};
    REQUIRE_OK(store_social_account(the_app(), arena, &person, &ORIGIN, first, &err), &err);
    person.email = "out2@yard.example";
    REQUIRE_OK(store_social_account(the_app(), arena, &person, &ORIGIN, again, &err), &err);
    EXPECT_TEXT(first, again);
    person.provider = "naver";
    REQUIRE_OK(store_social_account(the_app(), arena, &person, &ORIGIN, other, &err), &err);
    EXPECT(strcmp(first, other) != 0);
    person = (struct social_person){.provider = "google", .subject = "g", .email = "OUT1@yard.example"};
    EXPECT(!store_social_account(the_app(), arena, &person, &ORIGIN, other, &err));
    EXPECT_PROBLEM("email_taken", &err);
    EXPECT_TEXT("guest", test_sql("SELECT role FROM accounts WHERE id = '%s'", first));
}

TEST(the_first_outcome_of_a_state_stays, "M-08")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct social_start start = {
        .provider = "kakao", .return_to = "https://app.example", .nonce = "n", .verifier = "v"};
    struct social_login login;
    struct err err = {0};
    crypto_random(start.state_hash, sizeof start.state_hash);
    crypto_random(start.browser_hash, sizeof start.browser_hash);
    REQUIRE_OK(store_social_start(the_app(), &start, &err), &err);
    REQUIRE_OK(store_social_claim(the_app(), arena, "kakao", start.state_hash, start.browser_hash, &login, &err), &err);
    EXPECT(login.found && login.mine && !login.decided);
    REQUIRE_OK(store_social_claim(the_app(), arena, "kakao", start.state_hash, start.browser_hash, &login, &err), &err);
    EXPECT(login.found && !login.mine && !login.decided);
    REQUIRE_OK(store_social_claim(the_app(), arena, "naver", start.state_hash, start.browser_hash, &login, &err), &err);
    EXPECT(!login.found);
    REQUIRE_OK(store_social_decide(the_app(), start.state_hash, "failed", NULL, NULL, &err), &err);
    REQUIRE_OK(store_social_decide(the_app(), start.state_hash, "provider_denied", NULL, NULL, &err), &err);
    REQUIRE_OK(store_social_claim(the_app(), arena, "kakao", start.state_hash, start.browser_hash, &login, &err), &err);
    EXPECT(login.decided && !login.mine);
    EXPECT_TEXT("failed", login.outcome);
}

/* ---- sweeping ---- */

TEST(sweeping_ends_what_ran_out_and_keeps_what_is_in_use, "P-04 P-07")
{
    struct account account;
    struct refresh_token old, young;
    struct err err = {0};
    REQUIRE_OK(add_somebody(&account, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &old, &err), &err);
    REQUIRE_OK(open_session(account.id, false, &young, &err), &err);
    (void)test_sql("UPDATE sessions SET expires_at = now() WHERE id = '%s'", old.session_id);
    (void)test_sql("UPDATE revocations SET until = now() - interval '1 s'");
    REQUIRE_OK(store_sweep(the_app(), &err), &err);
    EXPECT_TEXT("expired", test_sql("SELECT end_reason FROM sessions WHERE id = '%s'", old.session_id));
    EXPECT_TEXT("expired", test_sql("SELECT payload::jsonb ->> 'reason' FROM outbox WHERE topic = 'sessions.ended' AND "
                                    "payload::jsonb ->> 'sid' = '%s'",
                                    old.session_id));
    EXPECT_TEXT("", test_sql("SELECT end_reason FROM sessions WHERE id = '%s'", young.session_id));
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM revocations WHERE session_id = '%s'", old.session_id));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM revocations WHERE until < now()"));
    (void)test_sql("UPDATE sessions SET ended_at = now() - interval '31 days' WHERE id = '%s'", old.session_id);
    REQUIRE_OK(store_sweep(the_app(), &err), &err);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM sessions WHERE id = '%s'", old.session_id));
}
