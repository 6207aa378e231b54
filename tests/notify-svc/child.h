/* child.h - another program beside a test: its standard input and output are ours; it ends with the test program.
 * Small helpers for tests only: any failure ends the program with the reason. */
#ifndef MADANG_TEST_CHILD_H
#define MADANG_TEST_CHILD_H

#include "test.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int in, out;
    char buffer[256 * 1024];
    size_t length;
};

enum { CHILD_MS = 20000 };

__attribute__((unused)) static void child_start(struct child *child, const char *const argv[])
{
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0 || (child->pid = fork()) < 0) {
        perror("child");
        exit(1);
    }
    if (child->pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        for (int fd = 3; fd < 256; fd++) /* its input ends when we do, so nobody else may hold it */
            (void)close(fd);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        perror(argv[0]);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    child->in = in[1];
    child->out = out[0];
}

/* The next line; valid until the next call. NULL when none came within `ms`. */
__attribute__((unused)) static const char *child_line(struct child *child, int ms)
{
    static char line[sizeof child->buffer];
    const int64_t until = test_now_ms() + ms;
    for (;;) {
        char *end = memchr(child->buffer, '\n', child->length);
        if (end) {
            size_t length = (size_t)(end - child->buffer);
            memcpy(line, child->buffer, length);
            line[length] = 0;
            child->length -= length + 1;
            memmove(child->buffer, end + 1, child->length);
            return line;
        }
        struct pollfd ready = {.fd = child->out, .events = POLLIN};
        int64_t left = until - test_now_ms();
        if (left <= 0 || poll(&ready, 1, (int)left) <= 0)
            return NULL;
        ssize_t got = read(child->out, child->buffer + child->length, sizeof child->buffer - 1 - child->length);
        if (got <= 0)
            return NULL;
        child->length += (size_t)got;
    }
}

__attribute__((unused)) static void child_say(struct child *child, const char *line)
{
    if (write(child->in, line, strlen(line)) < 0)
        perror("child");
}

/* A file of the repository, in which the build stands. */
__attribute__((unused)) static const char *test_path(const char *name)
{
    static char path[PATH_MAX + 256];
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length < 0 ? 0 : length] = 0;
    char *build = strstr(self, "/build/");
    if (build)
        *build = 0;
    (void)snprintf(path, sizeof path, "%s/%s", self, name);
    return path;
}

#endif
