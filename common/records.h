/* records.h - the records of topics (topics.h) that more than one service copies, as structs, and what every reader
 * does with a batch of them. Read leniently: members that nobody here keeps are passed over. Texts live in the arena.
 */
#ifndef MADANG_RECORDS_H
#define MADANG_RECORDS_H

#include "json.h"
#include "kafka.h"

/* accounts. Texts that the record has not (or null) are NULL; whatever stands beside `withdrawn` is not to be kept. */
struct account_copy {
    const char *user_id; /* NULL: a tombstone, nothing to apply; so in the other structs */
    const char *handle, *nickname, *email, *phone, *locale, *role, *created_at;
    bool email_verified, withdrawn;
    int64_t version; /* from 1 */
};
/* relations */
struct relation_copy {
    const char *a, *b; /* a < b */
    bool friend;
    struct texts blocked_by;
    int64_t version;
};
extern const struct field RELATION_FIELDS[];
/* sessions.ended */
struct session_end {
    const char *user_id, *sid, *reason;
};
extern const struct field SESSION_END_FIELDS[];

/* An item per record, zeroed for tombstones. NULL (bad_input) when one can't be read. */
struct account_copy *accounts_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err);
struct relation_copy *relations_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err);
struct session_end *session_ends_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err);
/* The same by another table, items of `size` bytes. */
void *records_decode(struct arena *arena, const struct kafka_batch *batch, const struct field *table, size_t size,
                     struct err *err);

/* The record of somebody who has just signed up may still be on its way: whoever misses it looks again (http_try_again)
 * for a while. */
enum { RECORD_WAIT_MS = 1000, RECORD_LOOK_MS = 50 };
/* Whether the account of this id is less than a minute old. */
bool account_is_young(const char *user_id);

/* Friends, and neither blocks the other. */
static inline bool relation_is_friendly(const struct relation_copy *relation)
{
    return relation->friend && relation->blocked_by.count == 0;
}
/* One statement can't touch a row twice: of several records of one account the newest stands for all. */
bool account_is_superseded(const struct account_copy *copies, size_t count, size_t index);

#endif
