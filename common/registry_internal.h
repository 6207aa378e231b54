/* registry_internal.h - the record of one instance as it stands in Redis; shared by the lease and the watch. */
#ifndef MADANG_REGISTRY_INTERNAL_H
#define MADANG_REGISTRY_INTERNAL_H

#include "registry.h"

#include "arena.h"
#include "str.h"

#define REGISTRY_PREFIX "registry:"
#define REGISTRY_PATTERN "registry:*"
#define REGISTRY_CHANGES "registry:changes"
#define REGISTRY_WISHES "registry-drain:" /* + service:instance; outside of the pattern: no record */

/* {service, instance, address, version, started, epoch, weight, state}; started in milliseconds since 1970. */
void registry_record_print(struct str *out, const struct registry_entry *entry);
/* False for a record that is wrong or too long; `arena` holds what is needed meanwhile. */
bool registry_record_parse(struct arena *arena, const char *text, size_t length, struct registry_entry *entry);

/* A message on registry:changes: {service, instance, state, epoch}; state up, draining or gone. */
void registry_message_print(struct str *out, const struct registry_entry *entry, const char *state);
/* True when it says that an instance is gone; then service, instance and epoch of *entry are set. */
bool registry_message_says_gone(struct arena *arena, const char *text, size_t length, struct registry_entry *entry);

#endif
