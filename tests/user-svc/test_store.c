/* The store on a real PostgreSQL: what stands in the tables after each change, and under concurrency. */
#include "objstore.h"
#include "picture.h"
#include "store_kit.h"
#include "sweep.h"

#include <pthread.h>

static int64_t friend_rows(const struct identity *a, const struct identity *b)
{
    return count("SELECT count(*) FROM friends WHERE user_id IN ('%s', '%s')", a->user_id, b->user_id);
}

/* ---- pairs ---- */

TEST(a_friendship_stands_in_both_lists_and_ends_in_both, "P-14 P-16 P-17 P-18")
{
    const struct identity kim = someone("kim.1"), lee = someone("lee.1");
    EXPECT_TEXT("", act(&kim, ACTION_REQUEST, &lee, NULL));
    EXPECT_I64(0, friend_rows(&kim, &lee));
    EXPECT_TEXT("no_request", act(&kim, ACTION_ACCEPT, &lee, NULL)); /* one's own request */
    EXPECT_TEXT("", act(&lee, ACTION_ACCEPT, &kim, NULL));
    EXPECT_I64(2, friend_rows(&kim, &lee));
    EXPECT_TEXT("already_friends", act(&kim, ACTION_REQUEST, &lee, NULL)); /* never back to "requested" */
    EXPECT_I64(2, friend_rows(&kim, &lee));
    EXPECT_TEXT("", act(&lee, ACTION_REMOVE, &kim, NULL)); /* either side */
    EXPECT_I64(0, friend_rows(&kim, &lee));
    EXPECT_TEXT("not_found", act(&kim, ACTION_REMOVE, &lee, NULL));
}

TEST(nobody_befriends_or_blocks_oneself_or_the_unknown, "P-14 M-14")
{
    const struct identity kim = someone("kim.2");
    struct identity ghost = kim, guest = someone("guest.2");
    uuid_new(ghost.user_id);
    struct account_copy unfinished = account(guest.user_id, "guest.2", 2);
    unfinished.role = "guest";
    REQUIRE(take(&unfinished));
    EXPECT_TEXT("self", act(&kim, ACTION_REQUEST, &kim, NULL));
    EXPECT_TEXT("self", act(&kim, ACTION_BLOCK, &kim, NULL));
    EXPECT_TEXT("not_found", act(&kim, ACTION_REQUEST, &ghost, NULL));
    EXPECT_TEXT("not_found", act(&kim, ACTION_BLOCK, &ghost, NULL));
    EXPECT_TEXT("not_found", act(&kim, ACTION_REQUEST, &guest, NULL));
    EXPECT_TEXT("no_request", act(&kim, ACTION_ACCEPT, &ghost, NULL));
    EXPECT_I64(0, count("SELECT count(*) FROM pairs WHERE a IN ('%s', '%s')", kim.user_id, ghost.user_id));
}

TEST(a_block_ends_all_and_is_one_way, "P-19 M-14")
{
    const struct identity kim = someone("kim.3"), lee = someone("lee.3");
    (void)act(&kim, ACTION_REQUEST, &lee, NULL);
    (void)act(&lee, ACTION_ACCEPT, &kim, NULL);
    EXPECT_TEXT("", act(&kim, ACTION_BLOCK, &lee, NULL));
    EXPECT_I64(0, friend_rows(&kim, &lee));
    EXPECT_TEXT("blocked", act(&kim, ACTION_REQUEST, &lee, NULL));
    EXPECT_TEXT("blocked", act(&lee, ACTION_REQUEST, &kim, NULL));
    EXPECT_TEXT("", act(&lee, ACTION_BLOCK, &kim, NULL));
    EXPECT_TEXT("", act(&lee, ACTION_UNBLOCK, &kim, NULL)); /* must not take kim's block away */
    EXPECT_TEXT("blocked", act(&lee, ACTION_REQUEST, &kim, NULL));
    EXPECT_TEXT("", act(&kim, ACTION_UNBLOCK, &lee, NULL));
    EXPECT_I64(0, friend_rows(&kim, &lee));
    EXPECT_TEXT("", act(&lee, ACTION_REQUEST, &kim, NULL));
}

