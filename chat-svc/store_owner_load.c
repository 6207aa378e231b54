#include "store_owner.h"

#include "mem.h"

/* ---- statements: one row per item of the arrays ---- */

static const struct pg_statement LOAD_ROOMS = {
    "owner_rooms",
    "SELECT id, kind, title, created_by, " SQL_MS("created_at") ", " SQL_MS(
        "closed_at") ", member_count, last_seq, rev, " SQL_MS("active_at") " FROM rooms WHERE id = ANY ($1::uuid[])"};
static const struct pg_statement LOAD_SEATS = {
    "owner_seats", "SELECT m.room_id, m.user_id, m.manager, " SQL_MS(
                       "m.joined_at") ", m.read_seq, m.muted, m.hidden, coalesce(p.locale, ''),"
                                      " coalesce(p.withdrawn, false) FROM members m LEFT JOIN people p USING (user_id) "
                                      "WHERE m.room_id = ANY ($1::uuid[])"
                                      " ORDER BY m.room_id, m.joined_at, m.user_id"};
static const struct pg_statement LOAD_PEOPLE = {"owner_people",
                                                "SELECT user_id, nickname, avatar_url, locale, role <> 'guest' AND NOT "
                                                "withdrawn, withdrawn FROM people WHERE user_id = ANY ($1::uuid[])"};
/* Who is to join a room, and whether he has withdrawn: the copy of accounts (copies.c) that says so lists his groups in
 * the same transaction, so either it waits for us and finds the new one, or we wait for it and refuse. */
static const struct pg_statement HOLD_JOINING = {
    "owner_hold_joining", "SELECT FROM people WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR SHARE"};
/* Pairs that are asked about, and whatever blocks there are around those who send. */
static const struct pg_statement LOAD_RELATIONS = {
    "owner_relations", "SELECT r.a, r.b, r.friend, r.a = ANY (r.blocked_by), r.b = ANY (r.blocked_by) FROM "
                       "unnest($1::uuid[], $2::uuid[]) AS w (a, b)"
                       " CROSS JOIN LATERAL (SELECT * FROM relations x WHERE x.a = w.a AND x.b = w.b LIMIT 1) r"
                       " UNION ALL SELECT a, b, friend, a = ANY (blocked_by), b = ANY (blocked_by) FROM relations "
                       "WHERE a = ANY ($3::uuid[]) AND blocked_by <> '{}'"
                       " UNION ALL SELECT a, b, friend, a = ANY (blocked_by), b = ANY (blocked_by) FROM relations "
                       "WHERE b = ANY ($3::uuid[]) AND blocked_by <> '{}'"};
#define MESSAGE_COLUMNS_OF(m)                                                                                          \
    m ".room_id, " m ".seq, " m ".rev, " m ".id, " m ".client_id, " m ".sender_id, " m ".kind, " m ".content, " m      \
      ".file_id, " m ".reply_to, " m                                                                                   \
      ".reactions, " SQL_MS(m ".edited_at") ", " SQL_MS(m ".deleted_at") ", " SQL_MS(m ".at")
/* By number, and by what their senders called them. LATERAL ... LIMIT: each by the index, whatever the planner thinks
 * of the arrays. */
static const struct pg_statement LOAD_MESSAGES = {
    "owner_messages",
    "SELECT " MESSAGE_COLUMNS_OF(
        "m") " FROM unnest($1::uuid[], $2::bigint[]) AS w (room_id, seq)"
             " CROSS JOIN LATERAL (SELECT * FROM messages x WHERE x.room_id = w.room_id AND x.seq = w.seq LIMIT 1) m"
             " UNION ALL SELECT " MESSAGE_COLUMNS_OF(
                 "m") " FROM unnest($3::uuid[], $4::uuid[], $5::text[]) AS w (room_id, sender_id, client_id)"
                      " CROSS JOIN LATERAL (SELECT * FROM messages x WHERE x.room_id = w.room_id AND x.sender_id = "
                      "w.sender_id"
                      " AND x.client_id = w.client_id LIMIT 1) m"};
