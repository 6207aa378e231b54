/* errors.h - what went wrong, for the caller of the API and for our log.
 *
 * Idea: a failure is one `struct problem` (a constant: stable code, HTTP status, titles) plus words about this
 * case. Functions that can fail return bool or a pointer and take `struct err *err` last; the lowest function
 * that knows sets it, everybody above passes it up unchanged, and only the edges (http, main, consumers) log it.
 * Form on the wire: RFC 9457 problem+json. Every code stands in docs/errors.md (a test compares).
 * Ownership: struct err owns nothing and can be copied. Threads: an err belongs to one thread. */
#ifndef MADANG_ERRORS_H
#define MADANG_ERRORS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct problem {
    const char *code;     /* stable, snake_case; clients branch on it */
    int status;           /* HTTP status */
    enum log_level level; /* how the edge logs it */
    const char *title;    /* English */
    const char *title_ko; /* Korean, by Accept-Language */
};

/* The problems every service can have. A service adds its own with the same macros (see auth-svc/problems.h).
 *  name              code               status level     English, Korean */
#define COMMON_PROBLEMS(X)                                                                                             \
    X(ERR_BAD_INPUT, "bad_input", 400, LOG_DEBUG, "The request is not valid", "잘못된 요청입니다")                     \
    X(ERR_TOKEN_MISSING, "token_missing", 401, LOG_DEBUG, "Log in first", "로그인이 필요합니다")                       \
    X(ERR_TOKEN_INVALID, "token_invalid", 401, LOG_DEBUG, "The access token is not valid", "유효하지 않은 토큰입니다") \
    X(ERR_TOKEN_EXPIRED, "token_expired", 401, LOG_DEBUG, "The access token has expired", "토큰이 만료되었습니다")     \
    X(ERR_TOKEN_STALE, "token_stale", 401, LOG_DEBUG, "The role has changed: refresh", "권한이 변경되었습니다")        \
    X(ERR_SESSION_ENDED, "session_ended", 401, LOG_DEBUG, "The session has ended", "종료된 세션입니다")                \
    X(ERR_FORBIDDEN, "forbidden", 403, LOG_DEBUG, "Not allowed", "권한이 없습니다")                                    \
    X(ERR_NOT_FOUND, "not_found", 404, LOG_DEBUG, "Not found", "찾을 수 없습니다")                                     \
    X(ERR_METHOD, "method_not_allowed", 405, LOG_DEBUG, "Method not allowed", "허용되지 않는 메서드입니다")            \
    X(ERR_CONFLICT, "conflict", 409, LOG_DEBUG, "It is in another state", "현재 상태와 충돌합니다")                    \
    X(ERR_STILL_RUNNING, "still_running", 409, LOG_INFO, "The same request is still running", "처리 중인 요청입니다")  \
    X(ERR_STALE_VERSION, "stale_version", 412, LOG_DEBUG, "It has changed meanwhile", "이미 변경되었습니다")           \
    X(ERR_TOO_LARGE, "body_too_large", 413, LOG_DEBUG, "The body is too large", "요청 본문이 너무 큽니다")             \
    X(ERR_MEDIA_TYPE, "unsupported_media_type", 415, LOG_DEBUG, "The content type is not supported",                   \
      "지원하지 않는 형식입니다")                                                                                      \
    X(ERR_NEVER, "unprocessable", 422, LOG_DEBUG, "This can never work", "처리할 수 없는 요청입니다")                  \
    X(ERR_KEY_REUSED, "idempotency_key_reused", 422, LOG_DEBUG, "The Idempotency-Key was used for another request",    \
      "다른 요청에 사용된 키입니다")                                                                                   \
    X(ERR_RATE_LIMITED, "rate_limited", 429, LOG_DEBUG, "Too many requests", "요청이 너무 많습니다")                   \
    X(ERR_INTERNAL, "internal", 500, LOG_ERROR, "Something is wrong on our side", "서버 오류입니다")                   \
    X(ERR_UNAVAILABLE, "unavailable", 503, LOG_WARN, "Try again later", "잠시 후 다시 시도해 주세요")                  \
    X(ERR_OVERLOADED, "overloaded", 503, LOG_WARN, "Too busy now", "서버가 혼잡합니다")                                \
    X(ERR_NOT_YET, "not_yet", 503, LOG_INFO, "Not here yet: try again", "아직 준비되지 않았습니다")

#define PROBLEM_DECLARE(name, code, status, level, en, ko) extern const struct problem name;
#define PROBLEM_DEFINE(name, code, status, level, en, ko) const struct problem name = {code, status, level, en, ko};
#define PROBLEM_LIST(name, code, status, level, en, ko) &name,

COMMON_PROBLEMS(PROBLEM_DECLARE)

/* Every common problem, ended by NULL: for tests and docs. */
extern const struct problem *const COMMON_PROBLEM_LIST[];

enum { ERR_FIELDS_MAX = 8 };

struct err_field {
    char pointer[64];  /* JSON pointer (RFC 6901) or the name of a query parameter */
    char message[112]; /* what is wrong with it */
};

struct err {
    const struct problem *problem; /* NULL: no failure */
    char message[200];             /* for the API's caller: member `detail` of the reply */
    char detail[200];              /* for our log only */
    int retry_after_s;             /* > 0: header Retry-After */
    int field_count;
    struct err_field fields[ERR_FIELDS_MAX]; /* member `errors[]` */
};

/* Sets the problem and the words for the caller; clears fields. Always returns false, so that rules can end with it. */
bool err_set(struct err *err, const struct problem *problem, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The same for a failure below us (database, broker): the caller reads only the title; `format` goes to the log. */
bool err_set_internal(struct err *err, const struct problem *problem, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Adds one wrong field; makes the problem ERR_BAD_INPUT when none is set. Always returns false. More than
 * ERR_FIELDS_MAX are dropped. */
bool err_add_field(struct err *err, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Sets ERR_RATE_LIMITED or another problem with Retry-After in seconds. Always returns false. */
bool err_set_retry(struct err *err, const struct problem *problem, int retry_after_s, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

void err_clear(struct err *err);

static inline bool err_is(const struct err *err, const struct problem *problem)
{
    return err->problem == problem;
}

#endif
