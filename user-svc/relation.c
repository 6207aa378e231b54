#include "relation.h"

static const char *const ACTION_NAMES[RELATION_ACTIONS] = {
    [ACTION_REQUEST] = "request", [ACTION_CANCEL] = "cancel", [ACTION_ACCEPT] = "accept",   [ACTION_REJECT] = "reject",
    [ACTION_REMOVE] = "remove",   [ACTION_BLOCK] = "block",   [ACTION_UNBLOCK] = "unblock",
};

const char *relation_action_name(enum relation_action action)
{
    return ACTION_NAMES[action];
}

/* The link as one of the two sees it. */
enum seen { SEEN_NONE, SEEN_SENT, SEEN_RECEIVED, SEEN_FRIENDS, SEEN_STATES };

struct step {
    const struct problem *refused; /* NULL: goes on to `next` */
    enum seen next;
    enum relation_notice notice;
};

/* Read only by relation_act(). A step whose `next` is where it began changes nothing of the link. */
static const struct step STEPS[RELATION_ACTIONS][SEEN_STATES] = {
    [ACTION_REQUEST] = {[SEEN_NONE] = {NULL, SEEN_SENT, NOTICE_REQUEST},
                        [SEEN_SENT] = {NULL, SEEN_SENT, NOTICE_NONE},
                        [SEEN_RECEIVED] = {NULL, SEEN_FRIENDS, NOTICE_ACCEPTED}, /* both asked: crossing requests */
                        [SEEN_FRIENDS] = {.refused = &ERR_ALREADY_FRIENDS}},
    [ACTION_CANCEL] = {[SEEN_NONE] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_SENT] = {NULL, SEEN_NONE, NOTICE_NONE},
                       [SEEN_RECEIVED] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_FRIENDS] = {.refused = &ERR_NO_REQUEST}},
    [ACTION_ACCEPT] = {[SEEN_NONE] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_SENT] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_RECEIVED] = {NULL, SEEN_FRIENDS, NOTICE_ACCEPTED},
                       [SEEN_FRIENDS] = {.refused = &ERR_NO_REQUEST}},
    [ACTION_REJECT] = {[SEEN_NONE] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_SENT] = {.refused = &ERR_NO_REQUEST},
                       [SEEN_RECEIVED] = {NULL, SEEN_NONE, NOTICE_NONE},
                       [SEEN_FRIENDS] = {.refused = &ERR_NO_REQUEST}},
    [ACTION_REMOVE] = {[SEEN_NONE] = {.refused = &ERR_NOT_FOUND},
                       [SEEN_SENT] = {.refused = &ERR_NOT_FOUND},
                       [SEEN_RECEIVED] = {.refused = &ERR_NOT_FOUND},
                       [SEEN_FRIENDS] = {NULL, SEEN_NONE, NOTICE_NONE}},
    [ACTION_BLOCK] = {[SEEN_NONE] = {NULL, SEEN_NONE, NOTICE_NONE},
                      [SEEN_SENT] = {NULL, SEEN_NONE, NOTICE_NONE},
                      [SEEN_RECEIVED] = {NULL, SEEN_NONE, NOTICE_NONE},
                      [SEEN_FRIENDS] = {NULL, SEEN_NONE, NOTICE_NONE}},
    [ACTION_UNBLOCK] = {[SEEN_NONE] = {NULL, SEEN_NONE, NOTICE_NONE},
                        [SEEN_SENT] = {NULL, SEEN_SENT, NOTICE_NONE},
                        [SEEN_RECEIVED] = {NULL, SEEN_RECEIVED, NOTICE_NONE},
                        [SEEN_FRIENDS] = {NULL, SEEN_FRIENDS, NOTICE_NONE}},
};

static enum seen link_seen(const struct relation *relation, enum side viewer)
{
    if (relation->link == LINK_REQUESTED)
        return relation->requested_by == viewer ? SEEN_SENT : SEEN_RECEIVED;
    return relation->link == LINK_FRIENDS ? SEEN_FRIENDS : SEEN_NONE;
}

static void link_set(struct relation *relation, enum seen seen, enum side viewer, int64_t now_ms)
{
    static const enum link LINKS[SEEN_STATES] = {LINK_NONE, LINK_REQUESTED, LINK_REQUESTED, LINK_FRIENDS};
    relation->link = LINKS[seen];
    relation->requested_by = seen == SEEN_SENT ? viewer : seen == SEEN_RECEIVED ? side_other(viewer) : SIDE_A;
    relation->since_ms = seen == SEEN_NONE ? 0 : now_ms;
    if (seen == SEEN_FRIENDS) /* made up: an old rejection counts no more */
        relation->rejected_ms[SIDE_A] = relation->rejected_ms[SIDE_B] = 0;
}

static bool may_ask(const struct relation *relation, enum side actor, enum seen seen, int64_t now_ms, struct err *err)
{
    if (relation_is_blocked(relation))
        return err_set(err, &ERR_BLOCKED, "a block stands between you");
    const int64_t rejected_ms = relation->rejected_ms[actor];
    const int64_t left_ms = rejected_ms + REJECTION_WAIT_MS - now_ms;
    if (seen == SEEN_NONE && rejected_ms && left_ms > 0)
        return err_set_retry(err, &ERR_REJECTED_RECENTLY, (int)((left_ms + 999) / 1000),
                             "your last request was rejected less than 24 hours ago");
    return true;
}

/* The request is told unless one of the same side was told within the hour: cancelling and asking again in a loop
 * rings nobody's phone. */
static enum relation_notice notice_of(struct relation *next, enum relation_notice notice, enum side actor,
                                      int64_t now_ms)
{
    if (notice != NOTICE_REQUEST)
        return notice;
    if (next->told_ms[actor] && now_ms - next->told_ms[actor] < NOTICE_WAIT_MS)
        return NOTICE_NONE;
    next->told_ms[actor] = now_ms;
    return notice;
}

bool relation_act(const struct relation *relation, enum relation_action action, enum side actor, int64_t now_ms,
                  struct relation *next, struct relation_outcome *outcome, struct err *err)
{
    const enum seen seen = link_seen(relation, actor);
    if (action == ACTION_REQUEST && !may_ask(relation, actor, seen, now_ms, err))
        return false;
    const struct step *step = &STEPS[action][seen];
    if (step->refused)
        return err_set(err, step->refused, "%s", step->refused->title);

    struct relation after = *relation;
    bool changed = false;
    if (step->next != seen) {
        link_set(&after, step->next, actor, now_ms);
        changed = true;
    }
    if (action == ACTION_REJECT)
        after.rejected_ms[side_other(actor)] = now_ms;
    if (action == ACTION_BLOCK && !after.blocked_ms[actor]) {
        after.blocked_ms[actor] = now_ms;
        changed = true;
    }
    if (action == ACTION_UNBLOCK && after.blocked_ms[actor]) {
        after.blocked_ms[actor] = 0;
        changed = true;
    }
    *outcome = (struct relation_outcome){.changed = changed, .notice = notice_of(&after, step->notice, actor, now_ms)};
    after.version += changed ? 1 : 0;
    *next = after;
    return true;
}

const char *relation_word(const struct relation *relation, enum side viewer)
{
    static const char *const WORDS[SEEN_STATES] = {
        [SEEN_NONE] = "none",
        [SEEN_SENT] = "requested_by_me",
        [SEEN_RECEIVED] = "requested_by_them",
        [SEEN_FRIENDS] = "friend",
    };
    return relation->blocked_ms[viewer] ? "blocked_by_me" : WORDS[link_seen(relation, viewer)];
}
