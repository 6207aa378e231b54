/* Who types goes to the room's other sockets here, and by Redis publish to other instances: it may be lost, so it costs
 * no log record, no disk and no acknowledgement; one publish of 110 bytes instead. Redis away: only this instance's
 * sockets see it. */
#include "live.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHANNEL "chat:typing"
enum {
    TYPING_EVERY_MS = 1000,
    CONNECT_MS = 1000,
    TRY_AGAIN_MS = 1000,
    PING_MS = 5000,
    SILENCE_MS = 15000,
    TEXT_BYTES = 3 * UUID_TEXT_BYTES
};

struct typing {
    struct hub *hub;
    struct redis_address address;
    pthread_t thread;
    bool thread_runs;
    int stop_fd;
    char origin[UUID_TEXT_BYTES]; /* of this process: its own messages come back to it */
};

/* ---- to the sockets ---- */

static void show(struct hub *hub, const char *room_id, const char *user_id, const struct hub_session *but)
{
    struct hub_room *room = room_get(hub, room_id, false);
    if (!room || !room->subs)
        return;
    AUTO_STR body = {0};
    json_open(&body, NULL, '{');
    json_text(&body, "type", "typing");
    json_text(&body, "room_id", room->id);
    json_text(&body, "user_id", user_id);
    json_close(&body, '}');
    fan_body(hub, room, &body, but);
}

static void show_posted(void *app, void *payload)
{
    AUTO_FREE char *text = payload; /* "<origin> <room> <user>" */
    text[2 * UUID_TEXT_BYTES - 1] = '\0';
    show(app, text + UUID_TEXT_BYTES, text + (ptrdiff_t)2 * UUID_TEXT_BYTES, NULL);
}

/* ---- out ---- */

struct typing_job {
    struct desk_job job;
    char text[TEXT_BYTES];
};

static void run_publish(void *app, struct desk_job *job)
{
    struct hub *hub = app;
    struct err err = {0};
    AUTO(redis_reply)
    reply = REDIS_CALL(hub->app->redis, &err, "PUBLISH", CHANNEL, ((struct typing_job *)(void *)job)->text);
    (void)reply; /* may be lost */
}

static void done_publish(void *app, struct desk_job *job, bool alive)
{
    (void)app, (void)alive;
    free(job);
}

void on_typing(struct hub_session *session, const char *room_id)
{
    struct hub *hub = session->hub;
    struct hub_user *user = session->user;
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms - user->typing_ms < TYPING_EVERY_MS)
        return;
    user->typing_ms = now_ms;
    show(hub, room_id, user->id, session);
    struct typing_job *job = MEM_NEW(typing_job);
    job->job.run = run_publish;
    job->job.done = done_publish;
    (void)snprintf(job->text, sizeof job->text, "%s %s %s", hub->typing->origin, room_id, user->id);
    if (!desk_ask(hub->desk, &job->job))
        free(job);
}

/* ---- in ---- */

static void take(struct typing *typing, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[2]->type != REDIS_REPLY_STRING)
        return;
    const char *text = reply->element[2]->str;
    struct uuid id;
    char part[UUID_TEXT_BYTES];
    if (strlen(text) != TEXT_BYTES - 1 || strncmp(text, typing->origin, UUID_TEXT_BYTES - 1) == 0)
        return;
    for (int i = 0; i < 3; i++) {
        memcpy(part, text + (ptrdiff_t)i * UUID_TEXT_BYTES, UUID_TEXT_BYTES - 1);
        part[UUID_TEXT_BYTES - 1] = '\0';
        if (!uuid_parse(part, &id))
            return;
    }
    if (!hub_keeps_up(typing->hub)) /* the first that may be left out */
        return;
    char *copy = mem_text(text);
    if (!ws_post(typing->hub->server, show_posted, copy))
        free(copy);
}

static bool read_replies(struct typing *typing, redisContext *redis)
{
    if (redisBufferRead(redis) != REDIS_OK)
        return false;
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(redis, &reply) != REDIS_OK)
            return false;
        if (!reply)
            return true;
        take(typing, reply);
        freeReplyObject(reply);
    }
}

static bool send_words(redisContext *redis, const char *words)
{
    int sent = 0;
    if (redisAppendCommand(redis, words) != REDIS_OK)
        return false;
    while (!sent)
        if (redisBufferWrite(redis, &sent) != REDIS_OK)
            return false;
    return true;
}

/* Until the connection breaks or the end. */
static void listen_to(struct typing *typing, redisContext *redis)
{
    int64_t heard_ms = clock_monotonic_ms(), pinged_ms = heard_ms;
    if (!send_words(redis, "SUBSCRIBE " CHANNEL))
        return;
    for (;;) {
        struct pollfd fds[2] = {{.fd = redis->fd, .events = POLLIN}, {.fd = typing->stop_fd, .events = POLLIN}};
        (void)poll(fds, 2, PING_MS);
        const int64_t now_ms = clock_monotonic_ms();
        if (fds[1].revents)
            return;
        if (fds[0].revents) {
            heard_ms = now_ms;
            if (!read_replies(typing, redis))
                return;
        }
        if (now_ms - heard_ms > SILENCE_MS)
            return;
        if (now_ms - pinged_ms >= PING_MS) {
            pinged_ms = now_ms;
            if (!send_words(redis, "PING"))
                return;
        }
    }
}

static void *follow(void *payload)
{
    struct typing *typing = payload;
    struct pollfd stop = {.fd = typing->stop_fd, .events = POLLIN};
    (void)pthread_setname_np(pthread_self(), "ws-typing");
    do {
        struct err err = {0};
        redisContext *redis = redis_connect(&typing->address, CONNECT_MS, &err);
        if (redis) {
            listen_to(typing, redis);
            redisFree(redis);
        }
    } while (poll(&stop, 1, TRY_AGAIN_MS) == 0);
    return NULL;
}

struct typing *typing_open(struct hub *hub, const char *redis_url, struct err *err)
{
    AUTO(typing) typing = MEM_NEW(typing);
    typing->hub = hub;
    typing->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uuid_new(typing->origin);
    if (!redis_address_parse(&typing->address, redis_url, err))
        return NULL;
    typing->thread_runs = typing->stop_fd >= 0 && pthread_create(&typing->thread, NULL, follow, typing) == 0;
    if (!typing->thread_runs) {
        err_set_internal(err, &ERR_INTERNAL, "no thread for typing");
        return NULL;
    }
    return TAKE(typing);
}

void typing_stop(struct typing *typing)
{
    if (!typing || !typing->thread_runs)
        return;
    const uint64_t one = 1;
    (void)!write(typing->stop_fd, &one, sizeof one);
    (void)pthread_join(typing->thread, NULL);
    typing->thread_runs = false;
}

void typing_release(struct typing **typing)
{
    struct typing *t = *typing;
    if (!t)
        return;
    typing_stop(t);
    if (t->stop_fd >= 0)
        (void)close(t->stop_fd);
    free(t);
    *typing = NULL;
}
