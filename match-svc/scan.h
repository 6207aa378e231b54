/* scan.h - JSON read in one pass, without a tree: for records of our own making that come often (market.depth). Order
 * of members and white space are free, unknown members are skipped. Whatever the bytes, it stays within them; what it
 * can not read makes the scan broken, and everything after that returns false. Texts are lent from the bytes and hold
 * no escapes (no name or value of ours has any). Pure. */
#ifndef MADANG_MATCH_SCAN_H
#define MADANG_MATCH_SCAN_H

#include "str.h"

struct scan {
    const char *at, *end;
    bool broken;
};

bool scan_text(struct scan *scan, struct view *text);
bool scan_i64(struct scan *scan, int64_t *value); /* whole; no fraction, no exponent */
bool scan_bool(struct scan *scan, bool *value);
bool scan_skip(struct scan *scan); /* any value, at most 16 deep */

/* for (bool first = true; scan_member(scan, &first, &name);) each member's value must be read or skipped. */
bool scan_member(struct scan *scan, bool *first, struct view *name);
/* The same for arrays. */
bool scan_item(struct scan *scan, bool *first);
/* Nothing but white space is left, and nothing was broken. */
bool scan_ended(struct scan *scan);

#endif
