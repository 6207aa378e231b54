/* slack_client.h - for slack_*.c: the state behind slack.h and one call of a method. */
#ifndef MADANG_NOTIFY_SLACK_CLIENT_H
#define MADANG_NOTIFY_SLACK_CLIENT_H

#include "httpclient.h"
#include "slack.h"
#include "slack_pace.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WEBHOOKS_MAX = 32, KNOWN_EMAILS = 256, KNOWN_MS = 10 * 60 * 1000 };

struct slack {
    const struct slack_config *config;
    struct sink *sink;
    struct httpclient *http;
    struct slack_pace *pace;
    char *webhook_text; /* the setting, cut into the parts below */
    struct webhook {
        const char *name, *url;
    } webhooks[WEBHOOKS_MAX];
    size_t webhook_count;
    atomic_int callers;
    pthread_mutex_t known_lock;
    struct known { /* e-mails that were found, by hash */
        char email[255], id[SLACK_ID_BYTES_MAX];
        int64_t until_ms;
    } * known;
};

/* The members of Slack's answers that we read. */
struct slack_answer {
    bool ok;
    const char *error;          /* "" when ok */
    const char *user, *channel; /* JSON, or NULL */
};

struct slack_wish {
    const char *method;     /* "users.info" */
    const char *query;      /* makes it a GET; NULL with a body */
    const struct str *body; /* makes it a POST */
    const char *expected;   /* an error that is an answer ("users_not_found"); may be NULL */
    const char *limited;    /* what a 429 is about: a channel; NULL: the method */
};
/* Waits for the key's turn when it is near; else RETRY, untried. */
bool slack_wait_turn(struct slack *slack, const char *key, struct outcome *outcome);
/* A 429 about the key: it is held until Retry-After is over. */
void slack_hold(struct slack *slack, const char *key, const struct outcome *outcome);
/* False when it failed. */
bool slack_call(struct slack *slack, struct arena *arena, const struct slack_wish *wish, struct slack_answer *answer,
                struct outcome *outcome);

#endif
