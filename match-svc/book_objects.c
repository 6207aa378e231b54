#include "book_internal.h"

#include "mem.h"

#include <stdlib.h>

enum { INDEX_SLOTS_MIN = 256, INDEX_SLOTS_FIRST = 1 << 22, NEAR_SLOTS = 16, NEAR_SPREAD = 32 };

/* ---- index ---- */

/* Where a key is looked for: NEAR_SLOTS slots from `near` on, then from `far` on until a slot is free. Ids that were
 * made in the same millisecond (UUIDv7) are near each other, so those of the last orders lie in the cache; when too
 * many share a neighbourhood the rest are spread by their hash. */
struct place {
    uint32_t near, far;
};

static inline struct place place_of_hash(uint64_t hash)
{
    return (struct place){(uint32_t)(hash >> 32), (uint32_t)hash};
}

static inline struct place place_of_uuid(const struct uuid *id)
{
    uint64_t head;
    memcpy(&head, id->bytes, sizeof head);
    const uint64_t hash = hash_uuid(id), ms = __builtin_bswap64(head) >> 16;
    return (struct place){(uint32_t)(ms * NEAR_SPREAD + (hash >> 32) % NEAR_SPREAD), (uint32_t)hash};
}

/* Whether the object behind a ref has the key looked for; where that object belongs. */
typedef bool (*same_fn)(const struct book *book, uint32_t ref, const void *key);
typedef struct place (*place_fn)(const struct book *book, uint32_t ref);

static inline uint32_t index_find(const struct book *book, const struct index *index, struct place place, same_fn same,
                                  const void *key)
{
    if (!index->slots)
        return NONE;
    uint32_t at = place.near & index->mask;
    for (uint32_t step = 0;; step++) {
        if (step == NEAR_SLOTS)
            at = place.far & index->mask;
        const struct slot slot = index->slots[at];
        if (!slot.ref)
            return NONE;
        if (slot.tag == place.far && same(book, slot.ref - 1, key))
            return slot.ref - 1;
        at = (at + 1) & index->mask;
    }
}

static void index_put(struct index *index, struct place place, uint32_t ref)
{
    uint32_t at = place.near & index->mask;
    for (uint32_t step = 1; index->slots[at].ref; step++)
        at = step == NEAR_SLOTS ? place.far & index->mask : (at + 1) & index->mask;
    index->slots[at] = (struct slot){place.far, ref + 1};
}

/* So that it need not grow while people wait: made for as many as there may be, of which only what is used costs
 * memory. */
static uint32_t first_mask(size_t expected)
{
    uint32_t slots = INDEX_SLOTS_MIN;
    while (slots < INDEX_SLOTS_FIRST && slots / 2 <= expected)
        slots *= 2;
    return slots - 1;
}

static void index_add(const struct book *book, struct index *index, place_fn place_of, uint32_t ref, size_t expected)
{
    if (!index->slots || index->count >= index->mask / 2) { /* at most half full */
        struct index grown = {.mask = index->slots ? index->mask * 2 + 1 : first_mask(expected), .count = index->count};
        grown.slots = mem_new((size_t)grown.mask + 1, sizeof *grown.slots);
        for (uint32_t at = 0; index->slots && at <= index->mask; at++)
            if (index->slots[at].ref)
                index_put(&grown, place_of(book, index->slots[at].ref - 1), index->slots[at].ref - 1);
        free(index->slots);
        *index = grown;
    }
    index_put(index, place_of(book, ref), ref);
    index->count++;
}

/* ---- orders ---- */

