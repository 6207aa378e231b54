/* pace.h - when people last spoke in rooms for everybody: what this owner has seen, so that "5 in 10 s" needs no sums
 * in the database. A new owner knows nothing at first and looks into the messages (store_owner_load.c); of the two the
 * longer list counts. Bounded: PACE_MAX places; where two people meet in one, the one who spoke later stays. Threads:
 * the worker's. */
#ifndef MADANG_CHAT_PACE_H
#define MADANG_CHAT_PACE_H

#include "scene.h"

enum { PACE_MAX = 16384 };

struct pace;
struct pace *pace_open(void);
void pace_release(struct pace **pace);

/* Fills in what is known of (recent->room_id, recent->user_id), when it is more than stands there. */
void pace_recall(const struct pace *pace, struct recent *recent);
/* After the commit. */
void pace_keep(struct pace *pace, const struct recent *recent);

#endif
