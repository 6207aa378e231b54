#include "clock.h"
#include "crypto.h"
#include "mem.h"
#include "objstore_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file is written to .incoming/ beside all others, synced, and renamed to its place, so that a reader sees all of it
 * or nothing, and after true it is there for good. Directories are walked one by one without following links. The
 * content type is not kept: it is read from the bytes again. */

#define INCOMING ".incoming"
enum { LEFT_OVER_S = 3600, DIRECTORY_MODE = 0750, FILE_MODE = 0640, SIGNATURE_BYTES = 44 };

struct local {
    int root;
    const char *secret;
};

static bool failed(struct err *err, const char *what, const char *key)
{
    return err_set_internal(err, &ERR_UNAVAILABLE, "files: %s %s: %s", what, key, strerror(errno));
}

/* ---- directories ---------------------------------------------------------------------------------------------------
 */

static int open_directory(int parent, const char *name, bool make)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd >= 0 || errno != ENOENT || !make)
        return fd;
    /* Another thread may be first. The parent is synced in both cases, for both rely on the entry. */
    if ((mkdirat(parent, name, DIRECTORY_MODE) != 0 && errno != EEXIST) || fsync(parent) != 0)
        return -1;
    return openat(parent, name, flags);
}

/* The directory that holds `key`, and in *name the last segment. -1 with errno. */
static int open_parent(const struct local *local, const char *key, bool make, const char **name)
{
    int fd = fcntl(local->root, F_DUPFD_CLOEXEC, 0);
    const char *slash;
    while (fd >= 0 && (slash = strchr(key, '/'))) {
        char segment[256];
        (void)snprintf(segment, sizeof segment, "%.*s", (int)(slash - key), key);
        int next = open_directory(fd, segment, make);
        int why = errno;
        close(fd);
        errno = why;
        fd = next;
        key = slash + 1;
    }
    *name = key;
    return fd;
}

/* Takes away what a process left that died while it wrote. */
static void sweep_incoming(int root)
{
    int fd = openat(root, INCOMING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
            status.st_mtime < clock_now_ms() / 1000 - LEFT_OVER_S)
            (void)unlinkat(fd, entry->d_name, 0);
    }
    if (directory)
        closedir(directory);
}

