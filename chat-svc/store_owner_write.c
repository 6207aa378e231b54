#include "store_owner.h"

#include "mem.h"
#include "tokens.h"

/* ---- statements: one row per item of the arrays; times are milliseconds, 0 is NULL ---- */

#define SQL_AT(ms) "to_timestamp(nullif(" ms ", 0) / 1000.0)"

static const struct pg_statement INSERT_ROOMS = {
    "owner_insert_rooms",
    "INSERT INTO rooms (id, kind, title, created_by, created_at, closed_at, member_count, last_seq, rev, active_at)"
    " SELECT id, kind, title, created_by, " SQL_AT("created") ", " SQL_AT(
        "closed") ", member_count, last_seq, rev, " SQL_AT("active") " FROM unnest($1::uuid[], $2::text[], $3::text[], "
                                                                     "$4::uuid[], $5::bigint[], $6::bigint[], "
                                                                     "$7::int[], $8::bigint[], $9::bigint[], "
                                                                     "$10::bigint[])"
                                                                     " AS n (id, kind, title, created_by, created, "
                                                                     "closed, member_count, last_seq, rev, active)"};
static const struct pg_statement UPDATE_ROOMS = {
    "owner_update_rooms",
    "UPDATE rooms r SET title = n.title, closed_at = " SQL_AT(
        "n.closed") ", member_count = n.member_count, last_seq = n.last_seq, rev = n.rev,"
                    " active_at = " SQL_AT(
                        "n.active") " FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], "
                                    "$6::bigint[], $7::bigint[])"
                                    " AS n (id, title, closed, member_count, last_seq, rev, active) WHERE r.id = n.id"};
static const struct pg_statement INSERT_SEATS = {
    "owner_insert_seats",
    "INSERT INTO members (room_id, user_id, manager, joined_at, read_seq, hidden) SELECT room_id, user_id, "
    "manager, " SQL_AT("joined") ", read_seq, hidden FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[], "
                                 "$5::bigint[], $6::boolean[])"
                                 " AS n (room_id, user_id, manager, joined, read_seq, hidden)"};
/* `muted` is the handlers'; who left and came back begins anew. */
static const struct pg_statement UPDATE_SEATS = {
    "owner_update_seats", "UPDATE members m SET manager = n.manager, joined_at = CASE WHEN n.fresh THEN " SQL_AT(
                              "n.joined") " ELSE m.joined_at END,"
                                          " read_seq = n.read_seq, hidden = n.hidden, muted = m.muted AND NOT n.fresh"
                                          " FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[], "
                                          "$5::bigint[], $6::boolean[], $7::boolean[])"
                                          " AS n (room_id, user_id, manager, joined, read_seq, hidden, fresh) WHERE "
                                          "m.room_id = n.room_id AND m.user_id = n.user_id"};
static const struct pg_statement DELETE_SEATS = {
    "owner_delete_seats", "DELETE FROM members m USING unnest($1::uuid[], $2::uuid[]) AS n (room_id, user_id)"
                          " WHERE m.room_id = n.room_id AND m.user_id = n.user_id"};
static const struct pg_statement INSERT_MESSAGES = {
    "owner_insert_messages",
    "INSERT INTO messages (room_id, seq, rev, id, client_id, sender_id, kind, content, file_id, reply_to, reactions, "
    "edited_at, deleted_at, at)"
    " SELECT room_id, seq, rev, id, client_id, sender_id, kind, content, file_id, nullif(reply_to, 0), "
    "reactions::jsonb, " SQL_AT("edited") ", " SQL_AT("deleted") ", " SQL_AT(
        "at") " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], "
              "$8::text[], $9::uuid[], $10::bigint[],"
              " $11::text[], $12::bigint[], $13::bigint[], $14::bigint[])"
              " AS n (room_id, seq, rev, id, client_id, sender_id, kind, content, file_id, reply_to, reactions, "
              "edited, deleted, at)"};
