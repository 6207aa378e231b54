#include "live.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "records.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- users and rooms ---- */

struct hub_user *user_get(struct hub *hub, const char *id)
{
    struct uuid uuid;
    if (!uuid_parse(id, &uuid))
        return NULL;
    struct hub_user *user = (struct hub_user *)(void *)id_map_get(&hub->users, &uuid);
    if (user)
        return user;
    user = MEM_NEW(hub_user);
    user->node.id = uuid;
    uuid_format(&uuid, user->id);
    user->send_tokens = SENDS_BURST;
    user->send_filled_ms = clock_monotonic_ms();
    id_map_put(&hub->users, &user->node);
    return user;
}

void user_rest(struct hub *hub, struct hub_user *user)
{
    if (user->session_count || user->busy || user->unread_listed || user->unread_asking || user->members ||
        user->friend_count)
        return;
    id_map_remove(&hub->users, &user->node);
    free(user);
}

struct hub_room *room_get(struct hub *hub, const char *id, bool make)
{
    struct uuid uuid;
    if (!uuid_parse(id, &uuid))
        return NULL;
    struct hub_room *room = (struct hub_room *)(void *)id_map_get(&hub->rooms, &uuid);
    if (room || !make)
        return room;
    room = MEM_NEW(hub_room);
    room->node.id = uuid;
    uuid_format(&uuid, room->id);
    room->kind = ROOM_GROUP;
    id_map_put(&hub->rooms, &room->node);
    return room;
}

void room_rest(struct hub *hub, struct hub_room *room)
{
    if (room->subs || room->members || room->mark_dirty)
        return;
    id_map_remove(&hub->rooms, &room->node);
    free(room);
}

/* ---- memberships ---- */

struct hub_member *seat_find(const struct hub_user *user, const struct hub_room *room)
{
    for (struct hub_member *member = user->members; member; member = member->user_next)
        if (member->room == room)
            return member;
    return NULL;
}

void seat_add(struct hub *hub, struct hub_user *user, struct hub_room *room, int64_t rev)
{
    (void)hub;
    struct hub_member *seat = seat_find(user, room);
    if (seat) {
        seat->rev = seat->rev > rev ? seat->rev : rev;
        return;
    }
    struct hub_member *member = MEM_NEW(hub_member);
    member->user = user;
    member->room = room;
    member->rev = rev;
    member->user_next = user->members;
    user->members = member;
    member->room_next = room->members;
    room->members = member;
}

void seat_remove(struct hub *hub, struct hub_user *user, struct hub_room *room)
{
    for (struct hub_member **at = &user->members; *at; at = &(*at)->user_next) {
        struct hub_member *member = *at;
        if (member->room != room)
            continue;
        *at = member->user_next;
        struct hub_member **there = &room->members;
        while (*there != member)
            there = &(*there)->room_next;
        *there = member->room_next;
        free(member);
        room_rest(hub, room);
        return;
    }
}

/* ---- friends ---- */

static struct watched *watched_get(struct hub *hub, const struct uuid *id)
{
    struct watched *watched = (struct watched *)(void *)id_map_get(&hub->watched, id);
    if (!watched) {
        watched = MEM_NEW(watched);
        watched->node.id = *id;
        id_map_put(&hub->watched, &watched->node);
    }
    return watched;
}

static void watch(struct hub *hub, struct hub_user *user, const struct uuid *friend_id)
{
    struct watched *watched = watched_get(hub, friend_id);
    struct watcher *watcher = MEM_NEW(watcher);
    watcher->user = user;
    watcher->next = watched->watchers;
    watched->watchers = watcher;
    atomic_store(&hub->watching, true);
}

static void unwatch(struct hub *hub, const struct hub_user *user, const struct uuid *friend_id)
{
    struct watched *watched = (struct watched *)(void *)id_map_get(&hub->watched, friend_id);
    for (struct watcher **at = watched ? &watched->watchers : NULL; at && *at; at = &(*at)->next) {
        if ((*at)->user == user) {
            struct watcher *gone = *at;
            *at = gone->next;
            free(gone);
            break;
        }
    }
    if (watched && !watched->watchers) {
        id_map_remove(&hub->watched, &watched->node);
        free(watched);
        atomic_store(&hub->watching, hub->watched.count > 0);
    }
}

