#include "room.h"

#include "clock.h"
#include "problems.h"
#include "room_act.h"

/* ---- telling ---- */

static const char *time_text(struct act *act)
{
    char text[CLOCK_TEXT_BYTES];
    clock_format(act->at_ms, text);
    return arena_text(act->scene->arena, text);
}

static struct scene_event *add_event(struct act *act, enum event_kind kind)
{
    struct scene_event *entry = SCENE_ADD(act->scene, act->scene->events);
    *entry = (struct scene_event){
        .source = act->source,
        .room = act->room,
        .event = {.kind = kind,
                  .room_id = act->command->room_id,
                  .at = time_text(act),
                  .by = act->asker ? act->asker->id : NULL},
    };
    if (act->room) {
        entry->event.room_kind = room_kind_name(act->room->shown.kind);
        entry->event.last_seq = act->room->shown.last_seq;
    }
    return entry;
}

struct chat_event *act_tell(struct act *act, enum event_kind kind, bool answers)
{
    struct scene_event *entry = add_event(act, kind);
    entry->answers = answers;
    entry->event.rev = ++act->room->rev;
    act->room->changed = true;
    return &entry->event;
}

struct chat_event *act_answer(struct act *act)
{
    struct scene_event *entry = add_event(act, EVENT_VERDICT);
    entry->answers = true;
    entry->event.status = 200;
    return &entry->event;
}

static bool answer_with_room(struct act *act)
{
    act_answer(act)->room = scene_room_json(act->scene, act->room);
    return true;
}

static void tell_room(struct act *act, struct chat_event *event)
{
    event->room = scene_room_json(act->scene, act->room);
}

struct chat_message *act_new_message(struct act *act, struct message *shown)
{
    struct chat_room *room = act->room;
    shown->room_id = room->shown.id;
    shown->seq = ++room->shown.last_seq;
    shown->rev = room->rev + 1; /* of the event that tells it, the next one */
    if (room->active_ms < act->at_ms)
        room->active_ms = act->at_ms;
    shown->at_ms =
        room->active_ms; /* clocks differ a little: in a room, time never goes backwards (search counts on it) */
    room->changed = true;
    return scene_add_message(act->scene, shown);
}

/* ---- system lines ---- */

static const char *line_content(struct act *act, const char *type, const char *const *user_ids, size_t count)
{
    AUTO_STR out;
    str_init(&out);
    json_open(&out, NULL, '{');
    json_text(&out, "type", type);
    json_open(&out, "user_ids", '[');
    for (size_t i = 0; i < count; i++)
        json_text(&out, NULL, user_ids[i]);
    json_close(&out, ']');
    json_open(&out, "nicknames", '[');
    for (size_t i = 0; i < count; i++) {
        const struct chat_person *person = scene_person(act->scene, user_ids[i]);
        json_text(&out, NULL, person ? person->nickname : "");
    }
    json_close(&out, ']');
    if (act->asker) {
        json_text(&out, "by", act->asker->id);
        json_text(&out, "by_nickname", act->asker->nickname);
    }
    json_close(&out, '}');
    return arena_bytes(act->scene->arena, out.bytes, out.length);
}

void act_line(struct act *act, const char *type, const char *const *user_ids, size_t count)
{
    struct message shown = {
        .id = act->command->id, /* a command makes one line at most */
        .kind = "system",
        .content = line_content(act, type, user_ids, count),
    };
    const struct chat_message *message = act_new_message(act, &shown);
    struct chat_event *event = act_tell(act, EVENT_MESSAGE, false);
    event->by = NULL;
    event->seq = message->shown.seq;
    event->message = scene_message_json(act->scene, act->room, message);
}

/* ---- seats ---- */

static void sit_down(struct act *act, const char *user_id, bool manager)
{
    const struct chat_person *person = scene_person(act->scene, user_id);
    struct seat *seat = scene_add_seat(act->scene, act->room, user_id);
    *seat = (struct seat){
        .user_id = user_id,
        .locale = person ? person->locale : "",
        .withdrawn = person && person->withdrawn,
        .manager = manager,
        .joined_ms = act->at_ms,
        .read_seq = act->room->shown.last_seq, /* what was said before counts as read */
        .here = true,
        .stored = seat->stored,
        .fresh = true,
    };
    act->room->shown.member_count++;
}

/* The one who has been here longest. */
static struct seat *next_manager(const struct chat_room *room)
{
    struct seat *first = NULL;
    for (size_t i = 0; i < room->seat_count; i++) {
        struct seat *seat = &room->seats[i];
        if (seat->here && (!first || seat->joined_ms < first->joined_ms ||
                           (seat->joined_ms == first->joined_ms && strcmp(seat->user_id, first->user_id) < 0)))
            first = seat;
    }
    return first;
}

