#include "api_common.h"

#include "clock.h"

bool wait_for_copy(struct request *req, const char *id, struct err *err)
{
    const int64_t age_ms = clock_now_ms() - uuid_time_ms(id);
    const bool young = age_ms < COPY_YOUNG_MS && age_ms > -COPY_YOUNG_MS;
    if (err_is(err, &ERR_NOT_FOUND) && young && req->waited_ms < COPY_WAIT_MS)
        return http_try_again(req, COPY_LOOK_MS);
    return false;
}

bool page_read(struct request *req, char kind, struct page *page, struct err *err)
{
    *page = (struct page){0};
    const char *text = http_query(req, "cursor");
    if (text && !cursor_read(text, kind, &page->after, err))
        return false;
    page->goes_on = text != NULL;
    return http_query_i64(req, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &page->limit, err);
}

void page_open(struct str *out)
{
    json_open(out, NULL, '{');
    json_open(out, "items", '[');
}

void page_close(struct str *out, const struct cursor *last)
{
    char text[CURSOR_TEXT_BYTES];
    if (last)
        cursor_print(last, text);
    json_close(out, ']');
    json_text(out, "next_cursor", last ? text : NULL);
    json_close(out, '}');
}
