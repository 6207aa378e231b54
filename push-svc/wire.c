#include "wire.h"

#include "clock.h"
#include "fcm_token.h"
#include "log.h"
#include "mem.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ANSWER_BYTES = 64 * 1024,
    CONNECT_MS = 3000,
    STOP_MS = 5000,
    LOOK_MS = 500, /* between two looks when nothing happens */
    STOP_LOOK_MS = 50,
    UNACKNOWLEDGED_MS = 10000, /* a connection whose other end is gone is closed by the kernel */
    CONNECTIONS = 64,
    SPARES = 256,
};

struct queue {
    struct wire_call *first, **last;
};

struct wire {
    struct wire_options options;
    char *fcm_url, *ca_file;
    CURLM *multi;
    pthread_t thread;
    struct fcm_token *token;
    /* the thread's own */
    struct queue waiting[WIRE_CHANNELS];
    int active[WIRE_CHANNELS];
    struct wire_call fetch;  /* of the access token */
    struct wire_call flying; /* the ring's head */
    CURL *spare[SPARES];
    int spare_count;
    _Atomic int in_flight;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct queue inbox, done;
    bool poked, stop, stopped;
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct wire_call *calls)
{
    *queue->last = calls;
    while (*queue->last)
        queue->last = &(*queue->last)->next;
}

static struct wire_call *queue_all(struct queue *queue)
{
    struct wire_call *all = queue->first;
    queue_init(queue);
    return all;
}

static struct wire_call *queue_pop(struct queue *queue)
{
    struct wire_call *first = queue->first;
    if (!first)
        return NULL;
    queue->first = first->next;
    if (!queue->first)
        queue->last = &queue->first;
    first->next = NULL;
    return first;
}

void wire_call_free_parts(struct wire_call *call)
{
    free(call->url);
    curl_slist_free_all(call->headers);
    str_free(&call->body);
    str_free(&call->answer);
}

/* ---- handles ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *payload)
{
    struct wire_call *call = payload;
    const size_t length = size * count;
    if (call->answer.length + length > ANSWER_BYTES)
        return 0; /* curl ends the transfer */
    str_add_bytes(&call->answer, bytes, length);
    return length;
}

static int on_socket(void *payload, curl_socket_t fd, curlsocktype purpose)
{
    const unsigned int most = UNACKNOWLEDGED_MS;
    (void)payload;
    (void)purpose;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most);
    return CURL_SOCKOPT_OK;
}

/* The last word on where a subscription leads: the address itself, after the name was looked up. */
static curl_socket_t open_web_socket(void *payload, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct wire *wire = payload;
    (void)purpose;
    if (!reach_address(wire->options.reach, &address->addr)) {
        log_event(LOG_WARN, "push_endpoint_inner_address");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURL *easy_new(const struct wire *wire)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* not by accident of the environment */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* wait for the one connection rather than make another */
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (wire->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, wire->ca_file);
    return easy;
}

static CURL *easy_take(struct wire *wire)
{
    return wire->spare_count ? wire->spare[--wire->spare_count] : easy_new(wire);
}

static void easy_give(struct wire *wire, CURL *easy)
{
    if (easy && wire->spare_count < SPARES)
        wire->spare[wire->spare_count++] = easy;
    else
        curl_easy_cleanup(easy);
}

static bool start(struct wire *wire, struct wire_call *call, const char *url, struct curl_slist *headers, bool guarded)
{
    CURL *easy = call->easy = easy_take(wire);
    const bool plain = wire->options.allow_http && strncmp(url, "http://", 7) == 0;
    if (!easy)
        return false;
    str_clear(&call->answer);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(plain ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)wire->options.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.bytes ? call->body.bytes : "");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, guarded ? open_web_socket : NULL);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, wire);
    if (curl_multi_add_handle(wire->multi, easy) == CURLM_OK)
        return true;
    easy_give(wire, TAKE(call->easy));
    return false;
}

/* ---- the access token ---- */

