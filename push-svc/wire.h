/* wire.h - the network side of sending: one thread that turns one libcurl multi handle. All of FCM's sends share one
 * HTTP/2 connection, each a stream of it; web pushes have one connection per push service. At most `streams` per
 * channel are in flight, the others wait in order. It knows calls and answers, nothing of devices or rules. Threads:
 * put, take and poke from anywhere. */
#ifndef MADANG_PUSH_WIRE_H
#define MADANG_PUSH_WIRE_H

#include "fcm.h"
#include "reach.h"
#include "str.h"

#include <curl/curl.h>

enum wire_channel { WIRE_FCM, WIRE_WEB, WIRE_CHANNELS };
enum wire_end {
    WIRE_ANSWERED,
    WIRE_NO_ANSWER,   /* it may have arrived */
    WIRE_NOT_STARTED, /* it was not sent: its time to start passed, or the wire stopped */
};

/* Embedded in what the caller sends; the caller's memory until it comes back. */
struct wire_call {
    struct wire_call *next;
    enum wire_channel channel;
    char *url;                  /* web only; FCM's is the wire's */
    struct curl_slist *headers; /* web only */
    struct str body;
    int64_t start_by_ms; /* monotonic */
    enum wire_end end;
    long status;
    struct str answer;
    int retry_after_s;
    int64_t took_us;
    bool connected; /* NO_ANSWER: there was a connection */
    /* the wire's own */
    struct bearer *bearer;
    bool second;
    CURL *easy;
    struct wire_call *before, *after; /* in the ring of those in flight */
};
void wire_call_free_parts(struct wire_call *call); /* url, headers, body, answer */

struct wire_options {
    const struct fcm_account *account; /* lent; NULL: no call of WIRE_FCM may be put */
    const char *fcm_url, *ca_file;
    const struct reach *reach; /* lent */
    bool allow_http;           /* FCM and the token endpoint may be http (HTTP/2 without TLS) */
    int streams, timeout_ms;
};

struct wire;
struct wire *wire_start(const struct wire_options *options, struct err *err);
/* What is in flight gets up to 5 s; then everything is there to take. Puts are over. */
void wire_stop(struct wire *wire);
void wire_release(struct wire **wire); /* all calls must have been taken */

void wire_put(struct wire *wire, struct wire_call *calls); /* a list by `next`, in order */
/* A list of what is done, NULL after `timeout_ms` or a poke. */
struct wire_call *wire_take(struct wire *wire, int timeout_ms);
void wire_poke(struct wire *wire);
bool wire_fcm_ready(const struct wire *wire); /* there is an access token */
int wire_in_flight(const struct wire *wire);

#endif
