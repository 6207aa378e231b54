/* Any bytes as what a viewer of /ws/market says. What is taken is one of the few things there are to say, and says the
 * same when it is written anew; what is refused is answered by one small JSON object. */
#include "feed_ask.h"
#include "feed_tell.h"
#include "json.h"
#include "json_check.h"
#include "mem.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const OPS[] = {"subscribe", "unsubscribe", "ping"};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void print(struct str *out, const struct feed_ask *ask)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(&ask->company, id);
    json_open(out, NULL, '{');
    json_text(out, "op", OPS[ask->op]);
    if (ask->op != FEED_PING) {
        json_text(out, "company", id);
        json_text(out, "channel", feed_channel_name(ask->channel));
    }
    json_close(out, '}');
}

static void check_taken(struct arena *arena, const struct feed_ask *ask)
{
    AUTO_STR text = {0};
    struct feed_ask again;
    struct err err = {0};
    must(ask->op <= FEED_PING && ask->channel < FEED_CHANNELS);
    print(&text, ask);
    must(text.length <= FEED_ASK_MAX);
    must(feed_ask_read(arena, (struct view){text.bytes, text.length}, &again, &err));
    must(again.op == ask->op && again.channel == ask->channel &&
         memcmp(&again.company, &ask->company, sizeof again.company) == 0);
}

static void check_refused(const struct err *err)
{
    AUTO_STR text = {0};
    struct json_top top;
    struct err why = {0};
    must(err_is(err, &ERR_BAD_INPUT));
    tell_error(&text, err, NULL);
    must(text.length < 4096 && json_check((struct view){text.bytes, text.length}, &top, &why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct feed_ask ask;
    struct err err = {0};
    if (size > FEED_ASK_MAX)
        return 0; /* ends with 1009 before it is read */
    if (feed_ask_read(arena, (struct view){(const char *)data, size}, &ask, &err))
        check_taken(arena, &ask);
    else
        check_refused(&err);
    return 0;
}
