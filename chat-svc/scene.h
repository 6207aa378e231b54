/* scene.h - what the rules of rooms see and change: the rooms, seats, people and messages that one batch of commands is
 * about, in memory.
 *
 * store_owner_load.c fills a scene, room_apply() (room.h) changes it command by command, store_owner_write.c writes
 * what changed. A scene knows the whole room with all its seats, but only those people, relations, messages, reactions
 * and files that a command of the batch names. Ownership: everything lies in the scene's arena, or is lent for as long.
 * Threads: one at a time. */
#ifndef MADANG_CHAT_SCENE_H
#define MADANG_CHAT_SCENE_H

#include "codec.h"
#include "lookup.h"

struct chat_person {
    const char *id, *nickname, *avatar_url, *locale;
    bool is_user; /* no guest, and has not withdrawn */
    bool withdrawn;
};

/* One member of one room. A seat that is left stays in memory until the batch is written. */
struct seat {
    const char *user_id, *locale;
    bool manager, muted, hidden, withdrawn;
    int64_t joined_ms, read_seq;
    bool here;    /* is a member now */
    bool stored;  /* there is a row */
    bool changed; /* mark, manager or hidden moved */
    bool fresh;   /* joined in this batch */
};

struct chat_room {
    struct room shown;
    const char *created_by; /* NULL: the server */
    int64_t closed_ms, active_ms, rev;
    struct seat *seats;
    size_t seat_count, seats_held;
    bool stored, changed;
    bool emptied; /* the last member of a group left: its messages go */
};

struct chat_message {
    struct message shown;
    int64_t deleted_ms;
    bool stored, changed;
    bool words_changed; /* what search finds */
};

struct chat_reaction {
    const char *room_id, *user_id, *emoji;
    int64_t seq;
    bool here, stored;
};

struct chat_file {
    const char *id, *room_id, *user_id, *type;
    bool used, changed;
};

struct chat_relation { /* a < b */
    const char *a, *b;
    bool friend, a_blocks, b_blocks;
};

/* The last messages of one person in an open room, oldest first. */
struct recent {
    const char *room_id, *user_id;
    int64_t at_ms[OPEN_BURST];
    int count;
    bool changed;
};

struct scene_event {
    struct chat_event event;
    size_t source; /* the number of its command */
    bool answers;  /* carries the command's corr */
    const struct chat_room *room;
    const struct chat_message *message; /* a new one of a person: push */
};

#define LIST(type)                                                                                                     \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t count, held;                                                                                            \
    }

struct scene {
    struct arena *arena;
    bool friends_only;
    struct lookup *rooms, *people, *relations, *messages, *sent, *reactions, *files, *recent, *said;
    /* in the order in which they came */
    LIST(struct chat_room *) room_list;
    LIST(struct chat_message *) message_list;
    LIST(struct chat_reaction *) reaction_list;
    LIST(struct chat_file *) file_list;
    LIST(const char *) released_files; /* of deleted messages */
    LIST(struct recent *) recent_list;
    LIST(const char *) said_list; /* new lines of the server */
    LIST(struct scene_event) events;
};

/* A new item at the end of a list of the scene. */
#define SCENE_ADD(scene, list)                                                                                         \
    ((list).items =                                                                                                    \
         scene_grown((scene)->arena, (list).items, (list).count, &(list).held, sizeof(__typeof__(*(list).items))),     \
     &(list).items[(list).count++])
void *scene_grown(struct arena *arena, void *items, size_t count, size_t *held, size_t size);

struct scene *scene_open(struct arena *arena, bool friends_only);

/* ---- filling ---- */
struct chat_room *scene_add_room(struct scene *scene, const char *room_id); /* zeroed but for its id */
struct seat *scene_add_seat(struct scene *scene, struct chat_room *room,
                            const char *user_id); /* or the one that was left */
struct seat *scene_push_seat(struct scene *scene, struct chat_room *room, const char *user_id); /* known to be new */
void scene_add_person(struct scene *scene, const struct chat_person *person);
void scene_add_relation(struct scene *scene, const struct chat_relation *relation);
struct chat_message *scene_add_message(struct scene *scene, const struct message *shown);
struct chat_reaction *scene_add_reaction(struct scene *scene, const char *room_id, int64_t seq, const char *user_id,
                                         const char *emoji);
struct chat_file *scene_add_file(struct scene *scene, const struct chat_file *file);
struct recent *scene_recent(struct scene *scene, const char *room_id,
                            const char *user_id); /* made when it is not there */

/* A line of the server, by its message id. True when it is new; then it counts as said. */
bool scene_say(struct scene *scene, const char *message_id);
void scene_add_said(struct scene *scene, const char *message_id); /* said in an earlier batch */

/* ---- looking: NULL when unknown ---- */
struct chat_room *scene_room(const struct scene *scene, const char *room_id);
struct seat *scene_seat(const struct chat_room *room, const char *user_id); /* of a member */
const struct chat_person *scene_person(const struct scene *scene, const char *user_id);
struct chat_message *scene_message(const struct scene *scene, const char *room_id, int64_t seq);
struct chat_message *scene_sent(const struct scene *scene, const char *room_id, const char *sender_id,
                                const char *client_id);
struct chat_reaction *scene_reaction(const struct scene *scene, const char *room_id, int64_t seq, const char *user_id,
                                     const char *emoji);
struct chat_file *scene_file(const struct scene *scene, const char *file_id);
bool scene_are_friends(const struct scene *scene, const char *one, const char *other);
bool scene_blocks(const struct scene *scene, const char *who, const char *whom);
bool scene_block_between(const struct scene *scene, const char *one, const char *other);

/* Members whose mark is behind the message; -1 in rooms without marks. */
int64_t scene_unread_by(const struct chat_room *room, int64_t seq);
/* As events show them. */
const char *scene_message_json(const struct scene *scene, const struct chat_room *room,
                               const struct chat_message *message);
const char *scene_room_json(const struct scene *scene, const struct chat_room *room);

#endif
