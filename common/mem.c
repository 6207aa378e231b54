#include "mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void mem_out(void)
{
    (void)fputs("{\"log.level\":\"error\",\"message\":\"out of memory\"}\n", stderr);
    abort();
}

void mem_free_ptr(void *ptr)
{
    free(*(void **)ptr);
}

void *mem_new(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        mem_out();
    return block;
}

void *mem_grow(void *block, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        mem_out();
    size_t bytes = count * size;
    void *grown = realloc(block, bytes ? bytes : 1);
    if (!grown)
        mem_out();
    return grown;
}

char *mem_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_new(size, 1), text, size);
}