static void fetch_start(struct wire *wire, int64_t now_ms)
{
    struct wire_call *fetch = &wire->fetch;
    struct err err = {0};
    str_clear(&fetch->body);
    if (!fcm_token_form(wire->token, &fetch->body, &err))
        log_err("fcm_assertion_failed", &err);
    else if (start(wire, fetch, fcm_account_token_uri(wire->options.account), fetch->headers, false)) {
        return;
    }
    fcm_token_fetched(wire->token, 0, VIEW(""), 0, now_ms);
}

static void fetch_end(struct wire *wire, int64_t now_ms)
{
    struct wire_call *fetch = &wire->fetch;
    const struct view body = {fetch->answer.bytes ? fetch->answer.bytes : "", fetch->answer.length};
    fcm_token_fetched(wire->token, fetch->end == WIRE_ANSWERED ? fetch->status : 0, body, fetch->retry_after_s, now_ms);
    if (fetch->answer.bytes)
        OPENSSL_cleanse(fetch->answer.bytes, fetch->answer.length);
    str_clear(&fetch->answer);
}

/* ---- the thread ---- */

static void finish(struct wire *wire, struct wire_call *call, enum wire_end end)
{
    call->end = end;
    call->next = NULL;
    fcm_token_give(&call->bearer);
    (void)pthread_mutex_lock(&wire->lock);
    queue_add(&wire->done, call);
    (void)pthread_cond_signal(&wire->changed);
    (void)pthread_mutex_unlock(&wire->lock);
}

static void fly(struct wire *wire, struct wire_call *call)
{
    call->before = &wire->flying;
    call->after = wire->flying.after;
    call->after->before = call;
    wire->flying.after = call;
    wire->active[call->channel]++;
    atomic_fetch_add(&wire->in_flight, 1);
}

static void land(struct wire *wire, struct wire_call *call)
{
    call->before->after = call->after;
    call->after->before = call->before;
    wire->active[call->channel]--;
    atomic_fetch_sub(&wire->in_flight, 1);
}

/* False: nothing of this channel can start now. */
static bool start_next(struct wire *wire, enum wire_channel channel, int64_t now_ms)
{
    struct queue *waiting = &wire->waiting[channel];
    struct wire_call *call = waiting->first;
    if (!call)
        return false;
    if (now_ms >= call->start_by_ms) {
        finish(wire, queue_pop(waiting), WIRE_NOT_STARTED);
        return true;
    }
    if (wire->active[channel] >= wire->options.streams)
        return false;
    const bool fcm = channel == WIRE_FCM;
    if (fcm && !(call->bearer = fcm_token_take(wire->token, now_ms)))
        return false;
    (void)queue_pop(waiting);
    if (!start(wire, call, fcm ? wire->fcm_url : call->url, fcm ? call->bearer->headers : call->headers, !fcm)) {
        finish(wire, call, WIRE_NOT_STARTED);
        return true;
    }
    fly(wire, call);
    return true;
}

static void read_answer(struct wire_call *call, CURLcode code)
{
    curl_off_t retry_after = 0, took = 0;
    long connections = 0;
    char *address = NULL;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after);
    (void)curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &took);
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connections);
    (void)curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &address);
    call->retry_after_s = retry_after > RETRY_AFTER_MOST_S ? RETRY_AFTER_MOST_S : (int)retry_after;
    call->took_us = took;
    call->connected = code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST &&
                      code != CURLE_SSL_CONNECT_ERROR && code != CURLE_PEER_FAILED_VERIFICATION && address && *address;
}

/* A 401 is asked again, once, with a new token. */
static bool try_again(struct wire *wire, struct wire_call *call, int64_t now_ms)
{
    const struct view body = {call->answer.bytes ? call->answer.bytes : "", call->answer.length};
    if (call->channel != WIRE_FCM || call->end != WIRE_ANSWERED || !fcm_token_refused(call->status, body))
        return false;
    fcm_token_refuse(wire->token, call->bearer, now_ms);
    if (call->second)
        return false;
    call->second = true;
    fcm_token_give(&call->bearer);
    call->next = NULL;
    queue_add(&wire->waiting[WIRE_FCM], call);
    return true;
}

