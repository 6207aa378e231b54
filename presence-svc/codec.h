/* codec.h - JSON <-> struct: events in and out, replies. Printers append. */
#ifndef MADANG_PRESENCE_CODEC_H
#define MADANG_PRESENCE_CODEC_H

#include "json.h"
#include "presence.h"

/* One record of presence.signals; bad_input when it is not as it must be. `at_ms`: the record's own time. */
bool codec_signal(struct arena *arena, struct view bytes, int64_t at_ms, struct presence_signal *signal,
                  struct err *err);

/* The payload of presence.changes. */
void codec_change(struct str *out, const struct presence *presence);
/* {user_id, online, last_seen?}: one item of a list. */
void codec_item(struct str *out, const struct presence *presence);

struct settings_wish {
    bool visible, show_last_seen;
};
extern const struct field SETTINGS_FIELDS[];

#endif
