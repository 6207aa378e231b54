/* Log lines as they arrive on stderr. */
#include "log.h"

#include "json.h"
#include "mem.h"
#include "str.h"
#include "test.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Runs `write` with stderr going to a file, and returns what was written. */
static char *catch (void (*write_lines)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    (void)dup2(fileno(file), STDERR_FILENO);
    write_lines();
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    long length = lseek(fileno(file), 0, SEEK_END);
    char *text = mem_new(1, (size_t)length + 1);
    EXPECT_I64(length, pread(fileno(file), text, (size_t)length, 0));
    (void)fclose(file);
    return text;
}

static cJSON *parse_line(const char *text)
{
    cJSON *line = cJSON_Parse(text);
    test_check(line != NULL, __FILE__, __LINE__, "no JSON: %s", text);
    return line;
}

static const char *text_of(const cJSON *line, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, name));
}

static void write_one(void)
{
    log_open("test-svc", "host-1", LOG_INFO);
    log_set_request("req-1", "0af7651916cd43dd8448eb211c80319c");
    log_event(LOG_INFO, "login_refused", LOG_TEXT("reason", "bad \"quotes\"\n\t\x01\x7f \\ 마당 \xff"),
              LOG_I64("tries", INT64_MIN), LOG_BOOL("known", true), LOG_DOUBLE("share", 0.25), LOG_TEXT("none", NULL));
    log_event(LOG_DEBUG, "not_seen");
    log_set_request(NULL, NULL);
}

TEST(log_lines_have_ecs_names_and_escaped_values, "I10")
{
    char *text AUTO_FREE = catch (write_one);
    EXPECT(strchr(text, '\n') == text + strlen(text) - 1); /* one line */
    cJSON *line = parse_line(text);
    EXPECT_I64(24, strlen(text_of(line, "@timestamp")));
    EXPECT_TEXT("info", text_of(line, "log.level"));
    EXPECT_TEXT("login_refused", text_of(line, "event.action"));
    EXPECT_TEXT("test-svc", text_of(line, "service.name"));
    EXPECT_TEXT("host-1", text_of(line, "service.node.name"));
    EXPECT_TEXT("req-1", text_of(line, "http.request.id"));
    EXPECT_TEXT("0af7651916cd43dd8448eb211c80319c", text_of(line, "trace.id"));
    EXPECT_TEXT("bad \"quotes\"\n\t\x01\x7f \\ 마당 \xef\xbf\xbd", text_of(line, "reason"));
    EXPECT(cJSON_IsTrue(cJSON_GetObjectItem(line, "known")));
    EXPECT(cJSON_IsNull(cJSON_GetObjectItem(line, "none")));
    EXPECT(strstr(text, "\"tries\":-9223372036854775808,") != NULL);
    EXPECT(strstr(text, "\"share\":0.25,") != NULL);
    cJSON_Delete(line);
}

static void write_long(void)
{
    static char big[5000];
    for (size_t i = 0; i + 3 < sizeof big; i += 3)
        memcpy(big + i, "\xeb\xa7\x88", 3);
    log_event(LOG_WARN, "big", LOG_TEXT("a", big), LOG_I64("n", 1));
    log_event(LOG_WARN, "bigger", LOG_TEXT("a", big), LOG_TEXT("b", big), LOG_TEXT("c", big), LOG_TEXT("d", big),
              LOG_I64("n", 1));
}

TEST(log_lines_are_bounded_and_stay_json, "I9")
{
    char *text AUTO_FREE = catch (write_long), *rest = text;
    const char *first = strsep(&rest, "\n"), *second = strsep(&rest, "\n");
    EXPECT(strlen(second) < 4096);
    cJSON *line = parse_line(first);
    EXPECT(strlen(text_of(line, "a")) <= 1024 + 3);
    EXPECT(strstr(text_of(line, "a"), "\xef\xbf\xbd") == NULL); /* cut between characters */
    EXPECT(cJSON_GetObjectItem(line, "n") != NULL);
    cJSON_Delete(line);
    line = parse_line(second);
    EXPECT(cJSON_IsTrue(cJSON_GetObjectItem(line, "log.truncated")));
    EXPECT_TEXT("bigger", text_of(line, "event.action"));
    cJSON_Delete(line);
}

static void write_err(void)
{
    struct err err = {0};
    log_err("nothing", &err);
    err_set_internal(&err, &ERR_UNAVAILABLE, "connection refused");
    log_err("job_failed", &err);
    err_set(&err, &ERR_BAD_INPUT, "wrong");
    log_err("quiet", &err); /* bad input is told at debug level */
}

TEST(log_tells_failures_at_their_own_level, "")
{
    char *text AUTO_FREE = catch (write_err);
    cJSON *line = parse_line(text);
    EXPECT_TEXT("warn", text_of(line, "log.level"));
    EXPECT_TEXT("job_failed", text_of(line, "event.action"));
    EXPECT_TEXT("unavailable", text_of(line, "error.type"));
    EXPECT_TEXT("connection refused", text_of(line, "error.detail"));
    EXPECT(!strstr(text, "quiet") && !strstr(text, "nothing"));
    cJSON_Delete(line);
}

static void *write_often(void *payload)
{
    for (int i = 0; i < 500; i++)
        log_event(LOG_INFO, "often", LOG_I64("thread", (intptr_t)payload),
                  LOG_TEXT("text", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    return NULL;
}

static void write_from_threads(void)
{
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        (void)pthread_create(&threads[i], NULL, write_often, (void *)i);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
}

TEST(log_lines_of_threads_are_never_mixed, "")
{
    int lines = 0;
    char *text AUTO_FREE = catch (write_from_threads), *rest = text;
    for (const char *one; (one = strsep(&rest, "\n")) && *one; lines++) {
        cJSON *line = parse_line(one);
        cJSON_Delete(line);
    }
    EXPECT_I64(2000, lines);
}

TEST(log_levels_have_names, "")
{
    enum log_level level;
    EXPECT(log_parse_level("debug", &level) && level == LOG_DEBUG);
    EXPECT(log_parse_level("error", &level) && level == LOG_ERROR);
    EXPECT(!log_parse_level("loud", &level) && !log_parse_level("", &level));
}
