/* problems.h - what push-svc refuses beyond the common problems. The codes are stable and stand in docs/errors.md. */
#ifndef MADANG_PUSH_PROBLEMS_H
#define MADANG_PUSH_PROBLEMS_H

#include "errors.h"

#define PUSH_PROBLEMS(X)                                                                                               \
    X(ERR_ENDPOINT_REFUSED, "endpoint_refused", 422, LOG_DEBUG, "This endpoint is not one of a push service",          \
      "허용되지 않는 푸시 주소입니다")

PUSH_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const PUSH_PROBLEM_LIST[];

#endif
