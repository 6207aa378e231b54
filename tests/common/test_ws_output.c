/* What a WebSocket server sends: whole frames, gathered ones, to slow readers, for other threads. */
#include "ws_world.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

TEST(ws_never_breaks_a_frame_while_the_reader_pauses, "P-29")
{
    enum { FLOODS = 20, EACH = 20, BYTES = 40000, PINGS = 20 };
    struct world world = {0};
    REQUIRE(world_open_with(&world, 10, 60, (size_t)2 * FLOODS * EACH * BYTES));
    AUTO(client) client = joined(&world);
    AUTO_FREE char *text = mem_new(1, 1 << 17);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FLOODS; i++) { /* far more than the kernel takes: half of a frame waits here ... */
            PUT(client, 0x81, "flood 20 40000");
            PUT(client, 0x89, "are you there"); /* ... when the ping comes */
        }
        size_t length, frames = 0;
        int pongs = 0;
        while (frames < FLOODS * EACH || pongs < PINGS) {
            int first = take(client, text, 1 << 17, &length);
            REQUIRE(first == 0x8a || first == 0x81);
            if (first == 0x8a) {
                EXPECT_TEXT("are you there", text);
                pongs++;
                continue;
            }
            const int number = (int)(frames++ % EACH);
            REQUIRE(length == BYTES && atoi(text) == number && text[8] == 'a' + number % 26 &&
                    text[BYTES - 1] == 'a' + number % 26);
        }
        EXPECT_I64(PINGS, pongs);
    }
    EXPECT(world.queued_most > 0);
    client_release(&client);
    ws_server_release(&world.server);
}

TEST(ws_gathers_what_comes_within_the_time_and_sends_what_comes_alone_at_once, "P-29")
{
    struct world world = {.gather_ms = 4000};
    REQUIRE(world_open(&world, 10, 60));
    AUTO(client) client = joined(&world);
    PUT(client, 0x81, "alone");
    hears(client, 0x81, "alone");
    for (const char *const *said = (const char *const[]){"first", "second", "third", NULL}; *said; said++) {
        const int heard = world.heard;
        put(client, 0x81, *said, strlen(*said));
        REQUIRE(EVENTUALLY(3000, world.heard == heard + 1)); /* its answer would have left in that turn */
    }
    struct pollfd readable = {.fd = client->fd, .events = POLLIN};
    EXPECT_I64(0, poll(&readable, 1, 0));
    hears(client, 0x81, "first");
    hears(client, 0x81, "second");
    hears(client, 0x81, "third");
    client_release(&client);
    ws_server_release(&world.server);
}

TEST(ws_cuts_a_reader_that_stops, "I9")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 60));
    AUTO(client) slow = joined(&world);
    AUTO(client) other = joined(&world);
    int floods = 0;
    while (world.closed == 0 && floods++ < 400) { /* never reads */
        PUT(slow, 0x81, "flood 20 10000");
        PUT(other, 0x81, "and the others go on");
        hears(other, 0x81, "and the others go on");
    }
    EVENTUALLY(8000, world.closed == 1);
    EXPECT(world.queued_most <= OUTPUT_MAX + 10010);
    EXPECT(world.queued_most > 0);
    char *text = mem_new(1, 1 << 17), last[64] = "";
    size_t length;
    int first, broken = 0; /* what it reads in the end is whole frames, and where it still fits the reason */
    while ((first = take(slow, text, 1 << 17, &length)) >= 0) {
        broken += first != 0x81 && first != 0x88;
        (void)snprintf(last, sizeof last, "%.40s", text);
    }
    EXPECT_I64(0, broken);
    free(text);
    client_release(&slow);
    client_release(&other);
    ws_server_release(&world.server);
}

static _Atomic int posted_sum;
static void add_posted(void *app, void *payload)
{
    (void)app;
    posted_sum += (int)(intptr_t)payload;
}
static void send_posted(void *app, void *payload)
{
    struct world *world = app;
    (void)payload;
    if (world->last)
        shout(world, world->last, 10, 200);
}
static void *post_many(void *payload)
{
    for (int i = 0; i < 1000; i++)
        while (!ws_post(payload, add_posted, (void *)(intptr_t)1))
            sched_yield();
    return NULL;
}

TEST(ws_is_reached_by_other_threads, "")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    AUTO(client) client = joined(&world);
    pthread_t threads[4];
    posted_sum = 0;
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, post_many, world.server) == 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    EVENTUALLY(5000, posted_sum == 4000);
    EXPECT(ws_post(world.server, send_posted, NULL));
    char text[512], want[16];
    size_t length;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(want, sizeof want, "%08d", i);
        EXPECT_I64(0x81, take(client, text, sizeof text, &length));
        EXPECT_I64(200, length);
        EXPECT(strncmp(want, text, 8) == 0);
    }
    client_release(&client);
    ws_server_release(&world.server);
}
