#include "codec.h"

#include "problems.h"
#include "text.h"
#include "utf8.h"

/* ---- messages ---- */

static void sender(struct str *out, const struct message *message)
{
    if (!message->sender_id) {
        json_text(out, "sender", NULL);
        return;
    }
    json_open(out, "sender", '{');
    json_text(out, "id", message->sender_id);
    json_text(out, "nickname", message->nickname ? message->nickname : "");
    json_text(out, "avatar_url", message->avatar_url ? message->avatar_url : "");
    json_close(out, '}');
}

static void message_members(struct str *out, const struct message *message)
{
    json_text(out, "room_id", message->room_id);
    json_i64(out, "seq", message->seq);
    json_i64(out, "rev", message->rev);
    json_text(out, "id", message->id);
    json_text(out, "client_id", message->client_id);
    sender(out, message);
    json_text(out, "kind", message->kind);
    json_text(out, "content", message->deleted ? "" : message->content);
    if (message->file_id && !message->deleted)
        json_text(out, "file_id", message->file_id);
    if (message->reply_to > 0)
        json_i64(out, "reply_to", message->reply_to);
    json_raw(out, "reactions", message->reactions ? message->reactions : "{}");
    if (message->edited_ms > 0)
        json_time(out, "edited_at", message->edited_ms);
    if (message->deleted)
        json_bool(out, "deleted", true);
    json_time(out, "at", message->at_ms);
}

static void view_members(struct str *out, const struct message_view *view)
{
    if (view->unread_by >= 0)
        json_i64(out, "unread_by", view->unread_by);
    if (!view->my_reactions.items)
        return;
    json_open(out, "my_reactions", '[');
    for (size_t i = 0; i < view->my_reactions.count; i++)
        json_text(out, NULL, view->my_reactions.items[i]);
    json_close(out, ']');
}

void codec_message(struct str *out, const char *name, const struct message *message, const struct message_view *view)
{
    json_open(out, name, '{');
    message_members(out, message);
    if (view)
        view_members(out, view);
    json_close(out, '}');
}

void codec_message_seen(struct str *out, const char *shared, const struct message_view *view)
{
    const size_t length = strlen(shared);
    str_add_bytes(out, shared, length > 0 ? length - 1 : 0); /* without its brace */
    view_members(out, view);
    json_close(out, '}');
}

/* ---- rooms ---- */

/* The nicknames of the others; of a DM that is the other one's name. At most TITLE_MAX code points, whole names only
 * (but for the first). */
static void title_of_names(struct str *out, const struct room_view *view)
{
    size_t points = 0;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct person *person = &view->members[i].person;
        if (strcmp(person->id, view->viewer_id) == 0 || !*person->nickname)
            continue;
        const size_t more = utf8_count(person->nickname, strlen(person->nickname)) + 2;
        if (out->length > 0 && points + more > TITLE_MAX) {
            str_add(out, ", …");
            return;
        }
        if (out->length > 0)
            str_add(out, ", ");
        str_add(out, person->nickname);
        points += more;
    }
}

static void room_members(struct str *out, const struct room *room, const char *title)
{
    json_text(out, "id", room->id);
    json_text(out, "kind", room_kind_name(room->kind));
    json_text(out, "title", title);
    json_i64(out, "member_count", room->member_count);
    json_i64(out, "last_seq", room->last_seq);
    json_time(out, "created_at", room->created_ms);
    json_bool(out, "closed", room->closed);
}

void codec_room(struct str *out, const char *name, const struct room *room)
{
    json_open(out, name, '{');
    room_members(out, room, room->title);
    json_close(out, '}');
}

static void listed_members(struct str *out, const struct room_view *view)
{
    json_open(out, "members", '[');
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member *member = &view->members[i];
        json_open(out, NULL, '{');
        json_text(out, "id", member->person.id);
        json_text(out, "nickname", member->person.nickname);
        json_text(out, "avatar_url", member->person.avatar_url);
        json_bool(out, "manager", member->manager);
        json_close(out, '}');
    }
    json_close(out, ']');
}

void codec_room_seen(struct str *out, const char *name, const struct room *room, const struct room_view *view)
{
    AUTO_STR title;
    str_init(&title);
    if (*room->title)
        str_add(&title, room->title);
    else
        title_of_names(&title, view);
    json_open(out, name, '{');
    room_members(out, room, title.length ? title.bytes : "");
    if (!room_kind_is_open(room->kind))
        listed_members(out, view);
    if (view->last_message)
        codec_message(out, "last_message", view->last_message, NULL);
    else
        json_text(out, "last_message", NULL);
    const int64_t unread = room->last_seq - view->read_seq;
    json_i64(out, "my_read_seq", view->read_seq);
    json_i64(out, "unread", unread > 0 ? unread : 0);
    json_bool(out, "muted", view->muted);
    json_close(out, '}');
}

/* ---- bodies ---- */

static const char *const ROOM_WISH_KINDS[] = {"dm", "group", NULL};
static const char *const MESSAGE_WISH_KINDS[] = {"text", "image", "video", "file", NULL};
enum { UUID_LENGTH = UUID_TEXT_BYTES - 1 };

