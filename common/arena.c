#include "arena.h"

#include "mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8192 };

struct block {
    struct block *next;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *newest; /* the list ends in the first block, which arena_reset keeps */
    size_t limit, taken;
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *block = mem_new(1, sizeof *block + size);
    block->size = size;
    block->next = next;
    return block;
}

struct arena *arena_open(size_t limit)
{
    struct arena *arena = MEM_NEW(arena);
    arena->limit = limit;
    arena->newest = block_new(BLOCK_BYTES - sizeof(struct block), NULL);
    return arena;
}

void arena_reset(struct arena *arena)
{
    while (arena->newest->next) {
        struct block *block = arena->newest;
        arena->newest = block->next;
        free(block);
    }
    memset(arena->newest->bytes, 0, arena->newest->used);
    arena->newest->used = arena->taken = 0;
}

void arena_release(struct arena **arena)
{
    if (!*arena)
        return;
    for (struct block *block = (*arena)->newest, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(*arena);
    *arena = NULL;
}

void *arena_try(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > arena->limit || arena->taken > arena->limit - size)
        return NULL;
    size_t rounded = (size + align - 1) / align * align;
    arena->taken += rounded;
    struct block *block = arena->newest;
    if (block->size - block->used < rounded) {
        size_t usual = BLOCK_BYTES - sizeof(struct block);
        block = arena->newest = block_new(rounded > usual ? rounded : usual, block);
    }
    void *memory = block->bytes + block->used;
    block->used += rounded;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *memory = arena_try(arena, size);
    if (!memory) {
        (void)fputs("{\"log.level\":\"error\",\"message\":\"arena limit passed\"}\n", stderr);
        abort();
    }
    return memory;
}

char *arena_bytes(struct arena *arena, const void *bytes, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

char *arena_text(struct arena *arena, const char *text)
{
    return arena_bytes(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = arena_alloc(arena, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
