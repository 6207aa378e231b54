/* slice.c - slice MICROSECONDS PID, or slice MICROSECONDS PROGRAM ARGS...: gives a running process, or a program it
 * becomes, time slices of that length (100 to 100,000; 0: the system's own, about 3 ms). Where two processes share a
 * core, one that is woken waits for the other's slice to end; with short ones it does not wait long. Needs Linux 6.12:
 * before that the length of an ordinary process's slice can't be set and this does nothing. No privilege is needed. */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/sched/types.h, which glibc's sched.h does not bear beside it. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fputs("usage: slice MICROSECONDS PID | slice MICROSECONDS PROGRAM ARGS...\n", stderr);
        return 2;
    }
    const bool running = isdigit((unsigned char)argv[2][0]);
    const pid_t pid = running ? (pid_t)strtol(argv[2], NULL, 10) : 0;
    struct attributes attributes = {.size = sizeof attributes};
    if (syscall(SYS_sched_getattr, pid, &attributes, sizeof attributes, 0) < 0) {
        perror("sched_getattr");
        return 1;
    }
    attributes.runtime_ns = strtoull(argv[1], NULL, 10) * 1000;
    attributes.deadline_ns = attributes.period_ns = 0;
    if (syscall(SYS_sched_setattr, pid, &attributes, 0) < 0) {
        perror("sched_setattr");
        return 1;
    }
    if (running)
        return 0;
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
