#include "owner_kit.h"
#include "store.h"

TEST(one_record_per_command_says_whom_it_concerns, "S-54 I2")
{
    WORLD(world, "concerns");
    struct scene scene = scene_open(&world);
    const struct uuid ask = world_id(), bid = world_id();
    struct market_command command = scene_place(&scene, ask, scene.bot, true, SIDE_SELL, 500, 10);
    world_send_as(&world, &command, ++world.n, "bots:1");
    command = scene_place(&scene, bid, scene.people[0], false, SIDE_BUY, 500, 4);
    world_send_as(&world, &command, ++world.n, "order-svc-1:99");
    command = scene_place(&scene, world_id(), scene.people[1], false, SIDE_BUY, 495, 1);
    world_send(&world, &command);
    command = scene_place(&scene, world_id(), scene.people[2], false, SIDE_SELL, 495, 1); /* has no shares */
    world_send(&world, &command);
    command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_SELL, 495, 1);
    world_send(&world, &command);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    struct test_reader *reader = test_reader_open(world.events, 1);
    EXPECT(EVENTUALLY(KIT_WAIT_MS, test_reader_count(reader) == 8));
    char one[UUID_TEXT_BYTES], two[UUID_TEXT_BYTES], text[200], key[UUID_TEXT_BYTES];
    uuid_format(&scene.market, key);
    uuid_format(&scene.people[0], one);
    uuid_format(&scene.people[1], two);
    EXPECT_TEXT(key, test_reader_at(reader, 0)->key);
    EXPECT_TEXT("", test_reader_at(reader, 0)->headers); /* opened, deposited, started: nobody's */
    EXPECT_TEXT("", test_reader_at(reader, 1)->headers);
    EXPECT_TEXT("", test_reader_at(reader, 2)->headers);
    EXPECT_TEXT("corr=bots:1\n", test_reader_at(reader, 3)->headers); /* a bot is no person */
    (void)snprintf(text, sizeof text, "corr=order-svc-1:99\nusers=%s\n", one);
    EXPECT_TEXT(text, test_reader_at(reader, 4)->headers);
    (void)snprintf(text, sizeof text, "users=%s,%s\n", strcmp(one, two) < 0 ? one : two,
                   strcmp(one, two) < 0 ? two : one);
    EXPECT_TEXT(text, test_reader_at(reader, 7)->headers); /* the taker and the maker, each once */
    test_reader_release(&reader);
    EXPECT(world_is_straight(&world, NULL));
}

TEST(records_of_one_batch_and_market_leave_in_one_message, "S-54 I2")
{
    WORLD(world, "bundles");
    struct scene scene = scene_open(&world), second = scene_open(&world);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    const int64_t messages = world_end(&world, world.events), records = world_told_count(&world);
    EXPECT_I64(2, messages); /* one for each of the neighbours */
    for (int turn = 0; turn < 3; turn++) {
        scene_play(&world, &scene, 40);
        scene_play(&world, &second, 30);
    }
    REQUIRE(world_feed(&world));
    EXPECT_I64(messages + 6, world_end(&world, world.events));
    struct test_reader *reader = test_reader_open(world.events, 1);
    EXPECT(EVENTUALLY(KIT_WAIT_MS, (int64_t)test_reader_count(reader) == world_told_count(&world)));
    EXPECT((int64_t)reader->count > records + 100);
    for (size_t i = 0; i < reader->count; i++) { /* all of them under their own market's key */
        const struct test_record *record = test_reader_at(reader, i);
        struct uuid market;
        memcpy(market.bytes, record->payload + 1, sizeof market.bytes);
        char key[UUID_TEXT_BYTES];
        uuid_format(&market, key);
        EXPECT_TEXT(key, record->key);
    }
    test_reader_release(&reader);
    scene_play(&world, &scene, 700); /* more than one message may hold */
    REQUIRE(world_feed(&world));
    EXPECT(world_end(&world, world.events) > messages + 7);
    EXPECT(world_is_straight(&world, NULL));
}

TEST(what_a_sender_repeats_changes_nothing, "S-34 I1")
{
    WORLD(world, "repeats");
    struct scene scene = scene_open(&world);
    struct market_command command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_BUY, 500, 4);
    world_send(&world, &command);
    struct market_command other = scene_place(&scene, world_id(), scene.people[1], false, SIDE_BUY, 490, 1);
    world_send(&world, &other);
    world_send_as(&world, &command, world.n - 1, NULL); /* the producer sent both once more */
    world_send_as(&world, &other, world.n, NULL);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    EXPECT_I64(5, world_told_count(&world));
    EXPECT(world_is_straight(&world, NULL));
}

