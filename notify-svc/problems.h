/* problems.h - what notify-svc refuses beyond the common problems. The codes are stable and stand in docs/errors.md. */
#ifndef MADANG_NOTIFY_PROBLEMS_H
#define MADANG_NOTIFY_PROBLEMS_H

#include "errors.h"

#define NOTIFY_PROBLEMS(X)                                                                                             \
    X(ERR_KIND_LOCKED, "kind_locked", 422, LOG_DEBUG, "Notices about your account's safety can't be switched off",     \
      "계정 보안 알림은 끌 수 없습니다")                                                                               \
    X(ERR_BAD_CODE, "bad_code", 400, LOG_DEBUG, "The code is wrong or too old",                                        \
      "인증번호가 올바르지 않거나 만료되었습니다")                                                                     \
    X(ERR_SLACK_UNKNOWN, "slack_unknown", 422, LOG_DEBUG, "There is no such person in Slack",                          \
      "Slack에서 찾을 수 없는 사용자입니다")                                                                           \
    X(ERR_BAD_SIGNATURE, "bad_signature", 401, LOG_INFO, "The signature is not valid", "유효하지 않은 서명입니다")

NOTIFY_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const NOTIFY_PROBLEM_LIST[];

#endif