/* Tells it, lets the manager's role pass on, and writes the line. */
static void stand_up(struct act *act, struct seat *seat, const char *line)
{
    struct chat_room *room = act->room;
    const char **user_ids = arena_alloc(act->scene->arena, sizeof *user_ids);
    user_ids[0] = seat->user_id;
    seat->here = false;
    room->shown.member_count--;
    struct seat *manager = seat->manager ? next_manager(room) : NULL;
    if (manager)
        manager->manager = manager->changed = true;
    struct chat_event *event = act_tell(act, EVENT_LEFT, true);
    event->user_ids = (struct texts){user_ids, 1};
    event->manager = manager ? manager->user_id : NULL;
    if (room->shown.member_count > 0) {
        tell_room(act, event);
        act_line(act, line, user_ids, 1);
        return;
    }
    if (room->shown.kind == ROOM_GROUP) { /* nobody can ever come back */
        room->emptied = room->shown.closed = true;
        room->closed_ms = act->at_ms;
    }
    tell_room(act, event);
}

/* ---- creating ---- */

/* May the asker be with this person in a room? */
static bool may_meet(struct act *act, const char *user_id)
{
    const struct scene *scene = act->scene;
    const struct chat_person *person = scene_person(scene, user_id);
    if (!person || !person->is_user)
        return err_set(act->err, &ERR_NOT_FOUND, "There is nobody with the id %.40s", user_id);
    if (!act->asker)
        return true;
    if (scene_block_between(scene, act->asker->id, user_id))
        return err_set(act->err, &ERR_BLOCKED, "One of you blocks the other");
    if (scene->friends_only && !scene_are_friends(scene, act->asker->id, user_id))
        return err_set(act->err, &ERR_NOT_FRIENDS, "You are no friends: %.40s", user_id);
    return true;
}

/* Those named who are not `me` and not members yet, each once. */
static struct texts newcomers(struct act *act, const char *me)
{
    const struct texts *named = &act->command->user_ids;
    struct texts out = {arena_alloc(act->scene->arena, (named->count + 1) * sizeof(char *)), 0};
    for (size_t i = 0; i < named->count; i++) {
        const char *id = named->items[i];
        bool skip = (me && strcmp(me, id) == 0) || (act->room && scene_seat(act->room, id));
        for (size_t j = 0; j < out.count && !skip; j++)
            skip = strcmp(out.items[j], id) == 0;
        if (!skip)
            out.items[out.count++] = id;
    }
    return out;
}

static bool may_gather(struct act *act, enum room_kind kind, const struct texts *others)
{
    const size_t all = others->count + (act->asker ? 1 : 0);
    if (kind == ROOM_DM && act->asker && others->count == 0)
        return err_set(act->err, &ERR_SELF, "A direct room is with somebody else");
    if (kind == ROOM_DM && (!act->asker || others->count != 1))
        return err_set(act->err, &ERR_BAD_INPUT, "A direct room has two members");
    if (kind == ROOM_GROUP && all < GROUP_MEMBERS_MIN)
        return err_set(act->err, &ERR_BAD_INPUT, "A group has %d members at least", GROUP_MEMBERS_MIN);
    if (all > GROUP_MEMBERS_MAX)
        return err_set(act->err, &ERR_BAD_INPUT, "A room has at most %d members", GROUP_MEMBERS_MAX);
    if (act->asker && kind != ROOM_DM && kind != ROOM_GROUP)
        return err_set(act->err, &ERR_FORBIDDEN, "Such rooms are made by the server");
    for (size_t i = 0; i < others->count; i++)
        if (!may_meet(act, others->items[i]))
            return false;
    return true;
}

/* A room that is there already: the same creator asked again, or a member of a direct room brings it back. */
static bool found_again(struct act *act)
{
    struct chat_room *room = act->room;
    const struct command *command = act->command;
    if (room->shown.kind == ROOM_DM && act->seat) {
        if (act->seat->hidden) {
            act->seat->hidden = false;
            act->seat->changed = room->changed = true;
        }
        return answer_with_room(act);
    }
    const bool same_maker =
        command->user_id ? room->created_by && strcmp(room->created_by, command->user_id) == 0 : !room->created_by;
    if (!same_maker || strcmp(room_kind_name(room->shown.kind), command->room_kind) != 0)
        return err_set(act->err, &ERR_CONFLICT, "There is another room with this id");
    return answer_with_room(act);
}

