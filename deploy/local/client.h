/* client.h - the commands that look at the local stack from outside and steer its supervisors: each an exit status for
 * main(). */
#ifndef MADANG_LOCAL_CLIENT_H
#define MADANG_LOCAL_CLIENT_H

/* Exit status of a supervisor that found another one in its place. */
#define STATUS_UP_ALREADY 75

int client_stores(void); /* the stores are up and prepared; started if need be */
int client_topics(void); /* every topic is there (topics.c) */
int client_up(void);     /* and every daemon is ready */
int client_wait(void);   /* every daemon that was started is ready; else names those that are not */
int client_daemons_down(void);
int client_stores_down(void);
int client_down(void);
int client_status(void);

#endif