TEST(offsets_that_are_done_are_skipped, "I1 I2")
{
    WORLD(world, "offsets");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 60);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    const int64_t told = world_told_count(&world);
    world.fed = 0; /* the group's offset is behind */
    REQUIRE(world_feed(&world));
    EXPECT_I64(told, world_told_count(&world));
    world_next_owner(&world);
    world.fed = 20;
    REQUIRE(world_feed(&world));
    EXPECT_I64(told, world_told_count(&world));
}

TEST(a_market_that_was_never_opened_does_not_exist, "I10")
{
    WORLD(world, "unknown");
    struct scene scene = {.market = world_id()}, real = scene_open(&world);
    struct market_command command = scene_place(&scene, world_id(), world_id(), false, SIDE_BUY, 500, 4);
    world_send(&world, &command);
    command = scene_place(&real, world_id(), real.people[0], false, SIDE_BUY, 500, 4);
    world_send(&world, &command);
    world_assign(&world);
    const int64_t before = world_metric("madang_match_commands_total", "unknown_market");
    REQUIRE(world_feed(&world));
    EXPECT_I64(before + 1, world_metric("madang_match_commands_total", "unknown_market"));
    EXPECT_I64(4, world_told_count(&world));
    EXPECT(world_is_straight(&world, NULL));
}

TEST(a_record_that_cannot_be_read_stops_the_partition_behind_what_came_before, "I10 I2")
{
    WORLD(world, "poison");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 5);
    const int64_t bad = world_end(&world, world.commands);
    struct err err = {0};
    world_flush(&world);
    const struct kafka_message noise = {.topic = world.commands, .key = VIEW("k"), .payload = VIEW("no command")};
    REQUIRE_OK(kafka_send_all(world.producer, &noise, 1, 10000, &err), &err);
    scene_play(&world, &scene, 5);
    world_assign(&world);
    EXPECT(!world_feed_to(&world, world_end(&world, world.commands), &err));
    EXPECT_PROBLEM("bad_input", &err);
    LINES told = world_told(&world);
    EXPECT(told.count >= 3 && !told.gap);
    /* Another owner comes as far, and no further. */
    world_next_owner(&world);
    EXPECT_I64((int64_t)told.count, world_told_count(&world));
    world.fed = bad;
    EXPECT(!world_feed_to(&world, world_end(&world, world.commands), &err));
    EXPECT_PROBLEM("bad_input", &err);
    EXPECT_I64((int64_t)told.count, world_told_count(&world));
}

TEST(commands_that_came_in_one_message_are_applied_one_by_one, "I1 I2 I9 S-34")
{
    WORLD(world, "joined");
    struct scene scene = scene_open(&world), second = scene_open(&world);
    world_flush(&world);
    world.bundle = 7;
    for (int i = 0; i < 20; i++) {
        scene_play(&world, &scene, 10);
        scene_play(&world, &second, 4);
    }
    const int64_t half = world_end(&world, world.commands), messages = 6 + 20 * 3;
    EXPECT_I64(messages, half);
    world_assign(&world);
    struct err err = {0};
    REQUIRE_OK(world_feed_to(&world, half / 2, &err), &err);
    world_store(&world); /* between two messages: it goes on from there */
    EXPECT_TEXT("2", test_sql("SELECT count(*) FROM snapshots WHERE command_offset >= %lld", (long long)half / 2 - 3));
    REQUIRE(world_feed(&world));
    scene_play(&world, &scene, 30);
    world_next_owner(&world); /* killed: what it left is told, nothing twice */
    REQUIRE(world_feed(&world));
    EXPECT_I64(0, world_markets("stopped"));
    size_t doubles;
    EXPECT(world_is_straight(&world, &doubles));
    EXPECT_I64(0, doubles);
    struct test_reader *reader = test_reader_open(world.events, 1);
    const size_t told = (size_t)world_told_count(&world);
    EXPECT(EVENTUALLY(KIT_WAIT_MS, test_reader_count(reader) == told));
    int unfinished = 0;
    for (size_t i = 0; i < told; i++)
        unfinished += strstr(test_reader_at(reader, i)->headers, "unfinished=1\n") != NULL;
    EXPECT_I64(20 * (6 + 2 + 3) + 4 * 6 + 1,
               unfinished); /* all but the last of each message, of 7 and 3 and 4; of 30 */
    test_reader_release(&reader);
}

