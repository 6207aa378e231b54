/* sms.h - text messages by a Korean provider. Pure functions but for sms_send. */
#ifndef MADANG_NOTIFY_SMS_H
#define MADANG_NOTIFY_SMS_H

#include "arena.h"
#include "channels.h"
#include "httpclient.h"

enum {
    SMS_BYTES_MAX = 90,   /* of EUC-KR; longer texts go as LMS */
    LMS_BYTES_MAX = 2000, /* longer ones are cut */
    SMS_SUBJECT_BYTES_MAX = 40,
    SMS_NUMBER_BYTES = 12,
};

/* Bytes of valid UTF-8 text after conversion to EUC-KR: one for ASCII, two for all else it has. What it lacks (emoji,
 * rare syllables) counts as two, as the providers send something in its place. */
size_t sms_bytes(const char *text);
/* The start of the text that is at most `max` such bytes, from the arena; whole code points. */
const char *sms_cut(struct arena *arena, const char *text, size_t max);
/* +82 10-1234-5678 or 010-1234-5678 -> 01012345678. False for anything but a Korean number. */
bool sms_number(const char *phone, char number[SMS_NUMBER_BYTES]);

/* One message as a provider gets it. */
struct sms {
    const char *from, *to; /* digits */
    const char *text;
    const char *subject; /* of an LMS */
    bool is_long;        /* LMS */
};

/* A provider: how its call is written and what its answers mean. */
struct sms_provider {
    const char *name, *base_url;
    /* ERR_BAD_INPUT with the setting's name when one is missing. */
    bool (*check)(const struct sms_config *config, struct err *err);
    /* Fills method, url, headers, body from the arena. */
    void (*write)(const struct sms_config *config, const char *base_url, struct arena *arena, const struct sms *sms,
                  struct http_call *call);
    void (*judge)(struct arena *arena, const struct http_answer *answer, struct outcome *outcome);
};
extern const struct sms_provider SMS_SOLAPI, SMS_SENS;

#endif
