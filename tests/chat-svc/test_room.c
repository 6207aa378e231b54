/* The rules of rooms, each defect of the seeds among them. */
#include "message.h"
#include "room_kit.h"

/* ---- direct rooms ---- */

TEST(a_direct_room_is_with_one_friend, "P-21")
{
    static const struct {
        const char *who, *others, *code;
    } CASES[] = {
        {"kim", "kim", "self"},           {"kim", "", "self"},           {"kim", "ghost", "not_found"},
        {"kim", "gone", "not_found"},     {"kim", "guest", "not_found"}, {"kim", "yoon", "not_friends"},
        {"kim", "lee park", "bad_input"}, {"guest", "kim", "forbidden"}, {"gone", "kim", "forbidden"},
        {"ghost", "kim", "not_yet"},      {NULL, "kim", "bad_input"},    {"kim", "lee", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        struct yard yard = yard_open();
        EXPECT_TEXT(CASES[i].code, yard_create(&yard, "dm", CASES[i].who, "dm", CASES[i].others));
        EXPECT((scene_room(yard.scene, "dm") != NULL) == !*CASES[i].code);
        arena_release(&yard.arena);
    }
}

TEST(friendship_can_be_switched_off_but_blocks_hold, "P-21")
{
    struct yard yard = yard_open();
    yard.scene->friends_only = false;
    EXPECT_TEXT("", yard_create(&yard, "dm", "kim", "dm", "yoon"));
    yard_relation(&yard, "kim", "lee", false, "lee");
    EXPECT_TEXT("blocked", yard_create(&yard, "dm2", "kim", "dm", "lee"));
    EXPECT_TEXT("blocked", yard_create(&yard, "dm3", "lee", "dm", "kim"));
    arena_release(&yard.arena);
}

TEST(a_direct_room_that_exists_is_the_room, "P-21 P-25")
{
    struct yard yard = yard_open();
    EXPECT_TEXT("", yard_create(&yard, "dm", "kim", "dm", "lee"));
    EXPECT_I64(EVENT_CREATED, yard.answer->kind);
    EXPECT_I64(2, yard.answer->user_ids.count);
    EXPECT_TEXT("", yard_create(&yard, "dm", "kim", "dm", "lee")); /* again, and from the other side */
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_TEXT("", yard_create(&yard, "dm", "lee", "dm", "kim"));
    EXPECT(yard.answer->status == 200 && yard.answer->room);
    EXPECT_I64(1, scene_room(yard.scene, "dm")->rev);
    EXPECT_TEXT("conflict", yard_create(&yard, "dm", "park", "dm", "choi"));
    arena_release(&yard.arena);
}

TEST(a_direct_room_takes_no_third_member, "P-23")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "dm", "kim", "dm", "lee");
    EXPECT_TEXT("dm_full", yard_add(&yard, "dm", "kim", "park"));
    EXPECT_TEXT("dm_full", yard_remove(&yard, "dm", "kim", "lee"));
    EXPECT_TEXT("not_found", yard_add(&yard, "dm", "park", "choi"));
    EXPECT_I64(2, scene_room(yard.scene, "dm")->shown.member_count);
    arena_release(&yard.arena);
}

TEST(a_direct_room_that_is_left_is_hidden_and_comes_back, "P-25")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "dm", "kim", "dm", "lee");
    const struct chat_room *room = scene_room(yard.scene, "dm");
    EXPECT_TEXT("", yard_leave(&yard, "dm", "kim"));
    EXPECT(scene_seat(room, "kim")->hidden && !scene_seat(room, "lee")->hidden);
    EXPECT_TEXT("", yard_leave(&yard, "dm", "kim")); /* again */
    EXPECT_TEXT("", yard_create(&yard, "dm", "kim", "dm", "lee"));
    EXPECT(!scene_seat(room, "kim")->hidden);
    (void)yard_leave(&yard, "dm", "kim");
    EXPECT_TEXT("", yard_send(&yard, "dm", "lee", "are you there?"));
    EXPECT(!scene_seat(room, "kim")->hidden);
    EXPECT_I64(1, room->shown.last_seq - scene_seat(room, "kim")->read_seq);
    arena_release(&yard.arena);
}