TEST(each_change_leaves_one_event_with_the_next_version, "P-20")
{
    const struct identity kim = someone("kim.4"), lee = someone("lee.4");
    struct pair_change change;
    (void)act(&kim, ACTION_REQUEST, &lee, NULL);
    (void)act(&kim, ACTION_REQUEST, &lee, NULL); /* a repeat: no event */
    (void)act(&lee, ACTION_ACCEPT, &kim, NULL);
    (void)act(&lee, ACTION_BLOCK, &kim, &change);
    EXPECT_I64(3, change.relation.version);
    char key[80];
    (void)snprintf(key, sizeof key, "%s:%s", kim.user_id, lee.user_id); /* kim is older, so the smaller id */
    EXPECT_TEXT("1,2,3", test_sql("SELECT string_agg(payload::json->>'version', ',' ORDER BY id) FROM outbox WHERE "
                                  "topic = 'relations' AND key = '%s'",
                                  key));
    EXPECT_TEXT("false,true,false", test_sql("SELECT string_agg(payload::json->>'friend', ',' ORDER BY id) FROM outbox "
                                             "WHERE topic = 'relations' AND key = '%s'",
                                             key));
    char expected[80];
    (void)snprintf(expected, sizeof expected, "[\"%s\"]", lee.user_id);
    EXPECT_TEXT(expected, test_sql("SELECT payload::json->>'blocked_by' FROM outbox WHERE topic = 'relations' AND "
                                   "key = '%s' ORDER BY id DESC LIMIT 1",
                                   key));
    EXPECT_TEXT("friend_request", test_sql("SELECT string_agg(payload::json->>'kind', ',') FROM outbox WHERE "
                                           "topic = 'notify.requests' AND key = '%s'",
                                           lee.user_id));
    EXPECT_TEXT("friend_accepted", test_sql("SELECT string_agg(payload::json->>'kind', ',') FROM outbox WHERE "
                                            "topic = 'notify.requests' AND key = '%s'",
                                            kim.user_id));
}

/* ---- at most so many friends ---- */

TEST(friends_are_so_many_and_no_more, "P-14 P-16")
{
    enum { MOST = 2 };
    const struct identity kim = someone("kim.f"), lee = someone("lee.f"), park = someone("park.f"),
                          choi = someone("choi.f"), han = someone("han.f");
    EXPECT_TEXT("", act(&kim, ACTION_REQUEST, &han, NULL)); /* waits until there is no room */
    EXPECT_TEXT("", act_within(&kim, ACTION_REQUEST, &lee, MOST, NULL));
    EXPECT_TEXT("", act_within(&lee, ACTION_ACCEPT, &kim, MOST, NULL));
    EXPECT_TEXT("", act_within(&park, ACTION_REQUEST, &kim, MOST, NULL));
    EXPECT_TEXT("", act_within(&kim, ACTION_REQUEST, &park, MOST, NULL)); /* crossing */
    EXPECT_TEXT("friends_full", act_within(&kim, ACTION_REQUEST, &choi, MOST, NULL));
    EXPECT_TEXT("", act_within(&kim, ACTION_REQUEST, &han, MOST, NULL)); /* a repeat changes nothing */
    EXPECT_TEXT("friends_full", act_within(&han, ACTION_ACCEPT, &kim, MOST, NULL));
    EXPECT_TEXT("", act_within(&choi, ACTION_REQUEST, &kim, MOST, NULL)); /* kim may make room */
    EXPECT_TEXT("friends_full", act_within(&kim, ACTION_ACCEPT, &choi, MOST, NULL));
    EXPECT_TEXT("friends_full", act_within(&kim, ACTION_REQUEST, &choi, MOST, NULL));
    EXPECT_I64(4, friend_rows(&kim, &lee) + friend_rows(&park, &choi)); /* lee's and park's, each from both sides */
    EXPECT_TEXT("", act_within(&kim, ACTION_REMOVE, &lee, MOST, NULL));
    EXPECT_TEXT("", act_within(&kim, ACTION_ACCEPT, &choi, MOST, NULL));
}

