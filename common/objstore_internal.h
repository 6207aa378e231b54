/* objstore_internal.h - the two kinds of stores behind objstore.h. Keys are valid when they get here. */
#ifndef MADANG_OBJSTORE_INTERNAL_H
#define MADANG_OBJSTORE_INTERNAL_H

#include "objstore.h"

struct objstore_kind {
    bool (*put)(void *state, const char *key, struct view bytes, const char *content_type, struct err *err);
    bool (*get)(void *state, const char *key, size_t max, struct arena *arena, struct view *bytes,
                const char **content_type, struct err *err);
    bool (*remove)(void *state, const char *key, struct err *err);
    bool (*link)(void *state, const char *key, int64_t now_s, int64_t until_s, struct str *out, struct err *err);
    bool (*link_valid)(void *state, const char *key, const char *expires, const char *signature, int64_t now_s);
    void (*release)(void *state);
};

enum { OBJECT_MAX = 32 * 1024 * 1024 }; /* bytes */

extern const struct objstore_kind OBJSTORE_LOCAL, OBJSTORE_S3;
/* NULL on failure. The config's strings must live on. */
void *objstore_local_open(const struct objstore_config *config, struct err *err);
void *objstore_s3_open(const struct objstore_config *config, struct err *err);

#endif
