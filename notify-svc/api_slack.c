#include "api_slack.h"

#include "app.h"
#include "channels.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "metrics.h"
#include "problems.h"
#include "slack.h"
#include "slack_text.h"
#include "store_slack.h"
#include "utf8.h"

#include <ctype.h>

static struct slack *slack_of(const struct request *req)
{
    const struct notify_app *app = req->app;
    return channels_slack(app->channels);
}

static struct pg_pool *db_of(const struct request *req)
{
    const struct notify_app *app = req->app;
    return app->db;
}

/* ---- the link ---- */

/* GET /api/notifications/slack -> {linked, slack_id?, how?, linked_at?, pending?{slack_id, expires_at}} */
bool slack_link_get(struct request *req, struct reply *reply, struct err *err)
{
    struct slack_link link;
    if (!store_slack_link(db_of(req), req->arena, req->identity->user_id, &link, err))
        return false;
    struct str *out = &reply->body;
    json_open(out, NULL, '{');
    json_bool(out, "linked", link.slack_id != NULL);
    if (link.slack_id) {
        json_text(out, "slack_id", link.slack_id);
        json_text(out, "how", link.how);
        json_time(out, "linked_at", link.linked_ms);
    }
    if (link.pending_id) {
        json_open(out, "pending", '{');
        json_text(out, "slack_id", link.pending_id);
        json_time(out, "expires_at", link.pending_until_ms);
        json_close(out, '}');
    }
    json_close(out, '}');
    return true;
}

struct link_wish {
    const char *slack_id;
};
static const struct field LINK_WISH_FIELDS[] = {
    FIELD_TEXT(struct link_wish, slack_id, .required = true, .min = 3, .max = SLACK_ID_BYTES_MAX - 1), {0}};

/* Slack's failures are not the caller's. */
static bool fail_by_outcome(const struct outcome *outcome, struct err *err)
{
    err_set_internal(err, &ERR_UNAVAILABLE, "Slack: %s", outcome->reason);
    err->retry_after_s = outcome->retry_after_ms > 0 ? (int)((outcome->retry_after_ms + 999) / 1000) : 5;
    return false;
}

static bool check_person(struct slack *slack, struct arena *arena, const char *slack_id, struct err *err)
{
    struct slack_person person;
    struct outcome outcome;
    if (slack_sink(slack)) /* nobody to ask */
        return true;
    enum slack_found found = slack_find_user(slack, arena, slack_id, &person, &outcome);
    if (found == SLACK_FAILED)
        return fail_by_outcome(&outcome, err);
    if (found == SLACK_NONE || !person.is_person)
        return err_set(err, &ERR_SLACK_UNKNOWN, "it must be the id of a person, as the profile shows it");
    return true;
}

static bool send_code(struct slack *slack, const struct request *req, const char *slack_id, const char *code,
                      struct err *err)
{
    struct outcome outcome;
    const char *channel;
    const char *text =
        req->korean
            ? arena_printf(req->arena,
                           "마당 연결 코드는 %s입니다. 10분 안에 입력해 주세요. 요청하지 않았다면 무시해 주세요.", code)
            : arena_printf(req->arena,
                           "Your code to link Madang is %s. It is good for ten minutes. If you did not ask for it, "
                           "ignore this message.",
                           code);
    if (slack_sink(slack)) {
        const struct delivery delivery = {.kind = "slack_code",
                                          .dedupe_id = req->request_id,
                                          .user_id = req->identity->user_id,
                                          .address = slack_id,
                                          .title = "",
                                          .body = text};
        sink_write(slack_sink(slack), "slack", &delivery, &outcome);
        return outcome.kind == OUTCOME_SENT || fail_by_outcome(&outcome, err);
    }
    if (slack_open_conversation(slack, req->arena, slack_id, &channel, &outcome) &&
        slack_post(slack, req->arena, channel, text, &outcome))
        return true;
    return fail_by_outcome(&outcome, err);
}

static bool prove_by_code(struct slack *slack, const struct request *req, const char *slack_id, struct err *err)
{
    char code[SLACK_CODE_DIGITS + 1];
    struct err ignored = {0};
    crypto_random_digits(code, SLACK_CODE_DIGITS);
    if (!check_person(slack, req->arena, slack_id, err) ||
        !store_slack_code_put(db_of(req), req->identity->user_id, slack_id, code, err))
        return false;
    if (send_code(slack, req, slack_id, code, err))
        return true;
    (void)store_slack_code_drop(db_of(req), req->identity->user_id,
                                &ignored); /* else it counts as sent: no harm but a minute */
    return false;
}

