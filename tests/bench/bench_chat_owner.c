/* What the owner of chat rooms does a second, alone: batches of sends into rooms with members, applied on real
 * PostgreSQL and told on real Kafka. Figures are of this process (wall time and processor time per message); everybody
 * is online, so nothing is pushed, and then nobody is. make bench-chat-owner            ROOMS=64 MEMBERS=8 BATCH=500
 * BATCHES=40 set other sizes The test harness gives schema and topic; nothing is asserted but that every message was
 * taken. */
#include "owner_kit.h"

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

static int64_t wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static const struct pg_statement BACKEND = {"bench_backend", "SELECT pg_backend_pid()"};

/* Processor seconds of the PostgreSQL process behind our connection, when it runs on this machine; else 0. */
static double backend_cpu_s(struct kit *kit)
{
    struct err err = {0};
    char path[64], line[1024] = "";
    AUTO(pg_result) row = pg_query(kit->app.db, &BACKEND, NO_PARAMS, &err);
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", row ? (long long)pg_i64(row, 0, 0) : 0);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    long long user = 0, kernel = 0;
    const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (name_end)
        (void)sscanf(name_end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user, &kernel);
    (void)fclose(file);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

struct bench {
    struct kit *kit;
    int rooms, members, batch, batches;
    const char **people, **room_ids;
};

static void run(struct bench *bench, const char *name)
{
    struct kit *kit = bench->kit;
    double cpu = 0;
    const double backend_before = backend_cpu_s(kit);
    int64_t wall = 0, trips = kit_trips();
    for (int round = 0; round < bench->batches; round++) {
        for (int i = 0; i < bench->batch; i++) {
            const int room = (round * bench->batch + i) % bench->rooms;
            const int who = (int)(test_random() % (uint64_t)bench->members);
            const struct command send = kit_send(kit, bench->room_ids[room], bench->people[who],
                                                 "오늘 저녁에 시간 괜찮으면 같이 밥 먹을래? see you at seven");
            (void)kit_add(kit, &send);
        }
        const double cpu_before = cpu_s();
        const int64_t wall_before = wall_us();
        EXPECT(kit_apply(kit));
        cpu += cpu_s() - cpu_before;
        wall += wall_us() - wall_before;
        arena_reset(kit->arena);
    }
    const double messages = (double)bench->batch * bench->batches;
    printf("%-20s %7.0f messages/s; each %5.1f us of processor here, %5.1f in PostgreSQL; %6.1f ms a batch of %d in "
           "%lld round trips\n",
           name, messages / ((double)wall / 1e6), cpu * 1e6 / messages,
           (backend_cpu_s(kit) - backend_before) * 1e6 / messages, (double)wall / 1000.0 / bench->batches, bench->batch,
           (long long)((kit_trips() - trips) / bench->batches));
}

TEST(owner_throughput, "")
{
    struct bench bench = {.kit = kit_open(),
                          .rooms = setting("ROOMS", 64),
                          .members = setting("MEMBERS", 8),
                          .batch = setting("BATCH", 500),
                          .batches = setting("BATCHES", 40)};
    bench.people = mem_new((size_t)bench.members, sizeof *bench.people);
    bench.room_ids = mem_new((size_t)bench.rooms, sizeof *bench.room_ids);
    REQUIRE(bench.batch <= KIT_BATCH_MAX && bench.members <= GROUP_MEMBERS_MAX && bench.members >= 3);
    for (int i = 0; i < bench.members; i++)
        bench.people[i] = kit_person(bench.kit, "somebody");
    kit_all_friends(bench.kit, bench.people, bench.members);
    for (int i = 0; i < bench.rooms; i++)
        bench.room_ids[i] = kit_group(bench.kit, bench.people, bench.members);
    printf("%d rooms of %d\n", bench.rooms, bench.members);
    run(&bench, "nobody is online");
    for (int i = 0; i < bench.members; i++)
        kit_online(bench.kit, bench.people[i]);
    run(&bench, "everybody is online");
    free(bench.people);
    free(bench.room_ids);
}
