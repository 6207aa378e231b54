#include "cache.h"

#include "forward.h"
#include "mem.h"
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>

enum { LISTS = 256, ENTRY_BYTES_MAX = 64 * 1024, KEY_MAX = 1024, FILLING_MAX = 256 };

struct cache_entry {
    struct cache_entry *next;          /* of the same hash */
    struct cache_entry *newer, *older; /* kept ones by age */
    struct exchange *filler;           /* NULL: it is kept, and can be given */
    struct exchange *waiting;          /* who wait for it, linked by exchange.next */
    int64_t made_ms, until_ms;
    uint32_t list;
    struct str key, headers, body;
};

struct cache {
    int64_t limit, used;
    int filling;
    struct cache_entry *newest, *oldest;
    struct cache_entry *lists[LISTS];
};

struct cache *cache_open(int64_t bytes)
{
    struct cache *cache = MEM_NEW(cache);
    cache->limit = bytes;
    return cache;
}

static int64_t size_of(const struct cache_entry *entry)
{
    return (int64_t)(sizeof *entry + entry->key.capacity + entry->headers.capacity + entry->body.capacity);
}

static void unlink_kept(struct cache *cache, struct cache_entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
    cache->used -= size_of(entry);
}

static void entry_free(struct cache *cache, struct cache_entry *entry)
{
    struct cache_entry **at = &cache->lists[entry->list];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    str_free(&entry->key);
    str_free(&entry->headers);
    str_free(&entry->body);
    free(entry);
}

static void drop_kept(struct cache *cache, struct cache_entry *entry)
{
    unlink_kept(cache, entry);
    entry_free(cache, entry);
}

void cache_release(struct cache **cache)
{
    struct cache *old = TAKE(*cache);
    if (!old)
        return;
    while (old->oldest)
        drop_kept(old, old->oldest);
    free(old);
}

/* ---- asking ---- */

static bool may_ask(const struct exchange *x)
{
    const struct http1_headers *headers = &x->loop->request.headers;
    return x->loop->cache && x->route->cache_ms && x->method == HTTP1_GET && x->request_done && !x->websocket &&
           !headers->first[HEADER_AUTHORIZATION] && !headers->first[HEADER_COOKIE] &&
           x->loop->request.target.length + x->loop->request.host.length < KEY_MAX;
}

static struct cache_entry *find(struct cache *cache, uint32_t list, struct view key)
{
    struct cache_entry *entry = cache->lists[list];
    while (entry && !view_equals((struct view){entry->key.bytes, entry->key.length}, key))
        entry = entry->next;
    return entry;
}

static void give(struct exchange *x, const struct cache_entry *entry)
{
    char age[32];
    AUTO_STR headers;
    str_init(&headers);
    str_add_bytes(&headers, entry->headers.bytes, entry->headers.length);
    (void)snprintf(age, sizeof age, "Age: %lld\r\n", (long long)(x->loop->now_ms - entry->made_ms) / 1000);
    str_add(&headers, age);
    loop_stats_add(x->loop, STAT_CACHE_HITS);
    exchange_answer(x, 200, NULL, headers.bytes, (struct view){entry->body.bytes, entry->body.length});
}

static void start_filling(struct exchange *x, uint32_t list, struct view key)
{
    struct cache *cache = x->loop->cache;
    struct cache_entry *entry = MEM_NEW(cache_entry);
    str_init(&entry->key);
    str_init(&entry->headers);
    str_init(&entry->body);
    str_add_bytes(&entry->key, key.bytes, key.length);
    entry->list = list;
    entry->next = cache->lists[list];
    cache->lists[list] = entry;
    entry->filler = x;
    x->filling = entry;
    cache->filling++;
}

