/* sweep.h - upkeep, as rounds (rounds.h): what is older than its days goes - notices, deliveries that are over,
 * sessions of streams. Instances do not disturb each other. */
#ifndef MADANG_NOTIFY_SWEEP_H
#define MADANG_NOTIFY_SWEEP_H

enum { SWEEP_EVERY_MS = 60000 };
/* `app`: the struct notify_app. */
void sweep_round(void *app, unsigned round);

#endif
