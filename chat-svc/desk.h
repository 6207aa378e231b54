/* desk.h - look-ups for the sockets' loop: a few threads that may wait for PostgreSQL and Redis, so that the loop never
 * does. Jobs run in order of asking (several at once); the queue is bounded. Ownership: a job is its owner's until
 * desk_ask says true, and again in `done`. */
#ifndef MADANG_CHAT_DESK_H
#define MADANG_CHAT_DESK_H

#include "errors.h"

struct desk;
struct ws_server;

struct desk_job { /* the first member of what an owner asks for */
    struct desk_job *next;
    void (*run)(void *app, struct desk_job *job); /* on a thread of the desk */
    void (*done)(void *app, struct desk_job *job,
                 bool alive); /* on the loop; alive false: nobody is there any more, only free it */
    struct desk *desk;
};

/* `app` is passed to run and done. */
struct desk *desk_open(int threads, size_t queue_max, void *app, struct err *err);
void desk_loop(struct desk *desk, struct ws_server *loop); /* where `done` runs */
/* After the loop has ended: what is left is freed by done(..., false). */
void desk_release(struct desk **desk);

/* False when the queue is full: overloaded. */
bool desk_ask(struct desk *desk, struct desk_job *job);

#endif
