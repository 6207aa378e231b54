/* client.h - one connection of a client: reads requests, one at a time and in order, and writes answers.
 * At rest it holds no buffers. Threads: its loop's. */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#include "address.h"
#include "loop.h"

struct exchange;
struct ssl_st;

enum client_state {
    CLIENT_HANDSHAKE, /* TLS is being agreed on */
    CLIENT_OPEN,
    CLIENT_LINGER, /* the last answer is out; what still comes is thrown away, so that it arrives */
};

struct client {
    struct source source; /* first: epoll points here */
    int fd;
    enum client_state state;
    bool readable, writable; /* not yet seen that it would block */
    bool hung_up;            /* the other side has finished sending, or an error waits */
    bool broken;             /* can't be used any more: closed as soon as nobody stands on it */
    bool close_after;        /* after what is in `out` */
    bool in_partial;         /* `in` holds the beginning of a head, not yet a whole one */
    bool queued;             /* in loop->ready */
    struct loop *loop;
    struct client *next, *previous; /* all of the loop */
    struct client *next_ready;
    struct ssl_st *tls;
    struct buffer *in;  /* bytes that came too early or are not complete */
    struct buffer *out; /* bytes that the client did not take yet, or that leave at the end of this round */
    struct exchange *exchange;
    int64_t skip;    /* bytes of a refused request's body still to be thrown away */
    int64_t drained; /* bytes thrown away after the last answer */
    int64_t requests;
    struct timer timer;
    int64_t accepted_ms, head_since_ms;
    struct address address;
    char address_text[ADDRESS_TEXT_BYTES];
    uint64_t address_key; /* for the count of connections */
    uint64_t rate_key;    /* for the rate of its address */
    bool counted;
};

void client_accept(struct loop *loop, int fd, const struct sockaddr_storage *from);
/* Does what can be done: reads, starts requests, writes, closes. The last thing an event handler calls. */
void client_pump(struct client *client);
/* Sends or keeps; a failure makes it broken. */
void client_send(struct client *client, const char *bytes, size_t length);
/* The same for the end of an answer: when it is small it leaves with the others of this round. */
void client_send_last(struct client *client, const char *bytes, size_t length);
static inline bool client_backlogged(const struct client *client)
{
    return client->out != NULL;
}
/* Bytes read; 0: end; -1: would block; -2: broken. */
long client_read(struct client *client, char *bytes, size_t size);
/* To be pumped again in this round, after the other connections. */
void client_queue(struct client *client);
/* Sets the timer by what it waits for. */
void client_arm(struct client *client);
void client_close(struct client *client);

#endif
