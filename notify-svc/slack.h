/* slack.h - Slack's Web API with a bot token, and incoming webhooks.
 * Slack answers 200 to failures too: {"ok":false,"error":"..."} decides. It takes about one message per second and
 * channel: slack_post waits a little for its turn, or says RETRY (untried) when the turn is far. Calls after a 429 stay
 * away until Retry-After is over, per method. What can change or be mended (rate, token, scopes) is OUTCOME_RETRY, what
 * is about this message (not_in_channel, is_archived) OUTCOME_DEAD. Thread-safe. Results come from the arena. Nothing
 * is logged here: reasons are in the outcome, without texts and addresses. */
#ifndef MADANG_NOTIFY_SLACK_H
#define MADANG_NOTIFY_SLACK_H

#include "arena.h"
#include "channels.h"
#include "sink.h"
#include "slack_text.h"

enum {
    SLACK_GROUP_MAX = 8, /* people in one conversation with the bot */
    SLACK_CALLERS_MAX = 3,
    SLACK_ARENA_BYTES = 2 * 1024 * 1024,
};

struct slack *slack_open(const struct slack_config *config, struct sink *sink, struct err *err);
void slack_release(struct slack **slack);
const struct slack_config *slack_config(const struct slack *slack);
/* Neither token nor webhooks: messages go there. NULL otherwise. */
struct sink *slack_sink(const struct slack *slack);
bool slack_has_token(const struct slack *slack);

struct slack_person {
    const char *id, *name, *email; /* email "" when the bot may not see it */
    bool is_person;                /* no bot, not deleted */
};
enum slack_found { SLACK_FOUND, SLACK_NONE, SLACK_FAILED /* see the outcome */ };
enum slack_found slack_find_user(struct slack *slack, struct arena *arena, const char *id, struct slack_person *person,
                                 struct outcome *outcome);
/* A positive answer is kept for some minutes. */
enum slack_found slack_find_email(struct slack *slack, struct arena *arena, const char *email, const char **id,
                                  struct outcome *outcome);
/* The conversation with these users (comma-separated ids). */
bool slack_open_conversation(struct slack *slack, struct arena *arena, const char *users, const char **channel,
                             struct outcome *outcome);
/* `text` is in Slack's form already (slack_text.h). */
bool slack_post(struct slack *slack, struct arena *arena, const char *channel, const char *text,
                struct outcome *outcome);
bool slack_post_webhook(struct slack *slack, struct arena *arena, const char *name, const char *text,
                        struct outcome *outcome);

/* Handlers that wait for Slack, at most SLACK_CALLERS_MAX at a time, so that a slow Slack leaves workers for others.
 * True: go on, and leave at the end. */
bool slack_enter(struct slack *slack);
void slack_leave(struct slack *slack);

#endif
