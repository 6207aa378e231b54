/* runfiles.c - see runfiles.h. */
#include "runfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX_BYTES (50L * 1024 * 1024)
#define TAIL_MAX_BYTES (64L * 1024)

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "madang: cannot %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

void run_path(char out[PATH_MAX], const char *format, ...)
{
    const char *folder = getenv("RUN_DIR");
    int used = snprintf(out, PATH_MAX, "%s/", folder && *folder ? folder : ".run");
    va_list args;
    va_start(args, format);
    if (used < PATH_MAX)
        used += vsnprintf(out + used, (size_t)(PATH_MAX - used), format, args);
    va_end(args);
    if (used >= PATH_MAX) {
        errno = ENAMETOOLONG;
        fail("use", folder);
    }
}

void run_write(const char *name, const char *text)
{
    char path[PATH_MAX], new_path[PATH_MAX];
    run_path(path, "%s", name);
    run_path(new_path, ".%s.new", name);
    FILE *file = fopen(new_path, "we");
    if (!file)
        fail("write", new_path);
    fputs(text, file);
    if (fclose(file) != 0 || rename(new_path, path) != 0)
        fail("write", path);
}

void run_write_pid(const char *unit, pid_t pid)
{
    char name[NAME_MAX], text[32];
    snprintf(name, sizeof name, "%s.pid", unit);
    snprintf(text, sizeof text, "%d\n", (int)pid);
    run_write(name, text);
}

void run_read(const char *name, char *out, size_t size)
{
    char path[PATH_MAX];
    run_path(path, "%s", name);
    size_t got = 0;
    FILE *file = fopen(path, "re");
    if (file) {
        got = fread(out, 1, size - 1, file);
        fclose(file);
    }
    while (got > 0 && out[got - 1] == '\n')
        got--;
    out[got] = 0;
}

void run_remove(const char *name)
{
    char path[PATH_MAX];
    run_path(path, "%s", name);
    if (unlink(path) != 0 && errno != ENOENT)
        fail("remove", path);
}

long run_number(const char *text)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == 0 ? number : 0;
}

/* Held until the process ends; this process supervises one part only. */
static int lock_fd = -1;

bool run_lock(const char *part)
{
    char path[PATH_MAX];
    run_path(path, "%s.lock", part);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        fail("open", path);
    /* A script that only looks holds the lock (shared) for an instant; so one refusal proves nothing. */
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == 20) {
            close(fd);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    lock_fd = fd;
    run_lock_state(part, "starting");
    return true;
}

void run_lock_state(const char *part, const char *word)
{
    char text[64];
    /* One write of one size: a reader never sees two states mixed. */
    int length = snprintf(text, sizeof text, "%d %-40.40s\n", (int)getpid(), word);
    if (pwrite(lock_fd, text, (size_t)length, 0) != length)
        fail("write the lock of", part);
}

pid_t run_holder(const char *part, char *state, size_t size)
{
    char path[PATH_MAX], text[64] = {0}, digits[16] = "", word[32] = "";
    pid_t pid = 0;
    run_path(path, "%s.lock", part);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
        if (held && pread(fd, text, sizeof text - 1, 0) > 0 && sscanf(text, "%15s %31s", digits, word) == 2)
            pid = (pid_t)run_number(digits);
        if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) /* the words of a predecessor that was killed */
            pid = 0;
        close(fd);
        if (held && pid == 0) { /* just taken, nothing written yet */
            pid = -1;
            snprintf(word, sizeof word, "starting");
        }
    }
    if (state)
        snprintf(state, size, "%s", pid ? word : "");
    return pid;
}

int run_open_log(const char *unit)
{
    char path[PATH_MAX];
    run_path(path, "%s.log", unit);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        fail("open", path);
    return fd;
}

long run_log_size(const char *unit)
{
    char path[PATH_MAX];
    struct stat st;
    run_path(path, "%s.log", unit);
    return stat(path, &st) == 0 ? (long)st.st_size : 0;
}

/* The writer keeps its descriptor (opened with O_APPEND), so the text is copied and the file emptied. */
void run_rotate_log(const char *unit)
{
    if (run_log_size(unit) < LOG_MAX_BYTES)
        return;
    char path[PATH_MAX], old_path[PATH_MAX];
    run_path(path, "%s.log", unit);
    run_path(old_path, "%s.log.1", unit);
    int from = open(path, O_RDWR | O_CLOEXEC);
    int to = open(old_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (from >= 0 && to >= 0) {
        while (sendfile(to, from, NULL, 1 << 20) > 0)
            ;
        if (ftruncate(from, 0) != 0)
            fprintf(stderr, "madang: cannot empty %s: %s\n", path, strerror(errno));
    }
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
}

void run_print_tail(const char *unit, int lines, long from)
{
    char path[PATH_MAX];
    run_path(path, "%s.log", unit);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    long size = run_log_size(unit);
    long start = size - TAIL_MAX_BYTES > from ? size - TAIL_MAX_BYTES : from;
    char *text = calloc(1, TAIL_MAX_BYTES + 1);
    if (text && fseek(file, start, SEEK_SET) == 0) {
        size_t got = fread(text, 1, TAIL_MAX_BYTES, file);
        char *line = text + got;
        for (int found = 0; line > text; line--)
            if (line[-1] == '\n' && line < text + got && ++found == lines)
                break;
        fputs(line, stderr);
    }
    free(text);
    fclose(file);
}
