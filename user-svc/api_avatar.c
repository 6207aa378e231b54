#include "api.h"

#include "api_common.h"
#include "picture.h"

#include <stdlib.h>

enum { UPLOAD_SECONDS = 600 }; /* a stored picture that no profile took by then goes */

static bool change_picture(struct request *req, const char *key, struct profile *after, struct err *err)
{
    const struct user_app *app = req->app;
    const struct profile_change change = {
        .caller = req->identity,
        .origin = origin_of(req),
        .avatar_key = key,
        .grace_seconds = app->config->picture_grace_seconds,
    };
    return store_change_profile(app->db, req->arena, &change, after, err);
}

/* PUT /api/users/me/avatar, the bytes of a picture -> {avatar_url}. The picture stands in the trash before it is stored
 * and leaves it when the profile takes it, so that a crash between the two leaves nothing behind. */
bool avatar_put(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    char key[PICTURE_KEY_BYTES], url[PICTURE_URL_BYTES];
    const char *type;
    struct profile after;
    struct view clean;
    if (!picture_name(req->body, key, &type, err) || !picture_clean(req->arena, req->body, type, &clean, err) ||
        !store_trash_add(app->db, key, UPLOAD_SECONDS, err) ||
        !objstore_put(app->files, picture_object(req->arena, key), clean, type, err) ||
        !change_picture(req, key, &after, err))
        return false;
    person_picture_url(after.person.id, after.person.avatar_key, url);
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "avatar_url", url);
    json_close(&reply->body, '}');
    return true;
}

/* DELETE /api/users/me/avatar -> 204: back to a stock picture. */
bool avatar_delete(struct request *req, struct reply *reply, struct err *err)
{
    struct profile after;
    return change_picture(req, NULL, &after, err) && reply_empty(reply, 204);
}

static bool reply_picture(struct request *req, struct reply *reply, const char *key, struct view bytes,
                          const char *type)
{
    const char *tag = arena_printf(req->arena, "\"%s\"", key);
    const char *known = http_header(req, "If-None-Match");
    reply_header(reply, "ETag", tag);
    reply_header(reply, "Cache-Control", "public, max-age=31536000, immutable");
    reply_header(reply, "X-Content-Type-Options", "nosniff");
    reply_header(reply, "Content-Security-Policy", "default-src 'none'; sandbox");
    if (known && strstr(known, tag))
        return reply_empty(reply, 304);
    reply->content_type = type;
    str_add_bytes(&reply->body, bytes.bytes, bytes.length);
    return true;
}

static const struct stock_picture *stock_find(const char *key)
{
    static const char PREFIX[] = "stock/";
    if (strncmp(key, PREFIX, sizeof PREFIX - 1) != 0)
        return NULL;
    const char *digit = key + sizeof PREFIX - 1;
    const bool known = digit[0] >= '1' && digit[0] < '1' + STOCK_PICTURES && digit[1] == '\0';
    return known ? &STOCK_PICTURE_TABLE[digit[0] - '1'] : NULL;
}

/* GET /files/user/:key -> the picture. A name is never used twice, so caches may keep it for ever. */
bool picture_get(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    const char *key = http_param(req, "key");
    const struct stock_picture *stock = stock_find(key);
    if (stock)
        return reply_picture(req, reply, key, (struct view){(const char *)stock->bytes, stock->length}, "image/png");
    if (!picture_name_valid(key))
        return err_set(err, &ERR_NOT_FOUND, "no such picture");
    struct view bytes;
    const char *type;
    return objstore_get(app->files, picture_object(req->arena, key), PICTURE_BYTES_MAX, req->arena, &bytes, &type,
                        err) &&
           reply_picture(req, reply, key, bytes, type);
}