TEST(a_message_with_a_command_that_cannot_be_read_is_done_up_to_there, "I10 I2 I9")
{
    WORLD(world, "halfway");
    struct scene scene = scene_open(&world);
    struct err err = {0};
    AUTO_STR bundle = {0};
    char key[UUID_TEXT_BYTES];
    world_assign(&world);
    REQUIRE(world_feed(&world));
    const int64_t before = world_told_count(&world);
    str_init(&bundle);
    kafka_bundle_begin(&bundle);
    for (int i = 0; i < 4; i++) {
        AUTO_STR bytes = {0};
        str_init(&bytes);
        struct market_command command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_BUY, 500, 1);
        command.source = 8;
        command.n = (uint64_t)i + 1;
        market_command_encode(&bytes, &command);
        kafka_bundle_add(&bundle, (struct view){bytes.bytes, i == 2 ? 9 : bytes.length}, NULL);
    }
    uuid_format(&scene.market, key);
    const struct kafka_message message = {
        .topic = world.commands, .key = view_of(key), .payload = {bundle.bytes, bundle.length}};
    REQUIRE_OK(kafka_send_all(world.producer, &message, 1, 10000, &err), &err);
    const int64_t end = world_end(&world, world.commands);
    for (int i = 0; i < 2; i++) { /* the worker tries again: nothing is done twice */
        err_clear(&err);
        EXPECT(!world_feed_to(&world, end, &err));
        EXPECT_PROBLEM("bad_input", &err);
        EXPECT_I64(before + 2, world_told_count(&world));
    }
    owner_revoked(&world.app, world.commands, 0);
    owner_release(&world.app.owner); /* in the middle of a message no book is saved */
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM snapshots"));
    world.app.owner = world_owner(&world);
    (void)world_assign(&world);
    err_clear(&err);
    EXPECT(!world_feed_to(&world, end, &err));
    EXPECT_PROBLEM("bad_input", &err);
    LINES told = world_told(&world);
    EXPECT(told.count == (size_t)before + 2 && !told.doubles && !told.gap && !told.differ);
}

TEST(a_command_under_another_key_is_refused, "I10")
{
    WORLD(world, "key");
    struct scene scene = scene_open(&world);
    struct err err = {0};
    AUTO_STR bytes = {0};
    str_init(&bytes);
    world_flush(&world);
    struct market_command command = {.kind = MARKET_CLOSE, .market = scene.market, .source = 7, .n = 99};
    market_command_encode(&bytes, &command);
    const struct kafka_message message = {
        .topic = world.commands, .key = VIEW("another"), .payload = {bytes.bytes, bytes.length}};
    REQUIRE_OK(kafka_send_all(world.producer, &message, 1, 10000, &err), &err);
    world_assign(&world);
    EXPECT(!world_feed_to(&world, world_end(&world, world.commands), &err));
    EXPECT_PROBLEM("bad_input", &err);
}

/* ---- taking over ---- */

TEST(who_takes_over_tells_what_is_missing_and_nothing_else, "I1 I2")
{
    WORLD(world, "missing");
    struct scene scene = scene_open(&world), second = scene_open(&world);
    for (int i = 0; i < 100; i++) {
        scene_play(&world, &scene, 1);
        scene_play(&world, &second, 2);
    }
    struct err err = {0};
    world_assign(&world);
    REQUIRE_OK(world_feed_to(&world, 170, &err), &err); /* and it was killed */
    EXPECT(world_told_count(&world) < 306);
    world_next_owner(&world); /* reads to the end of the log */
    size_t doubles;
    EXPECT(world_is_straight(&world, &doubles));
    EXPECT_I64(0, doubles);
    const int64_t told = world_told_count(&world);
    world_next_owner(&world); /* twice is once */
    EXPECT_I64(told, world_told_count(&world));
    EXPECT_I64(2, world_markets("open"));
    EXPECT_I64(0, world_markets("stopped"));
}

