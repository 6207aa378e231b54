#include "http_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* The loop says when it goes to sleep, so a busy server makes no system call here. */
void http_server_wake(struct http_server *server)
{
    if (atomic_exchange(&server->asleep, false))
        (void)eventfd_write(server->wake_fd, 1);
}

/* In this mode libmicrohttpd has no channel of its own that would wake its loop for MHD_resume_connection(): workers
 * put what is answered on a stack, and the loop resumes it. */
static void answer_push(struct http_server *server, struct http_exchange *exchange)
{
    exchange->next = atomic_load_explicit(&server->answered, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&server->answered, &exchange->next, exchange))
        ;
    http_server_wake(server);
}

void http_work_resume(struct http_server *server)
{
    struct http_exchange *exchange = atomic_exchange(&server->answered, NULL), *next;
    for (; exchange; exchange = next) {
        next = exchange->next;
        MHD_resume_connection(exchange->connection);
    }
}

/* Workers that sleep will take one each, so they count as room. */
bool http_work_full(struct http_server *server)
{
    int waiting = atomic_load_explicit(&server->queued, memory_order_relaxed) + server->pending_count;
    return waiting >= server->options.queue + atomic_load_explicit(&server->idle, memory_order_relaxed);
}

/* Holds the lock. Who runs it next: the loop, or a worker. */
static void queue_add(struct http_server *server, struct http_exchange *exchange)
{
    exchange->next = NULL;
    if (exchange->compiled->quick && !exchange->workers_only) {
        *server->ready_last = exchange;
        server->ready_last = &exchange->next;
        server->ready_count++;
        return;
    }
    *server->queue_last = exchange;
    server->queue_last = &exchange->next;
    server->queued++;
}

/* Holds the lock; the signal is for after it, so that who wakes finds it free. One worker is woken at a time, and wakes
 * the next when it takes something and more is left. So what takes microseconds is done by those that are awake
 * already, without a change of threads for each request, and work that waits soon has all of them. */
static bool shall_wake(struct http_server *server)
{
    /* Where all sleep the flag is not believed: some versions of glibc lose a signal once in a blue moon (bug 25847).
     */
    const bool on_the_way = server->waking && server->idle < server->options.workers;
    if (!server->queue_first || !server->idle || on_the_way)
        return false;
    server->waking = true;
    return true;
}

static void unlock_and_wake(struct http_server *server)
{
    const bool wake = shall_wake(server), ready = server->ready_first;
    (void)pthread_mutex_unlock(&server->lock);
    if (wake)
        (void)pthread_cond_signal(&server->ready);
    if (ready)
        http_server_wake(server);
}

void http_work_push(struct http_server *server, struct http_exchange *exchange)
{
    exchange->next = server->pending;
    server->pending = exchange;
    server->pending_count += !exchange->compiled->quick;
}

/* Everything that one turn of the loop has read goes over at once. */
void http_work_flush(struct http_server *server)
{
    struct http_exchange *oldest = NULL, *next;
    if (!server->pending)
        return;
    for (struct http_exchange *exchange = server->pending; exchange; exchange = next) {
        next = exchange->next;
        exchange->next = oldest;
        oldest = exchange;
    }
    (void)pthread_mutex_lock(&server->lock);
    for (struct http_exchange *exchange = oldest; exchange; exchange = next) {
        next = exchange->next;
        queue_add(server, exchange);
    }
    unlock_and_wake(server);
    server->pending = NULL;
    server->pending_count = 0;
}

/* NULL when the workers shall end. */
static struct http_exchange *queue_take(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->idle++;
    while (!server->queue_first && !server->closed) {
        (void)pthread_cond_wait(&server->ready, &server->lock);
        server->waking = false;
    }
    server->idle--;
    struct http_exchange *exchange = server->queue_first;
    if (exchange) {
        server->queue_first = exchange->next;
        if (!server->queue_first)
            server->queue_last = &server->queue_first;
        server->queued--;
    }
    unlock_and_wake(server);
    return exchange;
}

/* Holds the lock. */
static void waiting_remove(struct http_server *server, struct http_exchange *exchange)
{
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else
        server->waiting = exchange->next;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    else
        server->waiting_last = exchange->previous;
    exchange->parked = false;
    server->waiting_count--;
}

