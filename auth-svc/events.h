/* events.h - what auth-svc tells the others, by the outbox: rows of the caller's transaction. It listens to no topic.
 * accounts (after every change, while the account's row is locked), sessions.ended, notify.requests. */
#ifndef AUTH_EVENTS_H
#define AUTH_EVENTS_H

#include "account.h"
#include "pg.h"

/* Where a change comes from: for events and for the session list. request_id and traceparent may be NULL. */
struct origin {
    const char *ip, *request_id, *traceparent;
};

/* Topics auth-svc writes, ended by NULL. */
extern const char *const AUTH_TOPICS[];

bool event_account(struct pg_tx *tx, const struct account *account, const struct origin *origin, struct err *err);

struct ended_session {
    const char *id, *user_id;
};
bool event_sessions_ended(struct pg_tx *tx, const struct ended_session *sessions, size_t count, const char *reason,
                          const struct origin *origin, struct err *err);

/* A code on its way out: to an e-mail address or (by_sms) a phone number. */
struct code_event {
    const char *address, *code, *purpose, *locale;
    bool by_sms;
};
bool event_code(struct pg_tx *tx, const struct code_event *code, const struct origin *origin, struct err *err);

/* "Somebody used an old refresh token of yours: that device is logged out." */
bool event_session_reused(struct pg_tx *tx, const struct account *account, const char *session_id,
                          const char *device_name, const struct origin *origin, struct err *err);

#endif
