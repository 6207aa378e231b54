#include "inbox.h"

#include <glob.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SUNK_MAX 10000

/* ---- files ---- */

/* The address or the user; or one of several people of a Slack conversation: "Name <address>". */
static bool is_recipient(const cJSON *line, const char *recipient)
{
    char part[300];
    const char *to = inbox_text(line, "to");
    if (strcasecmp(to, recipient) == 0 || strcasecmp(inbox_text(line, "user"), recipient) == 0)
        return true;
    return snprintf(part, sizeof part, "<%s>", recipient) < (int)sizeof part && strcasestr(to, part);
}

static void sink_line(struct inbox *inbox, const char *text)
{
    if (!strcasestr(text, inbox->recipient)) /* most are about somebody else */
        return;
    cJSON *line = cJSON_Parse(text);
    if (!line || !is_recipient(line, inbox->recipient) || inbox->sunk_count == SUNK_MAX) {
        cJSON_Delete(line);
        return;
    }
    if (inbox->sunk_count == inbox->sunk_room) {
        inbox->sunk_room = inbox->sunk_room ? inbox->sunk_room * 2 : 64;
        inbox->sunk = inbox_must(realloc(inbox->sunk, inbox->sunk_room * sizeof *inbox->sunk));
    }
    inbox->sunk[inbox->sunk_count++] = (struct sunk){.line = line};
}

void inbox_read_files(struct inbox *inbox)
{
    static const char *const NAMES[] = {"sink.jsonl", "sink.jsonl.1"};
    const char *folder = getenv("RUN_DIR");
    char pattern[PATH_MAX], *text = NULL;
    size_t room = 0;
    for (size_t n = 0; folder && n < sizeof NAMES / sizeof *NAMES; n++) {
        glob_t files = {0};
        snprintf(pattern, sizeof pattern, "%s/data/*/%s", folder, NAMES[n]);
        if (glob(pattern, 0, NULL, &files) != 0)
            continue;
        for (size_t i = 0; i < files.gl_pathc; i++) {
            FILE *file = fopen(files.gl_pathv[i], "r");
            while (file && getline(&text, &room, file) > 0)
                sink_line(inbox, text);
            if (file)
                fclose(file);
        }
        globfree(&files);
    }
    free(text);
}

bool inbox_sunk(struct inbox *inbox, const char *id, const char *channel, const cJSON **line)
{
    *line = NULL;
    for (size_t i = 0; *id && i < inbox->sunk_count; i++) {
        struct sunk *sunk = &inbox->sunk[i];
        if (strcmp(inbox_text(sunk->line, "id"), id) == 0 && strcmp(inbox_text(sunk->line, "channel"), channel) == 0) {
            bool first = !sunk->told;
            sunk->told = true;
            *line = sunk->line;
            return first;
        }
    }
    return true;
}

void inbox_keep_sunk(struct inbox *inbox)
{
    for (size_t i = 0; i < inbox->sunk_count; i++)
        if (!inbox->sunk[i].told) {
            cJSON *line = inbox->sunk[i].line;
            cJSON_DeleteItemFromObjectCaseSensitive(line, "id");
            cJSON_DeleteItemFromObjectCaseSensitive(line, "user");
            inbox_keep(inbox, inbox_text(line, "at"), line);
        }
}

void inbox_free_sunk(struct inbox *inbox)
{
    for (size_t i = 0; i < inbox->sunk_count; i++)
        cJSON_Delete(inbox->sunk[i].line);
    free(inbox->sunk);
}

/* ---- pushes ---- */

#define PUSHES                                                                                                         \
    "SELECT title, body, data, platform, device_id, to_char(at AT TIME ZONE 'UTC', "                                   \
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"                                                                             \
    " FROM push.sink WHERE user_id::text = lower($1) ORDER BY at DESC LIMIT 10000"

static void keep_push(struct inbox *inbox, PGresult *rows, int row)
{
    cJSON *line = inbox_must(cJSON_CreateObject()), *data = cJSON_Parse(PQgetvalue(rows, row, 2));
    if (!cJSON_IsObject(data)) {
        cJSON_Delete(data);
        data = inbox_must(cJSON_CreateObject());
    }
    cJSON_AddStringToObject(line, "channel", "push");
    cJSON_AddStringToObject(line, "to", inbox->recipient);
    cJSON_AddStringToObject(line, "subject", PQgetvalue(rows, row, 0));
    cJSON_AddStringToObject(line, "body", PQgetvalue(rows, row, 1));
    cJSON_AddItemToObject(line, "data", data);
    cJSON_AddStringToObject(line, "at", PQgetvalue(rows, row, 5));
    cJSON_AddStringToObject(line, "platform", PQgetvalue(rows, row, 3));
    cJSON_AddStringToObject(line, "device_id", PQgetvalue(rows, row, 4));
    inbox_keep(inbox, PQgetvalue(rows, row, 5), line);
    cJSON_Delete(line);
}

/* Without the table (push-svc never ran) the requests tell of pushes. */
void inbox_read_pushes(struct inbox *inbox)
{
    const char *url = getenv("PUSH_DB_URL");
    const char *const values[] = {inbox->recipient};
    if (!url || !*url)
        return;
    PGconn *connection = PQconnectdb(url);
    PGresult *rows = PQexecParams(connection, PUSHES, 1, NULL, values, NULL, NULL, 0);
    inbox->knows_pushes = PQresultStatus(rows) == PGRES_TUPLES_OK;
    for (int row = 0; inbox->knows_pushes && row < PQntuples(rows); row++)
        keep_push(inbox, rows, row);
    PQclear(rows);
    PQfinish(connection);
}
