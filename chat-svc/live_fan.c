#include "live.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- one body for all, one frame for all of one shape ---- */

static void build(struct hub *hub, struct hub_sub *sub, const char *message_id, const char *ack, const struct str *body)
{
    const enum stomp_version version = sub->shape->version;
    struct str *out = &hub->scratch;
    char destination[64];
    str_clear(out);
    stomp_begin(out, "MESSAGE");
    if (sub->room)
        (void)snprintf(destination, sizeof destination, "/topic/rooms.%s", sub->room->id);
    stomp_add(out, version, "destination",
              sub->room                  ? destination
              : sub->target == TO_EVENTS ? "/user/queue/events"
                                         : "/user/queue/errors");
    stomp_add(out, version, "message-id", message_id);
    stomp_add(out, version, "subscription", sub->shape->id);
    if (ack && version == STOMP_1_2)
        stomp_add(out, version, "ack", ack);
    stomp_add(out, version, "content-type", "application/json");
    stomp_end(out, (struct view){body->bytes, body->length});
}

/* Client acknowledgements: each message has a number of its own. */
static void write_acked(struct hub *hub, struct hub_sub *sub, int64_t seq, const struct str *body)
{
    struct acks *acks = sub->acks;
    char number[ID_MAX + 32];
    if (acks->count == ACKS_MAX) {
        struct err err = {0};
        err_set(&err, &ERR_OVERLOADED, "%d messages wait for their acknowledgement", ACKS_MAX);
        session_fail(sub->session, CLOSE_TOO_LARGE, NULL, err.problem->code, err.message);
        return;
    }
    if (acks->count == acks->room) {
        acks->room = acks->room ? acks->room * 2 : 16;
        acks->waiting = mem_grow(acks->waiting, acks->room, sizeof *acks->waiting);
    }
    acks->waiting[acks->count++] = (struct waiting_ack){++acks->given, seq};
    (void)snprintf(number, sizeof number, "%s/%lld", sub->shape->id, (long long)acks->given);
    build(hub, sub, number, number, body);
    session_write(sub->session, &hub->scratch);
}

void sub_write(struct hub_sub *sub, uint64_t serial, int64_t rev, size_t part, int64_t seq, const struct str *body)
{
    struct hub_session *session = sub->session;
    struct hub *hub = session->hub;
    struct shape *shape = sub->shape;
    if (!session->connection || session->state == SESSION_OVER)
        return;
    if (seq > sub->given_seq)
        sub->given_seq = seq;
    metric_add(hub->m_delivered, 1);
    if (sub->acks) {
        write_acked(hub, sub, seq, body);
        return;
    }
    if (seq > sub->seen_seq)
        sub->seen_seq = seq;
    if (!serial || shape->serial != serial || !shape->frame) {
        char message_id[UUID_TEXT_BYTES + 48];
        (void)snprintf(message_id, sizeof message_id, "%s-%lld-%zu", sub->room ? sub->room->id : "u", (long long)rev,
                       part);
        build(hub, sub, message_id, NULL, body);
        ws_frame_release(&shape->frame);
        shape->frame = ws_frame_new((struct view){hub->scratch.bytes, hub->scratch.length}, false);
        shape->serial = serial;
    }
    ws_send(session->connection, shape->frame);
    session->out_s = hub->now_s;
}

void sub_tell(struct hub_sub *sub, const struct str *body)
{
    sub_write(sub, 0, (int64_t)++sub->session->hub->serial, 0, 0, body);
}

void user_tell(struct hub *hub, struct hub_user *user, const struct str *body)
{
    const uint64_t serial = ++hub->serial;
    for (struct hub_session *session = user->sessions; session; session = session->user_next)
        for (struct hub_sub *sub = session->subs; sub; sub = sub->session_next)
            if (sub->target == TO_EVENTS)
                sub_write(sub, serial, (int64_t)serial, 0, 0, body);
}

/* ---- what an event says ---- */

struct told *told_new(struct hub *hub, int64_t rev, int64_t seq, size_t count)
{
    struct told *told = mem_new(1, sizeof *told + count * sizeof told->bodies[0]);
    told->references = 1;
    told->rev = rev;
    told->seq = seq;
    told->count = count;
    told->serial = hub->serial + 1;
    hub->serial += count;
    return told;
}

void told_let_go(struct told **told)
{
    if (*told && --(*told)->references == 0) {
        for (size_t i = 0; i < (*told)->count; i++)
            str_free(&(*told)->bodies[i]);
        free(*told);
    }
    *told = NULL;
}

