#include "live.h"

#include "clock.h"
#include "codec.h"
#include "front.h"
#include "log.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- verdicts: from whatever thread brings them to the loop, as long as there is one ---- */

struct hub_door {
    pthread_mutex_t lock;
    struct hub *hub; /* NULL: shut */
    int references;  /* under the lock */
};

struct verdict {
    struct hub_door *door;
    struct hub_session *session;
    char *receipt, *client_id;
    struct str answer;
    bool late;
};

struct hub_door *door_open(struct hub *hub)
{
    struct hub_door *door = MEM_NEW(hub_door);
    (void)pthread_mutex_init(&door->lock, NULL);
    door->hub = hub;
    door->references = 1;
    return door;
}

static void door_let_go(struct hub_door *door) /* locked; unlocks */
{
    const bool last = --door->references == 0;
    (void)pthread_mutex_unlock(&door->lock);
    if (last) {
        (void)pthread_mutex_destroy(&door->lock);
        free(door);
    }
}

void door_close(struct hub_door *door)
{
    (void)pthread_mutex_lock(&door->lock);
    door->hub = NULL;
    (void)pthread_mutex_unlock(&door->lock);
}

void door_release(struct hub_door **door)
{
    if (!*door)
        return;
    (void)pthread_mutex_lock(&(*door)->lock);
    door_let_go(*door);
    *door = NULL;
}

static void verdict_free(struct verdict *verdict)
{
    str_free(&verdict->answer);
    free(verdict->receipt);
    free(verdict->client_id);
    free(verdict);
}

static void tell_verdict(struct hub *hub, struct verdict *verdict)
{
    struct hub_session *session = verdict->session;
    struct err err = {0};
    struct chat_event event = {0};
    arena_reset(hub->arena);
    if (verdict->late)
        err_set(&err, &ERR_NOT_YET, "It may still come: send it again with the same client_id");
    else if (event_decode(hub->arena, (struct view){verdict->answer.bytes, verdict->answer.length}, &event, &err))
        (void)front_verdict(&event, &err);
    if (err.problem)
        session_refuse(session, &err, verdict->receipt, verdict->client_id, NULL, NULL);
    else
        session_receipt(session, verdict->receipt, event.seq, event.at);
}

static void on_verdict(void *app, void *payload)
{
    struct verdict *verdict = payload;
    verdict->session->waiting_sends--;
    if (verdict->session->state == SESSION_READY)
        tell_verdict(app, verdict);
    session_let_go(verdict->session);
    verdict_free(verdict);
}

/* On the listener's thread, or on pending's when the time is over. */
static void answered(void *payload, struct view answer)
{
    struct verdict *verdict = payload;
    struct hub_door *door = verdict->door;
    verdict->late = !answer.bytes;
    if (answer.bytes)
        str_add_bytes(&verdict->answer, answer.bytes, answer.length);
    (void)pthread_mutex_lock(&door->lock);
    if (!door->hub || !ws_post(door->hub->server, on_verdict, verdict))
        verdict_free(verdict);
    door_let_go(door);
}

bool hub_expect(struct hub *hub, struct hub_session *session, const char *receipt, const char *client_id,
                char corr[PENDING_CORR_BYTES], struct err *err)
{
    if (session->waiting_sends >= WAITING_SENDS_MAX)
        return err_set_retry(err, &ERR_OVERLOADED, 1, "%d sends wait already", WAITING_SENDS_MAX);
    struct verdict *verdict = MEM_NEW(verdict);
    verdict->door = hub->door;
    verdict->session = session;
    verdict->receipt = receipt ? mem_text(receipt) : NULL;
    verdict->client_id = client_id ? mem_text(client_id) : NULL;
    (void)pthread_mutex_lock(&hub->door->lock);
    hub->door->references++;
    (void)pthread_mutex_unlock(&hub->door->lock);
    session_hold(session);
    session->waiting_sends++;
    if (pending_expect(hub->app->pending, (int)hub->app->config->verdict_ms, answered, verdict, corr, err))
        return true;
    (void)pthread_mutex_lock(&hub->door->lock);
    door_let_go(hub->door);
    session->waiting_sends--;
    session->references--;
    verdict_free(verdict);
    return false;
}

/* ---- commands ---- */

