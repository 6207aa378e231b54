/* api.h - the handlers of order-svc; the table is in routes.c. */
#ifndef MADANG_ORDER_API_H
#define MADANG_ORDER_API_H

#include "http.h"

/* api_orders.c */
bool order_create(struct request *req, struct reply *reply, struct err *err);
bool order_amend(struct request *req, struct reply *reply, struct err *err);
bool order_cancel(struct request *req, struct reply *reply, struct err *err);
bool order_cancel_all(struct request *req, struct reply *reply, struct err *err);
/* api_lists.c */
bool order_view(struct request *req, struct reply *reply, struct err *err);
bool order_list(struct request *req, struct reply *reply, struct err *err);
bool fill_list(struct request *req, struct reply *reply, struct err *err);
/* api_portfolio.c */
bool portfolio_view(struct request *req, struct reply *reply, struct err *err);
/* api_market.c */
bool trade_list(struct request *req, struct reply *reply, struct err *err);
bool candle_list(struct request *req, struct reply *reply, struct err *err);

#endif