TEST(a_block_ends_sending_on_both_sides_of_a_direct_room, "P-19 P-21")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "dm", "kim", "dm", "lee");
    EXPECT_TEXT("", yard_send(&yard, "dm", "kim", "hi"));
    yard_relation(&yard, "kim", "lee", false, "lee");
    EXPECT_TEXT("blocked", yard_send(&yard, "dm", "kim", "hello?"));
    EXPECT_TEXT("blocked", yard_send(&yard, "dm", "lee", "no"));
    EXPECT_TEXT("blocked", yard_change(&yard, COMMAND_EDIT, "dm", "kim", 1, "hi!"));
    EXPECT_TEXT("blocked", yard_change(&yard, COMMAND_REACT, "dm", "lee", 1, "👍"));
    EXPECT_TEXT("", yard_read(&yard, "dm", "lee", 1));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_DELETE, "dm", "kim", 1, NULL)); /* one's own words can always go */
    yard_relation(&yard, "kim", "lee", false, NULL);
    EXPECT_TEXT("", yard_send(&yard, "dm", "kim", "no friends, but no block")); /* friendship is for opening */
    arena_release(&yard.arena);
}

/* ---- groups ---- */

TEST(a_group_has_three_to_a_hundred_members, "P-22")
{
    static const struct {
        const char *who, *others, *code;
    } CASES[] = {
        {"kim", "lee", "bad_input"},       {"kim", "lee lee kim", "bad_input"}, {"kim", "lee yoon", "not_friends"},
        {"kim", "lee ghost", "not_found"}, {"kim", "lee gone", "not_found"},    {"guest", "kim lee", "forbidden"},
        {"kim", "lee park", ""},           {"kim", "lee park lee kim", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        struct yard yard = yard_open();
        EXPECT_TEXT(CASES[i].code, yard_create(&yard, "group", CASES[i].who, "group", CASES[i].others));
        if (!*CASES[i].code) {
            const struct chat_room *room = scene_room(yard.scene, "group");
            EXPECT_I64(3, room->shown.member_count);
            EXPECT(scene_seat(room, "kim")->manager && !scene_seat(room, "lee")->manager &&
                   !scene_seat(room, "park")->manager);
        }
        arena_release(&yard.arena);
    }
}

static const char *many(struct yard *yard, int from, int count)
{
    AUTO_STR out;
    str_init(&out);
    for (int i = from; i < from + count; i++) {
        const char *name = arena_printf(yard->arena, "m%d", i);
        if (!scene_person(yard->scene, name)) {
            yard_person(yard, name, true, false);
            yard_relation(yard, "kim", name, true, NULL);
        }
        str_printf(&out, " %s", name);
    }
    return arena_text(yard->arena, out.bytes);
}

TEST(a_full_group_takes_nobody, "P-22 P-23")
{
    struct yard yard = yard_open();
    EXPECT_TEXT("bad_input", yard_create(&yard, "g1", "kim", "group", many(&yard, 0, GROUP_MEMBERS_MAX)));
    EXPECT_TEXT("", yard_create(&yard, "g2", "kim", "group", many(&yard, 0, GROUP_MEMBERS_MAX - 2)));
    EXPECT_TEXT("room_full", yard_add(&yard, "g2", "kim", "lee park"));
    EXPECT_TEXT("", yard_add(&yard, "g2", "kim", "lee"));
    EXPECT_TEXT("room_full", yard_add(&yard, "g2", "kim", "park"));
    EXPECT_TEXT("", yard_add(&yard, "g2", "kim", "lee")); /* is there already */
    EXPECT_I64(GROUP_MEMBERS_MAX, scene_room(yard.scene, "g2")->shown.member_count);
    arena_release(&yard.arena);
}

TEST(people_are_added_once_by_members_who_know_them, "P-23 P-24 M-48")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "group", "kim", "group", "lee park");
    (void)yard_send(&yard, "group", "kim", "one");
    (void)yard_send(&yard, "group", "kim", "two");
    EXPECT_TEXT("not_found", yard_add(&yard, "group", "choi", "choi")); /* no member: there is no such room */
    EXPECT_TEXT("not_found", yard_add(&yard, "nowhere", "kim", "choi"));
    EXPECT_TEXT("not_friends", yard_add(&yard, "group", "lee", "yoon"));
    EXPECT_TEXT("not_found", yard_add(&yard, "group", "lee", "ghost"));
    yard_relation(&yard, "lee", "choi", true, "choi");
    EXPECT_TEXT("blocked", yard_add(&yard, "group", "lee", "choi"));
    EXPECT_TEXT("", yard_add(&yard, "group", "park", "choi choi kim"));
    EXPECT_I64(EVENT_JOINED, yard.answer->kind);
    EXPECT_I64(1, yard.answer->user_ids.count);
    EXPECT_I64(2, yard_mark(&yard, "group", "choi")); /* what was said before counts as read, the line does not */
    const struct chat_event *line = yard_last(&yard, EVENT_MESSAGE);
    EXPECT_I64(3, line->seq);
    EXPECT(strstr(line->message, "\"kind\":\"system\"") && strstr(line->message, "\\\"type\\\":\\\"joined\\\"") &&
           strstr(line->message, "choi"));
    EXPECT(!line->sender_id);
    EXPECT_TEXT("", yard_add(&yard, "group", "park", "choi"));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_I64(4, scene_room(yard.scene, "group")->shown.member_count);
    EXPECT_I64(3, scene_room(yard.scene, "group")->shown.last_seq);
    arena_release(&yard.arena);
}

