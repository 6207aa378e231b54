#include "channel_sms.h"

#include "mem.h"
#include "outcome.h"
#include "sms.h"

#include <stdlib.h>

enum { CALL_BYTES = 256 * 1024 }; /* memory of one call, its answer included */

struct sms_channel {
    const struct sms_config *config;
    const struct sms_provider *provider; /* NULL: the sink */
    const char *base_url;
    char from[SMS_NUMBER_BYTES];
    struct sink *sink;
    struct httpclient *http;
};

static bool choose_provider(struct sms_channel *sms, struct err *err)
{
    static const struct sms_provider *const PROVIDERS[] = {&SMS_SOLAPI, &SMS_SENS};
    const struct sms_config *config = sms->config;
    for (size_t i = 0; i < ARRAY_LENGTH(PROVIDERS); i++)
        if (strcmp(config->provider, PROVIDERS[i]->name) == 0)
            sms->provider = PROVIDERS[i];
    if (!sms->provider)
        return err_set(err, &ERR_BAD_INPUT, "SMS_PROVIDER: solapi or sens");
    if (!sms_number(config->from, sms->from))
        return err_set(err, &ERR_BAD_INPUT, "SMS_FROM: a Korean telephone number");
    sms->base_url = *config->base_url ? config->base_url : sms->provider->base_url;
    return sms->provider->check(config, err);
}

static bool open_provider(struct sms_channel *sms, struct err *err)
{
    if (!choose_provider(sms, err))
        return false;
    const struct httpclient_options options = {
        .allow_http = strncmp(sms->base_url, "http://", 7) == 0, /* somebody's stand-in: the provider's own is https */
        .ca_file = *sms->config->ca_file ? sms->config->ca_file : NULL,
        .timeout_ms = (int)sms->config->timeout_ms,
        .body_max = CALL_BYTES / 8,
    };
    return (sms->http = httpclient_open(&options, err)) != NULL;
}

struct sms_channel *sms_channel_open(const struct sms_config *config, struct sink *sink, struct err *err)
{
    struct sms_channel *sms = MEM_NEW(sms_channel);
    sms->config = config;
    sms->sink = sink;
    if (*config->provider && !open_provider(sms, err))
        sms_channel_release(&sms);
    return sms;
}

void sms_channel_release(struct sms_channel **sms)
{
    if (*sms)
        httpclient_release(&(*sms)->http);
    free(*sms);
    *sms = NULL;
}

static struct sms make_sms(struct arena *arena, const char *from, const char *to, const struct delivery *delivery)
{
    const bool is_long = sms_bytes(delivery->body) > SMS_BYTES_MAX;
    return (struct sms){
        .from = from,
        .to = to,
        .is_long = is_long,
        .text = sms_cut(arena, delivery->body, is_long ? LMS_BYTES_MAX : SMS_BYTES_MAX),
        .subject = sms_cut(arena, delivery->title, SMS_SUBJECT_BYTES_MAX),
    };
}

void sms_channel_send(void *state, const struct delivery *delivery, struct outcome *outcome)
{
    struct sms_channel *sms = state;
    char to[SMS_NUMBER_BYTES];
    if (!sms->provider) {
        sink_write(sms->sink, "sms", delivery, outcome);
        return;
    }
    if (!sms_number(delivery->address, to)) {
        outcome_set(outcome, OUTCOME_DEAD, "not a Korean telephone number");
        return;
    }
    AUTO(arena) arena = arena_open(CALL_BYTES);
    const struct sms message = make_sms(arena, sms->from, to, delivery);
    struct http_call call;
    struct http_answer answer;
    struct err err = {0};
    sms->provider->write(sms->config, sms->base_url, arena, &message, &call);
    if (httpclient_call(sms->http, arena, &call, &answer, &err))
        sms->provider->judge(arena, &answer, outcome);
    else
        outcome_of_silence(outcome, &err);
}
