#include "slack_target.h"

#include "mem.h"
#include "slack.h"
#include "slack_text.h"
#include "store_slack.h"

enum target {
    TARGET_USER,  /* the user, when linked */
    TARGET_GROUP, /* all users in one conversation, found by link or e-mail */
    TARGET_GIVEN, /* the request says which channel */
    TARGET_GENERAL,
    TARGET_ERRORS,
    TARGET_INQUIRIES,
};

static const struct row {
    const char *kind;
    enum target target;
} TARGETS[] = {
    {"match_done", TARGET_GROUP},      {"workspace_joined", TARGET_GENERAL}, {"channel_joined", TARGET_GIVEN},
    {"comment_added", TARGET_USER},    {"payment_done", TARGET_USER},        {"inquiry_received", TARGET_INQUIRIES},
    {"error_reported", TARGET_ERRORS},
};

static enum target target_of(const struct slack_target_wish *wish)
{
    for (size_t i = 0; i < ARRAY_LENGTH(TARGETS); i++)
        if (strcmp(TARGETS[i].kind, wish->kind) == 0)
            return TARGETS[i].target;
    return wish->user_count ? TARGET_USER : TARGET_GIVEN;
}

bool slack_target_is_group(const char *kind)
{
    const struct slack_target_wish wish = {.kind = kind};
    return target_of(&wish) == TARGET_GROUP;
}

static bool is_address(const char *text)
{
    return text && (slack_is_channel_id(text) || slack_is_user_id(text) || strncmp(text, "webhook:", 8) == 0);
}

/* ---- people ---- */

static const char *where_is(const struct slack_friend *person)
{
    return *person->slack_id ? person->slack_id : person->email;
}

static bool find_people(struct pg_tx *tx, struct arena *arena, const struct slack_target_wish *wish, bool by_email,
                        const char **address, struct err *err)
{
    struct slack_friend *people;
    size_t known = 0;
    if (!store_slack_people(tx, arena, wish->user_ids, wish->user_count, &people, err))
        return false;
    AUTO_STR out;
    str_init(&out);
    for (size_t i = 0; i < wish->user_count; i++) {
        const char *where = by_email ? where_is(&people[i]) : people[i].slack_id;
        known += *where != 0;
        slack_address_add(&out, people[i].nickname, where);
    }
    *address = known ? arena_bytes(arena, out.bytes, out.length) : NULL;
    return true;
}

bool slack_target_find(struct pg_tx *tx, struct arena *arena, const struct slack_config *config,
                       const struct slack_target_wish *wish, const char **address, const char **reason, struct err *err)
{
    const enum target target = target_of(wish);
    const char *const set[] = {
        [TARGET_GIVEN] = wish->slack,
        [TARGET_GENERAL] = config->channel_general,
        [TARGET_ERRORS] = config->channel_errors,
        [TARGET_INQUIRIES] = config->channel_inquiries,
    };
    *address = NULL;
    *reason = "";
    if (target == TARGET_USER || target == TARGET_GROUP) {
        if (!find_people(tx, arena, wish, target == TARGET_GROUP, address, err))
            return false;
        *reason = *address ? "" : target == TARGET_USER ? "not linked to Slack" : "nobody of them has an address";
        return true;
    }
    if (is_address(set[target]))
        *address = arena_text(arena, set[target]);
    else
        *reason = target == TARGET_GIVEN ? "not an address in Slack" : "no setting names the channel";
    return true;
}