/* A command that can't leave is answered like one that was refused, so that whoever waits hears once. */
static bool command_go(struct hub_session *session, const struct command *command, const char *receipt, struct err *err)
{
    struct hub *hub = session->hub;
    char corr[PENDING_CORR_BYTES];
    struct err why = {0};
    const struct origin origin = {.request_id = session->signal};
    if (!hub_expect(hub, session, receipt, command->client_id, corr, err))
        return false;
    if (front_send_live(hub->app, command, corr, &origin, &why))
        return true;
    AUTO_STR answer = {0};
    const struct chat_event refusal = {.kind = EVENT_VERDICT,
                                       .room_id = command->room_id,
                                       .status = why.problem->status,
                                       .code = why.problem->code,
                                       .detail = why.message,
                                       .retry_after_s = 1};
    event_encode(&answer, &refusal);
    (void)pending_answer(hub->app->pending, corr, (struct view){answer.bytes, answer.length});
    return true;
}

static bool take_token(struct hub_user *user, struct err *err)
{
    const int64_t now_ms = clock_monotonic_ms();
    user->send_tokens += (double)(now_ms - user->send_filled_ms) * SENDS_A_SECOND / 1000;
    user->send_filled_ms = now_ms;
    if (user->send_tokens > SENDS_BURST)
        user->send_tokens = SENDS_BURST;
    if (user->send_tokens < 1)
        return err_set_retry(err, &ERR_RATE_LIMITED, 1, "at most %d messages a second", SENDS_A_SECOND);
    user->send_tokens -= 1;
    return true;
}

static bool send_message(struct hub_session *session, const char *room_id, struct view body, const char *receipt,
                         const char **client_id, struct err *err)
{
    struct hub *hub = session->hub;
    struct message_wish wish;
    char message_id[UUID_TEXT_BYTES];
    if (!JSON_DECODE(hub->arena, body, MESSAGE_WISH_FIELDS, &wish, err))
        return false;
    *client_id = wish.client_id;
    if (!wish_message(hub->arena, &wish, err) || !take_token(session->user, err))
        return false;
    uuid_new(message_id);
    const struct command command = {.kind = COMMAND_SEND,
                                    .room_id = room_id,
                                    .user_id = session->user->id, /* of the token: a sender can't be forged */
                                    .client_id = wish.client_id,
                                    .message_id = message_id,
                                    .message_kind = wish.kind,
                                    .content = wish.content,
                                    .file_id = wish.file_id,
                                    .reply_to = wish.reply_to};
    return command_go(session, &command, receipt, err);
}

static bool send_read(struct hub_session *session, const char *room_id, struct view body, const char *receipt,
                      const char **client_id, struct err *err)
{
    (void)client_id;
    struct read_wish wish;
    if (!JSON_DECODE(session->hub->arena, body, READ_WISH_FIELDS, &wish, err) || !take_token(session->user, err))
        return false;
    struct mark mark = {session->user->id, wish.seq};
    const struct command command = {
        .kind = COMMAND_READ, .room_id = room_id, .user_id = session->user->id, .marks = &mark, .mark_count = 1};
    return command_go(session, &command, receipt, err);
}

static bool send_typing(struct hub_session *session, const char *room_id, struct view body, const char *receipt,
                        const char **client_id, struct err *err)
{
    (void)body, (void)client_id;
    const struct hub_sub *sub = session->subs;
    while (sub && !(sub->room && !sub->loading && strcmp(sub->room->id, room_id) == 0))
        sub = sub->session_next;
    if (!sub)
        return err_set(err, &ERR_NOT_FOUND, "subscribe to the room first");
    on_typing(session, room_id);
    session_receipt(session, receipt, 0, NULL);
    return true;
}

static const struct {
    const char *what;
    bool (*send)(struct hub_session *session, const char *room_id, struct view body, const char *receipt,
                 const char **client_id, struct err *err);
} DESTINATIONS[] = {{"messages", send_message}, {"read", send_read}, {"typing", send_typing}};

/* "/app/rooms.<id>.<what>" */
static bool find_destination(const char *destination, char room_id[UUID_TEXT_BYTES], size_t *index, struct err *err)
{
    static const char ROOMS[] = "/app/rooms.";
    struct uuid uuid;
    const char *at = destination + sizeof ROOMS - 1;
    if (strncmp(destination, ROOMS, sizeof ROOMS - 1) == 0 && strlen(at) > UUID_TEXT_BYTES &&
        at[UUID_TEXT_BYTES - 1] == '.') {
        memcpy(room_id, at, UUID_TEXT_BYTES - 1);
        room_id[UUID_TEXT_BYTES - 1] = '\0';
        for (*index = 0; uuid_parse(room_id, &uuid) && *index < ARRAY_LENGTH(DESTINATIONS); (*index)++) {
            if (strcmp(DESTINATIONS[*index].what, at + UUID_TEXT_BYTES) == 0) {
                uuid_format(&uuid, room_id);
                return true;
            }
        }
    }
    return err_set(err, &ERR_NOT_FOUND, "no such destination");
}