static const struct pg_statement LOAD_REACTIONS = {
    "owner_reactions", "SELECT w.room_id, w.seq, w.user_id, w.emoji FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], "
                       "$4::text[]) AS w (room_id, seq, user_id, emoji)"
                       " WHERE EXISTS (SELECT FROM reactions r WHERE r.room_id = w.room_id AND r.seq = w.seq AND "
                       "r.user_id = w.user_id AND r.emoji = w.emoji)"};
static const struct pg_statement LOAD_FILES = {
    "owner_files", "SELECT id, room_id, user_id, type, used FROM files WHERE id = ANY ($1::uuid[])"};
static const struct pg_statement LOAD_RECENT = {
    "owner_recent",
    "SELECT m.room_id, m.sender_id, m.at FROM unnest($1::uuid[], $2::uuid[]) AS w (room_id, sender_id)"
    " CROSS JOIN LATERAL (SELECT x.room_id, x.sender_id, " SQL_MS(
        "x.at") " AS at FROM messages x WHERE x.room_id = w.room_id"
                "  AND x.sender_id = w.sender_id ORDER BY x.seq DESC LIMIT $3::bigint) m ORDER BY m.at"};

static const struct pg_statement LOAD_SAID = {"owner_said",
                                              "SELECT message_id FROM said WHERE message_id = ANY ($1::uuid[])"};

/* ---- what is asked for ---- */

/* Texts in columns of equal length, each row once. */
struct wants {
    struct arena *arena;
    struct lookup *known;
    LIST(const char *) columns[4];
    LIST(int64_t) numbers;
    size_t count;
};

static void wants_open(struct wants *wants, struct arena *arena)
{
    *wants = (struct wants){.arena = arena, .known = lookup_open(arena)};
}

static void want(struct wants *wants, const char *a, const char *b, const char *c, int64_t number)
{
    const char *const texts[] = {a, b, c};
    if (!a || !lookup_add(wants->known, KEY(a, b, c, number), wants))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        *SCENE_ADD(wants, wants->columns[i]) = texts[i];
    *SCENE_ADD(wants, wants->numbers) = number;
    wants->count++;
}

#define WANTED(wants, column) PG_TEXTS((wants).columns[column].items, (wants).count)
#define WANTED_NUMBERS(wants) PG_I64S((wants).numbers.items, (wants).count)

struct needs {
    struct wants rooms, joining, people, pairs, speakers, numbered, named, reactions, files, recent, said;
};

static void need_meeting(struct needs *needs, const struct command *command)
{
    want(&needs->joining, command->user_id, NULL, NULL, 0);
    for (size_t i = 0; i < command->user_ids.count; i++) {
        const char *other = command->user_ids.items[i];
        want(&needs->people, other, NULL, NULL, 0);
        want(&needs->joining, other, NULL, NULL, 0);
        if (!command->user_id || strcmp(other, command->user_id) == 0)
            continue;
        const bool first = strcmp(other, command->user_id) < 0;
        want(&needs->pairs, first ? other : command->user_id, first ? command->user_id : other, NULL, 0);
    }
}

