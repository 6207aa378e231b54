#include "http.h"

#include "json.h"

void problem_print(struct str *out, const struct err *err, bool korean, const char *request_id)
{
    const struct problem *problem = err->problem ? err->problem : &ERR_INTERNAL;
    json_open(out, NULL, '{');
    json_open(out, "type", '"'); /* urn:madang:problem:<code>: codes are plain, so the parts need no escapes */
    str_add(out, "urn:madang:problem:");
    str_add(out, problem->code);
    str_add_char(out, '"');
    json_text(out, "title", korean ? problem->title_ko : problem->title);
    json_i64(out, "status", problem->status);
    json_text(out, "code", problem->code);
    if (*err->message)
        json_text(out, "detail", err->message);
    if (request_id && *request_id)
        json_text(out, "request_id", request_id);
    if (err->field_count) {
        json_open(out, "errors", '[');
        for (int i = 0; i < err->field_count; i++) {
            json_open(out, NULL, '{');
            json_text(out, "pointer", err->fields[i].pointer);
            json_text(out, "detail", err->fields[i].message);
            json_close(out, '}');
        }
        json_close(out, ']');
    }
    json_close(out, '}');
}
