#include "uuid.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { COUNTER_MAX = 0xfff };

/* What the last id of this thread was made of, so that the next one is greater even within a millisecond or after the
 * clock was set back (RFC 9562 section 6.2, method 1). */
static _Thread_local int64_t last_ms;
static _Thread_local unsigned last_counter;

static void fill_random(unsigned char *bytes, size_t length)
{
    if (getrandom(bytes, length, 0) != (ssize_t)length) {
        (void)fputs("{\"log.level\":\"error\",\"message\":\"no randomness\"}\n", stderr);
        abort();
    }
}

void uuid_new(char text[UUID_TEXT_BYTES])
{
    struct uuid id;
    fill_random(id.bytes + 6, sizeof id.bytes - 6);
    int64_t now_ms = clock_now_ms();
    if (now_ms > last_ms) {
        last_ms = now_ms;
        last_counter = (unsigned)(id.bytes[6] & 0x07) << 8 | id.bytes[7]; /* the upper half is left to count on */
    } else if (++last_counter > COUNTER_MAX) {
        last_counter = 0;
        last_ms++;
    }
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (unsigned char)(last_ms >> (40 - 8 * i));
    id.bytes[6] = (unsigned char)(0x70 | last_counter >> 8);
    id.bytes[7] = (unsigned char)last_counter;
    id.bytes[8] = (unsigned char)(0x80 | (id.bytes[8] & 0x3f));
    uuid_format(&id, text);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool uuid_parse(const char *text, struct uuid *out)
{
    struct uuid id;
    for (int i = 0; i < 16; i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        int high = hex_value(text[0]), low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0)
            return false;
        id.bytes[i] = (unsigned char)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return false;
    if (out)
        *out = id;
    return true;
}

void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_BYTES])
{
    static const char HEX[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (dash_before(i))
            *text++ = '-';
        *text++ = HEX[uuid->bytes[i] >> 4];
        *text++ = HEX[uuid->bytes[i] & 15];
    }
    *text = '\0';
}

int64_t uuid_time_ms(const char *text)
{
    struct uuid id;
    if (!uuid_parse(text, &id) || id.bytes[6] >> 4 != 7)
        return -1;
    int64_t at_ms = 0;
    for (int i = 0; i < 6; i++)
        at_ms = at_ms << 8 | id.bytes[i];
    return at_ms;
}
