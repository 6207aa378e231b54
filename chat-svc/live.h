/* live.h - the sockets' memory, for hub.c and live_*.c only. All of it belongs to the loop thread.
 *
 *     hub_user ---< hub_session ---< hub_sub >--- hub_room          a user has sockets, a socket has subscriptions,
 * most of them to rooms
 *         \------------< hub_member >------------/                  where the user is a member: loaded with the first
 * /user/queue/events
 *
 *     hub.c            start, stop, maps, the tick
 *     live_session.c   the life of a socket: identity, CONNECT, heart-beats, what is said back, DISCONNECT
 *     live_subscribe.c SUBSCRIBE, catch-up, ACK
 *     live_send.c      SEND, transactions, verdicts
 *     live_fan.c       what is heard on chat.events goes to subscriptions
 *     live_marks.c     what was delivered is read; unread
 *     live_user.c      rooms and friends of a user, presence, sessions that end
 *     live_market.c    fills, orders and the countdown of the trading game
 *     live_typing.c    who types: between instances by Redis */
#ifndef MADANG_CHAT_LIVE_H
#define MADANG_CHAT_LIVE_H

#include "app.h"
#include "audience.h"
#include "desk.h"
#include "hub.h"
#include "id_map.h"
#include "metrics.h"
#include "presence_copy.h"
#include "signals.h"
#include "stomp.h"
#include "store_live.h"
#include "ticket.h"
#include "token.h"
#include "wire.h"
#include "ws.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SUBSCRIPTIONS_MAX = 200, /* of a socket */
    SOCKETS_MAX = 20,        /* of a user */
    ACKS_MAX = 1000,         /* messages of a subscription that wait for their ACK */
    WAITING_SENDS_MAX = 100, /* of a socket, without a verdict yet */
    TRANSACTIONS_MAX = 4,
    TRANSACTION_SENDS_MAX = 50,
    ID_MAX = 128,           /* bytes of a subscription id, receipt or transaction name */
    CATCH_UP_MAX = 500,     /* messages that are replayed; more: reload */
    KEPT_EVENTS_MAX = 1000, /* that wait for a subscription's catch-up */
    BEAT_PATIENCE = 3,
    SENDS_A_SECOND = 20, /* of a user */
    SENDS_BURST = 40,
    RECENT_ENDED = 1024,
    RECENT_RELATED = 1024,
    RELATED_MS = 30000, /* longer than the tables are behind the topic: a partition finds a new owner in 10 s */
    CLOSE_ENDED = 4401,
    CLOSE_SILENT = 4408,
    CLOSE_BROKEN = 1002,
    CLOSE_TOO_LARGE = 1009,
};

/* Frames for one (subscription id, version) are the same whoever gets them. */
struct shape {
    struct shape *next;
    uint32_t references;
    uint8_t version;
    uint64_t serial; /* of the body that `frame` was made of */
    struct ws_frame *frame;
    char id[];
};

/* What an event of a room becomes: one body, or one for each mark that moved. Counted references. */
struct told {
    int references;
    int64_t rev, seq; /* seq 0: no new message */
    uint64_t serial;  /* of the first body; 0: never the same for two */
    size_t count;
    struct str bodies[];
};

enum sub_target { TO_ROOM, TO_EVENTS, TO_ERRORS };
enum sub_ack { ACK_AUTO, ACK_CLIENT, ACK_INDIVIDUAL };

struct waiting_ack {
    int64_t number, seq; /* seq 0: no message */
};
struct acks {
    int64_t given; /* the last number */
    size_t count, room;
    struct waiting_ack *waiting;
};

struct hub_sub {
    struct hub_sub *session_next, *room_next, *room_previous;
    struct hub_session *session;
    struct hub_room *room; /* NULL: a queue of the user's own */
    struct shape *shape;
    int64_t rev;                  /* of the last event that it got */
    int64_t given_seq;            /* the newest message that it got */
    int64_t seen_seq, marked_seq; /* the newest that counts as read, and what of it was told to the owner */
    struct told **kept;           /* while it loads */
    uint16_t kept_count;
    uint8_t target, ack;
    bool manual, loading, again, live; /* live: it was loaded once */
    uint64_t load;                     /* the look-up that it waits for */
    struct acks *acks;
    char *receipt; /* of its SUBSCRIBE, until it is loaded */
};

struct hub_member {
    struct hub_member *user_next, *room_next;
    struct hub_user *user;
    struct hub_room *room;
    int64_t rev; /* of the room, when the seat was seen: what is older says nothing of it */
    bool unread_dirty;
};

struct hub_room {
    struct id_node node; /* first */
    char id[UUID_TEXT_BYTES];
    enum room_kind kind;
    struct hub_sub *subs;
    struct hub_member *members;
    bool mark_dirty;
    int64_t marked_ms, members_rev; /* of the last event heard that changed who is in it or what it is */
    struct hub_room *mark_next;
};

