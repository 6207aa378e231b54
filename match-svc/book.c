#include "book_internal.h"

#include "mem.h"

#include <stdlib.h>

/* ---- opening and releasing ---- */

struct book *book_open(const struct book_limits *limits)
{
    struct book *book = MEM_NEW(book);
    book->limits = *limits;
    if (book->limits.accounts_max > MARKET_ACCOUNTS_MAX)
        book->limits.accounts_max = MARKET_ACCOUNTS_MAX;
    if (book->limits.orders_max > INT32_MAX)
        book->limits.orders_max = INT32_MAX;
    return book;
}

void book_release(struct book **held)
{
    struct book *book = *held;
    if (!book)
        return;
    for (int i = 0; i < book->company_count; i++) {
        free(book->companies[i].levels);
        free(book->companies[i].sides[SIDE_BUY].words);
        free(book->companies[i].sides[SIDE_SELL].words);
    }
    objects_release(book);
    free(book);
    *held = NULL;
}

void book_make_ladders(struct book *book)
{
    book->level_count = level_of(book, book->price_max) + 1;
    for (int i = 0; i < book->company_count; i++) {
        book->companies[i].levels = mem_new(book->level_count, sizeof(struct level));
        for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
            book->companies[i].sides[side].words = mem_new(WORDS_MAX, sizeof(uint64_t));
            book->companies[i].sides[side].best = -1;
        }
    }
}

/* ---- telling ---- */

void book_tell(struct book *book, struct market_event *event)
{
    event->seq = ++book->seq;
    book->emit(book->payload, event);
}

static struct market_order asked(const struct book *book, const struct order *order, bool with_client_id)
{
    return (struct market_order){
        .order_id = order->id,
        .account = account_at(book, order->account)->id,
        .company = order->company,
        .side = order->side,
        .type = order->type,
        .tif = order->tif,
        .post_only = order->post_only,
        .bot = order->bot,
        .price = order->price,
        .quantity = order->quantity,
        .client_order_id = with_client_id ? order_text(book, order) : (struct view){"", 0},
    };
}

void book_tell_order(struct book *book, enum market_event_kind kind, const struct order *order, struct tale tale)
{
    const bool whole = kind == MARKET_ACCEPTED || kind == MARKET_REPEATED || kind == MARKET_REJECTED;
    struct market_event event;
    event.kind = kind;
    event.order.order = asked(book, order, whole);
    event.order.remaining = order_remaining(order);
    event.order.filled = order->filled;
    event.order.paid = order->paid;
    event.order.command = (uint8_t)book->command;
    event.order.reason = (uint8_t)tale.reason;
    event.order.kept_priority = tale.kept_priority;
    event.order.limit = tale.limit;
    book_tell(book, &event);
}

void book_tell_refusal(struct book *book, const struct market_order *order, enum market_reason reason)
{
    struct market_event event = {.kind = MARKET_REJECTED,
                                 .order = {.order = *order,
                                           .remaining = order->quantity,
                                           .command = (uint8_t)book->command,
                                           .reason = (uint8_t)reason}};
    book_tell(book, &event);
}

/* ---- the market's own commands: a second time they do nothing ---- */

static void apply_open(struct book *book, const struct market_command *command)
{
    if (book->phase != BOOK_NEW)
        return;
    book->market = command->market;
    book->seed_cash = command->open.seed_cash;
    book->tick = command->open.tick;
    book->price_min = command->open.price_min;
    book->price_max = command->open.price_max;
    book->size_rule = command->open.size_rule;
    book->company_count = command->open.company_count;
    for (int i = 0; i < book->company_count; i++) {
        const struct market_company *from = &command->open.companies[i];
        book->companies[i] = (struct company){
            .id = from->id, .initial_price = from->initial_price, .last_price = from->initial_price, .changed = true};
    }
    book_make_ladders(book);
    book->phase = BOOK_SET_UP;
    book_tell(book, &(struct market_event){.kind = MARKET_OPENED, .opened = command->open});
}

static void apply_start(struct book *book, const struct market_command *command)
{
    (void)command;
    if (book->phase != BOOK_SET_UP)
        return;
    book->phase = BOOK_TRADING;
    book_tell(book, &(struct market_event){.kind = MARKET_STARTED});
}

static void apply_halt(struct book *book, const struct market_command *command)
{
    if ((book->phase != BOOK_SET_UP && book->phase != BOOK_TRADING) || command->halt.company >= book->company_count ||
        book->companies[command->halt.company].halted == command->halt.on)
        return;
    book->companies[command->halt.company].halted = command->halt.on;
    book->companies[command->halt.company].changed = true;
    book_tell(book, &(struct market_event){.kind = MARKET_HALTED, .halt = {command->halt.company, command->halt.on}});
}