/* What is due goes to the queue even when that is full: it was admitted before, and its number is bounded. */
int http_work_due(struct http_server *server)
{
    if (atomic_load_explicit(&server->waiting_count, memory_order_relaxed) == 0)
        return -1; /* without the lock: who adds the first one wakes the loop afterwards */
    bool hurried = atomic_load(&server->hurried);
    int64_t now_ms = clock_monotonic_ms();
    int wait_ms = -1;
    (void)pthread_mutex_lock(&server->lock);
    while (server->waiting && (hurried || server->waiting->due_ms <= now_ms)) {
        struct http_exchange *exchange = server->waiting;
        waiting_remove(server, exchange);
        queue_add(server, exchange);
    }
    if (server->waiting)
        wait_ms = (int)(server->waiting->due_ms - now_ms);
    unlock_and_wake(server);
    return wait_ms;
}

/* Sorted by due_ms. Handlers mostly wait for the same time, so the newest one belongs at the end. */
static void waiting_add(struct http_server *server, struct http_exchange *exchange)
{
    struct http_exchange *before = NULL, *next = server->waiting;
    if (server->waiting && server->waiting_last->due_ms <= exchange->due_ms) {
        before = server->waiting_last;
        next = NULL;
    }
    for (; next && next->due_ms <= exchange->due_ms; next = next->next)
        before = next;
    exchange->previous = before;
    exchange->next = next;
    if (before)
        before->next = exchange;
    else
        server->waiting = exchange;
    if (next)
        next->previous = exchange;
    else
        server->waiting_last = exchange;
    exchange->parked = true;
    server->waiting_count++;
}

static bool wait_again(struct http_server *server, struct http_exchange *exchange)
{
    if (atomic_load(&server->hurried))
        return false;
    (void)pthread_mutex_lock(&server->lock);
    bool at_once = exchange->answered; /* the answer was faster than the handler */
    bool room = at_once || server->waiting_count < HTTP_WAITING_MAX;
    if (at_once)
        queue_add(server, exchange);
    else if (room)
        waiting_add(server, exchange);
    bool first = !at_once && server->waiting == exchange;
    unlock_and_wake(server);
    if (first)
        http_server_wake(server);
    return room;
}

/* ---- requests that wait for an answer ---- */

void http_pending_begin(struct http_exchange *exchange, struct pending_entry *awaited,
                        void (*forget)(struct pending_entry *awaited))
{
    if (exchange->awaited) /* the handler asks for another one: the first will not be told */
        exchange->forget(exchange->awaited);
    exchange->awaited = awaited;
    exchange->forget = forget;
}

bool http_pending_answer(struct http_exchange *exchange, struct view answer)
{
    struct http_server *server = exchange->server;
    (void)pthread_mutex_lock(&server->lock);
    bool first = !exchange->answered, parked = exchange->parked;
    if (first) {
        exchange->answered = true;
        str_clear(&exchange->answer);
        str_add_bytes(&exchange->answer, answer.bytes, answer.length);
    }
    if (first && parked) {
        waiting_remove(server, exchange);
        queue_add(server, exchange);
    }
    unlock_and_wake(server);
    return first;
}

/* From here on no answer can come; one that came is taken. */
static struct view end_pending(struct http_exchange *exchange)
{
    if (!exchange->awaited)
        return (struct view){0};
    exchange->forget(exchange->awaited);
    exchange->awaited = NULL;
    bool answered = exchange->answered;
    exchange->answered = false;
    if (!answered)
        return (struct view){0};
    struct str old = exchange->answer_read; /* a next answer may come while this one is read */
    exchange->answer_read = exchange->answer;
    exchange->answer = old;
    return (struct view){exchange->answer_read.bytes, exchange->answer_read.length};
}

static void reset_reply(struct reply *reply)
{
    str_free(&reply->body);
    if (reply->stream) /* of a run that failed afterwards */
        http_stream_drop(reply->stream);
    *reply = (struct reply){0};
}

/* Once: who was let in is answered, even when the token ends while the handler waits. What was asked for is done by
 * then, and a refusal would say that it is not. */
static bool authorized(struct http_exchange *exchange, struct err *err)
{
    if (exchange->authorized)
        exchange->req.identity = exchange->identified ? &exchange->identity : NULL;
    else
        exchange->authorized = http_request_authorize(exchange, err);
    exchange->identified = exchange->req.identity != NULL;
    return exchange->authorized;
}

/* What this run begins with; one that begins again on a worker has it from before. */
static void take_answer(struct http_exchange *exchange)
{
    struct request *req = &exchange->req;
    if (exchange->handing_over) {
        exchange->handing_over = false;
        return;
    }
    req->asked = exchange->awaited != NULL;
    req->answer = end_pending(exchange);
}

