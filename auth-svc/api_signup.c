#include "api.h"

#include "clock.h"
#include "idempotency.h"
#include "text.h"

#include <stdio.h>

/* ---- GET /availability ---- */

/* What could not be stored anyway is not free. */
static void read_names(struct request *req, const char *email, const char *handle, const char *nickname,
                       struct names_free *names)
{
    struct err ignored = {0};
    struct nickname both;
    names->email_folded = email ? account_email(req->arena, email, "email", &ignored) : NULL;
    names->handle = handle && account_handle(handle, &ignored) ? handle : NULL;
    names->nickname_folded = nickname && account_nickname(req->arena, nickname, &both, &ignored) ? both.folded : NULL;
}

/* GET /availability?email=&handle=&nickname= -> for each one given, whether a sign-up could have it. */
bool api_availability(struct request *req, struct reply *reply, struct err *err)
{
    const char *email = http_query(req, "email"), *handle = http_query(req, "handle");
    const char *nickname = http_query(req, "nickname");
    if (!email && !handle && !nickname)
        return err_set(err, &ERR_BAD_INPUT, "ask for email, handle or nickname");
    struct names_free names = {0};
    read_names(req, email, handle, nickname, &names);
    if (!store_names_free(req->app, &names, err))
        return false;
    json_open(&reply->body, NULL, '{');
    if (email)
        json_bool(&reply->body, "email", names.email_folded && names.email);
    if (handle)
        json_bool(&reply->body, "handle", names.handle && names.handle_free);
    if (nickname)
        json_bool(&reply->body, "nickname", names.nickname_folded && names.nickname);
    json_close(&reply->body, '}');
    return true;
}

/* ---- POST /signup ---- */

/* What sign-up and completion have in common; every wrong field is told. */
static bool judge_profile(struct request *req, struct signup *wish, struct nickname *nickname, struct err *err)
{
    char today[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms(), today);
    today[10] = '\0';
    bool good = account_nickname(req->arena, wish->nickname, nickname, err);
    if (wish->handle)
        good = account_handle(wish->handle, err) && good;
    if (wish->birth_date)
        good = account_birth_date(wish->birth_date, today, err) && good;
    if (wish->name) {
        wish->name = account_name(req->arena, wish->name, err);
        good = wish->name && good;
    }
    return good;
}

static bool judge_signup(struct request *req, struct signup *wish, struct new_account *account, struct err *err)
{
    bool good = judge_profile(req, wish, &account->nickname, err);
    account->email_folded = account_email(req->arena, wish->email, "/email", err);
    const char *names[] = {wish->email, wish->handle, wish->nickname};
    good = account_password(req->arena, wish->password, names, ARRAY_LENGTH(names), "/password", err) && good;
    account->email = wish->email;
    account->handle = wish->handle;
    account->name = wish->name;
    account->gender = wish->gender;
    account->birth_date = wish->birth_date;
    account->proof = wish->proof;
    account->phone_proof = wish->phone_proof;
    account->korean = req->korean;
    account->role = ROLE_USER; /* whatever the caller would like */
    return good && account->email_folded;
}

static bool reply_signed_up(struct reply *reply, const struct account *account)
{
    json_open(&reply->body, NULL, '{');
    codec_user(&reply->body, "user", account);
    json_close(&reply->body, '}');
    reply->status = 201;
    return true;
}

/* POST /signup -> 201 and the account. */
bool api_signup(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    struct signup wish;
    struct new_account account = {0};
    struct account made;
    char hash[PASSWORD_HASH_BYTES];
    struct origin origin = origin_of(req);
    if (!turn || !CODEC_READ(req, SIGNUP_FIELDS, &wish, err) || !judge_signup(req, &wish, &account, err) ||
        !password_hash(app->passwords, account_password_form(req->arena, wish.password), hash, err))
        return false;
    account.password_hash = hash;
    return store_add_account(app, &account, &origin, &made, err) && reply_signed_up(reply, &made);
}

/* ---- POST /complete ---- */

struct complete_work {
    struct request *req;
    const struct completion *wish;
    struct refresh_token twin;
    struct session_grant grant;
};

/* With an Idempotency-Key the answer is made anew on a repeat, for tokens are never stored: what is stored only says
 * that it was done. */
static bool complete_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    struct complete_work *work = payload;
    const struct auth_app *app = work->req->app;
    const struct identity *who = work->req->identity;
    struct origin origin = origin_of(work->req);
    struct reply stored = {.status = 200};
    bool done = false;
    bool good = idempotency_begin(tx, work->req, &stored, &done, err);
    if (good && !done) {
        str_clear(&stored.body);
        str_add(&stored.body, "{}");
        good = store_complete(app, tx, who, work->wish, &origin, err) && idempotency_end(tx, work->req, &stored, err);
    }
    str_free(&stored.body);
    return good && store_twin(app, tx, who, &work->twin, &work->grant, err);
}

/* POST /complete -> the guest is a user; tokens as at log-in. */
bool api_complete(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct signup wish;
    struct completion completion = {0};
    if (!CODEC_READ(req, COMPLETE_FIELDS, &wish, err) || !judge_profile(req, &wish, &completion.nickname, err))
        return false;
    completion.handle = wish.handle;
    completion.name = wish.name;
    completion.gender = wish.gender;
    completion.birth_date = wish.birth_date;
    completion.phone_proof = wish.phone_proof;
    struct complete_work work = {.req = req, .wish = &completion};
    refresh_new(&app->secret, req->identity->session_id, &work.twin);
    return pg_transaction(app->db, complete_in_tx, &work, err) && reply_grant(req, reply, &work.grant, &work.twin, err);
}
