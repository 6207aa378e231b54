/* Files in a folder, and the same promises on an S3-compatible server: with S3_URL (and S3_ACCESS_KEY, S3_SECRET_KEY,
 * and bucket `madang`) set, this program runs the tests named s3_* instead; s3.test.mjs starts such a server and does
 * so. */
#include "arena.h"
#include "crypto.h"
#include "httpclient.h"
#include "mem.h"
#include "objstore.h"
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TINY_PNG                                                                                                       \
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9c"                            \
    "c`\0\0\0\x02\0\x01H\xaf\xa4q"                                                                                     \
    "\0\0\0\0IEND\xae"                                                                                                 \
    "B`\x82"

enum { MB = 1024 * 1024 };

/* ---- a store of its own for each test ------------------------------------------------------------------------------
 */

struct place {
    char folder[64];
    struct objstore *store;
    struct arena *arena;
};

static struct place *local_place(void)
{
    struct place *place = MEM_NEW(place);
    struct err err = {0};
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/test_objstore_XXXXXX");
    if (!mkdtemp(place->folder))
        abort();
    place->store = objstore_open(
        &(struct objstore_config){.data_dir = place->folder, .s3_endpoint = "", .files_secret = "a secret of the test"},
        &err);
    place->arena = arena_open(64 * MB);
    return place->store ? place : NULL;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void place_release(struct place **place)
{
    struct place *old = TAKE(*place);
    if (!old)
        return;
    objstore_release(&old->store);
    arena_release(&old->arena);
    if (old->folder[0])
        (void)nftw(old->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(old);
}

static bool put(struct place *place, const char *key, struct view bytes, const char *type, struct err *err)
{
    return objstore_put(place->store, key, bytes, type, err);
}

static bool get(struct place *place, const char *key, struct view *bytes, const char **type, struct err *err)
{
    return objstore_get(place->store, key, 32 * MB, place->arena, bytes, type, err);
}

/* ---- what both kinds promise ---------------------------------------------------------------------------------------
 */

static void check_round_trip(struct place *place)
{
    struct err err = {0};
    struct view bytes;
    const char *type = "";
    REQUIRE_OK(put(place, "user/ab/cd.png", VIEW(TINY_PNG), "image/png", &err), &err);
    REQUIRE_OK(get(place, "user/ab/cd.png", &bytes, &type, &err), &err);
    EXPECT(view_equals(bytes, VIEW(TINY_PNG)));
    EXPECT_TEXT("image/png", type);

    REQUIRE_OK(put(place, "user/ab/cd.png", VIEW("something else"), "application/octet-stream", &err), &err);
    REQUIRE_OK(get(place, "user/ab/cd.png", &bytes, &type, &err), &err);
    EXPECT(view_equals(bytes, VIEW("something else")));
    EXPECT_TEXT("application/octet-stream", type);

    REQUIRE_OK(put(place, "empty", (struct view){NULL, 0}, "application/octet-stream", &err), &err);
    REQUIRE_OK(get(place, "empty", &bytes, &type, &err), &err);
    EXPECT_I64(0, bytes.length);

    EXPECT(!objstore_get(place->store, "user/ab/cd.png", 5, place->arena, &bytes, &type, &err));
    EXPECT_PROBLEM("body_too_large", &err);
}

static void check_large(struct place *place)
{
    struct err err = {0};
    size_t length = 6 * MB + 1;
    AUTO_FREE char *large = mem_new(length, 1);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = test_random();
        memcpy(large + i, &word, length - i < 8 ? length - i : 8);
    }
    struct view bytes;
    const char *type;
    REQUIRE_OK(put(place, "large", (struct view){large, length}, "application/octet-stream", &err), &err);
    REQUIRE_OK(get(place, "large", &bytes, &type, &err), &err);
    EXPECT(view_equals(bytes, (struct view){large, length}));
    REQUIRE_OK(objstore_delete(place->store, "large", &err), &err);
}

static void check_absent(struct place *place)
{
    struct err err = {0};
    struct view bytes;
    const char *type;
    EXPECT(!get(place, "user/nobody.png", &bytes, &type, &err));
    EXPECT_PROBLEM("not_found", &err);
    EXPECT(objstore_delete(place->store, "user/nobody.png", &err));
    REQUIRE_OK(put(place, "user/somebody.png", VIEW("x"), "image/png", &err), &err);
    EXPECT(objstore_delete(place->store, "user/somebody.png", &err));
    EXPECT(!get(place, "user/somebody.png", &bytes, &type, &err));
    EXPECT_PROBLEM("not_found", &err);
}

static void check_keys(struct place *place)
{
    static const char *const WRONG[] = {"",       "/",   "/a",    "a/",          "a//b", ".",   "..",   "../a",
                                        "a/../b", "a/.", "a/./b", ".incoming/x", "A",    "a b", "a%2f", "a\\b",
                                        "a\nb",   "é",   "a?b",   "a#b",         "a:b",  "..a", "a/.b"};
    struct err err = {0};
    struct view bytes;
    const char *type;
    AUTO_STR link;
    str_init(&link);
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        test_check(!put(place, WRONG[i], VIEW("x"), "image/png", &err), __FILE__, __LINE__, "put: \"%s\"", WRONG[i]);
        EXPECT_PROBLEM("not_found", &err);
        EXPECT(!get(place, WRONG[i], &bytes, &type, &err));
        EXPECT(!objstore_delete(place->store, WRONG[i], &err));
        EXPECT(!objstore_link(place->store, WRONG[i], 1000, 2000, &link, &err));
        EXPECT(!objstore_link_valid(place->store, WRONG[i], "2000", "x", 1000));
    }
    char key[202];
    memset(key, 'a', sizeof key);
    key[201] = '\0';
    EXPECT(!put(place, key, VIEW("x"), "image/png", &err));
    key[200] = '\0';
    REQUIRE_OK(put(place, key, VIEW("x"), "image/png", &err), &err);
    REQUIRE_OK(get(place, key, &bytes, &type, &err), &err);
    REQUIRE_OK(put(place, "a-b_c.d/0.9", VIEW("x"), "image/png", &err), &err);
    REQUIRE_OK(get(place, "a-b_c.d/0.9", &bytes, &type, &err), &err);
}

