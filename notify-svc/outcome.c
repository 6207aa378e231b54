#include "outcome.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

void outcome_set(struct outcome *outcome, enum outcome_kind kind, const char *reason_format, ...)
{
    va_list args;
    *outcome = (struct outcome){.kind = kind};
    va_start(args, reason_format);
    (void)vsnprintf(outcome->reason, sizeof outcome->reason, reason_format, args);
    va_end(args);
}

static enum outcome_kind kind_of_status(long status)
{
    if (status >= 200 && status < 300)
        return OUTCOME_SENT;
    if (status >= 500 || status == 408 || status == 429 || status == 401 || status == 403)
        return OUTCOME_RETRY;
    return OUTCOME_DEAD;
}

void outcome_of_status(struct outcome *outcome, const struct http_answer *answer, const char *word)
{
    char safe[41];
    outcome_set(outcome, kind_of_status(answer->status), "status %ld%s%s", answer->status, *word ? " " : "",
                *word ? outcome_word(word, safe) : "");
    if (outcome->kind == OUTCOME_RETRY)
        outcome->retry_after_ms = (int64_t)answer->retry_after_s * 1000;
}

void outcome_of_silence(struct outcome *outcome, const struct err *err)
{
    outcome_set(outcome, OUTCOME_RETRY, "%s", err->detail);
}

const char *outcome_word(const char *word, char safe[41])
{
    size_t length = strlen(word);
    bool good = length > 0 && length <= 40;
    for (size_t i = 0; good && i < length; i++)
        good = isalnum((unsigned char)word[i]) || strchr("_.-", word[i]);
    (void)snprintf(safe, 41, "%s", good ? word : "?");
    return safe;
}
