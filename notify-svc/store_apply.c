#include "store.h"

#include "applied.h"
#include "events.h"
#include "slack_target.h"
#include "uuid.h"

#include <stdlib.h>

/* ---- statements ---- */

static const struct pg_statement MAKE_INBOXES = {
    "make_inboxes",
    "INSERT INTO inboxes (user_id) SELECT u FROM unnest($1::uuid[]) AS u ORDER BY u ON CONFLICT DO NOTHING"};
/* In order of id: two batches with the same people never wait for each other in a circle. */
static const struct pg_statement LOCK_INBOXES = {
    "lock_inboxes", "SELECT user_id FROM inboxes WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR UPDATE"};
/* Held: who withdraws meanwhile does so after this batch, and then everything of his goes. */
static const struct pg_statement FIND_ACCOUNTS = {
    "find_accounts",
    "SELECT user_id, locale, withdrawn FROM accounts WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR SHARE"};
static const struct pg_statement FIND_CHOICES = {
    "find_choices", "SELECT user_id, kind, named, wanted FROM choices WHERE user_id = ANY ($1::uuid[])"
                    " AND kind = ANY ($2::text[]) ORDER BY user_id"};

/* Under the locks of all inboxes concerned. What a user has already, or twice in the batch, is left out before numbers
 * are given, so there are no gaps. */
static const struct pg_statement ADD_NOTICES = {
    "add_notices",
    "WITH asked AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], "
    "$7::text[],"
    "                                    $8::bigint[])"
    "                      WITH ORDINALITY AS n (user_id, id, kind, dedupe_id, title, body, data, at_ms, place)),"
    " fresh AS (SELECT DISTINCT ON (user_id, dedupe_id) * FROM asked a WHERE NOT EXISTS"
    "            (SELECT FROM notices n WHERE n.user_id = a.user_id AND n.dedupe_id = a.dedupe_id)"
    "            ORDER BY user_id, dedupe_id, place),"
    " numbered AS (SELECT f.*, i.last_seq + row_number() OVER (PARTITION BY user_id ORDER BY place) AS seq"
    "               FROM fresh f JOIN inboxes i USING (user_id)),"
    " added AS (INSERT INTO notices (user_id, seq, id, kind, dedupe_id, title, body, data, at)"
    "            SELECT user_id, seq, id, kind, dedupe_id, title, body, data, to_timestamp(at_ms / 1000.0) FROM "
    "numbered),"
    " tops AS (SELECT user_id, max(seq) AS top, count(*) AS count FROM numbered GROUP BY user_id)"
    " UPDATE inboxes i SET last_seq = t.top FROM tops t WHERE i.user_id = t.user_id RETURNING i.user_id, t.count"};

/* Push rows are over at once: the event leaves with this transaction. */
static const struct pg_statement ADD_DELIVERIES = {
    "add_deliveries",
    "INSERT INTO deliveries (channel, target, kind, dedupe_id, user_id, address, locale, title, body, secret, "
    "expires_at,"
    "                        state, done_at)"
    " SELECT channel, target, kind, dedupe_id, user_id, address, locale, title, body, secret,"
    "        to_timestamp(expires_ms / 1000.0), CASE channel WHEN 'push' THEN 'sent' ELSE 'waiting' END,"
    "        CASE channel WHEN 'push' THEN now() END"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], "
    "$9::text[],"
    "             $10::boolean[], $11::bigint[])"
    "      WITH ORDINALITY AS d (channel, target, kind, dedupe_id, user_id, address, locale, title, body, secret, "
    "expires_ms,"
    "                            place)"
    " ORDER BY place ON CONFLICT ON CONSTRAINT deliveries_once DO NOTHING RETURNING channel, target, dedupe_id"};

/* ---- what a batch becomes ---- */

struct person {
    const char *id;
    const char *locale; /* NULL: no account has come yet */
    bool withdrawn;
};

enum notice_column { N_USER, N_ID, N_KIND, N_DEDUPE, N_TITLE, N_BODY, N_DATA, N_COLUMNS };
enum delivery_column {
    D_CHANNEL,
    D_TARGET,
    D_KIND,
    D_DEDUPE,
    D_USER,
    D_ADDRESS,
    D_LOCALE,
    D_TITLE,
    D_BODY,
    D_SECRET,
    D_COLUMNS
};