static void check_too_large(struct place *place)
{
    struct err err = {0};
    size_t length = 33 * (size_t)MB;
    AUTO_FREE char *huge = mem_new(length, 1);
    EXPECT(!put(place, "huge", (struct view){huge, length}, "application/octet-stream", &err));
    EXPECT_PROBLEM("body_too_large", &err);
}

/* ---- the folder ----------------------------------------------------------------------------------------------------
 */

TEST(what_is_put_comes_back, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    check_round_trip(place);
}

TEST(large_files_come_back, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    check_large(place);
}

TEST(what_is_not_there_is_not_found, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    check_absent(place);
}

TEST(keys_cannot_leave_the_folder, "P-11 I10")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    check_keys(place);
}

TEST(more_than_the_limit_is_refused, "P-11 I9")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    check_too_large(place);
}

TEST(symbolic_links_are_not_followed, "P-11 I10")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    struct err err = {0};
    struct view bytes;
    const char *type;
    char path[100];
    REQUIRE_OK(put(place, "user/a", VIEW("x"), "image/png", &err), &err);
    (void)snprintf(path, sizeof path, "%s/user/passwd", place->folder);
    REQUIRE(symlink("/etc/passwd", path) == 0);
    (void)snprintf(path, sizeof path, "%s/etc", place->folder);
    REQUIRE(symlink("/etc", path) == 0);
    EXPECT(!get(place, "user/passwd", &bytes, &type, &err));
    EXPECT_PROBLEM("not_found", &err);
    EXPECT(!get(place, "etc/passwd", &bytes, &type, &err));
    EXPECT(!put(place, "etc/madang-test", VIEW("x"), "image/png", &err));
    EXPECT(!get(place, "user", &bytes, &type, &err)); /* a folder is no file */
    EXPECT_PROBLEM("not_found", &err);
    EXPECT(!get(place, "user/a/b", &bytes, &type, &err)); /* nor a file a folder */
    EXPECT_PROBLEM("not_found", &err);
}

static bool is_there(const struct place *place, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", place->folder, name);
    return access(path, F_OK) == 0;
}