TEST(every_snapshot_leads_to_the_same_book, "I1 I2")
{
    WORLD(world, "snapshots");
    struct scene scene = scene_open(&world);
    world_assign(&world);
    for (int i = 0; i < 3; i++) {
        scene_play(&world, &scene, 400);
        REQUIRE(world_feed(&world));
        world_store(&world);
    }
    scene_play(&world, &scene, 300); /* the hash of the state stands in the log after every 1,000th command */
    REQUIRE(world_feed(&world));
    EXPECT_TEXT("3", test_sql("SELECT count(*) FROM snapshots"));
    const int64_t told = world_told_count(&world);
    for (int left = 3; left >= 0; left--) {
        world_next_owner(&world); /* each byte of what it replays is compared with the log */
        EXPECT_I64(0, world_markets("stopped"));
        EXPECT_I64(told, world_told_count(&world));
        (void)test_sql("DELETE FROM snapshots WHERE command_offset = (SELECT max(command_offset) FROM snapshots)");
    }
    EXPECT(world_is_straight(&world, NULL));
}

TEST(three_snapshots_are_kept, "I9")
{
    WORLD(world, "kept3");
    struct scene scene = scene_open(&world);
    world_assign(&world);
    for (int i = 0; i < 5; i++) {
        scene_play(&world, &scene, 10);
        REQUIRE(world_feed(&world));
        world_store(&world);
    }
    char market[UUID_TEXT_BYTES];
    uuid_format(&scene.market, market);
    EXPECT_TEXT("3", test_sql("SELECT count(*) FROM snapshots WHERE market_id = '%s'", market));
    EXPECT_TEXT("53", test_sql("SELECT max(command_offset) FROM snapshots WHERE market_id = '%s'", market));
    EXPECT_TEXT("33", test_sql("SELECT min(command_offset) FROM snapshots WHERE market_id = '%s'", market));
}

TEST(a_market_where_nothing_happens_is_not_replayed_from_long_ago, "I1")
{
    WORLD(world, "idle");
    owner_release(&world.app.owner);
    world.app.owner = world_owner_with(&world, 10, 86400);
    struct scene idle = scene_open(&world), busy = scene_open(&world);
    char market[UUID_TEXT_BYTES];
    uuid_format(&idle.market, market);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    world_store(&world);
    owner_release(&world.app.owner);
    world.app.owner = world_owner_with(&world, 10, 86400);
    world_assign(&world);
    EXPECT_TEXT("6", test_sql("SELECT max(command_offset) FROM snapshots WHERE market_id = '%s'", market));
    scene_play(&world, &busy, 100);
    REQUIRE(world_feed(&world));
    EXPECT(EVENTUALLY(
        KIT_WAIT_MS,
        strcmp(test_sql("SELECT max(command_offset) FROM snapshots WHERE market_id = '%s'", market), "106") == 0));
    world_next_owner(&world);
    struct market_command command = scene_place(&idle, world_id(), idle.people[0], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    REQUIRE(world_feed(&world));
    EXPECT(world_is_straight(&world, NULL));
}

static const char *const BREAKAGE[] = {
    "bytes = substr(bytes, 1, length(bytes) / 2)", /* cut short */
    "bytes = ''::bytea",
    "bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 16)", /* one bit */
    "bytes = set_byte(bytes, length(bytes) - 1, get_byte(bytes, length(bytes) - 1) # 1)",
    "command_offset = command_offset + 1",
    "events_offset = events_offset + 1",
    "seq = seq + 1",
    "hash = hash # 1",
    "checksum = set_byte(checksum, 0, get_byte(checksum, 0) # 1)",
};

TEST(a_broken_snapshot_is_refused_and_the_one_before_is_used, "I1 I10")
{
    WORLD(world, "broken");
    struct scene scene = scene_open(&world);
    world_assign(&world);
    for (int round = 0; round < 2; round++) {
        scene_play(&world, &scene, 30);
        REQUIRE(world_feed(&world));
        world_store(&world);
    }
    scene_play(&world, &scene, 30);
    REQUIRE(world_feed(&world));
    (void)test_sql("CREATE TABLE whole AS SELECT * FROM snapshots");
    const int64_t told = world_told_count(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(BREAKAGE); i++) {
        const int64_t refused = world_metric("madang_match_snapshots_total", "refused");
        (void)test_sql("DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM whole");
        (void)test_sql("UPDATE snapshots SET %s WHERE command_offset = 63", BREAKAGE[i]);
        world_next_owner(&world);
        EXPECT_I64(refused + 1, world_metric("madang_match_snapshots_total", "refused"));
        (void)test_sql("UPDATE snapshots SET %s WHERE command_offset = 33", BREAKAGE[i]);
        world_next_owner(&world); /* none is left: from the market's first command */
        EXPECT_I64(refused + 3, world_metric("madang_match_snapshots_total", "refused"));
        EXPECT_I64(told, world_told_count(&world));
        EXPECT_I64(0, world_markets("stopped"));
    }
    scene_play(&world, &scene, 30);
    REQUIRE(world_feed(&world));
    EXPECT(world_is_straight(&world, NULL));
}

TEST(a_former_owner_that_wakes_tells_the_same_once_more, "I1 I2")
{
    WORLD(world, "wakes");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 100);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    scene_play(&world, &scene, 100);
    world_flush(&world);
    struct world next = world; /* another process */
    next.outgoing = NULL;
    next.app.owner = world_owner(&next);
    world_assign(&next);
    next.fed = world_end(&next, next.commands);
    scene_play(&next, &scene, 50);
    REQUIRE(world_feed(&next));
    const int64_t told = world_told_count(&world);
    REQUIRE(world_feed(&world)); /* it had read them before it was put to sleep */
    EXPECT(world_told_count(&world) > told);
    size_t doubles;
    EXPECT(world_is_straight(&world, &doubles));
    EXPECT_I64(world_told_count(&world) - told, doubles);
    world.n = next.n;
    scene_play(&world, &scene, 50);
    next.n = world.n;
    REQUIRE(world_feed(&next));
    owner_release(&next.app.owner);
    free(next.outgoing);
    world_next_owner(&world); /* doubles in the log disturb nobody */
    EXPECT_I64(0, world_markets("stopped"));
    EXPECT(world_is_straight(&world, NULL));
}

