/* arena.h - memory that lives as long as one request (or one batch) and dies at once.
 * Owner: whoever opened it; what comes from it is never freed singly. Threads: one at a time.
 * Bounded: more than `limit` bytes in total give NULL from arena_try, and end the process from arena_alloc (callers
 * of arena_alloc take sizes that are bounded already). */
#ifndef MADANG_ARENA_H
#define MADANG_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_open(size_t limit);
void arena_release(struct arena **arena);
void arena_reset(struct arena *arena); /* forgets everything, keeps the first block for the next use */

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull, warn_unused_result));
void *arena_try(struct arena *arena, size_t size) __attribute__((warn_unused_result));
char *arena_text(struct arena *arena, const char *text);                  /* a copy */
char *arena_bytes(struct arena *arena, const void *bytes, size_t length); /* a copy, NUL added */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_NEW(arena, type) ((struct type *)arena_alloc((arena), sizeof(struct type)))

#endif