static void send_now(struct hub_session *session, const char *destination, struct view body, const char *receipt)
{
    struct err err = {0};
    char room_id[UUID_TEXT_BYTES];
    size_t index = 0;
    const char *client_id = NULL;
    arena_reset(session->hub->arena);
    if (!find_destination(destination, room_id, &index, &err) ||
        !DESTINATIONS[index].send(session, room_id, body, receipt, &client_id, &err))
        session_refuse(session, &err, receipt, client_id, destination, NULL);
}

/* ---- transactions: sends that wait for COMMIT ---- */

void transaction_free(struct transaction **transaction)
{
    struct transaction *t = *transaction;
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        free(t->sends[i].destination);
        free(t->sends[i].receipt);
        free(t->sends[i].body);
    }
    free(t);
    *transaction = NULL;
}

static struct transaction **find_transaction(struct hub_session *session, const char *name)
{
    for (int i = 0; i < TRANSACTIONS_MAX; i++)
        if (session->transactions[i] && strcmp(session->transactions[i]->name, name) == 0)
            return &session->transactions[i];
    return NULL;
}

static struct transaction **transaction_of(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *name = stomp_header(frame, "transaction");
    struct transaction **transaction = name ? find_transaction(session, name) : NULL;
    if (!transaction)
        session_fail(session, CLOSE_BROKEN, stomp_header(frame, "receipt"), "an unknown transaction", NULL);
    return transaction;
}

static void hold_send(struct hub_session *session, const struct stomp_frame *frame, const char *destination)
{
    struct transaction **transaction = transaction_of(session, frame);
    const char *receipt = stomp_header(frame, "receipt");
    if (!transaction)
        return;
    if ((*transaction)->count == TRANSACTION_SENDS_MAX) {
        session_fail(session, CLOSE_TOO_LARGE, receipt, "the transaction is too long", NULL);
        return;
    }
    struct held_send *held = &(*transaction)->sends[(*transaction)->count++];
    held->destination = mem_text(destination);
    held->receipt = receipt ? mem_text(receipt) : NULL;
    held->length = frame->body.length;
    held->body = mem_new(1, frame->body.length + 1);
    memcpy(held->body, frame->body.bytes, frame->body.length);
}

void on_send(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *destination = stomp_header(frame, "destination"), *receipt = stomp_header(frame, "receipt");
    if (!destination)
        session_fail(session, CLOSE_BROKEN, receipt, "SEND needs a destination", NULL);
    else if (stomp_header(frame, "transaction"))
        hold_send(session, frame, destination);
    else
        send_now(session, destination, frame->body, receipt);
}

void on_begin(struct hub_session *session, const struct stomp_frame *frame)
{
    const char *name = stomp_header(frame, "transaction"), *receipt = stomp_header(frame, "receipt");
    if (!name || !*name || strlen(name) > ID_MAX || find_transaction(session, name)) {
        session_fail(session, CLOSE_BROKEN, receipt, "BEGIN needs a new transaction name", NULL);
        return;
    }
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        if (!session->transactions[i]) {
            session->transactions[i] = MEM_NEW(transaction);
            memcpy(session->transactions[i]->name, name, strlen(name) + 1);
            session_receipt(session, receipt, 0, NULL);
            return;
        }
    }
    session_fail(session, CLOSE_TOO_LARGE, receipt, "too many transactions", NULL);
}

void on_commit(struct hub_session *session, const struct stomp_frame *frame)
{
    struct transaction **transaction = transaction_of(session, frame);
    if (!transaction)
        return;
    for (size_t i = 0; i < (*transaction)->count; i++) {
        const struct held_send *held = &(*transaction)->sends[i];
        send_now(session, held->destination, (struct view){held->body, held->length}, held->receipt);
    }
    transaction_free(transaction);
    session_receipt(session, stomp_header(frame, "receipt"), 0, NULL);
}

void on_abort(struct hub_session *session, const struct stomp_frame *frame)
{
    struct transaction **transaction = transaction_of(session, frame);
    if (!transaction)
        return;
    for (size_t i = 0; i < (*transaction)->count; i++) { /* each that waits for a receipt hears that none comes */
        const struct held_send *held = &(*transaction)->sends[i];
        struct err err = {0};
        err_set(&err, &ERR_CONFLICT, "its transaction was aborted");
        if (held->receipt)
            session_refuse(session, &err, held->receipt, NULL, held->destination, NULL);
    }
    transaction_free(transaction);
    session_receipt(session, stomp_header(frame, "receipt"), 0, NULL);
}
