/* api_market.h - the book and the ticker of a company, from the table in memory. */
#ifndef MADANG_MATCH_API_MARKET_H
#define MADANG_MATCH_API_MARKET_H

#include "http.h"

/* GET /api/market/:company/book?depth=1..64 -> {seq, bids, asks}; 404 for a company nobody knows. */
bool market_book(struct request *req, struct reply *reply, struct err *err);
/* GET /api/market/:company/ticker -> price, change_pct, volume, high, low, halted, phase, seq; 404 likewise. */
bool market_ticker(struct request *req, struct reply *reply, struct err *err);

#endif
