#include "book_internal.h"

#include "market_wire.h"
#include "mem.h"

#include <stdlib.h>

/* magic 4, version 4, then the state, its hash 8, and a checksum 8 of all bytes before. Orders and accounts stand in
 * the order of their numbers; queues and lists are not written, they follow from the priorities. */
enum { MAGIC = 0x4b4f4f42 /* "BOOK" */, VERSION_1 = 1, CHECKSUM_BYTES = 8, ORDER_BYTES_LEAST = 16 + 4 + 7 + 40 + 1 };

/* ---- writing ---- */

static void put_i64(struct str *out, int64_t value)
{
    wire_put(out, (uint64_t)value, 8);
}

static void put_head(struct str *out, const struct book *book)
{
    wire_put(out, MAGIC, 4);
    wire_put(out, VERSION_1, 4);
    wire_put_uuid(out, &book->market);
    wire_put(out, book->phase, 1);
    wire_put(out, book->size_rule, 1);
    put_i64(out, book->seed_cash);
    put_i64(out, book->tick);
    put_i64(out, book->price_min);
    put_i64(out, book->price_max);
    put_i64(out, book->seq);
    put_i64(out, book->priority);
    put_i64(out, (int64_t)book->commands);
    put_i64(out, book->cash);
}

static void put_companies(struct str *out, const struct book *book)
{
    wire_put(out, book->company_count, 1);
    for (int i = 0; i < book->company_count; i++) {
        const struct company *company = &book->companies[i];
        wire_put_uuid(out, &company->id);
        put_i64(out, company->initial_price);
        put_i64(out, company->last_price);
        put_i64(out, company->volume);
        put_i64(out, company->high);
        put_i64(out, company->low);
        put_i64(out, company->trades);
        put_i64(out, company->shares);
        wire_put(out, company->halted, 1);
    }
}

static void put_senders(struct str *out, const struct book *book)
{
    wire_put(out, book->source_count, 4);
    for (size_t i = 0; i < book->source_count; i++) {
        wire_put(out, book->sources[i].id, 8);
        wire_put(out, book->sources[i].n, 8);
    }
    wire_put(out, book->deposit_count, 4);
    for (uint32_t i = 0; i < book->deposit_count; i++)
        wire_put_uuid(out, &book->deposits[i]);
}

static void put_accounts(struct str *out, const struct book *book)
{
    wire_put(out, book->account_count, 4);
    for (uint32_t ref = 0; ref < book->account_count; ref++) {
        const struct account *account = account_at(book, ref);
        wire_put_uuid(out, &account->id);
        wire_put(out, account->bot, 1);
        put_i64(out, account->cash);
        put_i64(out, account->cash_reserved);
        for (int i = 0; i < book->company_count; i++) {
            put_i64(out, account->shares[i].available);
            put_i64(out, account->shares[i].reserved);
        }
    }
}

static void put_orders(struct str *out, const struct book *book)
{
    wire_put(out, book->order_count, 4);
    for (uint32_t ref = 0; ref < book->order_count; ref++) {
        const struct order *order = order_at(book, ref);
        const struct view text = order_text(book, order);
        wire_put_uuid(out, &order->id);
        wire_put(out, order->account, 4);
        const unsigned char form[] = {order->company, order->side,      order->type, order->tif,
                                      order->reason,  order->post_only, order->bot};
        str_add_bytes(out, form, sizeof form);
        put_i64(out, order->price);
        put_i64(out, order->quantity);
        put_i64(out, order->filled);
        put_i64(out, order->paid);
        put_i64(out, order->priority);
        wire_put(out, text.length, 1);
        str_add_bytes(out, text.bytes, text.length);
    }
}

void book_save(const struct book *book, struct str *out)
{
    const size_t start = out->length;
    put_head(out, book);
    put_companies(out, book);
    put_senders(out, book);
    put_accounts(out, book);
    put_orders(out, book);
    wire_put(out, book_hash(book), 8);
    wire_put(out, hash_bytes(out->bytes + start, out->length - start), 8);
}

