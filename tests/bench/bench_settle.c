/* What settlement does a second, alone: the events of a round in which people trade with each other, in batches into
 * real PostgreSQL. Each pair of orders is a trade: two orders, one trade. Figures: wall time, and
 * processor time of this process and of PostgreSQL's, per trade. make bench-settle   TRADES=40000 PEOPLE=100 BATCH=2000
 * (records of a batch; 0: 200, 1000, 2000 and 4000 in turn) set other sizes. Nothing is asserted but that every trade
 * was settled. */
#include "settle_kit.h"

#include <time.h>

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static double cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct pg_statement BACKEND = {"bench_backend", "SELECT pg_backend_pid()"};

/* Processor seconds of the PostgreSQL process behind our connection, when it runs on this machine; else 0. */
static double backend_cpu_s(struct kit *kit)
{
    struct err err = {0};
    char path[64], line[1024] = "";
    AUTO(pg_result) row = pg_query(kit->db, &BACKEND, NO_PARAMS, &err);
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", row ? (long long)pg_i64(row, 0, 0) : 0);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    unsigned long long user = 0, system = 0;
    if (fgets(line, sizeof line, file) && strrchr(line, ')'))
        (void)sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
    (void)fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* People buy from and sell to each other at one price: every second order meets the one before. */
static struct round *play(struct kit *kit, int trades, int people)
{
    struct round *round = round_open(kit);
    struct uuid *ids = mem_new((size_t)people, sizeof *ids);
    for (int i = 0; i < people; i++)
        ids[i] = kit_id();
    round_deposit(kit, round);
    round_simple(kit, round, MARKET_START);
    /* everybody gets shares first, from the bot */
    struct market_command command = {.kind = MARKET_PLACE, .order = {.client_order_id = {"", 0}}};
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 40L * people, KIT_TICK);
    for (int i = 0; i < people; i++) {
        command.order = (struct market_order){kit_id(), ids[i], 0,        SIDE_BUY, TYPE_LIMIT, TIF_GTC,
                                              false,    false,  KIT_TICK, 40,       {"", 0}};
        round_do(kit, round, &command);
    }
    round->settled = round->count;
    for (int i = 0; i < trades; i++) {
        const int seller = i % people, buyer = (i * 7 + 1 + i / people) % people;
        for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
            const int who = side == SIDE_SELL ? (buyer == seller ? (seller + 1) % people : seller) : buyer;
            command.order = (struct market_order){kit_id(), ids[who], 0, (uint8_t)side, TYPE_LIMIT, TIF_GTC, false,
                                                  false,    KIT_TICK, 1, {"", 0}};
            round_do(kit, round, &command);
        }
    }
    free(ids);
    return round;
}

static void measure(struct kit *kit, int trades, int people, int batch)
{
    struct round *round = play(kit, trades, people);
    struct err err = {0};
    kit_stop(kit_settle_range(kit, round, 0, round->settled, &err), "settle", &err);
    const double cpu = cpu_s(), backend = backend_cpu_s(kit);
    const int64_t began_us = clock_monotonic_us();
    for (size_t at = round->settled; at < round->count; at += (size_t)batch) {
        const size_t to = at + (size_t)batch < round->count ? at + (size_t)batch : round->count;
        kit_stop(kit_settle_range(kit, round, at, to, &err), "settle", &err);
    }
    const double wall = (double)(clock_monotonic_us() - began_us) / 1e6;
    const long long settled = atoll(test_sql("SELECT count(*) FROM trades WHERE market_id = '%s'", round->id)) - people;
    printf("batches of %4d records: %lld trades (%zu records) in %.2f s: %6.0f trades/s, %6.0f orders/s; processor per "
           "trade: %.1f us here, %.1f us in PostgreSQL\n",
           batch, settled, round->count - round->settled, wall, (double)settled / wall,
           (double)(round->count - round->settled) / wall, (cpu_s() - cpu) * 1e6 / (double)settled,
           (backend_cpu_s(kit) - backend) * 1e6 / (double)settled);
    round_release(round);
}

TEST(bench_settle, "")
{
    static const int BATCHES[] = {200, 1000, 2000, 4000};
    const int trades = setting("TRADES", 40000), people = setting("PEOPLE", 100), batch = setting("BATCH", 0);
    struct kit *kit = kit_open();
    for (size_t i = 0; i < ARRAY_LENGTH(BATCHES) && (i == 0 || !batch); i++)
        measure(kit, trades, people, batch ? batch : BATCHES[i]);
}