static inline bool same_uuid(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static struct place place_of_order(const struct book *book, uint32_t ref)
{
    return place_of_uuid(&order_at(book, ref)->id);
}

static inline bool same_order(const struct book *book, uint32_t ref, const void *key)
{
    return same_uuid(&order_at(book, ref)->id, key);
}

uint32_t objects_order_by_id(const struct book *book, const struct uuid *id)
{
    return index_find(book, &book->by_id, place_of_uuid(id), same_order, id);
}

struct client_key {
    uint32_t account;
    struct view text;
};

static struct place place_of_client(const struct book *book, uint32_t ref)
{
    return place_of_hash(order_at(book, ref)->client_hash);
}

static inline bool same_client(const struct book *book, uint32_t ref, const void *payload)
{
    const struct client_key *key = payload;
    const struct order *order = order_at(book, ref);
    return order->account == key->account && view_equals(order_text(book, order), key->text);
}

static uint64_t client_hash(uint32_t account, struct view text)
{
    return hash_mix(hash_bytes(text.bytes, text.length), account) | 1;
}

uint32_t objects_order_by_client(const struct book *book, uint32_t account, struct view client_order_id)
{
    const struct client_key key = {account, client_order_id};
    return index_find(book, &book->by_client, place_of_hash(client_hash(account, client_order_id)), same_client, &key);
}

/* Texts lie one behind the other; none crosses the end of a chunk. */
static uint32_t text_add(struct book *book, struct view text)
{
    if (!book->text_chunks || book->text_used + text.length > TEXT_CHUNK) {
        book->texts = mem_grow(book->texts, book->text_chunks + 1, sizeof *book->texts);
        book->texts[book->text_chunks++] = mem_new(TEXT_CHUNK, 1);
        book->text_used = 0;
    }
    const uint32_t at = ((book->text_chunks - 1) << TEXT_CHUNK_BITS) + book->text_used;
    memcpy(&book->texts[book->text_chunks - 1][book->text_used], text.bytes, text.length);
    book->text_used += (uint32_t)text.length;
    return at;
}

uint32_t objects_add_order(struct book *book, const struct uuid *id, uint32_t account, struct view client_order_id)
{
    const uint32_t ref = book->order_count++;
    if (!(ref & (ORDER_CHUNK - 1))) {
        const size_t chunk = ref >> ORDER_CHUNK_BITS, bytes = ORDER_CHUNK * sizeof(struct order);
        book->order_chunks = mem_grow(book->order_chunks, chunk + 1, sizeof *book->order_chunks);
        void *block = NULL;
        if (posix_memalign(&block, _Alignof(struct order), bytes) != 0)
            abort(); /* as mem_new does */
        book->order_chunks[chunk] = memset(block, 0, bytes);
    }
    struct order *order = order_at(book, ref);
    order->id = *id;
    order->account = account;
    index_add(book, &book->by_id, place_of_order, ref, book->limits.orders_max);
    if (client_order_id.length) {
        order->client_hash = client_hash(account, client_order_id);
        order->client_at = text_add(book, client_order_id);
        order->client_length = (uint8_t)client_order_id.length;
        index_add(book, &book->by_client, place_of_client, ref, book->limits.orders_max);
    }
    return ref;
}

/* ---- accounts ---- */

static struct place place_of_account(const struct book *book, uint32_t ref)
{
    return place_of_uuid(&account_at(book, ref)->id);
}

static inline bool same_account(const struct book *book, uint32_t ref, const void *key)
{
    return same_uuid(&account_at(book, ref)->id, key);
}

uint32_t accounts_find(const struct book *book, const struct uuid *id)
{
    return index_find(book, &book->by_account, place_of_uuid(id), same_account, id);
}

struct account *objects_add_account(struct book *book, const struct uuid *id, uint32_t *ref)
{
    *ref = book->account_count++;
    if (!(*ref & (ACCOUNT_CHUNK - 1))) {
        const size_t chunk = *ref >> ACCOUNT_CHUNK_BITS;
        book->account_chunks = mem_grow(book->account_chunks, chunk + 1, sizeof *book->account_chunks);
        book->account_chunks[chunk] = mem_new(ACCOUNT_CHUNK, sizeof(struct account));
    }
    struct account *account = account_at(book, *ref);
    account->id = *id;
    account->own_first = account->own_last = NONE;
    index_add(book, &book->by_account, place_of_account, *ref, book->limits.accounts_max);
    return account;
}

/* ---- deposits, sources ---- */

static struct place place_of_deposit(const struct book *book, uint32_t ref)
{
    return place_of_uuid(&book->deposits[ref]);
}

static inline bool same_deposit(const struct book *book, uint32_t ref, const void *key)
{
    return same_uuid(&book->deposits[ref], key);
}

bool objects_deposit_known(const struct book *book, const struct uuid *id)
{
    return index_find(book, &book->by_deposit, place_of_uuid(id), same_deposit, id) != NONE;
}

void objects_add_deposit(struct book *book, const struct uuid *id)
{
    if (book->deposit_count == book->deposit_capacity) {
        book->deposit_capacity = book->deposit_capacity ? book->deposit_capacity * 2 : 64;
        book->deposits = mem_grow(book->deposits, book->deposit_capacity, sizeof *book->deposits);
    }
    book->deposits[book->deposit_count] = *id;
    index_add(book, &book->by_deposit, place_of_deposit, book->deposit_count++, 0);
}

/* A source is one start of one sender: there are few, and the next command is mostly of the one before. */
struct source *objects_source(const struct book *book, uint64_t id)
{
    if (book->source_last < book->source_count && book->sources[book->source_last].id == id)
        return &book->sources[book->source_last];
    for (size_t i = 0; i < book->source_count; i++)
        if (book->sources[i].id == id)
            return &book->sources[i];
    return NULL;
}

struct source *objects_add_source(struct book *book, uint64_t id)
{
    if (book->source_count == book->source_capacity) {
        book->source_capacity = book->source_capacity ? book->source_capacity * 2 : 8;
        book->sources = mem_grow(book->sources, book->source_capacity, sizeof *book->sources);
    }
    book->sources[book->source_count] = (struct source){.id = id};
    return &book->sources[book->source_count++];
}

/* ---- lists of refs ---- */

void refs_add(struct refs *refs, uint32_t ref)
{
    if (refs->count == refs->capacity) {
        refs->capacity = refs->capacity ? refs->capacity * 2 : 1024;
        refs->items = mem_grow(refs->items, refs->capacity, sizeof *refs->items);
    }
    refs->items[refs->count++] = ref;
}

void objects_release(struct book *book)
{
    for (uint32_t at = 0; at < book->order_count; at += ORDER_CHUNK)
        free(book->order_chunks[at >> ORDER_CHUNK_BITS]);
    for (uint32_t at = 0; at < book->account_count; at += ACCOUNT_CHUNK)
        free(book->account_chunks[at >> ACCOUNT_CHUNK_BITS]);
    for (uint32_t at = 0; at < book->text_chunks; at++)
        free(book->texts[at]);
    free(book->order_chunks);
    free(book->account_chunks);
    free(book->texts);
    free(book->by_id.slots);
    free(book->by_client.slots);
    free(book->by_account.slots);
    free(book->by_deposit.slots);
    free(book->deposits);
    free(book->sources);
    free(book->changed_orders.items);
    free(book->changed_accounts.items);
}
