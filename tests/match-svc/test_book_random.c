/* Random commands with fixed seeds through the engine and the model: the same events to the byte; book_check after
 * every command in some markets, after every 1,000 in the others; now and then the engine is saved and goes on
 * restored. Two million commands, 400,000 under a sanitizer, 100 million with SOAK=1; COMMANDS sets another number,
 * TEST_SEED another start. */
#include "book_kit.h"
#include "test.h"

#include <stdlib.h>

/* A generator of its own per market, so that one market can be played again alone. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static int64_t below(uint64_t *state, int64_t count)
{
    return (int64_t)(next(state) % (uint64_t)count);
}

/* How a market behaves: few accounts and prices make collisions, many make a deep book. */
struct manner {
    uint64_t state;
    int64_t accounts, ticks, tick, quantity, companies, clients, seed_cash, commands;
    bool size_rule, check_all;
    size_t orders_max;
    uint64_t orders; /* ids given so far */
    bool seeded;
};

static struct manner manner_of(uint64_t seed)
{
    struct manner manner = {.state = seed};
    uint64_t *state = &manner.state;
    const bool edges = below(state, 16) == 0; /* near the ends of 64 bits */
    manner.accounts = 1 + below(state, below(state, 2) ? 4 : 100);
    manner.ticks = 1 + below(state, below(state, 4) ? 30 : 3000);
    manner.tick = edges ? INT64_C(1) << below(state, 40) : 1 + below(state, 10000);
    manner.quantity = edges ? MARKET_QUANTITY_MAX : 1 + below(state, 40);
    manner.companies = 1 + below(state, below(state, 8) ? 3 : MARKET_COMPANIES_MAX);
    manner.clients = 1 + below(state, 400);
    manner.seed_cash = edges ? below(state, INT64_MAX) : manner.tick * manner.ticks * below(state, 2000);
    manner.size_rule = below(state, 4) == 0;
    manner.check_all = below(state, 8) == 0;
    manner.orders_max = below(state, 8) ? 20000 : 500;
    manner.commands = 500 + below(state, below(state, 16) ? 2500 : 20000);
    return manner;
}

/* ---- one command ---- */

static struct uuid numbered(char kind, uint64_t number)
{
    struct uuid id = {{(unsigned char)kind}};
    number *= 0x9e3779b97f4a7c15U; /* spread, as real ids are */
    memcpy(id.bytes + 4, &number, sizeof number);
    return id;
}

static struct uuid some_account(struct manner *manner)
{
    return below(&manner->state, 3) == 0 ? numbered('b', 0)
                                         : numbered('a', (uint64_t)below(&manner->state, manner->accounts));
}

static int64_t some_price(struct manner *manner)
{
    uint64_t *state = &manner->state;
    const int64_t price = manner->tick * (1 + below(state, manner->ticks));
    switch (below(state, 60)) {
    case 0:
        return 0;
    case 1:
        return -price;
    case 2:
        return price + 1;
    case 3:
        return manner->tick * (manner->ticks + 1);
    case 4:
        return (int64_t)next(state);
    default:
        return price;
    }
}

static int64_t some_quantity(struct manner *manner)
{
    static const int64_t ODD[] = {0, -1, MARKET_QUANTITY_MAX, INT64_C(2147483648), INT64_MAX, INT64_MIN};
    return below(&manner->state, 60) == 0 ? ODD[below(&manner->state, 6)] : 1 + below(&manner->state, manner->quantity);
}

static void make_open(struct manner *manner, struct market_command *command)
{
    command->open.seed_cash = manner->seed_cash;
    command->open.tick = command->open.price_min = manner->tick;
    command->open.price_max = manner->tick * manner->ticks;
    command->open.size_rule = manner->size_rule;
    command->open.company_count = (uint8_t)manner->companies;
    for (int i = 0; i < manner->companies; i++)
        command->open.companies[i] = (struct market_company){numbered('c', (uint64_t)i), manner->tick};
}

