#include "front.h"

#include "mem.h"
#include "problems.h"
#include "topics.h"
#include "uuid.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- in ---- */

/* Who waits for a command that is on its way to Kafka. */
struct sending {
    struct pending *pending;
    char corr[PENDING_CORR_BYTES];
    char room_id[UUID_TEXT_BYTES];
};

static struct sending *sending_new(const struct chat_app *app, const struct command *command, const char *corr)
{
    struct sending *sending = MEM_NEW(sending);
    sending->pending = app->pending;
    (void)snprintf(sending->corr, sizeof sending->corr, "%s", corr);
    (void)snprintf(sending->room_id, sizeof sending->room_id, "%s", command->room_id);
    return sending;
}

/* On a thread of the producer. What Kafka did not take may still arrive: so the answer is "perhaps", and repeating is
 * safe. */
static void sent(void *payload, bool ok)
{
    struct sending *sending = payload;
    if (!ok) {
        const struct chat_event event = {
            .kind = EVENT_VERDICT,
            .room_id = sending->room_id,
            .status = ERR_UNAVAILABLE.status,
            .retry_after_s = 1,
            .code = ERR_UNAVAILABLE.code,
            .detail = "it could not be stored now: repeat",
        };
        AUTO_STR verdict;
        str_init(&verdict);
        event_encode(&verdict, &event);
        (void)pending_answer(sending->pending, sending->corr, (struct view){verdict.bytes, verdict.length});
    }
    free(sending);
}

bool front_send(const struct chat_app *app, const struct command *command, const char *corr,
                const struct origin *origin, struct err *err)
{
    struct kafka_header headers[4];
    size_t count = 0;
    if (corr)
        headers[count++] = (struct kafka_header){"corr", corr};
    if (origin && origin->request_id)
        headers[count++] = (struct kafka_header){"x-request-id", origin->request_id};
    if (origin && origin->traceparent)
        headers[count++] = (struct kafka_header){"traceparent", origin->traceparent};
    headers[count] = (struct kafka_header){0};
    AUTO_STR payload;
    str_init(&payload);
    command_encode(&payload, command);
    const struct kafka_message message = {
        .topic = TOPIC_CHAT_INBOUND,
        .key = view_of(command->room_id),
        .payload = {payload.bytes, payload.length},
        .headers = headers,
    };
    struct sending *sending = corr ? sending_new(app, command, corr) : NULL;
    if (kafka_send(app->producer, &message, corr ? sent : NULL, sending, err))
        return true;
    free(sending);
    return false;
}

/* ---- and back ---- */

bool front_verdict(const struct chat_event *event, struct err *err)
{
    if (event->kind != EVENT_VERDICT || event->status < 400)
        return true;
    const struct problem *problem = chat_problem_by_code(event->code);
    const char *detail = event->detail ? event->detail : "";
    if (event->retry_after_s > 0)
        return err_set_retry(err, problem, event->retry_after_s < INT_MAX ? (int)event->retry_after_s : INT_MAX, "%s",
                             detail);
    return err_set(err, problem, "%s", detail);
}
