/* Orders in: POST, PATCH, DELETE. Each handler runs twice: the first run checks and sends the command, the second one
 * answers from what the market's owner said. No worker waits in between, and an order touches no database: so POST,
 * PATCH and DELETE of one run on the server's loop, and go to a worker when the schema must be asked after all. */
#include "api.h"

#include "api_common.h"
#include "codec.h"
#include "crypto.h"
#include "entry.h"
#include "fresh.h"
#include "idempotency.h"
#include "problems.h"
#include "store_reads.h"
#include "verdict.h"

#include <string.h>

enum {
    LONG_BODY = 4096,
    LONG_ANSWER = 16384,
    CLOSED_WAIT_MS = 1000,
    LONG_CLOSED_MS = 60000, /* more than clocks differ */
    CANCEL_LAG = 2,
    ELSEWHERE_MAX = 8, /* markets beside the running one that cancel-all reaches, newest first */
};

/* A body of many kilobytes, or an order that took hundreds of others, is no matter of microseconds: true when this run
 * shall begin again on a worker. */
static bool is_long_work(struct request *req)
{
    return (req->body.length > LONG_BODY || req->answer.length > LONG_ANSWER) && http_must_hand_over(req);
}

/* ---- what the owner said ---- */

/* A problem as http would print it, with what the engine tells besides. */
static bool reply_refusal(struct request *req, struct reply *reply, const struct verdict *verdict, const char *order_id,
                          struct err *err)
{
    struct err refusal = {0};
    const struct problem *problem = verdict_problem(verdict->reason);
    if (!problem || problem == &ERR_NOT_FOUND)
        return err_set(err, problem ? problem : &ERR_INTERNAL, "no such order");
    err_set(&refusal, problem, "%s", "");
    reply->status = problem->status;
    reply->content_type = "application/problem+json";
    problem_print(&reply->body, &refusal, req->korean, req->request_id);
    reply->body.length--; /* open again */
    json_text(&reply->body, "order_id", order_id);
    if (verdict->reason == REASON_TOO_LARGE && !verdict->repeated) /* a repeat does not know any more */
        json_i64(&reply->body, "max", verdict->limit);
    json_close(&reply->body, '}');
    return true;
}

static const char *id_text(struct arena *arena, const struct uuid *id)
{
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_format(id, text);
    return text;
}

static struct order order_of(struct request *req, const struct verdict *verdict, const struct catalog_market *market,
                             const char *order_id)
{
    const struct market_order *told = &verdict->order;
    const struct view client = told->client_order_id;
    const int64_t created_ms = uuid_time_ms(order_id);
    return (struct order){
        .id = order_id,
        .company_id = told->company < market->rules.company_count
                          ? id_text(req->arena, &market->rules.companies[told->company].id)
                          : NULL,
        .client_order_id = client.length ? arena_bytes(req->arena, client.bytes, client.length) : NULL,
        .side = told->side,
        .type = told->type,
        .tif = told->tif,
        .post_only = told->post_only,
        .price = told->price,
        .quantity = told->quantity,
        .remaining = verdict->remaining,
        .filled = verdict->filled,
        .paid = verdict->paid,
        .status = verdict->status,
        .reason = verdict->reason == REASON_NONE ? NULL : market_reason_name(verdict->reason),
        .created_ms = created_ms,
        .updated_ms = verdict->at_ms > created_ms ? verdict->at_ms : created_ms,
    };
}

static bool reply_verdict(struct request *req, struct reply *reply, int status, struct err *err)
{
    struct market_events events;
    struct verdict verdict;
    struct catalog_market market;
    if (is_long_work(req) || !market_events_decode(req->arena, req->answer, &events, err) ||
        !verdict_of(&events, &verdict, err))
        return false;
    const char *order_id = id_text(req->arena, &verdict.order_id);
    if (verdict.refused)
        return reply_refusal(req, reply, &verdict, order_id, err);
    if (!market_of_id(req, &events.market, &market, err))
        return false;
    const struct order order = order_of(req, &verdict, &market, order_id);
    reply->status = status;
    codec_order(&reply->body, NULL, &order);
    return true;
}

/* ---- no verdict (yet) ---- */

/* Who asks again by client_order_id gets the order as it stands. */
static bool reply_stored(struct reply *reply, const char *order_id)
{
    reply->status = 202;
    codec_accepted(&reply->body, order_id);
    return true;
}

static bool nothing_certain(struct err *err)
{
    return err_set_retry(err, &ERR_UNAVAILABLE, 1,
                         "it could not be stored in time and may still be done: repeat with the same client_order_id");
}

/* ---- asking ---- */

static bool ask(struct request *req, const struct catalog_market *market, struct market_command *command,
                struct err *err)
{
    struct entry_wish wish = entry_wish(http_header(req, "Prefer"));
    if (market->phase == PHASE_CLOSED && wish.wait_ms > CLOSED_WAIT_MS)
        wish.wait_ms = CLOSED_WAIT_MS;
    return entry_ask(app_of(req)->entry, req, market, command, &wish, err);
}

