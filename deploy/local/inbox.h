/* inbox.h - what inbox.c and inbox_sinks.c share. */
#ifndef MADANG_LOCAL_INBOX_H
#define MADANG_LOCAL_INBOX_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct inbox {
    const char *recipient;
    char **lines; /* "<at> <line>": RFC 3339 in UTC sorts as text */
    size_t count, room;
    struct sunk { /* what a sink's file has for the recipient */
        cJSON *line;
        bool told;
    } * sunk;
    size_t sunk_count, sunk_room;
    bool knows_pushes;
};

void *inbox_must(void *memory);                                /* ends the program when there is none */
const char *inbox_text(const cJSON *object, const char *name); /* "" when it is no text */
void inbox_keep(struct inbox *inbox, const char *at, cJSON *line);

/* ---- inbox_sinks.c ---- */

/* RUN_DIR/data/<service>/sink.jsonl: a line per message that a channel without settings would have sent. */
void inbox_read_files(struct inbox *inbox);
/* The line with this id and channel, which then counts as told; NULL: none. False when it was told already. */
bool inbox_sunk(struct inbox *inbox, const char *id, const char *channel, const cJSON **line);
/* Those that no request told. */
void inbox_keep_sunk(struct inbox *inbox);
void inbox_free_sunk(struct inbox *inbox);
/* push-svc's sink is a table (PUSH_DB_URL). */
void inbox_read_pushes(struct inbox *inbox);

#endif
