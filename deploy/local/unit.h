/* unit.h - one supervised process: a store or an instance of a daemon. Starts it, notices its end, starts it again.
 * Units are started from the main thread only: their death signal (PR_SET_PDEATHSIG) follows the thread that forked.
 * A unit dies with its supervisor, whatever kills that. */
#ifndef MADANG_LOCAL_UNIT_H
#define MADANG_LOCAL_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct unit {
    /* set by who makes the table */
    char name[48]; /* user-svc-1: also the name of its files in RUN_DIR */
    char **argv;   /* argv[0] is looked up in PATH; NULL: somebody else runs it */
    char **environment;
    const char *user; /* becomes this user first; NULL: stays */
    int stop_signal;
    int delay_max_ms;                   /* the longest pause before another start */
    bool (*probe)(const char *address); /* NULL: nobody waits for it */
    const char *address;
    /* kept by unit.c */
    pid_t pid;                       /* 0: not running */
    int64_t started_ms, start_at_ms; /* start_at_ms: 0 = no start is due */
    int delay_ms;
    int quick_deaths; /* in a row */
    bool ready;       /* the probe was answered once */
};

/* Milliseconds of the monotonic clock. */
int64_t now_ms(void);

/* Starts a process in the background, its output to the descriptor `log`; its pid, or -1. Dies with this process. */
pid_t process_start(const char *user, char **argv, char **environment, int log, int death_signal);

void unit_start(struct unit *unit);
/* The process ended. `again`: sets when to start it again. Prints what happened. */
void unit_ended(struct unit *unit, int status, bool again);
/* Starts it when the time has come. Milliseconds until then, -1 when no start is due. */
int64_t unit_start_if_due(struct unit *unit);
void unit_signal(const struct unit *unit, int signal);

#endif
