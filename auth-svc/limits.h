/* limits.h - failed log-ins, counted in Redis so that all instances count together; in this process while Redis is
 * away.
 *
 * An attempt is counted before the password is looked at and taken back when it was right, so a hundred attempts at
 * once get no more tries than one after the other. Two counters: (account, address), and the address alone (not in
 * PROFILE=bench). A known device counts as (account, device) instead of both: strangers can't lock an owner out.
 * Thread-safe. */
#ifndef AUTH_LIMITS_H
#define AUTH_LIMITS_H

#include "app.h"

struct limits *limits_open(const struct auth_config *cfg, struct redis *redis);
void limits_release(struct limits **limits);

struct attempt {
    const char *account;                   /* user id, or the name that was tried: an unknown one looks the same */
    const char *address;                   /* the client's */
    const char *device;                    /* id of a device known to the account, or NULL */
    bool counted_account, counted_address; /* filled by limits_take */
};
/* Counts the attempt. rate_limited with Retry-After when there were too many. */
bool limits_take(struct limits *limits, struct attempt *attempt, struct err *err);
/* It was no wrong password: the count goes back. `right`: the password was right, so the account starts anew. */
void limits_give_back(struct limits *limits, const struct attempt *attempt, bool right);

#endif
