#include "channel_email.h"

#include "clock.h"
#include "mem.h"
#include "smtp.h"

#include <stdlib.h>

struct email_channel {
    struct sink *sink; /* NULL: smtp */
    struct smtp *smtp;
};

struct email_channel *email_channel_open(const struct email_config *config, struct sink *sink, struct err *err)
{
    struct email_channel *email = MEM_NEW(email_channel);
    if (!*config->url)
        email->sink = sink;
    else if (!(email->smtp = smtp_open(config, err)))
        email_channel_release(&email);
    return email;
}

void email_channel_release(struct email_channel **email)
{
    if (*email)
        smtp_release(&(*email)->smtp);
    free(*email);
    *email = NULL;
}

void email_channel_send(void *state, const struct delivery *delivery, struct outcome *outcome)
{
    struct email_channel *email = state;
    if (email->sink) {
        sink_write(email->sink, "email", delivery, outcome);
        return;
    }
    const struct mail mail = {
        .dedupe_id = delivery->dedupe_id,
        .to = delivery->address,
        .subject = delivery->title,
        .text = delivery->body,
        .html = delivery->body_html,
        .locale = delivery->locale,
        .at_ms = clock_now_ms(),
    };
    smtp_send(email->smtp, &mail, outcome);
}
