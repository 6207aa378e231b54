/* depth.h - what the owner of markets publishes to market.depth: each company's state, at most ten times a second and
 * always the last one.
 *
 *     owner's thread:  book_apply ... depth_event() for each event of it (trades)
 *                      after the batch's events were acknowledged: depth_note()  -> copies what changed, a few us
 *     own thread:      sends what is due by kafka_send, without waiting for it
 * A record that could not be sent, or was given up by the producer, is sent again in its newest form. A note that is
 * older than what the table already has (a takeover that replays) is not sent. Tombstones: a company whose market has
 * been closed for keep_ms leaves the topic. Every instance looks for those in its table, so it needs no owner that
 * remembers; doubles are harmless. Threads: depth_market_* , depth_event and depth_note belong to the owner's thread.
 */
#ifndef MADANG_MATCH_DEPTH_H
#define MADANG_MATCH_DEPTH_H

#include "book.h"
#include "kafka.h"
#include "table.h"

struct depth;
struct depth_market; /* of one market that this instance holds */

struct depth_options {
    int every_ms;    /* between two records of a company: 100 */
    int64_t keep_ms; /* a closed market's companies stay so long */
    int64_t idle_ms; /* those of one that nobody closed stay so long after the last change */
};

/* `table` says what was published before (also by another owner); it must live longer. */
struct depth *depth_open(struct kafka_producer *producer, struct table *table, const struct depth_options *options,
                         struct err *err);
void depth_release(struct depth **depth); /* sends what is left without waiting for it; before the producer goes */

struct depth_market *depth_market_open(struct depth *depth, const struct uuid *market);
void depth_market_release(struct depth_market **market);
/* In book_emit_fn, also while replaying. at_ms: the command's. */
void depth_event(struct depth_market *market, const struct market_event *event, int64_t at_ms);
/* The companies that changed since the last note (all of them at the first). at_ms: of the last command applied;
 * 0: none was since the snapshot. */
void depth_note(struct depth_market *market, struct book *book, int64_t at_ms);

#endif
