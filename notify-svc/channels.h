/* channels.h - the ways out of notify-svc that are no push: e-mail, SMS, Slack. Settings, and the list deliver.c works
 * through. A channel without settings writes to the local sink (sink.h), so that a developer reads what would have
 * left. Threads: everything here may be used by many senders at once. Each outcome is counted by channel
 * (madang_notify_channel_sends_total). */
#ifndef MADANG_NOTIFY_CHANNELS_H
#define MADANG_NOTIFY_CHANNELS_H

#include "channel.h"
#include "errors.h"

struct email_config {
    const char *url; /* smtp://host:587 (STARTTLS) or smtps://host:465; "": the sink */
    const char *user, *password;
    const char *from;    /* "Name <address>" or an address */
    const char *tls;     /* required, or off (smtp:// only) */
    const char *ca_file; /* "": the system's */
    int64_t senders, timeout_ms;
};

struct sms_config {
    const char *provider; /* solapi, sens; "": the sink */
    const char *from;     /* the registered number */
    const char *base_url; /* "": the provider's */
    const char *ca_file;
    const char *solapi_key, *solapi_secret;
    const char *sens_service, *sens_key, *sens_secret;
    int64_t senders, timeout_ms;
};

struct slack_config {
    const char *token;          /* of the bot; "" and no webhooks: the sink */
    const char *webhooks;       /* name=url,... ; a secret: who has the address can post */
    const char *signing_secret; /* of POST /api/slack/events; "": they are refused */
    const char *base_url, *ca_file;
    const char *channel_general, *channel_errors,
        *channel_inquiries; /* an id, or webhook:<name>; "": no such notices */
    int64_t senders, timeout_ms;
    int64_t pace_ms; /* between two messages to one channel */
};

struct channels_config {
    struct email_config email;
    struct sms_config sms;
    struct slack_config slack;
    const char *sink_dir;
};

#define CHANNELS_SETTINGS(type, member)                                                                                \
    SETTING_TEXT(type, member.email.url, "SMTP_URL", "", "smtp://host:587 or smtps://host:465; empty: local sink"),    \
        SETTING_TEXT(type, member.email.user, "SMTP_USER", "", "log-in of the mail server; empty: none"),              \
        SETTING_SECRET_OPTIONAL(type, member.email.password, "SMTP_PASSWORD", "its password"),                         \
        SETTING_TEXT(type, member.email.from, "SMTP_FROM", "Madang <no-reply@madang.local>",                           \
                     "who mails come from: Name <address>"),                                                           \
        SETTING_TEXT(type, member.email.tls, "SMTP_TLS", "required",                                                   \
                     "required: smtp:// goes on only after STARTTLS; off: plain, without log-in beyond this machine"), \
        SETTING_TEXT(type, member.email.ca_file, "SMTP_CA", "", "file of certificates to trust; empty: the system's"), \
        SETTING_I64(type, member.email.senders, "SMTP_SENDERS", "2", 1, 32, "mails sent at the same time"),            \
        SETTING_I64(type, member.email.timeout_ms, "SMTP_TIMEOUT_MS", "20000", 100, 25000, "of one mail"),             \
        SETTING_TEXT(type, member.sms.provider, "SMS_PROVIDER", "", "solapi or sens; empty: local sink"),              \
        SETTING_TEXT(type, member.sms.from, "SMS_FROM", "", "the number registered with the provider"),                \
        SETTING_TEXT(type, member.sms.base_url, "SMS_URL", "", "address of the provider; empty: its public one"),      \
        SETTING_TEXT(type, member.sms.ca_file, "SMS_CA", "", "file of certificates to trust; empty: the system's"),    \
        SETTING_TEXT(type, member.sms.solapi_key, "SOLAPI_KEY", "", "Solapi: API key"),                                \
        SETTING_SECRET_OPTIONAL(type, member.sms.solapi_secret, "SOLAPI_SECRET", "Solapi: API secret"),                \
        SETTING_TEXT(type, member.sms.sens_service, "SENS_SERVICE_ID", "", "Naver SENS: service id"),                  \
        SETTING_TEXT(type, member.sms.sens_key, "SENS_ACCESS_KEY", "", "Naver SENS: access key"),                      \
        SETTING_SECRET_OPTIONAL(type, member.sms.sens_secret, "SENS_SECRET_KEY", "Naver SENS: secret key"),            \
        SETTING_I64(type, member.sms.senders, "SMS_SENDERS", "2", 1, 32, "messages sent at the same time"),            \
        SETTING_I64(type, member.sms.timeout_ms, "SMS_TIMEOUT_MS", "10000", 100, 25000, "of one call"),                \
        SETTING_SECRET_OPTIONAL(type, member.slack.token, "SLACK_TOKEN",                                               \
                                "bot token (xoxb-); empty and no SLACK_WEBHOOKS: local sink"),                         \
        SETTING_SECRET_OPTIONAL(type, member.slack.webhooks, "SLACK_WEBHOOKS",                                         \
                                "incoming webhooks, name=https://...,name=https://..."),                               \
        SETTING_SECRET_OPTIONAL(type, member.slack.signing_secret, "SLACK_SIGNING_SECRET",                             \
                                "what Slack signs its events with; empty: events are refused"),                        \
        SETTING_TEXT(type, member.slack.base_url, "SLACK_URL", "https://slack.com", "address of Slack's API"),         \
        SETTING_TEXT(type, member.slack.ca_file, "SLACK_CA", "",                                                       \
                     "file of certificates to trust; empty: the system's"),                                            \
        SETTING_TEXT(type, member.slack.channel_general, "SLACK_CHANNEL_GENERAL", "",                                  \
                     "where who joins the workspace is greeted: a channel's id or webhook:<name>"),                    \
        SETTING_TEXT(type, member.slack.channel_errors, "SLACK_CHANNEL_ERRORS", "", "where errors are told"),          \
        SETTING_TEXT(type, member.slack.channel_inquiries, "SLACK_CHANNEL_INQUIRIES", "", "where inquiries are told"), \
        SETTING_I64(type, member.slack.senders, "SLACK_SENDERS", "4", 1, 32, "messages sent at the same time"),        \
        SETTING_I64(type, member.slack.timeout_ms, "SLACK_TIMEOUT_MS", "5000", 100, 10000, "of one call"),             \
        SETTING_I64(type, member.slack.pace_ms, "SLACK_PACE_MS", "1000", 0, 60000,                                     \
                    "between two messages to one channel"),                                                            \
        SETTING_TEXT(type, member.sink_dir, "DATA_DIR", "data",                                                        \
                     "folder of the local sink, which takes what channels without settings would send")

struct channels;
struct slack;

/* ERR_BAD_INPUT with the setting's name when settings do not go together. The config must live on. */
struct channels *channels_open(const struct channels_config *config, struct err *err);
void channels_release(struct channels **channels); /* after the last send */

/* email, sms, slack, and one without a name at the end. */
const struct channel *channels_list(const struct channels *channels);
struct slack *channels_slack(struct channels *channels);

#endif
