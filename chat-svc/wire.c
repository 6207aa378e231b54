#include "wire.h"

#include "clock.h"
#include "uuid.h"

#include <cjson/cJSON.h>
#include <math.h>

/* ---- names ---- */

static const char *const ROOM_KIND_NAMES[ROOM_KINDS] = {"dm", "group", "global", "company", "meetup"};
static const char *const COMMAND_KIND_NAMES[COMMANDS] = {
    "create", "add", "remove", "leave", "title", "send", "edit", "delete", "react", "unreact", "read", "close",
};
static const char *const EVENT_KIND_NAMES[EVENTS] = {
    "created", "joined", "left", "room", "message", "edited", "deleted", "reaction", "read", "verdict",
};

static int find_name(const char *const *names, int count, const char *name)
{
    for (int i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *room_kind_name(enum room_kind kind)
{
    return ROOM_KIND_NAMES[kind];
}

bool room_kind_parse(const char *name, enum room_kind *kind)
{
    const int found = find_name(ROOM_KIND_NAMES, ROOM_KINDS, name);
    if (found >= 0)
        *kind = (enum room_kind)found;
    return found >= 0;
}

const char *command_kind_name(enum command_kind kind)
{
    return COMMAND_KIND_NAMES[kind];
}

const char *event_kind_name(enum event_kind kind)
{
    return EVENT_KIND_NAMES[kind];
}

/* ---- writing: what is NULL or 0 is left out ---- */

static void head(struct str *out, const char *kind, const char *at)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    json_open(out, NULL, '{');
    json_i64(out, "v", 1);
    json_text(out, "id", id);
    if (at)
        json_text(out, "at", at);
    else
        json_time(out, "at", clock_now_ms());
    json_text(out, "kind", kind);
}

static void text(struct str *out, const char *name, const char *value)
{
    if (value)
        json_text(out, name, value);
}

static void number(struct str *out, const char *name, int64_t value)
{
    if (value)
        json_i64(out, name, value);
}

static void raw(struct str *out, const char *name, const char *value)
{
    if (value)
        json_raw(out, name, value);
}

static void list(struct str *out, const char *name, const struct texts *texts)
{
    if (texts->count == 0)
        return;
    json_open(out, name, '[');
    for (size_t i = 0; i < texts->count; i++)
        json_text(out, NULL, texts->items[i]);
    json_close(out, ']');
}

void command_encode(struct str *out, const struct command *command)
{
    head(out, command_kind_name(command->kind), NULL);
    text(out, "room_id", command->room_id);
    text(out, "user_id", command->user_id);
    text(out, "room_kind", command->room_kind);
    text(out, "title", command->title);
    list(out, "user_ids", &command->user_ids);
    text(out, "target", command->target);
    text(out, "client_id", command->client_id);
    text(out, "message_id", command->message_id);
    text(out, "message_kind", command->message_kind);
    text(out, "content", command->content);
    text(out, "file_id", command->file_id);
    text(out, "emoji", command->emoji);
    number(out, "reply_to", command->reply_to);
    number(out, "seq", command->seq);
    if (command->mark_count > 0) {
        json_open(out, "marks", '[');
        for (size_t i = 0; i < command->mark_count; i++) {
            json_open(out, NULL, '{');
            json_text(out, "user_id", command->marks[i].user_id);
            json_i64(out, "seq", command->marks[i].seq);
            json_close(out, '}');
        }
        json_close(out, ']');
    }
    json_close(out, '}');
}

void event_encode(struct str *out, const struct chat_event *event)
{
    head(out, event_kind_name(event->kind), event->at);
    text(out, "room_id", event->room_id);
    text(out, "room_kind", event->room_kind);
    number(out, "rev", event->rev);
    number(out, "last_seq", event->last_seq);
    text(out, "by", event->by);
    text(out, "manager", event->manager);
    list(out, "user_ids", &event->user_ids);
    raw(out, "room", event->room);
    raw(out, "message", event->message);
    number(out, "seq", event->seq);
    text(out, "sender_id", event->sender_id);
    text(out, "emoji", event->emoji);
    if (event->kind == EVENT_REACTION)
        json_bool(out, "added", event->added);
    if (event->read_count > 0) {
        json_open(out, "reads", '[');
        for (size_t i = 0; i < event->read_count; i++) {
            json_open(out, NULL, '{');
            json_text(out, "user_id", event->reads[i].user_id);
            json_i64(out, "from", event->reads[i].from);
            json_i64(out, "to", event->reads[i].to);
            json_close(out, '}');
        }
        json_close(out, ']');
    }
    number(out, "status", event->status);
    number(out, "retry_after_s", event->retry_after_s);
    text(out, "code", event->code);
    text(out, "detail", event->detail);
    json_close(out, '}');
}

/* ---- reading ---- */

/* What the field tables can't say: kinds by name, and arrays of objects as their bytes. */
struct command_form {
    struct command command;
    const char *kind, *marks;
};
struct event_form {
    struct chat_event event;
    const char *kind, *reads;
};

#define COMMAND_FIELD(type, member, ...)                                                                               \
    {                                                                                                                  \
        .name = #member, .kind = FIELD_KIND_##type, .offset = offsetof(struct command_form, command.member),           \
        ##__VA_ARGS__                                                                                                  \
    }
#define EVENT_FIELD(type, member, ...)                                                                                 \
    {                                                                                                                  \
        .name = #member, .kind = FIELD_KIND_##type, .offset = offsetof(struct event_form, event.member), ##__VA_ARGS__ \
    }

static const struct field COMMAND_FIELDS[] = {
    FIELD_TEXT(struct command_form, kind, .required = true),
    COMMAND_FIELD(UUID, id, .required = true),
    COMMAND_FIELD(UUID, room_id, .required = true),
    COMMAND_FIELD(UUID, user_id),
    COMMAND_FIELD(TEXT, room_kind),
    COMMAND_FIELD(TEXT, title, .max = TITLE_MAX),
    COMMAND_FIELD(TEXTS, user_ids, .max = GROUP_MEMBERS_MAX),
    COMMAND_FIELD(UUID, target),
    COMMAND_FIELD(TEXT, client_id, .min = 1, .max = CLIENT_ID_MAX),
    COMMAND_FIELD(UUID, message_id),
    COMMAND_FIELD(TEXT, message_kind),
    COMMAND_FIELD(TEXT, content, .max = CONTENT_MAX),
    COMMAND_FIELD(UUID, file_id),
    COMMAND_FIELD(TEXT, emoji, .min = 1, .max = EMOJI_MAX),
    COMMAND_FIELD(I64, reply_to, .min = 1, .max = INT64_MAX),
    COMMAND_FIELD(I64, seq, .min = 1, .max = INT64_MAX),
    FIELD_RAW(struct command_form, marks),
    {0},
};

static const struct field EVENT_FIELDS[] = {
    FIELD_TEXT(struct event_form, kind, .required = true),
    EVENT_FIELD(UUID, room_id, .required = true),
    EVENT_FIELD(TEXT, room_kind),
    EVENT_FIELD(I64, rev, .min = 0, .max = INT64_MAX),
    EVENT_FIELD(I64, last_seq, .min = 0, .max = INT64_MAX),
    EVENT_FIELD(TEXT, at, .max = 40),
    EVENT_FIELD(UUID, by),
    EVENT_FIELD(UUID, manager),
    EVENT_FIELD(TEXTS, user_ids, .max = GROUP_MEMBERS_MAX),
    EVENT_FIELD(RAW, room),
    EVENT_FIELD(RAW, message),
    EVENT_FIELD(I64, seq, .min = 0, .max = INT64_MAX),
    EVENT_FIELD(UUID, sender_id),
    EVENT_FIELD(TEXT, emoji, .max = EMOJI_MAX),
    EVENT_FIELD(BOOL, added),
    FIELD_RAW(struct event_form, reads),
    EVENT_FIELD(I64, status, .min = 0, .max = 599),
    EVENT_FIELD(I64, retry_after_s, .min = 0, .max = INT64_MAX),
    EVENT_FIELD(TEXT, code, .max = 64),
    EVENT_FIELD(TEXT, detail, .max = 200),
    {0},
};

static bool bad(struct err *err, const char *what)
{
    return err_set(err, &ERR_BAD_INPUT, "%s", what);
}

static bool ids_lowered(struct arena *arena, struct texts *ids, struct err *err)
{
    for (size_t i = 0; i < ids->count; i++) {
        struct uuid id;
        if (!uuid_parse(ids->items[i], &id))
            return bad(err, "user_ids are no ids");
        char *lowered = arena_alloc(arena, UUID_TEXT_BYTES);
        uuid_format(&id, lowered);
        ids->items[i] = lowered;
    }
    return true;
}

static void tree_release(cJSON **tree)
{
    cJSON_Delete(*tree);
}

/* A whole number that cJSON's double holds exactly: sequences are far below. */
static bool read_seq(const cJSON *item, const char *name, int64_t *out)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);
    if (!cJSON_IsNumber(value) || value->valuedouble < 0 || value->valuedouble > (double)SEQ_MAX ||
        floor(value->valuedouble) != value->valuedouble)
        return false;
    *out = (int64_t)value->valuedouble;
    return true;
}