static bool create(struct act *act)
{
    const struct command *command = act->command;
    enum room_kind kind;
    if (!room_kind_parse(command->room_kind, &kind))
        return err_set(act->err, &ERR_BAD_INPUT, "This kind of room is not known");
    if (act->room)
        return found_again(act);
    const struct texts others = room_kind_is_open(kind) ? (struct texts){0} : newcomers(act, command->user_id);
    if (!may_gather(act, kind, &others))
        return false;
    struct chat_room *room = act->room = scene_add_room(act->scene, command->room_id);
    room->shown.kind = kind;
    room->shown.title = kind != ROOM_DM && command->title ? command->title : "";
    room->shown.created_ms = room->active_ms = act->at_ms;
    room->created_by = command->user_id;
    if (command->user_id)
        sit_down(act, command->user_id, kind == ROOM_GROUP);
    for (size_t i = 0; i < others.count; i++)
        sit_down(act, others.items[i], false);
    struct texts all = {arena_alloc(act->scene->arena, (room->seat_count + 1) * sizeof(char *)), 0};
    for (size_t i = 0; i < room->seat_count; i++)
        all.items[all.count++] = room->seats[i].user_id;
    struct chat_event *event = act_tell(act, EVENT_CREATED, true);
    event->user_ids = all;
    tell_room(act, event);
    return true;
}

/* ---- members ---- */

/* Whose members do people change themselves? Meetups belong to meet-svc, which speaks as the server. */
static bool members_may_change(struct act *act)
{
    if (act->room->shown.kind == ROOM_DM)
        return err_set(act->err, &ERR_DM_FULL, "A direct room has two members");
    if (act->room->shown.kind == ROOM_MEETUP && act->asker)
        return err_set(act->err, &ERR_FORBIDDEN, "The members of a meetup are those who take part");
    return true;
}

static bool add(struct act *act)
{
    struct chat_room *room = act->room;
    if (!members_may_change(act))
        return false;
    const struct texts fresh = newcomers(act, NULL);
    if (fresh.count == 0)
        return answer_with_room(act);
    if ((size_t)room->shown.member_count + fresh.count > GROUP_MEMBERS_MAX)
        return err_set(act->err, &ERR_ROOM_FULL, "A room has at most %d members", GROUP_MEMBERS_MAX);
    for (size_t i = 0; i < fresh.count; i++)
        if (!may_meet(act, fresh.items[i]))
            return false;
    for (size_t i = 0; i < fresh.count; i++)
        sit_down(act, fresh.items[i], false);
    struct chat_event *event = act_tell(act, EVENT_JOINED, true);
    event->user_ids = fresh;
    tell_room(act, event);
    act_line(act, "joined", fresh.items, fresh.count);
    return true;
}

static bool leave(struct act *act)
{
    if (act->room->shown.kind == ROOM_DM) {
        if (!act->seat->hidden)
            act->seat->hidden = act->seat->changed = act->room->changed = true;
        return answer_with_room(act);
    }
    if (!members_may_change(act))
        return false;
    stand_up(act, act->seat, "left");
    return true;
}

static bool remove_member(struct act *act)
{
    if (act->asker && strcmp(act->asker->id, act->command->target) == 0)
        return leave(act);
    if (!members_may_change(act))
        return false;
    if (act->seat && !act->seat->manager)
        return err_set(act->err, &ERR_NOT_MANAGER, "Only the manager removes members");
    struct seat *seat = scene_seat(act->room, act->command->target);
    if (!seat)
        return err_set(act->err, &ERR_NOT_FOUND, "This person is no member");
    stand_up(act, seat, act->asker ? "removed" : "left");
    return true;
}

/* ---- the room itself ---- */

static bool change_title(struct act *act)
{
    struct chat_room *room = act->room;
    if (act->seat && !act->seat->manager)
        return err_set(act->err, &ERR_NOT_MANAGER, "Only the manager changes the title");
    if (strcmp(room->shown.title, act->command->title) == 0)
        return answer_with_room(act);
    room->shown.title = act->command->title;
    tell_room(act, act_tell(act, EVENT_ROOM, true));
    return true;
}

static bool close_room(struct act *act)
{
    struct chat_room *room = act->room;
    if (room->shown.closed)
        return answer_with_room(act);
    room->shown.closed = true;
    room->closed_ms = act->at_ms;
    tell_room(act, act_tell(act, EVENT_ROOM, true));
    return true;
}

/* ---- marks ---- */

static struct read_move *add_move(struct chat_event *event, const char *user_id, int64_t from, int64_t to)
{
    struct read_move *move = &event->reads[event->read_count++];
    *move = (struct read_move){user_id, from, to};
    return move;
}