static void need_for(struct needs *needs, const struct command *command)
{
    want(&needs->rooms, command->room_id, NULL, NULL, 0);
    want(&needs->people, command->user_id, NULL, NULL, 0);
    switch (command->kind) {
    case COMMAND_CREATE:
    case COMMAND_ADD:
        need_meeting(needs, command);
        break;
    case COMMAND_REMOVE:
        want(&needs->people, command->target, NULL, NULL, 0);
        break;
    case COMMAND_SEND:
        if (command->user_id)
            want(&needs->named, command->room_id, command->user_id, command->client_id, 0);
        else
            want(&needs->said, command->message_id, NULL, NULL, 0);
        want(&needs->files, command->file_id, NULL, NULL, 0);
        want(&needs->speakers, command->user_id, NULL, NULL, 0);
        break;
    case COMMAND_REACT:
    case COMMAND_UNREACT:
        want(&needs->reactions, command->room_id, command->user_id, command->emoji, command->seq);
        want(&needs->numbered, command->room_id, NULL, NULL, command->seq);
        want(&needs->speakers, command->user_id, NULL, NULL, 0);
        break;
    case COMMAND_EDIT:
    case COMMAND_DELETE:
        want(&needs->numbered, command->room_id, NULL, NULL, command->seq);
        want(&needs->speakers, command->user_id, NULL, NULL, 0);
        break;
    case COMMAND_LEAVE:
    case COMMAND_TITLE:
    case COMMAND_READ:
    case COMMAND_CLOSE:
    case COMMANDS:
        break;
    }
}

/* ---- loading ---- */

static const char *text_of(const struct scene *scene, const struct pg_result *rows, int row, int column)
{
    const char *text = pg_text(rows, row, column);
    return text ? arena_text(scene->arena, text) : NULL;
}

/* What the first round trip brings; NULL: not asked for. */
struct loaded {
    struct pg_result *rooms, *seats, *messages, *people, *relations, *reactions, *files, *said;
};

static void loaded_free(struct loaded *loaded)
{
    struct pg_result **const all[] = {&loaded->rooms,     &loaded->seats,     &loaded->messages, &loaded->people,
                                      &loaded->relations, &loaded->reactions, &loaded->files,    &loaded->said};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        pg_result_release(all[i]);
}

/* One statement, unless it would find nothing. */
#define POST(tx, asked, statement, result, err, ...)                                                                   \
    (!(asked) || pg_tx_post((tx), &(statement), PARAMS(__VA_ARGS__), &(result), (err)))

static bool load_all(struct pg_tx *tx, const struct needs *needs, struct loaded *loaded, struct err *err)
{
    const struct wants *numbered = &needs->numbered, *named = &needs->named, *reactions = &needs->reactions;
    if (needs->joining.count && !pg_tx_post(tx, &HOLD_JOINING, PARAMS(WANTED(needs->joining, 0)), NULL, err))
        return false;
    return POST(tx, true, LOAD_ROOMS, loaded->rooms, err, WANTED(needs->rooms, 0)) &&
           POST(tx, true, LOAD_SEATS, loaded->seats, err, WANTED(needs->rooms, 0)) &&
           POST(tx, numbered->count || named->count, LOAD_MESSAGES, loaded->messages, err, WANTED(*numbered, 0),
                WANTED_NUMBERS(*numbered), WANTED(*named, 0), WANTED(*named, 1), WANTED(*named, 2)) &&
           POST(tx, needs->people.count, LOAD_PEOPLE, loaded->people, err, WANTED(needs->people, 0)) &&
           POST(tx, needs->pairs.count || needs->speakers.count, LOAD_RELATIONS, loaded->relations, err,
                WANTED(needs->pairs, 0), WANTED(needs->pairs, 1), WANTED(needs->speakers, 0)) &&
           POST(tx, reactions->count, LOAD_REACTIONS, loaded->reactions, err, WANTED(*reactions, 0),
                WANTED_NUMBERS(*reactions), WANTED(*reactions, 1), WANTED(*reactions, 2)) &&
           POST(tx, needs->files.count, LOAD_FILES, loaded->files, err, WANTED(needs->files, 0)) &&
           POST(tx, needs->said.count, LOAD_SAID, loaded->said, err, WANTED(needs->said, 0)) && pg_tx_flush(tx, err);
}

static int row_count(const struct pg_result *rows)
{
    return rows ? pg_rows(rows) : 0;
}