/* ---- reading ---- */

static bool take_head(struct wire *wire, struct book *book)
{
    if (wire_take(wire, 4) != MAGIC || wire_take(wire, 4) != VERSION_1)
        return false;
    book->market = wire_uuid(wire);
    book->phase = wire_enum(wire, BOOK_CLOSED + 1);
    book->size_rule = wire_bool(wire);
    book->seed_cash = wire_count(wire);
    book->tick = wire_count(wire);
    book->price_min = wire_count(wire);
    book->price_max = wire_count(wire);
    book->seq = wire_count(wire);
    book->priority = wire_count(wire);
    book->commands = wire_take(wire, 8);
    book->cash = wire_count(wire);
    return !wire->bad;
}

static bool take_companies(struct wire *wire, struct book *book)
{
    const uint8_t count = wire_enum(wire, MARKET_COMPANIES_MAX + 1);
    if (wire->bad || (book->phase == BOOK_NEW) != (count == 0))
        return false;
    if (count && (book->tick < 1 || book->price_min < 1 || book->price_max < book->price_min ||
                  (book->price_max - book->price_min) / book->tick >= MARKET_LEVELS_MAX))
        return false;
    for (int i = 0; i < count; i++) {
        struct company *company = &book->companies[i];
        company->id = wire_uuid(wire);
        company->initial_price = wire_count(wire);
        company->last_price = wire_count(wire);
        company->volume = wire_count(wire);
        company->high = wire_count(wire);
        company->low = wire_count(wire);
        company->trades = wire_count(wire);
        company->shares = wire_count(wire);
        company->halted = wire_bool(wire);
        company->changed = true;
    }
    if (wire->bad)
        return false;
    book->company_count = count;
    if (count)
        book_make_ladders(book);
    return true;
}

static bool take_senders(struct wire *wire, struct book *book)
{
    for (uint64_t left = wire_take(wire, 4); left > 0 && !wire->bad; left--) {
        const uint64_t id = wire_take(wire, 8), n = wire_take(wire, 8);
        if (wire->bad || objects_source(book, id))
            return false;
        objects_add_source(book, id)->n = n;
    }
    for (uint64_t left = wire_take(wire, 4); left > 0 && !wire->bad; left--) {
        const struct uuid id = wire_uuid(wire);
        if (wire->bad || objects_deposit_known(book, &id))
            return false;
        objects_add_deposit(book, &id);
    }
    return !wire->bad;
}

static bool take_accounts(struct wire *wire, struct book *book)
{
    const uint64_t count = wire_take(wire, 4);
    if (count > MARKET_ACCOUNTS_MAX)
        return false;
    for (uint64_t i = 0; i < count && !wire->bad; i++) {
        const struct uuid id = wire_uuid(wire);
        const bool bot = wire_bool(wire);
        if (wire->bad || accounts_find(book, &id) != NONE)
            return false;
        struct account *account = account_at(book, accounts_add(book, &id, bot));
        account->cash = wire_count(wire);
        account->cash_reserved = wire_count(wire);
        for (int company = 0; company < book->company_count; company++) {
            account->shares[company].available = wire_count(wire);
            account->shares[company].reserved = wire_count(wire);
        }
    }
    return !wire->bad;
}

/* What linking relies on; book_check looks at the rest. */
static bool can_rest(const struct book *book, const struct order *order)
{
    int64_t most;
    return !__builtin_mul_overflow(order->quantity, book->price_max, &most) && order->type == TYPE_LIMIT &&
           order->tif == TIF_GTC && order->price >= book->price_min && order->price <= book->price_max &&
           order->price % book->tick == 0 && order->filled < order->quantity && order->quantity <= MARKET_QUANTITY_MAX;
}

