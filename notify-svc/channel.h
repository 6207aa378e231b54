/* channel.h - how a notice leaves to the outside: e-mail (SMTP), SMS, Slack; and push (a push.requests event).
 * deliver.c takes due rows of `deliveries` (SKIP LOCKED), calls the channel's send and writes what came of it: sent,
 * again at a time, or dead (dead letter, counted, logged with the reason). A channel decides only about one send;
 * back-off, attempts and expiry are deliver.c's. Threads: send runs on that channel's own senders, so a slow one never
 * delays another; a channel's state must be thread-safe. */
#ifndef MADANG_NOTIFY_CHANNEL_H
#define MADANG_NOTIFY_CHANNEL_H

#include "errors.h"

#include <stdint.h>

struct delivery {
    int64_t id;
    const char *kind;      /* of the notice: "friend_request" */
    const char *dedupe_id; /* stable over tries: Message-ID and the like are made of it */
    const char *user_id;   /* "" when the notice is to an address */
    const char *address; /* e-mail, phone in E.164, Slack user or channel id or "webhook:<name>"; comma-separated for a
                            Slack group */
    const char *locale;  /* "ko" or "en" */
    const char *title, *body; /* made from the templates; body_html may be NULL */
    const char *body_html;
    int attempt; /* from 1 */
};

enum outcome_kind {
    OUTCOME_SENT,
    OUTCOME_RETRY,   /* worth another try: later, or after retry_after_ms when that is longer than the back-off */
    OUTCOME_DEAD,    /* never will: dead letter */
    OUTCOME_DROPPED, /* by policy: not linked, switched off */
};
struct outcome {
    enum outcome_kind kind;
    int64_t retry_after_ms;
    bool untried; /* with RETRY: nothing was sent, the channel is only keeping its pace; need not count as an attempt */
    char reason[200]; /* for the log and the row; no secrets, no message text */
};

struct channel {
    const char *name; /* "email", "sms", "slack", "push" */
    int senders;      /* threads */
    void *state;
    void (*send)(void *state, const struct delivery *delivery, struct outcome *outcome);
};

#endif
