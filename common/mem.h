/* mem.h - ownership that can be seen.
 * AUTO(type) x = type_open(...);  releases x at the end of its block by type_release(&x)
 * TAKE(x)                         hands x over: the variable becomes NULL, so AUTO does nothing
 * Every x_release(struct x **) accepts NULL inside and leaves NULL. */
#ifndef MADANG_MEM_H
#define MADANG_MEM_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define AUTO(type) __attribute__((cleanup(type##_release), unused)) struct type *
#define TAKE(ptr)                                                                                                      \
    __extension__({                                                                                                    \
        __typeof__(ptr) taken_ = (ptr);                                                                                \
        (ptr) = NULL;                                                                                                  \
        taken_;                                                                                                        \
    })
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define AUTO_FREE __attribute__((cleanup(mem_free_ptr)))

/* For AUTO_FREE: frees *(void **)ptr. */
void mem_free_ptr(void *ptr);

/* A zeroed block of count * size bytes, the caller's to free(). A process that can't have it ends: with bounded
 * inputs that is a fault of the machine, and no service can go on from a half-made state. */
void *mem_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Grows `block` to count * size bytes (the new part is not zeroed), with the same rule. */
void *mem_grow(void *block, size_t count, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *mem_text(const char *text) __attribute__((malloc, returns_nonnull, warn_unused_result)); /* strdup */

#define MEM_NEW(type) ((struct type *)mem_new(1, sizeof(struct type)))

#endif
