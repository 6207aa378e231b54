#include "entry.h"

#include "clock.h"
#include "mem.h"
#include "topics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    COUNTER_BITS = 22,
    COUNTER_MASK = (1 << COUNTER_BITS) - 1,
    STORED_SLOTS = 1 << 15, /* more than can wait at once */
    STORED_WITHIN_MS = 3000 /* then who asked for no verdict is told that nothing is certain */
};
#define TICKET_EPOCH_MS INT64_C(1577836800000) /* 2020: so that tickets stay positive until 2089 */

/* Answers of one byte, where a verdict is a whole record. */
#define ANSWER_STORED VIEW("+")
#define ANSWER_LOST VIEW("-")

struct entry {
    struct kafka_producer *producer;
    struct pending *pending;
    bool bundles;
    uint64_t source;
    unsigned char salt[6]; /* of order ids */
    _Atomic uint32_t counter;
    pthread_mutex_t lock; /* numbering and handing over are one step */
    uint64_t n;
    _Atomic int64_t stored[STORED_SLOTS]; /* tickets that Kafka has confirmed, by their counter */
};

struct entry *entry_open(struct pending *pending, bool bundles, struct err *err)
{
    struct entry *entry = MEM_NEW(entry);
    if (getrandom(&entry->source, sizeof entry->source, 0) != (ssize_t)sizeof entry->source ||
        getrandom(entry->salt, sizeof entry->salt, 0) != (ssize_t)sizeof entry->salt) {
        err_set_internal(err, &ERR_INTERNAL, "no random numbers");
        free(entry);
        return NULL;
    }
    entry->pending = pending;
    entry->bundles = bundles;
    pthread_mutex_init(&entry->lock, NULL);
    return entry;
}

void entry_start(struct entry *entry, struct kafka_producer *producer)
{
    entry->producer = producer;
}

void entry_release(struct entry **held)
{
    if (!*held)
        return;
    pthread_mutex_destroy(&(*held)->lock);
    free(*held);
    *held = NULL;
}

/* ---- what the client prefers ---- */

struct entry_wish entry_wish(const char *prefer)
{
    static const char WAIT[] = "wait=", ASYNC[] = "respond-async";
    struct entry_wish wish = {.wait_ms = ENTRY_WAIT_MS};
    for (const char *at = prefer; at && *at;) {
        at += strspn(at, ", \t");
        const size_t length = strcspn(at, ",; \t");
        if (length == sizeof ASYNC - 1 && strncasecmp(at, ASYNC, length) == 0) {
            wish.async = true;
        } else if (length >= sizeof WAIT && length <= sizeof WAIT + 3 && strncasecmp(at, WAIT, sizeof WAIT - 1) == 0 &&
                   strspn(at + sizeof WAIT - 1, "0123456789") == length - (sizeof WAIT - 1)) {
            const long seconds = strtol(at + sizeof WAIT - 1, NULL, 10);
            wish.wait_ms = seconds > ENTRY_WAIT_MAX_MS / 1000 ? ENTRY_WAIT_MAX_MS : (int)seconds * 1000;
        }
        at += length;
        at += strcspn(at, ",");
    }
    wish.async = wish.async || wish.wait_ms == 0;
    return wish;
}

/* ---- tickets and ids ---- */

int64_t entry_ticket(struct entry *entry)
{
    const uint32_t counter = atomic_fetch_add_explicit(&entry->counter, 1, memory_order_relaxed) & COUNTER_MASK;
    return (clock_now_ms() - TICKET_EPOCH_MS) << COUNTER_BITS | counter;
}

/* UUIDv7: 48 bits of time; 12 of the counter, so that ids of a millisecond grow; the rest of the counter, the salt,
 * the market's. */
struct uuid entry_order_id(const struct entry *entry, int64_t ticket, const struct uuid *market)
{
    const uint64_t at_ms = (uint64_t)(ticket >> COUNTER_BITS) + (uint64_t)TICKET_EPOCH_MS;
    const uint32_t counter = (uint32_t)ticket & COUNTER_MASK;
    struct uuid id;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (unsigned char)(at_ms >> (40 - 8 * i));
    id.bytes[6] = (unsigned char)(0x70 | (counter >> 8 & 0x0f));
    id.bytes[7] = (unsigned char)counter;
    id.bytes[8] = 0x80 | (entry->salt[0] & 0x3f);
    id.bytes[9] = (unsigned char)(counter >> 12);
    id.bytes[10] = (unsigned char)(counter >> 20 | (entry->salt[1] & 0xfc));
    memcpy(id.bytes + 11, entry->salt + 2, 3);
    memcpy(id.bytes + CATALOG_TAG_AT, market->bytes + CATALOG_TAG_AT, sizeof id.bytes - CATALOG_TAG_AT);
    return id;
}

