#include "live.h"

#include "clock.h"
#include "lane.h"
#include "log.h"
#include "mem.h"
#include "shortcut.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 50,
    PING_SECONDS = 60, /* for clients without heart-beats */
    MESSAGE_MAX = STOMP_HEAD_MAX + STOMP_BODY_MAX + 4096,
    DESK_THREADS = 4,
    DESK_QUEUE = 8192,
    EVENTS_IN_FLIGHT = 20000, /* heard and not fanned out yet: then Kafka keeps the rest */
    EVENTS_AT_ONCE = 100,
    EVENT_ARENA = 256 << 20, /* 100 of the largest, decoded */
};

static const char *const SUBPROTOCOLS[] = {"v12.stomp", "v11.stomp", "v10.stomp", NULL};

/* ---- what is heard ---- */

struct heard {
    struct hub *hub;
    struct arena *arena;
    size_t count;
    struct chat_event events[];
};

static void heard_free(struct heard *heard)
{
    struct hub *hub = heard->hub;
    hub_flow_give(hub, heard->count);
    arena_release(&heard->arena);
    free(heard);
}

static void fan_heard(void *app, void *payload)
{
    struct heard *heard = payload;
    for (size_t i = 0; i < heard->count; i++)
        fan_event(app, &heard->events[i]);
    heard_free(heard);
}

void hub_flow_take(struct hub *hub, size_t more)
{
    (void)pthread_mutex_lock(&hub->flow.lock);
    while (hub->flow.events > EVENTS_IN_FLIGHT && !hub->flow.stopping)
        (void)pthread_cond_wait(&hub->flow.room, &hub->flow.lock);
    hub->flow.events += more;
    (void)pthread_mutex_unlock(&hub->flow.lock);
}

void hub_flow_give(struct hub *hub, size_t done)
{
    (void)pthread_mutex_lock(&hub->flow.lock);
    hub->flow.events -= done;
    (void)pthread_cond_signal(&hub->flow.room);
    (void)pthread_mutex_unlock(&hub->flow.lock);
}

bool hub_keeps_up(struct hub *hub)
{
    (void)pthread_mutex_lock(&hub->flow.lock);
    const bool keeps_up = hub->flow.events < EVENTS_IN_FLIGHT / 2;
    (void)pthread_mutex_unlock(&hub->flow.lock);
    return keeps_up;
}

static void hear(struct hub *hub, const struct kafka_record *records, size_t count)
{
    struct chat_app *app = hub->app;
    struct heard *heard = mem_new(1, sizeof *heard + count * sizeof heard->events[0]);
    heard->hub = hub;
    heard->arena = arena_open((size_t)EVENT_ARENA);
    for (size_t i = 0; i < count; i++) {
        const struct kafka_record *record = &records[i];
        struct err err = {0};
        if (!record->payload.bytes || shortcut_has(app->shortcut, record->given))
            continue;
        if (record->corr)
            (void)pending_answer(app->pending, record->corr, record->payload);
        if (!event_decode(heard->arena, record->payload, &heard->events[heard->count], &err))
            log_err("event_not_readable", &err);
        else if (heard->events[heard->count].rev > 0)
            heard->count++;
    }
    hub_flow_take(hub, heard->count);
    if (heard->count == 0 || !ws_post(hub->server, fan_heard, heard))
        heard_free(heard);
    for (size_t i = 0; i < count; i++)
        shortcut_heard(app->shortcut, records[i].given);
}

void hub_give(struct hub *hub, const struct kafka_record *records, size_t count)
{
    for (size_t at = 0; at < count; at += EVENTS_AT_ONCE)
        hear(hub, records + at, count - at < EVENTS_AT_ONCE ? count - at : EVENTS_AT_ONCE);
}

void hub_hear_events(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    if (app->lane)
        lane_answered(app->lane, batch->records, batch->count);
    hub_give(app->hub, batch->records, batch->count);
}

/* ---- time ---- */

static void on_tick(void *app)
{
    struct hub *hub = app;
    const int64_t now_ms = clock_monotonic_ms();
    if (!atomic_load(&hub->open))
        return;
    hub->now_s = (uint32_t)(now_ms / 1000);
    if (now_ms - hub->ticked_ms >= 1000) {
        hub->ticked_ms = now_ms;
        session_tick(hub);
    }
    marks_tick(hub, now_ms);
    unread_tick(hub, now_ms);
}

static void drain_on_loop(void *app, void *payload)
{
    (void)payload;
    struct hub *hub = app;
    hub->draining = true;
    hub->drain_until_ms = clock_monotonic_ms() + hub->app->config->service.drain_seconds * 1000;
}

void hub_drain(void *payload)
{
    struct chat_app *app = payload;
    ws_server_drain(app->hub->server);
    (void)ws_post(app->hub->server, drain_on_loop, NULL);
}

/* ---- start and stop ---- */

static bool open_early(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                       struct err *err)
{
    struct hub *hub = app;
    if (!atomic_load(&hub->open))
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "This instance is starting");
    return session_open(app, connection, upgrade, user, err);
}

