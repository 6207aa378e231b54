/* kafka_pace.h - consumers that need no hurry fetch in gulps. Private to common/ and its tests.
 *
 * A broker pays for each request far more than for each record, and a long poll returns with the first record: seven
 * consumers of a busy topic are seven requests for every few records. librdkafka can only wait at the broker
 * (fetch.min.bytes), which either polls a quiet topic all the time or makes a lone record late. So the pace is kept
 * here: the answer of a fetch is held until `gather_ms` after the one before, and only then taken and followed by the
 * next fetch. A topic that is quiet answers later than that anyway: a lone record is not held at all. Whoever can wait
 * longer when there is much to do has a second, longer pace for answers of KAFKA_BUSY_BYTES or more; so many that they
 * are a backlog (KAFKA_BACKLOG_BYTES) are worked off at the short one. Somebody who waits (kafka_hurry) cuts the longer
 * pace to KAFKA_HURRIED_MS. */
#ifndef MADANG_KAFKA_PACE_H
#define MADANG_KAFKA_PACE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    KAFKA_GATHER_MAX_MS = 100, /* other requests to that broker wait as long */
    KAFKA_BUSY_BYTES = 4096,
    KAFKA_BACKLOG_BYTES = 512 * 1024,
    KAFKA_HURRIED_MS = 20, /* of a longer pace while somebody waits: who reads often must not make all gulps small */
};

struct kafka_pace {
    int gather_ms;      /* 0: no pace */
    int busy_gather_ms; /* counts where it is the longer one */
};

/* False: librdkafka would not. */
bool kafka_conf_pace(rd_kafka_conf_t *conf, struct kafka_pace pace);
/* The one that holds an answer of so many bytes; `hurried`: somebody has waited since the last one was let through. */
int kafka_pace_ms(struct kafka_pace pace, size_t answer_bytes, bool hurried);
/* How long to hold what came now, when the last one was let through at `last_us` (0: never). */
int64_t kafka_pace_hold_us(int64_t last_us, int64_t now_us, int gather_ms);

#endif
