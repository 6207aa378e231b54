#include "message.h"
#include "problems.h"
#include "room_act.h"
#include "utf8.h"

/* ---- what all of them ask ---- */

/* In a direct room a block on either side ends what either can do there; so does the other's withdrawal. */
static bool other_side_agrees(struct act *act)
{
    const struct chat_room *room = act->room;
    for (size_t i = 0; act->asker && room->shown.kind == ROOM_DM && i < room->seat_count; i++) {
        const struct seat *other = &room->seats[i];
        if (other == act->seat)
            continue;
        if (scene_block_between(act->scene, act->asker->id, other->user_id))
            return err_set(act->err, &ERR_BLOCKED, "One of you blocks the other");
        if (other->withdrawn)
            return err_set(act->err, &ERR_FORBIDDEN, "The other has left");
    }
    return true;
}

static bool words_fit(struct act *act, const char *content, bool may_be_empty)
{
    if (!*content && !may_be_empty)
        return err_set(act->err, &ERR_BAD_INPUT, "A message says something");
    if (room_kind_is_open(act->room->shown.kind) && utf8_count(content, strlen(content)) > OPEN_CONTENT_MAX)
        return err_set(act->err, &ERR_BAD_INPUT, "In rooms for everybody a message has at most %d characters",
                       OPEN_CONTENT_MAX);
    return true;
}

static struct chat_message *find_message(struct act *act)
{
    struct chat_message *message = scene_message(act->scene, act->room->shown.id, act->command->seq);
    if (!message)
        (void)err_set(act->err, &ERR_NOT_FOUND, "There is no such message");
    return message;
}

static struct chat_message *find_own(struct act *act)
{
    struct chat_message *message = find_message(act);
    const bool own =
        message && act->asker && message->shown.sender_id && strcmp(message->shown.sender_id, act->asker->id) == 0;
    if (message && !own)
        (void)err_set(act->err, &ERR_NOT_YOURS, "This is somebody else's message");
    return own ? message : NULL;
}

static void show(struct act *act, struct chat_event *event, const struct chat_message *message)
{
    event->seq = message->shown.seq;
    event->sender_id = message->shown.sender_id;
    event->message = scene_message_json(act->scene, act->room, message);
}

static bool answer_with_message(struct act *act, const struct chat_message *message)
{
    show(act, act_answer(act), message);
    return true;
}

/* The message as it is now, with the rev of this change. */
static struct chat_event *tell_change(struct act *act, enum event_kind kind, struct chat_message *message)
{
    struct chat_event *event = act_tell(act, kind, true);
    message->shown.rev = event->rev;
    message->changed = true;
    show(act, event, message);
    return event;
}

/* ---- sending ---- */

/* Few enough of this person's messages in the last seconds? Counts this one when so. */
static bool is_slow_enough(struct act *act)
{
    struct recent *recent = scene_recent(act->scene, act->room->shown.id, act->asker->id);
    int kept = 0;
    for (int i = 0; i < recent->count; i++)
        if (recent->at_ms[i] > act->at_ms - OPEN_BURST_MS)
            recent->at_ms[kept++] = recent->at_ms[i];
    recent->count = kept;
    if (kept == OPEN_BURST) {
        const int64_t wait_ms = recent->at_ms[0] + OPEN_BURST_MS - act->at_ms;
        return err_set_retry(act->err, &ERR_RATE_LIMITED, (int)((wait_ms + 999) / 1000),
                             "At most %d messages in %d s here", OPEN_BURST, OPEN_BURST_MS / 1000);
    }
    recent->at_ms[recent->count++] = act->at_ms;
    recent->changed = true;
    return true;
}

static bool file_fits(struct act *act, struct chat_file **file)
{
    const struct command *command = act->command;
    *file = command->file_id ? scene_file(act->scene, command->file_id) : NULL;
    if (message_kind_has_file(command->message_kind) != (command->file_id != NULL))
        return err_set(act->err, &ERR_BAD_INPUT, "Images, videos and files name one, texts none");
    if (!command->file_id)
        return true;
    if (room_kind_is_open(act->room->shown.kind))
        return err_set(act->err, &ERR_NOT_FOR_OPEN_ROOM, "Rooms for everybody have no files");
    if (!*file || strcmp((*file)->room_id, command->room_id) != 0 || strcmp((*file)->user_id, command->user_id) != 0)
        return err_set(act->err, &ERR_BAD_INPUT, "You have put no such file into this room");
    if (!message_kind_takes(command->message_kind, (*file)->type))
        return err_set(act->err, &ERR_BAD_INPUT, "The file is no %s", command->message_kind);
    return !(*file)->used || err_set(act->err, &ERR_CONFLICT, "Another message names this file");
}

static bool may_send(struct act *act, struct chat_file **file)
{
    const struct command *command = act->command;
    if (!act->asker) /* the server's words */
        return strcmp(command->message_kind, "system") == 0 ||
               err_set(act->err, &ERR_BAD_INPUT, "The server speaks in system lines");
    if (!message_kind_is_known(command->message_kind))
        return err_set(act->err, &ERR_BAD_INPUT, "This kind of message is not yours to send");
    if (!other_side_agrees(act) || !words_fit(act, command->content, command->file_id != NULL) || !file_fits(act, file))
        return false;
    if (command->reply_to > act->room->shown.last_seq)
        return err_set(act->err, &ERR_BAD_INPUT, "There is no message to reply to");
    return !room_kind_is_open(act->room->shown.kind) || is_slow_enough(act);
}

