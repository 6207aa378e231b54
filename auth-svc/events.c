#include "events.h"

#include "clock.h"
#include "crypto.h"
#include "outbox.h"

#include <stdlib.h>

const char *const AUTH_TOPICS[] = {TOPIC_ACCOUNTS, TOPIC_SESSIONS_ENDED, TOPIC_NOTIFY_REQUESTS, NULL};

static bool send(struct pg_tx *tx, const char *topic, const char *key, struct str *payload, const struct origin *origin,
                 struct err *err)
{
    json_close(payload, '}');
    return outbox_add(tx,
                      &(struct outbox_event){.topic = topic,
                                             .key = key,
                                             .payload = payload->bytes,
                                             .request_id = origin->request_id,
                                             .traceparent = origin->traceparent},
                      err);
}

bool event_account(struct pg_tx *tx, const struct account *account, const struct origin *origin, struct err *err)
{
    AUTO_STR out = {0};
    char id[UUID_TEXT_BYTES];
    event_open(&out, "account", id);
    json_text(&out, "user_id", account->id);
    json_text(&out, "handle", account->handle);
    json_text(&out, "nickname", account->nickname);
    json_text(&out, "email", account->email);
    json_bool(&out, "email_verified", account->email_verified);
    json_text(&out, "phone", account->phone);
    json_text(&out, "locale", account->locale);
    json_text(&out, "role", role_name(account->role));
    json_bool(&out, "verified", account->email_verified || *account->phone); /* a phone is stored only when proved */
    json_bool(&out, "withdrawn", account->withdrawn);
    json_i64(&out, "version", account->version);
    json_time(&out, "created_at", account->created_at_ms);
    return send(tx, TOPIC_ACCOUNTS, account->id, &out, origin, err);
}

bool event_sessions_ended(struct pg_tx *tx, const struct ended_session *sessions, size_t count, const char *reason,
                          const struct origin *origin, struct err *err)
{
    struct str *payloads = mem_new(count, sizeof *payloads);
    struct outbox_event *events = mem_new(count, sizeof *events);
    for (size_t i = 0; i < count; i++) {
        char id[UUID_TEXT_BYTES];
        event_open(&payloads[i], "session_ended", id);
        json_text(&payloads[i], "user_id", sessions[i].user_id);
        json_text(&payloads[i], "sid", sessions[i].id);
        json_text(&payloads[i], "reason", reason);
        json_close(&payloads[i], '}');
        events[i] = (struct outbox_event){.topic = TOPIC_SESSIONS_ENDED,
                                          .key = sessions[i].user_id,
                                          .payload = payloads[i].bytes,
                                          .request_id = origin->request_id,
                                          .traceparent = origin->traceparent};
    }
    bool good = count == 0 || outbox_add_all(tx, events, count, err);
    for (size_t i = 0; i < count; i++)
        str_free(&payloads[i]);
    free(payloads);
    free(events);
    return good;
}

bool event_code(struct pg_tx *tx, const struct code_event *code, const struct origin *origin, struct err *err)
{
    AUTO_STR out = {0};
    char id[UUID_TEXT_BYTES], key[SHA256_HEX_BYTES];
    event_open(&out, "code", id);
    json_open(&out, "to", '{');
    json_text(&out, code->by_sms ? "phone" : "email", code->address);
    json_close(&out, '}');
    json_open(&out, "channels", '[');
    json_text(&out, NULL, code->by_sms ? "sms" : "email");
    json_close(&out, ']');
    json_open(&out, "args", '{');
    json_text(&out, "code", code->code);
    json_text(&out, "purpose", code->purpose);
    json_close(&out, '}');
    json_text(&out, "dedupe_id", id);
    json_text(&out, "locale", code->locale);
    crypto_sha256_hex(code->address, strlen(code->address), key); /* keys are seen by operators: no address there */
    return send(tx, TOPIC_NOTIFY_REQUESTS, key, &out, origin, err);
}

bool event_session_reused(struct pg_tx *tx, const struct account *account, const char *session_id,
                          const char *device_name, const struct origin *origin, struct err *err)
{
    AUTO_STR out = {0};
    char id[UUID_TEXT_BYTES];
    event_open(&out, "session_reused", id);
    json_open(&out, "to", '{');
    json_text(&out, "user", account->id);
    json_close(&out, '}');
    json_open(&out, "channels", '[');
    json_text(&out, NULL, "inbox");
    json_text(&out, NULL, "push");
    json_text(&out, NULL, "email");
    json_close(&out, ']');
    json_open(&out, "args", '{');
    json_text(&out, "device_name", device_name);
    json_text(&out, "ip", origin->ip);
    json_close(&out, '}');
    json_text(&out, "dedupe_id", session_id); /* a session dies once, so it is told once */
    json_text(&out, "locale", account->locale);
    return send(tx, TOPIC_NOTIFY_REQUESTS, account->id, &out, origin, err);
}
