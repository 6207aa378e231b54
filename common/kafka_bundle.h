/* kafka_bundle.h - several records of one key in one message of Kafka.
 *
 * A message costs the client of each reader an allocation, a turn of its queue and its headers taken apart, some
 * microseconds in all; a record in a bundle costs next to nothing (docs/decisions/023). Who sends many records of one
 * key at a time puts them into a bundle; every consumer of kafka.h takes bundles apart, so handlers see the records as
 * if they had come alone, but with one offset: a bundle is applied as a whole, by one call.
 *
 * Form, little-endian: 00 'M' 'B' 01, then for each record
 *     u32 bytes of it behind this number, u32 bytes of its payload, payload,
 *     headers: u8 name (a place in kafka_record_headers, from 1), u32 bytes, value, 00.
 * Names that a reader does not know are passed over. No other payload of ours begins with 00. What begins as a bundle
 * and is none is handed over as it is: it is for the handler to refuse it. Checked, bounded, fuzzed. */
#ifndef MADANG_KAFKA_BUNDLE_H
#define MADANG_KAFKA_BUNDLE_H

#include "kafka.h"

enum { KAFKA_BUNDLE_RECORDS_MAX = 1000 }; /* a reader takes no more; who writes stops before */

/* What a record in a bundle adds to its payload and its headers' values, at most. */
enum { KAFKA_BUNDLE_RECORD_BYTES = 8 + 6 * 6, KAFKA_BUNDLE_BEGIN_BYTES = 4 };

void kafka_bundle_begin(struct str *out);
/* `headers` (may be NULL) of the names that struct kafka_record has; others are left out. No tombstones. */
void kafka_bundle_add(struct str *out, struct view payload, const struct kafka_header *headers);

/* How many records a payload brings: 1 when it is no bundle. */
size_t kafka_bundle_count(struct view payload);
/* The records of the bundle `whole->payload`, appended to `records` (room for kafka_bundle_count), with what `whole`
 * says of offset, time and key; they point into it. False, with nothing appended, for what is no bundle. */
bool kafka_bundle_open(const struct kafka_record *whole, bool bare, struct kafka_record *records);

#endif
