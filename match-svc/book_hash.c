#include "book_internal.h"

uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = hash_mix(length, 1), word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = hash_mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return hash_mix(hash, word);
}

uint64_t hash_order(uint32_t ref, const struct order *order)
{
    const uint64_t form = (uint64_t)order->company << 56 | (uint64_t)order->side << 48 | (uint64_t)order->type << 40 |
                          (uint64_t)order->tif << 32 | (uint64_t)order->reason << 24 | (uint64_t)order->post_only << 8 |
                          (uint64_t)order->bot;
    uint64_t hash = hash_mix(hash_uuid(&order->id), (uint64_t)order->account << 32 | ref);
    hash = hash_mix(hash, form);
    hash = hash_mix(hash, (uint64_t)order->price);
    hash = hash_mix(hash, (uint64_t)order->quantity);
    hash = hash_mix(hash, (uint64_t)order->filled);
    hash = hash_mix(hash, (uint64_t)order->paid);
    hash = hash_mix(hash, (uint64_t)order->priority);
    return hash_mix(hash, order->client_hash);
}

uint64_t hash_account(const struct book *book, uint32_t ref, const struct account *account)
{
    uint64_t hash = hash_mix(hash_uuid(&account->id), (uint64_t)ref << 1 | account->bot);
    hash = hash_mix(hash, (uint64_t)account->cash);
    hash = hash_mix(hash, (uint64_t)account->cash_reserved);
    for (int i = 0; i < book->company_count; i++) {
        hash = hash_mix(hash, (uint64_t)account->shares[i].available);
        hash = hash_mix(hash, (uint64_t)account->shares[i].reserved);
    }
    return hash;
}

/* The sum with the terms that changed, which are not written down. */
static uint64_t sum_of_terms(const struct book *book)
{
    uint64_t sum = book->terms;
    for (size_t i = 0; i < book->changed_orders.count; i++) {
        const uint32_t ref = book->changed_orders.items[i];
        sum += hash_order(ref, order_at(book, ref)) - order_at(book, ref)->term;
    }
    for (size_t i = 0; i < book->changed_accounts.count; i++) {
        const uint32_t ref = book->changed_accounts.items[i];
        sum += hash_account(book, ref, account_at(book, ref)) - account_at(book, ref)->term;
    }
    return sum;
}

void hash_settle(struct book *book)
{
    for (size_t i = 0; i < book->changed_orders.count; i++) {
        const uint32_t ref = book->changed_orders.items[i];
        struct order *order = order_at(book, ref);
        const uint64_t term = hash_order(ref, order);
        book->terms += term - order->term;
        order->term = term;
        order->changed = false;
    }
    for (size_t i = 0; i < book->changed_accounts.count; i++) {
        const uint32_t ref = book->changed_accounts.items[i];
        struct account *account = account_at(book, ref);
        const uint64_t term = hash_account(book, ref, account);
        book->terms += term - account->term;
        account->term = term;
        account->changed = false;
    }
    book->changed_orders.count = book->changed_accounts.count = 0;
}

static uint64_t hash_company(uint64_t hash, const struct company *company)
{
    hash = hash_mix(hash, hash_uuid(&company->id));
    hash = hash_mix(hash, (uint64_t)company->initial_price);
    hash = hash_mix(hash, (uint64_t)company->last_price);
    hash = hash_mix(hash, (uint64_t)company->volume);
    hash = hash_mix(hash, (uint64_t)company->high);
    hash = hash_mix(hash, (uint64_t)company->low);
    hash = hash_mix(hash, (uint64_t)company->trades);
    hash = hash_mix(hash, (uint64_t)company->shares);
    return hash_mix(hash, company->halted);
}

uint64_t hash_head(const struct book *book)
{
    uint64_t hash = hash_mix(hash_uuid(&book->market), (uint64_t)book->phase << 8 | book->size_rule);
    hash = hash_mix(hash, (uint64_t)book->seed_cash);
    hash = hash_mix(hash, (uint64_t)book->tick);
    hash = hash_mix(hash, (uint64_t)book->price_min);
    hash = hash_mix(hash, (uint64_t)book->price_max);
    hash = hash_mix(hash, (uint64_t)book->seq);
    hash = hash_mix(hash, (uint64_t)book->priority);
    hash = hash_mix(hash, book->commands);
    hash = hash_mix(hash, (uint64_t)book->cash);
    hash = hash_mix(hash, (uint64_t)book->order_count << 32 | book->account_count);
    for (int i = 0; i < book->company_count; i++)
        hash = hash_company(hash, &book->companies[i]);
    for (uint32_t i = 0; i < book->deposit_count; i++)
        hash = hash_mix(hash, hash_uuid(&book->deposits[i]));
    for (size_t i = 0; i < book->source_count; i++)
        hash = hash_mix(hash_mix(hash, book->sources[i].id), book->sources[i].n);
    return hash;
}

uint64_t book_hash(const struct book *book)
{
    return hash_mix(hash_head(book), sum_of_terms(book));
}
