/* uuid.h - UUIDv7 (RFC 9562) as lower-case text of 36 characters: ids that sort by the time they were made. */
#ifndef MADANG_UUID_H
#define MADANG_UUID_H

#include <stdbool.h>
#include <stdint.h>

enum { UUID_TEXT_BYTES = 37 };

struct uuid {
    unsigned char bytes[16];
};

/* A new id; ids made by one thread grow. */
void uuid_new(char text[UUID_TEXT_BYTES]);
/* True for 8-4-4-4-12 hex digits in either case. `out` may be NULL. */
bool uuid_parse(const char *text, struct uuid *out);
/* The lower-case form. */
void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_BYTES]);
/* Milliseconds since 1970 of a UUIDv7; -1 for another version. */
int64_t uuid_time_ms(const char *text);

#endif