/* A mark never goes back and never beyond the newest message; who is no member has none. */
static bool read_marks(struct act *act)
{
    const struct command *command = act->command;
    struct chat_room *room = act->room;
    struct chat_event moved = {.reads = arena_alloc(act->scene->arena, command->mark_count * sizeof *moved.reads)};
    if (act->asker && (command->mark_count != 1 || strcmp(command->marks[0].user_id, act->asker->id) != 0))
        return err_set(act->err, &ERR_FORBIDDEN, "A mark is one's own");
    for (size_t i = 0; i < command->mark_count; i++) {
        const struct mark *mark = &command->marks[i];
        const int64_t to = mark->seq < room->shown.last_seq ? mark->seq : room->shown.last_seq;
        struct seat *seat = scene_seat(room, mark->user_id);
        if (!seat || to <= seat->read_seq)
            continue;
        add_move(&moved, seat->user_id, seat->read_seq, to);
        seat->read_seq = to;
        seat->changed = true;
    }
    if (moved.read_count == 0 && act->seat)
        add_move(&moved, act->seat->user_id, act->seat->read_seq, act->seat->read_seq);
    const bool any = moved.read_count > 0 && moved.reads[0].from != moved.reads[0].to;
    struct chat_event *event = any ? act_tell(act, EVENT_READ, true) : act_answer(act);
    event->reads = moved.reads;
    event->read_count = moved.read_count;
    return true;
}

/* ---- who may come in at all ---- */

enum {
    MAKES = 1,  /* the room may be missing */
    OPEN = 2,   /* also in rooms for everybody */
    CLOSED = 4, /* also in closed rooms */
    SERVER_ONLY = 8,
};

static const struct rule {
    bool (*apply)(struct act *act);
    unsigned where;
} RULES[COMMANDS] = {
    [COMMAND_CREATE] = {create, MAKES | OPEN | CLOSED},
    [COMMAND_ADD] = {add, 0},
    [COMMAND_REMOVE] = {remove_member, CLOSED},
    [COMMAND_LEAVE] = {leave, CLOSED},
    [COMMAND_TITLE] = {change_title, 0},
    [COMMAND_SEND] = {act_send, OPEN},
    [COMMAND_EDIT] = {act_edit, OPEN},
    [COMMAND_DELETE] = {act_delete, OPEN | CLOSED},
    [COMMAND_REACT] = {act_react, OPEN},
    [COMMAND_UNREACT] = {act_unreact, OPEN},
    [COMMAND_READ] = {read_marks, CLOSED},
    [COMMAND_CLOSE] = {close_room, OPEN | CLOSED | SERVER_ONLY},
};

static bool asker_is_user(struct act *act)
{
    act->asker = scene_person(act->scene, act->command->user_id);
    if (!act->asker)
        return err_set(act->err, &ERR_NOT_YET, "Your account is not known here yet");
    return act->asker->is_user || err_set(act->err, &ERR_FORBIDDEN, "Complete your account first");
}

static bool may_come_in(struct act *act, unsigned where)
{
    const bool open = act->room && room_kind_is_open(act->room->shown.kind);
    const char *asker_id = act->command->user_id;
    if (asker_id && (where & SERVER_ONLY))
        return err_set(act->err, &ERR_FORBIDDEN, "Only the server does this");
    if (asker_id && !asker_is_user(act))
        return false;
    act->seat = asker_id && act->room ? scene_seat(act->room, asker_id) : NULL;
    if (where & MAKES)
        return true;
    if (!act->room || (asker_id && !open && !act->seat))
        return err_set(act->err, &ERR_NOT_FOUND, "There is no such room");
    if (open && !(where & OPEN))
        return err_set(act->err, &ERR_NOT_FOR_OPEN_ROOM, "Rooms for everybody have no members or marks");
    if (act->room->shown.closed && !(where & CLOSED))
        return err_set(act->err, &ERR_ROOM_CLOSED, "The room is closed");
    return true;
}

bool room_apply(struct scene *scene, const struct command *command, int64_t at_ms, size_t source, struct err *err)
{
    const struct rule *rule = &RULES[command->kind];
    struct act act = {
        .scene = scene,
        .command = command,
        .at_ms = at_ms,
        .source = source,
        .room = scene_room(scene, command->room_id),
        .err = err,
    };
    return may_come_in(&act, rule->where) && rule->apply(&act);
}

void room_refuse(struct scene *scene, const struct command *command, int64_t at_ms, size_t source,
                 const struct err *err)
{
    struct act act = {
        .scene = scene,
        .command = command,
        .at_ms = at_ms,
        .source = source,
        .room = scene_room(scene, command->room_id),
    };
    struct scene_event *entry = add_event(&act, EVENT_VERDICT);
    entry->answers = true;
    entry->event.by = command->user_id;
    entry->event.status = err->problem->status;
    entry->event.retry_after_s = err->retry_after_s;
    entry->event.code = err->problem->code;
    entry->event.detail = *err->message ? arena_text(scene->arena, err->message) : NULL;
}
