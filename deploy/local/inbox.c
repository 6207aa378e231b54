/* inbox.c - madang-inbox <address or user id>: what would leave the machine to that person, newest first, a JSON object
 * per line. What the services' local sinks took (inbox_sinks.c) is shown with the text as it would have left. Requests
 * (topic notify.requests) that no sink has taken, or not yet, are shown one line per channel asked for. KAFKA_BROKERS
 * says where; RUN_DIR where the sinks lie; PUSH_DB_URL, if set, where pushes are. No topic, no sink: nothing is
 * printed, and that is no failure. */
#include "inbox.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOPIC "notify.requests"
#define PARTITIONS_MAX 1024
#define BROKER_MS 10000
#define LINES_MAX 10000

/* clang-format off */
/* What the person would read. {name} stands for a member of args, {from.nickname} for one of its member `from`. */
static const struct message {
    const char *kind, *subject, *body;
} MESSAGES[] = {
    {"code", "Your code: {code}", "Your code is {code}. It is good for three minutes and one use. ({purpose})"},
    {"session_reused", "A session was ended", "A log-in of yours was used twice, so its session was ended. Was it not you? Change your password."},
    {"friend_request", "{from.nickname} wants to be friends", "{from.nickname} sent you a friend request."},
    {"friend_accepted", "{from.nickname} is your friend now", "{from.nickname} accepted your friend request."},
};
/* clang-format on */

void *inbox_must(void *memory)
{
    if (!memory) {
        fputs("madang-inbox: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* ---- one request -> lines ---- */

const char *inbox_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

static bool is_recipient(const cJSON *to, const char *recipient)
{
    static const char *const KINDS[] = {"user", "email", "phone", "slack"};
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcasecmp(inbox_text(to, KINDS[i]), recipient) == 0)
            return true;
    return false;
}

static const char *arg_text(const cJSON *args, char *name)
{
    char *dot = strchr(name, '.');
    if (!dot)
        return inbox_text(args, name);
    *dot = 0;
    return inbox_text(cJSON_GetObjectItemCaseSensitive(args, name), dot + 1);
}

static char *fill(const char *pattern, const cJSON *args)
{
    char *out = NULL;
    size_t size;
    FILE *stream = inbox_must(open_memstream(&out, &size));
    while (*pattern) {
        size_t plain = strcspn(pattern, "{");
        fwrite(pattern, 1, plain, stream);
        pattern += plain;
        if (*pattern == '{') {
            char name[32];
            size_t length = strcspn(pattern, "}");
            snprintf(name, sizeof name, "%.*s", (int)length - 1, pattern + 1);
            fputs(arg_text(args, name), stream);
            pattern += length + 1;
        }
    }
    fclose(stream);
    return inbox_must(out);
}

static void add_text(cJSON *object, const char *name, const char *pattern, const cJSON *args)
{
    char *text = fill(pattern, args);
    cJSON_AddStringToObject(object, name, text);
    free(text);
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(*(const char *const *)b, *(const char *const *)a);
}

/* Only the newest LINES_MAX are worth their memory. */
static void drop_old(struct inbox *inbox)
{
    qsort(inbox->lines, inbox->count, sizeof *inbox->lines, newest_first);
    while (inbox->count > LINES_MAX)
        free(inbox->lines[--inbox->count]);
}

void inbox_keep(struct inbox *inbox, const char *at, cJSON *object)
{
    char *line = inbox_must(cJSON_PrintUnformatted(object));
    if (inbox->count == 2 * LINES_MAX)
        drop_old(inbox);
    if (inbox->count == inbox->room) {
        inbox->room = inbox->room ? inbox->room * 2 : 64;
        inbox->lines = inbox_must(realloc(inbox->lines, inbox->room * sizeof *inbox->lines));
    }
    char *entry = NULL;
    if (asprintf(&entry, "%s %s", at, line) < 0)
        entry = NULL;
    inbox->lines[inbox->count++] = inbox_must(entry);
    free(line);
}

/* {channel, to, subject, body, data, at}: as a sink took it, or as it was asked for. */
static void keep_channel(struct inbox *inbox, const cJSON *request, const char *channel)
{
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(request, "args");
    const char *kind = inbox_text(request, "kind"), *subject = kind, *body = "", *at = inbox_text(request, "at");
    const cJSON *sunk;
    if (!inbox_sunk(inbox, inbox_text(request, "dedupe_id"), channel, &sunk))
        return; /* asked for again, sent once */
    for (size_t i = 0; i < sizeof MESSAGES / sizeof *MESSAGES; i++)
        if (strcmp(MESSAGES[i].kind, kind) == 0) {
            subject = MESSAGES[i].subject;
            body = MESSAGES[i].body;
        }
    cJSON *line = inbox_must(cJSON_CreateObject());
    cJSON_AddStringToObject(line, "channel", channel);
    cJSON_AddStringToObject(line, "to", sunk ? inbox_text(sunk, "to") : inbox->recipient);
    if (sunk) {
        at = inbox_text(sunk, "at");
        cJSON_AddStringToObject(line, "subject", inbox_text(sunk, "subject"));
        cJSON_AddStringToObject(line, "body", inbox_text(sunk, "body"));
    } else {
        add_text(line, "subject", subject, args);
        add_text(line, "body", body, args);
    }
    cJSON *data = args ? inbox_must(cJSON_Duplicate(args, true)) : inbox_must(cJSON_CreateObject());
    cJSON_DeleteItemFromObjectCaseSensitive(data, "kind");
    cJSON_AddStringToObject(data, "kind", kind);
    cJSON_AddItemToObject(line, "data", data);
    cJSON_AddStringToObject(line, "at", at);
    inbox_keep(inbox, at, line);
    cJSON_Delete(line);
}

/* A push to a user is shown where it left: by device. */
static bool is_shown(const struct inbox *inbox, const cJSON *to, const char *channel)
{
    return !(inbox->knows_pushes && strcmp(channel, "push") == 0 && *inbox_text(to, "user"));
}

static void keep_record(struct inbox *inbox, const char *payload, size_t length)
{
    cJSON *request = cJSON_ParseWithLength(payload, length);
    const cJSON *channels = cJSON_GetObjectItemCaseSensitive(request, "channels"), *channel;
    const cJSON *to = cJSON_GetObjectItemCaseSensitive(request, "to");
    if (is_recipient(to, inbox->recipient))
        cJSON_ArrayForEach(channel, channels) if (cJSON_IsString(channel) && is_shown(inbox, to, channel->valuestring))
            keep_channel(inbox, request, channel->valuestring);
    cJSON_Delete(request);
}

/* ---- the topic, from its start to where it ends now ---- */

static int count_partitions(rd_kafka_t *client, char why[256])
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, TOPIC, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, BROKER_MS);
    int count = -1;
    if (error)
        snprintf(why, 256, "%s", rd_kafka_err2str(error));
    else
        count = metadata->topic_cnt == 1 && !metadata->topics[0].err ? metadata->topics[0].partition_cnt : 0;
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

/* Assigns what is not empty, from its first record on; ends[] gets where each partition ends. The number, -1 for a
 * failure. */
static int assign(rd_kafka_t *client, int partitions, int64_t ends[], char why[256])
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int p = 0; p < partitions && !error; p++) {
        int64_t low = 0, high = 0;
        error = rd_kafka_query_watermark_offsets(client, TOPIC, p, &low, &high, BROKER_MS);
        ends[p] = high;
        if (high > low)
            rd_kafka_topic_partition_list_add(list, TOPIC, p)->offset = low;
    }
    int count = list->cnt;
    if (!error)
        error = rd_kafka_assign(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error)
        snprintf(why, 256, "%s", rd_kafka_err2str(error));
    return error ? -1 : count;
}