TEST(a_block_does_not_part_members_of_a_group, "P-19 P-22")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "group", "kim", "group", "lee park");
    yard_relation(&yard, "kim", "lee", false, "kim");
    EXPECT_TEXT("", yard_send(&yard, "group", "lee", "still here"));
    EXPECT_TEXT("", yard_send(&yard, "group", "kim", "me too"));
    arena_release(&yard.arena);
}

TEST(the_manager_s_role_passes_to_who_came_first, "P-25")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "group", "kim", "group", "lee park");
    const struct chat_room *room = scene_room(yard.scene, "group");
    yard.at_ms += 1000;
    (void)yard_add(&yard, "group", "kim", "choi");
    EXPECT_TEXT("not_manager", yard_remove(&yard, "group", "lee", "park"));
    EXPECT_TEXT("not_manager", yard_title(&yard, "group", "lee", "mine"));
    EXPECT_TEXT("", yard_title(&yard, "group", "kim", "lunch"));
    EXPECT_TEXT("", yard_remove(&yard, "group", "kim", "lee"));
    EXPECT_I64(EVENT_LEFT, yard.answer->kind);
    EXPECT(!yard.answer->manager);
    EXPECT_TEXT("not_found", yard_remove(&yard, "group", "kim", "lee"));
    EXPECT_TEXT("", yard_leave(&yard, "group", "kim"));
    EXPECT_TEXT("park", yard.answer->manager);
    EXPECT_TEXT("not_found", yard_leave(&yard, "group", "kim"));
    EXPECT_TEXT("not_found", yard_send(&yard, "group", "kim", "one more thing"));
    EXPECT_TEXT("not_found", yard_read(&yard, "group", "kim", 1));
    EXPECT_TEXT("", yard_remove(&yard, "group", "park", "choi"));
    EXPECT_TEXT("", yard_remove(&yard, "group", "park", "park")); /* oneself: leaves */
    EXPECT_I64(0, room->shown.member_count);
    EXPECT(room->emptied && room->shown.closed);
    EXPECT_TEXT("not_found", yard_send(&yard, "group", "park", "anybody?"));
    arena_release(&yard.arena);
}

