#include "shortcut.h"

#include "mem.h"
#include "uuid.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = UUID_TEXT_BYTES + 8 };

struct shortcut {
    char given[HEADER_BYTES], owed_header[HEADER_BYTES];
    _Atomic int64_t owed, owed_ms;
};

struct shortcut *shortcut_open(const char *start_id)
{
    struct shortcut *shortcut = MEM_NEW(shortcut);
    (void)snprintf(shortcut->given, HEADER_BYTES, "%s:1", start_id);
    (void)snprintf(shortcut->owed_header, HEADER_BYTES, "%s:0", start_id);
    return shortcut;
}

void shortcut_release(struct shortcut **shortcut)
{
    free(TAKE(*shortcut));
}

bool shortcut_takes(enum event_kind kind)
{
    switch (kind) {
    case EVENT_MESSAGE:
    case EVENT_EDITED:
    case EVENT_DELETED:
    case EVENT_REACTION:
    case EVENT_READ:
    case EVENT_VERDICT:
        return true;
    default:
        return false;
    }
}

bool shortcut_is_free(struct shortcut *shortcut, int64_t now_ms)
{
    if (atomic_load(&shortcut->owed) <= 0)
        return true;
    if (now_ms - atomic_load(&shortcut->owed_ms) < SHORTCUT_PATIENCE_MS)
        return false;
    atomic_store(&shortcut->owed, 0);
    return true;
}

void shortcut_owe(struct shortcut *shortcut, size_t count, int64_t now_ms)
{
    if (count == 0)
        return;
    atomic_store(&shortcut->owed_ms, now_ms);
    atomic_fetch_add(&shortcut->owed, (int64_t)count);
}

const char *shortcut_header(const struct shortcut *shortcut, bool given)
{
    return given ? shortcut->given : shortcut->owed_header;
}

bool shortcut_has(const struct shortcut *shortcut, const char *header)
{
    return header && strcmp(header, shortcut->given) == 0;
}

void shortcut_heard(struct shortcut *shortcut, const char *header)
{
    if (!header || strcmp(header, shortcut->owed_header) != 0)
        return;
    /* Doubles come too, and late ones after patience has ended: below nothing it would free the way for good. */
    int64_t owed = atomic_load(&shortcut->owed);
    while (owed > 0 && !atomic_compare_exchange_weak(&shortcut->owed, &owed, owed - 1))
        continue;
}
