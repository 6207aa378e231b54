#include "slack_worker.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "outbox.h"
#include "rounds.h"
#include "service.h"
#include "slack.h"
#include "store_slack.h"

#include <stdlib.h>

enum { LOOK_MS = 500, SWEEP_MS = 60000, BACKOFF_MS = 2000, BACKOFF_MS_MAX = 300000 };

struct slack_worker {
    struct pg_pool *db;
    struct slack *slack;
    int64_t swept_ms; /* monotonic */
    struct rounds *rounds;
};

/* ---- one event ---- */

/* {kind, to:{slack}, channels:["slack"], args:{from:{id, nickname}}, dedupe_id}: Slack says when, notify-svc's own
 * worker does the rest. */
static void print_notice(struct str *out, const struct slack_event *event, const struct slack_person *person,
                         const char *channel)
{
    event_open(out, event->kind == SLACK_TEAM_JOIN ? "workspace_joined" : "channel_joined", NULL);
    json_open(out, "to", '{');
    json_text(out, "slack", channel);
    json_close(out, '}');
    json_open(out, "channels", '[');
    json_text(out, NULL, "slack");
    json_close(out, ']');
    json_open(out, "args", '{');
    json_open(out, "from", '{');
    json_text(out, "id", person->id);
    json_text(out, "nickname", *person->name ? person->name : person->id);
    json_close(out, '}');
    json_close(out, '}');
    AUTO_STR dedupe_id;
    str_init(&dedupe_id);
    str_printf(&dedupe_id, "slack:%s", event->event_id);
    json_text(out, "dedupe_id", dedupe_id.bytes);
    json_close(out, '}');
}

static bool finish(struct slack_worker *worker, const struct slack_join *join, const struct slack_person *person,
                   struct err *err)
{
    const char *channel =
        join->event.kind == SLACK_TEAM_JOIN ? slack_config(worker->slack)->channel_general : join->event.channel;
    struct slack_join_done done = {.join = join, .email = ""};
    AUTO_STR notice;
    str_init(&notice);
    if (person && person->is_person) {
        done.email = person->email;
        if (*channel) {
            print_notice(&notice, &join->event, person, channel);
            done.notice_key = channel;
            done.notice = notice.bytes;
        }
    }
    bool good = store_slack_event_done(worker->db, &done, err);
    if (good && done.linked)
        log_event(LOG_INFO, "slack_linked", LOG_TEXT("slack_id", join->event.slack_id), LOG_TEXT("how", "email"));
    return good;
}

static int64_t backoff_ms(const struct slack_join *join, const struct outcome *outcome)
{
    int64_t wait_ms = BACKOFF_MS;
    for (int i = 1; i < join->attempt && wait_ms < BACKOFF_MS_MAX; i++)
        wait_ms *= 2;
    return outcome->retry_after_ms > wait_ms ? outcome->retry_after_ms : wait_ms;
}

static bool work_on(struct slack_worker *worker, struct arena *arena, const struct slack_join *join, struct err *err)
{
    struct slack_person person;
    struct outcome outcome;
    switch (slack_find_user(worker->slack, arena, join->event.slack_id, &person, &outcome)) {
    case SLACK_FOUND:
        return finish(worker, join, &person, err);
    case SLACK_NONE:
        return finish(worker, join, NULL, err);
    case SLACK_FAILED:
        break;
    }
    log_event(LOG_WARN, "slack_event_failed", LOG_TEXT("event_id", join->event.event_id),
              LOG_TEXT("reason", outcome.reason), LOG_I64("attempt", join->attempt));
    return store_slack_event_again(worker->db, join, backoff_ms(join, &outcome), err);
}

/* True when there was one. */
static bool take_one(struct slack_worker *worker, struct err *err)
{
    AUTO(arena) arena = arena_open(SLACK_ARENA_BYTES);
    struct slack_join join;
    bool found = false;
    if (!slack_has_token(worker->slack)) /* nobody to ask; no events are taken then, either */
        return false;
    return store_slack_event_claim(worker->db, arena, &join, &found, err) && found &&
           work_on(worker, arena, &join, err);
}

/* ---- rounds ---- */

/* What there is, one after the other; what fails is left to another round. */
static void work_round(void *payload, unsigned round)
{
    struct slack_worker *worker = payload;
    struct err err = {0};
    (void)round;
    while (!service_stopping() && take_one(worker, &err))
        ;
    if (!err.problem && clock_monotonic_ms() - worker->swept_ms > SWEEP_MS) {
        worker->swept_ms = clock_monotonic_ms();
        (void)store_slack_sweep(worker->db, &err);
    }
    if (err.problem)
        log_err("slack_worker_failed", &err);
}

struct slack_worker *slack_worker_start(struct pg_pool *db, struct channels *channels, struct err *err)
{
    struct slack_worker *worker = MEM_NEW(slack_worker);
    worker->db = db;
    worker->slack = channels_slack(channels);
    worker->swept_ms = clock_monotonic_ms();
    worker->rounds = rounds_start(LOOK_MS, work_round, worker, err);
    if (!worker->rounds)
        slack_worker_release(&worker);
    return worker;
}

void slack_worker_release(struct slack_worker **place)
{
    struct slack_worker *worker = TAKE(*place);
    if (!worker)
        return;
    rounds_release(&worker->rounds);
    free(worker);
}