TEST(who_comes_back_begins_anew, "P-25 M-64")
{
    struct yard yard = yard_open();
    (void)yard_create(&yard, "group", "kim", "group", "lee park");
    struct seat *seat = scene_seat(scene_room(yard.scene, "group"), "lee");
    seat->muted = true;
    (void)yard_leave(&yard, "group", "kim");
    (void)yard_leave(&yard, "group", "lee"); /* was manager since */
    (void)yard_send(&yard, "group", "park", "gone, both");
    EXPECT_TEXT("", yard_add(&yard, "group", "park", "lee"));
    seat = scene_seat(scene_room(yard.scene, "group"), "lee");
    EXPECT(!seat->muted && !seat->manager && seat->fresh);
    EXPECT_I64(3, seat->read_seq); /* two lines and a message came before */
    EXPECT_I64(0, yard_unread_by(&yard, "group", 3));
    arena_release(&yard.arena);
}

TEST(the_server_manages_meetups, "M-45")
{
    struct yard yard = yard_open();
    EXPECT_TEXT("forbidden", yard_create(&yard, "meet", "kim", "meetup", "lee park"));
    EXPECT_TEXT("", yard_create(&yard, "meet", NULL, "meetup", "kim lee"));
    EXPECT_TEXT("not_found", yard_send(&yard, "meet", "park", "me too")); /* only who takes part */
    EXPECT_TEXT("forbidden", yard_add(&yard, "meet", "kim", "park"));
    EXPECT_TEXT("", yard_add(&yard, "meet", NULL, "park yoon")); /* no friendship is asked for */
    EXPECT_TEXT("forbidden", yard_leave(&yard, "meet", "park"));
    EXPECT_TEXT("", yard_send(&yard, "meet", "park", "hello"));
    EXPECT_TEXT("", yard_remove(&yard, "meet", NULL, "park"));
    EXPECT_TEXT("not_found", yard_send(&yard, "meet", "park", "hello?"));
    arena_release(&yard.arena);
}

/* ---- rooms for everybody ---- */

static struct yard open_yard(void)
{
    struct yard yard = yard_open();
    EXPECT_TEXT("", yard_create(&yard, "open", NULL, "company", ""));
    return yard;
}

TEST(open_rooms_have_no_members_or_marks, "S-44 M-46")
{
    struct yard yard = open_yard();
    EXPECT_TEXT("forbidden", yard_create(&yard, "mine", "kim", "company", ""));
    EXPECT_TEXT("", yard_send(&yard, "open", "yoon", "anybody here?"));
    EXPECT(!strstr(yard.answer->message, "unread_by"));
    EXPECT_TEXT("forbidden", yard_send(&yard, "open", "guest", "hi"));
    EXPECT_TEXT("forbidden", yard_send(&yard, "open", "gone", "hi"));
    EXPECT_TEXT("not_for_open_room", yard_add(&yard, "open", "kim", "lee"));
    EXPECT_TEXT("not_for_open_room", yard_leave(&yard, "open", "kim"));
    EXPECT_TEXT("not_for_open_room", yard_remove(&yard, "open", "kim", "lee"));
    EXPECT_TEXT("not_for_open_room", yard_read(&yard, "open", "kim", 1));
    EXPECT_TEXT("not_for_open_room", yard_title(&yard, "open", "kim", "mine"));
    EXPECT_I64(0, scene_room(yard.scene, "open")->seat_count);
    arena_release(&yard.arena);
}

static const char *letters(struct yard *yard, int count)
{
    AUTO_STR out;
    str_init(&out);
    for (int i = 0; i < count; i++)
        str_add(&out, "가");
    return arena_text(yard->arena, out.bytes);
}

