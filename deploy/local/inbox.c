/* inbox.c - madang-inbox <address or user id>: what would leave the machine to that person, newest first, a JSON object
 * per line. Until a service delivers them, the requests themselves (topic notify.requests) are the record; one line per
 * channel asked for. KAFKA_BROKERS says where. No topic: nothing is printed, and that is no failure. */
#include <cjson/cJSON.h>
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

struct inbox {
    const char *recipient;
    char **lines; /* "<at> <line>": RFC 3339 in UTC sorts as text */
    size_t count, room;
};

/* clang-format off */
/* What the person would read. {name} stands for a member of args. */
static const struct message {
    const char *kind, *subject, *body;
} MESSAGES[] = {
    {"code", "Your code: {code}", "Your code is {code}. It is good for three minutes and one use. ({purpose})"},
    {"session_reused", "A session was ended", "A log-in of yours was used twice, so its session was ended. Was it not you? Change your password."},
    {"friend_request", "{nickname} wants to be friends", "{nickname} sent you a friend request."},
    {"friend_accepted", "{nickname} is your friend now", "{nickname} accepted your friend request."},
};
/* clang-format on */

static void *must(void *memory)
{
    if (!memory) {
        fputs("madang-inbox: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* ---- one request -> lines ---- */

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

static bool is_recipient(const cJSON *to, const char *recipient)
{
    static const char *const KINDS[] = {"user", "email", "phone"};
    for (size_t i = 0; i < 3; i++)
        if (strcasecmp(text_of(to, KINDS[i]), recipient) == 0)
            return true;
    return false;
}

static char *fill(const char *pattern, const cJSON *args)
{
    char *out = NULL;
    size_t size;
    FILE *stream = must(open_memstream(&out, &size));
    while (*pattern) {
        size_t plain = strcspn(pattern, "{");
        fwrite(pattern, 1, plain, stream);
        pattern += plain;
        if (*pattern == '{') {
            char name[32];
            size_t length = strcspn(pattern, "}");
            snprintf(name, sizeof name, "%.*s", (int)length - 1, pattern + 1);
            fputs(text_of(args, name), stream);
            pattern += length + 1;
        }
    }
    fclose(stream);
    return must(out);
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

static void keep(struct inbox *inbox, const char *at, const char *line)
{
    if (inbox->count == 2 * LINES_MAX)
        drop_old(inbox);
    if (inbox->count == inbox->room) {
        inbox->room = inbox->room ? inbox->room * 2 : 64;
        inbox->lines = must(realloc(inbox->lines, inbox->room * sizeof *inbox->lines));
    }
    char *entry = NULL;
    if (asprintf(&entry, "%s %s", at, line) < 0)
        entry = NULL;
    inbox->lines[inbox->count++] = must(entry);
}

/* {channel, to, subject, body, data, at} */
static void keep_channel(struct inbox *inbox, const cJSON *request, const char *channel)
{
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(request, "args");
    const char *kind = text_of(request, "kind"), *subject = kind, *body = "", *at = text_of(request, "at");
    for (size_t i = 0; i < sizeof MESSAGES / sizeof *MESSAGES; i++)
        if (strcmp(MESSAGES[i].kind, kind) == 0) {
            subject = MESSAGES[i].subject;
            body = MESSAGES[i].body;
        }
    cJSON *line = must(cJSON_CreateObject());
    cJSON_AddStringToObject(line, "channel", channel);
    cJSON_AddStringToObject(line, "to", inbox->recipient);
    add_text(line, "subject", subject, args);
    add_text(line, "body", body, args);
    cJSON *data = args ? must(cJSON_Duplicate(args, true)) : must(cJSON_CreateObject());
    cJSON_DeleteItemFromObjectCaseSensitive(data, "kind");
    cJSON_AddStringToObject(data, "kind", kind);
    cJSON_AddItemToObject(line, "data", data);
    cJSON_AddStringToObject(line, "at", at);
    char *json = must(cJSON_PrintUnformatted(line));
    keep(inbox, at, json);
    free(json);
    cJSON_Delete(line);
}

static void keep_record(struct inbox *inbox, const char *payload, size_t length)
{
    cJSON *request = cJSON_ParseWithLength(payload, length);
    const cJSON *channels = cJSON_GetObjectItemCaseSensitive(request, "channels"), *channel;
    if (is_recipient(cJSON_GetObjectItemCaseSensitive(request, "to"), inbox->recipient))
        cJSON_ArrayForEach(channel, channels) if (cJSON_IsString(channel))
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
    rd_kafka_t *client = open_client(brokers, why);
    bool ok = client && read_topic(client, &inbox, why);
    if (ok)
        print(&inbox);
    else
        fprintf(stderr, "madang-inbox: cannot read %s: %s\n", TOPIC, why);
    for (size_t i = 0; i < inbox.count; i++)
        free(inbox.lines[i]);
    free(inbox.lines);
    if (client)
        rd_kafka_destroy(client);
    return ok ? 0 : 1;
}
