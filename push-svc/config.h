/* config.h - the settings of push-svc; README.md lists them. */
#ifndef MADANG_PUSH_CONFIG_H
#define MADANG_PUSH_CONFIG_H

#include "service.h"

struct push_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    const char *fcm_credentials; /* the service account's JSON; "": FCM's sends go to the sink */
    const char *fcm_url;
    const char *vapid_private_key; /* base64url of 32 bytes; "": web pushes go to the sink */
    const char *vapid_subject;     /* mailto: or https: */
    const char *web_hosts;         /* where subscriptions may point */
    const char *ca_file;           /* "": the system's */
    bool allow_inner;              /* tests: endpoints on loopback, any port */
    int64_t per_minute;            /* FCM sends of this process */
    int64_t streams;               /* in flight at once, per channel */
    int64_t send_timeout_ms;
    int64_t claim_seconds;
    int64_t backoff_ms;       /* first delay after UNAVAILABLE and INTERNAL */
    int64_t quota_backoff_ms; /* least delay after QUOTA_EXCEEDED without Retry-After */
    int64_t queue_max;
    int64_t devices_max;
    int64_t presence_wait_ms;
    int64_t keep_hours;
};

extern const struct setting PUSH_SETTINGS[];

#endif
