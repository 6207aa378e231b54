/* entry.h - the sending path: numbers commands, sends them in order, and ends or wakes the requests that wait.
 *
 *     first run:   ... decode, check, find the market ...; return entry_ask(entry, req, &ask, err);
 *     second run:  struct entry_answer answer = entry_answered(entry, req);   // verdict, stored, or not even that
 *
 * All commands of this process have one source (random at its start) and numbers that grow in the order in which Kafka
 * gets them: numbering and handing over are one step under one lock. match-svc drops what is not newer, so a command
 * that the producer repeats does nothing.
 *
 * req->kept holds the command's ticket from the first run to the second (which starts with an empty arena): a
 * millisecond and a counter. The id of a new order is made of the ticket, bits of this process, and the last two bytes
 * of the market's id, by which any instance finds the market of an order without the database. Threads: all functions
 * are thread-safe. */
#ifndef MADANG_ORDER_ENTRY_H
#define MADANG_ORDER_ENTRY_H

#include "catalog.h"
#include "http.h"
#include "kafka.h"
#include "pending.h"

struct entry;
/* bundles: commands that wait for one group may leave in one message. */
struct entry *entry_open(struct pending *pending, bool bundles, struct err *err);
void entry_start(struct entry *entry, struct kafka_producer *producer); /* before the first request */
/* After the producer's end: reports of what was sent point here. */
void entry_release(struct entry **entry);

enum { ENTRY_WAIT_MS = 2000, ENTRY_WAIT_MAX_MS = 10000 };

/* What the header Prefer asks for. */
struct entry_wish {
    bool async; /* respond-async, or wait=0: answer as soon as the command is stored */
    int wait_ms;
};
struct entry_wish entry_wish(const char *prefer); /* NULL: none; what can't be read is ignored (RFC 7240) */

/* Never 0. */
int64_t entry_ticket(struct entry *entry);
struct uuid entry_order_id(const struct entry *entry, int64_t ticket, const struct uuid *market);

/* Sends the command (source and n are set here) and ends this run of the handler: always false. It runs again with
 * what came of it; err is set when it could not be sent (unavailable). req->kept must hold the ticket. */
bool entry_ask(struct entry *entry, struct request *req, const struct catalog_market *market,
               struct market_command *command, const struct entry_wish *wish, struct err *err);

/* Sends the command and waits for nothing. False: it could not be handed over (unavailable). */
bool entry_tell(struct entry *entry, const struct request *req, const struct catalog_market *market,
                struct market_command *command, struct err *err);

/* In the second run. */
enum entry_outcome {
    ENTRY_VERDICT, /* req->answer is the record of market.events */
    ENTRY_STORED,  /* Kafka has the command, its verdict is not here yet (or not wanted) */
    ENTRY_UNKNOWN, /* Kafka has not confirmed it: it may still be done */
};
enum entry_outcome entry_outcome(struct entry *entry, const struct request *req);

/* A record of market.events: wakes who waits for it. On the listener's thread. */
void entry_hear(struct pending *pending, const struct kafka_record *record);

#endif
