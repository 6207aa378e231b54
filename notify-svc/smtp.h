/* smtp.h - mails to one mail server (libcurl). TLS is either required or, beside a server on this machine, off: never
 * "if possible". A mail is sent when the server has said 250 to all of it. Thread-safe: each mail takes a connection of
 * its own, kept a few seconds for the next one. */
#ifndef MADANG_NOTIFY_SMTP_H
#define MADANG_NOTIFY_SMTP_H

#include "channels.h"
#include "mime.h"

struct smtp;

/* ERR_BAD_INPUT with the setting's name. */
struct smtp *smtp_open(const struct email_config *config, struct err *err);
void smtp_release(struct smtp **smtp);

struct mail {
    const char *dedupe_id;
    const char *to;      /* an address */
    const char *subject; /* on one line */
    const char *text;
    const char *html; /* may be NULL */
    const char *locale;
    int64_t at_ms; /* Date */
};

/* 5xx to the mail: OUTCOME_DEAD. 4xx, no connection, no TLS, a log-in that is refused, a connection that broke:
 * OUTCOME_RETRY. */
void smtp_send(struct smtp *smtp, const struct mail *mail, struct outcome *outcome);

#endif
