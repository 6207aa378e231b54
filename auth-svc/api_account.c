#include "api.h"

#include <errno.h>
#include <stdlib.h>

/* If-Match: our ETag, or * for any. 0: not sent, any version will do. */
static bool wanted_version(const struct request *req, int64_t *version, struct err *err)
{
    const char *text = http_header(req, "If-Match");
    *version = 0;
    if (!text || strcmp(text, "*") == 0)
        return true;
    char *end = NULL;
    errno = 0;
    if (*text == '"' && text[1] >= '1' && text[1] <= '9')
        *version = strtoll(text + 1, &end, 10);
    if (!end || strcmp(end, "\"") != 0 || errno)
        return err_set(err, &ERR_STALE_VERSION, "If-Match is no version of this account");
    return true;
}

/* PATCH /account {nickname?, handle?} -> the account; *_taken, stale_version. */
bool api_rename(struct request *req, struct reply *reply, struct err *err)
{
    struct names wish;
    struct nickname nickname;
    struct account account;
    int64_t version;
    if (!CODEC_READ(req, NAMES_FIELDS, &wish, err) || !wanted_version(req, &version, err))
        return false;
    if (!wish.nickname && !wish.handle)
        return err_set(err, &ERR_BAD_INPUT, "give a nickname or a handle");
    bool good = !wish.nickname || account_nickname(req->arena, wish.nickname, &nickname, err);
    if (wish.handle)
        good = account_handle(wish.handle, err) && good;
    struct origin origin = origin_of(req);
    return good &&
           store_rename(req->app, req->identity, wish.nickname ? &nickname : NULL, wish.handle, version, &origin,
                        &account, err) &&
           reply_account(req, reply, &account);
}

/* The caller's account, and that they know its password; one without a password (social) has none to ask for. */
static bool know_caller(struct request *req, const char *password, struct login_row *row, struct err *err)
{
    *row = (struct login_row){0};
    if (!store_find_account(req->app, req->identity->user_id, row, err))
        return err_is(err, &ERR_NOT_FOUND) && err_set(err, &ERR_SESSION_ENDED, "log in again");
    if (!row->account.has_password)
        return true;
    if (!password)
        return err_add_field(err, "/password", "is required");
    return check_own_password(req, row, password, err);
}

/* PUT /email {proof, password} -> the account, its e-mail verified; bad_proof, email_taken, bad_credentials. */
bool api_change_email(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    struct proof wish;
    struct login_row row;
    struct account account;
    struct origin origin = origin_of(req);
    return turn && CODEC_READ(req, EMAIL_FIELDS, &wish, err) && know_caller(req, wish.password, &row, err) &&
           store_change_email(app, req->identity, wish.proof, row.password_hash, &origin, &account, err) &&
           reply_account(req, reply, &account);
}

/* PUT /phone {proof} -> the account; bad_proof. */
bool api_change_phone(struct request *req, struct reply *reply, struct err *err)
{
    struct proof wish;
    struct account account;
    struct origin origin = origin_of(req);
    return CODEC_READ(req, PHONE_FIELDS, &wish, err) &&
           store_change_phone(req->app, req->identity, wish.proof, &origin, &account, err) &&
           reply_account(req, reply, &account);
}

bool hash_new_password(struct request *req, const struct login_row *row, const char *wanted,
                       char hash[PASSWORD_HASH_BYTES], struct err *err)
{
    const struct auth_app *app = req->app;
    const char *names[] = {row->account.email, row->account.handle, row->account.nickname};
    if (!account_password(req->arena, wanted, names, ARRAY_LENGTH(names), "/new_password", err))
        return false;
    const char *form = account_password_form(req->arena, wanted);
    if (password_matches(app->passwords, row->password_hash, form))
        return err_set(err, &ERR_PASSWORD_UNCHANGED, "choose another password");
    return password_hash(app->passwords, form, hash, err);
}

/* PUT /password {old_password, new_password} -> 204, all other sessions end; password_unchanged, no_password. */
bool api_change_password(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    struct new_password wish;
    struct login_row row;
    if (!turn || !CODEC_READ(req, PASSWORD_FIELDS, &wish, err) || !know_caller(req, wish.old_password, &row, err))
        return false;
    if (!row.account.has_password)
        return err_set(err, &ERR_NO_PASSWORD, "use a code to your e-mail address");
    char hash[PASSWORD_HASH_BYTES];
    struct origin origin = origin_of(req);
    return hash_new_password(req, &row, wish.new_password, hash, err) &&
           store_change_password(app, req->identity, row.password_hash, hash, &origin, err) && reply_empty(reply, 204);
}

/* DELETE /account {password?} -> 204: names free, tokens dead, log-in refused. */
bool api_withdraw(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    struct leave wish;
    struct login_row row;
    struct origin origin = origin_of(req);
    if (!turn || !CODEC_READ(req, LEAVE_FIELDS, &wish, err) || !know_caller(req, wish.password, &row, err) ||
        !store_withdraw(app, req->identity, row.password_hash, &origin, err))
        return false;
    clear_refresh_cookie(req, reply);
    return reply_empty(reply, 204);
}

/* PUT /users/:id/role {role} -> 204; older tokens of that user are stale. not_found, conflict (a guest), last_admin. */
bool api_set_role(struct request *req, struct reply *reply, struct err *err)
{
    struct role_body wish;
    enum role role;
    const char *id = http_param_uuid(req, "id", err);
    if (!id || !CODEC_READ(req, ROLE_FIELDS, &wish, err))
        return false;
    struct account caller;
    struct origin origin = origin_of(req);
    (void)role_parse(wish.role, &role); /* one of the table */
    return store_check_caller(req->app, req->identity, &caller, err) &&
           store_set_role(req->app, id, role, &origin, err) && reply_empty(reply, 204);
}
