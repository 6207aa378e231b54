/* describe.h - commands and events as JSON, for people who look into the log. */
#ifndef MADANG_MATCH_DESCRIBE_H
#define MADANG_MATCH_DESCRIBE_H

#include "market.h"

/* One object each, without a line end. */
void describe_command(struct str *out, const struct market_command *command);
void describe_event(struct str *out, const struct market_event *event);

#endif