static bool is_friend(const struct hub_user *user, const struct uuid *id)
{
    for (size_t i = 0; i < user->friend_count; i++)
        if (memcmp(&user->friends[i], id, sizeof *id) == 0)
            return true;
    return false;
}

static void friend_add(struct hub *hub, struct hub_user *user, const struct uuid *id)
{
    if (is_friend(user, id))
        return;
    user->friends = mem_grow(user->friends, user->friend_count + 1, sizeof *user->friends);
    user->friends[user->friend_count++] = *id;
    watch(hub, user, id);
}

static void friend_remove(struct hub *hub, struct hub_user *user, const struct uuid *id)
{
    for (size_t i = 0; i < user->friend_count; i++) {
        if (memcmp(&user->friends[i], id, sizeof *id) == 0) {
            user->friends[i] = user->friends[--user->friend_count];
            unwatch(hub, user, id);
            return;
        }
    }
}

/* ---- what friends may see ---- */

static bool shown_online(const struct presence_state *state)
{
    return state->online && state->visible;
}

static void presence_body(struct str *body, const char *user_id, const struct presence_state *state)
{
    json_open(body, NULL, '{');
    json_text(body, "type", "presence");
    json_text(body, "user_id", user_id);
    json_bool(body, "online", shown_online(state));
    if (!shown_online(state) && state->visible && state->show_last_seen && state->last_seen_ms)
        json_time(body, "last_seen", state->last_seen_ms);
    json_close(body, '}');
}

/* What a socket that has just come has to know. */
static void tell_online_friends(struct hub *hub, struct hub_user *user)
{
    for (size_t i = 0; i < user->friend_count; i++) {
        char id[UUID_TEXT_BYTES];
        uuid_format(&user->friends[i], id);
        const struct presence_state state = presence_of(hub->app->presence, id);
        if (!shown_online(&state))
            continue;
        AUTO_STR body = {0};
        presence_body(&body, id, &state);
        user_tell(hub, user, &body);
    }
}

struct presence_news {
    struct presence_state was, now;
    char user_id[UUID_TEXT_BYTES];
};

void hear_presence_on_loop(void *app, void *payload)
{
    struct hub *hub = app;
    AUTO_FREE struct presence_news *news = payload;
    struct uuid id;
    hub_flow_give(hub, 1);
    if (!uuid_parse(news->user_id, &id))
        return;
    const struct watched *watched = (const struct watched *)(const void *)id_map_get(&hub->watched, &id);
    if (!watched || (!shown_online(&news->was) && !shown_online(&news->now)))
        return;
    AUTO_STR body = {0};
    presence_body(&body, news->user_id, &news->now);
    for (const struct watcher *watcher = watched->watchers; watcher; watcher = watcher->next)
        user_tell(hub, watcher->user, &body);
}

/* To the loop, which gives back what is taken here: none is lost when the loop is far behind, the listener waits. */
static void post_news(struct hub *hub, void (*hear)(void *app, void *payload), void *news)
{
    hub_flow_take(hub, 1);
    if (ws_post(hub->server, hear, news))
        return;
    hub_flow_give(hub, 1);
    free(news);
}

void hub_hear_presence(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    for (size_t i = 0; i < batch->count; i++) {
        struct presence_news news;
        if (!presence_take(app->presence, &batch->records[i], news.user_id, &news.was, &news.now))
            continue;
        if (!app->hub || !atomic_load(&app->hub->watching))
            continue;
        struct presence_news *copy = MEM_NEW(presence_news);
        *copy = news;
        post_news(app->hub, hear_presence_on_loop, copy);
    }
}

/* ---- loading a user's rooms and friends ---- */

struct user_job {
    struct desk_job job;
    struct hub *hub;
    struct hub_user *user; /* held by `busy` */
    struct arena *arena;
    struct live_user live;
    struct err err;
    bool good;
    char user_id[UUID_TEXT_BYTES];
};

static void ask_user(struct hub *hub, struct hub_user *user);

static void run_user(void *app, struct desk_job *job)
{
    struct hub *hub = app;
    struct user_job *load = (struct user_job *)(void *)job;
    load->good = store_live_user(hub->app->db, load->arena, load->user_id, &load->live, &load->err);
}

static void relate_again(struct hub *hub, const struct hub_user *user);