void *objstore_local_open(const struct objstore_config *config, struct err *err)
{
    int fd = -1, root = -1;
    errno = ENOENT;
    if (config->data_dir && config->data_dir[0] && (mkdir(config->data_dir, DIRECTORY_MODE) == 0 || errno == EEXIST) &&
        (root = open(config->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
        fd = open_directory(root, INCOMING, true);
    if (fd < 0) {
        err_set_internal(err, &ERR_UNAVAILABLE, "DATA_DIR %s: %s", config->data_dir ? config->data_dir : "",
                         strerror(errno));
        if (root >= 0)
            close(root);
        return NULL;
    }
    close(fd);
    sweep_incoming(root);
    struct local *local = MEM_NEW(local);
    local->root = root;
    local->secret = config->files_secret ? config->files_secret : "";
    return local;
}

static void local_release(void *state)
{
    struct local *local = state;
    close(local->root);
    free(local);
}

/* ---- files ---------------------------------------------------------------------------------------------------------
 */

static bool write_all(int fd, struct view bytes)
{
    while (bytes.length > 0) {
        ssize_t written = write(fd, bytes.bytes, bytes.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes.bytes += written;
        bytes.length -= (size_t)written;
    }
    return true;
}

/* Writes a new file under .incoming/, synced. */
static bool write_aside(const struct local *local, const char *name, struct view bytes)
{
    int fd = openat(local->root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, bytes) && fsync(fd) == 0;
    int why = errno;
    ok = close(fd) == 0 && ok;
    errno = ok ? 0 : why;
    return ok;
}

static bool local_put(void *state, const char *key, struct view bytes, const char *content_type, struct err *err)
{
    (void)content_type;
    struct local *local = state;
    const char *name;
    char random[RANDOM_TEXT_BYTES], aside[sizeof INCOMING + sizeof random];
    crypto_random_text(random);
    (void)snprintf(aside, sizeof aside, INCOMING "/%s", random);
    int parent = open_parent(local, key, true, &name);
    if (parent < 0)
        return failed(err, "no folder for", key);
    bool ok = write_aside(local, aside, bytes) && renameat(local->root, aside, parent, name) == 0 && fsync(parent) == 0;
    if (!ok) {
        (void)failed(err, "writing", key);
        (void)unlinkat(local->root, aside, 0);
    }
    close(parent);
    return ok;
}

static bool read_all(int fd, char *out, size_t length)
{
    while (length > 0) {
        ssize_t count = read(fd, out, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        out += count;
        length -= (size_t)count;
    }
    return true;
}

static bool read_file(int fd, const char *key, size_t max, struct arena *arena, struct view *bytes, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return failed(err, "looking at", key);
    if (!S_ISREG(status.st_mode))
        return err_set(err, &ERR_NOT_FOUND, "no such file");
    size_t length = (size_t)status.st_size;
    char *content = length <= max ? arena_try(arena, length + 1) : NULL;
    if (!content)
        return err_set(err, &ERR_TOO_LARGE, "the file is larger than %zu bytes", max);
    if (!read_all(fd, content, length)) /* files never change under their name, so their length does not either */
        return failed(err, "reading", key);
    *bytes = (struct view){content, length};
    return true;
}

static bool local_get(void *state, const char *key, size_t max, struct arena *arena, struct view *bytes,
                      const char **content_type, struct err *err)
{
    const char *name;
    int parent = open_parent(state, key, false, &name), fd = -1;
    if (parent >= 0) {
        fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        int why = errno;
        close(parent);
        errno = why;
    }
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? err_set(err, &ERR_NOT_FOUND, "no such file")
                                                                     : failed(err, "opening", key);
    bool ok = read_file(fd, key, max, arena, bytes, err);
    close(fd);
    if (!ok)
        return false;
    const char *type = media_sniff(*bytes, true, NULL, NULL);
    *content_type = type ? type : "application/octet-stream";
    return true;
}

static bool local_remove(void *state, const char *key, struct err *err)
{
    const char *name;
    int parent = open_parent(state, key, false, &name);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR || failed(err, "deleting", key);
    bool ok = unlinkat(parent, name, 0) == 0 ? fsync(parent) == 0 : errno == ENOENT;
    if (!ok)
        (void)failed(err, "deleting", key);
    close(parent);
    return ok;
}

/* ---- links ---------------------------------------------------------------------------------------------------------
 */

static void sign(const struct local *local, const char *key, const char *expires, struct str *out)
{
    unsigned char mac[SHA256_BYTES];
    AUTO_STR text;
    str_init(&text);
    str_printf(&text, "%s\n%s", key, expires); /* no key has a line end */
    crypto_hmac_sha256(local->secret, strlen(local->secret), text.bytes, text.length, mac);
    crypto_base64url(mac, sizeof mac, out);
}

static bool local_link(void *state, const char *key, int64_t now_s, int64_t until_s, struct str *out, struct err *err)
{
    const struct local *local = state;
    (void)now_s;
    if (!local->secret[0])
        return err_set_internal(err, &ERR_INTERNAL, "files: FILES_SECRET is not set, so no link can be signed");
    char expires[24];
    (void)snprintf(expires, sizeof expires, "%" PRId64, until_s);
    str_printf(out, "/files/%s?expires=%s&signature=", key, expires);
    sign(local, key, expires, out);
    return true;
}

static bool local_link_valid(void *state, const char *key, const char *expires, const char *signature, int64_t now_s)
{
    const struct local *local = state;
    size_t digits = strspn(expires, "0123456789");
    if (!local->secret[0] || digits == 0 || digits > 12 || expires[digits] != '\0' ||
        strtoll(expires, NULL, 10) <= now_s)
        return false;
    AUTO_STR right;
    str_init(&right);
    sign(local, key, expires, &right);
    return crypto_equal(right.bytes, right.length, signature, strlen(signature));
}

const struct objstore_kind OBJSTORE_LOCAL = {
    .put = local_put,
    .get = local_get,
    .remove = local_remove,
    .link = local_link,
    .link_valid = local_link_valid,
    .release = local_release,
};