static const struct pg_statement UPDATE_MESSAGES = {
    "owner_update_messages", "UPDATE messages m SET rev = n.rev, content = n.content, file_id = n.file_id, reactions = "
                             "n.reactions::jsonb, edited_at = " SQL_AT("n.edited") ", deleted_at = " SQL_AT(
                                 "n.deleted") " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], "
                                              "$5::uuid[], $6::text[], $7::bigint[], $8::bigint[])"
                                              " AS n (room_id, seq, rev, content, file_id, reactions, edited, deleted) "
                                              "WHERE m.room_id = n.room_id AND m.seq = n.seq"};
static const struct pg_statement INSERT_REACTIONS = {
    "owner_insert_reactions", "INSERT INTO reactions (room_id, seq, user_id, emoji)"
                              " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[])"};
static const struct pg_statement DELETE_REACTIONS = {
    "owner_delete_reactions",
    "DELETE FROM reactions r USING unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS n (room_id, seq, "
    "user_id, emoji)"
    " WHERE r.room_id = n.room_id AND r.seq = n.seq AND r.user_id = n.user_id AND r.emoji = n.emoji"};
/* What hangs on messages that are deleted. */
static const struct pg_statement CLEAR_REACTIONS = {"owner_clear_reactions",
                                                    "DELETE FROM reactions r USING unnest($1::uuid[], $2::bigint[]) AS "
                                                    "n (room_id, seq) WHERE r.room_id = n.room_id AND r.seq = n.seq"};
static const struct pg_statement CLEAR_SEARCH = {"owner_clear_search",
                                                 "DELETE FROM message_search s USING unnest($1::uuid[], $2::bigint[]) "
                                                 "AS n (room_id, seq) WHERE s.room_id = n.room_id AND s.seq = n.seq"};
/* A row of tokens comes as one text, because unnest would flatten an array of arrays. */
static const struct pg_statement UPSERT_SEARCH = {
    "owner_upsert_search", "INSERT INTO message_search (room_id, seq, tokens) SELECT room_id, seq, tokens::bigint[]"
                           " FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS n (room_id, seq, tokens)"
                           " ON CONFLICT (room_id, seq) DO UPDATE SET tokens = excluded.tokens"};
static const struct pg_statement MARK_FILES = {
    "owner_mark_files",
    "UPDATE files f SET used = n.used FROM unnest($1::uuid[], $2::boolean[]) AS n (id, used) WHERE f.id = n.id"};
static const struct pg_statement PRUNE_OPEN = {"owner_prune_open",
                                               "DELETE FROM messages m USING unnest($1::uuid[], $2::bigint[]) AS n "
                                               "(room_id, upto) WHERE m.room_id = n.room_id AND m.seq <= n.upto"};
static const struct pg_statement EMPTY_ROOMS = {"owner_empty_rooms",
                                                "DELETE FROM messages WHERE room_id = ANY ($1::uuid[])"};
static const struct pg_statement FREE_FILES = {
    "owner_free_files", "UPDATE files SET used = false WHERE room_id = ANY ($1::uuid[]) AND used"};

static const struct pg_statement INSERT_SAID = {
    "owner_insert_said", "INSERT INTO said (message_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"};

/* ---- columns ---- */

enum { COLUMNS_MAX = 14 };

/* The rows of one statement: each column is an array of texts or of numbers. */
struct sheet {
    struct arena *arena;
    size_t count;
    LIST(const char *) texts[COLUMNS_MAX];
    LIST(int64_t) numbers[COLUMNS_MAX];
};

static struct sheet *sheet_open(const struct scene *scene)
{
    struct sheet *sheet = ARENA_NEW(scene->arena, sheet);
    sheet->arena = scene->arena;
    return sheet;
}

static void put_text(struct sheet *sheet, int column, const char *value)
{
    *SCENE_ADD(sheet, sheet->texts[column]) = value;
}

static void put_number(struct sheet *sheet, int column, int64_t value)
{
    *SCENE_ADD(sheet, sheet->numbers[column]) = value;
}

static void put_bool(struct sheet *sheet, int column, bool value)
{
    put_text(sheet, column, value ? "t" : "f");
}