struct asker {
    struct identity identity;
    const struct identity *target;
    pthread_t thread;
    const char *code;
};

static void *accept_within(void *payload)
{
    struct asker *asker = payload;
    asker->code = act_within(&asker->identity, ACTION_ACCEPT, asker->target, 3, NULL);
    return NULL;
}

TEST(no_more_fit_however_many_accept_at_once, "P-14 P-16")
{
    enum { ASKERS = 12, MOST = 3 };
    const struct identity kim = someone("kim.g");
    struct asker askers[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.identity = someone("asked.g"), .target = &kim};
        EXPECT_TEXT("", act_within(&kim, ACTION_REQUEST, &askers[i].identity, MOST, NULL));
    }
    for (int i = 0; i < ASKERS; i++)
        REQUIRE(pthread_create(&askers[i].thread, NULL, accept_within, &askers[i]) == 0);
    int made = 0;
    for (int i = 0; i < ASKERS; i++) {
        (void)pthread_join(askers[i].thread, NULL);
        made += !*askers[i].code;
        test_check(!*askers[i].code || strcmp(askers[i].code, "friends_full") == 0, __FILE__, __LINE__, "%s",
                   askers[i].code);
    }
    EXPECT_I64(MOST, made);
    EXPECT_I64(2 * MOST, count("SELECT count(*) FROM friends WHERE user_id = '%s' OR friend_id = '%s'", kim.user_id,
                               kim.user_id));
}

/* ---- fifty at once ---- */

struct racer {
    const struct identity *caller, *target;
    pthread_t thread;
    bool made; /* 201 */
    const char *code;
};

static void *race(void *payload)
{
    struct racer *racer = payload;
    struct pair_change change;
    racer->code = act(racer->caller, ACTION_REQUEST, racer->target, &change);
    racer->made = !*racer->code && change.outcome.changed && change.relation.link == LINK_REQUESTED;
    return NULL;
}

TEST(fifty_crossing_requests_leave_one_relation, "P-13 P-14")
{
    enum { RACERS = 50 };
    for (int round = 0; round < 5; round++) {
        const struct identity kim = someone("kim.5"), lee = someone("lee.5");
        struct racer racers[RACERS];
        for (int i = 0; i < RACERS; i++) {
            racers[i] = (struct racer){i % 2 ? &kim : &lee, i % 2 ? &lee : &kim, 0, false, NULL};
            REQUIRE(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0);
        }
        int made = 0;
        for (int i = 0; i < RACERS; i++) {
            (void)pthread_join(racers[i].thread, NULL);
            made += racers[i].made;
            test_check(!*racers[i].code || strcmp(racers[i].code, "already_friends") == 0, __FILE__, __LINE__, "%s",
                       racers[i].code);
        }
        EXPECT_I64(1, made);
        EXPECT_I64(2, friend_rows(&kim, &lee));
        EXPECT_I64(1, count("SELECT count(*) FROM pairs WHERE a = '%s' AND b = '%s' AND friends_since IS NOT NULL",
                            kim.user_id, lee.user_id));
        EXPECT_I64(2, count("SELECT count(*) FROM outbox WHERE topic = 'relations' AND key = '%s:%s'", kim.user_id,
                            lee.user_id));
    }
}

