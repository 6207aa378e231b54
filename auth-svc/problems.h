/* problems.h - the problems of auth-svc besides the common ones (common/errors.h). docs/errors.md lists them all. */
#ifndef AUTH_PROBLEMS_H
#define AUTH_PROBLEMS_H

#include "errors.h"

/* clang-format off */
/*    name                  code                status level     English, Korean */
#define AUTH_PROBLEMS(X)                                                                                               \
    X(ERR_EMAIL_TAKEN, "email_taken", 409, LOG_DEBUG, "The e-mail address is taken", "이미 사용 중인 이메일입니다")     \
    X(ERR_HANDLE_TAKEN, "handle_taken", 409, LOG_DEBUG, "The handle is taken", "이미 사용 중인 아이디입니다")           \
    X(ERR_NICKNAME_TAKEN, "nickname_taken", 409, LOG_DEBUG, "The nickname is taken", "이미 사용 중인 닉네임입니다")     \
    X(ERR_ALREADY_COMPLETE, "already_complete", 409, LOG_DEBUG, "The profile is complete already",                    \
      "이미 가입이 완료되었습니다")                                                                                    \
    X(ERR_NO_PASSWORD, "no_password", 409, LOG_DEBUG, "The account has no password: reset it by e-mail",              \
      "비밀번호가 없는 계정입니다. 이메일로 재설정해 주세요")                                                          \
    X(ERR_LAST_ADMIN, "last_admin", 409, LOG_DEBUG, "The last admin must stay one", "마지막 관리자입니다")              \
    X(ERR_BAD_CREDENTIALS, "bad_credentials", 401, LOG_DEBUG, "The log-in or the password is wrong",                  \
      "아이디 또는 비밀번호가 올바르지 않습니다")                                                                      \
    X(ERR_WITHDRAWN, "withdrawn", 403, LOG_DEBUG, "The account was withdrawn", "탈퇴한 계정입니다")                     \
    X(ERR_EMAIL_UNVERIFIED, "email_unverified", 403, LOG_DEBUG, "Verify the e-mail address first",                    \
      "이메일 인증이 필요합니다")                                                                                      \
    X(ERR_REFRESH_REUSED, "refresh_reused", 401, LOG_INFO, "The refresh token was used before: the session has ended", \
      "이미 사용된 토큰입니다. 세션이 종료되었습니다")                                                                 \
    X(ERR_REFRESH_EXPIRED, "refresh_expired", 401, LOG_DEBUG, "The refresh token is no longer good: log in again",    \
      "다시 로그인해 주세요")                                                                                          \
    X(ERR_BAD_CODE, "bad_code", 400, LOG_DEBUG, "The code is wrong or too old", "인증번호가 올바르지 않거나 만료되었습니다") \
    X(ERR_BAD_PROOF, "bad_proof", 400, LOG_DEBUG, "The proof is wrong, used or too old",                              \
      "인증이 올바르지 않거나 만료되었습니다")                                                                         \
    X(ERR_PASSWORD_UNCHANGED, "password_unchanged", 400, LOG_DEBUG, "The new password is the old one",                \
      "이전과 같은 비밀번호입니다")

/* clang-format on */

AUTH_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const AUTH_PROBLEM_LIST[];

#endif
