/* codec.h - the messages of the API: bodies -> struct by field tables, struct -> replies. */
#ifndef AUTH_CODEC_H
#define AUTH_CODEC_H

#include "http.h"
#include "json.h"
#include "store.h"

/* POST /signup; POST /complete knows the same but e-mail, password and proof. */
struct signup {
    const char *email, *password, *nickname, *handle, *proof, *name, *gender, *birth_date, *phone_proof;
};
extern const struct field SIGNUP_FIELDS[], COMPLETE_FIELDS[];

struct names {
    const char *nickname, *handle;
};
extern const struct field NAMES_FIELDS[];

struct proof {
    const char *proof, *password, *new_password;
};
extern const struct field EMAIL_FIELDS[], PHONE_FIELDS[], RESET_FIELDS[];

struct login {
    const char *login, *password, *device_name, *code;
    bool cookie, single_session;
};
extern const struct field LOGIN_FIELDS[], EXCHANGE_FIELDS[];

struct refresh_body {
    const char *refresh_token;
};
extern const struct field REFRESH_FIELDS[];

struct code_body {
    const char *purpose, *email, *phone, *code;
};
extern const struct field SEND_CODE_FIELDS[], CONFIRM_CODE_FIELDS[];

struct new_password {
    const char *old_password, *new_password;
};
extern const struct field PASSWORD_FIELDS[];

struct leave {
    const char *password;
};
extern const struct field LEAVE_FIELDS[];

struct role_body {
    const char *role;
};
extern const struct field ROLE_FIELDS[];

/* As json_decode, but an empty body is an object without members. */
bool codec_read(struct request *req, const struct field *table, void *out, size_t out_size, struct err *err);
#define CODEC_READ(req, table, out, err) codec_read((req), (table), (out), sizeof *(out), (err))

/* {id, handle, nickname, email, role, email_verified, phone?} */
void codec_user(struct str *out, const char *name, const struct account *account);
/* A reply that is the account, with its version as ETag. */
bool reply_account(struct request *req, struct reply *reply, const struct account *account);

/* The answer of log-in, refresh, completion and exchange: signs the access token, sets the cookie or shows the token.
 */
bool reply_grant(struct request *req, struct reply *reply, const struct session_grant *grant,
                 const struct refresh_token *refresh, struct err *err);
void clear_refresh_cookie(struct request *req, struct reply *reply);
#define REFRESH_COOKIE "madang_refresh"
#define REFRESH_COOKIE_PATH "/api/auth"

bool reply_sessions(struct request *req, struct reply *reply, const struct session_row *rows, size_t count);

/* Where a request comes from, for events and the session list. */
struct origin origin_of(const struct request *req);

#endif