TEST(open_rooms_take_short_messages, "S-44")
{
    struct yard yard = open_yard();
    EXPECT_TEXT("", yard_send(&yard, "open", "kim", letters(&yard, OPEN_CONTENT_MAX)));
    EXPECT_TEXT("bad_input", yard_send(&yard, "open", "kim", letters(&yard, OPEN_CONTENT_MAX + 1)));
    EXPECT_TEXT("bad_input", yard_change(&yard, COMMAND_EDIT, "open", "kim", 1, letters(&yard, OPEN_CONTENT_MAX + 1)));
    arena_release(&yard.arena);
}

TEST(five_messages_in_ten_seconds_are_enough, "S-44")
{
    struct yard yard = open_yard();
    for (int i = 0; i < OPEN_BURST; i++, yard.at_ms += 1000)
        EXPECT_TEXT("", yard_send(&yard, "open", "kim", "me!"));
    EXPECT_TEXT("rate_limited", yard_send(&yard, "open", "kim", "me!"));
    EXPECT_I64(5, yard.err.retry_after_s);
    EXPECT_TEXT("", yard_send(&yard, "open", "lee", "me too")); /* each for themselves */
    yard.at_ms += 4999;
    EXPECT_TEXT("rate_limited", yard_send(&yard, "open", "kim", "me!"));
    EXPECT_I64(1, yard.err.retry_after_s);
    yard.at_ms += 1;
    EXPECT_TEXT("", yard_send(&yard, "open", "kim", "me!"));
    EXPECT_TEXT("rate_limited", yard_send(&yard, "open", "kim", "me!"));
    arena_release(&yard.arena);
}

TEST(a_closed_room_takes_nothing_new, "S-44")
{
    struct yard yard = open_yard();
    EXPECT_TEXT("", yard_send(&yard, "open", "kim", "last words"));
    EXPECT_TEXT("forbidden",
                yard_do(&yard, (struct command){.kind = COMMAND_CLOSE, .room_id = "open", .user_id = "kim"}));
    EXPECT_TEXT("", yard_do(&yard, (struct command){.kind = COMMAND_CLOSE, .room_id = "open"}));
    EXPECT_I64(EVENT_ROOM, yard.answer->kind);
    EXPECT(strstr(yard.answer->room, "\"closed\":true"));
    EXPECT_TEXT("", yard_do(&yard, (struct command){.kind = COMMAND_CLOSE, .room_id = "open"}));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_TEXT("room_closed", yard_send(&yard, "open", "kim", "more"));
    EXPECT_TEXT("room_closed", yard_change(&yard, COMMAND_EDIT, "open", "kim", 1, "other words"));
    EXPECT_TEXT("room_closed", yard_change(&yard, COMMAND_REACT, "open", "kim", 1, "👍"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_DELETE, "open", "kim", 1, NULL));
    arena_release(&yard.arena);
}

/* ---- messages ---- */

static struct yard group_yard(void)
{
    struct yard yard = yard_open();
    EXPECT_TEXT("", yard_create(&yard, "group", "kim", "group", "lee park"));
    EXPECT_TEXT("", yard_send(&yard, "group", "kim", "first"));
    return yard;
}

