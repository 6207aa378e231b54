#include "store_slack.h"

#include "outbox.h"
#include "topics.h"

static const struct pg_statement ADD_EVENT = {
    "slack_add_event",
    "INSERT INTO slack_events (event_id, kind, slack_id, channel) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"};

bool store_slack_event_add(struct pg_pool *db, const struct slack_event *event, bool *added, struct err *err)
{
    int64_t changed = 0;
    bool good = pg_exec(db, &ADD_EVENT,
                        PARAMS(PG_TEXT(event->event_id), PG_TEXT(slack_event_name(event->kind)),
                               PG_TEXT(event->slack_id), PG_TEXT(event->channel)),
                        &changed, err);
    *added = changed > 0;
    return good;
}

static const struct pg_statement CLAIM_EVENT = {
    "slack_claim_event",
    "UPDATE slack_events SET attempts = attempts + 1, next_try_at = now() + interval '1 minute' WHERE event_id ="
    " (SELECT event_id FROM slack_events WHERE state = 'waiting' AND next_try_at <= now()"
    "  ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " RETURNING event_id, kind, slack_id, channel, attempts"};

bool store_slack_event_claim(struct pg_pool *db, struct arena *arena, struct slack_join *join, bool *found,
                             struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &CLAIM_EVENT, NO_PARAMS, err);
    *found = rows && pg_rows(rows) == 1;
    if (!*found)
        return rows != NULL;
    const bool team = strcmp(pg_text(rows, 0, 1), slack_event_name(SLACK_TEAM_JOIN)) == 0;
    *join = (struct slack_join){
        .event =
            {
                .kind = team ? SLACK_TEAM_JOIN : SLACK_MEMBER_JOINED_CHANNEL,
                .challenge = "",
                .event_id = arena_text(arena, pg_text(rows, 0, 0)),
                .slack_id = arena_text(arena, pg_text(rows, 0, 2)),
                .channel = arena_text(arena, pg_text(rows, 0, 3)),
            },
        .attempt = (int)pg_i64(rows, 0, 4),
    };
    return true;
}

/* Nobody else has finished it meanwhile: a slow owner's minute may be over. */
static const struct pg_statement FINISH_EVENT = {
    "slack_finish_event", "UPDATE slack_events SET state = 'done' WHERE event_id = $1 AND state = 'waiting'"};
/* An e-mail is one account's, if it is verified; the check for another link and the insert are one statement under the
 * unique keys. */
static const struct pg_statement LINK_BY_EMAIL = {
    "slack_link_by_email",
    "INSERT INTO slack_links (user_id, slack_id, how)"
    " SELECT a.user_id, $1, 'email' FROM accounts a WHERE lower(a.email) = lower($2) AND a.email <> ''"
    " AND a.email_verified AND NOT a.withdrawn ORDER BY a.user_id LIMIT 1 ON CONFLICT DO NOTHING"};

static bool finish(struct pg_tx *tx, void *payload, struct err *err)
{
    struct slack_join_done *done = payload;
    const struct slack_event *event = &done->join->event;
    int64_t finished = 0, linked = 0;
    done->linked = false;
    if (!pg_tx_exec(tx, &FINISH_EVENT, PARAMS(PG_TEXT(event->event_id)), &finished, err))
        return false;
    if (finished == 0)
        return true;
    if (*done->email &&
        !pg_tx_exec(tx, &LINK_BY_EMAIL, PARAMS(PG_TEXT(event->slack_id), PG_TEXT(done->email)), &linked, err))
        return false;
    done->linked = linked > 0;
    const struct outbox_event notice = {
        .topic = TOPIC_NOTIFY_REQUESTS, .key = done->notice_key, .payload = done->notice};
    return !done->notice || outbox_add(tx, &notice, err);
}

bool store_slack_event_done(struct pg_pool *db, struct slack_join_done *done, struct err *err)
{
    return pg_transaction(db, finish, done, err);
}

static const struct pg_statement AGAIN = {
    "slack_event_again",
    "UPDATE slack_events SET state = CASE WHEN attempts >= $3::int THEN 'dead' ELSE 'waiting' END,"
    " next_try_at = now() + make_interval(secs => $2::bigint / 1000.0) WHERE event_id = $1 AND state = 'waiting'"};

bool store_slack_event_again(struct pg_pool *db, const struct slack_join *join, int64_t wait_ms, struct err *err)
{
    return pg_exec(db, &AGAIN, PARAMS(PG_TEXT(join->event.event_id), PG_I64(wait_ms), PG_I64(SLACK_EVENT_TRIES)), NULL,
                   err);
}

/* Slack tells an event again for an hour or so; two days are plenty. */
static const struct pg_statement SWEEP[] = {
    {"slack_sweep_events", "DELETE FROM slack_events WHERE received_at < now() - interval '2 days'"},
    {"slack_sweep_codes", "DELETE FROM slack_codes WHERE expires_at < now()"},
    {"slack_sweep_sends", "DELETE FROM slack_code_sends WHERE at < now() - interval '2 days'"},
    {"slack_sweep_links", "DELETE FROM slack_links l USING accounts a WHERE a.user_id = l.user_id AND a.withdrawn"},
};

bool store_slack_sweep(struct pg_pool *db, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(SWEEP); i++)
        if (!pg_exec(db, &SWEEP[i], NO_PARAMS, NULL, err))
            return false;
    return true;
}
