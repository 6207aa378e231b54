/* outcome.h - how a channel says what came of a send. Reasons go to rows and logs: no secrets, no addresses, no texts.
 */
#ifndef MADANG_NOTIFY_OUTCOME_H
#define MADANG_NOTIFY_OUTCOME_H

#include "channel.h"
#include "httpclient.h"

void outcome_set(struct outcome *outcome, enum outcome_kind kind, const char *reason_format, ...)
    __attribute__((format(printf, 3, 4)));

/* What an HTTP status means by itself (design: 408, 429 and 5xx are worth another try, and 401 and 403, which an
 * operator can mend while the notice lives; other 4xx never will): OUTCOME_SENT for 2xx. Takes Retry-After. `word` is
 * the system's own error code or "". */
void outcome_of_status(struct outcome *outcome, const struct http_answer *answer, const char *word);
/* No answer: whether it arrived is not known, so it is sent again, rather twice than never. */
void outcome_of_silence(struct outcome *outcome, const struct err *err);

/* A foreign error word as it may be shown: letters, digits, _ . -, at most 40; "?" for anything else. */
const char *outcome_word(const char *word, char safe[41]);

#endif
