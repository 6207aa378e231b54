#include "log.h"

#include "clock.h"
#include "utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_BYTES = 4096, /* one write(2) of at most PIPE_BUF bytes is never mixed with another thread's */
    TAIL_BYTES = 32,   /* kept free for the mark of a shortened line, the bracket and the newline */
    TEXT_BYTES = 1024, /* of one value; more is cut */
};

static const char *const LEVEL_NAMES[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static const char *service_name = "", *instance_name = "";
static _Atomic int least_level = LOG_INFO;
static _Atomic(void (*)(const char *, const char *, size_t)) error_hearer; /* NULL: nobody */
static _Thread_local char thread_request_id[68], thread_trace_id[36];

/* A line under construction. What does not fit sets `full` and leaves the line as it was before the field. */
struct line {
    char bytes[LINE_BYTES];
    size_t length;
    bool full;
};

static void line_add_bytes(struct line *line, const char *bytes, size_t length)
{
    if (line->full || length > LINE_BYTES - TAIL_BYTES - line->length) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
}

static void line_add(struct line *line, const char *text)
{
    line_add_bytes(line, text, strlen(text));
}

static void line_add_escaped(struct line *line, unsigned char c)
{
    char text[8];
    if (c == '"' || c == '\\')
        (void)snprintf(text, sizeof text, "\\%c", c);
    else if (c == '\n')
        (void)snprintf(text, sizeof text, "\\n");
    else if (c == '\t')
        (void)snprintf(text, sizeof text, "\\t");
    else
        (void)snprintf(text, sizeof text, "\\u%04x", c);
    line_add(line, text);
}

static void line_add_text(struct line *line, const char *text)
{
    size_t length = strnlen(text, TEXT_BYTES + 1), at = 0;
    bool cut = length > TEXT_BYTES;
    line_add(line, "\"");
    while (at < length && at < TEXT_BYTES) {
        unsigned char c = (unsigned char)text[at];
        if (c >= 0x80) {
            uint32_t code;
            size_t size = utf8_decode(text + at, length - at, &code);
            if (!size && cut && length - at < 4)
                break; /* the cut went through a character */
            size ? line_add_bytes(line, text + at, size) : line_add(line, "\xef\xbf\xbd");
            at += size ? size : 1;
        } else {
            bool plain = c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
            plain ? line_add_bytes(line, text + at, 1) : line_add_escaped(line, c);
            at++;
        }
    }
    line_add(line, cut ? "...\"" : "\"");
}

static void line_add_value(struct line *line, const struct log_field *field)
{
    char number[40];
    switch (field->kind) {
    case LOG_KIND_TEXT:
        field->text ? line_add_text(line, field->text) : line_add(line, "null");
        return;
    case LOG_KIND_BOOL:
        line_add(line, field->number ? "true" : "false");
        return;
    case LOG_KIND_DOUBLE:
        (void)snprintf(number, sizeof number, "%.6g", field->real);
        line_add(line, isfinite(field->real) ? number : "null");
        return;
    case LOG_KIND_I64:
        (void)snprintf(number, sizeof number, "%" PRId64, field->number);
        line_add(line, number);
        return;
    }
}

static void line_add_field(struct line *line, const struct log_field *field)
{
    size_t before = line->length;
    if (line->full)
        return;
    line_add(line, line->length > 1 ? "," : "");
    line_add_text(line, field->name);
    line_add(line, ":");
    line_add_value(line, field);
    if (line->full)
        line->length = before;
}

static void line_add_named(struct line *line, const char *name, const char *text)
{
    if (*text)
        line_add_field(line, &LOG_TEXT(name, text));
}

/* The tail always fits: TAIL_BYTES are kept for it. */
static void line_end(struct line *line)
{
    const char *tail = line->full ? ",\"log.truncated\":true}\n" : "}\n";
    memcpy(line->bytes + line->length, tail, strlen(tail));
    line->length += strlen(tail);
}

void log_on_error(void (*hear)(const char *action, const char *line, size_t length))
{
    atomic_store_explicit(&error_hearer, hear, memory_order_release);
}

void log_open(const char *service, const char *instance, enum log_level level)
{
    service_name = service;
    instance_name = instance;
    atomic_store(&least_level, (int)level);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

void log_write(enum log_level level, const char *action, const struct log_field *fields, size_t count)
{
    struct line line;
    line.length = 0;
    line.full = false;
    char at[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms(), at);
    line_add(&line, "{");
    line_add_named(&line, "@timestamp", at);
    line_add_named(&line, "log.level", LEVEL_NAMES[level]);
    line_add_named(&line, "event.action", action);
    line_add_named(&line, "service.name", service_name);
    line_add_named(&line, "service.node.name", instance_name);
    line_add_named(&line, "http.request.id", thread_request_id);
    line_add_named(&line, "trace.id", thread_trace_id);
    for (size_t i = 0; i < count; i++)
        line_add_field(&line, &fields[i]);
    line_end(&line);
    /* A log that can't be written must not stop the service, and there is nobody else to tell. */
    ssize_t written = write(STDERR_FILENO, line.bytes, line.length);
    (void)written;
    void (*hear)(const char *, const char *, size_t) = atomic_load_explicit(&error_hearer, memory_order_acquire);
    if (hear && level == LOG_ERROR)
        hear(action, line.bytes, line.length - 1); /* without its end of line */
}

void log_err(const char *action, const struct err *err)
{
    if (!err->problem)
        return;
    const struct err_field *first = err->field_count ? &err->fields[0] : NULL;
    const struct log_field fields[] = {
        LOG_TEXT("error.type", err->problem->code),
        LOG_TEXT("error.message", *err->message ? err->message : err->problem->title),
        LOG_TEXT("error.detail", err->detail),
        LOG_TEXT("error.field", first ? first->pointer : ""),
        LOG_TEXT("error.field_message", first ? first->message : ""),
    };
    size_t count = first ? 5 : *err->detail ? 3 : 2;
    if (log_enabled(err->problem->level))
        log_write(err->problem->level, action, fields, count);
}

/* Some times in every request: not by printf. */
static void keep(char *out, size_t size, const char *text)
{
    const size_t length = text ? strnlen(text, size - 1) : 0;
    memcpy(out, text ? text : "", length);
    out[length] = '\0';
}

void log_set_request(const char *request_id, const char *trace_id)
{
    keep(thread_request_id, sizeof thread_request_id, request_id);
    keep(thread_trace_id, sizeof thread_trace_id, trace_id);
}

const char *log_request_id(void)
{
    return thread_request_id;
}

bool log_parse_level(const char *text, enum log_level *level)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(text, LEVEL_NAMES[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}
