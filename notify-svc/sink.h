/* sink.h - where a channel without settings puts its messages: one JSON object per line in <dir>/sink.jsonl, which
 * `make inbox` shows:
 *     {"id":"<dedupe id>","channel":"email","user":"<user id or
 * empty>","to":"...","subject":"...","body":"...","data":{"kind":"..."},"at":"..."} For a developer's machine: the file
 * holds texts and codes, so only its owner may read it. Several processes may write one file. It is kept below
 * SINK_BYTES_MAX: a full one becomes sink.jsonl.1, in the place of the one before. */
#ifndef MADANG_NOTIFY_SINK_H
#define MADANG_NOTIFY_SINK_H

#include "channel.h"

enum { SINK_BYTES_MAX = 32 * 1024 * 1024 };

struct sink;
struct sink *sink_open(const char *dir, struct err *err); /* makes the folder */
void sink_release(struct sink **sink);

/* One line, written whole. OUTCOME_SENT, or OUTCOME_RETRY when it can't be written. Thread-safe. */
void sink_write(struct sink *sink, const char *channel, const struct delivery *delivery, struct outcome *outcome);

#endif