static void on_done(struct wire *wire, CURL *easy, CURLcode code, int64_t now_ms)
{
    struct wire_call *call = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    call->end = code == CURLE_OK ? WIRE_ANSWERED : WIRE_NO_ANSWER;
    read_answer(call, code);
    (void)curl_multi_remove_handle(wire->multi, easy);
    easy_give(wire, TAKE(call->easy));
    if (code != CURLE_OK)
        log_event(LOG_DEBUG, "push_call_failed", LOG_TEXT("reason", curl_easy_strerror(code)));
    if (call == &wire->fetch) {
        fetch_end(wire, now_ms);
        return;
    }
    land(wire, call);
    if (!try_again(wire, call, now_ms))
        finish(wire, call, call->end);
}

static bool take_inbox(struct wire *wire)
{
    (void)pthread_mutex_lock(&wire->lock);
    struct wire_call *calls = queue_all(&wire->inbox);
    const bool stop = wire->stop;
    (void)pthread_mutex_unlock(&wire->lock);
    while (calls) {
        struct wire_call *next = calls->next;
        calls->next = NULL;
        queue_add(&wire->waiting[calls->channel], calls);
        calls = next;
    }
    return stop;
}

static void turn(struct wire *wire, int64_t now_ms)
{
    int running = 0, left = 0;
    if (fcm_token_due(wire->token, now_ms))
        fetch_start(wire, now_ms);
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        while (start_next(wire, channel, now_ms))
            ;
    (void)curl_multi_perform(wire->multi, &running);
    for (CURLMsg *message; (message = curl_multi_info_read(wire->multi, &left));)
        if (message->msg == CURLMSG_DONE)
            on_done(wire, message->easy_handle, message->data.result, clock_monotonic_ms());
}

static bool can_start(const struct wire *wire)
{
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        if (wire->waiting[channel].first && wire->active[channel] < wire->options.streams &&
            (channel != WIRE_FCM || fcm_token_ready(wire->token)))
            return true;
    return false;
}

static void cut_waiting(struct wire *wire)
{
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        while (wire->waiting[channel].first)
            finish(wire, queue_pop(&wire->waiting[channel]), WIRE_NOT_STARTED);
}

/* What is still in flight when the time is over: it may have arrived. */
static void cut_flying(struct wire *wire)
{
    while (wire->flying.after != &wire->flying) {
        struct wire_call *call = wire->flying.after;
        (void)curl_multi_remove_handle(wire->multi, call->easy);
        curl_easy_cleanup(TAKE(call->easy));
        land(wire, call);
        finish(wire, call, WIRE_NO_ANSWER);
    }
}

/* True when the thread may end. */
static bool stop_now(struct wire *wire, int64_t *stop_ms, int64_t now_ms)
{
    if (!*stop_ms)
        *stop_ms = now_ms + STOP_MS;
    cut_waiting(wire);
    if (now_ms >= *stop_ms)
        cut_flying(wire);
    return atomic_load(&wire->in_flight) == 0;
}

static void *wire_run(void *payload)
{
    struct wire *wire = payload;
    int64_t stop_ms = 0;
    for (;;) {
        const int64_t now_ms = clock_monotonic_ms();
        if (take_inbox(wire) && stop_now(wire, &stop_ms, now_ms))
            break;
        turn(wire, now_ms);
        const int64_t token_ms = fcm_token_next_ms(wire->token) - now_ms;
        const int most_ms = stop_ms ? STOP_LOOK_MS : LOOK_MS;
        const int wait_ms = can_start(wire) || token_ms <= 0 ? 0 : token_ms < most_ms ? (int)token_ms : most_ms;
        (void)curl_multi_poll(wire->multi, NULL, 0, wait_ms, NULL);
    }
    (void)pthread_mutex_lock(&wire->lock);
    wire->stopped = true;
    (void)pthread_cond_broadcast(&wire->changed);
    (void)pthread_mutex_unlock(&wire->lock);
    return NULL;
}

/* ---- from outside ---- */

void wire_put(struct wire *wire, struct wire_call *calls)
{
    (void)pthread_mutex_lock(&wire->lock);
    queue_add(&wire->inbox, calls);
    (void)pthread_mutex_unlock(&wire->lock);
    (void)curl_multi_wakeup(wire->multi);
}