static bool run_handler(struct http_exchange *exchange)
{
    struct request *req = &exchange->req;
    struct err *err = &exchange->err;
    int64_t now_ms = clock_monotonic_ms();
    if (!exchange->first_run_ms)
        exchange->first_run_ms = now_ms;
    req->waited_ms = now_ms - exchange->first_run_ms;
    take_answer(exchange);
    err_clear(err);
    reset_reply(&exchange->reply);
    exchange->again = false;
    bool ok = http_request_prepare(exchange, err);
    log_set_request(exchange->request_id, exchange->trace_id);
    return ok && authorized(exchange, err) && req->route->handler(req, &exchange->reply, err);
}

/* The run begins again where it may wait. False when there are too many already, unless something was sent on in an
 * earlier run: that is not refused any more. */
static bool hand_over(struct http_server *server, struct http_exchange *exchange)
{
    if (!exchange->req.asked && http_work_full(server)) {
        http_tell_overload(server);
        return false;
    }
    exchange->workers_only = true;
    if (!exchange->req.asked && exchange->req.waited_ms == 0)
        exchange->first_run_ms = 0; /* its first run is still to come */
    (void)pthread_mutex_lock(&server->lock);
    queue_add(server, exchange);
    unlock_and_wake(server);
    return true;
}

static void run(struct http_exchange *exchange)
{
    bool ok = run_handler(exchange);
    if (!ok && exchange->handing_over) {
        if (hand_over(exchange->server, exchange))
            return; /* not ours any more */
        err_set_retry(&exchange->err, &ERR_OVERLOADED, 1, "The queue is full");
    }
    exchange->handing_over = false;
    /* Who looks again and again on a worker goes on there; an answer that is waited for finds the loop. */
    exchange->workers_only = exchange->workers_only && exchange->again && !exchange->awaited;
    if (!ok && exchange->again) {
        if (wait_again(exchange->server, exchange))
            return;                                   /* not ours any more */
        if (exchange->awaited || exchange->req.asked) /* something was sent on: this is no refusal of it */
            err_set_retry(&exchange->err, &ERR_NOT_YET, 1, "This instance is stopping: ask again, or repeat it");
        else
            err_set_retry(&exchange->err, &ERR_OVERLOADED, 1, "Too many requests are waiting");
    }
    (void)end_pending(exchange); /* of a handler that asked and then failed */
    if (!ok && exchange->reply.stream)
        http_stream_drop(TAKE(exchange->reply.stream));
    http_answer_build(exchange, ok);
    exchange->state = EXCHANGE_ANSWERED;
    answer_push(exchange->server, exchange);
}

void http_work_run_ready(struct http_server *server)
{
    if (atomic_load_explicit(&server->ready_count, memory_order_relaxed) == 0)
        return;
    (void)pthread_mutex_lock(&server->lock);
    struct http_exchange *exchange = TAKE(server->ready_first), *next;
    server->ready_last = &server->ready_first;
    server->ready_count = 0;
    (void)pthread_mutex_unlock(&server->lock);
    for (; exchange; exchange = next) {
        next = exchange->next;
        exchange->on_loop = true;
        run(exchange);
        log_set_request(NULL, NULL);
    }
}

static void *work(void *payload)
{
    struct http_server *server = payload;
    for (struct http_exchange *exchange; (exchange = queue_take(server));) {
        exchange->on_loop = false;
        run(exchange);
        log_set_request(NULL, NULL);
    }
    return NULL;
}

bool http_work_start(struct http_server *server, struct err *err)
{
    server->queue_last = &server->queue_first;
    server->ready_last = &server->ready_first;
    server->workers = mem_new((size_t)server->options.workers, sizeof *server->workers);
    while (server->worker_count < server->options.workers) {
        int reason = pthread_create(&server->workers[server->worker_count], NULL, work, server);
        if (reason)
            return err_set_internal(err, &ERR_INTERNAL, "can't start a worker: %s", strerror(reason));
        server->worker_count++;
    }
    return true;
}

void http_work_stop(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->closed = true;
    (void)pthread_cond_broadcast(&server->ready);
    (void)pthread_mutex_unlock(&server->lock);
    for (int i = 0; i < server->worker_count; i++)
        (void)pthread_join(server->workers[i], NULL);
    free(server->workers);
}
