/* relation.h - what two people are to each other, and what each of them may do about it. Pure rules.
 *
 * Idea: one value per pair. A is the person with the smaller id, B the other; whoever acts is a side, so every rule is
 * the same in both directions. The changes are a table (relation.c); blocks and the wait after a rejection are guards
 * around it. Threads: any, values only. Times: milliseconds since 1970, 0 = never. */
#ifndef MADANG_RELATION_H
#define MADANG_RELATION_H

#include "problems.h"

#include <stdbool.h>
#include <stdint.h>

enum side { SIDE_A, SIDE_B, SIDES };

static inline enum side side_other(enum side side)
{
    return side == SIDE_A ? SIDE_B : SIDE_A;
}

enum link { LINK_NONE, LINK_REQUESTED, LINK_FRIENDS };

struct relation {
    enum link link;
    enum side requested_by;     /* with LINK_REQUESTED */
    int64_t since_ms;           /* of the request or the friendship */
    int64_t rejected_ms[SIDES]; /* when a request of that side was last rejected */
    int64_t blocked_ms[SIDES];  /* since when that side blocks the other */
    int64_t told_ms[SIDES];     /* when a request of that side was last told to the other */
    int64_t version;            /* grows by one with each change */
};

enum relation_action {
    ACTION_REQUEST,
    ACTION_CANCEL,
    ACTION_ACCEPT,
    ACTION_REJECT,
    ACTION_REMOVE,
    ACTION_BLOCK,
    ACTION_UNBLOCK,
    RELATION_ACTIONS
};
const char *relation_action_name(enum relation_action action);

enum relation_notice { NOTICE_NONE, NOTICE_REQUEST, NOTICE_ACCEPTED }; /* what the other person is told */

struct relation_outcome {
    bool changed; /* false: it stood like that already */
    enum relation_notice notice;
};

enum {
    REJECTION_WAIT_MS = 24 * 3600 * 1000, /* the rejected side may not ask again; the other side may at once */
    NOTICE_WAIT_MS = 3600 * 1000,         /* a request that was cancelled and sent again is not told again */
};

/* What `actor` does to the other at `now_ms`. True: *next is the relation afterwards. False: refused, *next is
 * untouched; err is already_friends, blocked, no_request, not_found or rejected_recently (with Retry-After). */
bool relation_act(const struct relation *relation, enum relation_action action, enum side actor, int64_t now_ms,
                  struct relation *next, struct relation_outcome *outcome, struct err *err);

static inline bool relation_is_blocked(const struct relation *relation)
{
    return relation->blocked_ms[SIDE_A] || relation->blocked_ms[SIDE_B];
}

/* What `viewer` reads in a profile: none, friend, requested_by_me, requested_by_them, blocked_by_me. Being blocked is
 * not told. */
const char *relation_word(const struct relation *relation, enum side viewer);

#endif
