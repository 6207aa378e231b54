/* store.h - every SQL statement of notify-svc but Slack's, one function each (store_*.c), over migrations/.
 * What comes back lives in the arena that was given. Failures: those of pg.h, and the ones named here. */
#ifndef MADANG_NOTIFY_STORE_H
#define MADANG_NOTIFY_STORE_H

#include "channels.h"
#include "codec.h"
#include "pg.h"
#include "records.h"

/* Where a write came from: its headers travel with its events. Both may be NULL. */
struct origin {
    const char *request_id, *traceparent;
};

/* ---- worker: requests become notices, deliveries and push.requests (store_apply.c) ---- */

struct apply_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct notice_request *requests; /* one per record */
    const struct slack_config *slack;      /* where notices go in Slack */
    /* out */
    struct texts woken; /* users with new notices */
    bool deliveries;    /* there is something to send */
    int64_t stored;     /* notices */
};
/* All records of the batch, once: one transaction with the offset. A notice that the user has already changes nothing.
 */
bool store_apply_requests(struct pg_pool *db, struct apply_work *work, struct err *err);

/* ---- read copies and sessions (store_copies.c) ---- */

/* `copies[i]` belongs to batch->records[i]. Older versions change nothing; who is withdrawn loses everything. */
bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err);
bool store_apply_sessions(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct session_end *ends, struct err *err);

/* ---- the inbox (store_notices.c) ---- */

struct notice_page {
    struct notice *items;
    size_t count;
    bool more;
};
/* Newest first, below `before` (0: from the newest); at most `limit`. */
bool store_list(struct pg_pool *db, struct arena *arena, const char *user_id, bool unread_only, int64_t before,
                int64_t limit, struct notice_page *page, struct err *err);
bool store_unread(struct pg_pool *db, const char *user_id, int64_t *unread, struct err *err);
/* Marks one's own as read; ids of others are not found and change nothing. *changed: streams must be told. */
bool store_mark_read(struct pg_pool *db, const char *user_id, const struct read_wish *wish, int64_t *unread,
                     bool *changed, struct err *err);

/* ---- what streams ask for: many users in one statement each (store_streams.c) ---- */

struct head {
    const char *user_id;
    int64_t last_seq, read_up_to, read_rev;
};
/* One per id, in the order of `ids`; zeros for who has no inbox. */
bool store_heads(struct pg_pool *db, struct arena *arena, const char *const *ids, size_t count, struct head *heads,
                 struct err *err);
/* Unread notices of each, in order. */
bool store_unread_of(struct pg_pool *db, const char *const *ids, size_t count, int64_t *unread, struct err *err);

struct user_notice {
    size_t user; /* index into what was asked */
    struct notice notice;
};
struct user_notices {
    struct user_notice *items;
    size_t count;
};
/* Of each user the notices after `after[i]`, at most `limit`, by user and seq. With `unread_newest` [i] 1 instead: the
 * newest `limit` unread ones. */
bool store_notices_of(struct pg_pool *db, struct arena *arena, const char *const *ids, const int64_t *after,
                      const int64_t *unread_newest, size_t count, int64_t limit, struct user_notices *notices,
                      struct err *err);
struct user_mark {
    size_t user;
    const char *id;
    int64_t rev;
};
struct user_marks {
    struct user_mark *items;
    size_t count;
};
/* Of each user the notices marked one by one after `revs[i]`, at most `limit`, by user and rev. */
bool store_marks_of(struct pg_pool *db, struct arena *arena, const char *const *ids, const int64_t *revs, size_t count,
                    int64_t limit, struct user_marks *marks, struct err *err);

/* ---- sessions of streams (store_streams.c) ---- */

enum { STREAM_KEY_BYTES = 32 };
/* The key of the cookies; made at the first call of all instances. */
bool store_stream_key(struct pg_pool *db, unsigned char key[STREAM_KEY_BYTES], struct err *err);
/* A session that opens a stream by a ticket. session_ended when its end is known. */
bool store_stream_session(struct pg_pool *db, const char *session_id, const char *user_id, struct err *err);
/* Whose session it is, when it opened a stream before and lives. token_invalid otherwise. */
bool store_stream_session_find(struct pg_pool *db, const char *session_id, char user_id[UUID_TEXT_BYTES],
                               struct err *err);

/* ---- settings (store_settings.c) ---- */

bool store_settings(struct pg_pool *db, const char *user_id, struct settings *settings, struct err *err);
/* Puts the wish over what is there, tells it (topic notify.settings), and gives what holds then. kind_locked,
 * bad_input. */
bool store_change_settings(struct pg_pool *db, struct arena *arena, const char *user_id, const struct settings *wish,
                           const struct origin *origin, struct settings *after, struct err *err);

/* ---- deliveries (store_deliveries.c) ---- */

struct due {
    struct delivery delivery;
    bool expired;    /* not worth sending any more */
    bool known;      /* the account that an address would come from has been heard of */
    int64_t left_ms; /* until it expires */
};
/* The next due row of the channel, taken for `lease_ms`: until then nobody else has it. *found false: none is due. The
 * attempt is counted. An address that is not known is "". */
bool store_claim(struct pg_pool *db, struct arena *arena, const char *channel, int64_t lease_ms, struct due *due,
                 bool *found, struct err *err);
/* Over: "sent", "dead" or "dropped". Only while the row is ours: `attempt` is as claimed. */
bool store_done(struct pg_pool *db, const struct due *due, const char *state, const char *reason, struct err *err);
/* Again in `wait_ms`; with `untried` the attempt does not count. */
bool store_again(struct pg_pool *db, const struct due *due, int64_t wait_ms, bool untried, const char *reason,
                 struct err *err);
/* Rows that wait and rows that are dead, per channel: for the gauges. */
struct delivery_count {
    char channel[16];
    int64_t waiting, dead;
};
enum { DELIVERY_COUNTS = 8 };
bool store_count(struct pg_pool *db, struct delivery_count counts[DELIVERY_COUNTS], size_t *count, struct err *err);

/* ---- sweep (store_sweep.c): what is older than its days, in portions; *gone: rows deleted ---- */

bool store_sweep(struct pg_pool *db, int64_t keep_days, int64_t delivery_keep_days, int64_t *gone, struct err *err);

#endif
