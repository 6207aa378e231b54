#include "api.h"

#include "api_common.h"
#include "api_files.h"
#include "clock.h"
#include "crypto.h"
#include "idempotency.h"
#include "problems.h"
#include "store_files.h"
#include "store_rooms.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEY_RANDOM_BYTES = 16, KEY_BYTES = 64, LINK_SECONDS = 600 };

static const struct {
    const char *type, *ending;
} FILE_TYPES[] = {
    {"image/png", ".png"}, {"image/jpeg", ".jpg"}, {"image/webp", ".webp"},
    {"image/gif", ".gif"}, {"video/mp4", ".mp4"},  {"application/pdf", ".pdf"},
};

/* ---- up ---- */

/* The object's name, which nobody can guess; NULL for a type that is not taken. */
static const char *new_key(struct arena *arena, const char *type)
{
    unsigned char random[KEY_RANDOM_BYTES];
    char hex[2 * KEY_RANDOM_BYTES + 1];
    crypto_random(random, sizeof random);
    crypto_hex(random, sizeof random, hex);
    for (size_t i = 0; i < ARRAY_LENGTH(FILE_TYPES); i++)
        if (strcmp(FILE_TYPES[i].type, type) == 0)
            return arena_printf(arena, "chat/%s%s", hex, FILE_TYPES[i].ending);
    return NULL;
}

/* With an Idempotency-Key the id follows from who, where and the key (UUIDv8), so that a repeat is the same file. */
static bool file_id_of(struct request *req, const char *room_id, char id[UUID_TEXT_BYTES], bool *repeatable,
                       struct err *err)
{
    const char *key;
    unsigned char hash[SHA256_BYTES];
    struct uuid uuid;
    uuid_new(id);
    if (!idempotency_key(req, &key, err))
        return false;
    *repeatable = key != NULL;
    if (!key)
        return true;
    const char *text = arena_printf(req->arena, "file\n%s\n%s\n%s", caller_of(req), room_id, key);
    crypto_sha256(text, strlen(text), hash);
    memcpy(uuid.bytes, hash, sizeof uuid.bytes);
    uuid.bytes[6] = (unsigned char)((uuid.bytes[6] & 0x0f) | 0x80);
    uuid.bytes[8] = (unsigned char)((uuid.bytes[8] & 0x3f) | 0x80);
    uuid_format(&uuid, id);
    return true;
}

static bool reply_file(struct request *req, struct reply *reply, const struct file *file, int status, struct err *err)
{
    const int64_t now_s = clock_now_ms() / 1000;
    AUTO_STR url;
    str_init(&url);
    if (!objstore_link(app_of(req)->files, file->key, now_s, now_s + LINK_SECONDS, &url, err))
        return false;
    reply->status = status;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "file_id", file->id);
    json_text(&reply->body, "url", url.bytes);
    json_text(&reply->body, "type", file->type);
    json_i64(&reply->body, "size", file->bytes);
    json_close(&reply->body, '}');
    return true;
}

/* A repeat with the same key: the file that was stored, if it can have been these bytes. */
static bool reply_repeat(struct request *req, struct reply *reply, const struct file *wish, struct err *err)
{
    struct file before;
    if (!store_own_file(app_of(req)->db, req->arena, wish->id, caller_of(req), &before, err))
        return false;
    if (before.bytes != wish->bytes || strcmp(before.type, wish->type) != 0)
        return err_set(err, &ERR_KEY_REUSED, "this Idempotency-Key came before with another file");
    return reply_file(req, reply, &before, 201, err);
}

static bool keep(struct request *req, const struct file *file, struct err *err)
{
    const struct chat_app *app = app_of(req);
    return store_expect_file(app->db, file->key, err) &&
           objstore_put(app->files, file->key, req->body, file->type, err) && store_add_file(app->db, file, err);
}

static bool may_upload(struct request *req, const char **room_id, struct err *err)
{
    struct room_access access;
    *room_id = http_param_uuid(req, "id", err);
    if (!*room_id || !store_room_access(app_of(req)->db, *room_id, req->identity, &access, err))
        return false;
    return !room_kind_is_open(access.kind) ||
           err_set(err, &ERR_NOT_FOR_OPEN_ROOM, "a room for everybody takes no files");
}