TEST(what_may_be_sent, "P-27 P-28")
{
    struct yard yard = group_yard();
    struct chat_file photo = {.id = "photo", .room_id = "group", .user_id = "kim", .type = "image/png"};
    struct chat_file theirs = {.id = "theirs", .room_id = "group", .user_id = "lee", .type = "image/png"};
    struct chat_file elsewhere = {.id = "elsewhere", .room_id = "other", .user_id = "kim", .type = "image/png"};
    scene_add_file(yard.scene, &photo);
    scene_add_file(yard.scene, &theirs);
    scene_add_file(yard.scene, &elsewhere);
    static const struct {
        const char *who, *kind, *content, *file;
        int64_t reply_to;
        const char *code;
    } CASES[] = {
        {"kim", "text", "", NULL, 0, "bad_input"},      {"kim", "system", "{}", NULL, 0, "bad_input"},
        {"kim", "poem", "a", NULL, 0, "bad_input"},     {"kim", "text", "a", "photo", 0, "bad_input"},
        {"kim", "image", "a", NULL, 0, "bad_input"},    {"kim", "image", "", "ghost", 0, "bad_input"},
        {"kim", "image", "", "theirs", 0, "bad_input"}, {"kim", "image", "", "elsewhere", 0, "bad_input"},
        {"kim", "video", "", "photo", 0, "bad_input"},  {"kim", "text", "a", NULL, 2, "bad_input"},
        {"choi", "text", "a", NULL, 0, "not_found"},    {"ghost", "text", "a", NULL, 0, "not_yet"},
        {"guest", "text", "a", NULL, 0, "forbidden"},   {"kim", "text", "a", NULL, 1, ""},
        {"kim", "image", "", "photo", 0, ""},           {"kim", "image", "", "photo", 0, "conflict"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        struct command command = yard_message(&yard, "group", CASES[i].who, CASES[i].content);
        command.client_id = arena_printf(yard.arena, "case-%zu", i);
        command.message_kind = CASES[i].kind;
        command.file_id = CASES[i].file;
        command.reply_to = CASES[i].reply_to;
        const char *code = yard_do(&yard, command);
        test_check(strcmp(code, CASES[i].code) == 0, __FILE__, __LINE__, "case %zu: expected \"%s\", is \"%s\"", i,
                   CASES[i].code, code);
    }
    EXPECT_I64(3, scene_room(yard.scene, "group")->shown.last_seq); /* what is refused takes no number */
    arena_release(&yard.arena);
}

TEST(a_repeat_is_the_same_message, "P-28")
{
    struct yard yard = group_yard();
    struct command command = yard_message(&yard, "group", "lee", "hello");
    EXPECT_TEXT("", yard_do(&yard, command));
    const char *message = yard.answer->message;
    command.content = "another text under the same name";
    EXPECT_TEXT("", yard_do(&yard, command));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_TEXT(message, yard.answer->message);
    EXPECT_I64(2, scene_room(yard.scene, "group")->shown.last_seq);
    command.user_id = "park";
    EXPECT_TEXT("", yard_do(&yard, command));
    EXPECT_I64(3, scene_room(yard.scene, "group")->shown.last_seq);
    arena_release(&yard.arena);
}

TEST(who_may_edit_and_for_how_long, "P-28")
{
    struct yard yard = group_yard();
    EXPECT_TEXT("not_yours", yard_change(&yard, COMMAND_EDIT, "group", "lee", 1, "hacked"));
    EXPECT_TEXT("not_found", yard_change(&yard, COMMAND_EDIT, "group", "kim", 2, "what"));
    EXPECT_TEXT("bad_input", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, ""));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, "first!"));
    EXPECT_I64(EVENT_EDITED, yard.answer->kind);
    EXPECT(strstr(yard.answer->message, "first!") && strstr(yard.answer->message, "edited_at"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, "first!"));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    yard.at_ms += EDIT_HOURS * INT64_C(3600000);
    EXPECT_TEXT("", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, "first."));
    yard.at_ms += 1;
    EXPECT_TEXT("edit_too_late", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, "first?"));
    EXPECT_TEXT("not_yours", yard_change(&yard, COMMAND_DELETE, "group", "lee", 1, NULL));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_DELETE, "group", "kim", 1, NULL));
    EXPECT(strstr(yard.answer->message, "\"deleted\":true") && !strstr(yard.answer->message, "first"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_DELETE, "group", "kim", 1, NULL));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_TEXT("message_deleted", yard_change(&yard, COMMAND_EDIT, "group", "kim", 1, "back"));
    EXPECT_TEXT("message_deleted", yard_change(&yard, COMMAND_REACT, "group", "kim", 1, "👍"));
    (void)yard_add(&yard, "group", "kim", "choi");
    EXPECT_TEXT("not_yours", yard_change(&yard, COMMAND_DELETE, "group", "kim", 2, NULL)); /* the server's line */
    arena_release(&yard.arena);
}

