/* post.h - the post office: takes sends that are due from the database, hands them to the wire, and writes down what
 * became of each. One thread per process. Several instances share the work by SKIP LOCKED; what one has in hand is its
 * own for PUSH_CLAIM_SECONDS. A process that was killed leaves its sends claimed: the next process of the same slot
 * takes them over at once, others after that time. A provider may then see one twice: what was answered in the moment
 * before the kill and not yet written down. Collapse keys and `push_id` make that harmless. Bounded: at most
 * HAND_STREAMS times PUSH_STREAMS sends of a channel are in hand. */
#ifndef MADANG_PUSH_POST_H
#define MADANG_PUSH_POST_H

#include "config.h"
#include "fcm.h"
#include "pg.h"
#include "reach.h"
#include "webpush.h"

enum { HAND_STREAMS = 3 };

struct post_options {
    const struct push_config *config;
    struct pg_pool *db;
    int slot;
    const struct fcm_account *account; /* NULL: FCM's sends go to the sink */
    const struct vapid *vapid;         /* NULL: web pushes go to the sink */
    const struct reach *reach;
};

struct post;
struct post *post_start(const struct post_options *options, struct err *err);
/* Takes no more, waits up to 5 s for what is in flight, writes it down. */
void post_release(struct post **post);
void post_wake(struct post *post); /* something new is due; any thread */

#endif