/* Who sends has seen the room: the own mark goes to the newest message, before the new one is told. */
static void read_before_sending(struct act *act)
{
    struct seat *seat = act->seat;
    const int64_t last_seq = act->room->shown.last_seq;
    if (seat->read_seq < last_seq) {
        struct chat_event *event = act_tell(act, EVENT_READ, false);
        event->reads = ARENA_NEW(act->scene->arena, read_move);
        event->reads[0] = (struct read_move){seat->user_id, seat->read_seq, last_seq};
        event->read_count = 1;
    }
    seat->read_seq = last_seq + 1;
    seat->changed = true;
}

static void show_again(struct chat_room *room)
{
    for (size_t i = 0; i < room->seat_count; i++)
        if (room->seats[i].hidden) {
            room->seats[i].hidden = false;
            room->seats[i].changed = true;
        }
}

bool act_send(struct act *act)
{
    const struct command *command = act->command;
    const struct chat_message *before =
        act->asker ? scene_sent(act->scene, command->room_id, command->user_id, command->client_id) : NULL;
    struct chat_file *file = NULL;
    if (before)
        return answer_with_message(act, before);
    if (!may_send(act, &file))
        return false;
    if (!act->asker && !scene_say(act->scene, command->message_id)) {
        (void)act_answer(act); /* the server's words come once, however often the command does */
        return true;
    }
    if (file)
        file->used = file->changed = true;
    if (act->seat)
        read_before_sending(act);
    show_again(act->room);
    struct message shown = {
        .id = command->message_id,
        .client_id = command->client_id,
        .sender_id = command->user_id,
        .kind = command->message_kind,
        .content = command->content,
        .file_id = command->file_id,
        .reply_to = command->reply_to,
    };
    struct chat_message *message = act_new_message(act, &shown);
    message->words_changed = true;
    struct chat_event *event = act_tell(act, EVENT_MESSAGE, true);
    show(act, event, message);
    if (act->asker)
        act->scene->events.items[act->scene->events.count - 1].message = message;
    return true;
}

/* ---- changing ---- */

bool act_edit(struct act *act)
{
    const char *content = act->command->content;
    struct chat_message *message = find_own(act);
    if (!message)
        return false;
    if (message->shown.deleted)
        return err_set(act->err, &ERR_MESSAGE_DELETED, "The message was deleted");
    if (!other_side_agrees(act) || !words_fit(act, content, message->shown.file_id != NULL))
        return false;
    if (strcmp(message->shown.content, content) == 0)
        return answer_with_message(act, message);
    if (act->at_ms - message->shown.at_ms > EDIT_HOURS * INT64_C(3600000))
        return err_set(act->err, &ERR_EDIT_TOO_LATE, "Messages can be edited for %d hours", EDIT_HOURS);
    message->shown.content = content;
    message->shown.edited_ms = act->at_ms;
    message->words_changed = true;
    tell_change(act, EVENT_EDITED, message);
    return true;
}

bool act_delete(struct act *act)
{
    struct chat_message *message = find_own(act);
    if (!message)
        return false;
    if (message->shown.deleted)
        return answer_with_message(act, message);
    if (message->shown.file_id)
        *SCENE_ADD(act->scene, act->scene->released_files) = message->shown.file_id;
    message->shown.deleted = true;
    message->deleted_ms = act->at_ms;
    message->shown.content = "";
    message->shown.file_id = NULL;
    message->shown.reactions = "{}";
    message->words_changed = true;
    tell_change(act, EVENT_DELETED, message);
    return true;
}

static bool change_reaction(struct act *act, bool added)
{
    struct scene *scene = act->scene;
    const struct command *command = act->command;
    struct chat_message *message = find_message(act);
    int kinds = 0;
    if (!message)
        return false;
    if (message->shown.deleted)
        return err_set(act->err, &ERR_MESSAGE_DELETED, "The message was deleted");
    if (!other_side_agrees(act))
        return false;
    struct chat_reaction *reaction =
        scene_reaction(scene, command->room_id, command->seq, command->user_id, command->emoji);
    if ((reaction && reaction->here) == added)
        return answer_with_message(act, message);
    const char *counted =
        message_count_reaction(scene->arena, message->shown.reactions, command->emoji, added ? 1 : -1, &kinds);
    if (kinds > EMOJI_KINDS_MAX)
        return err_set(act->err, &ERR_TOO_MANY_REACTIONS, "A message has at most %d kinds of reactions",
                       EMOJI_KINDS_MAX);
    scene_add_reaction(scene, command->room_id, command->seq, command->user_id, command->emoji)->here = added;
    message->shown.reactions = counted;
    struct chat_event *event = tell_change(act, EVENT_REACTION, message);
    event->emoji = command->emoji;
    event->added = added;
    return true;
}

bool act_react(struct act *act)
{
    return change_reaction(act, true);
}

bool act_unreact(struct act *act)
{
    return change_reaction(act, false);
}
