#include "http_internal.h"

#include "percent.h"

static bool segment_add(struct http_path *path, size_t *used, const char *raw, size_t length, struct err *err)
{
    char *segment = path->split + *used;
    if (path->count == HTTP_SEGMENTS_MAX)
        return err_set(err, &ERR_BAD_INPUT, "The path has too many parts");
    if (!percent_decode(raw, length, false, segment, sizeof path->split - *used))
        return err_set(err, &ERR_BAD_INPUT, "The path is not valid");
    if (!*segment || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 || strpbrk(segment, "/\\"))
        return err_set(err, &ERR_BAD_INPUT, "The path has an empty, dotted or slashed part");
    for (const unsigned char *c = (const unsigned char *)segment; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            return err_set(err, &ERR_BAD_INPUT, "The path has a control character");
    }
    size_t size = strlen(segment);
    path->text[*used] = '/';
    memcpy(path->text + *used + 1, segment, size); /* as long as `split`: a slash here is a NUL there */
    path->segments[path->count++] = segment;
    *used += size + 1;
    path->text[*used] = '\0';
    return true;
}

bool http_path_parse(struct http_path *path, const char *raw, size_t length, struct err *err)
{
    path->count = 0;
    (void)memcpy(path->text, "/", 2);
    if (length == 0 || raw[0] != '/')
        return err_set(err, &ERR_BAD_INPUT, "The path is not valid");
    if (length >= HTTP_PATH_BYTES - 1)
        return err_set(err, &ERR_BAD_INPUT, "The path is too long");
    size_t used = 0;
    if (length == 1)
        return true;
    for (size_t at = 0; at < length;) {
        const char *start = raw + at + 1, *slash = memchr(start, '/', length - at - 1);
        size_t size = slash ? (size_t)(slash - start) : length - at - 1;
        if (!segment_add(path, &used, start, size, err))
            return false;
        at += size + 1;
    }
    return true;
}

static bool pair_add(struct arena *arena, struct http_pair *pair, const char *raw, size_t length, struct err *err)
{
    const char *equals = memchr(raw, '=', length);
    size_t name_length = equals ? (size_t)(equals - raw) : length;
    size_t value_length = equals ? length - name_length - 1 : 0;
    char *name = arena_alloc(arena, name_length + 1), *value = arena_alloc(arena, value_length + 1);
    if (!percent_decode(raw, name_length, true, name, name_length + 1))
        return err_set(err, &ERR_BAD_INPUT, "The query is not valid");
    if (!percent_decode(equals ? equals + 1 : "", value_length, true, value, value_length + 1)) {
        err_set(err, &ERR_BAD_INPUT, "The query is not valid");
        return err_add_field(err, name, "is not percent-encoded UTF-8");
    }
    *pair = (struct http_pair){name, value};
    return true;
}

bool http_query_parse(struct arena *arena, const char *raw, struct http_pair pairs[HTTP_QUERY_MAX], size_t *count,
                      struct err *err)
{
    *count = 0;
    for (const char *at = raw; *at;) {
        size_t length = strcspn(at, "&");
        if (length) {
            if (*count == HTTP_QUERY_MAX)
                return err_set(err, &ERR_BAD_INPUT, "The query has more than %d parts", HTTP_QUERY_MAX);
            if (!pair_add(arena, &pairs[*count], at, length, err))
                return false;
            ++*count;
        }
        at += length + (at[length] == '&');
    }
    return true;
}