#define TEXTS(sheet, column) PG_TEXTS((sheet)->texts[column].items, (sheet)->count)
#define NUMBERS(sheet, column) PG_I64S((sheet)->numbers[column].items, (sheet)->count)

/* One statement, unless there is nothing for it; it leaves with COMMIT. */
#define RUN(tx, sheet, statement, err, ...)                                                                            \
    ((sheet)->count == 0 || pg_tx_post((tx), &(statement), PARAMS(__VA_ARGS__), NULL, (err)))

/* ---- rooms and seats ---- */

static bool insert_rooms(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->room_list.count; i++) {
        const struct chat_room *room = scene->room_list.items[i];
        if (room->stored || !room->changed)
            continue;
        s->count++;
        put_text(s, 0, room->shown.id);
        put_text(s, 1, room_kind_name(room->shown.kind));
        put_text(s, 2, room->shown.title);
        put_text(s, 3, room->created_by);
        put_number(s, 4, room->shown.created_ms);
        put_number(s, 5, room->closed_ms);
        put_number(s, 6, room->shown.member_count);
        put_number(s, 7, room->shown.last_seq);
        put_number(s, 8, room->rev);
        put_number(s, 9, room->active_ms);
    }
    return RUN(tx, s, INSERT_ROOMS, err, TEXTS(s, 0), TEXTS(s, 1), TEXTS(s, 2), TEXTS(s, 3), NUMBERS(s, 4),
               NUMBERS(s, 5), NUMBERS(s, 6), NUMBERS(s, 7), NUMBERS(s, 8), NUMBERS(s, 9));
}

static bool update_rooms(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->room_list.count; i++) {
        const struct chat_room *room = scene->room_list.items[i];
        if (!room->stored || !room->changed)
            continue;
        s->count++;
        put_text(s, 0, room->shown.id);
        put_text(s, 1, room->shown.title);
        put_number(s, 2, room->closed_ms);
        put_number(s, 3, room->shown.member_count);
        put_number(s, 4, room->shown.last_seq);
        put_number(s, 5, room->rev);
        put_number(s, 6, room->active_ms);
    }
    return RUN(tx, s, UPDATE_ROOMS, err, TEXTS(s, 0), TEXTS(s, 1), NUMBERS(s, 2), NUMBERS(s, 3), NUMBERS(s, 4),
               NUMBERS(s, 5), NUMBERS(s, 6));
}

static void put_seat(struct sheet *s, const struct chat_room *room, const struct seat *seat)
{
    s->count++;
    put_text(s, 0, room->shown.id);
    put_text(s, 1, seat->user_id);
    put_bool(s, 2, seat->manager);
    put_number(s, 3, seat->joined_ms);
    put_number(s, 4, seat->read_seq);
    put_bool(s, 5, seat->hidden);
    put_bool(s, 6, seat->fresh);
}

static bool write_seats(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *added = sheet_open(scene), *moved = sheet_open(scene), *gone = sheet_open(scene);
    for (size_t i = 0; i < scene->room_list.count; i++) {
        const struct chat_room *room = scene->room_list.items[i];
        for (size_t j = 0; room->changed && j < room->seat_count; j++) {
            const struct seat *seat = &room->seats[j];
            if (seat->here && !seat->stored)
                put_seat(added, room, seat);
            else if (seat->here && (seat->changed || seat->fresh))
                put_seat(moved, room, seat);
            else if (!seat->here && seat->stored)
                put_seat(gone, room, seat);
        }
    }
    return RUN(tx, gone, DELETE_SEATS, err, TEXTS(gone, 0), TEXTS(gone, 1)) &&
           RUN(tx, added, INSERT_SEATS, err, TEXTS(added, 0), TEXTS(added, 1), TEXTS(added, 2), NUMBERS(added, 3),
               NUMBERS(added, 4), TEXTS(added, 5)) &&
           RUN(tx, moved, UPDATE_SEATS, err, TEXTS(moved, 0), TEXTS(moved, 1), TEXTS(moved, 2), NUMBERS(moved, 3),
               NUMBERS(moved, 4), TEXTS(moved, 5), TEXTS(moved, 6));
}

