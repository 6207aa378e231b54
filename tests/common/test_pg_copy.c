/* Rows by COPY: every kind of value, what becomes of the transaction when one row is refused, and much at once. */
#include "pg_copy.h"
#include "test_store.h"

static const struct pg_statement COPY = {"copy_leaf",
                                         "COPY leaf (id, owner, words, done, at) FROM STDIN (FORMAT binary)"};
static const struct pg_statement NOWHERE = {"copy_nowhere", "COPY nowhere (id) FROM STDIN (FORMAT binary)"};
static const struct pg_statement POSTED = {"copy_posted", "INSERT INTO leaf (id, words) VALUES ($1, 'posted')"};

static struct pg_pool *pool_of(int connections)
{
    static bool made;
    struct pg_pool *pool = test_pool("pg_copy", connections);
    if (!made) {
        made = true;
        (void)test_sql("CREATE TABLE leaf (id BIGINT PRIMARY KEY, owner UUID, words TEXT CONSTRAINT no_weeds CHECK "
                       "(words <> 'weed'), done BOOL, at TIMESTAMPTZ)");
    }
    (void)test_sql("TRUNCATE leaf");
    return pool;
}

static void put(struct str *rows, int64_t id, const char *words)
{
    struct uuid owner;
    (void)uuid_parse("01980000-0000-7000-8000-00000000000a", &owner);
    char *at = pg_copy_row(rows, 5, 5 * PG_COPY_VALUE_BYTES + (words ? strlen(words) : 0));
    at = pg_copy_i64(at, id);
    at = words ? pg_copy_uuid(at, owner) : pg_copy_null(at);
    at = pg_copy_text(at, words);
    at = pg_copy_bool(at, id % 2 == 0);
    at = pg_copy_time(at, words ? INT64_C(1764000000123) : INT64_C(-1));
    pg_copy_row_end(rows, at);
}

struct story {
    const struct pg_statement *statement;
    struct str rows;
    int64_t count;
    bool post;
};

static bool copy_in(struct pg_tx *tx, void *payload, struct err *err)
{
    struct story *story = payload;
    return (!story->post || pg_tx_post(tx, &POSTED, PARAMS(PG_I64(100)), NULL, err)) &&
           pg_tx_copy(tx, story->statement, (struct view){story->rows.bytes, story->rows.length}, &story->count, err);
}

TEST(values_of_every_kind_arrive_as_they_are, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    struct story story = {.statement = &COPY, .post = true};
    pg_copy_begin(&story.rows);
    put(&story.rows, INT64_MIN, "마당\\ \"'\t\n");
    put(&story.rows, INT64_MAX, NULL);
    put(&story.rows, 0, "");
    pg_copy_end(&story.rows);
    REQUIRE_OK(pg_transaction(db, copy_in, &story, &err), &err);
    EXPECT_I64(3, story.count);
    EXPECT_TEXT("01980000-0000-7000-8000-00000000000a 마당\\ \"'\t\n t 1764000000.123000",
                test_sql("SELECT concat_ws(' ', owner, words, done, extract(epoch from at)) FROM leaf WHERE id = "
                         "-9223372036854775808"));
    EXPECT_TEXT("f -0.001000", test_sql("SELECT concat_ws(' ', owner, words, done, extract(epoch from at)) FROM leaf "
                                        "WHERE id = 9223372036854775807"));
    EXPECT_TEXT("posted", test_sql("SELECT words FROM leaf WHERE id = 100")); /* what was posted left ahead of it */
    EXPECT_TEXT("", test_sql("SELECT words FROM leaf WHERE id = 0"));
    str_free(&story.rows);
}

TEST(a_row_that_is_refused_takes_all_with_it_and_the_connection_goes_on, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    static const struct {
        int64_t id;
        const char *words, *constraint;
    } REFUSED[] = {{1, "again", "leaf_pkey"}, {2, "weed", "no_weeds"}};
    for (size_t i = 0; i < ARRAY_LENGTH(REFUSED); i++) {
        struct story story = {.statement = &COPY, .post = true};
        pg_copy_begin(&story.rows);
        put(&story.rows, 1, "first");
        put(&story.rows, REFUSED[i].id, REFUSED[i].words);
        pg_copy_end(&story.rows);
        EXPECT(!pg_transaction(db, copy_in, &story, &err));
        EXPECT(pg_violated(&err, REFUSED[i].constraint));
        err_clear(&err);
        str_free(&story.rows);
    }
    struct story wrong = {.statement = &NOWHERE};
    pg_copy_begin(&wrong.rows);
    EXPECT(!pg_transaction(db, copy_in, &wrong, &err)); /* the server never asked for rows */
    EXPECT_PROBLEM("internal", &err);
    err_clear(&err);
    wrong.statement = &COPY;
    put(&wrong.rows, 1, "cut off");
    wrong.rows.length -= 3;
    EXPECT(!pg_transaction(db, copy_in, &wrong, &err));
    EXPECT_PROBLEM("internal", &err);
    err_clear(&err);
    str_free(&wrong.rows);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM leaf"));
    struct story fine = {.statement = &COPY};
    pg_copy_begin(&fine.rows);
    put(&fine.rows, 1, "fine");
    pg_copy_end(&fine.rows);
    REQUIRE_OK(pg_transaction(db, copy_in, &fine, &err), &err);
    EXPECT_TEXT("fine", test_sql("SELECT words FROM leaf WHERE id = 1"));
    str_free(&fine.rows);
}

TEST(more_than_the_socket_holds_may_be_sent, "I10")
{
    enum { ROWS = 40000, WORDS = 400 };
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    struct story story = {.statement = &COPY};
    char words[WORDS + 1];
    memset(words, 'w', WORDS);
    words[WORDS] = '\0';
    pg_copy_begin(&story.rows);
    for (int64_t id = 0; id < ROWS; id++)
        put(&story.rows, id, words);
    pg_copy_end(&story.rows);
    REQUIRE_OK(pg_transaction(db, copy_in, &story, &err), &err);
    EXPECT_I64(ROWS, story.count);
    EXPECT_I64((int64_t)ROWS * WORDS, atoll(test_sql("SELECT sum(length(words)) FROM leaf")));
    str_free(&story.rows);
}