/* {"type":..., and the members of the message. */
void told_message(struct str *body, const char *type, const char *message)
{
    json_open(body, NULL, '{');
    json_text(body, "type", type);
    if (message[0] == '{' && message[1] != '}') {
        str_add_char(body, ',');
        str_add(body, message + 1);
    } else {
        json_close(body, '}');
    }
}

static void put_ids(struct str *body, const char *name, const struct texts *ids)
{
    json_open(body, name, '[');
    for (size_t i = 0; i < ids->count; i++)
        json_text(body, NULL, ids->items[i]);
    json_close(body, ']');
}

static void put_room_event(struct str *body, const char *type, const struct chat_event *event)
{
    json_open(body, NULL, '{');
    json_text(body, "type", type);
    json_text(body, "room_id", event->room_id);
    json_i64(body, "rev", event->rev);
    if (event->user_ids.count)
        put_ids(body, "user_ids", &event->user_ids);
    json_text(body, "by", event->by);
    if (event->manager)
        json_text(body, "manager", event->manager);
    if (event->room)
        json_raw(body, "room", event->room);
    json_text(body, "at", event->at);
    json_close(body, '}');
}

static void put_reaction(struct str *body, const struct chat_event *event)
{
    json_open(body, NULL, '{');
    json_text(body, "type", "reaction");
    json_text(body, "user_id", event->by);
    json_text(body, "emoji", event->emoji);
    json_bool(body, "added", event->added);
    str_add_char(body, ',');
    str_add(body, event->message[0] == '{' ? event->message + 1 : "}");
}

static void put_read(struct str *body, const struct chat_event *event, const struct read_move *read)
{
    json_open(body, NULL, '{');
    json_text(body, "type", "read");
    json_text(body, "room_id", event->room_id);
    json_i64(body, "rev", event->rev);
    json_text(body, "user_id", read->user_id);
    json_i64(body, "from", read->from);
    json_i64(body, "to", read->to);
    json_close(body, '}');
}

static struct told *tell(struct hub *hub, const struct chat_event *event)
{
    struct told *told = told_new(hub, event->rev, event->kind == EVENT_MESSAGE ? event->seq : 0,
                                 event->kind == EVENT_READ ? event->read_count : 1);
    struct str *body = told->count ? &told->bodies[0] : NULL;
    switch (event->kind) {
    case EVENT_MESSAGE:
    case EVENT_EDITED:
    case EVENT_DELETED:
        told_message(body, event_kind_name(event->kind), event->message ? event->message : "{}");
        break;
    case EVENT_REACTION:
        put_reaction(body, event);
        break;
    case EVENT_READ:
        for (size_t i = 0; i < event->read_count; i++)
            put_read(&told->bodies[i], event, &event->reads[i]);
        break;
    default:
        put_room_event(body, event_kind_name(event->kind), event);
    }
    return told;
}

/* ---- to the subscriptions of the room ---- */

static void keep_for_later(struct hub_sub *sub, struct told *told)
{
    if (sub->again)
        return;
    if (sub->kept_count == KEPT_EVENTS_MAX) { /* too many came: it catches up once more when it is loaded */
        for (size_t i = 0; i < sub->kept_count; i++)
            told_let_go(&sub->kept[i]);
        sub->kept_count = 0;
        sub->again = true;
        return;
    }
    if ((sub->kept_count & (sub->kept_count - 1)) == 0)
        sub->kept = mem_grow(sub->kept, sub->kept_count ? (size_t)sub->kept_count * 2 : 1, sizeof *sub->kept);
    told->references++;
    sub->kept[sub->kept_count++] = told;
}

void sub_give(struct hub_sub *sub, const struct told *given)
{
    struct told *told = (struct told *)(uintptr_t)given; /* only its references change */
    if (sub->loading) {
        keep_for_later(sub, told);
        return;
    }
    if (told->rev <= sub->rev)
        return; /* a double */
    if (told->rev != sub->rev + 1) {
        metric_add(sub->session->hub->m_gaps, 1);
        sub_reload(sub);
        keep_for_later(sub, told);
        return;
    }
    sub->rev = told->rev;
    for (size_t i = 0; i < told->count; i++)
        sub_write(sub, told->serial + i, told->rev, i, told->seq, &told->bodies[i]);
    if (told->seq && !sub->acks)
        mark_later(sub);
}

void fan_body(struct hub *hub, struct hub_room *room, const struct str *body, const struct hub_session *but)
{
    const uint64_t serial = ++hub->serial;
    for (struct hub_sub *sub = room->subs; sub; sub = sub->room_next)
        if (sub->session != but && !sub->loading && !sub->acks)
            sub_write(sub, serial, (int64_t)serial, 0, 0, body);
}

