/* test_inbox.c - madang-inbox reads the requests for one recipient, newest first, and nobody else's. Recipients are
 * made up per run, since the topic is shared with whoever uses the same Kafka. */
#include "test.h"

#include "kafka_conf.h" /* its clients can be looked at by the thread sanitizer */

#include <cjson/cJSON.h>
#include <librdkafka/rdkafka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TOPIC "notify.requests"
#define LINES_MAX 16

static rd_kafka_t *producer(void)
{
    static rd_kafka_t *client;
    static const struct kafka_setting SETTINGS[] = {{"enable.idempotence", "true"}, {NULL, NULL}};
    struct err err = {0};
    char why[256];
    if (client)
        return client;
    rd_kafka_conf_t *conf = kafka_conf_new(test_env("KAFKA_BROKERS"), "test_inbox", SETTINGS, &err);
    client = conf ? kafka_client_new(RD_KAFKA_PRODUCER, conf, &err) : NULL;
    if (!client) {
        printf("no producer: %s\n", err.detail);
        exit(1);
    }
    /* As common/topics.h has it; "exists already" is as good. */
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(TOPIC, 6, 1, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 15000));
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    return client;
}

static void send_text(const char *key, const char *text)
{
    rd_kafka_resp_err_t error =
        rd_kafka_producev(producer(), RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_KEY((void *)(uintptr_t)key, strlen(key)),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)text, strlen(text)),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    EXPECT_I64(RD_KAFKA_RESP_ERR_NO_ERROR, error);
    EXPECT_I64(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_flush(producer(), 15000));
}

static void send_code(const char *kind_of_address, const char *to, const char *channels, const char *code,
                      const char *at)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"v\":1,\"id\":\"0199\",\"at\":\"%s\",\"kind\":\"code\",\"to\":{\"%s\":\"%s\"},\"channels\":[%s],"
             "\"args\":{\"code\":\"%s\",\"purpose\":\"verify_email\"},\"dedupe_id\":\"%s\"}",
             at, kind_of_address, to, channels, code, code);
    send_text(to, text);
}

static void make_up(char out[64], const char *start, const char *end)
{
    static int count;
    snprintf(out, 64, "%s%ld%d%s", start, (long)time(NULL) * 1000 + getpid() % 1000, ++count, end);
}

/* Runs madang-inbox of the same build; its lines parsed. The number of lines, -1 when it failed. */
static int inbox(const char *to, cJSON *lines[LINES_MAX])
{
    char path[PATH_MAX] = "", command[PATH_MAX + 256], line[4096];
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        return -1;
    *strstr(path, "/tests/local/") = 0;
    snprintf(command, sizeof command, "'%s/bin/madang-inbox' '%s'", path, to);
    FILE *output = popen(command, "r");
    int count = 0;
    while (output && fgets(line, sizeof line, output) && count < LINES_MAX)
        lines[count++] = cJSON_Parse(line);
    return output && pclose(output) == 0 ? count : -1;
}

static const char *text_of(const cJSON *line, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, name));
    return text ? text : "(none)";
}

TEST(inbox_shows_what_one_recipient_got_newest_first, "P-07")
{
    char address[64], other[64];
    cJSON *lines[LINES_MAX] = {NULL};
    make_up(address, "inbox", "@madang.test");
    make_up(other, "inbox", "@madang.test");
    send_code("email", address, "\"email\"", "111111", "2026-01-01T00:00:00.001Z");
    send_code("email", address, "\"email\",\"push\"", "333333", "2026-01-01T00:00:02.000Z");
    send_code("email", address, "\"email\"", "222222", "2026-01-01T00:00:01.999Z");
    send_code("email", other, "\"email\"", "444444", "2026-01-01T00:00:03.000Z");
    REQUIRE(inbox(address, lines) == 4); /* a line for each channel */
    EXPECT_TEXT("333333", text_of(cJSON_GetObjectItem(lines[0], "data"), "code"));
    EXPECT_TEXT("333333", text_of(cJSON_GetObjectItem(lines[1], "data"), "code"));
    EXPECT(strcmp(text_of(lines[0], "channel"), text_of(lines[1], "channel")) != 0);
    EXPECT_TEXT("222222", text_of(cJSON_GetObjectItem(lines[2], "data"), "code"));
    EXPECT_TEXT("111111", text_of(cJSON_GetObjectItem(lines[3], "data"), "code"));
    EXPECT_TEXT("email", text_of(lines[3], "channel"));
    EXPECT_TEXT(address, text_of(lines[3], "to"));
    EXPECT_TEXT("2026-01-01T00:00:00.001Z", text_of(lines[3], "at"));
    EXPECT(strstr(text_of(lines[3], "subject"), "111111") && strstr(text_of(lines[3], "body"), "111111"));
    for (int i = 0; i < 4; i++)
        cJSON_Delete(lines[i]);
}

