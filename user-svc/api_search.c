#include "api.h"

#include "api_common.h"

enum { CURSOR_SEARCH = 's' };

/* GET /api/users?q= -> page of {id, handle, nickname, avatar_url, email (masked)}. */
bool search_people(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    struct search_wish wish;
    struct page page;
    struct found_page found;
    if (!search_wish_read(req->arena, http_query(req, "q"), &wish, err) ||
        !page_read(req, CURSOR_SEARCH, CURSOR_MS_MAX, &page, err) ||
        !store_search(app->db, req->arena, &wish, req->identity->user_id, page_after(&page), page.limit, &found, err))
        return false;
    page_open(&reply->body);
    for (size_t i = 0; i < found.count; i++)
        codec_found(&reply->body, req->arena, &found.items[i].person, found.items[i].email);
    found.next.kind = CURSOR_SEARCH;
    page_close(&reply->body, found.more ? &found.next : NULL);
    return true;
}
