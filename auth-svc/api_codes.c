#include "api.h"

#include "codes.h"
#include "metrics.h"

#include <stdio.h>

/* Purpose and address of both bodies; the purpose is NULL on failure. */
static const struct code_purpose *read_target(struct request *req, const struct code_body *body, const char **address,
                                              struct err *err)
{
    const struct code_purpose *purpose = code_purpose_find(body->purpose);
    if (!purpose) {
        err_add_field(err, "/purpose", "must be verify_email, reset_password, find_login or verify_phone");
        return NULL;
    }
    *address = code_address(req->arena, purpose, body->email, body->phone, err);
    return *address ? purpose : NULL;
}

/* POST /codes -> 202, whoever has the address and whether or not a code leaves. */
bool api_send_code(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct code_body body;
    const char *address;
    const struct code_purpose *purpose =
        CODEC_READ(req, SEND_CODE_FIELDS, &body, err) ? read_target(req, &body, &address, err) : NULL;
    if (!purpose)
        return false;
    char code[CODE_DIGITS + 1];
    crypto_random_digits(code, CODE_DIGITS);
    struct code_wish wish = {.purpose = purpose->name,
                             .address = address,
                             .code = code,
                             .locale = req->korean ? "ko" : "en",
                             .by_sms = purpose->by_sms,
                             .needs_account = purpose->needs_account};
    code_mac(&app->secret, purpose, address, code, wish.code_mac);
    struct origin origin = origin_of(req);
    bool sent;
    if (!store_send_code(app, &wish, &origin, &sent, err))
        return false;
    metric_add(METRIC_CHILD(metric_counter("madang_auth_codes_total", "Codes asked for, by what happened", "result"),
                            sent ? "sent" : "not_sent"),
               1);
    str_add(&reply->body, "{}");
    reply->status = 202;
    return true;
}

/* Spaces and dashes, as people copy them, are no part of a code. */
static const char *code_digits(struct arena *arena, const char *typed)
{
    char *digits = arena_alloc(arena, strlen(typed) + 1), *at = digits;
    for (; *typed; typed++)
        if (!strchr(" -", *typed))
            *at++ = *typed;
    *at = '\0';
    return digits;
}

/* POST /codes/confirm -> {proof, expires_in}, for find_login {email}; bad_code. */
bool api_confirm_code(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct code_body body;
    const char *address, *email = NULL;
    const struct code_purpose *purpose =
        CODEC_READ(req, CONFIRM_CODE_FIELDS, &body, err) ? read_target(req, &body, &address, err) : NULL;
    if (!purpose)
        return false;
    char proof[RANDOM_TEXT_BYTES];
    crypto_random_text(proof);
    struct code_answer answer = {.purpose = purpose->name,
                                 .address = address,
                                 .by = req->identity ? req->identity->user_id : NULL,
                                 .gives_proof = purpose->gives_proof};
    code_mac(&app->secret, purpose, address, code_digits(req->arena, body.code), answer.code_mac);
    crypto_sha256(proof, strlen(proof), answer.proof_hash);
    struct origin origin = origin_of(req);
    if (!store_confirm_code(app, req->arena, &answer, &origin, &email, err))
        return false;
    json_open(&reply->body, NULL, '{');
    if (purpose->gives_proof) {
        json_text(&reply->body, "proof", proof);
        json_i64(&reply->body, "expires_in", app->cfg->proof_seconds);
    } else {
        json_text(&reply->body, "email", email);
    }
    json_close(&reply->body, '}');
    reply_header(reply, "Cache-Control", "no-store");
    return true;
}

/* POST /password/reset -> 204, all sessions end; bad_proof, password_unchanged. A refused password leaves the proof
 * good. */
bool api_reset_password(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    struct proof wish;
    struct login_row row = {0};
    if (!turn || !CODEC_READ(req, RESET_FIELDS, &wish, err) || !store_find_reset(app, wish.proof, &row, err))
        return false;
    char hash[PASSWORD_HASH_BYTES];
    struct origin origin = origin_of(req);
    return hash_new_password(req, &row, wish.new_password, hash, err) &&
           store_reset_password(app, wish.proof, hash, &origin, err) && reply_empty(reply, 204);
}
