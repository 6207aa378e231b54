/* Search on a real PostgreSQL: whom it finds, whom it hides, and which index each of its statements takes. */
#include "store_kit.h"

static const char *search(const char *query, const struct identity *viewer, int64_t limit)
{
    static char names[1024];
    AUTO(arena) arena = arena_open(1 << 20);
    struct search_wish wish;
    struct err err = {0};
    struct found_page page = {.more = true};
    struct cursor after;
    bool first = true;
    *names = '\0';
    while (page.more) {
        if (!search_wish_read(arena, query, &wish, &err) ||
            !store_search(database(), arena, &wish, viewer->user_id, first ? NULL : &after, limit, &page, &err))
            return err.problem->code;
        for (size_t i = 0; i < page.count; i++)
            (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", page.items[i].person.handle);
        after = page.next;
        first = false;
    }
    return names;
}

static struct identity named(const char *handle, const char *nickname, const char *email)
{
    const struct identity identity = someone(handle);
    struct account_copy copy = account(identity.user_id, handle, 2);
    copy.nickname = nickname;
    copy.email = email;
    (void)take(&copy);
    return identity;
}

TEST(search_finds_parts_of_names_and_whole_emails, "P-12")
{
    const struct identity me = named("searcher", "찾는이", "me@search.test");
    (void)named("hong_gd", "홍길동전", "hong@search.test");
    (void)named("gildong.2", "Gil Dong", "gil@search.test");
    (void)named("yangban", "양반길동", "");
    (void)named("gil", "길동", "");
    EXPECT_TEXT("gil hong_gd yangban ", search("길동", &me, 20)); /* exact first, then by age */
    EXPECT_TEXT("gil hong_gd yangban ", search("길동", &me, 1));  /* the same page by page */
    EXPECT_TEXT("hong_gd ", search("\xe1\x84\x92\xe1\x85\xa9\xe1\x86\xbc\xe1\x84\x80\xe1\x85\xb5\xe1\x86\xaf", &me,
                                   20)); /* 홍길 as a Mac spells it */
    EXPECT_TEXT("gildong.2 ", search("  GIL DO ", &me, 20));
    EXPECT_TEXT("gildong.2 ", search("dong.2", &me, 20));
    EXPECT_TEXT("gildong.2 ", search("ＧＩＬＤＯＮＧ", &me, 20)); /* full width */
    EXPECT_TEXT("hong_gd ", search("HONG@search.test", &me, 20));
    EXPECT_TEXT("", search("hong@search.tes", &me, 20)); /* a part of an e-mail matches nothing */
    EXPECT_TEXT("", search("@search", &me, 20));
    EXPECT_TEXT("", search("찾는이", &me, 20)); /* never oneself */
    EXPECT_TEXT("", search("me@search.test", &me, 20));
    EXPECT_TEXT("bad_input", search("길", &me, 20));
    EXPECT_TEXT("bad_input", search(" a ", &me, 20));
    EXPECT_TEXT("", search("동길", &me, 20)); /* the pieces in another order are another name */
    EXPECT_TEXT("", search("%%", &me, 20));
    EXPECT_TEXT("", search("__", &me, 20));
}

TEST(search_hides_blocks_both_ways_guests_and_the_withdrawn, "P-12 P-19 M-14 P-06")
{
    const struct identity me = someone("viewer"), blocked = someone("zebra1"), blocking = someone("zebra2"),
                          guest = someone("zebra3"), gone = someone("zebra4"), shown = someone("zebra5");
    (void)shown;
    EXPECT_TEXT("zebra1 zebra2 zebra3 zebra4 zebra5 ", search("zebra", &me, 20));
    (void)act(&me, ACTION_BLOCK, &blocked, NULL);
    (void)act(&blocking, ACTION_BLOCK, &me, NULL);
    struct account_copy change = account(guest.user_id, "zebra3", 2);
    change.role = "guest";
    REQUIRE(take(&change));
    change = account(gone.user_id, "zebra4", 2);
    change.withdrawn = true;
    REQUIRE(take(&change));
    EXPECT_TEXT("zebra5 ", search("zebra", &me, 20));
    EXPECT_TEXT("", search("zebra1", &me, 20)); /* not by the whole name either */
    EXPECT_TEXT("", search("zebra2", &me, 20));
    EXPECT_TEXT("viewer ", search("viewer", &shown, 20));
    EXPECT_TEXT("", search("viewer", &blocked, 20));
    (void)act(&me, ACTION_UNBLOCK, &blocked, NULL);
    EXPECT_TEXT("zebra1 zebra5 ", search("zebra", &me, 20));
}

/* Prepared as the daemon prepares it, with the settings of the search; the plan's lines. */
static void explain(const struct pg_statement *statement, const char *arguments, const char *index)
{
    AUTO_STR sql, lines;
    str_init(&sql);
    str_init(&lines);
    str_printf(&sql,
               "SET search_path = %s; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; PREPARE x AS "
               "%s; EXPLAIN EXECUTE x (%s)",
               test_schema("user"), statement->sql, arguments);
    PGconn *conn = PQconnectdb(test_env("PG_URL"));
    PGresult *plan = PQexec(conn, sql.bytes);
    for (int row = 0; row < PQntuples(plan); row++)
        str_printf(&lines, "%s\n", PQgetvalue(plan, row, 0));
    test_check(PQntuples(plan) > 0 && !strstr(lines.bytes, "Seq Scan") && strstr(lines.bytes, index), __FILE__,
               __LINE__, "%s (%s): %s%s", statement->name, arguments, lines.bytes, PQerrorMessage(conn));
    PQclear(plan);
    PQfinish(conn);
}

static void expect_no_scan(const char *query)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct search_wish wish;
    struct err err = {0};
    REQUIRE_OK(search_wish_read(arena, query, &wish, &err), &err);
    AUTO_STR grams;
    str_init(&grams);
    for (size_t k = 0; k < wish.gram_count; k++)
        str_printf(&grams, "%s'%s'", k ? "," : "", wish.grams[k]);
    static const char IDS[] = "'00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001', 21";
    explain(&SEARCH_EXACT, arena_printf(arena, "'%s', %s", wish.folded, IDS), "people_nickname");
    explain(&SEARCH_COUNT, arena_printf(arena, "ARRAY[%s], 2000", grams.bytes), "people_grams");
    explain(&SEARCH_CANDIDATES, arena_printf(arena, "'%s', %s, ARRAY[%s]", wish.folded, IDS, grams.bytes),
            "people_grams");
    explain(&SEARCH_IN_ORDER, arena_printf(arena, "'%s', %s, 5000", wish.folded, IDS), "people_pkey");
}