bool cache_answer(struct exchange *x)
{
    struct loop *loop = x->loop;
    struct cache *cache = loop->cache;
    if (!x->route || !may_ask(x))
        return false;
    char bytes[KEY_MAX + 8];
    struct view host = loop->request.host, target = loop->request.target;
    memcpy(bytes, host.bytes, host.length);
    memcpy(bytes + host.length, target.bytes, target.length);
    struct view key = {bytes, host.length + target.length};
    uint32_t list = (uint32_t)(limits_key(loop->gateway->limits, LIMIT_ROUTE, 0, key) % LISTS);
    struct cache_entry *entry = find(cache, list, key);
    if (entry && !entry->filler && entry->until_ms <= loop->now_ms) {
        drop_kept(cache, entry);
        entry = NULL;
    }
    if (!entry) {
        if (cache->filling < FILLING_MAX)
            start_filling(x, list, key);
        return false;
    }
    if (!entry->filler) {
        give(x, entry);
        return true;
    }
    x->awaited = entry;
    x->next = entry->waiting;
    entry->waiting = x;
    client_arm(x->client);
    return true;
}

/* ---- filling ---- */

/* One that waited goes on by itself: asks as if there were no cache. */
static void send_away(struct cache_entry *entry)
{
    while (entry->waiting) {
        struct exchange *x = entry->waiting;
        entry->waiting = x->next;
        x->next = NULL;
        x->awaited = NULL;
        x->resume = true;
        client_queue(x->client);
    }
}

static void abandon(struct exchange *x)
{
    struct cache *cache = x->loop->cache;
    struct cache_entry *entry = TAKE(x->filling);
    if (!entry)
        return;
    cache->filling--;
    send_away(entry);
    entry_free(cache, entry);
}

/* Not for everybody, or not for later. */
static bool keepable(const struct http1_response *response)
{
    const struct http1_headers *headers = &response->headers;
    const struct http1_header *control = http1_header(headers, HEADER_CACHE_CONTROL);
    const struct http1_header *vary = http1_header(headers, HEADER_VARY);
    if (response->status != 200 || headers->first[HEADER_SET_COOKIE])
        return false;
    if (control && (http1_list_has(control->value, "no-store") || http1_list_has(control->value, "private") ||
                    http1_list_has(control->value, "no-cache")))
        return false;
    return !vary || view_equals_nocase(vary->value, VIEW("origin"));
}

void cache_take_head(struct exchange *x, const struct http1_response *response)
{
    struct cache_entry *entry = x->filling;
    if (!entry)
        return;
    if (!keepable(response)) {
        abandon(x);
        return;
    }
    for (size_t i = 0; i < response->headers.count; i++) {
        const struct http1_header *header = &response->headers.list[i];
        if (header->id == HEADER_DATE || header->id == HEADER_VARY ||
            !forward_passes(&response->headers, header, HEADER_RES))
            continue;
        str_add_bytes(&entry->headers, header->name.bytes, header->name.length);
        str_add(&entry->headers, ": ");
        str_add_bytes(&entry->headers, header->value.bytes, header->value.length);
        str_add(&entry->headers, "\r\n");
    }
}

void cache_take_body(struct exchange *x, struct view content)
{
    struct cache_entry *entry = x->filling;
    if (!entry)
        return;
    if (entry->body.length + content.length > ENTRY_BYTES_MAX)
        abandon(x);
    else
        str_add_bytes(&entry->body, content.bytes, content.length);
}

void cache_complete(struct exchange *x)
{
    struct cache *cache = x->loop->cache;
    struct cache_entry *entry = TAKE(x->filling);
    if (!entry)
        return;
    cache->filling--;
    entry->filler = NULL;
    entry->made_ms = x->loop->now_ms;
    entry->until_ms = x->loop->now_ms + x->route->cache_ms;
    entry->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
    cache->used += size_of(entry);
    while (entry->waiting) {
        struct exchange *waiting = entry->waiting;
        struct client *client = waiting->client;
        entry->waiting = waiting->next;
        waiting->next = NULL;
        waiting->awaited = NULL;
        give(waiting, entry);
        client_queue(client);
    }
    while (cache->used > cache->limit && cache->oldest)
        drop_kept(cache, cache->oldest);
}

void cache_leave(struct exchange *x)
{
    struct cache_entry *entry = TAKE(x->awaited);
    if (entry) {
        struct exchange **at = &entry->waiting;
        while (*at != x)
            at = &(*at)->next;
        *at = x->next;
        x->next = NULL;
    }
    abandon(x);
}
