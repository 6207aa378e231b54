/* slack_event.h - what Slack posts to us: whether it is Slack's, and what it says. Pure functions.
 * Signed: "v0:<time>:<body>" with HMAC-SHA256; a time more than 5 minutes off is refused, so that a recorded post can't
 * be played again. */
#ifndef MADANG_NOTIFY_SLACK_EVENT_H
#define MADANG_NOTIFY_SLACK_EVENT_H

#include "arena.h"
#include "errors.h"
#include "str.h"

#include <stdint.h>

enum { SLACK_WINDOW_MS = 5 * 60 * 1000 };

/* `time` and `signature` are the headers' values, NULL when absent. The compare takes the same time whatever differs.
 */
bool slack_is_signed(const char *secret, const char *time, const char *signature, struct view body, int64_t now_ms);

struct slack_event {
    enum slack_event_kind {
        SLACK_CHALLENGE, /* the address is being set up: answer with the challenge */
        SLACK_TEAM_JOIN,
        SLACK_MEMBER_JOINED_CHANNEL,
        SLACK_OTHER, /* nothing to us */
    } kind;
    const char *challenge;
    const char *event_id, *slack_id, *channel; /* channel "" of a team_join */
};
/* From the arena. ERR_BAD_INPUT for what is none of Slack's events. */
bool slack_event_read(struct arena *arena, struct view body, struct slack_event *event, struct err *err);
const char *slack_event_name(enum slack_event_kind kind);

#endif
