#include "sigv4.h"

#include "arena.h"
#include "crypto.h"
#include "mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DATE_BYTES = 17, DAY_LENGTH = 8, ARENA_MAX = 256 * 1024 };
static const char ALGORITHM[] = "AWS4-HMAC-SHA256";

void sigv4_date(int64_t at_s, char text[DATE_BYTES])
{
    time_t at = (time_t)at_s;
    struct tm utc;
    (void)gmtime_r(&at, &utc);
    (void)strftime(text, DATE_BYTES, "%Y%m%dT%H%M%SZ", &utc);
}

/* ---- the canonical request -----------------------------------------------------------------------------------------
 */

static int pair_compare(const void *a, const void *b)
{
    const struct sigv4_pair *left = a, *right = b;
    int names = strcmp(left->name, right->name);
    return names ? names : strcmp(left->value, right->value);
}

static size_t pair_count(const struct sigv4_pair *pairs)
{
    size_t count = 0;
    while (pairs && pairs[count].name)
        count++;
    return count;
}

static const char *encoded(struct arena *arena, const char *text)
{
    AUTO_STR out;
    str_init(&out);
    str_add_percent(&out, text, false);
    return arena_text(arena, out.bytes);
}

static void add_query(struct arena *arena, const struct sigv4_pair *query, struct str *out)
{
    size_t count = pair_count(query);
    struct sigv4_pair *sorted = arena_alloc(arena, (count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct sigv4_pair){encoded(arena, query[i].name), encoded(arena, query[i].value)};
    qsort(sorted, count, sizeof *sorted, pair_compare);
    for (size_t i = 0; i < count; i++)
        str_printf(out, "%s%s=%s", i ? "&" : "", sorted[i].name, sorted[i].value);
}

/* Lower-case names, values without outer blanks and with inner runs of them as one. */
static struct sigv4_pair canonical_header(struct arena *arena, const struct sigv4_pair *header)
{
    char *name = arena_text(arena, header->name), *value = arena_text(arena, header->value), *end = value;
    for (char *at = name; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    for (const char *at = header->value; *at; at++)
        if (*at != ' ' || (end > value && end[-1] != ' '))
            *end++ = *at;
    if (end > value && end[-1] == ' ')
        end--;
    *end = '\0';
    return (struct sigv4_pair){name, value};
}

/* Sorted, ended by {0}. */
static struct sigv4_pair *canonical_headers(struct arena *arena, const struct sigv4_pair *headers)
{
    size_t count = pair_count(headers);
    struct sigv4_pair *sorted = arena_alloc(arena, (count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = canonical_header(arena, &headers[i]);
    qsort(sorted, count, sizeof *sorted, pair_compare);
    return sorted;
}

static void add_signed_names(const struct sigv4_pair *sorted, struct str *out)
{
    for (size_t i = 0; sorted[i].name; i++)
        str_printf(out, "%s%s", i ? ";" : "", sorted[i].name);
}

void sigv4_canonical_request(const struct sigv4_request *request, struct str *out)
{
    AUTO(arena) arena = arena_open(ARENA_MAX);
    const struct sigv4_pair *headers = canonical_headers(arena, request->headers);
    str_printf(out, "%s\n", request->method);
    str_add_percent(out, request->path, true);
    str_add_char(out, '\n');
    add_query(arena, request->query, out);
    str_add_char(out, '\n');
    for (size_t i = 0; headers[i].name; i++)
        str_printf(out, "%s:%s\n", headers[i].name, headers[i].value);
    str_add_char(out, '\n');
    add_signed_names(headers, out);
    str_printf(out, "\n%s", request->payload_hash);
}

/* ---- the signature -------------------------------------------------------------------------------------------------
 */

static void hmac(unsigned char key[SHA256_BYTES], const char *text)
{
    unsigned char out[SHA256_BYTES];
    crypto_hmac_sha256(key, SHA256_BYTES, text, strlen(text), out);
    memcpy(key, out, sizeof out);
}

/* date/region/service/aws4_request */
static void add_scope(const struct sigv4 *sigv4, const char *date, struct str *out)
{
    str_printf(out, "%.*s/%s/%s/aws4_request", DAY_LENGTH, date, sigv4->region, sigv4->service);
}

static void add_signature(const struct sigv4 *sigv4, const struct sigv4_request *request, const char *date,
                          struct str *out)
{
    AUTO_STR canonical, to_sign, secret;
    str_init(&canonical);
    str_init(&to_sign);
    str_init(&secret);
    char hash[SHA256_HEX_BYTES], day[DAY_LENGTH + 1];
    sigv4_canonical_request(request, &canonical);
    crypto_sha256_hex(canonical.bytes, canonical.length, hash);
    str_printf(&to_sign, "%s\n%s\n", ALGORITHM, date);
    add_scope(sigv4, date, &to_sign);
    str_printf(&to_sign, "\n%s", hash);

    unsigned char key[SHA256_BYTES];
    (void)snprintf(day, sizeof day, "%.*s", DAY_LENGTH, date);
    str_printf(&secret, "AWS4%s", sigv4->secret_key);
    crypto_hmac_sha256(secret.bytes, secret.length, day, DAY_LENGTH, key);
    hmac(key, sigv4->region);
    hmac(key, sigv4->service);
    hmac(key, "aws4_request");
    hmac(key, to_sign.bytes);
    crypto_hex(key, sizeof key, hash);
    str_add(out, hash);
    explicit_bzero(key, sizeof key);
    explicit_bzero(secret.bytes, secret.length);
}

void sigv4_authorization(const struct sigv4 *sigv4, const struct sigv4_request *request, struct str *out)
{
    char date[DATE_BYTES];
    sigv4_date(sigv4->at_s, date);
    AUTO(arena) arena = arena_open(ARENA_MAX);
    str_printf(out, "%s Credential=%s/", ALGORITHM, sigv4->access_key);
    add_scope(sigv4, date, out);
    str_add(out, ",SignedHeaders=");
    add_signed_names(canonical_headers(arena, request->headers), out);
    str_add(out, ",Signature=");
    add_signature(sigv4, request, date, out);
}

void sigv4_presign(const struct sigv4 *sigv4, const struct sigv4_request *request, int64_t expires_s, struct str *out)
{
    AUTO(arena) arena = arena_open(ARENA_MAX);
    AUTO_STR credential, names;
    str_init(&credential);
    str_init(&names);
    char date[DATE_BYTES];
    sigv4_date(sigv4->at_s, date);
    str_printf(&credential, "%s/", sigv4->access_key);
    add_scope(sigv4, date, &credential);
    add_signed_names(canonical_headers(arena, request->headers), &names);

    const struct sigv4_pair more[] = {
        {"X-Amz-Algorithm", ALGORITHM},
        {"X-Amz-Credential", credential.bytes},
        {"X-Amz-Date", date},
        {"X-Amz-Expires", arena_printf(arena, "%" PRId64, expires_s)},
        {"X-Amz-SignedHeaders", names.bytes},
    };
    size_t own = pair_count(request->query);
    struct sigv4_pair *query = arena_alloc(arena, (own + ARRAY_LENGTH(more) + 1) * sizeof *query);
    for (size_t i = 0; i < own; i++)
        query[i] = request->query[i];
    memcpy(query + own, more, sizeof more);
    struct sigv4_request presigned = *request;
    presigned.query = query;
    presigned.payload_hash = "UNSIGNED-PAYLOAD"; /* who follows the link has not sent it yet */

    str_add_percent(out, request->path, true);
    str_add_char(out, '?');
    add_query(arena, query, out);
    str_add(out, "&X-Amz-Signature=");
    add_signature(sigv4, &presigned, date, out);
}