/* ---- POST ---- */

/* client_order_id, else the Idempotency-Key; a long key by its hash. */
static bool take_key(struct request *req, struct market_order *order, struct err *err)
{
    const char *key;
    if (order->client_order_id.length)
        return true;
    if (!idempotency_key(req, &key, err))
        return false;
    if (!key)
        return true;
    order->client_order_id = view_of(key);
    if (order->client_order_id.length > MARKET_CLIENT_ID_MAX) {
        char *hash = arena_alloc(req->arena, SHA256_HEX_BYTES);
        crypto_sha256_hex(key, strlen(key), hash);
        order->client_order_id = view_of(hash);
    }
    return true;
}

static bool order_ask(struct request *req, const struct order_wish *wish, struct market_order *order, struct err *err)
{
    const struct order_app *app = app_of(req);
    struct catalog_market market;
    int index = 0;
    if (!take_key(req, order, err) ||
        !market_of_company(req, wish->company_id, &ERR_UNKNOWN_COMPANY, &market, &index, err) ||
        !codec_price_fits(order->price, &market.rules, err) ||
        !fresh_keeps_up(app->fresh, req, market.partition, app->config->max_lag, err))
        return false;
    if (!uuid_parse(caller_of(req), &order->account))
        return err_set_internal(err, &ERR_INTERNAL, "a caller without an id");
    req->kept = entry_ticket(app->entry);
    order->order_id = entry_order_id(app->entry, req->kept, &market.id);
    order->company = (uint8_t)index;
    struct market_command command = {.kind = MARKET_PLACE, .order = *order};
    return ask(req, &market, &command, err);
}

/* No verdict in time. Of a market that closed long before the order came nothing but a refusal was to come; one that
 * closed about then may have taken it. */
static bool order_stored(struct request *req, struct reply *reply, const struct order_wish *wish, struct err *err)
{
    struct catalog_market market;
    if (!market_of_company(req, wish->company_id, &ERR_UNKNOWN_COMPANY, &market, NULL, err))
        return false;
    const struct uuid id = entry_order_id(app_of(req)->entry, req->kept, &market.id);
    const char *order_id = id_text(req->arena, &id);
    if (market.phase == PHASE_CLOSED && market.closed_ms > 0 &&
        uuid_time_ms(order_id) - market.closed_ms > LONG_CLOSED_MS && !entry_wish(http_header(req, "Prefer")).async)
        return err_set(err, &ERR_MARKET_CLOSED, "%s", "");
    return reply_stored(reply, order_id);
}

/* POST /api/orders {company_id, side, type, quantity, price?, time_in_force?, post_only?, client_order_id?} -> 201 the
 * order with its verdict, 202 {id} with `Prefer: respond-async` or when no verdict came in time; a refusal of the
 * engine is a problem with order_id. */
bool order_create(struct request *req, struct reply *reply, struct err *err)
{
    struct order_wish wish;
    struct market_order order;
    const enum entry_outcome outcome = req->asked ? entry_outcome(app_of(req)->entry, req) : ENTRY_UNKNOWN;
    if (outcome == ENTRY_VERDICT)
        return reply_verdict(req, reply, 201, err);
    if (req->asked && outcome == ENTRY_UNKNOWN)
        return nothing_certain(err);
    if (is_long_work(req) || !codec_order_wish(req->arena, req->body, &wish, &order, err))
        return false;
    return req->asked ? order_stored(req, reply, &wish, err) : order_ask(req, &wish, &order, err);
}

/* ---- PATCH and DELETE of one order ---- */

/* The market of an order that may be open: by the order's id while that market is open, else from the schema.
 * ERR_NOT_FOUND for no order of the caller's, ERR_ORDER_DONE for one that has ended. */
static bool market_of_order(struct request *req, const char *order_id, struct catalog_market *market, struct err *err)
{
    const struct order_row *row;
    struct uuid id;
    if (!uuid_parse(order_id, &id))
        return err_set(err, &ERR_NOT_FOUND, "no such order");
    if (catalog_of_order(app_of(req)->catalog, &id, market) && market->phase != PHASE_CLOSED)
        return true;
    if (http_must_hand_over(req) || !fresh_order(req, order_id, &row, err))
        return false;
    if (!row)
        return may_come(req, order_id) ? http_try_again(req, SOON_LOOK_MS)
                                       : err_set(err, &ERR_NOT_FOUND, "no such order");
    if (row->order.status != ORDER_OPEN && row->order.status != ORDER_PARTIAL)
        return err_set(err, &ERR_ORDER_DONE, "it is %s", ORDER_STATUS_NAMES[row->order.status]);
    return uuid_parse(row->market_id, &id) && market_of_id(req, &id, market, err);
}

