/* outcome.h - what became of one send, and how long to wait. Pure: randomness and figures come in. */
#ifndef MADANG_PUSH_OUTCOME_H
#define MADANG_PUSH_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

enum outcome_state {
    OUTCOME_DELIVERED,
    OUTCOME_RETRY,
    OUTCOME_DEAD_TOKEN,
    OUTCOME_DROPPED,
    OUTCOME_REJECTED,
    OUTCOME_STATES
};
extern const char *const OUTCOME_NAMES[OUTCOME_STATES]; /* as in the column sends.state */

struct outcome {
    enum outcome_state state;
    const char *reason; /* a constant: a metric's label, the column sends.reason; NULL for delivered */
    int64_t delay_ms;   /* of RETRY */
    bool untried;       /* RETRY that was no try: the provider never saw it */
    bool slow_device;   /* no send to this device before delay_ms is over */
    bool pause_channel; /* no send at all before delay_ms is over */
    bool alert;         /* somebody must look: credentials, keys, our own messages */
};

struct backoff {
    int64_t first_ms;       /* UNAVAILABLE, INTERNAL; doubles with each try */
    int64_t quota_first_ms; /* QUOTA_EXCEEDED */
};
enum { BACKOFF_MOST_MS = 3600 * 1000, RETRY_AFTER_MOST_S = 24 * 3600 };

/* first_ms * 2^(attempt - 1), at most an hour, and up to a quarter more by `chance` (0..255), so that what failed
 * together does not return together. */
int64_t backoff_ms(int64_t first_ms, int attempt, unsigned char chance);
/* What Retry-After says, up to a tenth more by chance; without one: backoff_ms. */
int64_t retry_delay_ms(int retry_after_s, int64_t first_ms, int attempt, unsigned char chance);

/* No whole answer came. Short first delay: a connection that was closed (GOAWAY, restart) is simply made again. */
struct outcome outcome_no_answer(const struct backoff *backoff, int attempt, unsigned char chance);
/* A retry that would come after the message's time to live is a drop. */
struct outcome outcome_within(struct outcome outcome, int64_t left_ms);

/* Answers of a push service (RFC 8030). */
struct outcome outcome_web(long status, int retry_after_s, const struct backoff *backoff, int attempt,
                           unsigned char chance);

#endif
