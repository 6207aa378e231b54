#include "ticket.h"

#include "clock.h"
#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Remembered so much longer than it can be verified: clocks of instances differ by seconds. */
enum { KEEP_BEYOND_MS = 60 * 1000 };

struct ticket_gate {
    struct token_verifier *verifier;
    struct redis *redis;
};

struct ticket_gate *ticket_gate_open(const struct ticket_gate_options *options, struct err *err)
{
    AUTO(ticket_gate) gate = MEM_NEW(ticket_gate);
    gate->redis = options->redis;
    gate->verifier = token_verifier_open(&(struct token_options){.keys = options->keys,
                                                                 .revoked = options->revoked,
                                                                 .issuer = TOKEN_ISSUER,
                                                                 .audience = TICKET_AUDIENCE,
                                                                 .unknown_kid = options->unknown_kid,
                                                                 .ready = options->ready,
                                                                 .payload = options->payload},
                                         err);
    return gate->verifier ? TAKE(gate) : NULL;
}

void ticket_gate_release(struct ticket_gate **place)
{
    struct ticket_gate *gate = TAKE(*place);
    if (!gate)
        return;
    token_verifier_release(&gate->verifier);
    free(gate);
}

bool ticket_redeem(struct ticket_gate *gate, struct view ticket, struct identity *identity, struct err *err)
{
    char key[16 + UUID_TEXT_BYTES], keep_ms[24];
    if (!token_verify(gate->verifier, ticket, identity, err))
        return false;
    int64_t left_ms = identity->expires_at_s * 1000 - clock_now_ms();
    (void)snprintf(key, sizeof key, "ticket:%s", identity->jti);
    (void)snprintf(keep_ms, sizeof keep_ms, "%" PRId64, (left_ms > 0 ? left_ms : 0) + KEEP_BEYOND_MS);
    AUTO(redis_reply) reply = REDIS_CALL(gate->redis, err, "SET", key, "1", "NX", "PX", keep_ms);
    if (!reply)
        return false;
    return !redis_is_nil(reply) || err_set(err, &ERR_TOKEN_INVALID, "the ticket was used already");
}