struct batch_rows {
    struct apply_work *work;
    struct person *people; /* by id */
    size_t person_count;
    const struct pg_result *choices; /* by user id */
    const char **notices[N_COLUMNS];
    int64_t *notice_at;
    size_t notice_count;
    const char **deliveries[D_COLUMNS];
    int64_t *delivery_expires;
    struct push_notice *pushes; /* of each delivery that is a push */
    size_t delivery_count, delivery_room;
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct person *)a)->id, ((const struct person *)b)->id);
}

static const struct person *find_person(const struct batch_rows *rows, const char *id)
{
    const struct person key = {.id = id};
    return bsearch(&key, rows->people, rows->person_count, sizeof key, by_id);
}

/* Everybody that the records from `first` on speak of, each once. */
static void gather_people(struct batch_rows *rows, size_t first)
{
    const struct apply_work *work = rows->work;
    size_t most = 0;
    for (size_t i = first; i < work->batch->count; i++)
        most += work->requests[i].users.count;
    struct person *people = rows->people = arena_alloc(work->arena, (most + 1) * sizeof *people);
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++)
        for (size_t u = 0; u < work->requests[i].users.count; u++)
            people[count++].id = work->requests[i].users.items[u];
    qsort(people, count, sizeof *people, by_id);
    for (size_t i = 0; i < count; i++)
        if (rows->person_count == 0 || strcmp(people[rows->person_count - 1].id, people[i].id) != 0)
            people[rows->person_count++] = people[i];
}

static struct pg_param people_param(const struct batch_rows *rows)
{
    const char **ids = arena_alloc(rows->work->arena, (rows->person_count + 1) * sizeof(char *));
    for (size_t i = 0; i < rows->person_count; i++)
        ids[i] = rows->people[i].id;
    return PG_TEXTS(ids, rows->person_count);
}

static bool load_accounts(struct pg_tx *tx, struct batch_rows *rows, struct pg_param ids, struct err *err)
{
    AUTO(pg_result) found = pg_tx_query(tx, &FIND_ACCOUNTS, PARAMS(ids), err);
    if (!found)
        return false;
    for (int row = 0; row < pg_rows(found); row++) {
        struct person *person = (struct person *)find_person(rows, pg_text(found, row, 0));
        if (!person)
            continue;
        person->locale = arena_text(rows->work->arena, pg_text(found, row, 1));
        person->withdrawn = pg_bool(found, row, 2);
    }
    return true;
}

static struct pg_result *load_choices(struct pg_tx *tx, const struct batch_rows *rows, size_t first,
                                      struct pg_param ids, struct err *err)
{
    const struct apply_work *work = rows->work;
    const char **kinds = arena_alloc(work->arena, (work->batch->count + 1) * sizeof(char *));
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++)
        kinds[count++] = work->requests[i].kind->name;
    return pg_tx_query(tx, &FIND_CHOICES, PARAMS(ids, PG_TEXTS(kinds, count)), err);
}

