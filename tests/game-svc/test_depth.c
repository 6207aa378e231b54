/* The table of market.depth: what is taken, what is passed over, what goes. */
#include "depth.h"
#include "mem.h"
#include "test.h"

#include <stdio.h>

static const char ID[] = "01a1fd87-54ce-7149-baf8-149378a7b4df";

static bool take(struct depth *depth, const char *id, int64_t seq, const char *bids, const char *asks)
{
    char payload[4096];
    (void)snprintf(payload, sizeof payload,
                   "{\"v\":1,\"kind\":\"depth\",\"market\":\"01a1fd87-54ce-7148-af9a-8b29df1ce05c\",\"company\":\"%s\","
                   "\"index\":0,\"seq\":%lld,\"phase\":\"open\",\"price\":200000,\"initial_price\":180000,\"volume\":7,"
                   "\"high\":210000,\"low\":180000,\"halted\":false,\"bids\":%s,\"asks\":%s,\"trades\":[]}",
                   id, (long long)seq, bids, asks);
    return depth_take(depth, view_of(id), view_of(payload));
}

TEST(a_state_is_found_as_it_was_told, "S-42")
{
    AUTO(depth) depth = depth_open();
    struct depth_state state;
    EXPECT(!depth_find(depth, ID, &state));
    EXPECT(take(depth, ID, 9, "[[190000,5],[180000,12]]", "[]"));
    REQUIRE(depth_find(depth, ID, &state));
    EXPECT_I64(9, state.seq);
    EXPECT_I64(200000, state.price);
    EXPECT_I64(180000, state.initial_price);
    EXPECT_I64(2, state.bid_count);
    EXPECT_I64(180000, state.bids[1].price);
    EXPECT_I64(12, state.bids[1].quantity);
    EXPECT_I64(0, state.ask_count);
}

TEST(a_newer_state_takes_its_place_an_older_one_does_not, "S-22")
{
    AUTO(depth) depth = depth_open();
    struct depth_state state;
    EXPECT(take(depth, ID, 9, "[[190000,5]]", "[]"));
    EXPECT(!take(depth, ID, 8, "[]", "[]"));
    EXPECT(take(depth, ID, 10, "[[170000,5]]", "[[300000,1]]"));
    REQUIRE(depth_find(depth, ID, &state));
    EXPECT_I64(170000, state.bids[0].price);
}

TEST(a_tombstone_removes_it, "S-15")
{
    AUTO(depth) depth = depth_open();
    struct depth_state state;
    EXPECT(take(depth, ID, 9, "[]", "[]"));
    EXPECT(depth_take(depth, view_of(ID), (struct view){NULL, 0}));
    EXPECT(!depth_find(depth, ID, &state));
    EXPECT(!depth_take(depth, view_of(ID), (struct view){NULL, 0}));
}

TEST(what_is_no_state_is_passed_over, "I10")
{
    AUTO(depth) depth = depth_open();
    struct depth_state state;
    const char *const bad[] = {"[[190000]]", "[[190000,5,1]]", "[[190000,0]]", "[[-1,5]]", "[190000,5]",
                               "[[1.5,1]]",  "[[190000,5] ",   "{}",           "7",        "[[\"a\",1]]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT(!take(depth, ID, 9, bad[i], "[]"));
    EXPECT(!depth_take(depth, view_of(ID), view_of("")));
    EXPECT(!depth_take(depth, view_of(ID), view_of("{\"company\":1}")));
    char levels[4096] = "[";
    for (int i = 0; i < DEPTH_LEVELS_MAX + 1; i++)
        (void)snprintf(levels + strlen(levels), sizeof levels - strlen(levels), "%s[%d,1]", i ? "," : "", 100 + i);
    strcat(levels, "]");
    EXPECT(!take(depth, ID, 9, levels, "[]"));
    EXPECT(!depth_find(depth, ID, &state));
}

TEST(a_state_under_another_key_is_passed_over, "I10")
{
    AUTO(depth) depth = depth_open();
    EXPECT(!depth_take(depth, view_of("01a1fd87-54ce-7149-baf8-000000000000"),
                       view_of("{\"company\":\"01a1fd87-54ce-7149-baf8-149378a7b4df\",\"seq\":1,\"price\":1,"
                               "\"initial_price\":1,\"bids\":[],\"asks\":[]}")));
}

TEST(the_table_is_bounded_and_forgets_the_oldest, "I9")
{
    AUTO(depth) depth = depth_open();
    struct depth_state state;
    char id[UUID_TEXT_BYTES], first[UUID_TEXT_BYTES], last[UUID_TEXT_BYTES];
    for (int i = 0; i < 1100; i++) {
        uuid_new(id);
        EXPECT(take(depth, id, 1, "[]", "[]"));
        memcpy(i ? last : first, id, sizeof id);
    }
    EXPECT(!depth_find(depth, first, &state));
    EXPECT(depth_find(depth, last, &state));
}
