#include "live.h"

#include "front.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

/* Together, with the way through the owner, below a second: so long may two devices of one user disagree. The first
 * change after a silence is told at once. */
enum { MARK_EVERY_MS = 600, UNREAD_EVERY_MS = 250, UNREAD_PAIRS_MAX = 2000, UNREAD_JOBS_MAX = 2, MARKS_AT_ONCE = 500 };

/* ---- what was delivered is read: one record per room and MARK_EVERY_MS for all its members here ---- */

static bool wants_mark(const struct hub_sub *sub)
{
    return !sub->manual && sub->seen_seq > sub->marked_seq;
}

void mark_later(struct hub_sub *sub)
{
    struct hub_room *room = sub->room;
    struct hub *hub = sub->session->hub;
    if (room->mark_dirty || room_kind_is_open(room->kind) || !wants_mark(sub))
        return;
    room->mark_dirty = true;
    room->mark_next = hub->mark_rooms;
    hub->mark_rooms = room;
}

static bool send_marks(struct hub *hub, const struct hub_room *room, struct mark *marks, size_t count)
{
    struct err err = {0};
    const struct command command = {.kind = COMMAND_READ, .room_id = room->id, .marks = marks, .mark_count = count};
    if (!front_send_live(hub->app, &command, NULL, NULL, &err)) {
        log_err("marks_not_sent", &err);
        return false;
    }
    metric_add(hub->m_marks, (int64_t)count);
    return true;
}

void mark_now(struct hub_sub *sub)
{
    const struct hub_session *session = sub->session;
    struct mark mark = {session->user->id, sub->seen_seq};
    if (wants_mark(sub) && !room_kind_is_open(sub->room->kind) && send_marks(session->hub, sub->room, &mark, 1))
        sub->marked_seq = sub->seen_seq;
}

void mark_ends(struct hub_sub *sub)
{
    struct hub_user *user = sub->session->user;
    const bool counted_on = !sub->manual && !sub->acks && (sub->loading || wants_mark(sub));
    struct hub_member *member = user && counted_on ? seat_find(user, sub->room) : NULL;
    if (member)
        unread_later(member);
}

struct marking {
    struct mark marks[MARKS_AT_ONCE];
    struct hub_sub *subs[MARKS_AT_ONCE];
    size_t count;
};

/* False: Kafka's queue is full; they stay for the next time. */
static bool flush_marks(struct hub *hub, const struct hub_room *room, struct marking *marking)
{
    if (marking->count && !send_marks(hub, room, marking->marks, marking->count))
        return false;
    for (size_t i = 0; i < marking->count; i++)
        marking->subs[i]->marked_seq = marking->marks[i].seq;
    marking->count = 0;
    return true;
}

static bool mark_room(struct hub *hub, struct hub_room *room)
{
    struct marking marking;
    marking.count = 0;
    for (struct hub_sub *sub = room->subs; sub; sub = sub->room_next) {
        if (!wants_mark(sub))
            continue;
        marking.marks[marking.count] = (struct mark){sub->session->user->id, sub->seen_seq};
        marking.subs[marking.count++] = sub;
        if (marking.count == MARKS_AT_ONCE && !flush_marks(hub, room, &marking))
            return false;
    }
    return flush_marks(hub, room, &marking);
}

void marks_tick(struct hub *hub, int64_t now_ms)
{
    struct hub_room *rooms = hub->mark_rooms;
    hub->mark_rooms = NULL;
    while (rooms) {
        struct hub_room *room = rooms;
        rooms = room->mark_next;
        if (now_ms - room->marked_ms >= MARK_EVERY_MS && mark_room(hub, room)) {
            room->mark_dirty = false;
            room->marked_ms = now_ms;
            room_rest(hub, room);
        } else {
            room->mark_next = hub->mark_rooms;
            hub->mark_rooms = room;
        }
    }
}

/* ---- unread: one query for all whose numbers may have moved, a user once in UNREAD_EVERY_MS ---- */

struct unread_job {
    struct desk_job job;
    struct hub *hub;
    struct arena *arena;
    struct err err;
    bool good;
    size_t count;
    const char **user_ids, **room_ids;
    struct unread_row *rows;
};

void unread_later(struct hub_member *member)
{
    struct hub_user *user = member->user;
    member->unread_dirty = true;
    if (user->unread_listed || !user->sessions)
        return;
    struct hub *hub = user->sessions->hub;
    user->unread_listed = true;
    user->unread_next = hub->unread_users;
    hub->unread_users = user;
}

