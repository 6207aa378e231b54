/* percent.h - percent-decoding (RFC 3986) of what strangers send. Pure functions. */
#ifndef MADANG_PERCENT_H
#define MADANG_PERCENT_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX (and '+' as a space when `plus`) to out[room], NUL-terminated. False for bad escapes, NUL bytes, invalid
 * UTF-8, or when there is no room; `out` is undefined then. */
bool percent_decode(const char *text, size_t length, bool plus, char *out, size_t room);

#endif
