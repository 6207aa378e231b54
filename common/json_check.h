/* json_check.h - the strict reading of RFC 8259 that comes before cJSON, which alone would take control bytes, invalid
 * UTF-8, lone surrogates, doubled members, numbers it can't hold, and text after the value. For json_decode.c and
 * tests. Pure function; works on the bytes in place. */
#ifndef MADANG_JSON_CHECK_H
#define MADANG_JSON_CHECK_H

#include "errors.h"
#include "str.h"

enum {
    JSON_MEMBERS_MAX = 1024, /* of one object */
    JSON_VALUES_MAX = 10000, /* in one document: bounds the memory of the parsed tree */
    JSON_TOP_MAX = 128,      /* members of the outermost object */
    JSON_NUMBER_BYTES = 40,
};

/* The raw text of each member's value of the outermost object, in order. */
struct json_top {
    size_t count;
    struct view values[JSON_TOP_MAX];
};

/* True for one object that is valid and within all limits, doubled members aside. */
bool json_check(struct view body, struct json_top *top, struct err *err);

#endif