static void *random_acts(void *payload)
{
    struct racer *racer = payload;
    unsigned seed = (unsigned)(uintptr_t)racer;
    for (int i = 0; i < 40; i++) {
        const char *code =
            act(racer->caller, (enum relation_action)(rand_r(&seed) % RELATION_ACTIONS), racer->target, NULL);
        if (strcmp(code, "unavailable") == 0 || strcmp(code, "internal") == 0)
            racer->code = code;
    }
    return NULL;
}

TEST(whatever_happens_at_once_both_lists_say_what_the_pair_says, "P-13 P-14 P-19")
{
    enum { RACERS = 12 };
    const struct identity kim = someone("kim.6"), lee = someone("lee.6");
    struct racer racers[RACERS];
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){i % 2 ? &kim : &lee, i % 2 ? &lee : &kim, 0, false, ""};
        REQUIRE(pthread_create(&racers[i].thread, NULL, random_acts, &racers[i]) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        (void)pthread_join(racers[i].thread, NULL);
        EXPECT_TEXT("", racers[i].code);
    }
    EXPECT_I64(
        count("SELECT count(friends_since) * 2 FROM pairs WHERE a = '%s' AND b = '%s'", kim.user_id, lee.user_id),
        friend_rows(&kim, &lee));
    EXPECT_I64(
        count("SELECT version FROM pairs WHERE a = '%s' AND b = '%s'", kim.user_id, lee.user_id),
        count("SELECT count(*) FROM outbox WHERE topic = 'relations' AND key = '%s:%s'", kim.user_id, lee.user_id));
}

/* ---- lists ---- */

static int walk(enum people_list list, const char *user_id, int64_t limit, char *ids, size_t room)
{
    struct cursor after = {0};
    bool more = true, first = true;
    int seen = 0;
    *ids = '\0';
    while (more) {
        struct err err = {0};
        AUTO(pg_result) rows = store_list(database(), list, user_id, first ? NULL : &after, limit, &err);
        if (!test_check(rows != NULL, __FILE__, __LINE__, "%s %s", err.message, err.detail))
            return -1;
        more = pg_rows(rows) > limit;
        const int shown = more ? (int)limit : pg_rows(rows);
        for (int row = 0; row < shown; row++, seen++)
            (void)snprintf(ids + strlen(ids), room - strlen(ids), "%s ", store_list_person(rows, row).handle);
        if (shown > 0) {
            after.number = store_list_at_ms(rows, shown - 1);
            (void)snprintf(after.id, sizeof after.id, "%s", store_list_person(rows, shown - 1).id);
        }
        first = false;
    }
    return seen;
}

TEST(lists_walk_page_by_page_newest_first, "P-18 M-14")
{
    const struct identity me = someone("me.7");
    struct identity others[7];
    for (int i = 0; i < 7; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "o%d.7", i);
        others[i] = someone(name);
        (void)act(&others[i], ACTION_REQUEST, &me, NULL);
    }
    char ids[512];
    EXPECT_I64(7, walk(LIST_RECEIVED, me.user_id, 3, ids, sizeof ids));
    EXPECT_TEXT("o6.7 o5.7 o4.7 o3.7 o2.7 o1.7 o0.7 ", ids);
    for (int i = 0; i < 5; i++)
        (void)act(&me, i < 3 ? ACTION_ACCEPT : ACTION_BLOCK, &others[i], NULL);
    (void)act(&others[5], ACTION_BLOCK, &me, NULL); /* not my block */
    EXPECT_I64(3, walk(LIST_FRIENDS, me.user_id, 1, ids, sizeof ids));
    EXPECT_TEXT("o2.7 o1.7 o0.7 ", ids);
    EXPECT_I64(2, walk(LIST_BLOCKS, me.user_id, 1, ids, sizeof ids));
    EXPECT_TEXT("o4.7 o3.7 ", ids);
    EXPECT_I64(1, walk(LIST_RECEIVED, me.user_id, 100, ids, sizeof ids));
    EXPECT_I64(1, walk(LIST_SENT, others[6].user_id, 100, ids, sizeof ids));
    EXPECT_TEXT("me.7 ", ids);
}

