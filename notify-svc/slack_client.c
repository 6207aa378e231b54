#include "slack_client.h"

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "outcome.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ANSWER_BYTES = 256 * 1024,
    HOLD_MS = 1000,     /* after a 429 without Retry-After */
    PATIENCE_MS = 1500, /* a sender waits so long for a turn; later ones go back to the queue */
};

/* ---- settings ---- */

static bool good_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
            return false;
    return *name != 0;
}

static bool read_webhooks(struct slack *slack, struct err *err)
{
    char *state = NULL;
    slack->webhook_text = mem_text(slack->config->webhooks);
    for (char *item = strtok_r(slack->webhook_text, ", \n", &state); item; item = strtok_r(NULL, ", \n", &state)) {
        char *equals = strchr(item, '=');
        if (!equals || slack->webhook_count == WEBHOOKS_MAX)
            return err_set(err, &ERR_BAD_INPUT, "SLACK_WEBHOOKS: name=https://..., at most %d", WEBHOOKS_MAX);
        *equals = 0;
        if (!good_name(item) || (strncmp(equals + 1, "https://", 8) != 0 && strncmp(equals + 1, "http://", 7) != 0))
            return err_set(err, &ERR_BAD_INPUT, "SLACK_WEBHOOKS: name=https://..., names of letters, digits, _ and -");
        slack->webhooks[slack->webhook_count++] = (struct webhook){item, equals + 1};
    }
    return true;
}

struct slack *slack_open(const struct slack_config *config, struct sink *sink, struct err *err)
{
    struct slack *slack = MEM_NEW(slack);
    slack->config = config;
    slack->pace = slack_pace_open(config->pace_ms);
    slack->known = mem_new(KNOWN_EMAILS, sizeof *slack->known);
    (void)pthread_mutex_init(&slack->known_lock, NULL);
    const struct httpclient_options options = {
        .allow_http = strncmp(config->base_url, "http://", 7) == 0, /* somebody's stand-in: Slack's own is https */
        .ca_file = *config->ca_file ? config->ca_file : NULL,
        .timeout_ms = (int)config->timeout_ms,
        .body_max = ANSWER_BYTES,
    };
    slack->http = httpclient_open(&options, err);
    if (!slack->http || !read_webhooks(slack, err)) {
        slack_release(&slack);
        return NULL;
    }
    slack->sink = *config->token || slack->webhook_count ? NULL : sink;
    return slack;
}

void slack_release(struct slack **place)
{
    struct slack *slack = *place;
    if (!slack)
        return;
    httpclient_release(&slack->http);
    slack_pace_release(&slack->pace);
    (void)pthread_mutex_destroy(&slack->known_lock);
    free(slack->known);
    free(slack->webhook_text);
    free(slack);
    *place = NULL;
}

const struct slack_config *slack_config(const struct slack *slack)
{
    return slack->config;
}

struct sink *slack_sink(const struct slack *slack)
{
    return slack->sink;
}

bool slack_has_token(const struct slack *slack)
{
    return *slack->config->token != 0;
}

/* ---- whose turn it is ---- */

bool slack_wait_turn(struct slack *slack, const char *key, struct outcome *outcome)
{
    int64_t wait_ms;
    if (!slack_pace_take(slack->pace, key, clock_monotonic_ms(), PATIENCE_MS, &wait_ms)) {
        outcome_set(outcome, OUTCOME_RETRY, "paced: one message per channel at a time");
        outcome->retry_after_ms = wait_ms;
        outcome->untried = true;
        return false;
    }
    struct timespec left = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    while (wait_ms > 0 && nanosleep(&left, &left) != 0)
        ;
    return true;
}

void slack_hold(struct slack *slack, const char *key, const struct outcome *outcome)
{
    int64_t wait_ms = outcome->retry_after_ms > 0 ? outcome->retry_after_ms : HOLD_MS;
    const int64_t now_ms = clock_monotonic_ms();
    slack_pace_hold(slack->pace, key, now_ms, now_ms + wait_ms);
}

/* A channel's turn was waited for already. */
static bool is_held(struct slack *slack, const struct slack_wish *wish, struct outcome *outcome)
{
    int64_t held_ms = wish->limited ? 0 : slack_pace_held_ms(slack->pace, wish->method, clock_monotonic_ms());
    if (held_ms == 0)
        return false;
    outcome_set(outcome, OUTCOME_RETRY, "paced: %s was limited", wish->method);
    outcome->retry_after_ms = held_ms;
    outcome->untried = true;
    return true;
}

/* ---- one call ---- */

static const struct field ANSWER_FIELDS[] = {
    FIELD_BOOL(struct slack_answer, ok),
    FIELD_TEXT(struct slack_answer, error),
    FIELD_RAW(struct slack_answer, user),
    FIELD_RAW(struct slack_answer, channel),
    {0},
};

bool slack_enter(struct slack *slack)
{
    if (atomic_fetch_add(&slack->callers, 1) < SLACK_CALLERS_MAX)
        return true;
    slack_leave(slack);
    return false;
}

void slack_leave(struct slack *slack)
{
    atomic_fetch_sub(&slack->callers, 1);
}

