#include "front.h"

#include "lane.h"
#include "log.h"
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
    const struct chat_app *app;
    char corr[PENDING_CORR_BYTES];
    char room_id[UUID_TEXT_BYTES];
};

static struct sending *sending_new(const struct chat_app *app, const char *room_id, const char *corr)
{
    struct sending *sending = MEM_NEW(sending);
    sending->app = app;
    (void)snprintf(sending->corr, sizeof sending->corr, "%s", corr);
    (void)snprintf(sending->room_id, sizeof sending->room_id, "%s", room_id);
    return sending;
}

static void answer_later(const struct sending *sending)
{
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
    (void)pending_answer(sending->app->pending, sending->corr, (struct view){verdict.bytes, verdict.length});
}

/* On a thread of the producer. What Kafka did not take may still arrive: so the answer is "perhaps", and repeating is
 * safe. */
static void sent(void *payload, bool ok)
{
    struct sending *sending = payload;
    if (!ok) {
        if (sending->app->lane)
            lane_forget(sending->app->lane, sending->room_id, sending->corr);
        answer_later(sending);
    }
    free(sending);
}

static bool send_to_log(const struct chat_app *app, const struct lane_command *command, struct err *err)
{
    struct kafka_header headers[4];
    size_t count = 0;
    if (command->corr)
        headers[count++] = (struct kafka_header){"corr", command->corr};
    if (command->request_id)
        headers[count++] = (struct kafka_header){"x-request-id", command->request_id};
    if (command->traceparent)
        headers[count++] = (struct kafka_header){"traceparent", command->traceparent};
    headers[count] = (struct kafka_header){0};
    const struct kafka_message message = {
        .topic = TOPIC_CHAT_INBOUND,
        .key = view_of(command->room_id),
        .payload = command->payload,
        .headers = headers,
    };
    struct sending *sending = command->corr ? sending_new(app, command->room_id, command->corr) : NULL;
    if (kafka_send(app->producer, &message, sending ? sent : NULL, sending, err))
        return true;
    free(sending);
    return false;
}

static struct lane_command sent_as(const struct command *command, const char *corr, const struct origin *origin,
                                   struct str *payload)
{
    command_encode(payload, command);
    return (struct lane_command){
        .room_id = command->room_id,
        .payload = {payload->bytes, payload->length},
        .corr = corr,
        .request_id = origin ? origin->request_id : NULL,
        .traceparent = origin ? origin->traceparent : NULL,
    };
}

bool front_send(const struct chat_app *app, const struct command *command, const char *corr,
                const struct origin *origin, struct err *err)
{
    AUTO_STR payload;
    str_init(&payload);
    const struct lane_command given = sent_as(command, corr, origin, &payload);
    return send_to_log(app, &given, err);
}

bool front_send_live(const struct chat_app *app, const struct command *command, const char *corr,
                     const struct origin *origin, struct err *err)
{
    AUTO_STR payload;
    str_init(&payload);
    const struct lane_command given = sent_as(command, corr, origin, &payload);
    if (app->lane && lane_take(app->lane, &given))
        return true;
    if (send_to_log(app, &given, err))
        return true;
    if (app->lane)
        lane_forget(app->lane, command->room_id, corr);
    return false;
}

bool front_leave(void *payload, const struct lane_item *item, bool refused)
{
    const struct chat_app *app = payload;
    const struct kafka_record *record = &item->record;
    const struct lane_command command = {
        .room_id = record->key.bytes,
        .payload = record->payload,
        .corr = record->corr,
        .request_id = record->request_id,
        .traceparent = record->traceparent,
    };
    struct err err = {0};
    if (!refused && send_to_log(app, &command, &err))
        return true;
    if (err.problem)
        log_err("command_not_sent", &err);
    if (command.corr) {
        struct sending *sending = sending_new(app, command.room_id, command.corr);
        answer_later(sending);
        free(sending);
    }
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
