#include "docs.h"

#include "crypto.h"
#include "exchange.h"
#include "log.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES_MAX = 64, FILE_BYTES_MAX = 4 * 1024 * 1024, ALL_BYTES_MAX = 12 * 1024 * 1024, ETAG_BYTES = 35 };

struct docs_file {
    char name[64]; /* below /docs/; "/openapi.yaml" stands with its slash */
    const char *type;
    char etag[ETAG_BYTES];
    size_t length;
    char *bytes;
};

/* All files at one time; exchanges that send from it hold it. */
struct docs_table {
    atomic_int users;
    int count;
    struct docs_file files[FILES_MAX];
};

struct docs {
    const char *dir, *openapi_file;
    pthread_mutex_t lock; /* guards the pointer */
    struct docs_table *now;
};

static const char POLICY[] = "Cache-Control: no-cache\r\n"
                             "Content-Security-Policy: default-src 'self'; style-src 'self' 'unsafe-inline'; "
                             "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n";

/* ---- reading ---- */

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } TYPES[] = {{".html", "text/html; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".json", "application/json"},
                 {".yaml", "application/yaml; charset=utf-8"},
                 {".png", "image/png"},
                 {".svg", "image/svg+xml"},
                 {".map", "application/json"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_LENGTH(TYPES); i++)
        if (strcmp(dot, TYPES[i].ending) == 0)
            return TYPES[i].type;
    return NULL; /* not served */
}

static void table_release(struct docs_table **table)
{
    struct docs_table *old = TAKE(*table);
    if (!old || atomic_fetch_sub_explicit(&old->users, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < old->count; i++)
        free(old->files[i].bytes);
    free(old);
}

static bool read_bytes(const char *path, struct docs_file *file)
{
    FILE *stream = fopen(path, "re");
    struct stat facts;
    if (!stream)
        return false;
    bool fine = fstat(fileno(stream), &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size <= FILE_BYTES_MAX;
    if (fine) {
        file->length = (size_t)facts.st_size;
        file->bytes = mem_new(file->length + 1, 1);
        fine = fread(file->bytes, 1, file->length, stream) == file->length;
        if (!fine)
            free(TAKE(file->bytes));
    }
    (void)fclose(stream);
    return fine;
}

static void add_file(struct docs_table *table, size_t *total, const char *path, const char *name)
{
    if (table->count == FILES_MAX || strlen(name) >= sizeof table->files->name || !type_of(name))
        return;
    struct docs_file *file = &table->files[table->count];
    *file = (struct docs_file){.type = type_of(name)};
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    if (!read_bytes(path, file) || *total + file->length > ALL_BYTES_MAX) {
        log_event(LOG_WARN, "document_not_read", LOG_TEXT("file.path", path));
        free(file->bytes);
        return;
    }
    char hex[SHA256_HEX_BYTES];
    crypto_sha256_hex(file->bytes, file->length, hex);
    (void)snprintf(file->etag, sizeof file->etag, "\"%.32s\"", hex);
    *total += file->length;
    table->count++;
}

void docs_reload(struct docs *docs)
{
    struct docs_table *fresh = MEM_NEW(docs_table);
    atomic_init(&fresh->users, 1);
    size_t total = 0;
    char path[600];
    DIR *dir = *docs->dir ? opendir(docs->dir) : NULL;
    if (*docs->dir && !dir)
        log_event(LOG_WARN, "document_not_read", LOG_TEXT("file.path", docs->dir), LOG_TEXT("reason", strerror(errno)));
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        (void)snprintf(path, sizeof path, "%.300s/%.250s", docs->dir, entry->d_name);
        if (entry->d_name[0] != '.')
            add_file(fresh, &total, path, entry->d_name);
    }
    if (dir)
        (void)closedir(dir);
    (void)snprintf(path, sizeof path, "%.300s/openapi.yaml", docs->dir);
    if (*docs->openapi_file || *docs->dir)
        add_file(fresh, &total, *docs->openapi_file ? docs->openapi_file : path, "/openapi.yaml");
    (void)pthread_mutex_lock(&docs->lock);
    struct docs_table *old = docs->now;
    docs->now = fresh;
    (void)pthread_mutex_unlock(&docs->lock);
    table_release(&old);
}

struct docs *docs_open(const char *dir, const char *openapi_file)
{
    struct docs *docs = MEM_NEW(docs);
    docs->dir = dir;
    docs->openapi_file = openapi_file;
    (void)pthread_mutex_init(&docs->lock, NULL);
    docs_reload(docs);
    return docs;
}

void docs_release(struct docs **docs)
{
    struct docs *old = TAKE(*docs);
    if (!old)
        return;
    table_release(&old->now);
    (void)pthread_mutex_destroy(&old->lock);
    free(old);
}

/* ---- answering ---- */

bool docs_have(struct docs *docs, struct view path)
{
    (void)docs;
    return view_equals(path, VIEW("/openapi.yaml")) || view_equals(path, VIEW("/docs")) ||
           (path.length > 5 && memcmp(path.bytes, "/docs/", 6) == 0);
}

static const struct docs_file *find_file(const struct docs_table *table, struct view path)
{
    struct view name = path;
    if (path.length > 5 && memcmp(path.bytes, "/docs/", 6) == 0)
        name = path.length == 6 ? VIEW("index.html") : (struct view){path.bytes + 6, path.length - 6};
    for (int i = 0; i < table->count; i++)
        if (view_equals(name, view_of(table->files[i].name)))
            return &table->files[i];
    return NULL;
}

static bool has_etag(const struct http1_headers *headers, const char *etag)
{
    for (size_t i = 0; i < headers->count; i++)
        if (view_equals_nocase(headers->list[i].name, VIEW("if-none-match")))
            return http1_list_has(headers->list[i].value, etag) || view_equals(headers->list[i].value, VIEW("*"));
    return false;
}

static void refuse(struct exchange *x, const struct problem *problem)
{
    struct err err;
    docs_leave(x);
    err_set(&err, problem, "%s", problem == &ERR_METHOD ? "only GET and HEAD work here" : "nothing is here");
    exchange_refuse(x, &err);
}

bool docs_answer(struct exchange *x)
{
    struct docs *docs = x->loop->gateway->docs;
    struct view path = x->loop->request.path;
    if (!docs_have(docs, path))
        return false;
    if (x->method != HTTP1_GET && x->method != HTTP1_HEAD) {
        refuse(x, &ERR_METHOD);
        return true;
    }
    (void)pthread_mutex_lock(&docs->lock);
    x->docs = docs->now;
    atomic_fetch_add_explicit(&x->docs->users, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&docs->lock);
    if (view_equals(path, VIEW("/docs")) && find_file(x->docs, VIEW("/docs/"))) {
        exchange_answer(x, 301, NULL, "Location: /docs/\r\n", VIEW(""));
        return true;
    }
    const struct docs_file *file = find_file(x->docs, path);
    if (!file) {
        refuse(x, &ERR_NOT_FOUND);
        return true;
    }
    char headers[sizeof POLICY + ETAG_BYTES + 16];
    (void)snprintf(headers, sizeof headers, "%sETag: %s\r\n", POLICY, file->etag);
    if (has_etag(&x->loop->request.headers, file->etag))
        exchange_answer(x, 304, NULL, headers, VIEW(""));
    else
        exchange_answer(x, 200, file->type, headers, (struct view){file->bytes, file->length});
    return true;
}

void docs_leave(struct exchange *x)
{
    table_release(&x->docs);
}
