/* problems.h - what only the gateway says no to; the rest stands in common/errors.h. */
#ifndef GATEWAY_PROBLEMS_H
#define GATEWAY_PROBLEMS_H

#include "errors.h"

#define GATEWAY_PROBLEMS(X)                                                                                            \
    X(ERR_BAD_REQUEST, "bad_request", 400, LOG_DEBUG, "This is not a valid HTTP request",                              \
      "올바른 HTTP 요청이 아닙니다")                                                                                   \
    X(ERR_ORIGIN, "origin_forbidden", 403, LOG_DEBUG, "This origin may not call", "허용되지 않은 출처입니다")          \
    X(ERR_REQUEST_TIMEOUT, "request_timeout", 408, LOG_DEBUG, "The request took too long",                             \
      "요청 시간이 초과되었습니다")                                                                                    \
    X(ERR_URI_TOO_LONG, "uri_too_long", 414, LOG_DEBUG, "The address is too long", "주소가 너무 깁니다")               \
    X(ERR_EXPECTATION, "expectation_failed", 417, LOG_DEBUG, "This expectation can't be met",                          \
      "지원하지 않는 Expect입니다")                                                                                    \
    X(ERR_UPGRADE_REQUIRED, "upgrade_required", 426, LOG_DEBUG, "Only a WebSocket opens here",                         \
      "웹소켓으로만 연결할 수 있습니다")                                                                               \
    X(ERR_TOO_MANY_STREAMS, "too_many_streams", 429, LOG_DEBUG, "Too many open streams",                               \
      "열린 스트림이 너무 많습니다")                                                                                   \
    X(ERR_HEADERS_TOO_LARGE, "headers_too_large", 431, LOG_DEBUG, "The headers are too large", "헤더가 너무 큽니다")   \
    X(ERR_NOT_IMPLEMENTED, "not_implemented", 501, LOG_DEBUG, "This is not supported", "지원하지 않는 기능입니다")     \
    X(ERR_BAD_GATEWAY, "bad_gateway", 502, LOG_WARN, "The service did not answer properly",                            \
      "서비스가 올바르게 응답하지 않았습니다")                                                                         \
    X(ERR_OUTCOME_UNKNOWN, "outcome_unknown", 502, LOG_WARN, "The service was lost; the request may have worked",      \
      "처리 여부를 확인할 수 없습니다")                                                                                \
    X(ERR_UPSTREAM_TIMEOUT, "upstream_timeout", 504, LOG_WARN, "The service took too long",                            \
      "서비스 응답 시간이 초과되었습니다")                                                                             \
    X(ERR_VERSION, "version_not_supported", 505, LOG_DEBUG, "Only HTTP/1.1 is spoken here",                            \
      "지원하지 않는 HTTP 버전입니다")

GATEWAY_PROBLEMS(PROBLEM_DECLARE)

/* Every problem of this file, ended by NULL: for tests and docs. */
extern const struct problem *const GATEWAY_PROBLEM_LIST[];

#endif
