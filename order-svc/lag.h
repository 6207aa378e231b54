/* lag.h - how many records of a partition of market.events wait for settlement.
 *
 * Settlement says how far it is by an offset, and one offset may be a bundle of hundreds of records
 * (common/kafka_bundle.h), so the listener's count is remembered at some offsets: never more than LAG_MARKS_MAX, closer
 * together the nearer settlement is. The figure is never too small for what was heard; of what stood before the first
 * record heard, messages are counted. Threads: the caller's lock. */
#ifndef MADANG_ORDER_LAG_H
#define MADANG_ORDER_LAG_H

#include <stddef.h>
#include <stdint.h>

enum { LAG_MARKS_MAX = 128 };

struct lag {
    int64_t records, next_offset; /* heard; behind the last of them */
    struct lag_mark {
        int64_t offset, records; /* before this offset so many had been heard */
    } marks[LAG_MARKS_MAX];
    size_t mark_count;
    int64_t mark_step; /* records between two of them, at least */
};

/* So many records stand in the messages from first_offset to below next_offset. */
void lag_heard(struct lag *lag, int64_t first_offset, int64_t next_offset, size_t records);
/* What waits when everything below `applied` is settled; 0 when nothing was heard, or nothing is known (applied 0). */
int64_t lag_behind(struct lag *lag, int64_t applied);

#endif
