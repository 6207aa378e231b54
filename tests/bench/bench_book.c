/* What the order book engine does a second, alone on one core: no wire, no Kafka, events are told to a function that
 * only counts them. seed     the order mix of the original's load test: 100 people in turn, half market, half limit,
 * buys and sells alike, size 1 to 10, limit prices over a wide band rounded to the tick; three companies with the
 * opening book (bot orders on every tick from half the price to one and a half) market   market orders only, size 1 to
 * 3 resting  a deep book: of ten commands five limit orders near the price, three cancels, one amend, one market order
 * make bench-book      COMMANDS=1000000 RUNS=5 PERSONS=100 set other sizes. Each run is a new market, in turn; the
 * first run of each mix warms up and is not counted. Times per command are taken with the time stamp counter around
 * each book_apply in every second run; the rates are of the runs without it. Commands are made before the clock starts.
 * Nothing is asserted but that book_check is content in the end. */
#include "book.h"
#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

enum { TICK = 10000, PRICE_MAX = 10000000, COMPANIES = 3 };

static uint64_t state;

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static int64_t below(int64_t count)
{
    return (int64_t)(next() % (uint64_t)count);
}

static int64_t setting(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

/* Of this process's turns on the processor alone when it is CPU: the machine may be busy with other work. */
#define CPU CLOCK_PROCESS_CPUTIME_ID
#define WALL CLOCK_MONOTONIC
static double now_s(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- commands ---- */

/* As UUIDs of version 7 are: time first, chance behind. */
static struct uuid new_id(void)
{
    static uint64_t ms = 0x19a000000000;
    struct uuid id;
    ms += next() % 8 == 0;
    const uint64_t head = __builtin_bswap64(ms << 16 | 0x7000 | (next() & 0xfff)), tail = next();
    memcpy(id.bytes, &head, 8);
    memcpy(id.bytes + 8, &tail, 8);
    return id;
}

/* A market_command is as large as its largest kind; what is measured reads only what its kind has, as after decoding.
 */
struct wish {
    enum market_command_kind kind;
    struct market_order order;
};

struct load {
    struct market_command *set_up;
    int64_t set_up_count;
    struct wish *wishes;
    int64_t count;
    struct uuid *accounts, bot;
    int64_t persons;
    struct {
        struct uuid order, account;
    } recent[4096];
};

static struct market_command *add(struct load *load, enum market_command_kind kind)
{
    struct market_command *command = &load->set_up[load->set_up_count++];
    *command = (struct market_command){.kind = kind, .source = 1, .n = (uint64_t)load->set_up_count};
    return command;
}

static struct market_order *add_wish(struct load *load, enum market_command_kind kind)
{
    load->wishes[load->count].kind = kind;
    return &load->wishes[load->count++].order;
}

static struct market_order *fill(struct market_order *order, const struct uuid *account, int company, int side,
                                 int64_t price, int64_t quantity)
{
    *order = (struct market_order){.order_id = new_id(),
                                   .account = *account,
                                   .company = (uint8_t)company,
                                   .side = (uint8_t)side,
                                   .type = price ? TYPE_LIMIT : TYPE_MARKET,
                                   .price = price,
                                   .quantity = quantity,
                                   .client_order_id = {"", 0}};
    return order;
}

static void add_opening(struct load *load, int64_t base)
{
    struct market_command *open = add(load, MARKET_OPEN);
    open->open.seed_cash = INT64_C(1000000000000); /* enough for the whole run */
    open->open.tick = open->open.price_min = TICK;
    open->open.price_max = PRICE_MAX;
    open->open.company_count = COMPANIES;
    for (int i = 0; i < COMPANIES; i++)
        open->open.companies[i] = (struct market_company){new_id(), base * TICK};
    struct market_command *deposit = add(load, MARKET_DEPOSIT);
    deposit->deposit.deposit_id = new_id();
    deposit->deposit.account = load->bot;
    deposit->deposit.cash = INT64_C(1000000000000000);
    deposit->deposit.company_count = COMPANIES;
    for (int i = 0; i < COMPANIES; i++)
        deposit->deposit.shares[i] = 10000000;
    for (int company = 0; company < COMPANIES; company++)
        for (int64_t k = base / 2; k <= base * 3 / 2; k++) {
            struct market_order *order = fill(&add(load, MARKET_PLACE)->order, &load->bot, company,
                                              k < base ? SIDE_BUY : SIDE_SELL, k * TICK, 1 + below(1000));
            order->bot = true;
        }
    (void)add(load, MARKET_START);
    /* Everybody has shares to sell, as after the first minutes of a round. */
    for (int64_t person = 0; person < load->persons; person++)
        for (int company = 0; company < COMPANIES; company++) {
            fill(&add(load, MARKET_PLACE)->order, &load->bot, company, SIDE_SELL, base * TICK, 20000)->bot = true;
            (void)fill(&add(load, MARKET_PLACE)->order, &load->accounts[person], company, SIDE_BUY, base * TICK, 20000);
        }
}

static void add_seed(struct load *load, int64_t at)
{
    const bool market = below(2) == 0;
    const int64_t band = 340986 + below(1499997 - 340986 + 1);
    (void)fill(add_wish(load, MARKET_PLACE), &load->accounts[at % load->persons], (int)below(COMPANIES), (int)below(2),
               market ? 0 : band / TICK * TICK, 1 + below(10));
}

static void add_market(struct load *load, int64_t at)
{
    (void)fill(add_wish(load, MARKET_PLACE), &load->accounts[at % load->persons], (int)below(COMPANIES), (int)below(2),
               0, 1 + below(3));
}

static void add_resting(struct load *load, int64_t at)
{
    const int64_t dice = below(10);
    const size_t slot = (size_t)below((int64_t)ARRAY_LENGTH(load->recent));
    const struct uuid *person = &load->accounts[at % load->persons];
    if (dice < 5) {
        const int side = (int)below(2);
        const int64_t away = 1 + below(20);
        const struct market_order *order = fill(add_wish(load, MARKET_PLACE), person, (int)below(COMPANIES), side,
                                                (50 + (side == SIDE_BUY ? -away : away)) * TICK, 1 + below(10));
        load->recent[slot].order = order->order_id;
        load->recent[slot].account = order->account;
    } else if (dice < 9) {
        struct market_order *order = add_wish(load, dice < 8 ? MARKET_CANCEL : MARKET_AMEND);
        order->order_id = load->recent[slot].order;
        order->account = load->recent[slot].account;
        order->quantity = dice < 8 ? 0 : 1 + below(10);
        order->client_order_id = (struct view){"", 0};
    } else {
        (void)fill(add_wish(load, MARKET_PLACE), person, (int)below(COMPANIES), (int)below(2), 0, 1 + below(3));
    }
}

static const struct mix {
    const char *name;
    void (*add)(struct load *load, int64_t at);
} MIXES[] = {{"seed", add_seed}, {"market", add_market}, {"resting", add_resting}};

static struct load make(const struct mix *mix, int64_t persons, int64_t commands)
{
    state = 20260101; /* the same commands for every run */
    struct load load = {.persons = persons, .bot = new_id()};
    load.accounts = mem_new((size_t)persons, sizeof *load.accounts);
    for (int64_t i = 0; i < persons; i++)
        load.accounts[i] = new_id();
    load.set_up = mem_new((size_t)(1000 + persons * COMPANIES * 2), sizeof *load.set_up);
    load.wishes = mem_new((size_t)commands, sizeof *load.wishes);
    add_opening(&load, 50);
    for (int64_t at = 0; at < commands; at++)
        mix->add(&load, at);
    return load;
}

/* ---- running ---- */

static int64_t events[MARKET_EVENTS];

static void count(void *payload, const struct market_event *event)
{
    (void)payload;
    events[event->kind]++;
}

static struct book *ready(const struct load *load)
{
    const struct book_limits limits = {(size_t)(load->set_up_count + load->count), 10000};
    struct book *book = book_open(&limits);
    for (int64_t at = 0; at < load->set_up_count; at++)
        book_apply(book, &load->set_up[at], 0, count, NULL);
    memset(events, 0, sizeof events);
    return book;
}

static inline void apply(struct book *book, const struct load *load, struct market_command *command, int64_t at)
{
    command->kind = load->wishes[at].kind;
    command->n++;
    command->order = load->wishes[at].order;
    book_apply(book, command, 0, count, NULL);
}

static double rate_of(const struct load *load, bool check, uint64_t *hash)
{
    AUTO(book) book = ready(load);
    struct err err = {0};
    struct market_command command = {.source = 2};
    const double start = now_s(CPU);
    for (int64_t at = 0; at < load->count; at++)
        apply(book, load, &command, at);
    const double seconds = now_s(CPU) - start;
    if (check && !book_check(book, &err)) {
        (void)fprintf(stderr, "book_check: %s\n", err.message);
        exit(1);
    }
    *hash = book_hash(book);
    return (double)load->count / seconds;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int by_rate(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_times(const struct load *load)
{
    AUTO(book) book = ready(load);
    const size_t n = (size_t)load->count;
    struct market_command command = {.source = 2};
    AUTO_FREE uint32_t *cycles = mem_new(n, sizeof *cycles);
    unsigned core;
    const double start = now_s(WALL);
    const uint64_t first = __rdtsc();
    for (size_t at = 0; at < n; at++) {
        const uint64_t before = __rdtscp(&core);
        apply(book, load, &command, (int64_t)at);
        const uint64_t taken = __rdtscp(&core) - before;
        cycles[at] = taken > UINT32_MAX ? UINT32_MAX : (uint32_t)taken;
    }
    const double ns = (now_s(WALL) - start) * 1e9 / (double)(__rdtsc() - first); /* of one count */
    qsort(cycles, n, sizeof *cycles, by_value);
    printf("  per command: p50 %.0f ns, p99 %.0f ns, p99.9 %.0f ns, most %.1f us (two stamps included)\n",
           cycles[n / 2] * ns, cycles[n * 99 / 100] * ns, cycles[n * 999 / 1000] * ns, cycles[n - 1] * ns / 1e3);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    const int64_t commands = setting("COMMANDS", 1000000), runs = setting("RUNS", 5), persons = setting("PERSONS", 100);
    for (size_t i = 0; i < ARRAY_LENGTH(MIXES); i++) {
        if (!strstr(MIXES[i].name, only))
            continue;
        struct load load = make(&MIXES[i], persons, commands);
        AUTO_FREE double *rates = mem_new((size_t)runs, sizeof *rates);
        uint64_t hash, again;
        (void)rate_of(&load, true, &hash);
        for (int64_t run = 0; run < runs; run++) {
            rates[run] = rate_of(&load, false, &again);
            if (again != hash)
                return 1;
        }
        qsort(rates, (size_t)runs, sizeof *rates, by_rate);
        printf("%s: %" PRId64 " commands, %" PRId64 " trades, %" PRId64
               " refused: %.0f/s, %.0f ns each (median of %" PRId64 "; %.0f to %.0f/s)\n",
               MIXES[i].name, commands, events[MARKET_TRADE], events[MARKET_REJECTED], rates[runs / 2],
               1e9 / rates[runs / 2], runs, rates[0], rates[runs - 1]);
        tell_times(&load);
        free(load.set_up);
        free(load.wishes);
        free(load.accounts);
    }
    return 0;
}
