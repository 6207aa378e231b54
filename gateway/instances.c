#include "instances.h"

#include "address.h"
#include "log.h"
#include "mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct instances {
    size_t fixed_count;
    struct instance *fixed;
    pthread_mutex_t updating; /* one update at a time */
    pthread_mutex_t lock;     /* guards `now`, not what it points to */
    struct instance_list *now;
};

static bool add_fixed(struct instances *instances, struct view word, struct err *err)
{
    const char *equals = memchr(word.bytes, '=', word.length);
    size_t name = equals ? (size_t)(equals - word.bytes) : 0, rest = equals ? word.length - name - 1 : 0;
    instances->fixed = mem_grow(instances->fixed, instances->fixed_count + 1, sizeof *instances->fixed);
    struct instance *instance = &instances->fixed[instances->fixed_count];
    *instance = (struct instance){.entry = {.weight = 1, .state = INSTANCE_UP}};
    struct registry_entry *entry = &instance->entry;
    if (!name || name >= sizeof entry->service || !rest || rest >= sizeof entry->address)
        return err_set(err, &ERR_BAD_INPUT, "UPSTREAMS: \"%.*s\" is not service=host:port", (int)word.length,
                       word.bytes);
    memcpy(entry->service, word.bytes, name);
    memcpy(entry->address, equals + 1, rest);
    (void)snprintf(entry->instance, sizeof entry->instance, "fixed-%.50s", entry->address);
    if (!address_resolve(entry->address, &instance->to, &instance->to_length, err))
        return false;
    instances->fixed_count++;
    return true;
}

struct instances *instances_open(const char *fixed, struct err *err)
{
    struct instances *instances = MEM_NEW(instances);
    (void)pthread_mutex_init(&instances->lock, NULL);
    (void)pthread_mutex_init(&instances->updating, NULL);
    while (*fixed) {
        fixed += strspn(fixed, ", \t");
        size_t length = strcspn(fixed, ", \t");
        if (length && !add_fixed(instances, (struct view){fixed, length}, err)) {
            instances_release(&instances);
            return NULL;
        }
        fixed += length;
    }
    instances_update(instances, NULL);
    return instances;
}

void instances_release(struct instances **instances)
{
    struct instances *old = TAKE(*instances);
    if (!old)
        return;
    instance_list_release(&old->now);
    (void)pthread_mutex_destroy(&old->lock);
    (void)pthread_mutex_destroy(&old->updating);
    free(old->fixed);
    free(old);
}

void instances_update(struct instances *instances, struct registry_watch *watch)
{
    AUTO_FREE struct registry_entry *entries = mem_new(INSTANCES_MAX, sizeof *entries);
    (void)pthread_mutex_lock(&instances->updating);
    size_t found = watch ? registry_list(watch, NULL, entries, INSTANCES_MAX) : 0;
    if (found > INSTANCES_MAX)
        found = INSTANCES_MAX;
    struct instance_list *fresh = mem_new(1, sizeof *fresh + (found + instances->fixed_count) * sizeof *fresh->items);
    atomic_init(&fresh->users, 1);
    for (size_t i = 0; i < instances->fixed_count; i++)
        fresh->items[fresh->count++] = instances->fixed[i];
    for (size_t i = 0; i < found; i++) {
        struct err err;
        struct instance *item = &fresh->items[fresh->count];
        item->entry = entries[i];
        if (address_resolve(entries[i].address, &item->to, &item->to_length, &err))
            fresh->count++;
        else
            log_event(LOG_WARN, "instance_unreachable", LOG_TEXT("service", entries[i].service),
                      LOG_TEXT("reason", err.message));
    }
    (void)pthread_mutex_lock(&instances->lock);
    struct instance_list *old = instances->now;
    instances->now = fresh;
    (void)pthread_mutex_unlock(&instances->lock);
    (void)pthread_mutex_unlock(&instances->updating);
    instance_list_release(&old);
}

struct instance_list *instances_get(struct instances *instances)
{
    (void)pthread_mutex_lock(&instances->lock);
    struct instance_list *list = instances->now;
    atomic_fetch_add_explicit(&list->users, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&instances->lock);
    return list;
}

void instance_list_release(struct instance_list **list)
{
    struct instance_list *old = TAKE(*list);
    if (old && atomic_fetch_sub_explicit(&old->users, 1, memory_order_acq_rel) == 1)
        free(old);
}
