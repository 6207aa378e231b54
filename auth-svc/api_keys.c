#include "api.h"

#include "keys.h"

/* GET /.well-known/jwks.json -> the public keys, also those that will sign soon or signed lately. */
bool api_jwks(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    (void)err;
    keys_print_jwks(app->keys, &reply->body);
    reply_header(reply, "Cache-Control", "public, max-age=30");
    reply_etag(req, reply);
    return true;
}

/* GET /internal/revoked?after=N -> what ended since; never routed by the gateway. */
bool api_revoked(struct request *req, struct reply *reply, struct err *err)
{
    int64_t after;
    return http_query_i64(req, "after", 0, 0, INT64_MAX, &after, err) &&
           store_revoked_after(req->app, after, &reply->body, err);
}
