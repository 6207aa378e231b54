#include "buffer.h"

#include "mem.h"

#include <stdlib.h>

static unsigned class_of(size_t size)
{
    size_t block = BUFFER_SMALLEST;
    unsigned class = 0;
    while (block - sizeof(struct buffer) < size && class + 1 < BUFFER_CLASSES) {
        block *= 2;
        class ++;
    }
    return class;
}

struct buffer *buffer_take(struct buffer_pool *pool, size_t size)
{
    unsigned class = class_of(size);
    struct buffer *buffer = pool->free[class];
    if (buffer) {
        pool->free[class] = buffer->next;
        if (--pool->count[class] < pool->low[class])
            pool->low[class] = pool->count[class];
    } else {
        size_t block = (size_t)BUFFER_SMALLEST << class;
        buffer = malloc(block);
        if (!buffer)
            abort();
        buffer->class = class;
        buffer->capacity = (uint32_t)(block - sizeof *buffer);
    }
    buffer->next = NULL;
    buffer->start = buffer->end = 0;
    return buffer;
}

void buffer_give(struct buffer_pool *pool, struct buffer **buffer)
{
    struct buffer *old = TAKE(*buffer);
    if (!old)
        return;
    if (!GATEWAY_REUSES ||
        pool->count[old->class] >= (1024u * 1024 >> old->class) / BUFFER_SMALLEST) { /* 1 MiB a size */
        free(old);
        return;
    }
    old->next = pool->free[old->class];
    pool->free[old->class] = old;
    pool->count[old->class]++;
}

void buffer_add(struct buffer_pool *pool, struct buffer **buffer, const void *bytes, size_t length)
{
    struct buffer *old = *buffer;
    if (!old) {
        old = *buffer = buffer_take(pool, length);
    } else if (old->capacity - old->end < length) {
        size_t have = buffer_length(old);
        if (old->capacity - have >= length) {
            memmove(old->bytes, old->bytes + old->start, have);
        } else {
            struct buffer *larger = buffer_take(pool, have + length);
            memcpy(larger->bytes, old->bytes + old->start, have);
            buffer_give(pool, buffer);
            old = *buffer = larger;
        }
        old->start = 0;
        old->end = (uint32_t)have;
    }
    if (old->capacity - old->end < length)
        abort(); /* callers append bounded things: more than the largest block is a fault of ours */
    memcpy(old->bytes + old->end, bytes, length);
    old->end += (uint32_t)length;
}

void buffer_consume(struct buffer_pool *pool, struct buffer **buffer, size_t length)
{
    (*buffer)->start += (uint32_t)length;
    if ((*buffer)->start >= (*buffer)->end)
        buffer_give(pool, buffer);
}

static void drop(struct buffer_pool *pool, unsigned class, unsigned count)
{
    while (count-- && pool->free[class]) {
        struct buffer *old = pool->free[class];
        pool->free[class] = old->next;
        pool->count[class]--;
        free(old);
    }
}

void buffer_pool_trim(struct buffer_pool *pool)
{
    for (unsigned class = 0; class < BUFFER_CLASSES; class ++) {
        drop(pool, class, (pool->low[class] + 1) / 2);
        pool->low[class] = pool->count[class];
    }
}

void buffer_pool_free(struct buffer_pool *pool)
{
    for (unsigned class = 0; class < BUFFER_CLASSES; class ++)
        drop(pool, class, pool->count[class]);
}
