#include "events.h"

#include "app.h"
#include "clock.h"
#include "topics.h"

const char *const USER_TOPICS[] = {TOPIC_ACCOUNTS, TOPIC_PROFILES, TOPIC_RELATIONS, TOPIC_NOTIFY_REQUESTS, NULL};

/* ---- out ---- */

struct outbox_event event_profile(struct arena *arena, const struct profile *profile, const struct origin *origin)
{
    char url[PICTURE_URL_BYTES];
    person_picture_url(profile->person.id, profile->person.avatar_key, url);
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "profile", NULL);
    json_text(&out, "user_id", profile->person.id);
    json_text(&out, "avatar_url", url);
    json_text(&out, "bio", profile->bio);
    json_text(&out, "location", profile->location);
    json_open(&out, "interests", '[');
    for (size_t i = 0; i < profile->interests.count; i++)
        json_text(&out, NULL, profile->interests.items[i]);
    json_close(&out, ']');
    json_i64(&out, "version", profile->profile_version);
    return event_close(arena, &out, TOPIC_PROFILES, profile->person.id, origin->request_id, origin->traceparent);
}

struct outbox_event event_relation(struct arena *arena, const char *a, const char *b, const struct relation *relation,
                                   const struct origin *origin)
{
    const bool friends = relation->link == LINK_FRIENDS;
    const char *const ids[SIDES] = {a, b};
    AUTO_STR out;
    str_init(&out);
    event_open(&out, "relation", NULL);
    json_text(&out, "a", a);
    json_text(&out, "b", b);
    json_bool(&out, "friend", friends);
    json_open(&out, "blocked_by", '[');
    for (int side = SIDE_A; side < SIDES; side++)
        if (relation->blocked_ms[side])
            json_text(&out, NULL, ids[side]);
    json_close(&out, ']');
    json_i64(&out, "version", relation->version);
    if (friends)
        json_time(&out, "since", relation->since_ms);
    else
        json_text(&out, "since", NULL);
    return event_close(arena, &out, TOPIC_RELATIONS, arena_printf(arena, "%s:%s", a, b), origin->request_id,
                       origin->traceparent);
}

struct outbox_event event_notice(struct arena *arena, enum relation_notice notice, const struct person *from,
                                 const char *to, const char *to_locale, int64_t version, const struct origin *origin)
{
    const char *kind = notice == NOTICE_REQUEST ? "friend_request" : "friend_accepted";
    AUTO_STR out;
    str_init(&out);
    event_open(&out, kind, NULL);
    json_open(&out, "to", '{');
    json_text(&out, "user", to);
    json_close(&out, '}');
    json_open(&out, "channels", '[');
    json_text(&out, NULL, "inbox");
    json_text(&out, NULL, "push");
    json_close(&out, ']');
    json_open(&out, "args", '{');
    json_open(&out, "from", '{');
    json_text(&out, "id", from->id);
    json_text(&out, "nickname", from->nickname);
    json_close(&out, '}');
    json_close(&out, '}');
    json_text(&out, "dedupe_id", arena_printf(arena, "%s:%s:%s:%lld", kind, from->id, to, (long long)version));
    if (*to_locale) /* not heard of yet: that of the account, when it is told */
        json_text(&out, "locale", to_locale);
    return event_close(arena, &out, TOPIC_NOTIFY_REQUESTS, to, origin->request_id, origin->traceparent);
}

/* ---- in ---- */

enum { BATCH_ARENA_BYTES = 64 * 1024 * 1024, ACCOUNTS_BATCH = 200 };

/* topic accounts -> table people. A tombstone carries nothing: withdrawn accounts stay as records. */
static bool accounts_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct user_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct account_copy *copies = accounts_decode(arena, batch, err);
    return copies && store_apply_accounts(app->db, arena, batch, copies, err);
}

const struct kafka_subscription USER_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_ACCOUNTS, .apply = accounts_apply, .batch_max = ACCOUNTS_BATCH, .poison = POISON_STOP},
    {0},
};