/* POST /api/chat/rooms/:id/files, the bytes -> 201 {file_id, url, type, size}. What it is is seen by its content. */
bool file_put(struct request *req, struct reply *reply, struct err *err)
{
    char id[UUID_TEXT_BYTES];
    bool repeatable;
    struct file file = {.id = id, .user_id = caller_of(req), .bytes = (int64_t)req->body.length};
    struct err missing = {0};
    if (!may_upload(req, &file.room_id, err))
        return false;
    if (req->body.length == 0)
        return err_set(err, &ERR_BAD_INPUT, "the body is empty: send the bytes of a file");
    file.type = media_sniff(req->body, true, NULL, NULL);
    file.key = file.type ? new_key(req->arena, file.type) : NULL;
    if (!file.key)
        return err_set(err, &ERR_MEDIA_TYPE, "a file is a png, jpeg, webp, gif, mp4 or pdf");
    if (!file_id_of(req, file.room_id, id, &repeatable, err))
        return false;
    struct file before;
    if (repeatable && store_own_file(app_of(req)->db, req->arena, id, caller_of(req), &before, &missing))
        return reply_repeat(req, reply, &file, err);
    if (keep(req, &file, err))
        return reply_file(req, reply, &file, 201, err);
    if (!repeatable || !err_is(err, &ERR_CONFLICT))
        return false;
    err_clear(err); /* two at once: the other one was first */
    return reply_repeat(req, reply, &file, err);
}

/* ---- down ---- */

/* GET /api/chat/rooms/:id/files/:file_id -> {file_id, url, type, size}; the link works for ten minutes. */
bool file_view(struct request *req, struct reply *reply, struct err *err)
{
    struct file file;
    const char *room_id, *file_id = http_param_uuid(req, "file_id", err);
    return file_id && room_of_path(req, &room_id, err) &&
           store_find_file(app_of(req)->db, req->arena, room_id, file_id, caller_of(req), &file, err) &&
           reply_file(req, reply, &file, 200, err);
}

/* "bytes=a-b", "bytes=a-" or "bytes=-n" of `length` bytes. False: not one such range, so the whole is sent (RFC 9110
 * section 14.2). */
static bool read_range(const char *text, size_t length, size_t *from, size_t *count)
{
    static const char UNIT[] = "bytes=";
    if (!text || strncmp(text, UNIT, sizeof UNIT - 1) != 0 ||
        strspn(text + sizeof UNIT - 1, "0123456789-") != strlen(text + sizeof UNIT - 1))
        return false;
    const char *first = text + sizeof UNIT - 1, *dash = strchr(first, '-');
    if (!dash || strchr(dash + 1, '-') || strlen(first) > 40)
        return false;
    const unsigned long long a = strtoull(first, NULL, 10), b = strtoull(dash + 1, NULL, 10);
    if (dash == first) { /* the last b bytes */
        *count = b < length ? (size_t)b : length;
        *from = length - *count;
        return dash[1] && b > 0;
    }
    if (a >= length || (dash[1] && b < a))
        return false;
    *from = (size_t)a;
    *count = dash[1] && b < length ? (size_t)(b - a + 1) : length - (size_t)a;
    return true;
}

/* GET /files/chat/:key?expires=&signature= -> the bytes, or a part of them (players of videos ask so). */
bool file_get(struct request *req, struct reply *reply, struct err *err)
{
    const struct chat_app *app = app_of(req);
    const char *key = arena_printf(req->arena, "chat/%s", http_param(req, "key"));
    const char *expires = http_query(req, "expires"), *signature = http_query(req, "signature"), *type;
    struct view bytes;
    size_t from = 0, count;
    if (!expires || !signature || !objstore_link_valid(app->files, key, expires, signature, clock_now_ms() / 1000))
        return err_set(err, &ERR_FORBIDDEN, "the link is not valid any more");
    if (!objstore_get(app->files, key, FILE_BYTES_MAX, req->arena, &bytes, &type, err))
        return false;
    reply_header(reply, "Cache-Control", "private, max-age=600");
    reply_header(reply, "X-Content-Type-Options", "nosniff");
    reply_header(reply, "Content-Security-Policy", "default-src 'none'; sandbox");
    reply_header(reply, "Accept-Ranges", "bytes");
    reply_header(reply, "Content-Disposition", strcmp(type, "application/pdf") == 0 ? "attachment" : "inline");
    reply->content_type = type;
    if (read_range(http_header(req, "Range"), bytes.length, &from, &count)) {
        reply->status = 206;
        reply_header(reply, "Content-Range",
                     arena_printf(req->arena, "bytes %zu-%zu/%zu", from, from + count - 1, bytes.length));
    } else {
        count = bytes.length;
    }
    str_add_bytes(&reply->body, bytes.bytes + from, count);
    return true;
}
