/* The rules between two people: each row of the table by hand, then random histories against a model that is written
 * another way. */
#include "relation.h"
#include "test.h"

#include <stdio.h>

#define NOW INT64_C(1800000000000)

/* Applies one action that must be allowed. */
static struct relation did(struct relation relation, enum relation_action action, enum side actor, int64_t now_ms)
{
    struct relation next = {0};
    struct relation_outcome outcome;
    struct err err = {0};
    test_check(relation_act(&relation, action, actor, now_ms, &next, &outcome, &err), __FILE__, __LINE__,
               "%s refused: %s", relation_action_name(action), err.message);
    return next;
}

static const char *refusal(const struct relation *relation, enum relation_action action, enum side actor,
                           int64_t now_ms)
{
    struct relation next = *relation;
    struct relation_outcome outcome;
    struct err err = {0};
    if (relation_act(relation, action, actor, now_ms, &next, &outcome, &err))
        return "";
    EXPECT(memcmp(&next, relation, sizeof next) == 0);
    return err.problem->code;
}

TEST(every_action_in_every_state, "P-13 P-14 P-15 P-16 P-17")
{
    const struct relation none = {0};
    const struct relation sent = did(none, ACTION_REQUEST, SIDE_A, NOW);
    const struct relation received = did(none, ACTION_REQUEST, SIDE_B, NOW);
    const struct relation friends = did(sent, ACTION_ACCEPT, SIDE_B, NOW);
    static const struct {
        enum relation_action action;
        const char *none, *sent, *received, *friends; /* "" allowed, else the code; as A sees it */
    } EXPECTED[] = {
        {ACTION_REQUEST, "", "", "", "already_friends"},
        {ACTION_CANCEL, "no_request", "", "no_request", "no_request"},
        {ACTION_ACCEPT, "no_request", "no_request", "", "no_request"},
        {ACTION_REJECT, "no_request", "no_request", "", "no_request"},
        {ACTION_REMOVE, "not_found", "not_found", "not_found", ""},
        {ACTION_BLOCK, "", "", "", ""},
        {ACTION_UNBLOCK, "", "", "", ""},
    };
    for (size_t i = 0; i < sizeof EXPECTED / sizeof EXPECTED[0]; i++) {
        EXPECT_TEXT(EXPECTED[i].none, refusal(&none, EXPECTED[i].action, SIDE_A, NOW));
        EXPECT_TEXT(EXPECTED[i].sent, refusal(&sent, EXPECTED[i].action, SIDE_A, NOW));
        EXPECT_TEXT(EXPECTED[i].received, refusal(&received, EXPECTED[i].action, SIDE_A, NOW));
        EXPECT_TEXT(EXPECTED[i].friends, refusal(&friends, EXPECTED[i].action, SIDE_A, NOW));
    }
    EXPECT_I64(RELATION_ACTIONS, sizeof EXPECTED / sizeof EXPECTED[0]);
}

TEST(crossing_requests_make_friends, "P-14")
{
    const struct relation asked = did((struct relation){0}, ACTION_REQUEST, SIDE_A, NOW);
    struct relation next;
    struct relation_outcome outcome;
    struct err err = {0};
    REQUIRE_OK(relation_act(&asked, ACTION_REQUEST, SIDE_B, NOW + 5, &next, &outcome, &err), &err);
    EXPECT_I64(LINK_FRIENDS, next.link);
    EXPECT_I64(NOW + 5, next.since_ms);
    EXPECT_I64(NOTICE_ACCEPTED, outcome.notice);
    EXPECT_I64(2, next.version);
}

TEST(a_repeated_request_changes_nothing, "P-14")
{
    const struct relation asked = did((struct relation){0}, ACTION_REQUEST, SIDE_B, NOW);
    struct relation next;
    struct relation_outcome outcome;
    struct err err = {0};
    REQUIRE_OK(relation_act(&asked, ACTION_REQUEST, SIDE_B, NOW + 5, &next, &outcome, &err), &err);
    EXPECT(!outcome.changed);
    EXPECT_I64(NOTICE_NONE, outcome.notice);
    EXPECT_I64(NOW, next.since_ms);
    EXPECT_I64(1, next.version);
}