TEST(friends_made_in_the_same_millisecond_are_all_listed_once, "P-18")
{
    const struct identity me = someone("me.8");
    for (int i = 0; i < 9; i++) {
        const struct identity other = someone("same.8");
        (void)act(&me, ACTION_REQUEST, &other, NULL);
        (void)act(&other, ACTION_ACCEPT, &me, NULL);
    }
    (void)test_sql("UPDATE friends SET since = '2026-01-01 00:00:00.5Z' WHERE user_id = '%s'", me.user_id);
    char ids[512];
    EXPECT_I64(9, walk(LIST_FRIENDS, me.user_id, 2, ids, sizeof ids));
}

/* ---- the copy of accounts ---- */

TEST(events_out_of_order_or_twice_change_nothing, "P-45")
{
    const struct identity kim = someone("kim.9");
    const struct account_copy newer = account(kim.user_id, "new.9", 5), older = account(kim.user_id, "old.9", 4);
    REQUIRE(take(&newer) && take(&older) && take(&newer));
    EXPECT_TEXT("new.9/5",
                test_sql("SELECT handle || '/' || account_version FROM people WHERE user_id = '%s'", kim.user_id));
    /* several of one account in a batch, and a tombstone */
    const struct account_copy batch[] = {
        account(kim.user_id, "six.9", 6), {0}, account(kim.user_id, "eight.9", 8), account(kim.user_id, "seven.9", 7)};
    struct err err = {0};
    const int64_t offset = next_offset;
    REQUIRE_OK(apply(batch, 4, offset, &err), &err);
    EXPECT_TEXT("eight.9", test_sql("SELECT handle FROM people WHERE user_id = '%s'", kim.user_id));
    /* the same offsets again: skipped, whatever is in them */
    const struct account_copy forged[] = {account(kim.user_id, "forged.9", 99), {0}, {0}, {0}};
    REQUIRE_OK(apply(forged, 4, offset, &err), &err);
    EXPECT_TEXT("eight.9", test_sql("SELECT handle FROM people WHERE user_id = '%s'", kim.user_id));
    next_offset += 4;
}

TEST(ones_own_row_from_the_token_gives_way_to_the_first_event, "P-10")
{
    struct identity kim = {.role = ROLE_USER, .handle = "token.10", .nickname = "토큰"};
    uuid_new(kim.user_id);
    struct err err = {0};
    REQUIRE_OK(store_make_own_row(database(), &kim, &err), &err);
    REQUIRE_OK(store_make_own_row(database(), &kim, &err), &err);
    AUTO(arena) arena = arena_open(1 << 20);
    struct profile profile;
    REQUIRE_OK(store_find_profile(database(), arena, kim.user_id, &profile, &err), &err);
    EXPECT_TEXT("토큰", profile.person.nickname);
    EXPECT_I64(0, profile.account_version);
    EXPECT_I64(uuid_time_ms(kim.user_id), profile.created_ms);
    const struct account_copy event = account(kim.user_id, "event.10", 1);
    REQUIRE(take(&event));
    REQUIRE_OK(store_make_own_row(database(), &kim, &err), &err);
    REQUIRE_OK(store_find_profile(database(), arena, kim.user_id, &profile, &err), &err);
    EXPECT_TEXT("event.10", profile.person.handle);
    EXPECT_I64(1767323045678, profile.created_ms);
}

