#include "channels.h"

#include "channel_email.h"
#include "channel_slack.h"
#include "channel_sms.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <stdlib.h>

enum { CHANNEL_COUNT = 3 };

/* A channel and its figures. */
struct counted {
    void (*send)(void *state, const struct delivery *delivery, struct outcome *outcome);
    void *state;
    struct metric_child *sends[OUTCOME_DROPPED + 1];
    struct metric_child *seconds;
};

struct channels {
    struct sink *sink;
    struct email_channel *email;
    struct sms_channel *sms;
    struct slack *slack;
    struct counted counted[CHANNEL_COUNT];
    struct channel list[CHANNEL_COUNT + 1];
};

static void counted_send(void *state, const struct delivery *delivery, struct outcome *outcome)
{
    struct counted *counted = state;
    const int64_t start_us = clock_monotonic_us();
    *outcome = (struct outcome){.kind = OUTCOME_RETRY};
    counted->send(counted->state, delivery, outcome);
    metric_observe_us(counted->seconds, clock_monotonic_us() - start_us);
    metric_add(counted->sends[outcome->kind], 1);
}

static void add(struct channels *channels, const char *name, int64_t senders,
                void (*send)(void *state, const struct delivery *delivery, struct outcome *outcome), void *state)
{
    static const char *const OUTCOMES[] = {
        [OUTCOME_SENT] = "sent", [OUTCOME_RETRY] = "retry", [OUTCOME_DEAD] = "dead", [OUTCOME_DROPPED] = "dropped"};
    struct metric *sends =
        metric_counter("madang_notify_channel_sends_total", "Sends by channel and outcome", "channel,outcome");
    struct metric *seconds =
        metric_histogram("madang_notify_channel_send_seconds", "What one send took, pace included", "channel");
    size_t i = 0;
    while (channels->list[i].name)
        i++;
    struct counted *counted = &channels->counted[i];
    *counted = (struct counted){.send = send, .state = state, .seconds = METRIC_CHILD(seconds, name)};
    for (size_t kind = 0; kind < ARRAY_LENGTH(OUTCOMES); kind++)
        counted->sends[kind] = METRIC_CHILD(sends, name, OUTCOMES[kind]);
    channels->list[i] = (struct channel){.name = name, .senders = (int)senders, .state = counted, .send = counted_send};
}

/* Opens the sink when a channel needs it, and says which: what stands there reaches nobody. */
static bool open_sink(const struct channels_config *config, struct channels *channels, struct err *err)
{
    const struct {
        const char *name;
        bool is_local;
    } rows[] = {
        {"email", !*config->email.url},
        {"sms", !*config->sms.provider},
        {"slack", !*config->slack.token && !*config->slack.webhooks},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        if (!rows[i].is_local)
            continue;
        if (!channels->sink && !(channels->sink = sink_open(config->sink_dir, err)))
            return false;
        log_event(LOG_WARN, "channel_is_local", LOG_TEXT("channel", rows[i].name),
                  LOG_TEXT("reason", "no settings: messages go to the local sink"));
    }
    return true;
}

struct channels *channels_open(const struct channels_config *config, struct err *err)
{
    struct channels *channels = MEM_NEW(channels);
    bool good = open_sink(config, channels, err) &&
                (channels->email = email_channel_open(&config->email, channels->sink, err)) &&
                (channels->sms = sms_channel_open(&config->sms, channels->sink, err)) &&
                (channels->slack = slack_open(&config->slack, channels->sink, err));
    if (!good) {
        channels_release(&channels);
        return NULL;
    }
    add(channels, "email", config->email.senders, email_channel_send, channels->email);
    add(channels, "sms", config->sms.senders, sms_channel_send, channels->sms);
    add(channels, "slack", config->slack.senders, slack_channel_send, channels->slack);
    return channels;
}

void channels_release(struct channels **place)
{
    struct channels *channels = *place;
    if (!channels)
        return;
    slack_release(&channels->slack);
    sms_channel_release(&channels->sms);
    email_channel_release(&channels->email);
    sink_release(&channels->sink);
    free(channels);
    *place = NULL;
}

const struct channel *channels_list(const struct channels *channels)
{
    return channels->list;
}

struct slack *channels_slack(struct channels *channels)
{
    return channels->slack;
}