struct watcher { /* who wants to know of a friend's presence */
    struct watcher *next;
    struct hub_user *user;
};
struct watched {
    struct id_node node; /* first */
    struct watcher *watchers;
};

struct hub_user {
    struct id_node node; /* first */
    char id[UUID_TEXT_BYTES];
    struct hub_session *sessions;
    int session_count, event_subs, busy; /* busy: jobs that hold it */
    enum { USER_BARE, USER_LOADING, USER_LOADED } state;
    struct hub_member *members;
    struct uuid *friends;
    size_t friend_count;
    double send_tokens;
    int64_t send_filled_ms, typing_ms;
    bool unread_listed, unread_asking, stale; /* stale: something changed while it was loaded */
    int64_t unread_told_ms;
    struct hub_user *unread_next;
};

struct held_send { /* in a transaction */
    char *destination, *receipt, *body;
    size_t length;
};
struct transaction {
    char name[ID_MAX + 1];
    size_t count;
    struct held_send sends[TRANSACTION_SENDS_MAX];
};

enum session_state { SESSION_NEW, SESSION_READY, SESSION_OVER };

struct hub_session {
    struct hub *hub;
    struct ws_connection *connection; /* NULL once it is gone */
    struct hub_user *user;            /* once it is ready */
    struct hub_session *user_next, *all_next, *all_previous;
    struct hub_sub *subs;
    struct transaction *transactions[TRANSACTIONS_MAX];
    struct stomp_parser parser;
    struct identity *identity; /* known before CONNECT; freed when ready */
    struct str held;           /* what came while a ticket was redeemed */
    char session_id[UUID_TEXT_BYTES], signal[UUID_TEXT_BYTES];
    uint32_t in_s, out_s, connect_by_s;
    uint16_t expects_s, gives_s; /* heart-beats; 0: none */
    uint16_t sub_count, waiting_sends;
    uint32_t references; /* jobs and verdicts that know it */
    uint8_t state;
    bool ticket_pending;
};

struct hub_door;
struct market_watch;

struct hub {
    struct chat_app *app;
    struct ws_server *server;
    struct token_verifier *tokens;
    struct ticket_gate *tickets;
    struct signals *signals;
    struct desk *desk;
    struct hub_door *door;
    struct typing *typing;
    struct audience *audience;    /* users with a subscription to their events */
    struct market_watch *markets; /* the listener's thread */
    char *advertise;
    struct id_map users, rooms, watched;
    struct shape **shapes;
    uint32_t shape_room, shape_count;
    uint64_t serial;
    struct hub_session *sessions;
    struct hub_room *mark_rooms;
    struct hub_user *unread_users;
    struct ws_frame *beat;
    uint32_t now_s;
    int64_t ticked_ms;
    int unread_jobs;
    bool draining;
    int64_t drain_from_ms, drain_until_ms;
    struct stomp_frame frame; /* the one that is looked at */
    struct str scratch;
    struct arena *arena;  /* of one frame or event */
    atomic_bool open;     /* everything is there: sockets may come */
    atomic_bool watching; /* somebody wants to know of friends */
    struct {
        struct uuid sid;
        char reason[32];
    } ended[RECENT_ENDED]; /* a ring: sockets that were opening meanwhile */
    uint32_t ended_count;
    struct relation_news {
        struct uuid a, b;
        bool friends;
        int64_t heard_ms;
    } related[RECENT_RELATED]; /* a ring: what the tables may not hold yet when somebody is loaded */
    uint64_t related_count;
    struct { /* between the listener and the loop */
        pthread_mutex_t lock;
        pthread_cond_t room;
        size_t events;
        bool stopping;
    } flow;
    struct metric_child *m_events, *m_delivered, *m_gaps, *m_loads, *m_marks, *m_errors, *m_sessions;
};

/* ---- hub.c ---- */
/* What is heard and not given yet: when the loop is far behind, the listener waits here, and what comes stays in Kafka.
 */
void hub_flow_take(struct hub *hub, size_t more);
void hub_flow_give(struct hub *hub, size_t done);

/* ---- live_session.c ---- */
bool session_open(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                  struct err *err);
void session_message(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary);
void session_closed(void *app, struct ws_connection *connection, void *user);
void session_tick(struct hub *hub); /* each second: heart-beats, CONNECT in time, draining */
void session_hold(struct hub_session *session);
void session_let_go(struct hub_session *session);
void session_write(struct hub_session *session, const struct str *frame);
void session_receipt(struct hub_session *session, const char *receipt, int64_t seq,
                     const char *at); /* receipt NULL: nothing */