/* ---- sending ---- */

/* A command on its way to Kafka. */
struct sending {
    struct entry *entry;
    int64_t ticket;
    bool tell; /* who waits wants to know that it is stored */
    char corr[PENDING_CORR_BYTES];
};

/* On a thread of the producer. What Kafka did not take may still arrive, so the answer is "perhaps". */
static void sent(void *payload, bool ok)
{
    struct sending *sending = payload;
    struct entry *entry = sending->entry;
    if (ok)
        atomic_store_explicit(&entry->stored[sending->ticket & (STORED_SLOTS - 1)], sending->ticket,
                              memory_order_release);
    if (!ok || sending->tell)
        (void)pending_answer(entry->pending, sending->corr, ok ? ANSWER_STORED : ANSWER_LOST);
    free(sending);
}

/* What waits for no verdict sends no corr, so that none comes. */
static bool send(struct entry *entry, const struct request *req, const struct catalog_market *market,
                 struct market_command *command, struct sending *sending, struct err *err)
{
    const struct kafka_header headers[] = {
        {"x-request-id", req->request_id},
        {"traceparent", req->traceparent},
        {sending->tell ? NULL : "corr", sending->corr},
        {0},
    };
    struct kafka_message message = {.topic = TOPIC_MARKET_COMMANDS,
                                    .key = {market->id_text, UUID_TEXT_BYTES - 1},
                                    .headers = headers,
                                    .joins = entry->bundles};
    AUTO_STR payload;
    str_init(&payload);
    str_reserve(&payload, 160);
    pthread_mutex_lock(&entry->lock);
    command->market = market->id;
    command->source = entry->source;
    command->n = ++entry->n;
    market_command_encode(&payload, command);
    message.payload = (struct view){payload.bytes, payload.length};
    const bool ok = kafka_send(entry->producer, &message, sent, sending, err);
    pthread_mutex_unlock(&entry->lock);
    return ok;
}

bool entry_ask(struct entry *entry, struct request *req, const struct catalog_market *market,
               struct market_command *command, const struct entry_wish *wish, struct err *err)
{
    struct sending *sending = MEM_NEW(sending);
    *sending = (struct sending){.entry = entry, .ticket = req->kept, .tell = wish->async};
    /* First the place in the table, then the command: its verdict may be faster than we are. */
    if (!pending_begin(entry->pending, req, sending->corr, err) || !send(entry, req, market, command, sending, err)) {
        free(sending);
        return false;
    }
    return pending_wait(entry->pending, req, wish->async ? STORED_WITHIN_MS : wish->wait_ms);
}

bool entry_tell(struct entry *entry, const struct request *req, const struct catalog_market *market,
                struct market_command *command, struct err *err)
{
    struct sending *sending = MEM_NEW(sending);
    *sending = (struct sending){.entry = entry, .ticket = entry_ticket(entry), .tell = true}; /* nobody of no corr */
    const bool ok = send(entry, req, market, command, sending, err);
    if (!ok)
        free(sending);
    return ok;
}

/* ---- and back ---- */

enum entry_outcome entry_outcome(struct entry *entry, const struct request *req)
{
    if (req->answer.bytes && req->answer.length > 1)
        return ENTRY_VERDICT;
    if (req->answer.bytes && view_equals(req->answer, ANSWER_STORED))
        return ENTRY_STORED;
    if (req->answer.bytes)
        return ENTRY_UNKNOWN;
    const int64_t stored = atomic_load_explicit(&entry->stored[req->kept & (STORED_SLOTS - 1)], memory_order_acquire);
    return stored == req->kept ? ENTRY_STORED : ENTRY_UNKNOWN;
}

void entry_hear(struct pending *pending, const struct kafka_record *record)
{
    if (record->corr && record->payload.length > 1 && pending_is_ours(pending, record->corr))
        (void)pending_answer(pending, record->corr, record->payload);
}