static void make_deposit(struct manner *manner, struct market_command *command)
{
    uint64_t *state = &manner->state;
    command->deposit.deposit_id = numbered('d', (uint64_t)below(state, 200));
    command->deposit.account = below(state, 20) ? numbered('b', (uint64_t)below(state, 2)) : some_account(manner);
    command->deposit.cash = below(state, manner->tick * manner->ticks * 100);
    command->deposit.company_count =
        (uint8_t)(below(state, 30) ? manner->companies : below(state, MARKET_COMPANIES_MAX));
    for (int i = 0; i < command->deposit.company_count; i++)
        command->deposit.shares[i] = below(state, manner->quantity * 100);
}

static void make_place(struct manner *manner, struct market_command *command, char text[24])
{
    uint64_t *state = &manner->state;
    struct market_order *order = &command->order;
    const bool known = below(state, 50) == 0 && manner->orders > 0;
    order->order_id = numbered('o', known ? (uint64_t)below(state, (int64_t)manner->orders) : manner->orders++);
    order->account = some_account(manner);
    order->bot = order->account.bytes[0] == 'b';
    order->company = (uint8_t)(below(state, 100) ? below(state, manner->companies) : below(state, 256));
    order->side = (uint8_t)below(state, 2);
    order->type = below(state, 4) == 0 ? TYPE_MARKET : TYPE_LIMIT;
    order->tif = (uint8_t)(below(state, 3) ? TIF_GTC : below(state, 3));
    order->post_only = below(state, 10) == 0;
    order->price = order->type == TYPE_MARKET && below(state, 20) ? 0 : some_price(manner);
    order->quantity = some_quantity(manner);
    order->client_order_id = (struct view){"", 0};
    if (below(state, 4) == 0) {
        (void)snprintf(text, 24, "%" PRId64, below(state, manner->clients));
        order->client_order_id = view_of(text);
    }
}

static void make_change(struct manner *manner, struct market_command *command)
{
    uint64_t *state = &manner->state;
    struct market_order *order = &command->order;
    const int64_t recent = (int64_t)manner->orders < 60 ? (int64_t)manner->orders + 1 : 60;
    const int64_t back = below(state, 4) ? below(state, recent) : below(state, (int64_t)manner->orders + 1);
    order->order_id = numbered('o', manner->orders - (uint64_t)back);
    order->account = some_account(manner);
    order->client_order_id = (struct view){"", 0};
    if (command->kind == MARKET_AMEND && below(state, 2))
        order->price = some_price(manner);
    if (command->kind == MARKET_AMEND && below(state, 3))
        order->quantity = some_quantity(manner);
}

static struct market_command make(struct manner *manner, char text[24])
{
    uint64_t *state = &manner->state;
    struct market_command command = {.kind = MARKET_PLACE};
    const int64_t dice = below(state, 1000);
    if (dice < 600) {
        make_place(manner, &command, text);
    } else if (dice < 900) {
        command.kind = dice < 780 ? MARKET_AMEND : MARKET_CANCEL;
        make_change(manner, &command);
    } else if (dice < 960) {
        command.kind = MARKET_DEPOSIT;
        make_deposit(manner, &command);
    } else if (dice < 980) {
        command.kind = MARKET_CANCEL_ALL;
        command.cancel_all.account = some_account(manner);
    } else if (dice < 996) {
        command.kind = MARKET_HALT;
        command.halt.company = (uint8_t)below(state, manner->companies + 1);
        command.halt.on = below(state, 8) == 0;
    } else if (dice < 999) {
        command.kind = MARKET_START;
    } else {
        command.kind = below(state, 40) ? MARKET_OPEN : MARKET_CLOSE;
        if (command.kind == MARKET_OPEN)
            make_open(manner, &command);
    }
    return command;
}

/* The owner of an order is drawn anew for each amend and cancel, and would seldom be the right one: taken from what was
 * placed. */
struct memory {
    struct uuid *owners;
    uint64_t capacity;
};