/* An array of objects with a user_id each; NULL when it is none or too long. */
static cJSON *read_array(const char *bytes)
{
    cJSON *tree = cJSON_Parse(bytes);
    if (tree && (!cJSON_IsArray(tree) || cJSON_GetArraySize(tree) > MARKS_MAX)) {
        cJSON_Delete(tree);
        return NULL;
    }
    return tree;
}

static const char *read_user_id(struct arena *arena, const cJSON *item)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "user_id");
    struct uuid id;
    if (!cJSON_IsString(value) || !uuid_parse(value->valuestring, &id))
        return NULL;
    char *lowered = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_format(&id, lowered);
    return lowered;
}

static bool read_marks(struct arena *arena, const char *bytes, struct command *command, struct err *err)
{
    __attribute__((cleanup(tree_release))) cJSON *tree = read_array(bytes);
    if (!tree)
        return bad(err, "marks are no list");
    command->marks = arena_alloc(arena, ((size_t)cJSON_GetArraySize(tree) + 1) * sizeof *command->marks);
    for (const cJSON *item = tree->child; item; item = item->next) {
        struct mark *mark = &command->marks[command->mark_count++];
        if (!(mark->user_id = read_user_id(arena, item)) || !read_seq(item, "seq", &mark->seq))
            return bad(err, "a mark is {user_id, seq}");
    }
    return true;
}