static void apply_close(struct book *book, const struct market_command *command)
{
    (void)command;
    if (book->phase != BOOK_SET_UP && book->phase != BOOK_TRADING)
        return;
    struct market_event event = {.kind = MARKET_CLOSED, .closed = {.company_count = book->company_count}};
    for (int i = 0; i < book->company_count; i++)
        event.closed.last_prices[i] = book->companies[i].last_price;
    book->phase = BOOK_CLOSED;
    book_tell(book, &event);
    accounts_close(book);
}

static void apply_place(struct book *book, const struct market_command *command)
{
    book_place(book, &command->order);
}

static void apply_amend(struct book *book, const struct market_command *command)
{
    book_amend(book, &command->order);
}

static void apply_cancel(struct book *book, const struct market_command *command)
{
    book_cancel(book, &command->order);
}

static void apply_cancel_all(struct book *book, const struct market_command *command)
{
    book_cancel_all(book, &command->cancel_all.account);
}

static void (*const APPLY[MARKET_COMMANDS])(struct book *book, const struct market_command *command) = {
    [MARKET_OPEN] = apply_open,
    [MARKET_START] = apply_start,
    [MARKET_DEPOSIT] = book_deposit,
    [MARKET_PLACE] = apply_place,
    [MARKET_AMEND] = apply_amend,
    [MARKET_CANCEL] = apply_cancel,
    [MARKET_CANCEL_ALL] = apply_cancel_all,
    [MARKET_HALT] = apply_halt,
    [MARKET_CLOSE] = apply_close,
};

/* ---- one command ---- */

static void tell_hash(struct book *book)
{
    hash_settle(book);
    book->seq++; /* before the hash is taken, so that book_hash() gives the same right afterwards */
    const struct market_event event = {
        .kind = MARKET_HASH, .seq = book->seq, .hash = {.commands = book->commands, .hash = book_hash(book)}};
    book->emit(book->payload, &event);
}

void book_apply(struct book *book, const struct market_command *command, int64_t at_ms, book_emit_fn emit,
                void *payload)
{
    (void)at_ms; /* no rule depends on time */
    struct source *source = objects_source(book, command->source);
    if (source && command->n <= source->n)
        return;
    if (!source)
        source = objects_add_source(book, command->source);
    source->n = command->n;
    book->source_last = (size_t)(source - book->sources);
    book->emit = emit;
    book->payload = payload;
    book->command = command->kind;
    APPLY[command->kind](book, command);
    if (++book->commands % BOOK_HASH_EVERY == 0)
        tell_hash(book);
}

bool book_seen(const struct book *book, uint64_t source, uint64_t n)
{
    const struct source *known = objects_source(book, source);
    return known && n <= known->n;
}

/* ---- for those who look ---- */

int64_t book_seq(const struct book *book)
{
    return book->seq;
}

int book_companies(const struct book *book)
{
    return book->company_count;
}

bool book_is_open(const struct book *book)
{
    return book->phase == BOOK_TRADING;
}

uint64_t book_commands(const struct book *book)
{
    return book->commands;
}

size_t book_bytes(const struct book *book)
{
    enum { BYTES_PER_ORDER = 104, BYTES_PER_ACCOUNT = 33 + MARKET_COMPANIES_MAX * 16, BYTES_BESIDE = 4096 };
    return BYTES_BESIDE + (size_t)book->order_count * BYTES_PER_ORDER +
           (size_t)book->account_count * BYTES_PER_ACCOUNT + (size_t)book->text_chunks * TEXT_CHUNK;
}

bool book_is_bot(const struct book *book, const struct uuid *account)
{
    const uint32_t ref = accounts_find(book, account);
    return ref != NONE && account_at(book, ref)->bot;
}

bool book_is_closed(const struct book *book)
{
    return book->phase == BOOK_CLOSED;
}

const struct uuid *book_market(const struct book *book)
{
    return &book->market;
}

const struct uuid *book_company_id(const struct book *book, int company)
{
    return &book->companies[company].id;
}

bool book_company_changed(struct book *book, int company)
{
    const bool changed = book->companies[company].changed;
    book->companies[company].changed = false;
    return changed;
}

static size_t depth_side(const struct book *book, const struct company *company, int side, size_t most,
                         struct book_level *levels)
{
    size_t count = 0;
    for (int32_t at = company->sides[side].best; at >= 0 && count < most; at = levels_next(book, company, side, at)) {
        const struct level *level = &company->levels[at];
        levels[count++] = (struct book_level){price_of(book, at), level->quantity, level->count};
    }
    return count;
}

void book_depth_of(const struct book *book, int company, size_t levels, struct book_depth *depth)
{
    const struct company *from = &book->companies[company];
    const size_t most = levels < ARRAY_LENGTH(depth->bids) ? levels : ARRAY_LENGTH(depth->bids);
    depth->last_price = from->last_price;
    depth->initial_price = from->initial_price;
    depth->volume = from->volume;
    depth->high = from->high;
    depth->low = from->low;
    depth->halted = from->halted;
    depth->bid_count = depth_side(book, from, SIDE_BUY, most, depth->bids);
    depth->ask_count = depth_side(book, from, SIDE_SELL, most, depth->asks);
}
