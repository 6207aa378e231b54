/* keys.h - the ES256 keys this instance signs with and publishes: a copy of the table, read again every few seconds.
 *
 * A new key is published KEY_LEAD_SECONDS before it signs and the old one KEY_OVERLAP_SECONDS after it signed last, so
 * no verifier meets a key it could not have seen. All instances read the same table, so all change over at the same
 * time (give or take KEYS_LOOK_S, which the lead allows for). Thread-safe: signing takes a counted reference to an
 * immutable set. */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include "app.h"
#include "token.h"

enum { KEYS_LOOK_S = 5, TICKET_SECONDS = 30 };

/* Makes the first key when there is none. `published` (may be NULL) gets every new set: the service's own verifier. */
struct keys *keys_open(struct keyset *published);
void keys_release(struct keys **keys);

/* Reads the table again, and makes a successor when one is due. */
bool keys_refresh(struct keys *keys, const struct auth_app *app, struct err *err);

/* RFC 7517, as published. */
void keys_print_jwks(struct keys *keys, struct str *out);

/* Signs with the key of this moment. */
bool keys_sign(struct keys *keys, const struct identity *identity, const char *audience, struct str *out,
               struct err *err);

#endif