TEST(the_rejected_side_waits_a_day_and_the_other_does_not, "P-14 P-16")
{
    const struct relation asked = did((struct relation){0}, ACTION_REQUEST, SIDE_A, NOW);
    const struct relation rejected = did(asked, ACTION_REJECT, SIDE_B, NOW + 1000);
    EXPECT_I64(LINK_NONE, rejected.link);
    EXPECT_TEXT("rejected_recently", refusal(&rejected, ACTION_REQUEST, SIDE_A, NOW + 1000));
    EXPECT_TEXT("rejected_recently", refusal(&rejected, ACTION_REQUEST, SIDE_A, NOW + 1000 + REJECTION_WAIT_MS - 1));
    EXPECT_TEXT("", refusal(&rejected, ACTION_REQUEST, SIDE_A, NOW + 1000 + REJECTION_WAIT_MS));
    EXPECT_TEXT("", refusal(&rejected, ACTION_REQUEST, SIDE_B, NOW + 1000));
    struct relation next;
    struct relation_outcome outcome;
    struct err err = {0};
    EXPECT(!relation_act(&rejected, ACTION_REQUEST, SIDE_A, NOW + 1000 + 1, &next, &outcome, &err));
    EXPECT_I64(REJECTION_WAIT_MS / 1000, err.retry_after_s);
    /* the rejecting side asks: the wait does not stop the other from agreeing */
    const struct relation back = did(rejected, ACTION_REQUEST, SIDE_B, NOW + 2000);
    EXPECT_TEXT("", refusal(&back, ACTION_REQUEST, SIDE_A, NOW + 2000));
    EXPECT_TEXT("", refusal(&back, ACTION_ACCEPT, SIDE_A, NOW + 2000));
}

TEST(both_may_have_been_rejected, "P-14")
{
    struct relation r = did((struct relation){0}, ACTION_REQUEST, SIDE_A, NOW);
    r = did(r, ACTION_REJECT, SIDE_B, NOW);
    r = did(r, ACTION_REQUEST, SIDE_B, NOW + 10);
    r = did(r, ACTION_REJECT, SIDE_A, NOW + 10);
    EXPECT_TEXT("rejected_recently", refusal(&r, ACTION_REQUEST, SIDE_A, NOW + 20));
    EXPECT_TEXT("rejected_recently", refusal(&r, ACTION_REQUEST, SIDE_B, NOW + 20));
}

TEST(blocks_are_one_way_each_and_restore_nothing, "P-19 M-14")
{
    const struct relation friends =
        did(did((struct relation){0}, ACTION_REQUEST, SIDE_A, NOW), ACTION_ACCEPT, SIDE_B, NOW);
    const struct relation by_a = did(friends, ACTION_BLOCK, SIDE_A, NOW);
    EXPECT_I64(LINK_NONE, by_a.link);
    EXPECT_TEXT("blocked", refusal(&by_a, ACTION_REQUEST, SIDE_A, NOW));
    EXPECT_TEXT("blocked", refusal(&by_a, ACTION_REQUEST, SIDE_B, NOW));
    const struct relation by_both = did(by_a, ACTION_BLOCK, SIDE_B, NOW + 1);
    const struct relation still_b = did(by_both, ACTION_UNBLOCK, SIDE_A, NOW + 2);
    EXPECT_I64(0, still_b.blocked_ms[SIDE_A]);
    EXPECT_I64(NOW + 1, still_b.blocked_ms[SIDE_B]);
    EXPECT_TEXT("blocked", refusal(&still_b, ACTION_REQUEST, SIDE_A, NOW + 2));
    const struct relation not_mine = did(by_a, ACTION_UNBLOCK, SIDE_B, NOW + 2); /* B has nothing to take back */
    EXPECT_I64(NOW, not_mine.blocked_ms[SIDE_A]);
    EXPECT_I64(by_a.version, not_mine.version);
    const struct relation open = did(still_b, ACTION_UNBLOCK, SIDE_B, NOW + 3);
    EXPECT_I64(LINK_NONE, open.link);
    EXPECT_TEXT("", refusal(&open, ACTION_REQUEST, SIDE_A, NOW + 3));
}

TEST(asking_in_a_loop_tells_once_an_hour, "P-20")
{
    struct relation r = {0};
    int told = 0;
    for (int i = 0; i < 120; i++) { /* every minute for two hours */
        struct relation next;
        struct relation_outcome outcome;
        struct err err = {0};
        REQUIRE_OK(relation_act(&r, ACTION_REQUEST, SIDE_A, NOW + i * 60000, &next, &outcome, &err), &err);
        told += outcome.notice == NOTICE_REQUEST;
        r = did(next, ACTION_CANCEL, SIDE_A, NOW + i * 60000);
    }
    EXPECT_I64(2, told);
}

