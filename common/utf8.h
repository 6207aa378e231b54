/* utf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure functions. */
#ifndef MADANG_UTF8_H
#define MADANG_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads one code point; returns its length in bytes (1-4), or 0 when the bytes are not valid. */
size_t utf8_decode(const char *bytes, size_t length, uint32_t *code);
bool utf8_valid(const char *bytes, size_t length);
/* Code points in valid UTF-8. */
size_t utf8_count(const char *bytes, size_t length);

#endif
