/* text.h - names and search words as people see them: Unicode NFC, case-folded, counted in code points.
 * Uses utf8proc. Pure functions; results come from the arena. */
#ifndef MADANG_TEXT_H
#define MADANG_TEXT_H

#include "arena.h"

#include <stdbool.h>
#include <stddef.h>

/* NFC of valid UTF-8 without control characters; NULL otherwise. When `multiline`, tab, newline and what turns the
 * writing direction are allowed. */
char *text_nfc(struct arena *arena, const char *utf8, bool multiline);
/* NFC and case-folded, for comparing (NFKC_Casefold, so full-width forms and ligatures meet their plain forms, and what
 * shows nothing, such as a zero-width joiner, is gone). NULL when it is not valid UTF-8. */
char *text_fold(struct arena *arena, const char *utf8);
/* `text` without edge white space (Unicode) and with inner runs as one space. NULL when it is not valid UTF-8. */
char *text_trim(struct arena *arena, const char *utf8);
/* The distinct two-code-point pieces of the folded text, in order of first sight: what the search index stores.
 * Fewer than two code points: none. *count is set. At most 256. */
const char **text_bigrams(struct arena *arena, const char *folded, size_t *count);
/* local@domain as clients mean it (RFC 5321 sizes, no quoting, no address literals, ASCII domain), at most 254 bytes.
 */
bool text_is_email(const char *text);
/* j***@example.com: what strangers see. */
char *text_mask_email(struct arena *arena, const char *email);

#endif
