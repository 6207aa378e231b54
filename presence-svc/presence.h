/* presence.h - the rules: what signals say of a connection, what connections say of a user, and who sees what of it.
 *
 * A connection keeps its user here *until* a time: its lease's end while it is open, and a moment (the debounce) after
 * its close. A user is online as long as one of the connections does. So a second device, a quick reconnect, a lost
 * good-bye and a killed server need no rules of their own. Units: milliseconds since 1970. Pure: no clock, no store. */
#ifndef MADANG_PRESENCE_PRESENCE_H
#define MADANG_PRESENCE_PRESENCE_H

#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum signal_kind { SIGNAL_UP, SIGNAL_BEAT, SIGNAL_DOWN };

struct presence_signal {
    char connection[UUID_TEXT_BYTES], user_id[UUID_TEXT_BYTES];
    enum signal_kind kind;
    int64_t n, at_ms, lease_ms;
};

struct presence_limits {
    int64_t lease_ms; /* at most */
    int64_t down_ms;  /* the debounce */
};

/* What a run of signals says of one connection. */
struct connection_news {
    char connection[UUID_TEXT_BYTES], user_id[UUID_TEXT_BYTES];
    int64_t n, seen_ms, until_ms;
    bool closed;
};

/* Folds signals, in the order they came, into one item per connection, sorted by its id; returns their number. `news`
 * has room for all. A signal whose n is not above the one before changes nothing, and nothing follows a close. `at_ms`
 * beyond now counts as now. */
size_t presence_fold(const struct presence_signal *signals, size_t count, const struct presence_limits *limits,
                     int64_t now_ms, struct connection_news *news);

struct presence {
    char user_id[UUID_TEXT_BYTES];
    bool online, visible, show_last_seen, withdrawn;
    int64_t look_ms;      /* online: look again then */
    int64_t last_seen_ms; /* 0: never */
    int64_t n;
};

enum presence_result {
    PRESENCE_SAME,
    PRESENCE_STORED,  /* to be written, not told */
    PRESENCE_CHANGED, /* to be written and told; n has grown */
};

/* What stands in the user's connections now: the latest of their `until` and of their last signals, 0 when there is
 * none. */
enum presence_result presence_look(struct presence *presence, int64_t until_ms, int64_t seen_ms, int64_t now_ms);
enum presence_result presence_set(struct presence *presence, bool visible, bool show_last_seen);
/* The account is gone: nothing of the person stays. Told only when anything was told before. */
enum presence_result presence_withdraw(struct presence *presence);

/* What a friend sees. */
struct presence_view {
    bool online;
    int64_t last_seen_ms; /* 0: not shown */
};
struct presence_view presence_shown(const struct presence *presence);

#endif
