/* log.h - one JSON line per event on stderr, with ECS field names.
 *     log_event(LOG_INFO, "login_refused", LOG_TEXT("reason", "bad_credentials"), LOG_I64("tries", 3));
 * Every line carries @timestamp, log.level, event.action, service.name, the instance, and the request id and trace id
 * of the thread when they are set. Never log secrets, tokens, codes, message texts or whole objects. Thread-safe: a
 * line is one write(2). A level below the setting LOG_LEVEL costs a compare. */
#ifndef MADANG_LOG_H
#define MADANG_LOG_H

#include "errors.h"

#include <stdint.h>

enum log_kind { LOG_KIND_TEXT, LOG_KIND_I64, LOG_KIND_BOOL, LOG_KIND_DOUBLE };

struct log_field {
    const char *name;
    enum log_kind kind;
    const char *text;
    int64_t number;
    double real;
};

#define LOG_TEXT(name_, value) ((struct log_field){.name = (name_), .kind = LOG_KIND_TEXT, .text = (value)})
#define LOG_I64(name_, value) ((struct log_field){.name = (name_), .kind = LOG_KIND_I64, .number = (int64_t)(value)})
#define LOG_BOOL(name_, value) ((struct log_field){.name = (name_), .kind = LOG_KIND_BOOL, .number = (value) ? 1 : 0})
#define LOG_DOUBLE(name_, value) ((struct log_field){.name = (name_), .kind = LOG_KIND_DOUBLE, .real = (value)})

#define log_event(level, action, ...)                                                                                  \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                                               \
            log_write((level), (action), log_fields_ + 1, sizeof log_fields_ / sizeof log_fields_[0] - 1);             \
        }                                                                                                              \
    } while (0)

/* Before the first thread starts. `service` and `instance` must live on. */
void log_open(const char *service, const char *instance, enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *action, const struct log_field *fields, size_t count);
/* A failure at an edge: problem, message and detail, at the problem's own level. */
void log_err(const char *action, const struct err *err);
/* Sets what the lines of this thread carry until the next call; NULL takes it away. Copied. */
void log_set_request(const char *request_id, const char *trace_id);
/* What was set for this thread; "" when nothing is. */
const char *log_request_id(void);
/* Called with each line of level error, on the thread that logs; must not log itself. NULL takes it away. */
void log_on_error(void (*hear)(const char *action, const char *line, size_t length));
bool log_parse_level(const char *text, enum log_level *level);

#endif
