#include "migrate.h"
#include "test_store.h"

#include <sys/wait.h>

static const struct migration FIRST[] = {
    {"001_people", "CREATE TABLE people (id BIGINT PRIMARY KEY); -- 사람\nINSERT INTO people VALUES (1);"},
    {0},
};
static const struct migration BOTH[] = {
    {"001_people", "CREATE TABLE people (id BIGINT PRIMARY KEY); -- 사람\nINSERT INTO people VALUES (1);"},
    {"002_names", "ALTER TABLE people ADD COLUMN name TEXT NOT NULL DEFAULT '';"},
    {0},
};
static const struct migration CHANGED[] = {
    {"001_people", "CREATE TABLE people (id TEXT PRIMARY KEY);"},
    {0},
};
static const struct migration BROKEN[] = {
    {"003_half", "CREATE TABLE half (id INT); SELECT 1 / 0;"},
    {0},
};

TEST(migrations_run_once_and_in_order, "")
{
    AUTO(pg_pool) db = test_pool("migrate", 2);
    struct err err = {0};
    REQUIRE_OK(migrate_up(db, FIRST, &err), &err);
    REQUIRE_OK(migrate_up(db, FIRST, &err), &err);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM people"));
    REQUIRE_OK(migrate_up(db, BOTH, &err), &err);
    EXPECT_TEXT("", test_sql("SELECT name FROM people"));
    EXPECT_TEXT("common/001_common,common/002_outbox_bytes,001_people,002_names",
                test_sql("SELECT string_agg(name, ',' ORDER BY applied_at) FROM schema_migrations"));
    EXPECT_TEXT("0", test_sql("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM applied) + (SELECT "
                              "count(*) FROM idempotency_keys)"));
}

TEST(a_migration_with_another_text_is_refused_with_its_name, "")
{
    AUTO(pg_pool) db = test_pool("migrate", 2);
    struct err err = {0};
    REQUIRE_OK(migrate_up(db, FIRST, &err), &err);
    EXPECT(!migrate_up(db, CHANGED, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT(strstr(err.detail, "001_people") != NULL);
}

TEST(a_migration_that_fails_leaves_nothing, "")
{
    AUTO(pg_pool) db = test_pool("migrate", 2);
    struct err err = {0};
    EXPECT(!migrate_up(db, BROKEN, &err));
    EXPECT(strstr(err.detail, "003_half") && strstr(err.detail, "22012"));
    EXPECT_TEXT("", test_sql("SELECT coalesce(to_regclass('half')::text, '')"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM schema_migrations WHERE name = '003_half'"));
}

/* Each child is a process of its own that migrates a fresh schema. */
TEST(processes_that_start_at_once_migrate_once, "")
{
    (void)test_schema("migrate");
    for (int round = 0; round < 3; round++) {
        (void)test_sql("DROP SCHEMA %s CASCADE", test_schema_name);
        (void)test_sql("SET search_path = public; CREATE SCHEMA %s", test_schema_name);
        enum { CHILDREN = 4 };
        pid_t children[CHILDREN];
        for (int i = 0; i < CHILDREN; i++) {
            if ((children[i] = fork()) == 0) {
                struct err err = {0};
                struct pg_pool *db = pg_pool_open(test_env("PG_URL"), test_schema_name, 1, &err);
                bool ok = db && migrate_up(db, BOTH, &err);
                if (!ok)
                    printf("    child: %s\n", err.detail);
                (void)fflush(stdout);
                _exit(ok ? 0 : 1);
            }
        }
        for (int i = 0; i < CHILDREN; i++) {
            int status = -1;
            EXPECT(waitpid(children[i], &status, 0) == children[i] && status == 0);
        }
        EXPECT_TEXT("1", test_sql("SELECT count(*) FROM people"));
        EXPECT_TEXT("4", test_sql("SELECT count(*) FROM schema_migrations"));
    }
}