TEST(reactions_are_one_of_a_kind_each, "P-28")
{
    struct yard yard = group_yard();
    EXPECT_TEXT("not_found", yard_change(&yard, COMMAND_REACT, "group", "choi", 1, "👍"));
    EXPECT_TEXT("not_found", yard_change(&yard, COMMAND_REACT, "group", "lee", 9, "👍"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "lee", 1, "👍"));
    EXPECT(yard.answer->added && strstr(yard.answer->message, "\"reactions\":{\"👍\":1}"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "lee", 1, "👍"));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "park", 1, "👍"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "park", 1, "🎉"));
    EXPECT(strstr(yard.answer->message, "\"reactions\":{\"👍\":2,\"🎉\":1}"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_UNREACT, "group", "park", 1, "🎉"));
    EXPECT(!yard.answer->added && strstr(yard.answer->message, "\"reactions\":{\"👍\":2}"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_UNREACT, "group", "park", 1, "🎉"));
    EXPECT_I64(EVENT_VERDICT, yard.answer->kind);
    for (int i = 1; i < EMOJI_KINDS_MAX; i++)
        EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "lee", 1, arena_printf(yard.arena, "e%d", i)));
    EXPECT_TEXT("too_many_reactions", yard_change(&yard, COMMAND_REACT, "group", "lee", 1, "one more"));
    EXPECT_TEXT("", yard_change(&yard, COMMAND_REACT, "group", "park", 1, "e1"));
    arena_release(&yard.arena);
}

/* ---- marks ---- */

TEST(a_mark_goes_forward_and_not_beyond_the_end, "P-32 M-49")
{
    struct yard yard = group_yard();
    (void)yard_send(&yard, "group", "kim", "second");
    EXPECT_TEXT("", yard_read(&yard, "group", "lee", 1));
    EXPECT_I64(EVENT_READ, yard.answer->kind);
    EXPECT(yard.answer->reads[0].from == 0 && yard.answer->reads[0].to == 1);
    EXPECT_TEXT("", yard_read(&yard, "group", "lee", 1)); /* the same value is success */
    EXPECT(yard.answer->kind == EVENT_VERDICT && yard.answer->reads[0].from == 1 && yard.answer->reads[0].to == 1);
    EXPECT_TEXT("", yard_read(&yard, "group", "lee", 1000000));
    EXPECT_I64(2, yard_mark(&yard, "group", "lee"));
    EXPECT_TEXT("", yard_read(&yard, "group", "lee", 1));
    EXPECT_I64(2, yard_mark(&yard, "group", "lee"));
    struct mark other = {"park", 2};
    EXPECT_TEXT(
        "forbidden",
        yard_do(&yard,
                (struct command){
                    .kind = COMMAND_READ, .room_id = "group", .user_id = "lee", .marks = &other, .mark_count = 1}));
    EXPECT_I64(0, yard_mark(&yard, "group", "park"));
    arena_release(&yard.arena);
}

TEST(an_instance_reads_for_those_it_delivered_to, "M-48")
{
    struct yard yard = group_yard();
    struct mark marks[] = {{"lee", 1}, {"choi", 1}, {"kim", 1}, {"park", 5}, {"lee", 0}};
    EXPECT_TEXT("", yard_do(&yard, (struct command){.kind = COMMAND_READ,
                                                    .room_id = "group",
                                                    .marks = marks,
                                                    .mark_count = ARRAY_LENGTH(marks)}));
    EXPECT_I64(2, yard.answer->read_count); /* kim had read, choi has no seat */
    EXPECT_I64(1, yard_mark(&yard, "group", "lee"));
    EXPECT_I64(1, yard_mark(&yard, "group", "park"));
    EXPECT_I64(0, yard_unread_by(&yard, "group", 1));
    arena_release(&yard.arena);
}

