/* Following auth-svc: pages, a second instance when one hangs or fails, keys on demand, a restored database. auth-svc
 * is played by small servers on sockets of this test, so that each answer can be chosen. */
#include "clock.h"
#include "key_kit.h"
#include "mem.h"
#include "test.h"
#include "token.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- an instance of auth-svc ---------------------------------------------------------------------------------------
 */

enum { SESSIONS_MAX = 64 };

/* What auth-svc's database holds: shared by its instances. */
struct book {
    pthread_mutex_t lock;
    char jwks[4096];
    char sessions[SESSIONS_MAX][UUID_TEXT_BYTES]; /* number i + 1 */
    size_t count, page_size;
    char user[UUID_TEXT_BYTES]; /* number 1 too, when set */
    int64_t least_rv;
    const char *override; /* answers this to /internal/revoked */
};

enum mode { ANSWERS, HANGS, FAILS };

struct instance {
    struct book *book;
    int listener, port;
    pthread_t thread;
    _Atomic int mode;
    _Atomic bool stop;
    _Atomic int revoked_asked, keys_asked;
    _Atomic int64_t lowest_after; /* of the last 1: asked from the start again */
};

static void print_revoked(struct book *book, int64_t after, struct str *out)
{
    if (book->override) {
        str_add(out, book->override);
        return;
    }
    size_t from = after < (int64_t)book->count ? (size_t)after : book->count, to = from + book->page_size;
    if (to > book->count)
        to = book->count;
    int64_t until_ms = clock_now_ms() + 300000;
    str_printf(out, "{\"last\":%zu,\"sessions\":[", to);
    for (size_t i = from; i < to; i++)
        str_printf(out, "%s{\"n\":%zu,\"sid\":\"%s\",\"until\":%" PRId64 "}", i > from ? "," : "", i + 1,
                   book->sessions[i], until_ms);
    str_add(out, "],\"users\":[");
    if (book->user[0] && from == 0)
        str_printf(out, "{\"n\":1,\"user_id\":\"%s\",\"least_rv\":%" PRId64 ",\"until\":%" PRId64 "}", book->user,
                   book->least_rv, until_ms);
    str_printf(out, "],\"more\":%s}", to < book->count ? "true" : "false");
}

static void answer(struct instance *instance, const char *request, struct str *out)
{
    AUTO_STR body;
    str_init(&body);
    int64_t after;
    pthread_mutex_lock(&instance->book->lock);
    if (sscanf(request, "GET /internal/revoked?after=%" SCNd64 " ", &after) == 1) {
        print_revoked(instance->book, after, &body);
        instance->revoked_asked++;
        if (after < instance->lowest_after)
            instance->lowest_after = after;
    } else if (strncmp(request, "GET /.well-known/jwks.json ", 27) == 0) {
        str_add(&body, instance->book->jwks);
        instance->keys_asked++;
    }
    pthread_mutex_unlock(&instance->book->lock);
    bool good = body.length > 0 && instance->mode == ANSWERS;
    str_printf(out,
               "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
               good ? "200 OK" : "503 Service Unavailable", good ? body.length : 0, good ? body.bytes : "");
}

static void serve(struct instance *instance, int fd)
{
    char request[4096];
    size_t used = 0;
    ssize_t count;
    while (used < sizeof request - 1 && (count = read(fd, request + used, sizeof request - 1 - used)) > 0) {
        used += (size_t)count;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    request[used] = '\0';
    while (instance->mode == HANGS && !instance->stop)
        test_pause();
    AUTO_STR reply;
    str_init(&reply);
    answer(instance, request, &reply);
    (void)!write(fd, reply.bytes, reply.length);
}

static void *instance_run(void *payload)
{
    struct instance *instance = payload;
    int fd;
    while ((fd = accept(instance->listener, NULL, NULL)) >= 0) {
        serve(instance, fd);
        close(fd);
    }
    return NULL;
}

static struct instance *instance_start(struct book *book)
{
    struct instance *instance = MEM_NEW(instance);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    instance->book = book;
    instance->lowest_after = INT64_MAX;
    instance->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(instance->listener, (struct sockaddr *)&address, length) != 0 || listen(instance->listener, 64) != 0 ||
        getsockname(instance->listener, (struct sockaddr *)&address, &length) != 0)
        abort();
    instance->port = ntohs(address.sin_port);
    pthread_create(&instance->thread, NULL, instance_run, instance);
    return instance;
}

static void instance_release(struct instance **instance)
{
    struct instance *old = TAKE(*instance);
    if (!old)
        return;
    old->stop = true;
    (void)shutdown(old->listener, SHUT_RDWR); /* wakes accept */
    pthread_join(old->thread, NULL);
    close(old->listener);
    free(old);
}

