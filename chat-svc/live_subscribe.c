#include "live.h"

#include "log.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- shapes: one frame for all subscriptions of one id and version ---- */

static uint32_t shape_hash(const char *id, enum stomp_version version)
{
    uint32_t hash = 2166136261u + (uint32_t)version;
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    return hash;
}

static void shapes_grow(struct hub *hub)
{
    const uint32_t room = hub->shape_room ? hub->shape_room * 2 : 64;
    struct shape **shapes = mem_new(room, sizeof *shapes);
    for (uint32_t i = 0; i < hub->shape_room; i++) {
        for (struct shape *at = hub->shapes[i], *next; at; at = next) {
            next = at->next;
            struct shape **bucket = &shapes[shape_hash(at->id, at->version) & (room - 1)];
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(hub->shapes);
    hub->shapes = shapes;
    hub->shape_room = room;
}

struct shape *shape_get(struct hub *hub, const char *id, enum stomp_version version)
{
    if (hub->shape_count >= hub->shape_room)
        shapes_grow(hub);
    struct shape **bucket = &hub->shapes[shape_hash(id, version) & (hub->shape_room - 1)];
    for (struct shape *at = *bucket; at; at = at->next) {
        if (at->version == version && strcmp(at->id, id) == 0) {
            at->references++;
            return at;
        }
    }
    struct shape *shape = mem_new(1, sizeof *shape + strlen(id) + 1);
    memcpy(shape->id, id, strlen(id) + 1);
    shape->version = (uint8_t)version;
    shape->references = 1;
    shape->next = *bucket;
    *bucket = shape;
    hub->shape_count++;
    return shape;
}

void shape_let_go(struct hub *hub, struct shape *shape)
{
    if (--shape->references)
        return;
    struct shape **at = &hub->shapes[shape_hash(shape->id, shape->version) & (hub->shape_room - 1)];
    while (*at != shape)
        at = &(*at)->next;
    *at = shape->next;
    hub->shape_count--;
    ws_frame_release(&shape->frame);
    free(shape);
}

/* ---- a subscription ---- */

static struct hub_sub *sub_find(const struct hub_session *session, const char *id)
{
    for (struct hub_sub *sub = session->subs; sub; sub = sub->session_next)
        if (strcmp(sub->shape->id, id) == 0)
            return sub;
    return NULL;
}

static void drop_kept(struct hub_sub *sub)
{
    for (size_t i = 0; i < sub->kept_count; i++)
        told_let_go(&sub->kept[i]);
    free(sub->kept);
    sub->kept = NULL;
    sub->kept_count = 0;
}

void sub_end(struct hub_sub *sub)
{
    struct hub_session *session = sub->session;
    struct hub *hub = session->hub;
    struct hub_sub **at = &session->subs;
    while (*at != sub)
        at = &(*at)->session_next;
    *at = sub->session_next;
    session->sub_count--;
    if (sub->room) {
        mark_ends(sub);
        if (sub->room_previous)
            sub->room_previous->room_next = sub->room_next;
        else
            sub->room->subs = sub->room_next;
        if (sub->room_next)
            sub->room_next->room_previous = sub->room_previous;
        room_rest(hub, sub->room);
    }
    if (sub->target == TO_EVENTS && --session->user->event_subs == 0) {
        audience_remove(hub->audience, &session->user->node.id);
        user_unload(hub, session->user);
    }
    drop_kept(sub);
    shape_let_go(hub, sub->shape);
    if (sub->acks)
        free(sub->acks->waiting);
    free(sub->acks);
    free(sub->receipt);
    free(sub);
}

static struct hub_sub *sub_new(struct hub_session *session, const char *id, enum sub_target target)
{
    struct hub_sub *sub = MEM_NEW(hub_sub);
    sub->session = session;
    sub->target = (uint8_t)target;
    sub->shape = shape_get(session->hub, id, session->parser.version);
    sub->session_next = session->subs;
    session->subs = sub;
    session->sub_count++;
    return sub;
}

/* ---- catch-up ---- */

struct load_job {
    struct desk_job job;
    struct hub *hub;
    struct hub_session *session;
    struct arena *arena;
    struct catch_up caught;
    struct err err;
    bool good;
    int64_t after, rev;
    uint64_t number;
    char room_id[UUID_TEXT_BYTES], user_id[UUID_TEXT_BYTES];
    char sub_id[ID_MAX + 1];
};

static void run_load(void *app, struct desk_job *job)
{
    (void)app;
    struct load_job *load = (struct load_job *)(void *)job;
    load->good = store_catch_up(load->hub->app->db, load->arena, load->room_id, load->user_id, load->after, load->rev,
                                CATCH_UP_MAX, &load->caught, &load->err);
}

/* Where it stands: the first thing that a subscription (or one that was loaded again) gets. */
static void tell_start(struct hub_sub *sub, const struct catch_up *caught, bool reload)
{
    AUTO_STR body = {0};
    json_open(&body, NULL, '{');
    json_text(&body, "type", "subscribed");
    json_text(&body, "room_id", sub->room->id);
    json_text(&body, "kind", room_kind_name(caught->kind));
    json_i64(&body, "last_seq", caught->last_seq);
    json_i64(&body, "rev", caught->rev);
    json_i64(&body, "read_seq", caught->read_seq);
    json_bool(&body, "reload", reload);
    json_close(&body, '}');
    sub_write(sub, 0, caught->rev, 0, 0, &body);
}

static bool fits(const struct hub_sub *sub, const struct catch_up *caught)
{
    size_t bytes = 0;
    for (size_t i = 0; i < caught->count; i++)
        bytes += strlen(caught->messages[i].message) + 256;
    return bytes < (size_t)sub->session->hub->app->config->ws_output_max / 2;
}

static void replay(struct hub_sub *sub, const struct catch_up *caught)
{
    const bool reload = caught->reload || !fits(sub, caught);
    tell_start(sub, caught, reload);
    if (!reload) {
        for (size_t i = 0; i < caught->count; i++) {
            const struct caught *one = &caught->messages[i];
            AUTO_STR body = {0};
            const bool deleted = strstr(one->message, "\"deleted\":true") != NULL;
            told_message(&body, !one->changed ? "message" : deleted ? "deleted" : "edited", one->message);
            sub_write(sub, 0, one->rev, (size_t)one->seq, one->changed ? 0 : one->seq, &body);
        }
    }
    if (sub->given_seq < caught->last_seq)
        sub->given_seq = caught->last_seq;
    if (!reload && sub->ack == ACK_AUTO && sub->seen_seq < caught->last_seq)
        sub->seen_seq = caught->last_seq; /* the room is open: what came before is before somebody's eyes */
    if (sub->marked_seq < caught->read_seq)
        sub->marked_seq = caught->read_seq;
}

static void loaded(struct hub *hub, struct hub_sub *sub, const struct catch_up *caught)
{
    sub->loading = false;
    sub->live = true;
    sub->room->kind = caught->kind;
    replay(sub, caught);
    sub->rev = caught->rev;
    const bool again = sub->again;
    sub->again = false;
    struct told **kept = sub->kept;
    const size_t count = sub->kept_count;
    sub->kept = NULL;
    sub->kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        sub_give(sub, kept[i]);
        told_let_go(&kept[i]);
    }
    free(kept);
    if (again && !sub->loading)
        sub_reload(sub);
    if (sub->ack == ACK_AUTO)
        mark_later(sub);
    session_receipt(sub->session, sub->receipt, 0, NULL);
    free(sub->receipt);
    sub->receipt = NULL;
    metric_add(hub->m_loads, 1);
}

static void not_loaded(struct hub_sub *sub, const struct load_job *load)
{
    struct hub_session *session = sub->session;
    if (sub->live && load->err.problem != &ERR_NOT_FOUND) {
        /* It lived, and a gap can't be closed now: nobody may go on without knowing that something is missing. */
        session_fail(session, 1013, NULL, load->err.problem->code, "come again and say what you have");
        return;
    }
    char destination[64];
    (void)snprintf(destination, sizeof destination, "/topic/rooms.%s", load->room_id);
    session_refuse(session, &load->err, sub->receipt, NULL, destination, load->sub_id);
    sub_end(sub);
}

static void done_load(void *app, struct desk_job *job, bool alive)
{
    struct load_job *load = (struct load_job *)(void *)job;
    if (alive) {
        struct hub_session *session = load->session;
        struct hub_sub *sub = session->state == SESSION_READY ? sub_find(session, load->sub_id) : NULL;
        if (sub && sub->loading && sub->load == load->number) { /* not one that has the id since */
            if (load->good)
                loaded(app, sub, &load->caught);
            else
                not_loaded(sub, load);
        }
        session_let_go(session);
    }
    arena_release(&load->arena);
    free(load);
}

bool sub_load(struct hub_sub *sub, int64_t after, int64_t rev)
{
    struct hub_session *session = sub->session;
    struct hub *hub = session->hub;
    struct load_job *load = MEM_NEW(load_job);
    load->job.run = run_load;
    load->job.done = done_load;
    load->hub = hub;
    load->session = session;
    load->arena = arena_open((size_t)64 << 20);
    load->after = after;
    load->rev = rev;
    memcpy(load->room_id, sub->room->id, sizeof load->room_id);
    memcpy(load->user_id, session->user->id, sizeof load->user_id);
    (void)snprintf(load->sub_id, sizeof load->sub_id, "%s", sub->shape->id);
    sub->loading = true;
    load->number = sub->load = ++hub->serial;
    if (desk_ask(hub->desk, &load->job)) {
        session_hold(session);
        return true;
    }
    arena_release(&load->arena);
    free(load);
    return false;
}

void sub_reload(struct hub_sub *sub)
{
    if (!sub_load(sub, sub->given_seq, sub->rev))
        session_fail(sub->session, 1013, NULL, ERR_OVERLOADED.code, "come again and say what you have");
}

/* ---- SUBSCRIBE ---- */

static bool number_of(const struct stomp_frame *frame, const char *name, int64_t *number)
{
    const char *text = stomp_header(frame, name);
    *number = -1;
    if (!text)
        return true;
    if (!*text || strlen(text) > 18 || text[strspn(text, "0123456789")])
        return false;
    *number = strtoll(text, NULL, 10);
    return true;
}

static bool ack_of(const struct stomp_frame *frame, uint8_t *ack)
{
    static const char *const NAMES[] = {
        [ACK_AUTO] = "auto", [ACK_CLIENT] = "client", [ACK_INDIVIDUAL] = "client-individual"};
    const char *text = stomp_header(frame, "ack");
    for (uint8_t i = 0; text && i < ARRAY_LENGTH(NAMES); i++) {
        if (strcmp(NAMES[i], text) == 0) {
            *ack = i;
            return true;
        }
    }
    *ack = ACK_AUTO;
    return !text;
}

static void subscribe_room(struct hub_session *session, const struct stomp_frame *frame, const char *id,
                           const char *room_text, uint8_t ack)
{
    struct hub *hub = session->hub;
    const char *receipt = stomp_header(frame, "receipt"), *mark = stomp_header(frame, "mark");
    int64_t after, rev;
    struct uuid uuid;
    struct err err = {0};
    bool good =
        number_of(frame, "after", &after) && number_of(frame, "rev", &rev) && (!mark || strcmp(mark, "manual") == 0);
    if (!good)
        err_set(&err, &ERR_BAD_INPUT, "after and rev are numbers, mark is manual");
    else if (!uuid_parse(room_text, &uuid))
        good = err_set(&err, &ERR_NOT_FOUND, "no such room");
    if (!good) {
        session_refuse(session, &err, receipt, NULL, stomp_header(frame, "destination"), id);
        return;
    }
    char room_id[UUID_TEXT_BYTES];
    uuid_format(&uuid, room_id);
    struct hub_sub *sub = sub_new(session, id, TO_ROOM);
    sub->room = room_get(hub, room_id, true);
    sub->room_next = sub->room->subs;
    if (sub->room_next)
        sub->room_next->room_previous = sub;
    sub->room->subs = sub;
    sub->manual = mark != NULL;
    sub->ack = ack;
    if (ack != ACK_AUTO)
        sub->acks = MEM_NEW(acks);
    sub->receipt = receipt ? mem_text(receipt) : NULL;
    if (!sub_load(sub, after, rev)) {
        err_set_retry(&err, &ERR_OVERLOADED, 1, "Too many subscribe at once");
        session_refuse(session, &err, receipt, NULL, stomp_header(frame, "destination"), id);
        sub_end(sub);
    }
}

static void subscribe_queue(struct hub_session *session, const char *id, enum sub_target target, const char *receipt)
{
    (void)sub_new(session, id, target);
    if (target == TO_EVENTS && session->user->event_subs++ == 0)
        audience_add(session->hub->audience, &session->user->node.id); /* before it is told that it hears */
    session_receipt(session, receipt, 0, NULL);
    if (target == TO_EVENTS) {
        user_load(session->hub, session->user);
    }
}

void on_subscribe(struct hub_session *session, const struct stomp_frame *frame)
{
    static const char ROOMS[] = "/topic/rooms.";
    const char *destination = stomp_header(frame, "destination"), *id = stomp_header(frame, "id"),
               *receipt = stomp_header(frame, "receipt");
    uint8_t ack;
    struct err err = {0};
    if (!id && session->parser.version == STOMP_1_0)
        id = destination; /* 1.0 needs no id */
    if (!destination || !id || !*id || strlen(id) > ID_MAX || !ack_of(frame, &ack)) {
        session_fail(session, CLOSE_BROKEN, receipt, "SUBSCRIBE needs id, destination and a known ack", NULL);
    } else if (sub_find(session, id)) {
        session_fail(session, CLOSE_BROKEN, receipt, "this subscription id is in use", id);
    } else if (session->sub_count >= SUBSCRIPTIONS_MAX) {
        err_set(&err, &ERR_OVERLOADED, "at most %d subscriptions", SUBSCRIPTIONS_MAX);
        session_refuse(session, &err, receipt, NULL, destination, id);
    } else if (strncmp(destination, ROOMS, sizeof ROOMS - 1) == 0) {
        subscribe_room(session, frame, id, destination + sizeof ROOMS - 1, ack);
    } else if (strcmp(destination, "/user/queue/events") == 0) {
        subscribe_queue(session, id, TO_EVENTS, receipt);
    } else if (strcmp(destination, "/user/queue/errors") == 0) {
        subscribe_queue(session, id, TO_ERRORS, receipt);
    } else {
        err_set(&err, &ERR_NOT_FOUND, "no such destination");
        session_refuse(session, &err, receipt, NULL, destination, id);
    }
}

/* One that still loads was asked for and ends here: its receipt goes before. It says nothing of the room. */
void sub_leave(struct hub_sub *sub)
{
    session_receipt(sub->session, sub->receipt, 0, NULL);
    if (sub->room)
        mark_now(sub);
    sub_end(sub);
}

void on_unsubscribe(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *id = stomp_header(frame, "id");
    if (!id && session->parser.version == STOMP_1_0)
        id = stomp_header(frame, "destination");
    if (!id) {
        session_fail(session, CLOSE_BROKEN, stomp_header(frame, "receipt"), "UNSUBSCRIBE needs an id", NULL);
        return;
    }
    struct hub_sub *sub = sub_find(session, id);
    if (sub) {
        sub_leave(sub);
    }
    session_receipt(session, stomp_header(frame, "receipt"), 0, NULL);
}

/* ---- ACK and NACK: "<subscription id>/<number>" ---- */

static struct hub_sub *acked_sub(const struct hub_session *session, const struct stomp_frame *frame, int64_t *number)
{
    char id[ID_MAX + 1];
    const char *text = stomp_header(frame, session->parser.version == STOMP_1_2 ? "id" : "message-id");
    const char *slash = text ? strrchr(text, '/') : NULL;
    if (!slash || (size_t)(slash - text) >= sizeof id || !slash[1] || strlen(slash + 1) > 18 ||
        slash[1 + strspn(slash + 1, "0123456789")])
        return NULL;
    memcpy(id, text, (size_t)(slash - text));
    id[slash - text] = '\0';
    *number = strtoll(slash + 1, NULL, 10);
    struct hub_sub *sub = sub_find(session, id);
    return sub && sub->acks ? sub : NULL;
}

/* Takes what the frame names out of those that wait; false when it names none. */
static bool take_acks(struct hub_sub *sub, int64_t number, bool good)
{
    struct acks *acks = sub->acks;
    const bool cumulative = sub->ack == ACK_CLIENT;
    size_t kept = 0, taken = 0;
    for (size_t i = 0; i < acks->count; i++) {
        const struct waiting_ack one = acks->waiting[i];
        if (cumulative ? one.number <= number : one.number == number) {
            taken++;
            if (good && one.seq > sub->seen_seq)
                sub->seen_seq = one.seq; /* read: it was acknowledged */
        } else {
            acks->waiting[kept++] = one;
        }
    }
    acks->count = kept;
    return taken > 0;
}

void on_ack(struct hub_session *session, const struct stomp_frame *frame, bool good)
{
    const char *receipt = stomp_header(frame, "receipt");
    int64_t number = 0;
    struct hub_sub *sub = acked_sub(session, frame, &number);
    if (!sub || !take_acks(sub, number, good)) {
        struct err err = {0};
        err_set(&err, &ERR_NOT_FOUND, "nothing waits for this acknowledgement");
        session_refuse(session, &err, receipt, NULL, NULL, NULL);
        return;
    }
    if (good)
        mark_later(sub);
    session_receipt(session, receipt, 0, NULL);
}
