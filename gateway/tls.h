/* tls.h - TLS 1.2 and 1.3 on the client's side (OpenSSL), non-blocking.
 * The certificate is one context that new connections take; a reload swaps it, and connections that are open keep
 * theirs. Threads: tls_open, tls_reload and tls_accept any; the rest on the connection's loop. */
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include "errors.h"

#include <stdbool.h>
#include <stddef.h>

struct client;
struct ssl_st;
struct tls;

/* Files in PEM. ERR_BAD_INPUT names what is wrong. */
struct tls *tls_open(const char *cert_file, const char *key_file, struct err *err);
void tls_release(struct tls **tls);
/* Reads both files again; on failure the old certificate stays. */
bool tls_reload(struct tls *tls, struct err *err);

struct ssl_st *tls_accept(struct tls *tls, int fd); /* NULL: no memory */
/* Goes on with the handshake: CLIENT_OPEN when done, broken when it failed. */
void tls_handshake(struct client *client);
long tls_read(struct client *client, char *bytes, size_t size);
long tls_write(struct client *client, const char *bytes, size_t length);
void tls_end(struct client *client); /* close_notify, as far as it goes */
void tls_close(struct ssl_st **ssl, bool broken);

#endif
