/* What one ordered and what came of it. */
#include "api.h"

#include "api_common.h"
#include "codec.h"
#include "fresh.h"
#include "problems.h"
#include "store_reads.h"
#include "text.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>

enum { NAME_PART_MAX = 50 };

/* Cursors: of either direction, so that a page does not go on the other way round. */
enum { ORDERS_NEWEST_KIND = 'o', ORDERS_OLDEST_KIND = 'p', FILLS_NEWEST_KIND = 'f', FILLS_OLDEST_KIND = 'g' };

/* ---- one ---- */

static bool no_such_order(struct err *err)
{
    return err_set(err, &ERR_NOT_FOUND, "no such order");
}

/* Its command may stand in the log and wait for the market's owner: then the order is told as POST told it. */
static bool view_missing(struct request *req, struct reply *reply, const char *order_id, struct err *err)
{
    const struct order_app *app = app_of(req);
    const struct order_row *row;
    struct catalog_market market;
    struct uuid id;
    bool answered, anybodys;
    if (!uuid_parse(order_id, &id) || !catalog_of_order(app->catalog, &id, &market))
        return may_come(req, order_id) ? http_try_again(req, SOON_LOOK_MS) : no_such_order(err);
    const int64_t made_ms = uuid_time_ms(order_id);
    if (!fresh_answered(app->fresh, req, market.partition, made_ms, &answered, err))
        return false;
    answered = answered || market.closed_ms > made_ms + FRESH_LONG_MS;
    if (!answered && req->waited_ms < SOON_WAIT_MS)
        return http_try_again(req, SOON_LOOK_MS);
    if (!store_order(app->db, req->arena, order_id, caller_of(req), &row, err) ||
        !store_order_is_there(app->db, order_id, &anybodys, err))
        return false;
    if (!row && (answered || anybodys))
        return no_such_order(err);
    if (row) {
        codec_order(&reply->body, NULL, &row->order);
    } else {
        reply->status = 202;
        codec_accepted(&reply->body, order_id);
    }
    return true;
}

/* GET /api/orders/:id -> the caller's order; 202 {id, status: accepted} while it waits for the market's owner. */
bool order_view(struct request *req, struct reply *reply, struct err *err)
{
    const char *order_id = http_param_uuid(req, "id", err);
    const struct order_row *row;
    if (!order_id || !fresh_order(req, order_id, &row, err))
        return false;
    if (!row)
        return view_missing(req, reply, order_id, err);
    codec_order(&reply->body, NULL, &row->order);
    return true;
}

/* ---- what a list is asked for ---- */

static bool query_one_of(struct request *req, const char *name, const char *const *values, const char **value,
                         struct err *err)
{
    *value = http_query(req, name);
    return !*value || name_index(values, *value) >= 0 || err_add_field(err, name, "no such %s", name);
}

static bool read_company(struct request *req, struct list_wish *wish, struct err *err)
{
    struct uuid parsed;
    wish->company_id = http_query(req, "company");
    if (wish->company_id && !uuid_parse(wish->company_id, &parsed))
        return err_add_field(err, "company", "must be a UUID");
    const char *part = http_query(req, "q");
    const char *plain = part ? text_nfc(req->arena, part, false) : NULL;
    if (part && (!plain || utf8_count(plain, strlen(plain)) > NAME_PART_MAX))
        return err_add_field(err, "q", "at most %d characters, no control characters", NAME_PART_MAX);
    wish->company_name = plain && *plain ? plain : NULL;
    return true;
}

static bool read_wish(struct request *req, char newest_kind, char oldest_kind, struct page *page,
                      struct list_wish *wish, struct err *err)
{
    static const char *const DIRECTIONS[] = {"newest", "oldest", NULL};
    const char *direction;
    *wish = (struct list_wish){.user_id = caller_of(req)};
    if (!read_company(req, wish, err) || !query_one_of(req, "side", SIDE_NAMES, &wish->side, err) ||
        !query_one_of(req, "order", DIRECTIONS, &direction, err))
        return false;
    wish->oldest_first = direction && strcmp(direction, "oldest") == 0;
    if (!page_read(req, wish->oldest_first ? oldest_kind : newest_kind, CURSOR_US_MAX, page, err))
        return false;
    wish->after = page_after(page);
    wish->limit = page->limit;
    return true;
}

