#include "sms.h"
#include "utf8.h"

#include <ctype.h>

static size_t bytes_of(uint32_t code)
{
    return code < 0x80 ? 1 : 2;
}

size_t sms_bytes(const char *text)
{
    size_t bytes = 0, length = strlen(text);
    for (size_t at = 0; at < length;) {
        uint32_t code = 0;
        size_t step = utf8_decode(text + at, length - at, &code);
        at += step ? step : 1;
        bytes += bytes_of(code);
    }
    return bytes;
}

const char *sms_cut(struct arena *arena, const char *text, size_t max)
{
    size_t bytes = 0, at = 0, length = strlen(text);
    while (at < length) {
        uint32_t code = 0;
        size_t step = utf8_decode(text + at, length - at, &code);
        bytes += bytes_of(code);
        if (bytes > max)
            break;
        at += step ? step : 1;
    }
    return arena_bytes(arena, text, at);
}

bool sms_number(const char *phone, char number[SMS_NUMBER_BYTES])
{
    char digits[20] = "";
    size_t count = 0;
    bool plus = *phone == '+';
    for (const char *c = phone + plus; *c; c++) {
        if (*c == ' ' || *c == '-')
            continue;
        if (!isdigit((unsigned char)*c) || count == sizeof digits - 1)
            return false;
        digits[count++] = *c;
    }
    digits[count] = 0;
    const char *national = digits;
    if (plus) {
        if (strncmp(digits, "82", 2) != 0)
            return false;
        national += 2;
    }
    national += *national == '0';
    size_t length = strlen(national);
    if ((!plus && *digits != '0') || length < 8 || length > SMS_NUMBER_BYTES - 2)
        return false;
    number[0] = '0';
    memcpy(number + 1, national, length + 1);
    return true;
}
