/* refresh.h - the rules of refresh tokens: their form, who follows whom, and what a presented one means.
 *
 * A token is base64url(session id 16 | 32 random bytes | first 16 bytes of a MAC over both): 86 characters. The MAC
 * tells at once whether we ever made it, so a guess can't end anybody's session, and a replay is known as one for ever
 * without storing the used ones. The successor's 32 bytes are a MAC over the presented token: two tabs that present the
 * same token get the same successor, and the database keeps only hashes. Pure functions. */
#ifndef AUTH_REFRESH_H
#define AUTH_REFRESH_H

#include "secret.h"
#include "uuid.h"

#include <stdint.h>

enum { REFRESH_TEXT_BYTES = 87 };

struct refresh_token {
    char text[REFRESH_TEXT_BYTES];
    char session_id[UUID_TEXT_BYTES];
    unsigned char hash[SHA256_BYTES]; /* what the database keeps */
};

void refresh_new(const struct secret *secret, const char *session_id, struct refresh_token *token);
void refresh_successor(const struct secret *secret, const struct refresh_token *presented, struct refresh_token *next);
/* False: not a token of ours. */
bool refresh_read(const struct secret *secret, const char *text, struct refresh_token *token);

/* The session's row as refresh_judge needs it. */
struct refresh_state {
    unsigned char current[SHA256_BYTES], previous[SHA256_BYTES];
    unsigned char twin[SHA256_BYTES]; /* given out beside the current one: whichever is used first lives on */
    bool has_previous, has_twin, ended, ended_by_reuse, expired;
    int64_t rotated_ago_ms;
};

enum refresh_verdict {
    REFRESH_ROTATE, /* the current one (or its twin): the successor becomes current */
    REFRESH_REPEAT, /* the one before, within the grace: the same successor once more */
    REFRESH_REUSED, /* used before: the family must die */
    REFRESH_GONE,   /* expired or ended */
};
enum refresh_verdict refresh_judge(const struct refresh_state *state, const struct refresh_token *presented,
                                   int64_t grace_ms);

#endif