static bool read_moves(struct arena *arena, const char *bytes, struct chat_event *event, struct err *err)
{
    __attribute__((cleanup(tree_release))) cJSON *tree = read_array(bytes);
    if (!tree)
        return bad(err, "reads are no list");
    event->reads = arena_alloc(arena, ((size_t)cJSON_GetArraySize(tree) + 1) * sizeof *event->reads);
    for (const cJSON *item = tree->child; item; item = item->next) {
        struct read_move *move = &event->reads[event->read_count++];
        if (!(move->user_id = read_user_id(arena, item)) || !read_seq(item, "from", &move->from) ||
            !read_seq(item, "to", &move->to))
            return bad(err, "a read is {user_id, from, to}");
    }
    return true;
}

/* What each kind can't be without. */
static bool command_is_whole(const struct command *command, struct err *err)
{
    enum room_kind room_kind;
    bool whole = true;
    switch (command->kind) {
    case COMMAND_CREATE:
        whole = room_kind_parse(command->room_kind, &room_kind);
        break;
    case COMMAND_ADD:
        whole = command->user_ids.count > 0;
        break;
    case COMMAND_REMOVE:
        whole = command->target != NULL;
        break;
    case COMMAND_LEAVE:
        whole = command->user_id != NULL;
        break;
    case COMMAND_TITLE:
        whole = command->title != NULL;
        break;
    case COMMAND_SEND:
        whole = command->message_id && command->message_kind && command->content &&
                (command->client_id || !command->user_id);
        break;
    case COMMAND_EDIT:
        whole = command->seq && command->content;
        break;
    case COMMAND_DELETE:
        whole = command->seq != 0;
        break;
    case COMMAND_REACT:
    case COMMAND_UNREACT:
        whole = command->seq && command->emoji && command->user_id;
        break;
    case COMMAND_READ:
        whole = command->mark_count > 0;
        break;
    case COMMAND_CLOSE:
    case COMMANDS:
        break;
    }
    return whole || bad(err, "the command lacks what its kind needs");
}

bool command_decode(struct arena *arena, struct view payload, struct command *command, struct err *err)
{
    struct command_form form;
    *command = (struct command){0};
    if (!payload.bytes || payload.length > COMMAND_BYTES_MAX)
        return bad(err, "no command is empty or this long");
    if (!JSON_DECODE_LENIENT(arena, payload, COMMAND_FIELDS, &form, err))
        return false;
    const int kind = find_name(COMMAND_KIND_NAMES, COMMANDS, form.kind);
    if (kind < 0)
        return bad(err, "the kind of command is not known");
    form.command.kind = (enum command_kind)kind;
    if (!ids_lowered(arena, &form.command.user_ids, err) ||
        (form.marks && !read_marks(arena, form.marks, &form.command, err)) || !command_is_whole(&form.command, err))
        return false;
    *command = form.command;
    return true;
}

bool event_decode(struct arena *arena, struct view payload, struct chat_event *event, struct err *err)
{
    struct event_form form;
    *event = (struct chat_event){0};
    if (!payload.bytes || payload.length > EVENT_BYTES_MAX)
        return bad(err, "no event is empty or this long");
    if (!JSON_DECODE_LENIENT(arena, payload, EVENT_FIELDS, &form, err))
        return false;
    const int kind = find_name(EVENT_KIND_NAMES, EVENTS, form.kind);
    if (kind < 0)
        return bad(err, "the kind of event is not known");
    form.event.kind = (enum event_kind)kind;
    if ((form.event.room && form.event.room[0] != '{') || (form.event.message && form.event.message[0] != '{'))
        return bad(err, "room and message are objects");
    if (!ids_lowered(arena, &form.event.user_ids, err) ||
        (form.reads && !read_moves(arena, form.reads, &form.event, err)))
        return false;
    *event = form.event;
    return true;
}