TEST(a_viewer_reads_one_word, "P-13 P-19")
{
    const struct relation none = {0};
    const struct relation asked = did(none, ACTION_REQUEST, SIDE_B, NOW);
    const struct relation friends = did(asked, ACTION_ACCEPT, SIDE_A, NOW);
    const struct relation blocked = did(friends, ACTION_BLOCK, SIDE_B, NOW);
    EXPECT_TEXT("none", relation_word(&none, SIDE_A));
    EXPECT_TEXT("requested_by_me", relation_word(&asked, SIDE_B));
    EXPECT_TEXT("requested_by_them", relation_word(&asked, SIDE_A));
    EXPECT_TEXT("friend", relation_word(&friends, SIDE_A));
    EXPECT_TEXT("blocked_by_me", relation_word(&blocked, SIDE_B));
    EXPECT_TEXT("none", relation_word(&blocked, SIDE_A)); /* being blocked is not told */
}

/* ---- the model: sets of facts, no table ---- */

struct model {
    bool asked[SIDES]; /* a pending request of that side */
    bool friends;
    bool blocks[SIDES];
    int64_t rejected_ms[SIDES];
};

/* The code of the refusal, or "". */
static const char *model_act(struct model *m, enum relation_action action, enum side me, int64_t now_ms)
{
    const enum side you = side_other(me);
    switch (action) {
    case ACTION_REQUEST:
        if (m->blocks[me] || m->blocks[you])
            return "blocked";
        if (m->friends)
            return "already_friends";
        if (m->asked[you]) {
            *m = (struct model){.friends = true};
        } else if (!m->asked[me]) {
            if (m->rejected_ms[me] && now_ms < m->rejected_ms[me] + REJECTION_WAIT_MS)
                return "rejected_recently";
            m->asked[me] = true;
        }
        return "";
    case ACTION_CANCEL:
        if (!m->asked[me])
            return "no_request";
        m->asked[me] = false;
        return "";
    case ACTION_ACCEPT:
        if (!m->asked[you])
            return "no_request";
        *m = (struct model){.friends = true};
        return "";
    case ACTION_REJECT:
        if (!m->asked[you])
            return "no_request";
        m->asked[you] = false;
        m->rejected_ms[you] = now_ms;
        return "";
    case ACTION_REMOVE:
        if (!m->friends)
            return "not_found";
        m->friends = false;
        return "";
    case ACTION_BLOCK:
        m->friends = m->asked[me] = m->asked[you] = false;
        m->blocks[me] = true;
        return "";
    case ACTION_UNBLOCK:
        m->blocks[me] = false;
        return "";
    default:
        return "?";
    }
}

static bool agrees(const struct model *m, const struct relation *r)
{
    const bool requested = r->link == LINK_REQUESTED;
    bool same = m->friends == (r->link == LINK_FRIENDS);
    for (enum side side = SIDE_A; side < SIDES; side++) {
        same &= m->asked[side] == (requested && r->requested_by == side);
        same &= m->blocks[side] == (r->blocked_ms[side] != 0);
        same &= m->rejected_ms[side] == r->rejected_ms[side];
    }
    return same;
}

TEST(random_histories_agree_with_a_model, "P-13 P-14 P-15 P-16 P-17 P-19 M-14")
{
    for (int history = 0; history < 2000; history++) {
        struct relation relation = {0};
        struct model model = {0};
        int64_t now_ms = NOW;
        for (int step = 0; step < 40; step++) {
            const enum relation_action action = test_random() % RELATION_ACTIONS;
            const enum side actor = test_random() % SIDES;
            now_ms += (int64_t)(test_random() % (REJECTION_WAIT_MS / 2));
            const struct relation before = relation;
            struct relation_outcome outcome = {0};
            struct err err = {0};
            const bool good = relation_act(&before, action, actor, now_ms, &relation, &outcome, &err);
            const char *expected = model_act(&model, action, actor, now_ms);
            if (!test_check(strcmp(expected, good ? "" : err.problem->code) == 0 && agrees(&model, &relation), __FILE__,
                            __LINE__, "history %d, step %d: %s by %d: model says '%s', rules say '%s'", history, step,
                            relation_action_name(action), actor, expected, good ? "" : err.problem->code))
                return;
            const bool moved = relation.version != before.version;
            struct relation same = before;
            same.version = relation.version;
            if (!test_check(moved == (good && outcome.changed) && relation.version - before.version <= 1 &&
                                (moved || memcmp(&same, &relation, sizeof same) == 0),
                            __FILE__, __LINE__,
                            "history %d, step %d: the version moves with each change, and only then", history, step))
                return;
            if (!test_check(!relation_is_blocked(&relation) || relation.link == LINK_NONE, __FILE__, __LINE__,
                            "nothing stands beside a block"))
                return;
        }
    }
}