static bool take_order(struct wire *wire, struct book *book)
{
    struct market_order wish = {.order_id = wire_uuid(wire)};
    const uint64_t account = wire_take(wire, 4);
    struct order form = {.company = wire_enum(wire, book->company_count)};
    form.side = wire_enum(wire, SIDE_SELL + 1);
    form.type = wire_enum(wire, TYPE_MARKET + 1);
    form.tif = wire_enum(wire, TIF_FOK + 1);
    form.reason = wire_enum(wire, REASONS);
    form.post_only = wire_bool(wire);
    form.bot = wire_bool(wire);
    form.price = wire_i64(wire);
    form.quantity = wire_i64(wire);
    form.filled = wire_count(wire);
    form.paid = wire_count(wire);
    form.priority = wire_count(wire);
    wish.client_order_id = wire_text(wire);
    if (wire->bad || account >= book->account_count || objects_order_by_id(book, &wish.order_id) != NONE ||
        (form.reason == REASON_NONE && !can_rest(book, &form)))
        return false;
    const uint32_t ref = objects_add_order(book, &wish.order_id, (uint32_t)account, wish.client_order_id);
    struct order *order = order_at(book, ref);
    form.id = order->id;
    form.account = order->account;
    form.client_hash = order->client_hash;
    form.client_at = order->client_at;
    form.client_length = order->client_length;
    *order = form;
    order_changed(book, order, ref);
    return true;
}

struct place {
    int64_t priority;
    uint32_t ref;
};

static int by_priority(const void *a, const void *b)
{
    const int64_t x = ((const struct place *)a)->priority, y = ((const struct place *)b)->priority;
    return (x > y) - (x < y);
}

static void link_all(struct book *book)
{
    AUTO_FREE struct place *places = mem_new(book->order_count, sizeof *places);
    size_t count = 0;
    for (uint32_t ref = 0; ref < book->order_count; ref++)
        if (order_at(book, ref)->reason == REASON_NONE)
            places[count++] = (struct place){order_at(book, ref)->priority, ref};
    qsort(places, count, sizeof *places, by_priority);
    for (size_t i = 0; i < count; i++)
        book_link(book, places[i].ref);
}

static bool take_all(struct wire *wire, struct book *book)
{
    if (!take_head(wire, book) || !take_companies(wire, book) || !take_senders(wire, book) ||
        !take_accounts(wire, book))
        return false;
    const uint64_t orders = wire_take(wire, 4);
    if (wire->bad || orders > (size_t)(wire->end - wire->at) / ORDER_BYTES_LEAST)
        return false;
    for (uint64_t i = 0; i < orders; i++)
        if (!take_order(wire, book))
            return false;
    link_all(book);
    return wire_take(wire, 8) == book_hash(book) && !wire->bad && wire->at == wire->end;
}

struct book *book_restore(struct view bytes, const struct book_limits *limits, struct err *err)
{
    const unsigned char *start = (const unsigned char *)bytes.bytes;
    uint64_t checksum = 0;
    for (int i = 0; bytes.length > CHECKSUM_BYTES && i < CHECKSUM_BYTES; i++)
        checksum |= (uint64_t)start[bytes.length - CHECKSUM_BYTES + (size_t)i] << (8 * i);
    if (bytes.length <= CHECKSUM_BYTES || checksum != hash_bytes(bytes.bytes, bytes.length - CHECKSUM_BYTES)) {
        (void)err_set(err, &ERR_BAD_INPUT, "snapshot of %zu bytes: the checksum differs", bytes.length);
        return NULL;
    }
    AUTO(book) book = book_open(limits);
    struct wire wire = {start, start + bytes.length - CHECKSUM_BYTES, false};
    struct err why = {0};
    if (!take_all(&wire, book)) {
        (void)err_set(err, &ERR_BAD_INPUT, "snapshot of %zu bytes: not of this version, or not whole", bytes.length);
        return NULL;
    }
    if (!book_check(book, &why)) {
        (void)err_set(err, &ERR_BAD_INPUT, "snapshot of %zu bytes: %.120s", bytes.length, why.message);
        return NULL;
    }
    hash_settle(book);
    return TAKE(book);
}
