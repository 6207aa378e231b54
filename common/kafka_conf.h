/* kafka_conf.h - what the Kafka modules share: settings tables, the log, topics by hand. Private to common/ and its
 * tests. */
#ifndef MADANG_KAFKA_CONF_H
#define MADANG_KAFKA_CONF_H

#include "kafka.h"

#include <librdkafka/rdkafka.h>

struct kafka_setting {
    const char *name, *value; /* name NULL ends a table */
};

/* A configuration with the settings of all our clients, then those of `table` (may be NULL). librdkafka logs to our
 * log. NULL with err when a setting is not known: a mistake of ours. */
rd_kafka_conf_t *kafka_conf_new(const char *brokers, const char *client_id, const struct kafka_setting *table,
                                struct err *err);
bool kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err);
/* rd_kafka_new; takes `conf` in any case. */
rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err);

/* ERR_UNAVAILABLE with librdkafka's words for the log. Returns false. */
bool kafka_failed(struct err *err, const char *what, rd_kafka_resp_err_t code);

/* Fills in the first (RD_KAFKA_OFFSET_BEGINNING) or last (RD_KAFKA_OFFSET_END) offset of every partition of the list,
 * by one request. Blocks. */
bool kafka_ask_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int64_t which, int timeout_ms,
                       struct err *err);

/* Records of messages, bundles taken apart (kafka_bundle.h). They point into the messages. */
struct kafka_records {
    struct kafka_record *items;
    size_t count, room;
};
/* `bare`: without headers, which librdkafka takes apart (an allocation each) when they are first asked for. */
void kafka_records_add(struct kafka_records *records, const rd_kafka_message_t *message, bool bare);
void kafka_records_free(struct kafka_records *records);

/* The place of a header that struct kafka_record has, from 1; 0: it has no such header. And back: other places are
 * passed over. */
int kafka_record_header(const char *name);
void kafka_record_set_header(struct kafka_record *record, int place, const char *value);

/* kafka_ensure_topics for any table of topics (name NULL ends it). */
bool kafka_create_topics(const char *brokers, const struct topic *topics, struct err *err);

/* Where records of a topic are put that no consumer can apply: <name>.dlq, its name written to `room`. */
enum { KAFKA_TOPIC_NAME_MAX = 256 };
struct topic kafka_dead_letters_of(const char *name, char room[KAFKA_TOPIC_NAME_MAX]);

/* The client that a producer uses now; lent until the next kafka_send_all: tests only. */
rd_kafka_t *kafka_producer_client(struct kafka_producer *producer);

/* A message without opaque, flags and learning: what kafka_send_all and kafka_send have in common. */
rd_kafka_resp_err_t kafka_produce(rd_kafka_t *rk, const struct kafka_message *message, int flags, void *opaque);

#endif