static void remember(struct memory *memory, struct manner *manner, struct market_command *command, uint64_t before)
{
    if (command->kind == MARKET_PLACE && manner->orders > before) {
        if (before >= memory->capacity) { /* above it: the CLOSE took the place of a command that had an id */
            memory->capacity = memory->capacity ? memory->capacity * 2 : 1024;
            memory->owners = mem_grow(memory->owners, memory->capacity, sizeof *memory->owners);
        }
        memory->owners[before] = command->order.account;
    }
    if ((command->kind == MARKET_AMEND || command->kind == MARKET_CANCEL) && below(&manner->state, 10))
        for (uint64_t back = 0; back < before && back < 60; back++) {
            const struct uuid id = numbered('o', before - 1 - back);
            if (memcmp(&id, &command->order.order_id, sizeof id) == 0)
                command->order.account = memory->owners[before - 1 - back];
        }
}

/* ---- one market ---- */

static bool differ(const struct pair *pair, uint64_t seed, int64_t at)
{
    struct err err = {0};
    AUTO_STR ours, theirs;
    str_init(&ours);
    str_init(&theirs);
    (void)kit_words_of_record(&ours, &pair->ours, &err);
    (void)kit_words_of_record(&theirs, &pair->theirs, &err);
    return test_check(false, __FILE__, __LINE__, "market %" PRIu64 " command %" PRId64 ":\n  engine: %s\n  model:  %s",
                      seed, at, ours.bytes, theirs.bytes);
}

static bool looked_at(struct pair *pair, struct manner *manner, uint64_t seed, int64_t at)
{
    struct err err = {0};
    if ((manner->check_all || at % 1000 == 999) && !book_check(pair->book, &err))
        return test_check(false, __FILE__, __LINE__, "market %" PRIu64 " command %" PRId64 ": %s", seed, at,
                          err.message);
    if (below(&manner->state, 1500) == 0 && !pair_restore(pair, &err))
        return test_check(false, __FILE__, __LINE__, "market %" PRIu64 " command %" PRId64 ": restored another: %s",
                          seed, at, err.message);
    return true;
}

static int64_t kinds[MARKET_EVENTS], reasons[REASONS]; /* of all markets */

/* Returns the number of commands, 0 after a failure; *hash is the state's in the end. */
static int64_t play_market(uint64_t seed, uint64_t *hash)
{
    struct manner manner = manner_of(seed);
    struct pair pair = pair_open(manner.orders_max, 60);
    struct memory memory = {0};
    int64_t at = 0;
    bool ok = true;
    for (; ok && at < manner.commands; at++) {
        char text[24];
        const uint64_t before = manner.orders;
        struct market_command command = {.kind = at == 5 ? MARKET_OPEN : MARKET_START};
        if (at == 5)
            make_open(&manner, &command);
        else if (at != 40)
            command = make(&manner, text);
        if (at == manner.commands - 40) /* and what comes after it */
            command = (struct market_command){.kind = MARKET_CLOSE};
        remember(&memory, &manner, &command, before);
        ok = pair_apply(&pair, &command) || differ(&pair, seed, at);
        ok = ok && looked_at(&pair, &manner, seed, at);
        ok = ok && test_check(at % BOOK_HASH_EVERY != BOOK_HASH_EVERY - 1 || pair.last_hash == book_hash(pair.book),
                              __FILE__, __LINE__, "market %" PRIu64 ": the hash told is another", seed);
    }
    struct err err = {0};
    ok = ok && test_check(book_check(pair.book, &err), __FILE__, __LINE__, "market %" PRIu64 ": %s", seed, err.message);
    *hash = book_hash(pair.book);
    for (int i = 0; i < MARKET_EVENTS; i++)
        kinds[i] += pair.kinds[i];
    for (int i = 0; i < REASONS; i++)
        reasons[i] += pair.reasons[i];
    free(memory.owners);
    pair_close(&pair);
    return ok ? at : 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHORT_RUN true
#else
#define SHORT_RUN false
#endif

static int64_t commands_wanted(void)
{
    const char *commands = getenv("COMMANDS"), *soak = getenv("SOAK");
    if (commands)
        return strtoll(commands, NULL, 10);
    return soak && *soak ? 100000000 : SHORT_RUN ? 400000 : 2000000;
}

TEST(random_commands_tell_the_same_as_the_model, "S-20 S-27 S-28 S-29 S-30 S-31 S-32 S-35 S-36 S-38 S-39 I3")
{
    const char *start = getenv("TEST_SEED");
    uint64_t seed = start ? strtoull(start, NULL, 10) : 1, hash;
    memset(kinds, 0, sizeof kinds);
    memset(reasons, 0, sizeof reasons);
    for (int64_t left = commands_wanted(); left > 0; seed++) {
        const int64_t done = play_market(seed, &hash);
        REQUIRE(done > 0);
        left -= done;
    }
    /* Everything that can happen did. */
    for (int i = MARKET_OPENED; i < MARKET_EVENTS; i++)
        EXPECT(kinds[i] > 0 && printf("%s %" PRId64 ", ", KIT_KINDS[i], kinds[i]) > 0);
    for (int i = REASON_NONE; i < REASONS; i++)
        EXPECT(reasons[i] > 0 && printf("%s %" PRId64 ", ", market_reason_name(i), reasons[i]) > 0);
    printf("\n");
}

/* What is saved, restored and replayed must not leave a trace: the second run draws the same commands and must end at
 * the same hash. */
TEST(the_same_commands_end_in_the_same_state, "S-36 I2")
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t first, second;
        REQUIRE(play_market(seed, &first) > 0);
        REQUIRE(play_market(seed, &second) > 0);
        EXPECT(first == second);
    }
}

