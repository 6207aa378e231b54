#include "feed_ask.h"

#include "json.h"

static const char *const OP_NAMES[] = {"subscribe", "unsubscribe", "ping", NULL};
static const char *const CHANNEL_NAMES[] = {"book", "trades", "ticker", NULL};

struct form {
    const char *op, *channel, *company;
};

static const struct field FIELDS[] = {
    FIELD_TEXT(struct form, op, .required = true, .one_of = OP_NAMES),
    FIELD_TEXT(struct form, channel, .one_of = CHANNEL_NAMES),
    FIELD_UUID(struct form, company),
    {0},
};

const char *feed_channel_name(enum feed_channel channel)
{
    return CHANNEL_NAMES[channel];
}

static int find(const char *const *names, const char *name)
{
    int at = 0;
    while (strcmp(names[at], name) != 0)
        at++; /* one_of has found it */
    return at;
}

bool feed_ask_read(struct arena *arena, struct view text, struct feed_ask *ask, struct err *err)
{
    struct form form;
    if (!JSON_DECODE(arena, text, FIELDS, &form, err))
        return false;
    *ask = (struct feed_ask){.op = (enum feed_op)find(OP_NAMES, form.op)};
    if (ask->op == FEED_PING)
        return (!form.channel && !form.company) || err_set(err, &ERR_BAD_INPUT, "a ping is {\"op\": \"ping\"}");
    if (!form.channel || !form.company)
        return err_add_field(err, form.channel ? "/company" : "/channel", "is missing");
    ask->channel = (enum feed_channel)find(CHANNEL_NAMES, form.channel);
    return uuid_parse(form.company, &ask->company) || err_add_field(err, "/company", "is no id");
}
