#include "ratio.h"

#include "json.h"

#include <inttypes.h>
#include <stdio.h>

int64_t ratio_change(int64_t now, int64_t base)
{
    const __int128 difference = (__int128)now - base;
    const __int128 scaled = (difference < 0 ? -difference : difference) * 10000;
    const __int128 rounded = (scaled + base / 2) / base;
    const int64_t size = rounded > INT64_MAX ? INT64_MAX : (int64_t)rounded;
    return difference < 0 ? -size : size;
}

const char *ratio_text(int64_t hundredths, char text[RATIO_TEXT_BYTES])
{
    const uint64_t size = hundredths < 0 ? -(uint64_t)hundredths : (uint64_t)hundredths;
    const unsigned rest = (unsigned)(size % 100);
    const int digits = rest == 0 ? 0 : rest % 10 == 0 ? 1 : 2;
    const int length =
        snprintf(text, RATIO_TEXT_BYTES, "%s%" PRIu64, hundredths < 0 && size ? "-" : "", (uint64_t)(size / 100));
    if (digits == 1)
        (void)snprintf(text + length, RATIO_TEXT_BYTES - (size_t)length, ".%u", rest / 10);
    else if (digits == 2)
        (void)snprintf(text + length, RATIO_TEXT_BYTES - (size_t)length, ".%02u", rest);
    return text;
}

void ratio_json(struct str *out, const char *name, int64_t hundredths)
{
    char text[RATIO_TEXT_BYTES];
    json_raw(out, name, ratio_text(hundredths, text));
}

void ratio_json_average(struct str *out, const char *name, int64_t sum, int64_t count)
{
    const __int128 hundredths = ((__int128)sum * 100 + count / 2) / count;
    ratio_json(out, name, hundredths > INT64_MAX ? INT64_MAX : (int64_t)hundredths);
}