/* PUT /api/notifications/slack {slack_id} -> 202 {slack_id, expires_in}: a code went there ; 200 when it is linked
 * already ; 422 slack_unknown */
bool slack_link_put(struct request *req, struct reply *reply, struct err *err)
{
    struct link_wish wish;
    struct slack_link link;
    struct slack *slack = slack_of(req);
    if (!JSON_DECODE(req->arena, req->body, LINK_WISH_FIELDS, &wish, err))
        return false;
    if (!slack_is_user_id(wish.slack_id))
        return err_add_field(err, "/slack_id", "a Slack user's id, such as U02ABCDEF");
    if (!store_slack_link(db_of(req), req->arena, req->identity->user_id, &link, err))
        return false;
    if (link.slack_id && strcmp(link.slack_id, wish.slack_id) == 0)
        return slack_link_get(req, reply, err);
    if (!slack_sink(slack) && !slack_has_token(slack))
        return err_set(err, &ERR_UNAVAILABLE, "Slack is not set up here");
    if (!slack_enter(slack))
        return err_set_retry(err, &ERR_OVERLOADED, 2, "too many ask Slack now");
    bool good = prove_by_code(slack, req, wish.slack_id, err);
    slack_leave(slack);
    if (!good)
        return false;
    reply->status = 202;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "slack_id", wish.slack_id);
    json_i64(&reply->body, "expires_in", SLACK_CODE_SECONDS);
    json_close(&reply->body, '}');
    return true;
}

struct code_wish {
    const char *code;
};
static const struct field CODE_WISH_FIELDS[] = {
    FIELD_TEXT(struct code_wish, code, .required = true, .min = SLACK_CODE_DIGITS, .max = SLACK_CODE_DIGITS), {0}};

/* POST /api/notifications/slack/confirm {code} -> what GET says ; 400 bad_code */
bool slack_link_confirm(struct request *req, struct reply *reply, struct err *err)
{
    struct code_wish wish;
    if (!JSON_DECODE(req->arena, req->body, CODE_WISH_FIELDS, &wish, err) ||
        !store_slack_confirm(db_of(req), req->identity->user_id, wish.code, err))
        return false;
    log_event(LOG_INFO, "slack_linked", LOG_TEXT("user_id", req->identity->user_id), LOG_TEXT("how", "code"));
    return slack_link_get(req, reply, err);
}

/* DELETE /api/notifications/slack -> 204, also when there is no link */
bool slack_link_delete(struct request *req, struct reply *reply, struct err *err)
{
    return store_slack_unlink(db_of(req), req->identity->user_id, err) && reply_empty(reply, 204);
}

/* ---- what Slack tells ---- */

static void count_event(const char *kind, const char *result)
{
    struct metric *events =
        metric_counter("madang_notify_slack_events_total", "Events from Slack by kind and result", "kind,result");
    metric_add(METRIC_CHILD(events, kind, result), 1);
}

/* Kept, then 200: what it means is slack_worker's. */
static bool keep_event(struct request *req, const struct slack_event *event, struct err *err)
{
    const bool is_join = event->kind == SLACK_TEAM_JOIN || event->kind == SLACK_MEMBER_JOINED_CHANNEL;
    bool added = false;
    if (is_join && !store_slack_event_add(db_of(req), event, &added, err))
        return false;
    count_event(slack_event_name(event->kind), !is_join ? "answered" : added ? "kept" : "known");
    return true;
}

/* POST /api/slack/events, signed -> 200 ; {challenge} for url_verification ; 401 bad_signature */
bool slack_events_post(struct request *req, struct reply *reply, struct err *err)
{
    const char *secret = slack_config(slack_of(req))->signing_secret;
    struct slack_event event;
    if (!slack_is_signed(secret, http_header(req, "X-Slack-Request-Timestamp"), http_header(req, "X-Slack-Signature"),
                         req->body, clock_now_ms())) {
        count_event("unknown", "refused");
        return err_set(err, &ERR_BAD_SIGNATURE, "%s",
                       *secret ? "signed with another secret, or too long ago" : "no events are expected here");
    }
    if (!slack_event_read(req->arena, req->body, &event, err) || !keep_event(req, &event, err))
        return false;
    json_open(&reply->body, NULL, '{');
    if (event.kind == SLACK_CHALLENGE)
        json_text(&reply->body, "challenge", event.challenge);
    json_close(&reply->body, '}');
    return true;
}