static bool take_rooms(struct scene *scene, const struct pg_result *rows, struct err *err)
{
    for (int row = 0; row < row_count(rows); row++) {
        struct chat_room *room = scene_add_room(scene, text_of(scene, rows, row, 0));
        if (!room_kind_parse(pg_text(rows, row, 1), &room->shown.kind))
            return err_set_internal(err, &ERR_INTERNAL, "room %s is of an unknown kind", room->shown.id);
        room->shown.title = text_of(scene, rows, row, 2);
        room->created_by = text_of(scene, rows, row, 3);
        room->shown.created_ms = pg_i64(rows, row, 4);
        room->closed_ms = pg_i64(rows, row, 5);
        room->shown.closed = !pg_is_null(rows, row, 5);
        room->shown.member_count = pg_i64(rows, row, 6);
        room->shown.last_seq = pg_i64(rows, row, 7);
        room->rev = pg_i64(rows, row, 8);
        room->active_ms = pg_i64(rows, row, 9);
        room->stored = true;
    }
    return true;
}

static void take_seats(struct scene *scene, const struct pg_result *rows)
{
    struct chat_room *room = NULL;
    for (int row = 0; row < row_count(rows); row++) {
        const char *room_id = pg_text(rows, row, 0);
        if (!room || strcmp(room->shown.id, room_id) != 0)
            room = scene_room(scene, room_id);
        if (!room)
            continue;
        struct seat *seat = scene_push_seat(scene, room, text_of(scene, rows, row, 1));
        seat->manager = pg_bool(rows, row, 2);
        seat->joined_ms = pg_i64(rows, row, 3);
        seat->read_seq = pg_i64(rows, row, 4);
        seat->muted = pg_bool(rows, row, 5);
        seat->hidden = pg_bool(rows, row, 6);
        seat->locale = text_of(scene, rows, row, 7);
        seat->withdrawn = pg_bool(rows, row, 8);
        seat->here = seat->stored = true;
    }
}

static void take_people(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        const struct chat_person person = {
            .id = text_of(scene, rows, row, 0),
            .nickname = text_of(scene, rows, row, 1),
            .avatar_url = text_of(scene, rows, row, 2),
            .locale = text_of(scene, rows, row, 3),
            .is_user = pg_bool(rows, row, 4),
            .withdrawn = pg_bool(rows, row, 5),
        };
        scene_add_person(scene, &person);
    }
}

static void take_relations(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        const struct chat_relation relation = {
            .a = text_of(scene, rows, row, 0),
            .b = text_of(scene, rows, row, 1),
            .friend = pg_bool(rows, row, 2),
            .a_blocks = pg_bool(rows, row, 3),
            .b_blocks = pg_bool(rows, row, 4),
        };
        scene_add_relation(scene, &relation);
    }
}

/* Their senders' names are needed to show them. */
static void take_messages(struct needs *needs, struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        const struct message shown = {
            .room_id = text_of(scene, rows, row, 0),
            .seq = pg_i64(rows, row, 1),
            .rev = pg_i64(rows, row, 2),
            .id = text_of(scene, rows, row, 3),
            .client_id = text_of(scene, rows, row, 4),
            .sender_id = text_of(scene, rows, row, 5),
            .kind = text_of(scene, rows, row, 6),
            .content = text_of(scene, rows, row, 7),
            .file_id = text_of(scene, rows, row, 8),
            .reply_to = pg_i64(rows, row, 9),
            .reactions = text_of(scene, rows, row, 10),
            .edited_ms = pg_i64(rows, row, 11),
            .deleted = !pg_is_null(rows, row, 12),
            .at_ms = pg_i64(rows, row, 13),
        };
        struct chat_message *message = scene_add_message(scene, &shown);
        message->deleted_ms = pg_i64(rows, row, 12);
        message->stored = true;
        want(&needs->people, message->shown.sender_id, NULL, NULL, 0);
    }
}