TEST(inbox_knows_users_and_telephones_too, "")
{
    char user[64], phone[64];
    cJSON *lines[LINES_MAX] = {NULL};
    make_up(user, "01990000-0000-7000-8000-", "");
    make_up(phone, "010", "");
    send_code("user", user, "\"inbox\"", "555555", "2026-01-01T00:00:00.000Z");
    send_code("phone", phone, "\"sms\"", "666666", "2026-01-01T00:00:00.000Z");
    REQUIRE(inbox(user, lines) == 1);
    EXPECT_TEXT("inbox", text_of(lines[0], "channel"));
    cJSON_Delete(lines[0]);
    REQUIRE(inbox(phone, lines) == 1);
    EXPECT_TEXT("sms", text_of(lines[0], "channel"));
    cJSON_Delete(lines[0]);
}

TEST(inbox_survives_what_is_no_request_and_prints_nothing_for_nobody, "")
{
    char address[64];
    cJSON *lines[LINES_MAX] = {NULL};
    make_up(address, "inbox", "@madang.test");
    EXPECT_I64(0, inbox(address, lines));
    send_text(address, "");
    send_text(address, "{\"to\":");
    send_text(address, "[1,2,3]");
    send_text(address, "{\"to\":{\"email\":7},\"channels\":\"email\"}");
    send_code("email", address, "7,\"email\"", "777777", "2026-01-01T00:00:00.000Z");
    REQUIRE(inbox(address, lines) == 1);
    EXPECT_TEXT("777777", text_of(cJSON_GetObjectItem(lines[0], "data"), "code"));
    cJSON_Delete(lines[0]);
}

/* ---- what sinks took ---- */

static char run_folder[] = "/tmp/madang-inbox-XXXXXX";

static void sink_path(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", run_folder, name);
}

static void sink_write(const char *lines)
{
    char path[128];
    sink_path(path, "data/notify-svc/sink.jsonl");
    FILE *file = fopen(path, "w");
    if (file) {
        fputs(lines, file);
        fclose(file);
    }
}

static bool sink_make(void)
{
    char path[128];
    if (!mkdtemp(run_folder))
        return false;
    sink_path(path, "data");
    (void)mkdir(path, 0700);
    sink_path(path, "data/notify-svc");
    return mkdir(path, 0700) == 0 && setenv("RUN_DIR", run_folder, 1) == 0;
}

static void sink_remove(void)
{
    static const char *const NAMES[] = {"data/notify-svc/sink.jsonl", "data/notify-svc", "data", ""};
    char path[128];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        sink_path(path, NAMES[i]);
        if (remove(path) != 0)
            perror(path);
    }
    (void)unsetenv("RUN_DIR");
}

TEST(inbox_shows_what_left_as_it_left_and_each_thing_once, "P-07 D-51")
{
    char address[64], user[64], text[2048];
    cJSON *lines[LINES_MAX] = {NULL};
    make_up(address, "inbox", "@madang.test");
    make_up(user, "01990000-0000-7000-8000-", "");
    REQUIRE(sink_make());
    send_code("email", address, "\"email\"", "888888", "2026-01-01T00:00:00.000Z");
    send_code("email", address, "\"email\"", "888888", "2026-01-01T00:00:00.000Z");
    send_code("email", address, "\"email\"", "999999", "2026-01-01T00:00:01.000Z"); /* no sink has it yet */
    snprintf(text, sizeof text,
             "{\"id\":\"888888\",\"channel\":\"email\",\"user\":\"\",\"to\":\"%s\",\"subject\":\"as it "
             "left\",\"body\":\"888888\",\"data\":{\"kind\":\"code\"},"
             "\"at\":\"2026-01-01T00:00:02.000Z\"}\n"
             "this is no JSON, though it names %s\n"
             "{\"id\":\"n1\",\"channel\":\"slack\",\"user\":\"%s\",\"to\":\"Kim <U0KIM>,Lee "
             "<%s>\",\"subject\":\"s\",\"body\":\"b\",\"data\":{\"kind\":\"match_done\"},"
             "\"at\":\"2026-01-01T00:00:03.000Z\"}\n"
             "{\"id\":\"n2\",\"channel\":\"email\",\"user\":\"\",\"to\":\"x%s\",\"subject\":\"another's\",\"body\":"
             "\"b\",\"data\":{},\"at\":\"2026-01-01T00:00:04.000Z\"}\n",
             address, address, user, address, address);
    sink_write(text);
    int count = inbox(address, lines);
    EXPECT_I64(3, count);
    if (count == 3) {
        EXPECT_TEXT("slack", text_of(lines[0], "channel"));
        EXPECT_TEXT("as it left", text_of(lines[1], "subject"));
        EXPECT_TEXT("888888", text_of(cJSON_GetObjectItem(lines[1], "data"), "code"));
        EXPECT_TEXT("2026-01-01T00:00:02.000Z", text_of(lines[1], "at"));
        EXPECT(strstr(text_of(lines[2], "subject"), "999999") != NULL);
        EXPECT(cJSON_GetObjectItem(lines[0], "id") == NULL);
    }
    for (int i = 0; i < count; i++)
        cJSON_Delete(lines[i]);
    REQUIRE(inbox(user, lines) == 1);
    EXPECT_TEXT("s", text_of(lines[0], "subject"));
    cJSON_Delete(lines[0]);
    sink_remove();
}
