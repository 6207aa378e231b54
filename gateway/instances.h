/* instances.h - who serves what, as an immutable list that loops take a look at when it changes.
 * Fed by the registry and by the setting UPSTREAMS. Names are resolved here, off the loops' threads. Thread-safe. */
#ifndef GATEWAY_INSTANCES_H
#define GATEWAY_INSTANCES_H

#include "registry.h"

#include <stdatomic.h>
#include <sys/socket.h>

enum { INSTANCES_MAX = 512 };

struct instance {
    struct registry_entry entry;
    struct sockaddr_storage to;
    socklen_t to_length;
};

struct instance_list {
    atomic_int users;
    size_t count;
    struct instance items[];
};

struct instances;
/* `fixed`: "service=host:port,..."; ERR_BAD_INPUT when it is not. */
struct instances *instances_open(const char *fixed, struct err *err);
void instances_release(struct instances **instances);
/* Takes the registry's table as it is now (NULL: only the fixed ones). */
void instances_update(struct instances *instances, struct registry_watch *watch);
/* The present list; the caller releases it. */
struct instance_list *instances_get(struct instances *instances);
void instance_list_release(struct instance_list **list);

#endif
