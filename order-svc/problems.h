/* problems.h - what order-svc refuses beyond the common problems. The codes are stable and stand in docs/errors.md;
 * most are reasons of the engine (market.h), and their replies carry the member order_id. */
#ifndef MADANG_ORDER_PROBLEMS_H
#define MADANG_ORDER_PROBLEMS_H

#include "errors.h"

#define ORDER_PROBLEMS(X)                                                                                              \
    X(ERR_MARKET_CLOSED, "market_closed", 409, LOG_DEBUG, "The market is closed", "거래 시간이 아닙니다")              \
    X(ERR_ORDER_DONE, "order_done", 409, LOG_DEBUG, "The order has ended", "이미 종료된 주문입니다")                   \
    X(ERR_UNKNOWN_COMPANY, "unknown_company", 404, LOG_DEBUG, "There is no such company", "없는 회사입니다")           \
    X(ERR_HALTED, "halted", 422, LOG_DEBUG, "Trading of this company is halted", "거래가 정지된 종목입니다")           \
    X(ERR_BAD_TICK, "bad_tick", 422, LOG_DEBUG, "The price is not a multiple of the tick", "호가 단위가 아닙니다")     \
    X(ERR_BAD_PRICE, "bad_price", 422, LOG_DEBUG, "The price is outside the limits", "주문 가능한 가격이 아닙니다")    \
    X(ERR_BAD_QUANTITY, "bad_quantity", 422, LOG_DEBUG, "The quantity can't be taken", "주문 가능한 수량이 아닙니다")  \
    X(ERR_INSUFFICIENT_CASH, "insufficient_cash", 422, LOG_DEBUG, "Not enough available cash",                         \
      "주문 가능 금액이 부족합니다")                                                                                   \
    X(ERR_INSUFFICIENT_SHARES, "insufficient_shares", 422, LOG_DEBUG, "Not enough available shares",                   \
      "주문 가능 수량이 부족합니다")                                                                                   \
    X(ERR_ORDER_TOO_LARGE, "too_large", 422, LOG_DEBUG, "The quantity must be below the other side's total",           \
      "반대편 잔량보다 적은 수량만 주문할 수 있습니다")                                                                \
    X(ERR_WOULD_CROSS, "would_cross", 422, LOG_DEBUG, "A post-only order would trade at once",                         \
      "즉시 체결되는 주문입니다")                                                                                      \
    X(ERR_OVERFLOW, "overflow", 422, LOG_DEBUG, "Too many open orders, or too large an amount",                        \
      "주문 한도를 초과했습니다")

ORDER_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const ORDER_PROBLEM_LIST[];

#endif
