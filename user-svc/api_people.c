#include "api_people.h"

#include "metrics.h"

static const struct {
    char cursor;
    const char *time_name;
} LIST_FORMS[PEOPLE_LISTS] = {
    [LIST_FRIENDS] = {'f', "since"},
    [LIST_RECEIVED] = {'i', "sent_at"},
    [LIST_SENT] = {'o', "sent_at"},
    [LIST_BLOCKS] = {'b', "since"},
};

/* One statement, written straight from its rows: GET /api/friends is the hot path. */
bool people_list(struct request *req, struct reply *reply, enum people_list list, struct err *err)
{
    const struct user_app *app = req->app;
    struct page page;
    if (!page_read(req, LIST_FORMS[list].cursor, CURSOR_MS_MAX, &page, err))
        return false;
    AUTO(pg_result) rows = store_list(app->db, list, req->identity->user_id, page_after(&page), page.limit, err);
    if (!rows)
        return false;
    const bool more = pg_rows(rows) > page.limit;
    const int count = more ? (int)page.limit : pg_rows(rows);
    struct str *out = &reply->body;
    str_reserve(out, 64 + (size_t)count * 256);
    page_open(out);
    for (int row = 0; row < count; row++) {
        const struct person person = store_list_person(rows, row);
        codec_person_at(out, &person, LIST_FORMS[list].time_name, store_list_at_ms(rows, row));
    }
    struct cursor last = {.kind = LIST_FORMS[list].cursor};
    if (more) {
        last.number = store_list_at_ms(rows, count - 1);
        memcpy(last.id, store_list_person(rows, count - 1).id, sizeof last.id);
    }
    page_close(out, more ? &last : NULL);
    return true;
}

static bool print_outcome(const struct pair_change *change, struct reply *reply)
{
    const bool asked = change->action == ACTION_REQUEST;
    if (!asked && change->action != ACTION_ACCEPT)
        return reply_empty(reply, 204);
    const bool friends = change->relation.link == LINK_FRIENDS;
    reply->status = asked && change->outcome.changed && !friends ? 201 : 200;
    codec_person_at(&reply->body, &change->other, friends ? "since" : "sent_at", change->relation.since_ms);
    return true;
}

static void count_action(enum relation_action action, const char *result)
{
    static struct metric *actions;
    struct metric *family = __atomic_load_n(&actions, __ATOMIC_ACQUIRE);
    if (!family) { /* asking twice gives the same family */
        family = metric_counter("madang_user_relation_actions_total",
                                "Requests, answers, removals and blocks by result", "action,result");
        __atomic_store_n(&actions, family, __ATOMIC_RELEASE);
    }
    metric_add(METRIC_CHILD(family, relation_action_name(action), result), 1);
}

bool people_act(struct request *req, struct reply *reply, enum relation_action action, struct err *err)
{
    const struct user_app *app = req->app;
    const char *target = http_param_uuid(req, "user_id", err);
    if (!target)
        return false;
    struct pair_change change = {
        .caller = req->identity,
        .target = target,
        .action = action,
        .friends_max = app->config->friends_max,
        .origin = origin_of(req),
        .req = req,
        .reply = reply,
        .print = print_outcome,
        .arena = req->arena,
    };
    const bool good = store_change_pair(app->db, &change, err);
    if (!good && (action == ACTION_REQUEST || action == ACTION_BLOCK) && err_is(err, &ERR_NOT_FOUND))
        return wait_for_copy(req, target, err);
    count_action(action, good ? "ok" : err->problem->code);
    return good;
}
