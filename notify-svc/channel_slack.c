#include "channel_slack.h"

#include "clock.h"
#include "mem.h"
#include "outcome.h"
#include "slack_text.h"

enum { SEND_MS_MAX = 25000 }; /* of one send with all its calls; deliver.c claims a row for longer */

/* People of an address, found in Slack or not. */
struct party {
    struct str users;   /* ids, comma-separated */
    struct str missing; /* names */
    size_t found, left_out;
};

static void party_free(struct party *party)
{
    str_free(&party->users);
    str_free(&party->missing);
}

static void add_found(struct party *party, const char *id)
{
    str_printf(&party->users, "%s%s", party->found ? "," : "", id);
    party->found++;
}

/* Without a name there is only the number of them: an e-mail is not shown to others. */
static void add_missing(struct party *party, const char *name)
{
    party->left_out++;
    if (!*name)
        return;
    if (party->missing.length)
        str_add(&party->missing, ", ");
    slack_add_escaped(&party->missing, name, 64);
}

static bool find_one(struct slack *slack, struct arena *arena, const struct slack_target_person *person,
                     struct party *party, struct outcome *outcome)
{
    const char *id = slack_is_user_id(person->where) ? person->where : NULL;
    if (!id && strchr(person->where, '@') &&
        slack_find_email(slack, arena, person->where, &id, outcome) == SLACK_FAILED)
        return false;
    if (id && party->found < SLACK_GROUP_MAX)
        add_found(party, id);
    else
        add_missing(party, person->name);
    return true;
}

static bool find_all(struct slack *slack, struct arena *arena, const char *address, struct party *party,
                     struct outcome *outcome)
{
    const int64_t until_ms = clock_monotonic_ms() + SEND_MS_MAX - 2 * slack_config(slack)->timeout_ms;
    size_t count;
    const struct slack_target_person *people = slack_address_people(arena, address, &count);
    for (size_t i = 0; i < count; i++) {
        if (clock_monotonic_ms() > until_ms) { /* who was found is remembered for the next time */
            outcome_set(outcome, OUTCOME_RETRY, "Slack is too slow");
            return false;
        }
        if (!find_one(slack, arena, &people[i], party, outcome))
            return false;
    }
    if (party->found == 0)
        outcome_set(outcome, OUTCOME_DROPPED, "nobody of them is known in Slack");
    return party->found > 0;
}

/* K-46: who is there reads who is not. */
static void add_missing_line(struct str *text, const struct party *party, const char *locale)
{
    if (party->left_out == 0)
        return;
    const bool english = strcmp(locale, "en") == 0;
    if (party->missing.length)
        str_printf(text,
                   english ? "\nNot found in Slack: %s. Please invite them."
                           : "\nSlack에서 찾지 못한 분: %s. 직접 초대해 주세요.",
                   party->missing.bytes);
    else
        str_printf(text,
                   english ? "\nNot found in Slack: %zu. Please invite them."
                           : "\nSlack에서 찾지 못한 분: %zu명. 직접 초대해 주세요.",
                   party->left_out);
}

static void send_to_people(struct slack *slack, struct arena *arena, const struct delivery *delivery, struct str *text,
                           struct outcome *outcome)
{
    struct party party = {.found = 0};
    const char *channel;
    str_init(&party.users);
    str_init(&party.missing);
    if (find_all(slack, arena, delivery->address, &party, outcome) &&
        slack_open_conversation(slack, arena, party.users.bytes, &channel, outcome)) {
        add_missing_line(text, &party, delivery->locale);
        (void)slack_post(slack, arena, channel, text->bytes, outcome);
    }
    party_free(&party);
}

void slack_channel_send(void *state, const struct delivery *delivery, struct outcome *outcome)
{
    static const char WEBHOOK[] = "webhook:";
    struct slack *slack = state;
    if (slack_sink(slack)) {
        sink_write(slack_sink(slack), "slack", delivery, outcome);
        return;
    }
    AUTO(arena) arena = arena_open(SLACK_ARENA_BYTES);
    AUTO_STR text;
    str_init(&text);
    slack_add_notice(&text, delivery->title, delivery->body);
    if (strncmp(delivery->address, WEBHOOK, sizeof WEBHOOK - 1) == 0)
        (void)slack_post_webhook(slack, arena, delivery->address + sizeof WEBHOOK - 1, text.bytes, outcome);
    else if (slack_is_channel_id(delivery->address))
        (void)slack_post(slack, arena, delivery->address, text.bytes, outcome);
    else
        send_to_people(slack, arena, delivery, &text, outcome);
}