static void take_reactions(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        struct chat_reaction *reaction = scene_add_reaction(scene, text_of(scene, rows, row, 0), pg_i64(rows, row, 1),
                                                            text_of(scene, rows, row, 2), text_of(scene, rows, row, 3));
        reaction->here = reaction->stored = true;
    }
}

static void take_files(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        const struct chat_file file = {
            .id = text_of(scene, rows, row, 0),
            .room_id = text_of(scene, rows, row, 1),
            .user_id = text_of(scene, rows, row, 2),
            .type = text_of(scene, rows, row, 3),
            .used = pg_bool(rows, row, 4),
        };
        scene_add_file(scene, &file);
    }
}

/* Of those who send into rooms for everybody: the times of their last messages. */
static void take_recent(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++) {
        struct recent *recent = scene_recent(scene, text_of(scene, rows, row, 0), text_of(scene, rows, row, 1));
        recent->at_ms[recent->count++] = pg_i64(rows, row, 2);
    }
}

static void take_said(struct scene *scene, const struct pg_result *rows)
{
    for (int row = 0; row < row_count(rows); row++)
        scene_add_said(scene, text_of(scene, rows, row, 0));
}

static void need_recent(struct needs *needs, struct scene *scene, const struct command *command)
{
    const struct chat_room *room =
        command->kind == COMMAND_SEND && command->user_id ? scene_room(scene, command->room_id) : NULL;
    if (!room || !room_kind_is_open(room->shown.kind))
        return;
    want(&needs->recent, command->room_id, command->user_id, NULL, 0);
    (void)scene_recent(scene, command->room_id, command->user_id);
}

/* The second round trip, when there has to be one: the names of those who wrote messages that are changed, and how fast
 * people spoke in rooms for everybody. */
static bool load_rest(struct pg_tx *tx, struct scene *scene, const struct needs *needs, size_t asked_people,
                      struct err *err)
{
    AUTO(pg_result) people = NULL;
    AUTO(pg_result) recent = NULL;
    if (!POST(tx, needs->people.count > asked_people, LOAD_PEOPLE, people, err, WANTED(needs->people, 0)) ||
        !POST(tx, needs->recent.count, LOAD_RECENT, recent, err, WANTED(needs->recent, 0), WANTED(needs->recent, 1),
              PG_I64(OPEN_BURST)) ||
        !pg_tx_flush(tx, err))
        return false;
    take_people(scene, people);
    take_recent(scene, recent);
    return true;
}

static bool take_all(struct scene *scene, struct needs *needs, const struct loaded *loaded, struct err *err)
{
    if (!take_rooms(scene, loaded->rooms, err))
        return false;
    take_seats(scene, loaded->seats);
    take_messages(needs, scene, loaded->messages);
    take_people(scene, loaded->people);
    take_relations(scene, loaded->relations);
    take_reactions(scene, loaded->reactions);
    take_files(scene, loaded->files);
    take_said(scene, loaded->said);
    return true;
}

bool store_owner_load(struct pg_tx *tx, struct scene *scene, const struct owner_command *commands, size_t count,
                      struct err *err)
{
    struct needs needs;
    struct loaded loaded = {0};
    struct wants *const all[] = {&needs.rooms,     &needs.joining,  &needs.people, &needs.pairs,
                                 &needs.speakers,  &needs.numbered, &needs.named,  &needs.files,
                                 &needs.reactions, &needs.recent,   &needs.said};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        wants_open(all[i], scene->arena);
    for (size_t i = 0; i < count; i++)
        need_for(&needs, &commands[i].command);
    const size_t asked_people = needs.people.count;
    const bool ok = load_all(tx, &needs, &loaded, err) && take_all(scene, &needs, &loaded, err);
    loaded_free(&loaded);
    for (size_t i = 0; ok && i < count; i++)
        need_recent(&needs, scene, &commands[i].command);
    return ok && load_rest(tx, scene, &needs, asked_people, err);
}
