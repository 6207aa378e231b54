#include "outcome.h"

#include <stddef.h>

const char *const OUTCOME_NAMES[OUTCOME_STATES] = {
    [OUTCOME_DELIVERED] = "delivered", [OUTCOME_RETRY] = "retry",       [OUTCOME_DEAD_TOKEN] = "dead_token",
    [OUTCOME_DROPPED] = "dropped",     [OUTCOME_REJECTED] = "rejected",
};

enum { DOUBLINGS_MOST = 20, NO_ANSWER_SHARE = 10 };

int64_t backoff_ms(int64_t first_ms, int attempt, unsigned char chance)
{
    const int doublings = attempt < 1 ? 0 : attempt - 1 > DOUBLINGS_MOST ? DOUBLINGS_MOST : attempt - 1;
    int64_t delay = first_ms << doublings;
    if (delay > BACKOFF_MOST_MS)
        delay = BACKOFF_MOST_MS;
    return delay + delay * chance / 1024;
}

int64_t retry_delay_ms(int retry_after_s, int64_t first_ms, int attempt, unsigned char chance)
{
    if (retry_after_s <= 0)
        return backoff_ms(first_ms, attempt, chance);
    const int64_t asked = (int64_t)(retry_after_s > RETRY_AFTER_MOST_S ? RETRY_AFTER_MOST_S : retry_after_s) * 1000;
    return asked + asked * chance / 2560;
}

struct outcome outcome_no_answer(const struct backoff *backoff, int attempt, unsigned char chance)
{
    const int64_t first = backoff->first_ms / NO_ANSWER_SHARE;
    return (struct outcome){OUTCOME_RETRY, .reason = "no_answer",
                            .delay_ms = backoff_ms(first ? first : 1, attempt, chance)};
}

struct outcome outcome_within(struct outcome outcome, int64_t left_ms)
{
    if (outcome.state == OUTCOME_RETRY && outcome.delay_ms >= left_ms) {
        outcome.state = OUTCOME_DROPPED;
        outcome.reason = "expired";
    }
    return outcome;
}

/* clang-format off */
static const struct web_row {
    const char *reason;
    int from, to; /* statuses */
    enum outcome_state state;
    bool quota, alert;
} WEB_ROWS[] = {
    {NULL,                200, 299, OUTCOME_DELIVERED,  false, false},
    {"invalid_argument",  400, 400, OUTCOME_REJECTED,   false, true},
    {"vapid_refused",     401, 403, OUTCOME_REJECTED,   false, true},  /* our key, or not the one the browser subscribed with */
    {"gone",              404, 404, OUTCOME_DEAD_TOKEN, false, false},
    {"gone",              410, 410, OUTCOME_DEAD_TOKEN, false, false},
    {"too_large",         413, 413, OUTCOME_REJECTED,   false, true},
    {"unavailable",       408, 408, OUTCOME_RETRY,      false, false},
    {"quota_exceeded",    429, 429, OUTCOME_RETRY,      true,  false},
    {"unavailable",       500, 599, OUTCOME_RETRY,      false, false},
};
/* clang-format on */

struct outcome outcome_web(long status, int retry_after_s, const struct backoff *backoff, int attempt,
                           unsigned char chance)
{
    for (unsigned i = 0; i < sizeof WEB_ROWS / sizeof *WEB_ROWS; i++) {
        const struct web_row *row = &WEB_ROWS[i];
        if (status < row->from || status > row->to)
            continue;
        struct outcome outcome = {row->state, .reason = row->reason, .alert = row->alert};
        if (row->state == OUTCOME_RETRY)
            outcome.delay_ms = retry_delay_ms(retry_after_s, row->quota ? backoff->quota_first_ms : backoff->first_ms,
                                              attempt, chance);
        outcome.slow_device = row->quota; /* a push service counts per subscription */
        return outcome;
    }
    return (struct outcome){OUTCOME_REJECTED, .reason = "unknown_answer",
                            .alert = true}; /* redirects too: nobody is followed */
}
