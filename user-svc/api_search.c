#include "api.h"

#include "api_common.h"

enum { CURSOR_SEARCH = 's' };

/* GET /api/users?q= -> page of {id, handle, nickname, avatar_url, email (masked)}. */
bool search_people(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    struct search_wish wish;
    struct page page;
    struct found *found;
    size_t count;
    if (!search_wish_read(req->arena, http_query(req, "q"), &wish, err) || !page_read(req, CURSOR_SEARCH, &page, err) ||
        !store_search(app->db, req->arena, &wish, req->identity->user_id, page_after(&page), page.limit, &found, &count, err))
        return false;
    const bool more = count > (size_t)page.limit;
    if (more)
        count = (size_t)page.limit;
    struct str *out = &reply->body;
    page_open(out);
    for (size_t i = 0; i < count; i++)
        codec_found(out, req->arena, &found[i].person, found[i].email);
    struct cursor last = {.kind = CURSOR_SEARCH};
    if (more) {
        last.number = found[count - 1].rank;
        memcpy(last.id, found[count - 1].person.id, sizeof last.id);
    }
    page_close(out, more ? &last : NULL);
    return true;
}
