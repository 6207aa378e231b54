/* feed_internal.h - the sockets' memory, for feed*.c only. All of it belongs to the loop thread, but for what says
 * otherwise.
 *
 *     feed_session ---< feed_sub >--- feed_company        a company is here as long as somebody looks at it
 */
#ifndef MADANG_MATCH_FEED_INTERNAL_H
#define MADANG_MATCH_FEED_INTERNAL_H

#include "feed.h"
#include "feed_ask.h"
#include "id_map.h"
#include "metrics.h"
#include "ws.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SUBSCRIPTIONS_MAX = 3 * MARKET_COMPANIES_MAX, /* of a socket: all channels of all companies of a round */
    ASKS_A_SECOND = 20,                           /* of a socket */
    ASKS_BURST = 100,
    REFUSALS_MAX = 10, /* frames of a socket that make no sense; then it is closed */
    CHANGED_MAX = 256, /* companies that wait for the loop by name; more: all are looked at */
    TRADES_IN_FLIGHT = 50000,
    TRADES_A_FRAME = 500,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_BINARY = 1003,
    CLOSE_POLICY = 1008,
    CLOSE_SLOW = 1013,
};

struct feed_sub {
    struct feed_sub *session_next;
    struct feed_sub *next, *previous; /* of the company's channel */
    struct feed_session *session;
    struct feed_company *company;
    enum feed_channel channel;
    bool behind; /* something was not sent: a snapshot is, once there is room */
};

struct feed_session {
    struct feed *feed;
    struct feed_session *next, *previous;
    struct feed_session *behind_next, *behind_previous;
    struct ws_connection *connection;
    struct feed_sub *subs;
    int sub_count, refusals;
    double tokens;
    int64_t filled_ms;
    int64_t behind_ms; /* since when; 0: it keeps up */
    bool over;         /* being closed: nothing more is sent or heard */
};

/* What viewers were told of a company, and what they will be told in the next turn. A snapshot shows what was told, so
 * that the next delta fits on it whoever has it. */
struct feed_company {
    struct id_node node;
    struct table_state *shown;  /* the last state whose book and figures were told */
    int64_t book_seq;           /* of the last frame of the book */
    struct depth_trades trades; /* that are known */
    struct depth_trades told;   /* that were told */
    bool trades_lost;           /* there was a hole: the trades are told anew once it is closed */
    struct depth_trade *fresh;
    size_t fresh_count, fresh_room; /* trades that are known and not told */
    bool due;                       /* there may be something to tell in the next turn */
    struct feed_company *due_next;
    struct feed_sub *subs[FEED_CHANNELS];
    struct ws_frame *snapshots[FEED_CHANNELS]; /* of what was told; NULL until somebody needs it */
};

struct feed {
    struct feed_options options;
    struct table *table;
    struct ws_server *server;
    atomic_bool open;
    /* loop thread */
    struct feed_session *sessions, *behind;
    int session_count;
    struct id_map companies;
    struct feed_company *due;
    int64_t turn_ms;     /* when the last turn was */
    struct arena *arena; /* of the frame at hand */
    struct str scratch;
    bool draining;
    int64_t drain_until_ms, drained_ms;
    /* any thread */
    atomic_int watched, watched_trades; /* companies; subscriptions to trades */
    atomic_int trades_in_flight;
    struct {
        pthread_mutex_t lock;
        struct uuid companies[CHANGED_MAX];
        size_t count;
        bool all, posted;
    } changed;
    /* listener thread */
    struct arena *events_arena;
    struct metric_child *m_viewers, *m_subscriptions[FEED_CHANNELS], *m_frames[FEED_CHANNELS], *m_delivered,
        *m_conflated, *m_cut, *m_refused, *m_holes;
};

/* ---- feed_session.c ---- */

bool session_open(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                  struct err *err);
void session_message(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary);
void session_closed(void *app, struct ws_connection *connection, void *user);
void session_tick(struct feed *feed, int64_t now_ms);
/* Sends the frame, or marks the subscription as behind. */
void session_give(struct feed_sub *sub, struct ws_frame *frame);
void session_say(struct feed_session *session, struct ws_frame *frame);
void session_drop_sub(struct feed_sub *sub); /* frees it */

/* ---- feed_company.c ---- */

/* Found, or made of what the table says; NULL: the table doesn't know it. */
struct feed_company *company_get(struct feed *feed, const struct uuid *id);
void company_add_sub(struct feed *feed, struct feed_company *company, struct feed_sub *sub);
void company_remove_sub(struct feed *feed, struct feed_sub *sub); /* the company too, when nobody looks any more */
struct ws_frame *company_snapshot(struct feed *feed, struct feed_company *company,
                                  enum feed_channel channel); /* lent */
/* There may be something to tell of it: the table says something else, or there was a trade. */
void company_changed(struct feed *feed, struct feed_company *company);
void company_trade(struct feed *feed, struct feed_company *company, const struct depth_trade *trade);
/* Tells what is due of all companies, once the last turn is every_ms ago; so all that a viewer gets leaves together. */
void companies_turn(struct feed *feed, int64_t now_ms);
/* Of the text in feed->scratch, which is empty afterwards. */
struct ws_frame *feed_frame(struct feed *feed);

#endif
