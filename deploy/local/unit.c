/* unit.c - see unit.h. */
#include "unit.h"

#include "runfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUICK_MS 1000 /* who lived shorter than this died at once */
#define FIRST_DELAY_MS 100

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* In the child, between fork and exec: only calls that are safe in a process whose other threads are gone. */
static void become(const struct passwd *user, char **argv, char **environment, int log, int death_signal, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* Ctrl-C in the terminal is for the supervisor alone */
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
    close_range(3, ~0U, 0);
    if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
        dprintf(2, "madang: cannot become %s: %s\n", user->pw_name, strerror(errno));
        _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, death_signal); /* after setuid, which clears it */
    if (getppid() != parent)
        _exit(125);
    execvpe(argv[0], argv, environment);
    dprintf(2, "madang: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t process_start(const char *user, char **argv, char **environment, int log, int death_signal)
{
    const struct passwd *entry = NULL;
    if (user && !(entry = getpwnam(user))) {
        fprintf(stderr, "madang: there is no user %s\n", user);
        return -1;
    }
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(entry, argv, environment, log, death_signal, parent);
    if (pid < 0)
        fprintf(stderr, "madang: cannot start %s: %s\n", argv[0], strerror(errno));
    return pid;
}

void unit_start(struct unit *unit)
{
    int log = run_open_log(unit->name);
    unit->started_ms = now_ms();
    unit->start_at_ms = 0;
    unit->ready = false;
    /* SIGKILL: certain, and all of them are made to survive it. */
    pid_t pid = process_start(unit->user, unit->argv, unit->environment, log, SIGKILL);
    close(log);
    if (pid > 0) {
        unit->pid = pid;
        run_write_pid(unit->name, pid);
    } else {
        unit->start_at_ms = now_ms() + unit->delay_max_ms;
    }
}

static int next_delay_ms(struct unit *unit)
{
    if (now_ms() - unit->started_ms >= QUICK_MS) {
        unit->quick_deaths = 0;
        unit->delay_ms = FIRST_DELAY_MS;
    } else {
        unit->quick_deaths++;
        unit->delay_ms = unit->delay_ms < FIRST_DELAY_MS ? FIRST_DELAY_MS : unit->delay_ms * 2;
    }
    if (unit->delay_ms > unit->delay_max_ms)
        unit->delay_ms = unit->delay_max_ms;
    return unit->delay_ms;
}

void unit_ended(struct unit *unit, int status, bool again)
{
    char how[64];
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
    unit->pid = 0;
    if (again) {
        int delay_ms = next_delay_ms(unit);
        unit->start_at_ms = now_ms() + delay_ms;
        printf("madang: %s %s; starts again in %d ms\n", unit->name, how, delay_ms);
    } else {
        printf("madang: %s %s\n", unit->name, how);
    }
    fflush(stdout);
}

int64_t unit_start_if_due(struct unit *unit)
{
    if (unit->pid || !unit->start_at_ms)
        return -1;
    int64_t wait_ms = unit->start_at_ms - now_ms();
    if (wait_ms > 0)
        return wait_ms;
    unit_start(unit);
    return -1;
}

void unit_signal(const struct unit *unit, int signal_number)
{
    if (unit->pid > 0)
        kill(unit->pid, signal_number);
}