static void metrics_open(struct hub *hub)
{
    hub->m_events =
        METRIC_CHILD(metric_counter("madang_chat_live_events_total", "Events of rooms that this instance heard", NULL));
    hub->m_delivered =
        METRIC_CHILD(metric_counter("madang_chat_live_delivered_total", "Messages given to subscriptions", NULL));
    hub->m_gaps = METRIC_CHILD(metric_counter("madang_chat_live_gaps_total",
                                              "Gaps in a room's events; the subscription was loaded again", NULL));
    hub->m_loads = METRIC_CHILD(
        metric_counter("madang_chat_live_loads_total", "Subscriptions that caught up from PostgreSQL", NULL));
    hub->m_marks =
        METRIC_CHILD(metric_counter("madang_chat_live_marks_total", "Marks of what sockets were given", NULL));
    hub->m_errors = METRIC_CHILD(metric_counter("madang_chat_stomp_errors_total", "ERROR frames", NULL));
    hub->m_sessions =
        METRIC_CHILD(metric_gauge("madang_chat_stomp_sessions", "Sockets that have said who they are", NULL));
}

static bool announce(struct hub *hub, struct backend *backend, struct err *err)
{
    const struct chat_config *config = hub->app->config;
    char host[64], address[96];
    int port;
    if (!service_split_address(config->ws_listen, host, &port, err))
        return false;
    (void)snprintf(address, sizeof address, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, ws_server_port(hub->server));
    return backend_announce(backend, "chat-ws", *config->ws_advertise ? config->ws_advertise : address, err);
}

static bool parts_open(struct hub *hub, struct backend *backend, struct err *err)
{
    const struct chat_config *config = hub->app->config;
    hub->tokens = backend_tokens(backend);
    hub->tickets = backend_tickets(backend, err);
    hub->signals = hub->tickets
                       ? signals_open(hub->app->producer, (int)config->beat_seconds, (int)config->lease_seconds, err)
                       : NULL;
    hub->desk = hub->signals ? desk_open(DESK_THREADS, DESK_QUEUE, hub, err) : NULL;
    if (!hub->desk)
        return false;
    hub->server = ws_server_start(&(struct ws_options){.listen = config->ws_listen,
                                                       .gateway_addresses = config->service.gateway_addresses,
                                                       .path = "/ws/chat",
                                                       .subprotocols = SUBPROTOCOLS,
                                                       .message_max = MESSAGE_MAX,
                                                       .output_max = (size_t)config->ws_output_max,
                                                       .connections_max = (int)config->ws_connections_max,
                                                       .ping_seconds = PING_SECONDS,
                                                       .gather_ms = (int)config->ws_gather_ms,
                                                       .metrics_prefix = "madang_chat",
                                                       .app = hub,
                                                       .open = open_early,
                                                       .message = session_message,
                                                       .closed = session_closed,
                                                       .tick = on_tick,
                                                       .tick_ms = TICK_MS},
                                  err);
    if (!hub->server)
        return false;
    desk_loop(hub->desk, hub->server);
    hub->typing = typing_open(hub, config->service.redis_url, err);
    return hub->typing != NULL;
}

struct hub *hub_start(struct chat_app *app, struct backend *backend, struct err *err)
{
    AUTO(hub) hub = MEM_NEW(hub);
    hub->app = app;
    hub->door = door_open(hub);
    hub->beat = ws_frame_new(VIEW("\n"), false);
    hub->arena = arena_open((size_t)64 << 20);
    hub->audience = audience_open();
    hub->markets = market_watch_open();
    (void)pthread_mutex_init(&hub->flow.lock, NULL);
    (void)pthread_cond_init(&hub->flow.room, NULL);
    metrics_open(hub);
    if (!parts_open(hub, backend, err) || !announce(hub, backend, err))
        return NULL;
    hub->now_s = (uint32_t)(clock_monotonic_ms() / 1000);
    atomic_store(&hub->open, true);
    return TAKE(hub);
}

int hub_port(const struct hub *hub)
{
    return ws_server_port(hub->server);
}

/* After the loop: sessions that a late verdict or look-up still knew, and users that had just been loaded. */
static void free_what_is_left(struct hub *hub)
{
    while (hub->sessions) {
        hub->sessions->references = 1;
        session_let_go(hub->sessions);
    }
    for (uint32_t i = 0; i < hub->users.room; i++) {
        for (struct id_node *at = hub->users.buckets[i], *next; at; at = next) {
            next = at->next;
            struct hub_user *user = (struct hub_user *)(void *)at;
            user->busy = 0;
            user->unread_listed = user->unread_asking = false;
            user_rest(hub, user);
        }
    }
    for (uint32_t i = 0; i < hub->rooms.room; i++) {
        for (struct id_node *at = hub->rooms.buckets[i], *next; at; at = next) {
            next = at->next;
            struct hub_room *room = (struct hub_room *)(void *)at;
            room->mark_dirty = false;
            room_rest(hub, room);
        }
    }
    free(hub->users.buckets);
    free(hub->rooms.buckets);
    free(hub->watched.buckets);
    free(hub->shapes);
}

void hub_release(struct hub **hub)
{
    struct hub *h = *hub;
    if (!h)
        return;
    (void)pthread_mutex_lock(&h->flow.lock);
    h->flow.stopping = true;
    (void)pthread_cond_broadcast(&h->flow.room);
    (void)pthread_mutex_unlock(&h->flow.lock);
    typing_stop(h->typing);
    if (h->door)
        door_close(h->door);
    ws_server_release(&h->server);
    typing_release(&h->typing); /* sockets asked it and the door until now */
    door_release(&h->door);
    desk_release(&h->desk);
    signals_release(&h->signals);
    free_what_is_left(h);
    ws_frame_release(&h->beat);
    audience_release(&h->audience);
    market_watch_release(&h->markets);
    arena_release(&h->arena);
    str_free(&h->scratch);
    (void)pthread_cond_destroy(&h->flow.room);
    (void)pthread_mutex_destroy(&h->flow.lock);
    free(h);
    *hub = NULL;
}
