#include "errors.h"

#include <stdio.h>
#include <string.h>

COMMON_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const COMMON_PROBLEM_LIST[] = {COMMON_PROBLEMS(PROBLEM_LIST) NULL};

void err_clear(struct err *err)
{
    err->problem = NULL;
    err->message[0] = err->detail[0] = '\0';
    err->retry_after_s = 0;
    err->field_count = 0;
}

bool err_set(struct err *err, const struct problem *problem, const char *format, ...)
{
    err_clear(err);
    err->problem = problem;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return false;
}

bool err_set_internal(struct err *err, const struct problem *problem, const char *format, ...)
{
    err_clear(err);
    err->problem = problem;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->detail, sizeof err->detail, format, args);
    va_end(args);
    return false;
}

bool err_set_retry(struct err *err, const struct problem *problem, int retry_after_s, const char *format, ...)
{
    err_clear(err);
    err->problem = problem;
    err->retry_after_s = retry_after_s;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return false;
}

bool err_add_field(struct err *err, const char *pointer, const char *format, ...)
{
    if (!err->problem) {
        err_clear(err);
        err->problem = &ERR_BAD_INPUT;
    }
    if (err->field_count == ERR_FIELDS_MAX)
        return false;
    struct err_field *field = &err->fields[err->field_count++];
    (void)snprintf(field->pointer, sizeof field->pointer, "%s", pointer);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(field->message, sizeof field->message, format, args);
    va_end(args);
    return false;
}