TEST(what_a_dead_process_left_is_swept, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    struct err err = {0};
    char path[160];
    static const char *const NAMES[] = {"old", "new"};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/.incoming/%s", place->folder, NAMES[i]);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        REQUIRE(fd >= 0);
        struct timespec times[2] = {{.tv_sec = time(NULL) - (i ? 60 : 7200)}, {.tv_sec = time(NULL) - (i ? 60 : 7200)}};
        EXPECT(futimens(fd, times) == 0);
        close(fd);
    }
    AUTO(objstore)
    second = objstore_open(&(struct objstore_config){.data_dir = place->folder, .s3_endpoint = "", .files_secret = "x"},
                           &err);
    REQUIRE_OK(second, &err);
    EXPECT(!is_there(place, ".incoming/old"));
    EXPECT(is_there(place, ".incoming/new")); /* perhaps another process is writing it */
}

struct writer {
    struct place *place;
    char letter;
    bool ok;
};

static void *write_often(void *payload)
{
    struct writer *writer = payload;
    AUTO_FREE char *bytes = mem_new(100000, 1);
    memset(bytes, writer->letter, 100000);
    writer->ok = true;
    for (int i = 0; i < 20; i++) {
        struct err err = {0};
        writer->ok = put(writer->place, "shared/one", (struct view){bytes, 100000}, "x/y", &err) && writer->ok;
    }
    return NULL;
}

TEST(readers_see_one_version_or_another, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    struct err err = {0};
    struct writer writers[2] = {{place, 'a', false}, {place, 'b', false}};
    pthread_t threads[2];
    REQUIRE_OK(put(place, "shared/one", VIEW("first"), "x/y", &err), &err);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, write_often, &writers[i]);
    for (int i = 0; i < 200; i++) {
        AUTO(arena) arena = arena_open(MB);
        struct view bytes;
        const char *type;
        if (!EXPECT(objstore_get(place->store, "shared/one", MB, arena, &bytes, &type, &err)))
            break;
        bool first = view_equals(bytes, VIEW("first"));
        if (!EXPECT(first || (bytes.length == 100000 && memcmp(bytes.bytes, bytes.bytes + 1, bytes.length - 1) == 0)))
            break;
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        EXPECT(writers[i].ok);
    }
}

/* Cuts "/files/<key>?expires=<e>&signature=<s>". */
static void cut_link(char *link, const char *key, const char **expires, const char **signature)
{
    char head[120];
    (void)snprintf(head, sizeof head, "/files/%s?expires=", key);
    if (!EXPECT(strncmp(link, head, strlen(head)) == 0))
        return;
    *expires = link + strlen(head);
    char *mark = strstr(link, "&signature=");
    if (EXPECT(mark)) {
        *mark = '\0';
        *signature = mark + strlen("&signature=");
    }
}

TEST(links_end_and_cannot_be_changed, "P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    struct err err = {0};
    AUTO_STR link;
    str_init(&link);
    const char *expires = "", *signature = "";
    REQUIRE_OK(objstore_link(place->store, "chat/a.png", 1000, 1600, &link, &err), &err);
    cut_link(link.bytes, "chat/a.png", &expires, &signature);
    EXPECT_TEXT("1600", expires);
    EXPECT_I64(43, strlen(signature));
    EXPECT(objstore_link_valid(place->store, "chat/a.png", expires, signature, 1000));
    EXPECT(objstore_link_valid(place->store, "chat/a.png", expires, signature, 1599));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", expires, signature, 1600));
    EXPECT(!objstore_link_valid(place->store, "chat/b.png", expires, signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", "1601", signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", "01600", signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", "", signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", "99999999999999999999999", signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", expires, "", 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", NULL, signature, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", expires, NULL, 1000));
    char longer[60], changed[60];
    (void)snprintf(longer, sizeof longer, "%sA", signature);
    (void)snprintf(changed, sizeof changed, "%s", signature);
    changed[10] = changed[10] == 'A' ? 'B' : 'A';
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", expires, longer, 1000));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", expires, changed, 1000));

    AUTO(objstore)
    other = objstore_open(
        &(struct objstore_config){.data_dir = place->folder, .s3_endpoint = "", .files_secret = "another"}, &err);
    EXPECT(other && !objstore_link_valid(other, "chat/a.png", expires, signature, 1000));
}