/* Errors that pass, or that an operator mends while the notice lives. All others are about this one message. */
static bool is_passing(const char *error)
{
    static const char *const PASSING[] = {
        "ratelimited",      "rate_limited",  "internal_error", "fatal_error",       "service_unavailable",
        "request_timeout",  "not_authed",    "invalid_auth",   "token_expired",     "token_revoked",
        "account_inactive", "missing_scope", "no_permission",  "team_added_to_org", "accesslimited",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(PASSING); i++)
        if (strcmp(error, PASSING[i]) == 0)
            return true;
    return false;
}

static bool judge(struct slack *slack, const struct slack_wish *wish, const struct http_answer *reply, bool readable,
                  struct slack_answer *answer, struct outcome *outcome)
{
    char safe[41];
    const char *method = wish->method;
    const int64_t retry_after_ms = (int64_t)reply->retry_after_s * 1000;
    if (!answer->error)
        answer->error = "";
    if (reply->status < 200 || reply->status >= 300) {
        outcome_of_status(outcome, reply, readable ? answer->error : "");
    } else if (!readable) {
        outcome_set(outcome, OUTCOME_RETRY, "%s: an answer that can't be read", method);
    } else if (!answer->ok && !(wish->expected && strcmp(answer->error, wish->expected) == 0)) {
        outcome_set(outcome, is_passing(answer->error) ? OUTCOME_RETRY : OUTCOME_DEAD, "%s: %s", method,
                    outcome_word(answer->error, safe));
        if (outcome->kind == OUTCOME_RETRY)
            outcome->retry_after_ms = retry_after_ms;
    } else {
        outcome_set(outcome, OUTCOME_SENT, "%s", method);
        return true;
    }
    if (outcome->kind == OUTCOME_RETRY && (reply->status == 429 || strstr(answer->error, "limited"))) {
        outcome->untried = true;
        slack_hold(slack, wish->limited ? wish->limited : wish->method, outcome);
    }
    return false;
}

bool slack_call(struct slack *slack, struct arena *arena, const struct slack_wish *wish, struct slack_answer *answer,
                struct outcome *outcome)
{
    const struct str *body = wish->body;
    struct http_answer reply;
    struct err err = {0};
    *answer = (struct slack_answer){.error = ""};
    if (!slack_has_token(slack)) {
        outcome_set(outcome, OUTCOME_DEAD, "no SLACK_TOKEN is set");
        return false;
    }
    if (is_held(slack, wish, outcome))
        return false;
    const char *const headers[] = {
        arena_printf(arena, "Authorization: Bearer %s", slack->config->token),
        body ? "Content-Type: application/json; charset=utf-8" : NULL,
        NULL,
    };
    const struct http_call call = {
        .method = body ? "POST" : "GET",
        .url = arena_printf(arena, "%s/api/%s%s%s", slack->config->base_url, wish->method, wish->query ? "?" : "",
                            wish->query ? wish->query : ""),
        .headers = headers,
        .body = body ? (struct view){body->bytes, body->length} : (struct view){NULL, 0},
    };
    if (!httpclient_call(slack->http, arena, &call, &reply, &err)) {
        outcome_of_silence(outcome, &err);
        return false;
    }
    bool readable = JSON_DECODE_LENIENT(arena, reply.body, ANSWER_FIELDS, answer, &err);
    return judge(slack, wish, &reply, readable, answer, outcome);
}

/* ---- webhooks ---- */

static const char *find_webhook(const struct slack *slack, const char *name)
{
    for (size_t i = 0; i < slack->webhook_count; i++)
        if (strcmp(slack->webhooks[i].name, name) == 0)
            return slack->webhooks[i].url;
    return NULL;
}

bool slack_post_webhook(struct slack *slack, struct arena *arena, const char *name, const char *text,
                        struct outcome *outcome)
{
    static const char *const HEADERS[] = {"Content-Type: application/json; charset=utf-8", NULL};
    const char *url = find_webhook(slack, name), *key = arena_printf(arena, "webhook:%s", name);
    struct http_answer reply;
    struct err err = {0};
    if (!url) {
        outcome_set(outcome, OUTCOME_DEAD, "SLACK_WEBHOOKS has no such name");
        return false;
    }
    if (!slack_wait_turn(slack, key, outcome))
        return false;
    AUTO_STR body;
    str_init(&body);
    json_open(&body, NULL, '{');
    json_text(&body, "text", text);
    json_close(&body, '}');
    const struct http_call call = {.method = "POST", .url = url, .headers = HEADERS, .body = {body.bytes, body.length}};
    if (!httpclient_call(slack->http, arena, &call, &reply, &err)) {
        outcome_of_silence(outcome, &err);
        return false;
    }
    outcome_of_status(outcome, &reply, reply.status >= 400 ? reply.body.bytes : "");
    if (outcome->kind == OUTCOME_SENT && !view_equals(reply.body, VIEW("ok")))
        outcome_set(outcome, OUTCOME_DEAD, "webhook: the answer was not ok");
    if (reply.status == 429) {
        outcome->untried = true;
        slack_hold(slack, key, outcome);
    }
    return outcome->kind == OUTCOME_SENT;
}
