/* Statements that are posted: one round trip, their order, and what becomes of the transaction when one fails. */
#include "clock.h"
#include "metrics.h"
#include "pg.h"
#include "test_store.h"

static const struct pg_statement ADD = {"post_add", "INSERT INTO paper (id, words) VALUES ($1, $2)"};
static const struct pg_statement COUNT = {"post_count", "SELECT count(*) FROM paper"};
static const struct pg_statement WORDS = {"post_words", "SELECT words FROM paper WHERE id = $1"};

static struct pg_pool *pool_of(int connections)
{
    static bool made;
    struct pg_pool *pool = test_pool("pg_post", connections);
    if (!made) {
        made = true;
        (void)test_sql("CREATE TABLE paper (id BIGINT PRIMARY KEY, words TEXT NOT NULL)");
    }
    (void)test_sql("TRUNCATE paper");
    return pool;
}

static int64_t trips(void)
{
    AUTO_STR out;
    str_init(&out);
    metrics_print(&out);
    const char *line = strstr(out.bytes, "madang_pg_query_seconds_count ");
    return line ? atoll(line + strlen("madang_pg_query_seconds_count ")) : -1;
}

static bool post(struct pg_tx *tx, int64_t id, const char *words, struct err *err)
{
    return pg_tx_post(tx, &ADD, PARAMS(PG_I64(id), PG_TEXT(words)), NULL, err);
}

struct story {
    int runs, fail_at;
    const char *seen;
    char words[40];
    int64_t counts[2];
    struct pg_result *last; /* of a statement that leaves with COMMIT */
};

/* Reads what was posted before, posts more, and takes two answers at once. */
static bool tell(struct pg_tx *tx, void *payload, struct err *err)
{
    struct story *story = payload;
    AUTO(pg_result) first = NULL;
    AUTO(pg_result) second = NULL;
    pg_result_release(&story->last);
    if (!post(tx, 1, "one", err) || !pg_tx_post(tx, &COUNT, NO_PARAMS, &first, err) || !post(tx, 2, "two", err) ||
        !pg_tx_post(tx, &COUNT, NO_PARAMS, &second, err) || !post(tx, 3, "세 번째", err))
        return false;
    EXPECT(!first && !second); /* nothing has run yet */
    AUTO(pg_result) third = pg_tx_query(tx, &WORDS, PARAMS(PG_I64(3)), err);
    if (!third)
        return false;
    (void)snprintf(story->words, sizeof story->words, "%s", pg_text(third, 0, 0));
    story->counts[0] = pg_i64(first, 0, 0);
    story->counts[1] = pg_i64(second, 0, 0);
    return post(tx, 4, "four", err) && pg_tx_post(tx, &COUNT, NO_PARAMS, &story->last, err);
}

TEST(what_is_posted_runs_in_order_and_leaves_together, "M-52")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    struct story story = {0};
    for (int round = 0; round < 2; round++) { /* prepared in the first, known in the second */
        (void)test_sql("TRUNCATE paper");
        const int64_t before = trips();
        REQUIRE_OK(pg_transaction(db, tell, &story, &err), &err);
        EXPECT_I64(2, trips() - before);
        EXPECT_TEXT("세 번째", story.words);
        EXPECT_I64(1, story.counts[0]);
        EXPECT_I64(2, story.counts[1]);
        REQUIRE(story.last != NULL);
        EXPECT_I64(4, pg_i64(story.last, 0, 0));
        EXPECT_TEXT("4", test_sql("SELECT count(*) FROM paper"));
    }
    pg_result_release(&story.last);
}