/* ---- messages ---- */

static bool insert_messages(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->message_list.count; i++) {
        const struct chat_message *message = scene->message_list.items[i];
        if (message->stored)
            continue;
        s->count++;
        put_text(s, 0, message->shown.room_id);
        put_number(s, 1, message->shown.seq);
        put_number(s, 2, message->shown.rev);
        put_text(s, 3, message->shown.id);
        put_text(s, 4, message->shown.client_id);
        put_text(s, 5, message->shown.sender_id);
        put_text(s, 6, message->shown.kind);
        put_text(s, 7, message->shown.content);
        put_text(s, 8, message->shown.file_id);
        put_number(s, 9, message->shown.reply_to);
        put_text(s, 10, message->shown.reactions ? message->shown.reactions : "{}");
        put_number(s, 11, message->shown.edited_ms);
        put_number(s, 12, message->deleted_ms);
        put_number(s, 13, message->shown.at_ms);
    }
    return RUN(tx, s, INSERT_MESSAGES, err, TEXTS(s, 0), NUMBERS(s, 1), NUMBERS(s, 2), TEXTS(s, 3), TEXTS(s, 4),
               TEXTS(s, 5), TEXTS(s, 6), TEXTS(s, 7), TEXTS(s, 8), NUMBERS(s, 9), TEXTS(s, 10), NUMBERS(s, 11),
               NUMBERS(s, 12), NUMBERS(s, 13));
}

static bool update_messages(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->message_list.count; i++) {
        const struct chat_message *message = scene->message_list.items[i];
        if (!message->stored || !message->changed)
            continue;
        s->count++;
        put_text(s, 0, message->shown.room_id);
        put_number(s, 1, message->shown.seq);
        put_number(s, 2, message->shown.rev);
        put_text(s, 3, message->shown.content);
        put_text(s, 4, message->shown.file_id);
        put_text(s, 5, message->shown.reactions ? message->shown.reactions : "{}");
        put_number(s, 6, message->shown.edited_ms);
        put_number(s, 7, message->deleted_ms);
    }
    return RUN(tx, s, UPDATE_MESSAGES, err, TEXTS(s, 0), NUMBERS(s, 1), NUMBERS(s, 2), TEXTS(s, 3), TEXTS(s, 4),
               TEXTS(s, 5), NUMBERS(s, 6), NUMBERS(s, 7));
}

/* A message that was deleted has neither reactions nor words that can be found. */
static bool clear_deleted(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->message_list.count; i++) {
        const struct chat_message *message = scene->message_list.items[i];
        if (!message->stored || !message->shown.deleted || !message->words_changed)
            continue;
        s->count++;
        put_text(s, 0, message->shown.room_id);
        put_number(s, 1, message->shown.seq);
    }
    return RUN(tx, s, CLEAR_REACTIONS, err, TEXTS(s, 0), NUMBERS(s, 1)) &&
           RUN(tx, s, CLEAR_SEARCH, err, TEXTS(s, 0), NUMBERS(s, 1));
}

static void put_reaction(struct sheet *s, const struct chat_reaction *reaction)
{
    s->count++;
    put_text(s, 0, reaction->room_id);
    put_number(s, 1, reaction->seq);
    put_text(s, 2, reaction->user_id);
    put_text(s, 3, reaction->emoji);
}

static bool write_reactions(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *added = sheet_open(scene), *gone = sheet_open(scene);
    for (size_t i = 0; i < scene->reaction_list.count; i++) {
        const struct chat_reaction *reaction = scene->reaction_list.items[i];
        const struct chat_message *message = scene_message(scene, reaction->room_id, reaction->seq);
        if (!message || message->shown.deleted)
            continue;
        if (reaction->here && !reaction->stored)
            put_reaction(added, reaction);
        else if (!reaction->here && reaction->stored)
            put_reaction(gone, reaction);
    }
    return RUN(tx, gone, DELETE_REACTIONS, err, TEXTS(gone, 0), NUMBERS(gone, 1), TEXTS(gone, 2), TEXTS(gone, 3)) &&
           RUN(tx, added, INSERT_REACTIONS, err, TEXTS(added, 0), NUMBERS(added, 1), TEXTS(added, 2), TEXTS(added, 3));
}

