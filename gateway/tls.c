#include "tls.h"

#include "client.h"
#include "mem.h"
#include "stats.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

struct tls {
    const char *cert_file, *key_file;
    pthread_mutex_t lock; /* guards the pointer */
    SSL_CTX *context;
};

/* Only HTTP/1.1: a client that offers nothing else by ALPN is refused, one without ALPN is taken. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
                           unsigned in_length, void *payload)
{
    (void)ssl;
    (void)payload;
    static const unsigned char OURS[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_length, OURS, sizeof OURS - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool fail(SSL_CTX *context, struct err *err, const char *what, const char *file)
{
    char reason[120];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    SSL_CTX_free(context);
    return err_set(err, &ERR_BAD_INPUT, "%s: %s: %s", what, file, reason);
}

static bool read_context(const struct tls *tls, SSL_CTX **out, struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return fail(NULL, err, "TLS", "context");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets do it without our memory */
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1)
        return fail(context, err, "TLS_CERT_FILE", tls->cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        return fail(context, err, "TLS_KEY_FILE", tls->key_file);
    *out = context;
    return true;
}

struct tls *tls_open(const char *cert_file, const char *key_file, struct err *err)
{
    struct tls *tls = MEM_NEW(tls);
    tls->cert_file = cert_file;
    tls->key_file = key_file;
    (void)pthread_mutex_init(&tls->lock, NULL);
    if (!read_context(tls, &tls->context, err)) {
        tls_release(&tls);
        return NULL;
    }
    return tls;
}

void tls_release(struct tls **tls)
{
    struct tls *old = TAKE(*tls);
    if (!old)
        return;
    SSL_CTX_free(old->context);
    (void)pthread_mutex_destroy(&old->lock);
    free(old);
}

bool tls_reload(struct tls *tls, struct err *err)
{
    SSL_CTX *fresh = NULL;
    if (!read_context(tls, &fresh, err))
        return false;
    (void)pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = fresh;
    (void)pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old); /* counted: lives on with its connections */
    return true;
}

struct ssl_st *tls_accept(struct tls *tls, int fd)
{
    (void)pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    (void)pthread_mutex_unlock(&tls->lock);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

/* What a call that did not succeed means: -1 would block, -2 broken, 0 end. */
static long explain(struct client *client, int result)
{
    int why = SSL_get_error(client->tls, result);
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
        client->readable = false;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        client->writable = false;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -2;
    }
}

void tls_handshake(struct client *client)
{
    ERR_clear_error();
    int result = SSL_do_handshake(client->tls);
    if (result == 1) {
        client->state = CLIENT_OPEN;
        client->readable = true; /* the first request may have come with it */
        return;
    }
    if (explain(client, result) != -1) {
        client->broken = true;
        loop_stats_add(client->loop, STAT_HANDSHAKES_FAILED);
    }
}

long tls_read(struct client *client, char *bytes, size_t size)
{
    ERR_clear_error();
    int result = SSL_read(client->tls, bytes, (int)size);
    return result > 0 ? result : explain(client, result);
}

long tls_write(struct client *client, const char *bytes, size_t length)
{
    long done = 0;
    ERR_clear_error();
    while ((size_t)done < length) {
        int result = SSL_write(client->tls, bytes + done, (int)(length - (size_t)done));
        if (result > 0) {
            done += result;
            continue;
        }
        long why = explain(client, result);
        return why == -1 ? done : -1;
    }
    return done;
}

void tls_end(struct client *client)
{
    if (!client->tls)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(client->tls);
    ERR_clear_error();
}

void tls_close(struct ssl_st **ssl, bool broken)
{
    SSL *old = TAKE(*ssl);
    if (!old)
        return;
    if (!broken && SSL_is_init_finished(old)) {
        ERR_clear_error();
        (void)SSL_shutdown(old);
        ERR_clear_error();
    }
    SSL_free(old);
}
