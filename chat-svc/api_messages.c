#include "api.h"

#include "api_common.h"
#include "store_messages.h"

enum { HISTORY_DEFAULT = 50, HISTORY_MAX = 100 };

/* ---- replies ---- */

/* The event's message is the same for every viewer; one's own reactions are added. A message that has just come has
 * none. */
static bool reply_message(struct request *req, struct reply *reply, const struct chat_event *event, int status,
                          struct err *err)
{
    const char *nothing[] = {NULL};
    struct message_view view = {.unread_by = -1, .my_reactions = {nothing, 0}};
    if (!event->message)
        return err_set_internal(err, &ERR_INTERNAL, "a verdict without its message");
    if (event->kind != EVENT_MESSAGE && !store_my_reactions(app_of(req)->db, req->arena, event->room_id, event->seq,
                                                            caller_of(req), &view.my_reactions, err))
        return false;
    reply->status = status;
    codec_message_seen(&reply->body, event->message, &view);
    return true;
}

/* ---- sending ---- */

static bool message_sent(struct request *req, struct reply *reply, const struct message_wish *wish, struct err *err)
{
    struct chat_event event;
    if (req->answer.bytes)
        return change_answered(req, &event, err) && reply_message(req, reply, &event, 201, err);
    /* Kafka has it, the verdict is late: asking again with the same client_id gives the message. */
    reply->status = 202;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "client_id", wish->client_id);
    json_close(&reply->body, '}');
    return true;
}

/* POST /api/chat/rooms/:id/messages {client_id, kind?, content, file_id?, reply_to?} -> 201 the message; the same one
 * for a client_id that came before; 202 {client_id} when no verdict came in time. */
bool message_send(struct request *req, struct reply *reply, struct err *err)
{
    struct message_wish wish;
    const char *room_id;
    char message_id[UUID_TEXT_BYTES];
    if (!req->asked && !room_of_path(req, &room_id, err))
        return false;
    if (!JSON_DECODE(req->arena, req->body, MESSAGE_WISH_FIELDS, &wish, err) || !wish_message(req->arena, &wish, err))
        return false;
    if (req->asked)
        return message_sent(req, reply, &wish, err);
    uuid_new(message_id);
    const struct command command = {
        .kind = COMMAND_SEND,
        .room_id = room_id,
        .user_id = caller_of(req),
        .client_id = wish.client_id,
        .message_id = message_id,
        .message_kind = wish.kind,
        .content = wish.content,
        .file_id = wish.file_id,
        .reply_to = wish.reply_to,
    };
    return change_ask(req, &command, err);
}

/* ---- reading ---- */

/* before and after name a message that is not given itself; a cursor goes on in its own direction. */
static bool read_history_wish(struct request *req, struct history_wish *wish, struct err *err)
{
    const char *cursor_text = http_query(req, "cursor");
    const bool has_before = http_query(req, "before") != NULL, has_after = http_query(req, "after") != NULL;
    int64_t before, after;
    if (!http_query_i64(req, "before", INT64_MAX, 1, INT64_MAX, &before, err) ||
        !http_query_i64(req, "after", 0, 0, INT64_MAX, &after, err) ||
        !http_query_i64(req, "limit", HISTORY_DEFAULT, 1, HISTORY_MAX, &wish->limit, err))
        return false;
    if (has_before && has_after)
        return err_add_field(err, "after", "before or after, not both");
    wish->forwards = has_after;
    wish->edge = has_after ? after : before;
    if (!cursor_text)
        return true;
    struct cursor cursor;
    wish->forwards = cursor_read(cursor_text, 'a', CURSOR_US_MAX, &cursor, err);
    if (!wish->forwards) {
        err_clear(err);
        if (!cursor_read(cursor_text, 'b', CURSOR_US_MAX, &cursor, err))
            return false;
    }
    wish->edge = cursor.number;
    return true;
}

/* GET /api/chat/rooms/:id/messages?before=&after=&limit= -> page by sequence: newest first, with after oldest first. */
bool message_list(struct request *req, struct reply *reply, struct err *err)
{
    struct history_wish wish = {.viewer_id = caller_of(req), .room_id = http_param_uuid(req, "id", err)};
    struct seen_message *messages;
    size_t count;
    if (!wish.room_id || !read_history_wish(req, &wish, err))
        return false;
    const size_t limit = (size_t)wish.limit++; /* one more tells that the list goes on */
    if (!store_history(app_of(req)->db, req->arena, &wish, &messages, &count, err))
        return false;
    const size_t shown = count > limit ? limit : count;
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++)
        codec_message(&reply->body, NULL, &messages[i].message, &messages[i].view);
    const struct cursor last = {.kind = wish.forwards ? 'a' : 'b',
                                .number = shown ? messages[shown - 1].message.seq : 0};
    page_close(&reply->body, count > shown ? &last : NULL);
    return true;
}

/* ---- changing ---- */

/* PATCH /api/chat/rooms/:id/messages/:seq {content} -> the message. */
bool message_edit(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    struct edit_wish wish;
    const char *room_id;
    int64_t seq;
    if (req->asked)
        return change_answered(req, &event, err) && reply_message(req, reply, &event, 200, err);
    if (!message_of_path(req, &room_id, &seq, err) || !JSON_DECODE(req->arena, req->body, EDIT_WISH_FIELDS, &wish, err))
        return false;
    const struct command command = {
        .kind = COMMAND_EDIT,
        .room_id = room_id,
        .user_id = caller_of(req),
        .seq = seq,
        .content = wish_content(req->arena, wish.content, false, err),
    };
    return command.content && change_ask(req, &command, err);
}

/* DELETE /api/chat/rooms/:id/messages/:seq -> 204: gone for all. */
bool message_delete(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    const char *room_id;
    int64_t seq;
    if (req->asked)
        return change_answered(req, &event, err) && reply_empty(reply, 204);
    if (!message_of_path(req, &room_id, &seq, err))
        return false;
    const struct command command = {.kind = COMMAND_DELETE, .room_id = room_id, .user_id = caller_of(req), .seq = seq};
    return change_ask(req, &command, err);
}

static bool react(struct request *req, struct reply *reply, enum command_kind kind, struct err *err)
{
    struct chat_event event;
    const char *room_id;
    int64_t seq;
    if (req->asked)
        return change_answered(req, &event, err) && reply_message(req, reply, &event, 200, err);
    if (!message_of_path(req, &room_id, &seq, err))
        return false;
    const struct command command = {
        .kind = kind,
        .room_id = room_id,
        .user_id = caller_of(req),
        .seq = seq,
        .emoji = wish_emoji(req->arena, http_param(req, "emoji"), err),
    };
    return command.emoji && change_ask(req, &command, err);
}

/* PUT /api/chat/rooms/:id/messages/:seq/reactions/:emoji -> the message. */
bool reaction_put(struct request *req, struct reply *reply, struct err *err)
{
    return react(req, reply, COMMAND_REACT, err);
}

/* DELETE /api/chat/rooms/:id/messages/:seq/reactions/:emoji -> the message. */
bool reaction_delete(struct request *req, struct reply *reply, struct err *err)
{
    return react(req, reply, COMMAND_UNREACT, err);
}
