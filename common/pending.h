/* pending.h - requests and sockets that wait for an event: no worker waits.
 *
 * A command goes out with the Kafka header corr = "<start id of this process>:<number>"; its verdict comes back on a
 * topic that a listener hears, with the same header. Other instances' verdicts are told by the start id and skipped
 * unparsed. In a handler: if (!req->asked) {                                 // the first run, or one after
 * http_try_again
 *         ... decode, check ...
 *         pending_begin(pending, req, corr);            // before the command is sent: the answer may be faster than we
 * are if (!kafka_send(producer, &command_with_corr, pending_sent, ..., err)) return false; return pending_wait(pending,
 * req, 5000);      // ends this run; the handler runs again with req->answer
 *     }
 *     if (!req->answer.bytes) return accepted_202(...);  // the time is over
 * Bounded: at most `max` wait at once, then unavailable (503). Threads: all functions are thread-safe. */
#ifndef MADANG_PENDING_H
#define MADANG_PENDING_H

#include "http.h"

enum { PENDING_CORR_BYTES = 64 };

struct pending;
struct pending *pending_open(size_t max, struct err *err);
/* No request may wait any more (the HTTP server is released first); expectations that still wait end with bytes NULL
 * here. */
void pending_release(struct pending **pending);

/* HTTP: registers the request and writes its corr. False (unavailable) when too many wait. Registered ones that end
 * otherwise (the handler fails before pending_wait) are forgotten with the request. */
bool pending_begin(struct pending *pending, struct request *req, char corr[PENDING_CORR_BYTES], struct err *err);
/* Ends this run of the handler; it runs again, on any thread, when the answer is there (at once if it is there already)
 * or `within_ms` is over. Always returns false; the err is ignored. */
bool pending_wait(struct pending *pending, struct request *req, int within_ms);

/* Sockets and others: `answered` runs once on the thread that brings the answer, or with bytes NULL on pending's own
 * thread when the time is over. Its bytes are valid until it returns. */
typedef void (*pending_fn)(void *payload, struct view answer);
bool pending_expect(struct pending *pending, int within_ms, pending_fn answered, void *payload,
                    char corr[PENDING_CORR_BYTES], struct err *err);

/* The event with this corr arrived; the bytes are copied. False when it is not ours or nobody waits (any more). Cheap
 * for others' (a compare of the start id). */
bool pending_answer(struct pending *pending, const char *corr, struct view bytes);
bool pending_is_ours(const struct pending *pending, const char *corr);
/* What the corr of this process begin with: no other process, now or later, has the same. */
const char *pending_start_id(const struct pending *pending);

#endif
