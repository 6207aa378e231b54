/* strays.h - processes that a killed store left behind. PostgreSQL's own end when they notice that their postmaster is
 * gone, but for one: between recovery and its first checkpoint the start-up process looks away for up to a minute, and
 * no new server may start. */
#ifndef MADANG_LOCAL_STRAYS_H
#define MADANG_LOCAL_STRAYS_H

#include <sys/types.h>

/* SIGKILL to our children that are not among `known`: what units left becomes ours (PR_SET_CHILD_SUBREAPER). */
void strays_kill_children(const pid_t known[], int count);

/* SIGKILL to processes that still serve the PostgreSQL data in RUN_DIR, left by a supervisor that was killed. Only the
 * holder of the lock of the stores may call this, or who knows that there is none. */
void strays_kill_postgres(void);

#endif
