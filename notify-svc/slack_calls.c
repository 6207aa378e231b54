/* slack_calls.c - the methods of Slack's Web API that we use. */
#include "slack_client.h"

#include "clock.h"
#include "json.h"
#include "outcome.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* ---- people ---- */

struct profile {
    const char *email, *display_name;
};
static const struct field PROFILE_FIELDS[] = {
    FIELD_TEXT(struct profile, email),
    FIELD_TEXT(struct profile, display_name),
    {0},
};
struct user {
    const char *id, *name, *real_name, *profile;
    bool deleted, is_bot;
};
static const struct field USER_FIELDS[] = {
    FIELD_TEXT(struct user, id, .required = true, .max = SLACK_ID_BYTES_MAX - 1),
    FIELD_TEXT(struct user, name),
    FIELD_TEXT(struct user, real_name),
    FIELD_RAW(struct user, profile),
    FIELD_BOOL(struct user, deleted),
    FIELD_BOOL(struct user, is_bot),
    {0},
};

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a && *a ? a : b && *b ? b : c ? c : "";
}

static enum slack_found read_user(struct arena *arena, const struct slack_answer *answer, const char *method,
                                  struct slack_person *person, struct outcome *outcome)
{
    struct err err = {0};
    struct user user = {0};
    struct profile profile = {0};
    if (!answer->ok)
        return SLACK_NONE;
    if (!answer->user || !JSON_DECODE_LENIENT(arena, view_of(answer->user), USER_FIELDS, &user, &err) ||
        !slack_is_user_id(user.id)) {
        outcome_set(outcome, OUTCOME_RETRY, "%s: an answer that can't be read", method);
        return SLACK_FAILED;
    }
    if (user.profile && !JSON_DECODE_LENIENT(arena, view_of(user.profile), PROFILE_FIELDS, &profile, &err))
        profile = (struct profile){0};
    *person = (struct slack_person){
        .id = user.id,
        .name = first_of(profile.display_name, user.real_name, user.name),
        .email = profile.email ? profile.email : "",
        .is_person = !user.deleted && !user.is_bot && strcmp(user.id, "USLACKBOT") != 0,
    };
    return SLACK_FOUND;
}

static const char *query_of(struct arena *arena, const char *name, const char *value)
{
    AUTO_STR query;
    str_init(&query);
    str_printf(&query, "%s=", name);
    str_add_percent(&query, value, false);
    return arena_bytes(arena, query.bytes, query.length);
}

enum slack_found slack_find_user(struct slack *slack, struct arena *arena, const char *id, struct slack_person *person,
                                 struct outcome *outcome)
{
    struct slack_answer answer;
    const struct slack_wish wish = {
        .method = "users.info", .query = query_of(arena, "user", id), .expected = "user_not_found"};
    if (!slack_call(slack, arena, &wish, &answer, outcome))
        return SLACK_FAILED;
    return read_user(arena, &answer, "users.info", person, outcome);
}

/* ---- e-mails that were found a moment ago ---- */

static struct known *known_place(struct slack *slack, const char *email)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; *email; email++)
        hash = (hash ^ (unsigned char)tolower((unsigned char)*email)) * 1099511628211ULL;
    return &slack->known[hash % KNOWN_EMAILS];
}

static const char *known_find(struct slack *slack, struct arena *arena, const char *email)
{
    const char *id = NULL;
    (void)pthread_mutex_lock(&slack->known_lock);
    const struct known *known = known_place(slack, email);
    if (known->until_ms > clock_monotonic_ms() && strcasecmp(known->email, email) == 0)
        id = arena_text(arena, known->id);
    (void)pthread_mutex_unlock(&slack->known_lock);
    return id;
}

static void known_keep(struct slack *slack, const char *email, const char *id)
{
    if (strlen(email) >= sizeof slack->known->email)
        return;
    (void)pthread_mutex_lock(&slack->known_lock);
    struct known *known = known_place(slack, email);
    (void)snprintf(known->email, sizeof known->email, "%s", email);
    (void)snprintf(known->id, sizeof known->id, "%s", id);
    known->until_ms = clock_monotonic_ms() + KNOWN_MS;
    (void)pthread_mutex_unlock(&slack->known_lock);
}

enum slack_found slack_find_email(struct slack *slack, struct arena *arena, const char *email, const char **id,
                                  struct outcome *outcome)
{
    struct slack_answer answer;
    struct slack_person person;
    *id = known_find(slack, arena, email);
    if (*id)
        return SLACK_FOUND;
    const struct slack_wish wish = {
        .method = "users.lookupByEmail",
        .query = query_of(arena, "email", email), /* this method takes no JSON */
        .expected = "users_not_found",
    };
    if (!slack_call(slack, arena, &wish, &answer, outcome))
        return SLACK_FAILED;
    enum slack_found found = read_user(arena, &answer, "users.lookupByEmail", &person, outcome);
    if (found != SLACK_FOUND)
        return found;
    if (!person.is_person)
        return SLACK_NONE;
    *id = person.id;
    known_keep(slack, email, person.id);
    return SLACK_FOUND;
}

/* ---- conversations and messages ---- */

struct conversation {
    const char *id;
};
static const struct field CONVERSATION_FIELDS[] = {
    FIELD_TEXT(struct conversation, id, .required = true, .max = SLACK_ID_BYTES_MAX - 1), {0}};

bool slack_open_conversation(struct slack *slack, struct arena *arena, const char *users, const char **channel,
                             struct outcome *outcome)
{
    struct slack_answer answer;
    struct conversation conversation = {0};
    struct err err = {0};
    AUTO_STR body;
    str_init(&body);
    json_open(&body, NULL, '{');
    json_text(&body, "users", users);
    json_close(&body, '}');
    const struct slack_wish wish = {.method = "conversations.open", .body = &body};
    if (!slack_call(slack, arena, &wish, &answer, outcome))
        return false;
    if (!answer.channel ||
        !JSON_DECODE_LENIENT(arena, view_of(answer.channel), CONVERSATION_FIELDS, &conversation, &err)) {
        outcome_set(outcome, OUTCOME_RETRY, "conversations.open: an answer that can't be read");
        return false;
    }
    *channel = conversation.id;
    return true;
}

bool slack_post(struct slack *slack, struct arena *arena, const char *channel, const char *text,
                struct outcome *outcome)
{
    struct slack_answer answer;
    if (!slack_wait_turn(slack, channel, outcome))
        return false;
    AUTO_STR body;
    str_init(&body);
    json_open(&body, NULL, '{');
    json_text(&body, "channel", channel);
    json_text(&body, "text", text);
    json_bool(&body, "unfurl_links", false);
    json_close(&body, '}');
    const struct slack_wish wish = {.method = "chat.postMessage", .body = &body, .limited = channel};
    return slack_call(slack, arena, &wish, &answer, outcome);
}