/* One ERROR, then the end. */
void session_fail(struct hub_session *session, int close_code, const char *receipt, const char *message,
                  const char *detail);
/* A refusal on /user/queue/errors; what is NULL is left out. */
void session_refuse(struct hub_session *session, const struct err *err, const char *receipt, const char *client_id,
                    const char *destination, const char *subscription);
/* A body to all subscriptions of the user to /user/queue/events (or one session's). */
void user_tell(struct hub *hub, struct hub_user *user, const struct str *body);
void sub_tell(struct hub_sub *sub, const struct str *body);

/* ---- live_subscribe.c ---- */
void on_subscribe(struct hub_session *session, const struct stomp_frame *frame);
void on_unsubscribe(struct hub_session *session, const struct stomp_frame *frame);
void on_ack(struct hub_session *session, const struct stomp_frame *frame, bool good);
void sub_end(struct hub_sub *sub);
void sub_leave(struct hub_sub *sub); /* with the receipt that is still owed */
/* Catches up; events that come meanwhile are kept. False: the desk is full. */
bool sub_load(struct hub_sub *sub, int64_t after, int64_t rev);
void sub_reload(struct hub_sub *sub); /* after a gap */
struct shape *shape_get(struct hub *hub, const char *id, enum stomp_version version);
void shape_let_go(struct hub *hub, struct shape *shape);

/* ---- live_send.c ---- */
void on_send(struct hub_session *session, const struct stomp_frame *frame);
void on_begin(struct hub_session *session, const struct stomp_frame *frame);
void on_commit(struct hub_session *session, const struct stomp_frame *frame);
void on_abort(struct hub_session *session, const struct stomp_frame *frame);
void transaction_free(struct transaction **transaction);
/* Calls `answered` on the loop, or never when the hub is gone. */
bool hub_expect(struct hub *hub, struct hub_session *session, const char *receipt, const char *client_id,
                char corr[PENDING_CORR_BYTES], struct err *err);
struct hub_door *door_open(struct hub *hub);
void door_close(struct hub_door *door); /* verdicts that come from now on find nobody */
void door_release(struct hub_door **door);

/* ---- live_fan.c ---- */
void fan_event(struct hub *hub, struct chat_event *event);
void fan_body(struct hub *hub, struct hub_room *room, const struct str *body,
              const struct hub_session *but);                /* no rev: typing */
void sub_give(struct hub_sub *sub, const struct told *told); /* if it did not have it yet */
struct told *told_new(struct hub *hub, int64_t rev, int64_t seq, size_t count);
void told_let_go(struct told **told);
void told_message(struct str *body, const char *type, const char *message);
/* serial: bodies with the same one are the same; 0: this one is for nobody else. */
void sub_write(struct hub_sub *sub, uint64_t serial, int64_t rev, size_t part, int64_t seq, const struct str *body);

/* ---- live_marks.c ---- */
void mark_later(struct hub_sub *sub);
/* A subscription to a room ends: the mark that it would have moved told the user's sockets, so they are told without
 * it.
 */
void mark_ends(struct hub_sub *sub);
void mark_now(struct hub_sub *sub); /* what it was given and nobody has marked yet */
void unread_later(struct hub_member *member);
void marks_tick(struct hub *hub, int64_t now_ms);
void unread_tick(struct hub *hub, int64_t now_ms);

/* ---- live_user.c ---- */
struct hub_user *user_get(struct hub *hub, const char *id); /* made when missing */
void user_rest(struct hub *hub, struct hub_user *user);     /* forgotten when nothing needs it */
struct hub_room *room_get(struct hub *hub, const char *id, bool make);
void room_rest(struct hub *hub, struct hub_room *room);
void user_load(struct hub *hub, struct hub_user *user); /* for one more subscription to its events */
void user_unload(struct hub *hub, struct hub_user *user);
struct hub_member *seat_find(const struct hub_user *user, const struct hub_room *room);
/* rev: of the room, when this was so. */
void seat_add(struct hub *hub, struct hub_user *user, struct hub_room *room, int64_t rev);
void seat_remove(struct hub *hub, struct hub_user *user, struct hub_room *room);
void hear_presence_on_loop(void *app, void *payload);
void hear_relation_on_loop(void *app, void *payload);
void hear_ended_on_loop(void *app, void *payload);
bool ended_recently(const struct hub *hub, const char *session_id, const char **reason);

/* ---- live_market.c ---- */
struct market_watch *market_watch_open(void);
void market_watch_release(struct market_watch **watch);

/* ---- live_typing.c ---- */
struct typing *typing_open(struct hub *hub, const char *redis_url, struct err *err);
void typing_stop(struct typing *typing); /* nothing comes from Redis any more */
void typing_release(struct typing **typing);
void on_typing(struct hub_session *session, const char *room_id);

#endif