TEST(who_withdraws_leaves_nothing_behind, "M-11 P-06")
{
    const struct identity kim = someone("kim.11"), lee = someone("lee.11"), park = someone("park.11"),
                          choi = someone("choi.11");
    AUTO(arena) arena = arena_open(1 << 20);
    struct err err = {0};
    struct profile after;
    const struct profile_wish wish = {.bio = "hello", .bio_seen = true};
    const struct profile_change change = {.caller = &kim, .wish = &wish};
    REQUIRE_OK(store_change_profile(database(), arena, &change, &after, &err), &err);
    (void)act(&kim, ACTION_REQUEST, &lee, NULL);
    (void)act(&lee, ACTION_ACCEPT, &kim, NULL);
    (void)act(&park, ACTION_REQUEST, &kim, NULL);
    (void)act(&choi, ACTION_BLOCK, &kim, NULL);
    struct account_copy gone = account(kim.user_id, "leaks.11", 2);
    gone.withdrawn = true;
    REQUIRE(take(&gone));
    EXPECT_TEXT("",
                test_sql("SELECT handle || nickname || email || bio || array_to_string(grams, '') FROM people WHERE "
                         "user_id = '%s'",
                         kim.user_id));
    EXPECT_I64(
        0, count("SELECT count(*) FROM friends WHERE user_id = '%s' OR friend_id = '%s'", kim.user_id, kim.user_id));
    EXPECT_I64(0, count("SELECT count(*) FROM pairs WHERE (a = '%s' OR b = '%s') AND num_nonnulls(friends_since, "
                        "requested_by, a_blocked_at, b_blocked_at) > 0",
                        kim.user_id, kim.user_id));
    EXPECT_I64(
        3, count("SELECT count(DISTINCT key) FROM outbox WHERE topic = 'relations' AND key LIKE '%%%s%%' AND "
                 "payload LIKE '%%\"friend\":false,\"blocked_by\":[]%%' AND payload::json->>'version' IN ('2', '3') "
                 "AND '%s' <> ''",
                 kim.user_id, kim.user_id));
    EXPECT_TEXT("",
                test_sql("SELECT payload::json->>'bio' FROM outbox WHERE topic = 'profiles' AND key = '%s' ORDER BY id "
                         "DESC LIMIT 1",
                         kim.user_id));
    /* neither side can go on */
    EXPECT_TEXT("not_found", act(&lee, ACTION_REQUEST, &kim, NULL));
    EXPECT_TEXT("session_ended", act(&kim, ACTION_REQUEST, &lee, NULL));
    EXPECT(!store_find_profile(database(), arena, kim.user_id, &after, &err));
    EXPECT(!store_change_profile(database(), arena, &change, &after, &err));
    EXPECT_PROBLEM("session_ended", &err);
}

static void *withdraw(void *payload)
{
    (void)take(payload);
    return NULL;
}

TEST(a_request_that_races_with_a_withdrawal_does_not_outlive_it, "M-11")
{
    for (int round = 0; round < 20; round++) {
        const struct identity kim = someone("kim.12"), lee = someone("lee.12");
        struct account_copy gone = account(kim.user_id, "", 2);
        gone.withdrawn = true;
        struct racer racer = {&lee, &kim, 0, false, NULL};
        pthread_t leaving;
        REQUIRE(pthread_create(&leaving, NULL, withdraw, &gone) == 0);
        REQUIRE(pthread_create(&racer.thread, NULL, race, &racer) == 0);
        (void)pthread_join(leaving, NULL);
        (void)pthread_join(racer.thread, NULL);
        EXPECT_I64(0, count("SELECT count(*) FROM pairs WHERE a = '%s' AND b = '%s' AND requested_by IS NOT NULL",
                            kim.user_id, lee.user_id));
    }
}

/* ---- pictures ---- */

