/* mime.h - the header lines of a mail: RFC 2047 words, RFC 5322 addresses and dates. What is between is libcurl's. Pure
 * functions. A value with a line break (or another control character) would be a second header: mime_is_line() refuses
 * it. */
#ifndef MADANG_NOTIFY_MIME_H
#define MADANG_NOTIFY_MIME_H

#include "errors.h"
#include "str.h"

#include <stdint.h>

/* An address, as settings write it: "Name <a@b.example>" or "a@b.example". */
struct mailbox {
    char name[128]; /* "" when there is none */
    char address[255];
};
bool mime_parse_mailbox(const char *text, struct mailbox *mailbox, struct err *err);

/* Valid UTF-8 on one line, without control characters. */
bool mime_is_line(const char *text);
/* ASCII local@domain that can stand between angle brackets. */
bool mime_is_address(const char *text);

/* "Subject: ..." and the like: ASCII as it is, anything else in encoded words of at most 75 characters, folded. */
void mime_add_unstructured(struct str *out, const char *name, const char *text);
void mime_add_mailbox(struct str *out, const char *name, const struct mailbox *mailbox);
void mime_add_date(struct str *out, int64_t at_ms);
/* Stable: the same for the same (dedupe id, recipient), so that a mail sent twice can be known as one. */
void mime_add_message_id(struct str *out, const char *dedupe_id, const char *recipient, const char *from_address);

#endif
