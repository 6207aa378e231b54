/* test_sink.c - the local sink: whole lines from many writers, a bounded file, nobody else's eyes; and channels that
 * need it. */
#include "channels.h"
#include "mem.h"
#include "sink.h"
#include "test.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/madang-sink-XXXXXX", file[64], old_file[64];

static void remove_all(void)
{
    (void)remove(file);
    (void)remove(old_file);
    (void)remove(folder);
}

static const char *make_folder(void)
{
    if (!*file) {
        if (!mkdtemp(folder))
            exit(1);
        (void)snprintf(file, sizeof file, "%s/sink.jsonl", folder);
        (void)snprintf(old_file, sizeof old_file, "%s/sink.jsonl.1", folder);
        (void)atexit(remove_all);
    }
    (void)remove(file);
    (void)remove(old_file);
    return folder;
}

static const struct delivery LETTER = {.kind = "code",
                                       .dedupe_id = "d-1",
                                       .user_id = "",
                                       .address = "mina@example.com",
                                       .locale = "ko",
                                       .title = "제목 \"1\"",
                                       .body = "줄\n바꿈",
                                       .attempt = 1};

/* Lines that are JSON objects with these words; -1 when one is not. */
static int whole_lines(const char *path)
{
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    int count = 0;
    while (in && getline(&line, &room, in) > 0) {
        cJSON *object = cJSON_Parse(line);
        const char *body = cJSON_GetStringValue(cJSON_GetObjectItem(object, "body"));
        bool whole = body && strcmp(body, LETTER.body) == 0;
        cJSON_Delete(object);
        if (!whole) {
            count = -1;
            break;
        }
        count++;
    }
    free(line);
    if (in)
        (void)fclose(in);
    return count;
}

static void *write_some(void *payload)
{
    struct outcome outcome;
    for (int i = 0; i < 200; i++) {
        sink_write(payload, "email", &LETTER, &outcome);
        EXPECT_I64(OUTCOME_SENT, outcome.kind);
    }
    return NULL;
}

TEST(many_writers_leave_whole_lines_that_only_their_owner_reads, "D-51 P-07")
{
    enum { WRITERS = 4 };
    struct err err = {0};
    AUTO(sink) one = sink_open(make_folder(), &err);
    AUTO(sink) two = sink_open(folder, &err); /* as another process would */
    pthread_t threads[WRITERS];
    REQUIRE(one && two);
    for (int i = 0; i < WRITERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, write_some, i % 2 ? one : two) == 0);
    for (int i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_I64(200 * WRITERS, whole_lines(file));
    struct stat there;
    REQUIRE(stat(file, &there) == 0);
    EXPECT_I64(0600, there.st_mode & 0777);
}

TEST(a_full_sink_makes_room_and_keeps_the_one_before, "D-51")
{
    struct err err = {0};
    struct outcome outcome;
    AUTO(sink) sink = sink_open(make_folder(), &err);
    REQUIRE(sink);
    sink_write(sink, "email", &LETTER, &outcome);
    REQUIRE(truncate(file, SINK_BYTES_MAX) == 0); /* full, and nearly all of it a hole */
    sink_write(sink, "email", &LETTER, &outcome);
    EXPECT_I64(OUTCOME_SENT, outcome.kind);
    EXPECT_I64(1, whole_lines(file));
    struct stat old;
    REQUIRE(stat(old_file, &old) == 0);
    EXPECT_I64(SINK_BYTES_MAX, old.st_size);
}

TEST(what_cannot_be_written_comes_again, "D-51")
{
    struct err err = {0};
    struct outcome outcome;
    AUTO(sink) sink = sink_open(make_folder(), &err);
    REQUIRE(sink && mkdir(file, 0700) == 0); /* not a file at all */
    sink_write(sink, "email", &LETTER, &outcome);
    EXPECT_I64(OUTCOME_RETRY, outcome.kind);
    EXPECT(sink_open("/proc/nothing/here", &err) == NULL);
    EXPECT(strncmp(err.message, "DATA_DIR", 8) == 0);
}

static struct channels_config config_of(const char *url, const char *provider, const char *token)
{
    return (struct channels_config){
        .email = {.url = url,
                  .user = "",
                  .password = "",
                  .from = "a@madang.example",
                  .tls = "required",
                  .ca_file = "",
                  .senders = 2,
                  .timeout_ms = 1000},
        .sms = {.provider = provider,
                .from = "0212345678",
                .base_url = "",
                .ca_file = "",
                .solapi_key = "key",
                .solapi_secret = "secret",
                .senders = 3,
                .timeout_ms = 1000},
        .slack = {.token = token,
                  .webhooks = "",
                  .signing_secret = "",
                  .base_url = "https://slack.com",
                  .ca_file = "",
                  .senders = 4,
                  .timeout_ms = 1000},
        .sink_dir = "/proc/nothing/here",
    };
}

TEST(the_sink_is_opened_only_by_who_needs_it, "D-51")
{
    struct err err = {0};
    const struct channels_config all_set = config_of("smtps://mail.example.com", "solapi", "xoxb-1");
    AUTO(channels) set = channels_open(&all_set, &err);
    REQUIRE(set);
    static const char *const NAMES[] = {"email", "sms", "slack"};
    for (int i = 0; i < 3; i++) {
        EXPECT_TEXT(NAMES[i], channels_list(set)[i].name);
        EXPECT_I64(2 + i, channels_list(set)[i].senders);
    }
    EXPECT(channels_list(set)[3].name == NULL);
    const struct channels_config none_set = config_of("", "solapi", "xoxb-1");
    AUTO(channels) unset = channels_open(&none_set, &err);
    EXPECT(!unset);
    EXPECT(strncmp(err.message, "DATA_DIR", 8) == 0);
}

TEST(channels_without_settings_fill_the_sink, "D-51 P-07")
{
    struct err err = {0};
    struct channels_config config = config_of("", "", "");
    config.sink_dir = make_folder();
    AUTO(channels) channels = channels_open(&config, &err);
    REQUIRE(channels);
    for (const struct channel *channel = channels_list(channels); channel->name; channel++) {
        struct outcome outcome;
        channel->send(channel->state, &LETTER, &outcome);
        EXPECT_I64(OUTCOME_SENT, outcome.kind);
    }
    EXPECT_I64(3, whole_lines(file));
}