static void run_unread(void *app, struct desk_job *job)
{
    struct hub *hub = app;
    struct unread_job *unread = (struct unread_job *)(void *)job;
    unread->good = store_unread_of(hub->app->db, unread->arena, unread->user_ids, unread->room_ids, unread->count,
                                   &unread->rows, &unread->err);
}

static struct hub_user *user_of(struct hub *hub, const char *id)
{
    struct uuid uuid;
    return uuid_parse(id, &uuid) ? (struct hub_user *)(void *)id_map_get(&hub->users, &uuid) : NULL;
}

static void dirty_again(struct hub *hub, struct hub_user *user, const char *room_id)
{
    struct hub_room *room = room_get(hub, room_id, false);
    struct hub_member *member = room ? seat_find(user, room) : NULL;
    if (member)
        unread_later(member);
}

/* Rows of one user stand together. */
static void done_unread(void *app, struct desk_job *job, bool alive)
{
    struct hub *hub = app;
    struct unread_job *unread = (struct unread_job *)(void *)job;
    if (alive) {
        hub->unread_jobs--;
        if (!unread->good)
            log_err("unread_not_read", &unread->err);
        for (size_t i = 0, end; i < unread->count; i = end) {
            struct hub_user *user = user_of(hub, unread->user_ids[i]);
            AUTO_STR body = {0};
            json_open(&body, NULL, '{');
            json_text(&body, "type", "unread");
            json_open(&body, "rooms", '{');
            for (end = i; end < unread->count && strcmp(unread->user_ids[end], unread->user_ids[i]) == 0; end++) {
                if (unread->good)
                    json_i64(&body, unread->rows[end].room_id, unread->rows[end].unread);
                else if (user)
                    dirty_again(hub, user, unread->room_ids[end]);
            }
            json_close(&body, '}');
            json_close(&body, '}');
            if (!user)
                continue;
            user->unread_asking = false;
            if (unread->good)
                user_tell(hub, user, &body);
            user_rest(hub, user); /* its last socket may have gone meanwhile */
        }
    }
    arena_release(&unread->arena);
    free(unread);
}

static void take_dirty(struct unread_job *unread, struct hub_user *user)
{
    for (struct hub_member *member = user->members; member && unread->count < UNREAD_PAIRS_MAX;
         member = member->user_next) {
        if (!member->unread_dirty)
            continue;
        member->unread_dirty = false;
        unread->user_ids[unread->count] = arena_text(unread->arena, user->id);
        unread->room_ids[unread->count++] = arena_text(unread->arena, member->room->id);
    }
}

static bool any_dirty(const struct hub_user *user)
{
    for (const struct hub_member *member = user->members; member; member = member->user_next)
        if (member->unread_dirty)
            return true;
    return false;
}

static struct unread_job *unread_new(struct hub *hub)
{
    struct unread_job *unread = MEM_NEW(unread_job);
    unread->job.run = run_unread;
    unread->job.done = done_unread;
    unread->hub = hub;
    unread->arena = arena_open((size_t)16 << 20);
    unread->user_ids = arena_alloc(unread->arena, UNREAD_PAIRS_MAX * sizeof(char *));
    unread->room_ids = arena_alloc(unread->arena, UNREAD_PAIRS_MAX * sizeof(char *));
    return unread;
}

void unread_tick(struct hub *hub, int64_t now_ms)
{
    struct unread_job *unread = NULL;
    struct hub_user *users = hub->unread_users;
    hub->unread_users = NULL;
    while (users) {
        struct hub_user *user = users;
        users = user->unread_next;
        if (!unread && hub->unread_jobs < UNREAD_JOBS_MAX)
            unread = unread_new(hub);
        if (unread && !user->unread_asking && now_ms - user->unread_told_ms >= UNREAD_EVERY_MS &&
            unread->count < UNREAD_PAIRS_MAX) {
            const size_t before = unread->count;
            take_dirty(unread, user);
            user->unread_asking = unread->count > before;
            user->unread_told_ms = now_ms;
        }
        user->unread_listed = any_dirty(user);
        if (user->unread_listed) {
            user->unread_next = hub->unread_users;
            hub->unread_users = user;
        } else {
            user_rest(hub, user);
        }
    }
    if (!unread)
        return;
    if (unread->count && desk_ask(hub->desk, &unread->job)) {
        hub->unread_jobs++;
        return;
    }
    unread->good = false;
    hub->unread_jobs++;
    if (unread->count)
        err_set(&unread->err, &ERR_OVERLOADED, "the desk is full");
    done_unread(hub, &unread->job, true); /* all stay dirty */
}
