/* runfiles.h - the small files under RUN_DIR by which the local stack is seen from outside: pid, url, admin, log,
 * locks. A file is replaced by rename, so a reader finds the old text or the new, never half of one. */
#ifndef MADANG_LOCAL_RUNFILES_H
#define MADANG_LOCAL_RUNFILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Path of a file in RUN_DIR (environment; default .run). */
void run_path(char out[PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replace, read, remove RUN_DIR/name. Reading gives "" for what is not there. Failures to write end the process:
 * without its files nobody could stop the stack. */
void run_write(const char *name, const char *text);
void run_write_pid(const char *unit, pid_t pid);
void run_read(const char *name, char *out, size_t size);
void run_remove(const char *name);

/* The number that a text is, all of it; 0 for anything else. */
long run_number(const char *text);

/* The lock of a part, "stores" or "daemons": held by its one supervisor for life (flock, so it ends with the process).
 * run_lock: true when this process has it now. run_lock_state tells the others how far it is, in a word.
 * run_holder: the supervisor's pid, 0 if there is none; its word in `state` (may be NULL). */
bool run_lock(const char *part);
void run_lock_state(const char *part, const char *word);
pid_t run_holder(const char *part, char *state, size_t size);

/* Opens RUN_DIR/<unit>.log for appending. Rotation keeps one older file: <unit>.log.1. */
int run_open_log(const char *unit);
void run_rotate_log(const char *unit);
/* Prints the last `lines` lines after byte `from`. */
void run_print_tail(const char *unit, int lines, long from);
long run_log_size(const char *unit);

#endif