/* Fifty thousand people: two syllables take the index, and no query reads the whole table. */
TEST(search_never_scans, "P-12")
{
    (void)database();
    (void)test_sql(
        "INSERT INTO people (user_id, handle, nickname, email, role, locale, created_at, account_version, "
        "handle_folded, nickname_folded, email_folded, grams) "
        "SELECT gen_random_uuid(), h, n, '', 'user', 'ko', now(), 1, h, n, '', array(SELECT DISTINCT substr(s, i, 2) "
        "FROM (VALUES (h), (n)) v(s), generate_series(1, length(s) - 1) i) FROM (SELECT 'user_' || k AS h, "
        "chr(44032 + k %% 97 * 31) || chr(44032 + k %% 89 * 53) || chr(44032 + k %% 83 * 71) AS n "
        "FROM generate_series(1, 50000) k) x");
    (void)test_sql("ANALYZE people");
    char rare[8] = "";
    (void)snprintf(rare, sizeof rare, "%s",
                   test_sql("SELECT substr(nickname, 1, 2) FROM people WHERE handle = 'user_4711'"));
    static const char *const QUERIES[] = {NULL, "user_4711", "se", "er_1", "erus", "없는이름"};
    for (size_t i = 0; i < ARRAY_LENGTH(QUERIES); i++)
        expect_no_scan(QUERIES[i] ? QUERIES[i] : rare);
    const struct identity me = someone("viewer.50k");
    EXPECT(strncmp(search("user_4711", &me, 100), "user_4711 user_4711", 19) == 0); /* the whole name first */
    /* everybody has the pieces, nobody has them in a row: each page looks at a window and says where to go on */
    EXPECT_TEXT("", search("erus", &me, 100));
    (void)test_sql("DELETE FROM people WHERE handle LIKE 'user_%%'");
}