/* The third of five is taken already. fail_at: 0 with COMMIT, 1 with a flush, 2 with a query behind it. */
static bool collide(struct pg_tx *tx, void *payload, struct err *err)
{
    struct story *story = payload;
    AUTO(pg_result) behind = NULL;
    story->runs++;
    if (!post(tx, 10, "ten", err) || !post(tx, 11, "eleven", err) || !post(tx, 7, "taken", err) ||
        !post(tx, 12, "twelve", err))
        return false;
    if (story->fail_at == 1) {
        EXPECT(!pg_tx_flush(tx, err));
        return false;
    }
    if (story->fail_at == 2) {
        behind = pg_tx_query(tx, &COUNT, NO_PARAMS, err);
        EXPECT(!behind);
        return false;
    }
    return true;
}

TEST(a_posted_statement_that_fails_takes_everything_with_it, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    (void)test_sql("INSERT INTO paper VALUES (7, 'seven')");
    for (int at = 0; at < 3; at++) {
        struct story story = {.fail_at = at};
        err_clear(&err);
        EXPECT(!pg_transaction(db, collide, &story, &err));
        EXPECT(pg_violated(&err, "paper_pkey"));
        EXPECT_I64(1, story.runs);
        EXPECT_TEXT("1", test_sql("SELECT count(*) FROM paper"));
        /* the connection is as good as before */
        err_clear(&err);
        AUTO(pg_result) row = pg_query(db, &WORDS, PARAMS(PG_I64(7)), &err);
        REQUIRE_OK(row != NULL, &err);
        EXPECT_TEXT("seven", pg_text(row, 0, 0));
    }
}

/* Gives up with statements posted whose results nobody can take any more. */
static bool give_up(struct pg_tx *tx, void *payload, struct err *err)
{
    (void)payload;
    AUTO(pg_result) gone = NULL;
    if (!post(tx, 20, "twenty", err) || !pg_tx_post(tx, &COUNT, NO_PARAMS, &gone, err))
        return false;
    return err_set(err, &ERR_CONFLICT, "changed my mind");
}

TEST(a_transaction_that_gives_up_leaves_nothing_of_what_it_posted, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    EXPECT(!pg_transaction(db, give_up, NULL, &err));
    EXPECT_PROBLEM("conflict", &err);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM paper"));
    err_clear(&err);
    REQUIRE_OK(pg_exec(db, &ADD, PARAMS(PG_I64(21), PG_TEXT("next")), NULL, &err), &err);
}

/* More than a socket holds, both ways: neither side waits for the other for ever. */
static bool post_much(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement ECHO = {"post_echo", "SELECT repeat($1, 2)"};
    enum { MANY = 60, LONG = 100000 };
    (void)payload;
    struct pg_result *rows[MANY] = {NULL};
    AUTO_FREE char *text = mem_new(1, LONG + 1);
    memset(text, 'x', LONG);
    bool ok = true;
    for (int i = 0; ok && i < MANY; i++)
        ok = pg_tx_post(tx, &ECHO, PARAMS(PG_TEXT(text)), &rows[i], err);
    ok = ok && pg_tx_flush(tx, err);
    for (int i = 0; i < MANY; i++) {
        EXPECT(rows[i] && pg_text_length(rows[i], 0, 0) == 2 * LONG);
        pg_result_release(&rows[i]);
    }
    return ok;
}

TEST(much_may_be_posted, "I10")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    REQUIRE_OK(pg_transaction(db, post_much, NULL, &err), &err);
}

/* The server ends the connection in the midst of what is posted with COMMIT: nobody can know, and nothing runs twice.
 */
static bool lose_it(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement SUICIDE = {"post_suicide", "SELECT pg_terminate_backend(pg_backend_pid())"};
    struct story *story = payload;
    return ++story->runs > 1 || (post(tx, 30, "thirty", err) && pg_tx_post(tx, &SUICIDE, NO_PARAMS, NULL, err) &&
                                 post(tx, 31, "thirty-one", err));
}

TEST(a_connection_that_breaks_under_what_left_with_commit_is_unknown, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    struct story story = {0};
    EXPECT(!pg_transaction(db, lose_it, &story, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT_I64(1, story.runs);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM paper"));
}
