/* figures.h - the metrics of push-svc. Thread-safe. Labels are constants of ours, never ids. */
#ifndef MADANG_PUSH_FIGURES_H
#define MADANG_PUSH_FIGURES_H

#include "outcome.h"

/* Once, at the start: what nothing was counted of yet can be asked for, too. */
void figures_open(void);
/* madang_push_sends_total{channel, result}: a send that was tried, or ended; madang_push_reasons_total{result, reason}.
 */
void figures_outcome(const char *channel, const struct outcome *outcome, bool tried);
void figures_took(const char *channel, int64_t microseconds);
void figures_in_flight(int64_t count);
void figures_queue(int64_t waiting);
/* madang_push_requests_total{result}: new, no_device, double */
void figures_requests(const char *result, int64_t count);
void figures_dropped_full(int64_t count);

#endif