static void take_user(struct hub *hub, struct hub_user *user, const struct live_user *live)
{
    for (size_t i = 0; i < live->room_count; i++) {
        struct hub_room *room = room_get(hub, live->rooms[i].room_id, true);
        if (!room)
            continue;
        room->kind = live->rooms[i].kind;
        seat_add(hub, user, room, live->rooms[i].rev);
    }
    for (size_t i = 0; i < live->friend_count; i++) {
        struct uuid id;
        if (uuid_parse(live->friends[i], &id))
            friend_add(hub, user, &id);
    }
    user->state = USER_LOADED;
    tell_online_friends(hub, user);
    relate_again(hub, user);
}

static void forget(struct hub *hub, struct hub_user *user)
{
    while (user->members)
        seat_remove(hub, user, user->members->room);
    while (user->friend_count) {
        const struct uuid id = user->friends[user->friend_count - 1];
        friend_remove(hub, user, &id);
    }
    free(user->friends);
    user->friends = NULL;
    user->state = USER_BARE;
}

static void done_user(void *app, struct desk_job *job, bool alive)
{
    struct hub *hub = app;
    struct user_job *load = (struct user_job *)(void *)job;
    struct hub_user *user = load->user;
    if (alive) {
        user->busy--;
        user->state = USER_BARE;
        if (!load->good)
            log_err("user_not_loaded", &load->err);
        if (!user->event_subs) {
            forget(hub, user);
        } else if (load->good && !user->stale) {
            take_user(hub, user, &load->live);
        } else if (load->good) {
            ask_user(hub, user); /* something changed meanwhile */
        } else {
            for (struct hub_session *session = user->sessions; session; session = session->user_next)
                session_fail(session, 1013, NULL, ERR_UNAVAILABLE.code,
                             "come again"); /* without its rooms it would miss what it asked for */
        }
        user_rest(hub, user);
    }
    arena_release(&load->arena);
    free(load);
}

static void ask_user(struct hub *hub, struct hub_user *user)
{
    struct user_job *load = MEM_NEW(user_job);
    load->job.run = run_user;
    load->job.done = done_user;
    load->hub = hub;
    load->user = user;
    load->arena = arena_open((size_t)64 << 20);
    memcpy(load->user_id, user->id, sizeof load->user_id);
    user->state = USER_LOADING;
    user->stale = false;
    user->busy++;
    if (desk_ask(hub->desk, &load->job))
        return;
    err_set(&load->err, &ERR_OVERLOADED, "the desk is full");
    done_user(hub, &load->job, true);
}

void user_load(struct hub *hub, struct hub_user *user)
{
    if (user->state == USER_BARE)
        ask_user(hub, user);
    else if (user->state == USER_LOADED)
        tell_online_friends(hub, user);
}

void user_unload(struct hub *hub, struct hub_user *user)
{
    if (user->state == USER_LOADED)
        forget(hub, user);
}

/* ---- relations ---- */

static void relate(struct hub *hub, const struct uuid *one, const struct uuid *other, bool friends)
{
    struct hub_user *user = (struct hub_user *)(void *)id_map_get(&hub->users, one);
    if (!user || user->state == USER_BARE)
        return;
    if (user->state == USER_LOADING) {
        user->stale = true;
        return;
    }
    const bool were = is_friend(user, other);
    if (friends == were)
        return;
    char id[UUID_TEXT_BYTES];
    uuid_format(other, id);
    struct presence_state state = presence_of(hub->app->presence, id);
    if (friends)
        friend_add(hub, user, other);
    else
        friend_remove(hub, user, other);
    if (!shown_online(&state))
        return;
    if (!friends) /* nothing more is told of who is no friend any more */
        state = (struct presence_state){0};
    AUTO_STR body = {0};
    presence_body(&body, id, &state);
    user_tell(hub, user, &body);
}

/* The tables are another consumer's work: what was heard a moment ago may not stand there yet. */
static void relate_again(struct hub *hub, const struct hub_user *user)
{
    const int64_t since_ms = clock_monotonic_ms() - RELATED_MS;
    const uint64_t end = hub->related_count;
    for (uint64_t i = end > RECENT_RELATED ? end - RECENT_RELATED : 0; i < end; i++) {
        const struct relation_news *news = &hub->related[i % RECENT_RELATED];
        if (news->heard_ms < since_ms)
            continue;
        if (memcmp(&news->a, &user->node.id, sizeof news->a) == 0)
            relate(hub, &news->a, &news->b, news->friends);
        else if (memcmp(&news->b, &user->node.id, sizeof news->b) == 0)
            relate(hub, &news->b, &news->a, news->friends);
    }
}