/* ---- what hangs on messages ---- */

static const char *tokens_text(struct arena *arena, const struct message *message)
{
    size_t count;
    const int64_t *tokens = tokens_of(arena, message->room_id, message->content, &count);
    AUTO_STR out;
    str_init(&out);
    str_add_char(&out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            str_add_char(&out, ',');
        str_add_i64(&out, tokens[i]);
    }
    str_add_char(&out, '}');
    return arena_bytes(arena, out.bytes, out.length);
}

static bool write_search(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->message_list.count; i++) {
        const struct chat_message *message = scene->message_list.items[i];
        const struct chat_room *room = scene_room(scene, message->shown.room_id);
        if (!message->words_changed || message->shown.deleted || !room || room_kind_is_open(room->shown.kind) ||
            room->emptied)
            continue;
        s->count++;
        put_text(s, 0, message->shown.room_id);
        put_number(s, 1, message->shown.seq);
        put_text(s, 2, tokens_text(scene->arena, &message->shown));
    }
    return RUN(tx, s, UPSERT_SEARCH, err, TEXTS(s, 0), NUMBERS(s, 1), TEXTS(s, 2));
}

static bool write_files(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *s = sheet_open(scene);
    for (size_t i = 0; i < scene->file_list.count; i++) {
        const struct chat_file *file = scene->file_list.items[i];
        bool released = false;
        for (size_t j = 0; j < scene->released_files.count && !released; j++)
            released = strcmp(scene->released_files.items[j], file->id) == 0;
        if (!file->changed || released)
            continue;
        s->count++;
        put_text(s, 0, file->id);
        put_bool(s, 1, file->used);
    }
    for (size_t i = 0; i < scene->released_files.count; i++) {
        s->count++;
        put_text(s, 0, scene->released_files.items[i]);
        put_bool(s, 1, false);
    }
    return RUN(tx, s, MARK_FILES, err, TEXTS(s, 0), TEXTS(s, 1));
}

/* Rooms for everybody keep their last messages only; groups without members keep none. */
static bool drop_old(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    struct sheet *open = sheet_open(scene), *emptied = sheet_open(scene);
    for (size_t i = 0; i < scene->room_list.count; i++) {
        const struct chat_room *room = scene->room_list.items[i];
        if (room->emptied) {
            emptied->count++;
            put_text(emptied, 0, room->shown.id);
        } else if (room->changed && room_kind_is_open(room->shown.kind) && room->shown.last_seq > OPEN_KEPT) {
            open->count++;
            put_text(open, 0, room->shown.id);
            put_number(open, 1, room->shown.last_seq - OPEN_KEPT);
        }
    }
    return RUN(tx, open, PRUNE_OPEN, err, TEXTS(open, 0), NUMBERS(open, 1)) &&
           RUN(tx, emptied, EMPTY_ROOMS, err, TEXTS(emptied, 0)) &&
           RUN(tx, emptied, FREE_FILES, err, TEXTS(emptied, 0));
}

static bool write_said(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    return scene->said_list.count == 0 ||
           pg_tx_exec(tx, &INSERT_SAID, PARAMS(PG_TEXTS(scene->said_list.items, scene->said_list.count)), NULL, err);
}

bool store_owner_write(struct pg_tx *tx, const struct scene *scene, struct err *err)
{
    return insert_rooms(tx, scene, err) && update_rooms(tx, scene, err) && write_seats(tx, scene, err) &&
           insert_messages(tx, scene, err) && update_messages(tx, scene, err) && write_reactions(tx, scene, err) &&
           clear_deleted(tx, scene, err) && write_search(tx, scene, err) && write_files(tx, scene, err) &&
           drop_old(tx, scene, err) && write_said(tx, scene, err);
}
