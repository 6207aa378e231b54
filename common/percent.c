#include "percent.h"

#include "utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(const char *text, size_t length, bool plus, char *out, size_t room)
{
    size_t used = 0;
    for (size_t at = 0; at < length; at++) {
        int c = (unsigned char)text[at];
        if (c == '%') {
            int high = at + 2 < length ? hex_value(text[at + 1]) : -1, low = high < 0 ? -1 : hex_value(text[at + 2]);
            if (low < 0)
                return false;
            c = high * 16 + low;
            at += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c == 0 || used + 1 >= room)
            return false;
        out[used++] = (char)c;
    }
    if (room == 0)
        return false;
    out[used] = '\0';
    return utf8_valid(out, used);
}