TEST(a_former_owner_that_stores_as_it_wakes_stops_no_market, "I1 I2")
{
    WORLD(world, "stores_late");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 100);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    world_flush(&world);
    struct world next = world; /* another process takes over, and tells more */
    next.outgoing = NULL;
    next.app.owner = world_owner(&next);
    world_assign(&next);
    next.fed = world_end(&next, next.commands);
    scene_play(&next, &scene, 50);
    REQUIRE(world_feed(&next));
    /* The former one wakes, hears that it has lost the partition, and stores what it had, with the end that it sees. */
    owner_revoked(&world.app, world.commands, 0);
    owner_release(&world.app.owner);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM snapshots"));
    scene_play(&next, &scene, 50);
    REQUIRE(world_feed(&next));
    world.n = next.n;
    owner_release(&next.app.owner); /* killed before it stored anything */
    free(next.outgoing);
    const int64_t told = world_told_count(&world);
    world.app.owner = world_owner(&world);
    world_assign(&world);
    EXPECT_I64(0, world_markets("stopped"));
    EXPECT_I64(told, world_told_count(&world)); /* all that was told was found */
    world.fed = world_end(&world, world.commands);
    scene_play(&world, &scene, 30);
    REQUIRE(world_feed(&world));
    EXPECT(world_is_straight(&world, NULL));
}

TEST(a_market_whose_events_come_out_differently_stops_alone, "I1 I3")
{
    WORLD(world, "differ");
    struct scene scene = scene_open(&world), second = scene_open(&world);
    scene_play(&world, &scene, 20);
    scene_play(&world, &second, 20);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    LINES told = world_told(&world);
    struct err err = {0};
    const struct line *last = NULL;
    for (size_t i = 0; i < told.count; i++)
        if (memcmp(&told.items[i].market, &scene.market, sizeof scene.market) == 0)
            last = &told.items[i];
    AUTO_STR forged = {0};
    str_init(&forged);
    market_events_begin(&forged, &scene.market, 999, 999, last->first_seq + last->count);
    market_events_add(&forged, &(struct market_event){.kind = MARKET_STARTED});
    char key[UUID_TEXT_BYTES];
    uuid_format(&scene.market, key);
    const struct kafka_message message = {
        .topic = world.events, .key = view_of(key), .payload = {forged.bytes, forged.length}};
    REQUIRE_OK(kafka_send_all(world.producer, &message, 1, 10000, &err), &err);
    const int64_t before = world_told_count(&world);
    struct market_command command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    world_next_owner(&world);
    EXPECT_I64(1, world_markets("stopped"));
    EXPECT_I64(1, world_markets("open"));
    EXPECT_I64(before, world_told_count(&world));
    world.fed = world_end(&world, world.commands);
    command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    command = scene_place(&second, world_id(), second.people[0], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    REQUIRE(world_feed(&world));
    EXPECT_I64(before + 1, world_told_count(&world)); /* the other one goes on */
    owner_revoked(&world.app, world.commands, 0);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM snapshots WHERE market_id = '%s'", key)); /* and keeps no state */
}

TEST(a_hole_in_the_events_stops_the_market, "I1 I2")
{
    WORLD(world, "hole");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 20);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    struct err err = {0};
    LINES told = world_told(&world);
    const struct line *last = &told.items[told.count - 1];
    AUTO_STR forged = {0};
    str_init(&forged);
    market_events_begin(&forged, &scene.market, 999, 999, last->first_seq + last->count + 1);
    market_events_add(&forged, &(struct market_event){.kind = MARKET_STARTED});
    const struct kafka_message message = {
        .topic = world.events, .key = VIEW("any"), .payload = {forged.bytes, forged.length}};
    REQUIRE_OK(kafka_send_all(world.producer, &message, 1, 10000, &err), &err);
    world_next_owner(&world);
    EXPECT_I64(1, world_markets("stopped"));
}

