/* password.h - Argon2id, a few at a time, so that a storm of log-ins can't take memory, processors or workers from the
 * rest.
 *
 * Two gates. password_enter, first thing in a handler that will hash, lets only a few requests in; the others go
 * back to the timer (http_try_again), holding no worker, oldest first; more than `queue` of them get 503 overloaded.
 * Inside, at most `lanes` hash at the same time. The parameters stand in the hash: changing the settings changes new
 * hashes, and password_is_old tells when a log-in should hash again. Thread-safe. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "http.h"
#include "mem.h"

enum { PASSWORD_HASH_BYTES = 160 };

struct passwords;
struct passwords_options {
    int64_t memory_kib, passes; /* of new hashes */
    int lanes; /* 0: half as many as there are cores, 1 to 4, so that a storm of log-ins leaves as much to the rest */
    int queue;
    int workers; /* threads that run handlers: at most half of them get past the first gate, but `lanes` always */
};
struct passwords *passwords_open(const struct passwords_options *options, struct err *err);
void passwords_release(struct passwords **passwords);

/* One request's place past the first gate: AUTO(password_turn) turn = password_enter(app->passwords, req, err);
 * if (!turn) return false;   (also when the request was told to come again) */
struct password_turn;
struct password_turn *password_enter(struct passwords *passwords, struct request *req, struct err *err);
void password_turn_release(struct password_turn **turn);

bool password_hash(struct passwords *passwords, const char *password, char hash[PASSWORD_HASH_BYTES], struct err *err);
/* Whether it is the password of `hash`. NULL or "" as hash: false after the same time as a real one. */
bool password_matches(struct passwords *passwords, const char *hash, const char *password);
/* The hash was made with less than today's parameters. */
bool password_is_old(const struct passwords *passwords, const char *hash);
int64_t password_waiting(void *passwords); /* requests before the first gate; a gauge */

#endif