TEST(without_a_secret_no_link_is_signed_nor_believed, "P-09 P-11")
{
    AUTO(place) place = local_place();
    REQUIRE(place);
    struct err err = {0};
    AUTO(objstore)
    open_store = objstore_open(
        &(struct objstore_config){.data_dir = place->folder, .s3_endpoint = "", .files_secret = ""}, &err);
    REQUIRE_OK(open_store, &err);
    AUTO_STR link;
    str_init(&link);
    EXPECT(!objstore_link(open_store, "chat/a.png", 1000, 1600, &link, &err));
    EXPECT_PROBLEM("internal", &err);
    unsigned char mac[SHA256_BYTES]; /* what anybody could make */
    crypto_hmac_sha256("", 0, "chat/a.png\n1600", 15, mac);
    crypto_base64url(mac, sizeof mac, &link);
    EXPECT(!objstore_link_valid(open_store, "chat/a.png", "1600", link.bytes, 1000));
}

TEST(a_folder_that_cannot_be_made_stops_the_start, "P-11")
{
    struct err err = {0};
    EXPECT(!objstore_open(&(struct objstore_config){.data_dir = "/proc/nowhere", .s3_endpoint = ""}, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(strstr(err.detail, "DATA_DIR") != NULL);
    EXPECT(!objstore_open(&(struct objstore_config){.data_dir = "", .s3_endpoint = ""}, &err));
    static const char *const ENDPOINTS[] = {"ftp://x",    "http://",    "https:///x", "http://a b",
                                            "http://a/b", "http://u@h", "x"};
    for (size_t i = 0; i < ARRAY_LENGTH(ENDPOINTS); i++) {
        struct objstore_config config = {.s3_endpoint = ENDPOINTS[i], .s3_access_key = "a", .s3_secret_key = "b"};
        test_check(!objstore_open(&config, &err), __FILE__, __LINE__, "taken: %s", ENDPOINTS[i]);
        EXPECT_PROBLEM("internal", &err);
    }
    EXPECT(!objstore_open(&(struct objstore_config){.s3_endpoint = "http://127.0.0.1:9"}, &err));
    EXPECT(strstr(err.detail, "S3_ACCESS_KEY") != NULL);
}

/* ---- S3 ------------------------------------------------------------------------------------------------------------
 */

static struct objstore_config s3_config(void)
{
    return (struct objstore_config){.s3_endpoint = test_env("S3_URL"),
                                    .s3_public_endpoint = "",
                                    .s3_region = "us-east-1",
                                    .s3_bucket = "madang",
                                    .s3_access_key = test_env("S3_ACCESS_KEY"),
                                    .s3_secret_key = test_env("S3_SECRET_KEY"),
                                    .s3_path_style = true};
}

static struct place *s3_place(void)
{
    struct place *place = MEM_NEW(place);
    struct objstore_config config = s3_config();
    struct err err = {0};
    place->store = objstore_open(&config, &err);
    place->arena = arena_open(128 * MB);
    return place->store ? place : NULL;
}

static long fetch(struct place *place, const char *url, struct view *body)
{
    struct err err = {0};
    struct http_answer answer = {0};
    AUTO(httpclient) client = httpclient_open(&(struct httpclient_options){.allow_http = true}, &err);
    if (!client ||
        !httpclient_call(client, place->arena, &(struct http_call){.method = "GET", .url = url}, &answer, &err))
        return -1;
    *body = answer.body;
    return answer.status;
}

static void check_links(struct place *place)
{
    struct err err = {0};
    struct view body = {NULL, 0};
    int64_t now_s = time(NULL);
    AUTO_STR link;
    str_init(&link);
    REQUIRE_OK(put(place, "chat/a.png", VIEW(TINY_PNG), "image/png", &err), &err);
    REQUIRE_OK(objstore_link(place->store, "chat/a.png", now_s, now_s + 60, &link, &err), &err);
    EXPECT_I64(200, fetch(place, link.bytes, &body));
    EXPECT(view_equals(body, VIEW(TINY_PNG)));
    char *end = link.bytes + link.length - 1;
    *end = *end == '0' ? '1' : '0';
    EXPECT_I64(403, fetch(place, link.bytes, &body));

    str_clear(&link);
    REQUIRE_OK(objstore_link(place->store, "chat/a.png", now_s - 100, now_s - 40, &link, &err), &err);
    EXPECT_I64(403, fetch(place, link.bytes, &body)); /* over */
    EXPECT(!objstore_link(place->store, "chat/a.png", now_s, now_s, &link, &err));
    EXPECT(!objstore_link(place->store, "chat/a.png", now_s, now_s + 604801, &link, &err));
    EXPECT(!objstore_link_valid(place->store, "chat/a.png", "9999999999", "x", now_s));
}

static void check_public_endpoint(struct place *place)
{
    struct err err = {0};
    (void)place;
    struct objstore_config config = s3_config();
    config.s3_public_endpoint = "https://files.example.com:443/";
    config.s3_path_style = false;
    AUTO(objstore) store = objstore_open(&config, &err);
    REQUIRE_OK(store, &err);
    AUTO_STR link;
    str_init(&link);
    REQUIRE_OK(objstore_link(store, "a.png", 1000, 1600, &link, &err), &err);
    static const char HEAD[] = "https://madang.files.example.com/a.png?X-Amz-Algorithm=";
    EXPECT(strncmp(link.bytes, HEAD, sizeof HEAD - 1) == 0);
}

static void check_wrong_secret(struct place *place)
{
    struct err err = {0};
    (void)place;
    struct objstore_config config = s3_config();
    config.s3_secret_key = "not the secret";
    AUTO(objstore) store = objstore_open(&config, &err);
    REQUIRE_OK(store, &err);
    EXPECT(!objstore_put(store, "user/x.png", VIEW("x"), "image/png", &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(strstr(err.detail, "403 SignatureDoesNotMatch") != NULL);
    EXPECT(strstr(err.detail, "not the secret") == NULL);
}

/* The server answers 503 SlowDown twice to a key that begins with "slow", always to one that begins with "down". */
static void check_retries(struct place *place)
{
    struct err err = {0};
    struct view bytes;
    const char *type;
    REQUIRE_OK(put(place, "slow/a", VIEW("patience"), "x/y", &err), &err);
    REQUIRE_OK(get(place, "slow/a", &bytes, &type, &err), &err);
    EXPECT(view_equals(bytes, VIEW("patience")));
    EXPECT(!put(place, "down/a", VIEW("x"), "x/y", &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(strstr(err.detail, "503 SlowDown") != NULL);
}

static void check_no_server(struct place *place)
{
    struct err err = {0};
    (void)place;
    struct objstore_config config = s3_config();
    config.s3_endpoint = "http://127.0.0.1:9"; /* discard: nobody listens */
    AUTO(objstore) store = objstore_open(&config, &err);
    REQUIRE_OK(store, &err);
    EXPECT(!objstore_put(store, "a", VIEW("x"), "x/y", &err));
    EXPECT_PROBLEM("unavailable", &err);
}

static const struct {
    const char *name;
    void (*check)(struct place *place);
} S3_CHECKS[] = {
    {"s3_round_trip", check_round_trip},
    {"s3_large", check_large},
    {"s3_absent", check_absent},
    {"s3_keys", check_keys},
    {"s3_too_large", check_too_large},
    {"s3_links", check_links},
    {"s3_public_endpoint", check_public_endpoint},
    {"s3_wrong_secret", check_wrong_secret},
    {"s3_retries", check_retries},
    {"s3_no_server", check_no_server},
};

static size_t next_s3_check;

static void run_s3_check(void)
{
    void (*check)(struct place *) = S3_CHECKS[next_s3_check++].check; /* they run in the order of registration */
    AUTO(place) place = s3_place();
    REQUIRE(place);
    check(place);
}

__attribute__((constructor)) static void register_s3_checks(void)
{
    static struct test entries[ARRAY_LENGTH(S3_CHECKS)];
    for (size_t i = 0; getenv("S3_URL") && i < ARRAY_LENGTH(S3_CHECKS); i++) {
        entries[i] = (struct test){.name = S3_CHECKS[i].name, .shows = "P-11", .file = __FILE__, .run = run_s3_check};
        test_register(&entries[i]);
    }
}