void hear_relation_on_loop(void *app, void *payload)
{
    struct hub *hub = app;
    AUTO_FREE struct relation_news *news = payload;
    hub_flow_give(hub, 1);
    news->heard_ms = clock_monotonic_ms();
    hub->related[hub->related_count++ % RECENT_RELATED] = *news;
    relate(hub, &news->a, &news->b, news->friends);
    relate(hub, &news->b, &news->a, news->friends);
}

void hub_hear_relations(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    if (!app->hub)
        return;
    AUTO(arena) arena = arena_open((size_t)1 << 20);
    for (size_t i = 0; i < batch->count; i++) {
        struct relation_copy relation;
        struct err err = {0};
        arena_reset(arena);
        if (!batch->records[i].payload.bytes ||
            !JSON_DECODE_LENIENT(arena, batch->records[i].payload, RELATION_FIELDS, &relation, &err))
            continue;
        struct relation_news *news = MEM_NEW(relation_news);
        news->friends = relation_is_friendly(&relation);
        if (!uuid_parse(relation.a, &news->a) || !uuid_parse(relation.b, &news->b))
            free(news);
        else
            post_news(app->hub, hear_relation_on_loop, news);
    }
}

/* ---- sessions that end ---- */

struct ended_news {
    char user_id[UUID_TEXT_BYTES], sid[UUID_TEXT_BYTES], reason[32];
};

bool ended_recently(const struct hub *hub, const char *session_id, const char **reason)
{
    struct uuid sid;
    const uint32_t count = hub->ended_count < RECENT_ENDED ? hub->ended_count : RECENT_ENDED;
    if (!uuid_parse(session_id, &sid))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(&hub->ended[i].sid, &sid, sizeof sid) == 0) {
            *reason = hub->ended[i].reason;
            return true;
        }
    }
    return false;
}

static void end_session(struct hub_session *session, const char *reason)
{
    AUTO_STR body = {0};
    json_open(&body, NULL, '{');
    json_text(&body, "type", "session_ended");
    json_text(&body, "reason", reason);
    json_close(&body, '}');
    for (struct hub_sub *sub = session->subs; sub; sub = sub->session_next)
        if (sub->target == TO_EVENTS)
            sub_tell(sub, &body);
    session_fail(session, CLOSE_ENDED, NULL, ERR_SESSION_ENDED.code, reason);
}

void hear_ended_on_loop(void *app, void *payload)
{
    struct hub *hub = app;
    AUTO_FREE struct ended_news *news = payload;
    struct uuid user_id, sid;
    hub_flow_give(hub, 1);
    if (!uuid_parse(news->user_id, &user_id) || !uuid_parse(news->sid, &sid))
        return;
    const uint32_t at = hub->ended_count++ % RECENT_ENDED;
    if (hub->ended_count == 2 * RECENT_ENDED)
        hub->ended_count = RECENT_ENDED; /* stays "full" */
    hub->ended[at].sid = sid;
    memcpy(hub->ended[at].reason, news->reason, sizeof news->reason);
    struct hub_user *user = (struct hub_user *)(void *)id_map_get(&hub->users, &user_id);
    for (struct hub_session *session = user ? user->sessions : NULL; session; session = session->user_next)
        if (strcmp(session->session_id, news->sid) == 0)
            end_session(session, news->reason);
}

void hub_hear_ended(void *payload, const struct kafka_batch *batch)
{
    struct chat_app *app = payload;
    if (!app->hub)
        return;
    AUTO(arena) arena = arena_open((size_t)1 << 20);
    for (size_t i = 0; i < batch->count; i++) {
        struct session_end end;
        struct err err = {0};
        arena_reset(arena);
        if (!batch->records[i].payload.bytes ||
            !JSON_DECODE_LENIENT(arena, batch->records[i].payload, SESSION_END_FIELDS, &end, &err))
            continue;
        struct ended_news *news = MEM_NEW(ended_news);
        (void)snprintf(news->user_id, sizeof news->user_id, "%s", end.user_id);
        (void)snprintf(news->sid, sizeof news->sid, "%s", end.sid);
        (void)snprintf(news->reason, sizeof news->reason, "%s", end.reason);
        post_news(app->hub, hear_ended_on_loop, news);
    }
}