TEST(a_replaced_picture_goes_and_the_live_one_stays, "P-11 D-05")
{
    char folder[] = "/tmp/madang-pictures-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL);
    struct err err = {0};
    AUTO(objstore)
    files =
        objstore_open(&(struct objstore_config){.data_dir = folder, .s3_endpoint = "", .files_secret = "test"}, &err);
    REQUIRE_OK(files != NULL, &err);
    AUTO(arena) arena = arena_open(1 << 20);
    const struct identity kim = someone("kim.13");
    static const char *const KEYS[] = {"00000000000000000000000000000001.png", "00000000000000000000000000000002.png",
                                       "00000000000000000000000000000003.png"};
    struct profile after;
    for (int i = 0; i < 3; i++) { /* the third is stored, then the process dies: no profile takes it */
        REQUIRE_OK(store_trash_add(database(), KEYS[i], i == 2 ? 0 : 600, &err), &err);
        REQUIRE_OK(objstore_put(files, picture_object(arena, KEYS[i]), view_of("bytes"), "image/png", &err), &err);
        const struct profile_change change = {.caller = &kim, .avatar_key = KEYS[i]};
        if (i < 2)
            REQUIRE_OK(store_change_profile(database(), arena, &change, &after, &err), &err);
    }
    REQUIRE_OK(sweep_pictures(database(), files, &err), &err);
    struct view bytes;
    const char *type;
    EXPECT(!objstore_get(files, picture_object(arena, KEYS[0]), 100, arena, &bytes, &type, &err));
    EXPECT(objstore_get(files, picture_object(arena, KEYS[1]), 100, arena, &bytes, &type, &err));
    EXPECT(!objstore_get(files, picture_object(arena, KEYS[2]), 100, arena, &bytes, &type, &err));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM trash"));
    /* what the sweep has taken can't be shown any more */
    const struct profile_change late = {.caller = &kim, .avatar_key = KEYS[2]};
    EXPECT(!store_change_profile(database(), arena, &late, &after, &err));
    EXPECT_PROBLEM("unavailable", &err);
    /* back to a stock picture */
    const struct profile_change back = {.caller = &kim};
    REQUIRE_OK(store_change_profile(database(), arena, &back, &after, &err), &err);
    EXPECT(after.person.avatar_key == NULL);
    REQUIRE_OK(sweep_pictures(database(), files, &err), &err);
    EXPECT(!objstore_get(files, picture_object(arena, KEYS[1]), 100, arena, &bytes, &type, &err));
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    EXPECT(system(command) == 0);
}

/* ---- the profile ---- */

static bool only_version(const struct profile *now, const void *payload, struct err *err)
{
    return now->profile_version == *(const int64_t *)payload || err_set(err, &ERR_STALE_VERSION, "changed");
}

TEST(a_profile_change_is_whole_and_leaves_its_event, "P-11 M-10 S-11")
{
    const struct identity kim = someone("kim.14");
    AUTO(arena) arena = arena_open(1 << 20);
    struct err err = {0};
    struct profile after;
    const char *interests[] = {"등산", "chess"};
    struct profile_wish wish = {.bio = "안녕",
                                .bio_seen = true,
                                .location = "서울",
                                .location_seen = true,
                                .interests = {interests, 2},
                                .interests_seen = true};
    struct profile_change change = {.caller = &kim, .wish = &wish};
    REQUIRE_OK(store_change_profile(database(), arena, &change, &after, &err), &err);
    EXPECT_I64(1, after.profile_version);
    wish = (struct profile_wish){.location = "", .location_seen = true}; /* null clears, the rest stays */
    int64_t expected = 1;
    change.may = only_version;
    change.payload = &expected;
    REQUIRE_OK(store_change_profile(database(), arena, &change, &after, &err), &err);
    EXPECT_TEXT("안녕", after.bio);
    EXPECT_TEXT("", after.location);
    EXPECT_I64(2, after.interests.count);
    EXPECT(!store_change_profile(database(), arena, &change, &after, &err));
    EXPECT_PROBLEM("stale_version", &err);
    wish = (struct profile_wish){0};
    change.may = NULL;
    REQUIRE_OK(store_change_profile(database(), arena, &change, &after, &err), &err);
    EXPECT_I64(2, after.profile_version);
    EXPECT_TEXT("0,1,2",
                test_sql("SELECT string_agg(payload::json->>'version', ',' ORDER BY id) FROM outbox WHERE topic = "
                         "'profiles' AND key = '%s'",
                         kim.user_id));
}
