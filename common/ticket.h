/* ticket.h - who opens a socket or a stream: an access token in the Authorization header, or a ticket (?ticket=), which
 * works once. A ticket is an ES256 token with aud "ticket" and a jti; it is redeemed by Redis SET NX on the jti. Redis
 * away: unavailable, so a ticket never works twice. The session and role version are looked up as for access tokens.
 * Thread-safe. */
#ifndef MADANG_TICKET_H
#define MADANG_TICKET_H

#include "redis.h"
#include "token.h"

struct ticket_gate;
struct ticket_gate_options {
    struct keyset *keys;
    struct revoked *revoked;
    void (*unknown_kid)(void *payload);
    bool (*ready)(void *payload);
    void *payload;
    struct redis *redis;
};
struct ticket_gate *ticket_gate_open(const struct ticket_gate_options *options, struct err *err);
void ticket_gate_release(struct ticket_gate **gate);

/* A ticket: verified and spent. err: token_invalid (also a spent one), token_expired, session_ended, unavailable. */
bool ticket_redeem(struct ticket_gate *gate, struct view ticket, struct identity *identity, struct err *err);

#endif
