/* ratio.h - percentages and averages by integers: hundredths, rounded half away from zero, and how JSON shows them.
 * No floating point: every reader of the same log comes to the same numbers. Pure. */
#ifndef MADANG_RATIO_H
#define MADANG_RATIO_H

#include "str.h"

#include <stdint.h>

/* (now - base) / base in hundredths of a percent. base > 0, now >= 0; exact for all int64. */
int64_t ratio_change(int64_t now, int64_t base);

enum { RATIO_TEXT_BYTES = 24 };
/* "12.34", "-0.5", "0": a JSON number with at most two decimals. */
const char *ratio_text(int64_t hundredths, char text[RATIO_TEXT_BYTES]);
void ratio_json(struct str *out, const char *name, int64_t hundredths);
/* sum / count with at most two decimals, rounded half up: an average price. count > 0, sum >= 0. */
void ratio_json_average(struct str *out, const char *name, int64_t sum, int64_t count);

#endif
