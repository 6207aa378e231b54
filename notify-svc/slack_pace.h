/* slack_pace.h - whose turn it is: one message per channel and pace, and methods that were told to wait. Times are
 * monotonic milliseconds, given by the caller. Bounded: PACE_KEYS keys at a time, and one whose time is over makes
 * room. Thread-safe. */
#ifndef MADANG_NOTIFY_SLACK_PACE_H
#define MADANG_NOTIFY_SLACK_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_KEYS = 512 };

struct slack_pace;
struct slack_pace *slack_pace_open(int64_t pace_ms);
void slack_pace_release(struct slack_pace **pace);

/* Takes the key's next turn when it comes within `patience_ms`: true, *wait_ms until then. Otherwise false, nothing is
 * taken, and *wait_ms says when to ask again. */
bool slack_pace_take(struct slack_pace *pace, const char *key, int64_t now_ms, int64_t patience_ms, int64_t *wait_ms);
/* Nobody's turn before `until_ms`. */
void slack_pace_hold(struct slack_pace *pace, const char *key, int64_t now_ms, int64_t until_ms);
/* How long the key is still held; 0 when it is not. Takes no turn. */
int64_t slack_pace_held_ms(struct slack_pace *pace, const char *key, int64_t now_ms);

#endif