TEST(a_market_whose_beginning_is_gone_stops, "I1")
{
    WORLD(world, "cut");
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 20);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, world.commands, 0)->offset = 10;
    rd_kafka_DeleteRecords_t *deletion = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(kafka_producer_client(world.producer));
    rd_kafka_DeleteRecords(kafka_producer_client(world.producer), &deletion, 1, NULL, answers);
    rd_kafka_event_destroy(rd_kafka_queue_poll(answers, 10000));
    rd_kafka_queue_destroy(answers);
    rd_kafka_DeleteRecords_destroy(deletion);
    rd_kafka_topic_partition_list_destroy(list);
    const int64_t told = world_told_count(&world);
    world_next_owner(&world);
    EXPECT_I64(1, world_markets("stopped"));
    EXPECT_I64(told, world_told_count(&world));
}

/* ---- the end of a market ---- */

static int64_t market_rows(const char *condition)
{
    return strtoll(test_sql("SELECT count(*) FROM markets WHERE %s", condition), NULL, 10);
}

TEST(a_closed_market_is_stored_once_more_and_leaves_memory, "I9")
{
    WORLD(world, "closed");
    owner_release(&world.app.owner);
    struct err err = {0};
    world.app.owner = world_owner_with(&world, 1000000, 0);
    struct scene scene = scene_open(&world);
    scene_play(&world, &scene, 50);
    world_assign(&world);
    REQUIRE(world_feed(&world));
    EXPECT_I64(1, market_rows("closed_at IS NULL"));
    world_send(&world, &(struct market_command){.kind = MARKET_CLOSE, .market = scene.market});
    REQUIRE(world_feed(&world));
    EXPECT(EVENTUALLY(KIT_WAIT_MS, market_rows("closed_at IS NOT NULL") == 1));
    EXPECT(EVENTUALLY(KIT_WAIT_MS, world_markets("closed") == 0));
    EXPECT_I64(0, world_markets("open"));
    const int64_t told = world_told_count(&world);
    /* Who comes too late still gets its answer. */
    struct market_command command = scene_place(&scene, world_id(), scene.people[0], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    REQUIRE(world_feed(&world));
    EXPECT_I64(told + 1, world_told_count(&world));
    world_next_owner(&world); /* nothing lives: nothing is rebuilt */
    EXPECT_I64(0, world_markets("open") + world_markets("closed"));
    (void)test_sql("UPDATE markets SET closed_at = now() - interval '30 minutes'; DELETE FROM snapshots");
    command = scene_place(&scene, world_id(), scene.people[1], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    REQUIRE(world_feed(&world)); /* all of it replayed */
    EXPECT_I64(told + 2, world_told_count(&world));
    EXPECT(world_is_straight(&world, NULL));
    (void)test_sql("UPDATE markets SET closed_at = now() - interval '2 hours'");
    int64_t snapshots, markets;
    REQUIRE_OK(store_sweep(world.db, &snapshots, &markets, &err), &err);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM snapshots"));
    EXPECT_I64(0, markets);
    world_next_owner(&world);
    const int64_t unknown = world_metric("madang_match_commands_total", "unknown_market");
    command = scene_place(&scene, world_id(), scene.people[1], false, SIDE_BUY, 500, 1);
    world_send(&world, &command);
    REQUIRE(world_feed(&world)); /* nobody reads the log of long ago for one order */
    EXPECT_I64(unknown + 1, world_metric("madang_match_commands_total", "unknown_market"));
    EXPECT_I64(told + 2, world_told_count(&world));
    (void)test_sql("UPDATE markets SET closed_at = now() - interval '40 days'");
    REQUIRE_OK(store_sweep(world.db, &snapshots, &markets, &err), &err);
    EXPECT_I64(1, markets);
}
