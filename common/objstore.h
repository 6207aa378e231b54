/* objstore.h - pictures and files outside the database: a local folder, or an S3-compatible server by setting.
 * Keys are ours: [a-z0-9/._-], 1-200 characters, no empty or dot segment. Thread-safe. */
#ifndef MADANG_OBJSTORE_H
#define MADANG_OBJSTORE_H

#include "arena.h"
#include "config.h"
#include "errors.h"
#include "str.h"

#include <stdint.h>

struct objstore_config {
    const char *data_dir;           /* local folder; "" with S3 */
    const char *s3_endpoint;        /* http(s)://host:port as we reach it; "" = local folder */
    const char *s3_public_endpoint; /* as browsers reach it; "" = the same */
    const char *s3_region, *s3_bucket, *s3_access_key, *s3_secret_key;
    bool s3_path_style;
    const char *files_secret; /* signs local links */
};
#define OBJSTORE_SETTINGS(type, member)                                                                                \
    SETTING_TEXT(type, member.data_dir, "DATA_DIR", "data", "folder for files when S3_ENDPOINT is empty"),             \
        SETTING_TEXT(type, member.s3_endpoint, "S3_ENDPOINT", "", "S3-compatible server, http(s)://host[:port]"),      \
        SETTING_TEXT(type, member.s3_public_endpoint, "S3_PUBLIC_ENDPOINT", "", "the same as browsers reach it"),      \
        SETTING_TEXT(type, member.s3_region, "S3_REGION", "us-east-1", "region that signatures name"),                 \
        SETTING_TEXT(type, member.s3_bucket, "S3_BUCKET", "madang", "bucket; it must exist"),                          \
        SETTING_SECRET_OPTIONAL(type, member.s3_access_key, "S3_ACCESS_KEY", "access key"),                            \
        SETTING_SECRET_OPTIONAL(type, member.s3_secret_key, "S3_SECRET_KEY", "secret key"),                            \
        SETTING_BOOL(type, member.s3_path_style, "S3_PATH_STYLE", "on", "bucket in the path, not in the host name"),   \
        SETTING_SECRET_OPTIONAL(type, member.files_secret, "FILES_SECRET", "signs links to local files")

struct objstore;
struct objstore *objstore_open(const struct objstore_config *config, struct err *err);
void objstore_release(struct objstore **store);

/* Durable when true: local files are written aside, synced and renamed. */
bool objstore_put(struct objstore *store, const char *key, struct view bytes, const char *content_type,
                  struct err *err);
/* The bytes from the arena (at most `max`), and the type; ERR_NOT_FOUND. */
bool objstore_get(struct objstore *store, const char *key, size_t max, struct arena *arena, struct view *bytes,
                  const char **content_type, struct err *err);
bool objstore_delete(struct objstore *store, const char *key, struct err *err); /* true when it was not there */
/* A link that works until `until_s` (seconds since 1970): local "/files/<key>?expires=..&signature=.." or presigned S3.
 */
bool objstore_link(struct objstore *store, const char *key, int64_t now_s, int64_t until_s, struct str *out,
                   struct err *err);
/* Checks a local link's query. */
bool objstore_link_valid(struct objstore *store, const char *key, const char *expires, const char *signature,
                         int64_t now_s);

/* What the bytes are by their content, not their name; NULL when none of png, jpeg, webp (gif, mp4, pdf with `more`).
 * Width and height (may be NULL) are read from the header; 0 when unknown. Over 32,767 points a side or 2^28 in all,
 * cut short or with parts that do not fit together, it is none. Fuzzed. */
const char *media_sniff(struct view bytes, bool more, int *width, int *height);

#endif
