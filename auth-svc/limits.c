#include "limits.h"

#include "clock.h"
#include "crypto.h"
#include "problems.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BUCKETS = 1024,
    LOCAL_WAYS = 4, /* a full bucket forgets what ends soonest */
    KEY_BYTES = 96,
    LATE_MS = 5000, /* more than a call may last, and what clocks may differ */
};

struct local_count {
    unsigned char key[16];
    int64_t count, ends_ms; /* monotonic; 0: free */
};

struct limits {
    const struct auth_config *cfg;
    struct redis *redis;
    pthread_mutex_t mutex;
    struct local_count local[LOCAL_BUCKETS][LOCAL_WAYS];
};

struct limits *limits_open(const struct auth_config *cfg, struct redis *redis)
{
    struct limits *limits = MEM_NEW(limits);
    limits->cfg = cfg;
    limits->redis = redis;
    (void)pthread_mutex_init(&limits->mutex, NULL);
    return limits;
}

void limits_release(struct limits **limits)
{
    struct limits *it = *limits;
    *limits = NULL;
    if (!it)
        return;
    (void)pthread_mutex_destroy(&it->mutex);
    free(it);
}

/* Names and addresses stay out of Redis: keys are hashes. */
static void key_of(char key[KEY_BYTES], const char *kind, const char *account, const char *who)
{
    AUTO_STR text = {0};
    char hash[SHA256_HEX_BYTES];
    str_printf(&text, "%s\n%s\n%s", kind, account, who);
    crypto_sha256_hex(text.bytes, text.length, hash);
    (void)snprintf(key, KEY_BYTES, "auth:failures:%.40s", hash);
}

struct tally {
    int64_t count, ends_in_ms;
};

/* ---- in this process ---- */

static struct local_count *local_slot(struct limits *limits, const char *key, int64_t now_ms)
{
    unsigned char hash[SHA256_BYTES];
    crypto_sha256(key, strlen(key), hash);
    struct local_count *bucket = limits->local[(hash[30] << 8 | hash[31]) % LOCAL_BUCKETS], *slot = &bucket[0];
    for (int i = 0; i < LOCAL_WAYS; i++) {
        if (bucket[i].ends_ms > now_ms && memcmp(bucket[i].key, hash, sizeof bucket[i].key) == 0)
            return &bucket[i];
        if (bucket[i].ends_ms < slot->ends_ms)
            slot = &bucket[i];
    }
    *slot = (struct local_count){.count = 0, .ends_ms = now_ms + limits->cfg->login_window_seconds * 1000};
    memcpy(slot->key, hash, sizeof slot->key);
    return slot;
}

static struct tally local_add(struct limits *limits, const char *key, int64_t amount)
{
    int64_t now_ms = clock_monotonic_ms();
    (void)pthread_mutex_lock(&limits->mutex);
    struct local_count *slot = local_slot(limits, key, now_ms);
    slot->count = slot->count + amount > 0 ? slot->count + amount : 0;
    struct tally tally = {slot->count, slot->ends_ms - now_ms};
    (void)pthread_mutex_unlock(&limits->mutex);
    return tally;
}

/* ---- in Redis ---- */

/* The window starts with the first failure and is not prolonged by later ones. A count that is taken back never makes a
 * key. A call that Redis gets to only after we gave it up (it hung, and its socket still holds the words) counts
 * nothing: we have counted here meanwhile, and right log-ins would add up to a lock-out. */
static const char ADD[] = "local now = redis.call('TIME') "
                          "if now[1] * 1000 > tonumber(ARGV[3]) then return {} end "
                          "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) "
                          "if n <= 0 then redis.call('DEL', KEYS[1]) return {0, 0} end "
                          "local left = redis.call('PTTL', KEYS[1]) "
                          "if left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) left = tonumber(ARGV[2]) end "
                          "return {n, left}";

static struct tally add(struct limits *limits, const char *key, int64_t amount)
{
    char amount_text[24], window_text[24], until_text[24];
    (void)snprintf(amount_text, sizeof amount_text, "%lld", (long long)amount);
    (void)snprintf(window_text, sizeof window_text, "%lld", (long long)limits->cfg->login_window_seconds * 1000);
    (void)snprintf(until_text, sizeof until_text, "%lld", (long long)clock_now_ms() + LATE_MS);
    struct err err = {0};
    AUTO(redis_reply)
    reply = REDIS_CALL(limits->redis, &err, "EVAL", ADD, "1", key, amount_text, window_text, until_text);
    if (!reply || redis_count(reply) != 2)
        return local_add(limits, key, amount);
    return (struct tally){redis_i64(redis_item(reply, 0)), redis_i64(redis_item(reply, 1))};
}

static void forget(struct limits *limits, const char *key)
{
    struct err err = {0};
    AUTO(redis_reply) reply = REDIS_CALL(limits->redis, &err, "DEL", key);
    (void)reply; /* without Redis the count below is the one that matters */
    (void)local_add(limits, key, -limits->cfg->login_failures_address - limits->cfg->login_failures);
}

/* ---- attempts ---- */

static bool too_many(struct tally tally, int64_t limit, struct err *err)
{
    if (tally.count <= limit)
        return false;
    int wait_s = (int)((tally.ends_in_ms + 999) / 1000);
    (void)err_set_retry(err, &ERR_RATE_LIMITED, wait_s > 0 ? wait_s : 1, "too many failed log-ins; try again later");
    return true;
}

static void account_key(const struct attempt *attempt, char key[KEY_BYTES])
{
    key_of(key, attempt->device ? "device" : "account", attempt->account,
           attempt->device ? attempt->device : attempt->address);
}

bool limits_take(struct limits *limits, struct attempt *attempt, struct err *err)
{
    char key[KEY_BYTES];
    account_key(attempt, key);
    attempt->counted_account = true;
    attempt->counted_address = false;
    if (too_many(add(limits, key, 1), limits->cfg->login_failures, err)) {
        limits_give_back(limits, attempt, false);
        return false;
    }
    if (attempt->device || auth_config_bench(limits->cfg))
        return true;
    key_of(key, "address", "", attempt->address);
    attempt->counted_address = true;
    if (too_many(add(limits, key, 1), limits->cfg->login_failures_address, err)) {
        limits_give_back(limits, attempt, false);
        return false;
    }
    return true;
}

void limits_give_back(struct limits *limits, const struct attempt *attempt, bool right)
{
    char key[KEY_BYTES];
    account_key(attempt, key);
    if (right)
        forget(limits, key);
    else if (attempt->counted_account)
        (void)add(limits, key, -1);
    key_of(key, "address", "", attempt->address);
    if (attempt->counted_address)
        (void)add(limits, key, -1);
}