static bool change_ask(struct request *req, const char *order_id, struct market_command *command, struct err *err)
{
    const struct order_app *app = app_of(req);
    const int64_t max_lag = app->config->max_lag * (command->kind == MARKET_AMEND ? 1 : CANCEL_LAG);
    struct catalog_market market = {0};
    if (!market_of_order(req, order_id, &market, err) || !codec_price_fits(command->order.price, &market.rules, err) ||
        !fresh_keeps_up(app->fresh, req, market.partition, max_lag, err))
        return false;
    if (!uuid_parse(order_id, &command->order.order_id) || !uuid_parse(caller_of(req), &command->order.account))
        return err_set_internal(err, &ERR_INTERNAL, "ids that are none");
    req->kept = entry_ticket(app->entry);
    return ask(req, &market, command, err);
}

static bool change_answered(struct request *req, struct reply *reply, const char *order_id, struct err *err)
{
    switch (entry_outcome(app_of(req)->entry, req)) {
    case ENTRY_VERDICT:
        return reply_verdict(req, reply, 200, err);
    case ENTRY_STORED:
        return reply_stored(reply, order_id);
    case ENTRY_UNKNOWN:
        break;
    }
    return nothing_certain(err);
}

/* PATCH /api/orders/:id {price?, quantity?} -> the order. quantity is the new total, filled included. */
bool order_amend(struct request *req, struct reply *reply, struct err *err)
{
    const char *order_id = http_param_uuid(req, "id", err);
    struct amend_wish wish;
    if (!order_id)
        return false;
    if (req->asked)
        return change_answered(req, reply, order_id, err);
    if (is_long_work(req) || !codec_amend_wish(req->arena, req->body, &wish, err))
        return false;
    struct market_command command = {.kind = MARKET_AMEND, .order = {.price = wish.price, .quantity = wish.quantity}};
    return change_ask(req, order_id, &command, err);
}

/* DELETE /api/orders/:id -> the order as it ended. */
bool order_cancel(struct request *req, struct reply *reply, struct err *err)
{
    const char *order_id = http_param_uuid(req, "id", err);
    if (!order_id)
        return false;
    if (req->asked)
        return change_answered(req, reply, order_id, err);
    struct market_command command = {.kind = MARKET_CANCEL};
    return change_ask(req, order_id, &command, err);
}

/* ---- DELETE of all ---- */

static bool reply_count(struct reply *reply, int64_t count)
{
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "cancelled", count);
    json_close(&reply->body, '}');
    return true;
}

static bool all_answered(struct request *req, struct reply *reply, struct err *err)
{
    struct market_events events;
    int64_t count;
    switch (entry_outcome(app_of(req)->entry, req)) {
    case ENTRY_VERDICT:
        return market_events_decode(req->arena, req->answer, &events, err) && verdict_of_all(&events, &count, err) &&
               reply_count(reply, count);
    case ENTRY_STORED:
        return reply_stored(reply, NULL);
    case ENTRY_UNKNOWN:
        break;
    }
    return nothing_certain(err);
}

/* Markets of before that nobody has closed: what is open there ends too, without a word of it in the reply. */
static bool cancel_elsewhere(struct request *req, const struct catalog_market *current, const struct uuid *account,
                             struct err *err)
{
    const struct order_app *app = app_of(req);
    struct catalog_market *others = arena_alloc(req->arena, ELSEWHERE_MAX * sizeof *others);
    const size_t count = catalog_unclosed(app->catalog, others, ELSEWHERE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct market_command command = {.kind = MARKET_CANCEL_ALL, .cancel_all = {.account = *account}};
        if (memcmp(&others[i].id, &current->id, sizeof current->id) != 0 &&
            !entry_tell(app->entry, req, &others[i], &command, err))
            return false;
    }
    return true;
}

/* DELETE /api/orders -> {cancelled: n}: all that is open; n of the running market. */
bool order_cancel_all(struct request *req, struct reply *reply, struct err *err)
{
    const struct order_app *app = app_of(req);
    struct market_command command = {.kind = MARKET_CANCEL_ALL};
    struct catalog_market market;
    bool found;
    if (req->asked)
        return all_answered(req, reply, err);
    if (!market_current(req, &market, &found, err))
        return false;
    if (!uuid_parse(caller_of(req), &command.cancel_all.account))
        return err_set_internal(err, &ERR_INTERNAL, "a caller without an id");
    if (found && !cancel_elsewhere(req, &market, &command.cancel_all.account, err))
        return false;
    if (!found || market.phase == PHASE_CLOSED)
        return reply_count(reply, 0); /* a close has ended all there was */
    if (!fresh_keeps_up(app->fresh, req, market.partition, app->config->max_lag * CANCEL_LAG, err))
        return false;
    req->kept = entry_ticket(app->entry);
    return ask(req, &market, &command, err);
}
