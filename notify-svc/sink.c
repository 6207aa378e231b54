#include "sink.h"

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
    char file[PATH_MAX - 8], old_file[PATH_MAX];
};

struct sink *sink_open(const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        err_set(err, &ERR_BAD_INPUT, "DATA_DIR: the folder can't be made: %s", strerror(errno));
        return NULL;
    }
    struct sink *sink = MEM_NEW(sink);
    if (snprintf(sink->file, sizeof sink->file, "%s/sink.jsonl", dir) >= (int)sizeof sink->file) {
        err_set(err, &ERR_BAD_INPUT, "DATA_DIR is too long");
        sink_release(&sink);
        return NULL;
    }
    (void)snprintf(sink->old_file, sizeof sink->old_file, "%s.1", sink->file);
    return sink;
}

void sink_release(struct sink **sink)
{
    free(*sink);
    *sink = NULL;
}

/* Under the file's lock, since several processes may find it full at once: whoever finds another file in its place
 * opens that one. */
static int open_for_write(const struct sink *sink)
{
    for (int tries = 0; tries < 10; tries++) {
        struct stat ours, there;
        int file = open(sink->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0 || flock(file, LOCK_EX) != 0) {
            if (file >= 0)
                (void)close(file);
            return -1;
        }
        bool current = fstat(file, &ours) == 0 && stat(sink->file, &there) == 0 && ours.st_ino == there.st_ino;
        if (current && ours.st_size < SINK_BYTES_MAX)
            return file;
        if (current)
            (void)rename(sink->file, sink->old_file);
        (void)close(file);
    }
    return -1;
}

static void print_line(struct str *out, const char *channel, const struct delivery *delivery)
{
    json_open(out, NULL, '{');
    json_text(out, "id", delivery->dedupe_id);
    json_text(out, "channel", channel);
    json_text(out, "user", delivery->user_id);
    json_text(out, "to", delivery->address);
    json_text(out, "subject", delivery->title);
    json_text(out, "body", delivery->body);
    json_open(out, "data", '{');
    json_text(out, "kind", delivery->kind);
    json_close(out, '}');
    json_time(out, "at", clock_now_ms());
    json_close(out, '}');
    str_add_char(out, '\n');
}

void sink_write(struct sink *sink, const char *channel, const struct delivery *delivery, struct outcome *outcome)
{
    AUTO_STR line;
    str_init(&line);
    print_line(&line, channel, delivery);
    int file = open_for_write(sink);
    bool written = file >= 0 && write(file, line.bytes, line.length) == (ssize_t)line.length;
    outcome_set(outcome, written ? OUTCOME_SENT : OUTCOME_RETRY, "%s",
                written ? "local sink" : "the local sink can't be written");
    if (file >= 0)
        (void)close(file);
}