/* ---- who is in the room ---- */

static struct hub_user *known_user(struct hub *hub, const char *id)
{
    struct uuid uuid;
    return uuid_parse(id, &uuid) ? (struct hub_user *)(void *)id_map_get(&hub->users, &uuid) : NULL;
}

static void they_joined(struct hub *hub, const struct chat_event *event)
{
    for (size_t i = 0; i < event->user_ids.count; i++) {
        struct hub_user *user = known_user(hub, event->user_ids.items[i]);
        if (!user)
            continue;
        user->stale = user->stale || user->state == USER_LOADING;
        if (!user->event_subs)
            continue;
        if (user->state == USER_LOADED)
            seat_add(hub, user, room_get(hub, event->room_id, true), event->rev);
        AUTO_STR body = {0};
        put_room_event(&body, event_kind_name(event->kind), event);
        user_tell(hub, user, &body);
    }
}

static void they_left(struct hub *hub, const struct chat_event *event)
{
    for (size_t i = 0; i < event->user_ids.count; i++) {
        struct hub_user *user = known_user(hub, event->user_ids.items[i]);
        struct hub_room *room = room_get(hub, event->room_id, false);
        if (!user)
            continue;
        const struct hub_member *seat = room ? seat_find(user, room) : NULL;
        if (seat && seat->rev > event->rev)
            continue; /* and came back since: this one comes a second time, or late */
        user->stale = user->stale || user->state == USER_LOADING;
        for (struct hub_sub *sub = room ? room->subs : NULL, *next; sub; sub = next) {
            next = sub->room_next;
            const bool last = !next; /* the room may go with its last subscription */
            if (sub->session->user == user && sub->rev <= event->rev)
                sub_leave(sub);
            if (last)
                break;
        }
        room = room_get(hub, event->room_id, false);
        if (room)
            seat_remove(hub, user, room);
        AUTO_STR body = {0};
        put_room_event(&body, "left", event);
        user_tell(hub, user, &body);
    }
}

static bool reads_live(const struct hub_user *user, const struct hub_room *room)
{
    for (const struct hub_session *session = user->sessions; session; session = session->user_next)
        for (const struct hub_sub *sub = session->subs; sub; sub = sub->session_next)
            if (sub->room == room && !sub->manual && !sub->acks)
                return true;
    return false;
}

/* Their unread moves at a message: up, but for its sender, whose mark goes with it. Where a socket has the room open,
 * the mark that it moves will tell. */
static void count_message(const struct chat_event *event, struct hub_room *room)
{
    for (struct hub_member *member = room->members; member; member = member->room_next) {
        const bool own = event->sender_id && strcmp(event->sender_id, member->user->id) == 0;
        if (own || !reads_live(member->user, room))
            unread_later(member);
    }
}

static void count_reads(struct hub *hub, const struct chat_event *event, struct hub_room *room)
{
    for (size_t i = 0; i < event->read_count; i++) {
        struct hub_user *user = known_user(hub, event->reads[i].user_id);
        struct hub_member *member = user ? seat_find(user, room) : NULL;
        if (member)
            unread_later(member);
    }
}

static void tell_members(struct hub *hub, const struct chat_event *event, struct hub_room *room)
{
    AUTO_STR body = {0};
    put_room_event(&body, "room", event);
    for (struct hub_member *member = room->members; member; member = member->room_next)
        user_tell(hub, member->user, &body);
}

static void change_members(struct hub *hub, const struct chat_event *event)
{
    struct hub_room *room = room_get(hub, event->room_id, false);
    if (event->kind == EVENT_CREATED || event->kind == EVENT_JOINED)
        they_joined(hub, event);
    else if (event->kind == EVENT_LEFT)
        they_left(hub, event);
    else if (room && event->kind == EVENT_ROOM)
        tell_members(hub, event, room);
    else
        return;
    room = room_get(hub, event->room_id, false); /* it may have come or gone with them */
    if (room)
        room->members_rev = event->rev;
}

void fan_event(struct hub *hub, struct chat_event *event)
{
    metric_add(hub->m_events, 1);
    struct hub_room *room = room_get(hub, event->room_id, false);
    if (room && room->subs) {
        struct told *told = tell(hub, event);
        for (struct hub_sub *sub = room->subs; sub; sub = sub->room_next)
            sub_give(sub, told);
        told_let_go(&told);
    }
    if (room && event->kind == EVENT_MESSAGE)
        count_message(event, room);
    else if (room && event->kind == EVENT_READ)
        count_reads(hub, event, room);
    else if (!room || event->rev > room->members_rev) /* an owner's last batch may come again, hours later */
        change_members(hub, event);
}
