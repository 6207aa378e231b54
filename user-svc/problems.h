/* problems.h - what user-svc refuses beyond the common problems. The codes are stable and stand in docs/errors.md. */
#ifndef MADANG_USER_PROBLEMS_H
#define MADANG_USER_PROBLEMS_H

#include "errors.h"

#define USER_PROBLEMS(X)                                                                                               \
    X(ERR_ALREADY_FRIENDS, "already_friends", 409, LOG_DEBUG, "You are friends already", "이미 친구입니다")            \
    X(ERR_FRIENDS_FULL, "friends_full", 409, LOG_DEBUG, "No more friends fit", "친구 수가 가득 찼습니다")              \
    X(ERR_BLOCKED, "blocked", 403, LOG_DEBUG, "One of you blocks the other", "차단된 상대입니다")                      \
    X(ERR_SELF, "self", 422, LOG_DEBUG, "This can't be done with yourself", "자신에게는 할 수 없습니다")               \
    X(ERR_NO_REQUEST, "no_request", 404, LOG_DEBUG, "There is no such request", "해당 요청이 없습니다")                \
    X(ERR_REJECTED_RECENTLY, "rejected_recently", 429, LOG_DEBUG, "Your last request was rejected: wait",              \
      "최근에 거절된 요청입니다. 나중에 다시 시도해 주세요")

USER_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const USER_PROBLEM_LIST[];

#endif
