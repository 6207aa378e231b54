/* kafka_sender.h - kafka_send: one message at a time without waiting, over a client of its own with a short delivery
 * time. Private to common/. Thread-safe. */
#ifndef MADANG_KAFKA_SENDER_H
#define MADANG_KAFKA_SENDER_H

#include "kafka_conf.h"

struct kafka_sender;
struct kafka_sender *kafka_sender_open(const char *brokers, const char *client_id, struct err *err);
/* Waits up to 5 s for what is on its way; gives up the rest. */
void kafka_sender_release(struct kafka_sender **sender);
bool kafka_sender_send(struct kafka_sender *sender, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err);

/* Makes the client fatal, as a broker's answer would: tests only. */
void kafka_producer_break_sender(struct kafka_producer *producer);
void kafka_sender_break(struct kafka_sender *sender);

#endif
