/* model_state.h - what the slow order book (model.h) is made of: orders, accounts, what rests, and telling. */
#ifndef MADANG_TESTS_MATCH_MODEL_STATE_H
#define MADANG_TESTS_MATCH_MODEL_STATE_H

#include "model.h"

struct model_order {
    struct uuid id;
    size_t account;
    int company, side, type, tif;
    bool post_only, bot;
    int64_t price, quantity, filled, paid;
    int64_t turn; /* who came first */
    enum market_reason reason;
    char client[MARKET_CLIENT_ID_MAX];
    size_t client_length;
};

struct model_account {
    struct uuid id;
    bool bot;
    int64_t cash, shares[MARKET_COMPANIES_MAX]; /* owned, reserved included */
};

struct side {
    size_t *orders; /* numbers of resting orders, best first */
    size_t count;
};

struct model {
    size_t orders_max, accounts_max;
    enum { NEW, SET_UP, TRADING, CLOSED } phase;
    int64_t seed, tick, least, most;
    bool size_rule;
    int companies;
    int64_t last[MARKET_COMPANIES_MAX], trades[MARKET_COMPANIES_MAX];
    bool halted[MARKET_COMPANIES_MAX];
    struct side sides[MARKET_COMPANIES_MAX][2];
    struct model_order *orders;
    size_t order_count;
    struct model_account *accounts;
    size_t account_count;
    struct uuid *deposits;
    size_t deposit_count;
    struct {
        uint64_t source, n;
    } * senders;
    size_t sender_count;
    int64_t seq, turn;
    uint64_t commands;
    model_emit_fn emit;
    void *payload;
    enum market_command_kind kind;
};

bool model_same(const struct uuid *a, const struct uuid *b);
void model_insert(struct model *model, size_t number);
void model_rest(struct model *model, size_t number);
void model_unrest(struct model *model, size_t number);
int64_t model_left(const struct model_order *order);
int64_t model_free_cash(const struct model *model, size_t account);
int64_t model_free_shares(const struct model *model, size_t account, int company);
size_t model_open_orders(const struct model *model, size_t account);
bool model_find_account(const struct model *model, const struct uuid *id, size_t *found);
bool model_fits(const struct model *model, int64_t cash, const int64_t *shares);
bool model_need_account(struct model *model, const struct uuid *id, bool bot, size_t *account);
void model_tell(struct model *model, struct market_event *event);
void model_tell_order(struct model *model, enum market_event_kind kind, const struct model_order *order,
                      enum market_reason reason, bool kept, int64_t limit);
void model_refuse(struct model *model, const struct market_order *order, enum market_reason reason);
void model_finish(struct model *model, struct model_order *order, enum market_reason reason);

#endif
