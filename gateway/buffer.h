/* buffer.h - blocks of bytes that connections hold only while they have something to hold.
 * An idle connection owns none. Blocks come in sizes of powers of two from a pool of the loop; what nobody used for a
 * while goes back to the system. Threads: one pool per loop. */
#ifndef GATEWAY_BUFFER_H
#define GATEWAY_BUFFER_H

#include "str.h"

#include <stddef.h>
#include <stdint.h>

/* With a sanitizer nothing is kept for reuse, so that it sees each one's end. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GATEWAY_REUSES 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(GATEWAY_REUSES)
#define GATEWAY_REUSES 0
#endif
#ifndef GATEWAY_REUSES
#define GATEWAY_REUSES 1
#endif

enum { BUFFER_CLASSES = 9, BUFFER_SMALLEST = 1024 }; /* 1 KiB .. 256 KiB, header included */

struct buffer {
    struct buffer *next;
    uint32_t start, end, capacity; /* content is bytes[start..end) */
    uint32_t class;
    char bytes[];
};

struct buffer_pool {
    struct buffer *free[BUFFER_CLASSES];
    unsigned count[BUFFER_CLASSES], low[BUFFER_CLASSES]; /* low: the fewest free since the last trim */
};

/* An empty buffer with room for at least `size` bytes (at most 200 KiB). */
struct buffer *buffer_take(struct buffer_pool *pool, size_t size) __attribute__((returns_nonnull));
/* Gives it back; NULL is fine; leaves NULL. */
void buffer_give(struct buffer_pool *pool, struct buffer **buffer);
/* Appends, moving to a larger block when needed; *buffer may be NULL. */
void buffer_add(struct buffer_pool *pool, struct buffer **buffer, const void *bytes, size_t length);
static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer ? buffer->end - buffer->start : 0;
}
static inline struct view buffer_view(const struct buffer *buffer)
{
    return buffer ? (struct view){buffer->bytes + buffer->start, buffer->end - buffer->start} : (struct view){"", 0};
}
/* Takes `length` bytes off the front; gives the block back when it is empty. */
void buffer_consume(struct buffer_pool *pool, struct buffer **buffer, size_t length);

/* Once a second: frees half of what was not needed since the last time. */
void buffer_pool_trim(struct buffer_pool *pool);
void buffer_pool_free(struct buffer_pool *pool);

#endif