TEST(sending_reads, "P-33 M-47")
{
    struct yard yard = group_yard();
    (void)yard_send(&yard, "group", "kim", "second");
    EXPECT_I64(2, yard_mark(&yard, "group", "kim")); /* own messages count as read */
    EXPECT_I64(2, yard_unread_by(&yard, "group", 1));
    (void)yard_send(&yard, "group", "lee", "third");
    const struct chat_event *moved = yard_last(&yard, EVENT_READ);
    EXPECT(moved && moved->reads[0].from == 0 && moved->reads[0].to == 2 && moved->rev + 1 == yard.answer->rev);
    EXPECT_I64(3, yard_mark(&yard, "group", "lee"));
    EXPECT_I64(1, yard_unread_by(&yard, "group", 1));
    EXPECT_I64(2, yard_unread_by(&yard, "group", 3));
    arena_release(&yard.arena);
}

/* Five members; three have the room open, one closed it after message 10, one after message 7. */
TEST(the_worked_example, "M-47 M-64 M-65")
{
    struct yard yard = yard_open();
    EXPECT_TEXT("", yard_create(&yard, "meet", NULL, "meetup", "kim lee park choi yoon"));
    for (int seq = 1; seq <= 11; seq++) {
        EXPECT_TEXT("", yard_send(&yard, "meet", "kim", "line"));
        EXPECT_TEXT("", yard_read(&yard, "meet", "lee", seq)); /* open sockets read what they are shown */
        EXPECT_TEXT("", yard_read(&yard, "meet", "park", seq));
        if (seq <= 10)
            EXPECT_TEXT("", yard_read(&yard, "meet", "choi", seq));
        if (seq <= 7)
            EXPECT_TEXT("", yard_read(&yard, "meet", "yoon", seq));
    }
    EXPECT_I64(1, yard_unread_by(&yard, "meet", 9));
    EXPECT_I64(2, yard_unread_by(&yard, "meet", 11));
    EXPECT_TEXT("", yard_read(&yard, "meet", "yoon", 11));                     /* the last one opens the room */
    EXPECT(yard.answer->reads[0].from == 7 && yard.answer->reads[0].to == 11); /* all lower messages 8.. by one */
    EXPECT_I64(0, yard_unread_by(&yard, "meet", 8));
    EXPECT_I64(1, yard_unread_by(&yard, "meet", 11));
    EXPECT_TEXT("", yard_remove(&yard, "meet", NULL, "choi")); /* takes the own unread along */
    EXPECT_I64(0, yard_unread_by(&yard, "meet", 11));
    arena_release(&yard.arena);
}

TEST(every_change_has_the_next_rev, "P-29")
{
    struct yard yard = group_yard();
    (void)yard_add(&yard, "group", "kim", "choi");
    (void)yard_send(&yard, "group", "choi", "hi");
    (void)yard_change(&yard, COMMAND_EDIT, "group", "choi", 3, "hi!");
    (void)yard_change(&yard, COMMAND_REACT, "group", "kim", 3, "👍");
    (void)yard_title(&yard, "group", "kim", "four");
    (void)yard_title(&yard, "group", "kim", "four");
    (void)yard_read(&yard, "group", "kim", 3);
    (void)yard_leave(&yard, "group", "kim");
    int64_t rev = 0;
    for (size_t i = 0; i < yard.scene->events.count; i++) {
        const struct chat_event *event = &yard.scene->events.items[i].event;
        if (event->kind == EVENT_VERDICT)
            EXPECT_I64(0, event->rev);
        else
            EXPECT_I64(++rev, event->rev);
        if (event->kind == EVENT_MESSAGE)
            EXPECT(strstr(event->message, arena_printf(yard.arena, "\"rev\":%lld,", (long long)event->rev)) != NULL);
    }
    EXPECT_I64(rev, scene_room(yard.scene, "group")->rev);
    arena_release(&yard.arena);
}