static bool read_topic(rd_kafka_t *client, struct inbox *inbox, char why[256])
{
    static int64_t ends[PARTITIONS_MAX];
    static bool done[PARTITIONS_MAX];
    int partitions = count_partitions(client, why);
    int open = partitions > 0 && partitions <= PARTITIONS_MAX ? assign(client, partitions, ends, why) : partitions;
    while (open > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, BROKER_MS);
        if (!message) {
            snprintf(why, 256, "no records in %d s", BROKER_MS / 1000);
            return false;
        }
        int p = message->partition;
        bool of_partition = p >= 0 && p < partitions;
        if (!message->err && message->offset < ends[p])
            keep_record(inbox, message->payload, message->len);
        /* The end can also be a record that is none (a transaction's mark): then the broker says "end of partition". */
        bool ended =
            message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || (!message->err && message->offset >= ends[p] - 1);
        if (of_partition && ended && !done[p]) {
            done[p] = true;
            open--;
        }
        rd_kafka_message_destroy(message);
    }
    return open == 0;
}

static rd_kafka_t *open_client(const char *brokers, char why[256])
{
    static const char *const SETTINGS[][2] = {
        {"group.id", "madang-inbox"}, /* required by the API; nothing is joined or committed */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "true"},
        {"allow.auto.create.topics", "false"},
        {"log_level", "0"}, /* what fails is said once, by us */
        {"queued.max.messages.kbytes", "16384"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, 256) == RD_KAFKA_CONF_OK;
    for (size_t i = 0; ok && i < sizeof SETTINGS / sizeof *SETTINGS; i++)
        ok = rd_kafka_conf_set(conf, SETTINGS[i][0], SETTINGS[i][1], why, 256) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = ok ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, 256) : NULL;
    if (client)
        rd_kafka_poll_set_consumer(client);
    else
        rd_kafka_conf_destroy(conf);
    return client;
}

static void print(struct inbox *inbox)
{
    drop_old(inbox);
    for (size_t i = 0; i < inbox->count; i++)
        puts(strchr(inbox->lines[i], ' ') + 1);
}

int main(int argc, char **argv)
{
    const char *brokers = getenv("KAFKA_BROKERS");
    if (argc != 2 || !*argv[1] || !brokers || !*brokers) {
        fputs("usage: KAFKA_BROKERS=host:port madang-inbox <address or user id>\n", stderr);
        return 2;
    }
    char why[256] = "";
    struct inbox inbox = {.recipient = argv[1]};
    inbox_read_files(&inbox);
    inbox_read_pushes(&inbox);
    rd_kafka_t *client = open_client(brokers, why);
    bool ok = client && read_topic(client, &inbox, why);
    if (ok) {
        inbox_keep_sunk(&inbox);
        print(&inbox);
    } else {
        fprintf(stderr, "madang-inbox: cannot read %s: %s\n", TOPIC, why);
    }
    inbox_free_sunk(&inbox);
    for (size_t i = 0; i < inbox.count; i++)
        free(inbox.lines[i]);
    free(inbox.lines);
    if (client)
        rd_kafka_destroy(client);
    return ok ? 0 : 1;
}