const struct field ROOM_WISH_FIELDS[] = {
    FIELD_TEXT(struct room_wish, kind, .required = true, .one_of = ROOM_WISH_KINDS),
    FIELD_UUID(struct room_wish, user_id),
    FIELD_TEXTS(struct room_wish, user_ids, .min = 1, .max = GROUP_MEMBERS_MAX - 1, .item_min = UUID_LENGTH,
                .item_max = UUID_LENGTH),
    FIELD_TEXT(struct room_wish, title, .max = TITLE_MAX),
    {0},
};
const struct field TITLE_WISH_FIELDS[] = {
    FIELD_TEXT(struct title_wish, title, .nullable = true, .max = TITLE_MAX, FIELD_SEEN(struct title_wish, title_seen)),
    {0},
};
const struct field MUTE_WISH_FIELDS[] = {
    FIELD_BOOL(struct mute_wish, muted, .required = true),
    {0},
};
const struct field MEMBERS_WISH_FIELDS[] = {
    FIELD_TEXTS(struct members_wish, user_ids, .required = true, .min = 1, .max = GROUP_MEMBERS_MAX - 1,
                .item_min = UUID_LENGTH, .item_max = UUID_LENGTH),
    {0},
};
const struct field MESSAGE_WISH_FIELDS[] = {
    FIELD_TEXT(struct message_wish, client_id, .required = true, .min = 1, .max = CLIENT_ID_MAX),
    FIELD_TEXT(struct message_wish, kind, .one_of = MESSAGE_WISH_KINDS),
    FIELD_TEXT(struct message_wish, content, .max = CONTENT_MAX),
    FIELD_UUID(struct message_wish, file_id),
    FIELD_I64(struct message_wish, reply_to, .min = 1, .max = SEQ_MAX),
    {0},
};
const struct field EDIT_WISH_FIELDS[] = {
    FIELD_TEXT(struct edit_wish, content, .required = true, .min = 1, .max = CONTENT_MAX),
    {0},
};
const struct field READ_WISH_FIELDS[] = {
    FIELD_I64(struct read_wish, seq, .required = true, .min = 0, .max = SEQ_MAX),
    {0},
};

/* Lines end with \n, wherever they were written. */
static const char *with_plain_lines(struct arena *arena, const char *content)
{
    char *out = arena_text(arena, content), *to = out;
    for (const char *from = content; *from; from++)
        if (from[0] != '\r' || from[1] != '\n')
            *to++ = *from;
    *to = '\0';
    return out;
}

const char *wish_content(struct arena *arena, const char *content, bool may_be_empty, struct err *err)
{
    const char *plain = text_nfc(arena, with_plain_lines(arena, content ? content : ""), true);
    if (!plain) {
        err_add_field(err, "/content", "text without control characters");
        return NULL;
    }
    const char *trimmed = text_trim(arena, plain);
    if (!may_be_empty && (!trimmed || !*trimmed)) {
        err_add_field(err, "/content", "not blank");
        return NULL;
    }
    if (utf8_count(plain, strlen(plain)) > CONTENT_MAX) { /* NFC can be longer in a few scripts */
        err_add_field(err, "/content", "at most %d characters", CONTENT_MAX);
        return NULL;
    }
    return plain;
}

bool wish_message(struct arena *arena, struct message_wish *wish, struct err *err)
{
    wish->kind = wish->kind ? wish->kind : "text";
    const bool is_text = strcmp(wish->kind, "text") == 0;
    if (!text_nfc(arena, wish->client_id, false))
        err_add_field(err, "/client_id", "without control characters");
    if (is_text && wish->file_id)
        err_add_field(err, "/file_id", "not with kind text");
    if (!is_text && !wish->file_id)
        err_add_field(err, "/file_id", "needed with kind %s", wish->kind);
    wish->content = wish_content(arena, wish->content, !is_text, err);
    return err->problem == NULL;
}

const char *wish_title(struct arena *arena, const char *title, struct err *err)
{
    const char *plain = text_nfc(arena, title ? title : "", false);
    const char *trimmed = plain ? text_trim(arena, plain) : NULL;
    if (!trimmed || utf8_count(trimmed, strlen(trimmed)) > TITLE_MAX) {
        err_add_field(err, "/title", "at most %d characters, no control characters", TITLE_MAX);
        return NULL;
    }
    return trimmed;
}

static bool among(const struct texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->items[i], text) == 0)
            return true;
    return false;
}

bool wish_user_ids(struct arena *arena, struct texts *user_ids, const char *me, const char *pointer, struct err *err)
{
    struct texts distinct = {arena_alloc(arena, (user_ids->count + 1) * sizeof(char *)), 0};
    for (size_t i = 0; i < user_ids->count; i++) {
        struct uuid parsed;
        char *id = arena_alloc(arena, UUID_TEXT_BYTES);
        if (!uuid_parse(user_ids->items[i], &parsed))
            return err_add_field(err, pointer, "item %zu is no id", i);
        uuid_format(&parsed, id);
        if (strcmp(id, me) == 0)
            return err_set(err, &ERR_SELF, "%s has your own id", pointer);
        if (!among(&distinct, id))
            distinct.items[distinct.count++] = id;
    }
    *user_ids = distinct;
    return true;
}

const char *wish_emoji(struct arena *arena, const char *emoji, struct err *err)
{
    const char *plain = text_nfc(arena, emoji, false);
    const size_t points = plain ? utf8_count(plain, strlen(plain)) : 0;
    const char *trimmed = plain ? text_trim(arena, plain) : NULL;
    if (points < 1 || points > EMOJI_MAX || !trimmed || strcmp(trimmed, plain) != 0) {
        err_add_field(err, "emoji", "1 to %d characters, no control characters or white space", EMOJI_MAX);
        return NULL;
    }
    return plain;
}
