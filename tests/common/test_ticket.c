#include "../support/key_kit.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "own_redis.h"
#include "ticket.h"
#include "uuid.h"

#include <pthread.h>
#include <stdatomic.h>

struct world {
    struct own_redis server;
    struct redis *redis;
    struct key_kit *kit;
    struct keyset *keys;
    struct revoked *revoked;
    struct ticket_gate *gate;
};

static bool world_open(struct world *world)
{
    struct err err = {0};
    AUTO_STR jwks = {0};
    world->kit = key_kit_new("k1");
    world->keys = keyset_open();
    world->revoked = revoked_open();
    key_kit_jwks((const struct key_kit *const[]){world->kit, NULL}, &jwks);
    bool ok = keyset_load_jwks(world->keys, (struct view){jwks.bytes, jwks.length}, &err) &&
              own_redis_start(&world->server) && (world->redis = redis_open(world->server.url, 4, &err)) &&
              (world->gate = ticket_gate_open(
                   &(struct ticket_gate_options){.keys = world->keys, .revoked = world->revoked, .redis = world->redis},
                   &err));
    return test_check(ok, __FILE__, __LINE__, "start: %s %s", err.message, err.detail);
}

static void world_close(struct world *world)
{
    ticket_gate_release(&world->gate);
    redis_release(&world->redis);
    own_redis_kill(&world->server);
    revoked_release(&world->revoked);
    keyset_release(&world->keys);
    key_kit_release(&world->kit);
}

#define WORLD                                                                                                          \
    __attribute__((cleanup(world_close))) struct world world = {0};                                                    \
    REQUIRE(world_open(&world))

static void ticket_of(struct world *world, struct identity *identity, struct str *out)
{
    *identity = key_kit_identity();
    uuid_new(identity->jti);
    key_kit_token(world->kit, identity, TICKET_AUDIENCE, out);
}

#define TICKET                                                                                                         \
    struct identity identity, found;                                                                                   \
    struct err err = {0};                                                                                              \
    AUTO_STR text = {0};                                                                                               \
    ticket_of(&world, &identity, &text);                                                                               \
    struct view ticket = {text.bytes, text.length};

TEST(a_ticket_works_once, "P-06 M-64")
{
    WORLD;
    TICKET;
    REQUIRE_OK(ticket_redeem(world.gate, ticket, &found, &err), &err);
    EXPECT_TEXT(identity.user_id, found.user_id);
    EXPECT_TEXT(identity.session_id, found.session_id);
    for (int i = 0; i < 3; i++) {
        EXPECT(!ticket_redeem(world.gate, ticket, &found, &err));
        EXPECT_PROBLEM("token_invalid", &err);
    }
    AUTO(redis_reply) left = REDIS_CALL(world.redis, &err, "PTTL", "ticket:none");
    EXPECT(left != NULL);
}

struct racer {
    struct ticket_gate *gate;
    struct view ticket;
    _Atomic int *won;
};

static void *redeem(void *payload)
{
    struct racer *racer = payload;
    struct identity found;
    struct err err = {0};
    *racer->won += ticket_redeem(racer->gate, racer->ticket, &found, &err);
    return NULL;
}

TEST(of_many_that_come_with_one_ticket_one_gets_in, "M-64")
{
    WORLD;
    for (int round = 0; round < 20; round++) {
        TICKET;
        (void)found, (void)err;
        _Atomic int won = 0;
        pthread_t threads[4];
        struct racer racer = {world.gate, ticket, &won};
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, redeem, &racer);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        EXPECT_I64(1, won);
    }
}

TEST(without_redis_no_ticket_is_taken_and_none_is_spent, "I10")
{
    WORLD;
    TICKET;
    own_redis_kill(&world.server);
    EXPECT(!ticket_redeem(world.gate, ticket, &found, &err));
    EXPECT_PROBLEM("unavailable", &err);
    REQUIRE(own_redis_start(&world.server));
    EVENTUALLY(10000, ticket_redeem(world.gate, ticket, &found, &err));
    EXPECT(!ticket_redeem(world.gate, ticket, &found, &err));
    EXPECT_PROBLEM("token_invalid", &err);
}

TEST(access_tokens_strangers_and_ended_sessions_are_no_tickets, "I7")
{
    WORLD;
    TICKET;
    AUTO_STR access = {0};
    AUTO_STR foreign = {0};
    AUTO_STR old = {0};
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &access);
    EXPECT(!ticket_redeem(world.gate, (struct view){access.bytes, access.length}, &found, &err));
    EXPECT_PROBLEM("token_invalid", &err);
    AUTO(key_kit) stranger = key_kit_new("k1");
    key_kit_token(stranger, &identity, TICKET_AUDIENCE, &foreign);
    EXPECT(!ticket_redeem(world.gate, (struct view){foreign.bytes, foreign.length}, &found, &err));
    EXPECT_PROBLEM("token_invalid", &err);
    struct identity before = identity;
    before.issued_at_s -= 1000;
    before.expires_at_s = before.issued_at_s + 30;
    key_kit_token(world.kit, &before, TICKET_AUDIENCE, &old);
    EXPECT(!ticket_redeem(world.gate, (struct view){old.bytes, old.length}, &found, &err));
    EXPECT_PROBLEM("token_expired", &err);
    EXPECT(!ticket_redeem(world.gate, VIEW("x"), &found, &err));
    EXPECT_PROBLEM("token_invalid", &err);
    struct uuid session;
    REQUIRE(uuid_parse(identity.session_id, &session));
    revoked_add_session(world.revoked, &session, clock_now_ms() + 60000);
    EXPECT(!ticket_redeem(world.gate, ticket, &found, &err));
    EXPECT_PROBLEM("session_ended", &err);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