/* Few rows per user: found by halves, then walked. */
static bool find_choice(const struct pg_result *choices, const char *user_id, const struct kind *kind,
                        struct choice *choice)
{
    int low = 0, high = pg_rows(choices);
    while (low < high) {
        const int middle = (low + high) / 2;
        if (strcmp(pg_text(choices, middle, 0), user_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < pg_rows(choices) && strcmp(pg_text(choices, low, 0), user_id) == 0; low++) {
        if (strcmp(pg_text(choices, low, 1), kind->name) == 0) {
            *choice = (struct choice){kind, (unsigned)pg_i64(choices, low, 2), (unsigned)pg_i64(choices, low, 3)};
            return true;
        }
    }
    return false;
}

/* ---- rows ---- */

/* One notice in one language for one recipient. */
struct telling {
    const struct notice_request *request;
    struct origin origin;
    const char *user_id; /* NULL: an address */
    const char *language, *title, *body;
    char id[UUID_TEXT_BYTES];
};

static void add_notice(struct batch_rows *rows, const struct telling *telling)
{
    const size_t at = rows->notice_count++;
    rows->notices[N_USER][at] = telling->user_id;
    rows->notices[N_ID][at] = arena_text(rows->work->arena, telling->id);
    rows->notices[N_KIND][at] = telling->request->kind->name;
    rows->notices[N_DEDUPE][at] = telling->request->dedupe_id;
    rows->notices[N_TITLE][at] = telling->title;
    rows->notices[N_BODY][at] = telling->body;
    rows->notices[N_DATA][at] = telling->request->args_json;
    rows->notice_at[at] = telling->request->at_ms;
}

static void add_delivery(struct batch_rows *rows, const struct telling *telling, const char *channel,
                         const char *address, const char *target)
{
    const struct kind *kind = telling->request->kind;
    const size_t at = rows->delivery_count++;
    const bool push = strcmp(channel, "push") == 0;
    rows->deliveries[D_CHANNEL][at] = channel;
    rows->deliveries[D_TARGET][at] = target;
    rows->deliveries[D_KIND][at] = kind->name;
    rows->deliveries[D_DEDUPE][at] = telling->request->dedupe_id;
    rows->deliveries[D_USER][at] = telling->user_id;
    rows->deliveries[D_ADDRESS][at] = address;
    rows->deliveries[D_LOCALE][at] = telling->language;
    rows->deliveries[D_TITLE][at] = push ? "" : telling->title; /* the event has the text */
    rows->deliveries[D_BODY][at] = push ? "" : telling->body;
    rows->deliveries[D_SECRET][at] = kind->secret ? "true" : "false";
    rows->delivery_expires[at] = telling->request->at_ms + kind->worth_s * 1000;
    if (push)
        rows->pushes[at] = (struct push_notice){.user_id = telling->user_id,
                                                .notice_id = arena_text(rows->work->arena, telling->id),
                                                .title = telling->title,
                                                .body = telling->body,
                                                .request = telling->request,
                                                .origin = telling->origin};
}

static struct telling telling_of(struct arena *arena, const struct notice_request *request,
                                 const struct kafka_record *record, const char *user_id, const char *locale)
{
    struct telling telling = {
        .request = request, .user_id = user_id, .origin = {record->request_id, record->traceparent}};
    telling.language = template_language(request->locale ? request->locale : locale);
    const struct words *words = kind_words(request->kind, telling.language);
    telling.title = template_fill(arena, words->title, &request->args, TITLE_POINTS_MAX);
    telling.body = template_fill(arena, words->body, &request->args, BODY_POINTS_MAX);
    uuid_new(telling.id);
    return telling;
}

static unsigned user_channels(const struct batch_rows *rows, const struct notice_request *request,
                              const struct person *person)
{
    struct choice choice;
    const bool chosen = find_choice(rows->choices, person->id, request->kind, &choice);
    return person->withdrawn ? 0 : choice_channels(request->kind, request->asked, chosen ? &choice : NULL);
}

/* One row for whoever Slack can reach of these; none when nobody is. `target` tells doubles. */
static bool tell_slack(struct pg_tx *tx, struct batch_rows *rows, const struct telling *telling,
                       const struct texts *users, const char *target, struct err *err)
{
    const struct slack_target_wish wish = {.kind = telling->request->kind->name,
                                           .user_ids = users->items,
                                           .user_count = users->count,
                                           .slack = telling->request->slack};
    const char *address, *reason;
    if (!slack_target_find(tx, rows->work->arena, rows->work->slack, &wish, &address, &reason, err))
        return false;
    if (address)
        add_delivery(rows, telling, "slack", address, target);
    return true;
}

static bool tell_user(struct pg_tx *tx, struct batch_rows *rows, size_t index, const struct person *person,
                      struct err *err)
{
    const struct notice_request *request = &rows->work->requests[index];
    const unsigned channels = user_channels(rows, request, person);
    if (channels == 0)
        return true;
    const struct telling telling =
        telling_of(rows->work->arena, request, &rows->work->batch->records[index], person->id, person->locale);
    if (channels & CHANNEL_INBOX)
        add_notice(rows, &telling);
    if (channels & CHANNEL_PUSH)
        add_delivery(rows, &telling, "push", NULL, person->id);
    if (channels & CHANNEL_EMAIL)
        add_delivery(rows, &telling, "email", NULL, person->id);
    if (channels & CHANNEL_SMS)
        add_delivery(rows, &telling, "sms", NULL, person->id);
    const struct texts one = {.items = (const char *[]){person->id}, .count = 1};
    return !(channels & CHANNEL_SLACK) || slack_target_is_group(request->kind->name) ||
           tell_slack(tx, rows, &telling, &one, person->id, err);
}

/* All users of the request in one conversation, each asked for their own choice. */
static bool tell_group(struct pg_tx *tx, struct batch_rows *rows, size_t index, struct err *err)
{
    const struct notice_request *request = &rows->work->requests[index];
    struct texts members = {.items = arena_alloc(rows->work->arena, (request->users.count + 1) * sizeof(char *))};
    for (size_t i = 0; i < request->users.count; i++) {
        const struct person *person = find_person(rows, request->users.items[i]);
        if (user_channels(rows, request, person) & CHANNEL_SLACK)
            members.items[members.count++] = person->id;
    }
    const struct telling telling =
        telling_of(rows->work->arena, request, &rows->work->batch->records[index], NULL, NULL);
    return members.count == 0 || tell_slack(tx, rows, &telling, &members, "group", err);
}

static bool tell_address(struct pg_tx *tx, struct batch_rows *rows, size_t index, struct err *err)
{
    const struct notice_request *request = &rows->work->requests[index];
    const unsigned channels = choice_channels(request->kind, request->asked, NULL);
    const struct telling telling =
        telling_of(rows->work->arena, request, &rows->work->batch->records[index], NULL, NULL);
    const struct texts nobody = {0};
    if (request->email && (channels & CHANNEL_EMAIL))
        add_delivery(rows, &telling, "email", request->email, request->email);
    if (request->phone && (channels & CHANNEL_SMS))
        add_delivery(rows, &telling, "sms", request->phone, request->phone);
    return !request->slack || !(channels & CHANNEL_SLACK) ||
           tell_slack(tx, rows, &telling, &nobody, request->slack, err);
}

static void make_room(struct batch_rows *rows, size_t first)
{
    struct arena *arena = rows->work->arena;
    size_t people = 0;
    for (size_t i = first; i < rows->work->batch->count; i++)
        people += rows->work->requests[i].users.count + 1;
    rows->delivery_room = people * CHANNELS;
    for (int column = 0; column < N_COLUMNS; column++)
        rows->notices[column] = arena_alloc(arena, people * sizeof(char *));
    rows->notice_at = arena_alloc(arena, people * sizeof(int64_t));
    for (int column = 0; column < D_COLUMNS; column++)
        rows->deliveries[column] = arena_alloc(arena, rows->delivery_room * sizeof(char *));
    rows->delivery_expires = arena_alloc(arena, rows->delivery_room * sizeof(int64_t));
    rows->pushes = arena_alloc(arena, rows->delivery_room * sizeof *rows->pushes);
}

static bool tell_all(struct pg_tx *tx, struct batch_rows *rows, size_t first, struct err *err)
{
    for (size_t i = first; i < rows->work->batch->count; i++) {
        const struct notice_request *request = &rows->work->requests[i];
        for (size_t u = 0; u < request->users.count; u++)
            if (!tell_user(tx, rows, i, find_person(rows, request->users.items[u]), err))
                return false;
        const bool group = request->users.count > 0 && slack_target_is_group(request->kind->name);
        if ((group && !tell_group(tx, rows, i, err)) || (request->users.count == 0 && !tell_address(tx, rows, i, err)))
            return false;
    }
    return true;
}

/* ---- the transaction ---- */

static bool insert_notices(struct pg_tx *tx, struct batch_rows *rows, struct err *err)
{
    struct apply_work *work = rows->work;
    work->woken = (struct texts){0};
    work->stored = 0;
    if (rows->notice_count == 0)
        return true;
#define COLUMN(name) PG_TEXTS(rows->notices[name], rows->notice_count)
    AUTO(pg_result)
    told = pg_tx_query(tx, &ADD_NOTICES,
                       PARAMS(COLUMN(N_USER), COLUMN(N_ID), COLUMN(N_KIND), COLUMN(N_DEDUPE), COLUMN(N_TITLE),
                              COLUMN(N_BODY), COLUMN(N_DATA), PG_I64S(rows->notice_at, rows->notice_count)),
                       err);
#undef COLUMN
    if (!told)
        return false;
    work->woken.items = arena_alloc(work->arena, ((size_t)pg_rows(told) + 1) * sizeof(char *));
    for (int row = 0; row < pg_rows(told); row++) {
        work->woken.items[work->woken.count++] = arena_text(work->arena, pg_text(told, row, 0));
        work->stored += pg_i64(told, row, 1);
    }
    return true;
}

/* What the statement gave back is in the order of what it was given, with the doubles left out. */
static bool send_pushes(struct pg_tx *tx, struct batch_rows *rows, const struct pg_result *added, struct err *err)
{
    enum { EVENTS_AT_ONCE = 500 };
    struct outbox_event *events = arena_alloc(rows->work->arena, EVENTS_AT_ONCE * sizeof *events);
    size_t count = 0, at = 0;
    for (int row = 0; row < pg_rows(added); row++, at++) {
        while (at < rows->delivery_count && (strcmp(rows->deliveries[D_CHANNEL][at], pg_text(added, row, 0)) != 0 ||
                                             strcmp(rows->deliveries[D_TARGET][at], pg_text(added, row, 1)) != 0 ||
                                             strcmp(rows->deliveries[D_DEDUPE][at], pg_text(added, row, 2)) != 0))
            at++;
        if (at == rows->delivery_count)
            return err_set_internal(err, &ERR_INTERNAL, "deliveries came back out of order");
        if (!rows->pushes[at].user_id) {
            rows->work->deliveries = true;
            continue;
        }
        events[count++] = event_push(rows->work->arena, &rows->pushes[at]);
        if (count == EVENTS_AT_ONCE) {
            if (!outbox_add_all(tx, events, count, err))
                return false;
            count = 0;
        }
    }
    return count == 0 || outbox_add_all(tx, events, count, err);
}

static bool insert_deliveries(struct pg_tx *tx, struct batch_rows *rows, struct err *err)
{
    rows->work->deliveries = false;
    if (rows->delivery_count == 0)
        return true;
#define COLUMN(name) PG_TEXTS(rows->deliveries[name], rows->delivery_count)
    AUTO(pg_result)
    added = pg_tx_query(tx, &ADD_DELIVERIES,
                        PARAMS(COLUMN(D_CHANNEL), COLUMN(D_TARGET), COLUMN(D_KIND), COLUMN(D_DEDUPE), COLUMN(D_USER),
                               COLUMN(D_ADDRESS), COLUMN(D_LOCALE), COLUMN(D_TITLE), COLUMN(D_BODY), COLUMN(D_SECRET),
                               PG_I64S(rows->delivery_expires, rows->delivery_count)),
                        err);
#undef COLUMN
    return added && send_pushes(tx, rows, added, err);
}

static bool apply_rows(struct pg_tx *tx, struct apply_work *work, size_t first, struct err *err)
{
    struct batch_rows rows = {.work = work};
    gather_people(&rows, first);
    const struct pg_param ids = people_param(&rows);
    if (!pg_tx_exec(tx, &MAKE_INBOXES, PARAMS(ids), NULL, err) ||
        !pg_tx_exec(tx, &LOCK_INBOXES, PARAMS(ids), NULL, err) || !load_accounts(tx, &rows, ids, err))
        return false;
    AUTO(pg_result) choices = load_choices(tx, &rows, first, ids, err);
    if (!choices)
        return false;
    rows.choices = choices;
    make_room(&rows, first);
    return tell_all(tx, &rows, first, err) && insert_notices(tx, &rows, err) && insert_deliveries(tx, &rows, err);
}

static bool apply_requests(struct pg_tx *tx, void *payload, struct err *err)
{
    struct apply_work *work = payload;
    size_t first = 0;
    return applied_begin(tx, work->batch, &first, err) &&
           (first == work->batch->count || apply_rows(tx, work, first, err)) && applied_end(tx, work->batch, err);
}

bool store_apply_requests(struct pg_pool *db, struct apply_work *work, struct err *err)
{
    return pg_transaction(db, apply_requests, work, err);
}
