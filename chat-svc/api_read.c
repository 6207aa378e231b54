#include "api.h"

#include "api_common.h"
#include "store_rooms.h"
#include "store_search.h"
#include "text.h"
#include "utf8.h"

/* ---- marks ---- */

static bool mark_moved(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    int64_t unread;
    if (!change_answered(req, &event, err) ||
        !store_unread_in(app_of(req)->db, event.room_id, caller_of(req), &unread, err))
        return false;
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "unread", unread);
    json_close(&reply->body, '}');
    return true;
}

/* PUT /api/chat/rooms/:id/read {seq} -> {unread}. The mark never goes backwards. */
bool room_read(struct request *req, struct reply *reply, struct err *err)
{
    struct read_wish wish;
    const char *room_id;
    if (req->asked)
        return mark_moved(req, reply, err);
    if (!room_of_path(req, &room_id, err) || !JSON_DECODE(req->arena, req->body, READ_WISH_FIELDS, &wish, err))
        return false;
    struct mark mark = {caller_of(req), wish.seq};
    const struct command command = {
        .kind = COMMAND_READ, .room_id = room_id, .user_id = caller_of(req), .marks = &mark, .mark_count = 1};
    return change_ask(req, &command, err);
}

/* GET /api/chat/unread -> {total, rooms{}}: rooms that have any. */
bool unread_view(struct request *req, struct reply *reply, struct err *err)
{
    struct unread_room *rooms;
    size_t count;
    if (!store_unread(app_of(req)->db, req->arena, caller_of(req), &rooms, &count, err))
        return false;
    int64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += rooms[i].unread;
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "total", total);
    json_open(&reply->body, "rooms", '{');
    for (size_t i = 0; i < count; i++)
        json_i64(&reply->body, rooms[i].room_id, rooms[i].unread);
    json_close(&reply->body, '}');
    json_close(&reply->body, '}');
    return true;
}

/* ---- search ---- */

enum {
    QUERY_MIN = 2,
    QUERY_MAX = 100,
    SEARCH_ROUNDS = 4, /* statements of one page at most: each gives candidates, few of them fail the second look */
};

struct search {
    const char *folded;
    struct texts room_ids;
    struct page page;
    size_t found;
    struct cursor last; /* the last candidate that was looked at */
    bool more;
};

static bool read_query(struct request *req, struct search *search, struct err *err)
{
    const char *query = http_query(req, "q"), *trimmed = query ? text_trim(req->arena, query) : NULL;
    search->folded = trimmed ? text_fold(req->arena, trimmed) : NULL;
    const size_t letters = search->folded ? utf8_count(search->folded, strlen(search->folded)) : 0;
    return (letters >= QUERY_MIN && letters <= QUERY_MAX) ||
           err_add_field(err, "q", "%d to %d letters", QUERY_MIN, QUERY_MAX);
}

static bool read_room(struct request *req, const char **room_id, struct err *err)
{
    const char *text = http_query(req, "room");
    struct uuid uuid;
    *room_id = NULL;
    if (!text)
        return true;
    if (!uuid_parse(text, &uuid))
        return err_set(err, &ERR_NOT_FOUND, "no such room");
    char *lower = arena_alloc(req->arena, UUID_TEXT_BYTES);
    uuid_format(&uuid, lower);
    *room_id = lower;
    return true;
}

/* Tokens say which messages have all pairs of letters; whether they stand together is seen here. */
static void take_found(struct request *req, struct str *out, struct search *search, const struct candidate *candidates,
                       size_t count)
{
    for (size_t i = 0; i < count && search->found < (size_t)search->page.limit; i++) {
        const struct seen_message *seen = &candidates[i].seen;
        search->last = (struct cursor){.kind = 's', .number = candidates[i].at_us, .seq = seen->message.seq};
        memcpy(search->last.id, seen->message.room_id, sizeof search->last.id);
        search->more = i + 1 < count;
        const char *content = text_fold(req->arena, seen->message.content);
        if (!content || !strstr(content, search->folded))
            continue;
        codec_message(out, NULL, &seen->message, &seen->view);
        search->found++;
    }
}

static bool find_all(struct request *req, struct str *out, struct search *search, struct err *err)
{
    const struct cursor *after = page_after(&search->page);
    const size_t limit = (size_t)search->page.limit + 1;
    search->more = true;
    for (int round = 0; round < SEARCH_ROUNDS && search->more && search->found < (size_t)search->page.limit; round++) {
        struct candidate *candidates;
        size_t count;
        if (!store_search(app_of(req)->db, req->arena, caller_of(req), &search->room_ids, search->folded, after,
                          (int64_t)limit, &candidates, &count, err))
            return false;
        search->more = false;
        take_found(req, out, search, candidates, count);
        search->more = search->more || count == limit;
        after = &search->last;
    }
    return true;
}

/* GET /api/chat/search?q=&room= -> page of messages in my rooms, newest first. */
bool message_search(struct request *req, struct reply *reply, struct err *err)
{
    struct search search = {0};
    const char *room_id;
    if (!read_query(req, &search, err) || !read_room(req, &room_id, err) ||
        !page_read(req, 's', CURSOR_US_MAX, &search.page, err) ||
        !store_search_rooms(app_of(req)->db, req->arena, caller_of(req), room_id, &search.room_ids, err))
        return false;
    page_open(&reply->body);
    if (!find_all(req, &reply->body, &search, err))
        return false;
    page_close(&reply->body, search.more ? &search.last : NULL);
    return true;
}