static void grown(struct pair *pair, uint64_t seed, struct str *saved)
{
    struct manner manner = manner_of(seed);
    char text[24];
    manner.accounts = 5;
    manner.ticks = 20;
    manner.tick = 10;
    manner.quantity = 5;
    manner.companies = 2;
    manner.seed_cash = 100000;
    for (int at = 0; at < 300; at++) {
        struct market_command command = {.kind = MARKET_START};
        if (at == 0) {
            command.kind = MARKET_OPEN;
            make_open(&manner, &command);
        } else if (at > 1)
            command = make(&manner, text);
        if (command.kind != MARKET_CLOSE)
            (void)pair_apply(pair, &command);
    }
    book_save(pair->book, saved);
}

TEST(broken_snapshots_are_refused, "I1 S-18")
{
    struct pair pair = pair_open(1000, 100);
    struct err err = {0};
    AUTO_STR saved;
    str_init(&saved);
    grown(&pair, 3, &saved);
    struct book *book = book_restore((struct view){saved.bytes, saved.length}, &pair.limits, &err);
    EXPECT(book && book_hash(book) == book_hash(pair.book) && book_seq(book) == book_seq(pair.book));
    book_release(&book);
    int taken = 0;
    for (size_t length = 0; length < saved.length; length++) {
        AUTO_FREE char *cut = mem_new(length, 1); /* of its own size, so that a read past the end is seen */
        memcpy(cut, saved.bytes, length);
        book = book_restore((struct view){cut, length}, &pair.limits, &err);
        taken += book != NULL;
        book_release(&book);
    }
    EXPECT_I64(0, taken);
    EXPECT_PROBLEM("bad_input", &err);
    for (size_t bit = 0; bit < saved.length * 8; bit++) {
        saved.bytes[bit / 8] = (char)(saved.bytes[bit / 8] ^ 1 << bit % 8);
        book = book_restore((struct view){saved.bytes, saved.length}, &pair.limits, &err);
        taken += book != NULL;
        book_release(&book);
        saved.bytes[bit / 8] = (char)(saved.bytes[bit / 8] ^ 1 << bit % 8);
    }
    EXPECT_I64(0, taken);
    str_add_char(&saved, '\0');
    EXPECT(!book_restore((struct view){saved.bytes, saved.length}, &pair.limits, &err));
    pair_close(&pair);
}