struct wire_call *wire_take(struct wire *wire, int timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&wire->lock);
    while (!wire->done.first && !wire->poked && timeout_ms > 0)
        if (pthread_cond_timedwait(&wire->changed, &wire->lock, &until) != 0)
            break;
    wire->poked = false;
    struct wire_call *calls = queue_all(&wire->done);
    (void)pthread_mutex_unlock(&wire->lock);
    return calls;
}

void wire_poke(struct wire *wire)
{
    (void)pthread_mutex_lock(&wire->lock);
    wire->poked = true;
    (void)pthread_cond_signal(&wire->changed);
    (void)pthread_mutex_unlock(&wire->lock);
}

bool wire_fcm_ready(const struct wire *wire)
{
    return fcm_token_ready(wire->token);
}

int wire_in_flight(const struct wire *wire)
{
    return atomic_load(&wire->in_flight);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_open(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

static char *send_url(const struct wire_options *options)
{
    AUTO_STR url;
    str_init(&url);
    if (options->account)
        str_printf(&url, "%s/v1/projects/%s/messages:send", options->fcm_url, fcm_account_project(options->account));
    return mem_text(url.bytes ? url.bytes : "");
}

static void multi_open(struct wire *wire)
{
    wire->multi = curl_multi_init();
    if (!wire->multi)
        abort();
    (void)curl_multi_setopt(wire->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(wire->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    (void)curl_multi_setopt(wire->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)wire->options.streams);
    (void)curl_multi_setopt(wire->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
    (void)curl_multi_setopt(wire->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
}

struct wire *wire_start(const struct wire_options *options, struct err *err)
{
    (void)pthread_once(&curl_once, curl_open);
    struct wire *wire = MEM_NEW(wire);
    wire->options = *options;
    wire->fcm_url = send_url(options);
    wire->ca_file = options->ca_file && *options->ca_file ? mem_text(options->ca_file) : NULL;
    wire->token = fcm_token_open(options->account);
    str_init(&wire->fetch.body);
    str_init(&wire->fetch.answer);
    wire->fetch.headers = curl_slist_append(NULL, "Content-Type: application/x-www-form-urlencoded");
    wire->fetch.headers = curl_slist_append(wire->fetch.headers, "Expect:");
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        queue_init(&wire->waiting[channel]);
    queue_init(&wire->inbox);
    queue_init(&wire->done);
    wire->flying.before = wire->flying.after = &wire->flying;
    multi_open(wire);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&wire->lock, NULL);
    (void)pthread_cond_init(&wire->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&wire->thread, NULL, wire_run, wire) == 0)
        return wire;
    wire->stopped = wire->stop = true;
    wire_release(&wire);
    err_set_internal(err, &ERR_INTERNAL, "no thread for sending");
    return NULL;
}

void wire_stop(struct wire *wire)
{
    (void)pthread_mutex_lock(&wire->lock);
    const bool running = !wire->stop;
    wire->stop = true;
    (void)pthread_mutex_unlock(&wire->lock);
    if (!running)
        return;
    (void)curl_multi_wakeup(wire->multi);
    (void)pthread_join(wire->thread, NULL);
}

void wire_release(struct wire **place)
{
    struct wire *wire = TAKE(*place);
    if (!wire)
        return;
    if (!wire->stopped)
        wire_stop(wire);
    if (wire->fetch.easy) {
        (void)curl_multi_remove_handle(wire->multi, wire->fetch.easy);
        curl_easy_cleanup(wire->fetch.easy);
    }
    while (wire->spare_count)
        curl_easy_cleanup(wire->spare[--wire->spare_count]);
    (void)curl_multi_cleanup(wire->multi);
    wire_call_free_parts(&wire->fetch);
    fcm_token_release(&wire->token);
    (void)pthread_cond_destroy(&wire->changed);
    (void)pthread_mutex_destroy(&wire->lock);
    free(wire->fcm_url);
    free(wire->ca_file);
    free(wire);
}