/* ---- a feed that knows two instances -------------------------------------------------------------------------------
 */

struct world {
    struct book book;
    struct instance *instances[2];
    _Atomic unsigned turn;
    _Atomic bool nobody;
    struct key_kit *kit;
    struct keyset *keys;
    struct revoked *revoked;
    struct auth_feed *feed;
};

static bool find(void *payload, char *address, size_t size)
{
    struct world *world = payload;
    (void)snprintf(address, size, "127.0.0.1:%d", world->instances[world->turn++ % 2]->port);
    return !world->nobody;
}

static void publish(struct world *world, const struct key_kit *const *kits)
{
    AUTO_STR jwks;
    str_init(&jwks);
    key_kit_jwks(kits, &jwks);
    pthread_mutex_lock(&world->book.lock);
    (void)snprintf(world->book.jwks, sizeof world->book.jwks, "%s", jwks.bytes);
    pthread_mutex_unlock(&world->book.lock);
}

static struct world *world_new(void)
{
    struct world *world = MEM_NEW(world);
    pthread_mutex_init(&world->book.lock, NULL);
    world->book.page_size = 10;
    for (int i = 0; i < 2; i++)
        world->instances[i] = instance_start(&world->book);
    world->kit = key_kit_new("k1");
    publish(world, (const struct key_kit *const[]){world->kit, NULL});
    world->keys = keyset_open();
    world->revoked = revoked_open();
    return world;
}

static bool world_start(struct world *world)
{
    struct err err = {0};
    world->feed = auth_feed_start(
        &(struct auth_feed_options){.keys = world->keys, .revoked = world->revoked, .find = find, .payload = world},
        &err);
    return test_check(world->feed != NULL, __FILE__, __LINE__, "auth_feed_start: %s", err.detail);
}

static void world_release(struct world **world)
{
    struct world *old = TAKE(*world);
    for (int i = 0; i < 2; i++)
        old->instances[i]->mode = ANSWERS;
    auth_feed_release(&old->feed);
    for (int i = 0; i < 2; i++)
        instance_release(&old->instances[i]);
    revoked_release(&old->revoked);
    keyset_release(&old->keys);
    key_kit_release(&old->kit);
    pthread_mutex_destroy(&old->book.lock);
    free(old);
}

/* Ends one more session; its id is kept in `id`. */
static void end_session(struct world *world, struct uuid *id)
{
    pthread_mutex_lock(&world->book.lock);
    uuid_new(world->book.sessions[world->book.count]);
    (void)uuid_parse(world->book.sessions[world->book.count], id);
    world->book.count++;
    pthread_mutex_unlock(&world->book.lock);
}

static int keys_asked(const struct world *world)
{
    return world->instances[0]->keys_asked + world->instances[1]->keys_asked;
}

