/* hub_internal.h - the hub's table of users and streams: for hub.c (the table) and hub_pump.c (the thread) only. */
#ifndef MADANG_NOTIFY_HUB_INTERNAL_H
#define MADANG_NOTIFY_HUB_INTERNAL_H

#include "hub.h"
#include "metrics.h"
#include "uuid.h"

#include <pthread.h>

enum {
    BUCKETS = 16384,
    ENDED_REMEMBERED = 65536, /* sessions; a power of two */
    ENDED_KEPT_MS = 120000,   /* longer than a token can be believed after its session's end */
    KEEP_ALIVE_MS = 15000,
    LOOK_MS = 5000,   /* a lost wake-up costs no more than this */
    RETRY_MS = 2000,  /* what clients wait before they come back */
    REPLAY_MAX = 500, /* notices; who missed more reads the list */
    REPLAY_BYTES_MAX = 512 * 1024,
    FRESH_MAX = 100, /* unread notices for who says nothing */
    MARKS_MAX = 100,
    STREAM_CAP_BYTES = REPLAY_BYTES_MAX + 64 * 1024,
};

struct stream {
    struct hub *hub;
    struct hub_user *user;
    struct stream *next; /* of the user */
    uint64_t number;     /* never used again */
    struct http_stream *out;
    struct uuid session;
    char connection[UUID_TEXT_BYTES]; /* of presence */
    bool live;                        /* hello was written; before that position is what the client said */
    int64_t position;                 /* -1, not live: what is unread */
    int64_t read_rev;                 /* read marks told */
    int64_t written_ms;               /* last */
};

struct hub_user {
    char id[UUID_TEXT_BYTES];
    struct hub_user *next; /* of the bucket */
    struct stream *streams;
    bool woken;
    struct hub_user *woken_next, *woken_before;
};

struct hub {
    struct hub_options options;
    struct signals *signals;
    pthread_mutex_t lock; /* of all below; held for memory work only */
    pthread_cond_t woken;
    struct hub_user *buckets[BUCKETS];
    struct hub_user *woken_first, *woken_last;
    size_t user_count;
    _Atomic size_t
        stream_count; /* changed under the lock; read by the metrics without it, which have a lock of their own */
    uint64_t last_number;
    bool draining, stop, look_all;
    struct {
        struct uuid session;
        int64_t at_ms;
    } ended[ENDED_REMEMBERED];
    pthread_t pump;
    bool pump_runs;
    struct metric *events;
};

struct hub_user *hub_find_user(struct hub *hub, const char *id); /* under the lock */
void hub_mark(struct hub *hub, struct hub_user *user);           /* under the lock: it is to be looked at */
void hub_unmark(struct hub *hub, struct hub_user *user);
/* One event; `id` < 0: without. Counts it. Under the lock. */
void stream_event(struct stream *stream, const char *event, int64_t id, const char *json, size_t length);
void stream_bytes(struct stream *stream, const char *bytes, size_t length);

void *hub_pump_run(void *hub);

#endif
