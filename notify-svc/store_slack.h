/* store_slack.h - the SQL of Slack's tables (migrations/010_slack.sql): links and codes (store_slack.c), events
 * (store_slack_events.c). What comes back lives in the arena. Failures: those of pg.h, and the ones named here. */
#ifndef MADANG_NOTIFY_STORE_SLACK_H
#define MADANG_NOTIFY_STORE_SLACK_H

#include "arena.h"
#include "crypto.h"
#include "pg.h"
#include "slack_event.h"

enum {
    SLACK_CODE_DIGITS = 6,
    SLACK_CODE_TRIES = 5,
    SLACK_CODE_SECONDS = 600,
    SLACK_RESEND_SECONDS = 60,
    SLACK_SENDS_A_DAY = 10, /* by one account, and to one Slack user */
    SLACK_EVENT_TRIES = 12,
};

/* ---- people (store_slack.c) ---- */

struct slack_friend {
    const char *nickname, *email, *slack_id; /* "" when there is none; only an e-mail that was verified */
};
/* One per id, in the order of `ids`. */
bool store_slack_people(struct pg_tx *tx, struct arena *arena, const char *const *ids, size_t count,
                        struct slack_friend **people, struct err *err);

struct slack_link {
    const char *slack_id; /* NULL: not linked */
    const char *how;
    int64_t linked_ms;
    const char *pending_id; /* who a code was sent to, NULL: nobody */
    int64_t pending_until_ms;
};
bool store_slack_link(struct pg_pool *db, struct arena *arena, const char *user_id, struct slack_link *link,
                      struct err *err);

/* Keeps a new code's hash in the place of the one before. ERR_RATE_LIMITED: one a minute, SLACK_SENDS_A_DAY. */
bool store_slack_code_put(struct pg_pool *db, const char *user_id, const char *slack_id, const char *code,
                          struct err *err);
/* It could not be sent: as if it had not been asked for. */
bool store_slack_code_drop(struct pg_pool *db, const char *user_id, struct err *err);
/* Links, and takes the Slack user away from another account: whoever reads its messages is its owner. ERR_BAD_CODE (a
 * try is counted). */
bool store_slack_confirm(struct pg_pool *db, const char *user_id, const char *code, struct err *err);
/* The row stays, so that no event links again. */
bool store_slack_unlink(struct pg_pool *db, const char *user_id, struct err *err);

/* ---- events (store_slack_events.c) ---- */

/* *added false: it was known. */
bool store_slack_event_add(struct pg_pool *db, const struct slack_event *event, bool *added, struct err *err);

struct slack_join {
    struct slack_event event;
    int attempt;
};
/* A due one, taken for a minute; *found false: none. */
bool store_slack_event_claim(struct pg_pool *db, struct arena *arena, struct slack_join *join, bool *found,
                             struct err *err);
/* Over. In one transaction: links the account with this verified e-mail ("": none) unless it or the Slack user is
 * linked or was unlinked by its owner, and sends the notice (payload of a notify.requests event; NULL: none). *linked:
 * whether. */
struct slack_join_done {
    const struct slack_join *join;
    const char *email;
    const char *notice_key, *notice;
    bool linked; /* out */
};
bool store_slack_event_done(struct pg_pool *db, struct slack_join_done *done, struct err *err);
/* Again in `wait_ms`; dead after SLACK_EVENT_TRIES. */
bool store_slack_event_again(struct pg_pool *db, const struct slack_join *join, int64_t wait_ms, struct err *err);
/* What is old, and links of accounts that were withdrawn. */
bool store_slack_sweep(struct pg_pool *db, struct err *err);

#endif