static int revoked_asked(const struct world *world)
{
    return world->instances[0]->revoked_asked + world->instances[1]->revoked_asked;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

TEST(ready_after_keys_and_all_pages, "P-05 I7")
{
    AUTO(world) world = world_new();
    struct uuid ids[35], user;
    for (int i = 0; i < 35; i++)
        end_session(world, &ids[i]);
    uuid_new(world->book.user);
    (void)uuid_parse(world->book.user, &user);
    world->book.least_rv = 7;
    REQUIRE(world_start(world));
    EVENTUALLY(10000, auth_feed_ready(world->feed));
    for (int i = 0; i < 35; i++)
        EXPECT(revoked_session(world->revoked, &ids[i]));
    EXPECT_I64(7, revoked_least_role_version(world->revoked, &user));
    EXPECT_I64(1, keyset_count(world->keys));
}

TEST(a_session_that_ends_is_known_soon, "P-05 I7")
{
    AUTO(world) world = world_new();
    REQUIRE(world_start(world));
    EVENTUALLY(10000, auth_feed_ready(world->feed));
    for (int i = 0; i < 3; i++) {
        struct uuid id;
        end_session(world, &id);
        EVENTUALLY(10000, revoked_session(world->revoked, &id));
    }
    EXPECT_I64(3, revoked_count(world->revoked));
}

TEST(nothing_is_ready_while_nobody_answers, "P-05 I7")
{
    AUTO(world) world = world_new();
    world->nobody = true;
    world->instances[0]->mode = world->instances[1]->mode = FAILS;
    REQUIRE(world_start(world));
    world->nobody = false;
    EVENTUALLY(10000, revoked_asked(world) >= 4);
    EXPECT(!auth_feed_ready(world->feed));
    world->instances[1]->mode = ANSWERS;
    EVENTUALLY(10000, auth_feed_ready(world->feed));
}

TEST(an_instance_that_hangs_or_fails_holds_nothing_up, "P-05 I7")
{
    static const enum mode MODES[] = {HANGS, FAILS};
    for (size_t i = 0; i < ARRAY_LENGTH(MODES); i++) {
        AUTO(world) world = world_new();
        REQUIRE(world_start(world));
        EVENTUALLY(10000, auth_feed_ready(world->feed));
        world->instances[0]->mode = MODES[i];
        for (int round = 0; round < 3; round++) {
            struct uuid id;
            end_session(world, &id);
            EVENTUALLY(10000, revoked_session(world->revoked, &id));
        }
        EXPECT(auth_feed_ready(world->feed));
    }
}

TEST(what_is_known_stays_while_auth_svc_is_away, "P-05 I7")
{
    AUTO(world) world = world_new();
    struct uuid id;
    end_session(world, &id);
    REQUIRE(world_start(world));
    EVENTUALLY(10000, auth_feed_ready(world->feed));
    world->instances[0]->mode = world->instances[1]->mode = FAILS;
    int seen = revoked_asked(world);
    EVENTUALLY(10000, revoked_asked(world) >= seen + 4);
    EXPECT(revoked_session(world->revoked, &id));
    EXPECT_I64(1, keyset_count(world->keys));
    EXPECT(auth_feed_ready(world->feed));
}

TEST(pages_that_make_no_sense_change_nothing, "P-05 I10")
{
    static const char *const PAGES[] = {
        "",
        "[]",
        "{}",
        "{\"last\":-1,\"sessions\":[],\"users\":[],\"more\":false}",
        "{\"last\":\"9\",\"sessions\":[],\"users\":[],\"more\":false}",
        "{\"last\":9,\"sessions\":{},\"users\":[],\"more\":false}",
        "{\"last\":9,\"sessions\":[{\"sid\":\"x\",\"until\":9}],\"users\":[],\"more\":false}",
        "{\"last\":9,\"sessions\":[],\"users\":[{}],\"more\":false}",
        "{\"last\":9,\"sessions\":[],\"users\":[]}"};
    for (size_t i = 0; i < ARRAY_LENGTH(PAGES); i++) {
        AUTO(world) world = world_new();
        world->book.override = PAGES[i];
        REQUIRE(world_start(world));
        EVENTUALLY(10000, revoked_asked(world) >= 4);
        test_check(!auth_feed_ready(world->feed), __FILE__, __LINE__, "page %zu is taken", i);
        struct uuid id;
        end_session(world, &id);
        pthread_mutex_lock(&world->book.lock);
        world->book.override = NULL;
        pthread_mutex_unlock(&world->book.lock);
        EVENTUALLY(10000, revoked_session(world->revoked, &id)); /* asked from the same number again */
    }
}

TEST(an_older_database_is_read_from_the_start, "P-05 I7")
{
    AUTO(world) world = world_new();
    struct uuid ids[8], fresh;
    for (int i = 0; i < 8; i++)
        end_session(world, &ids[i]);
    REQUIRE(world_start(world));
    EVENTUALLY(10000, revoked_count(world->revoked) == 8);
    pthread_mutex_lock(&world->book.lock);
    world->book.count = 2; /* a restored copy that knows less */
    pthread_mutex_unlock(&world->book.lock);
    end_session(world, &fresh); /* number 3, which an `after` of 8 would never show */
    EVENTUALLY(10000, revoked_session(world->revoked, &fresh));
    EXPECT(revoked_session(world->revoked, &ids[7])); /* what has ended stays ended */
}

TEST(an_unknown_key_is_fetched_once_for_all_who_ask, "P-03")
{
    AUTO(world) world = world_new();
    AUTO(key_kit) next = key_kit_new("k2");
    REQUIRE(world_start(world));
    EVENTUALLY(10000, auth_feed_ready(world->feed));
    EXPECT_I64(1, keys_asked(world));
    publish(world, (const struct key_kit *const[]){world->kit, next, NULL});
    for (int i = 0; i < 1000; i++)
        auth_feed_refresh(world->feed);
    EVENTUALLY(20000, keyset_count(world->keys) == 2); /* not within 5 s of the last time */
    EXPECT_I64(2, keys_asked(world));
}

TEST(a_feed_ends_at_once_even_while_an_instance_hangs, "I8")
{
    AUTO(world) world = world_new();
    world->instances[0]->mode = world->instances[1]->mode = HANGS;
    REQUIRE(world_start(world));
    EVENTUALLY(10000, world->turn > 0);
    auth_feed_release(&world->feed); /* returns after the call in flight */
    EXPECT(world->feed == NULL);
}
