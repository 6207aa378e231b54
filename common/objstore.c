#include "mem.h"
#include "objstore_internal.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 200 };

struct objstore {
    const struct objstore_kind *kind;
    void *state;
};

struct objstore *objstore_open(const struct objstore_config *config, struct err *err)
{
    bool s3 = config->s3_endpoint && config->s3_endpoint[0];
    void *state = s3 ? objstore_s3_open(config, err) : objstore_local_open(config, err);
    if (!state)
        return NULL;
    struct objstore *store = MEM_NEW(objstore);
    store->kind = s3 ? &OBJSTORE_S3 : &OBJSTORE_LOCAL;
    store->state = state;
    return store;
}

void objstore_release(struct objstore **store)
{
    struct objstore *old = TAKE(*store);
    if (!old)
        return;
    old->kind->release(old->state);
    free(old);
}

/* No segment may be empty or begin with a dot: names with a dot in front are the local store's own. */
static bool key_valid(const char *key)
{
    size_t length = strlen(key);
    if (length == 0 || length > KEY_MAX || key[length - 1] == '/' ||
        strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != length)
        return false;
    for (const char *segment = key; segment; segment = strchr(segment, '/')) {
        segment += segment != key;
        if (*segment == '.' || *segment == '/')
            return false;
    }
    return true;
}

static bool check_key(const char *key, struct err *err)
{
    return key_valid(key) || err_set(err, &ERR_NOT_FOUND, "no file can have this name");
}

bool objstore_put(struct objstore *store, const char *key, struct view bytes, const char *content_type, struct err *err)
{
    if (bytes.length > OBJECT_MAX)
        return err_set(err, &ERR_TOO_LARGE, "a file has at most %d bytes", OBJECT_MAX);
    return check_key(key, err) && store->kind->put(store->state, key, bytes, content_type, err);
}

bool objstore_get(struct objstore *store, const char *key, size_t max, struct arena *arena, struct view *bytes,
                  const char **content_type, struct err *err)
{
    return check_key(key, err) && store->kind->get(store->state, key, max, arena, bytes, content_type, err);
}

bool objstore_delete(struct objstore *store, const char *key, struct err *err)
{
    return check_key(key, err) && store->kind->remove(store->state, key, err);
}

bool objstore_link(struct objstore *store, const char *key, int64_t now_s, int64_t until_s, struct str *out,
                   struct err *err)
{
    return check_key(key, err) && store->kind->link(store->state, key, now_s, until_s, out, err);
}

bool objstore_link_valid(struct objstore *store, const char *key, const char *expires, const char *signature,
                         int64_t now_s)
{
    return key_valid(key) && expires && signature &&
           store->kind->link_valid(store->state, key, expires, signature, now_s);
}