/* `status` names one or more, with commas between; without it all but the rejected. */
static bool read_statuses(struct request *req, struct texts *statuses, struct err *err)
{
    const char *text = http_query(req, "status");
    statuses->items = arena_alloc(req->arena, ORDER_STATUSES * sizeof *statuses->items);
    for (int i = 0; !text && i < ORDER_REJECTED; i++)
        statuses->items[statuses->count++] = ORDER_STATUS_NAMES[i];
    while (text && statuses->count < ORDER_STATUSES) {
        const size_t length = strcspn(text, ",");
        const char *name = arena_bytes(req->arena, text, length);
        if (name_index(ORDER_STATUS_NAMES, name) < 0)
            break;
        statuses->items[statuses->count++] = name;
        if (!text[length])
            return true;
        text += length + 1;
    }
    return !text || err_add_field(err, "status", "open, partial, filled, cancelled, rejected");
}

/* ---- lists ---- */

/* GET /api/orders?company=&q=&side=&status=&order=newest|oldest -> page of the caller's orders. */
bool order_list(struct request *req, struct reply *reply, struct err *err)
{
    struct list_wish wish;
    struct order_list list;
    struct page page;
    if (!read_wish(req, ORDERS_NEWEST_KIND, ORDERS_OLDEST_KIND, &page, &wish, err) ||
        !read_statuses(req, &wish.statuses, err) || !fresh_for_company(req, wish.company_id, err) ||
        !store_orders(app_of(req)->db, req->arena, &wish, &list, err))
        return false;
    const size_t shown = list.count > (size_t)page.limit ? (size_t)page.limit : list.count;
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++)
        codec_order(&reply->body, NULL, &list.items[i].order);
    struct cursor last = {.kind = wish.oldest_first ? ORDERS_OLDEST_KIND : ORDERS_NEWEST_KIND};
    if (shown)
        (void)snprintf(last.id, sizeof last.id, "%s", list.items[shown - 1].order.id);
    page_close(&reply->body, list.count > shown ? &last : NULL);
    return true;
}

static void print_fill(struct str *out, const struct fill *fill)
{
    char id[UUID_TEXT_BYTES + 24];
    (void)snprintf(id, sizeof id, "%s:%lld", fill->company_id, (long long)fill->number);
    json_open(out, NULL, '{');
    json_text(out, "id", id);
    json_text(out, "order_id", fill->order_id);
    json_text(out, "company_id", fill->company_id);
    json_text(out, "side", SIDE_NAMES[fill->side]);
    json_i64(out, "price", fill->price);
    json_i64(out, "quantity", fill->quantity);
    json_time(out, "at", fill->at_us / 1000);
    json_close(out, '}');
}

/* GET /api/fills?company=&q=&side=&order=newest|oldest -> page of the caller's sides of trades. */
bool fill_list(struct request *req, struct reply *reply, struct err *err)
{
    struct list_wish wish;
    struct fill_list list;
    struct page page;
    if (!read_wish(req, FILLS_NEWEST_KIND, FILLS_OLDEST_KIND, &page, &wish, err) ||
        !fresh_for_company(req, wish.company_id, err) || !store_fills(app_of(req)->db, req->arena, &wish, &list, err))
        return false;
    const size_t shown = list.count > (size_t)page.limit ? (size_t)page.limit : list.count;
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++)
        print_fill(&reply->body, &list.items[i]);
    struct cursor last = {.kind = wish.oldest_first ? FILLS_OLDEST_KIND : FILLS_NEWEST_KIND};
    if (shown) {
        last.number = list.items[shown - 1].at_us;
        last.seq = list.items[shown - 1].seq;
    }
    page_close(&reply->body, list.count > shown ? &last : NULL);
    return true;
}
