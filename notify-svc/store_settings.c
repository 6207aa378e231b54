#include "store.h"

#include "events.h"

#include <stdio.h>

static const struct pg_statement GET_PREFERENCES = {
    "get_preferences", "SELECT quiet_from, quiet_to, time_zone, version FROM preferences WHERE user_id = $1"};
static const struct pg_statement GET_CHOICES = {"get_choices",
                                                "SELECT kind, named, wanted FROM choices WHERE user_id = $1"};
static const struct pg_statement LOCK_PREFERENCES = {
    "lock_preferences", "INSERT INTO preferences AS p (user_id, version) VALUES ($1, 1) ON CONFLICT (user_id)"
                        " DO UPDATE SET version = p.version + 1"};
static const struct pg_statement SET_QUIET = {
    "set_quiet", "UPDATE preferences SET quiet_from = $2, quiet_to = $3, time_zone = $4 WHERE user_id = $1"};
static const struct pg_statement SET_CHOICES = {
    "set_choices", "INSERT INTO choices (user_id, kind, named, wanted) SELECT $1, kind, named, wanted"
                   " FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS c (kind, named, wanted)"
                   " ON CONFLICT (user_id, kind) DO UPDATE SET named = excluded.named, wanted = excluded.wanted"};
static const struct pg_statement FIND_ZONE = {"find_zone", "SELECT 1 FROM pg_timezone_names WHERE name = $1"};

/* A kind that is no longer in the table is forgotten. */
static void read_choices(const struct pg_result *rows, struct settings *settings)
{
    settings->choice_count = 0;
    for (int row = 0; row < pg_rows(rows); row++) {
        const struct kind *kind = kind_find(pg_text(rows, row, 0));
        if (kind && settings->choice_count < CHOICES_MAX)
            settings->choices[settings->choice_count++] =
                (struct choice){kind, (unsigned)pg_i64(rows, row, 1), (unsigned)pg_i64(rows, row, 2)};
    }
}

static void read_preferences(const struct pg_result *rows, struct settings *settings)
{
    settings->quiet = (struct quiet_hours){0};
    settings->version = 0;
    if (pg_rows(rows) == 0)
        return;
    settings->version = pg_i64(rows, 0, 3);
    if (pg_is_null(rows, 0, 2))
        return;
    (void)snprintf(settings->quiet.from, sizeof settings->quiet.from, "%s", pg_text(rows, 0, 0));
    (void)snprintf(settings->quiet.to, sizeof settings->quiet.to, "%s", pg_text(rows, 0, 1));
    (void)snprintf(settings->quiet.time_zone, sizeof settings->quiet.time_zone, "%s", pg_text(rows, 0, 2));
}

bool store_settings(struct pg_pool *db, const char *user_id, struct settings *settings, struct err *err)
{
    *settings = (struct settings){0};
    AUTO(pg_result) preferences = pg_query(db, &GET_PREFERENCES, PARAMS(PG_TEXT(user_id)), err);
    AUTO(pg_result) choices = preferences ? pg_query(db, &GET_CHOICES, PARAMS(PG_TEXT(user_id)), err) : NULL;
    if (!choices)
        return false;
    read_preferences(preferences, settings);
    read_choices(choices, settings);
    return true;
}

struct change_work {
    struct arena *arena;
    const char *user_id;
    const struct settings *wish;
    const struct origin *origin;
    struct settings *after;
};

static bool merge_choices(const struct settings *wish, struct settings *after, struct err *err)
{
    for (size_t i = 0; i < wish->choice_count; i++) {
        const struct choice *change = &wish->choices[i];
        const struct choice *found = settings_choice(after, change->kind);
        if (!found && after->choice_count == CHOICES_MAX)
            return err_set_internal(err, &ERR_INTERNAL, "more kinds than choices");
        const size_t at = found ? (size_t)(found - after->choices) : after->choice_count;
        after->choices[at].kind = change->kind;
        if (!choice_change(&after->choices[at], change, err))
            return false;
        after->choice_count += !found;
    }
    return true;
}

static bool write_choices(struct pg_tx *tx, const struct change_work *work, struct err *err)
{
    const struct settings *after = work->after;
    const size_t count = after->choice_count;
    const char **kinds = arena_alloc(work->arena, (count + 1) * sizeof(char *));
    int64_t *named = arena_alloc(work->arena, (count + 1) * sizeof(int64_t));
    int64_t *wanted = arena_alloc(work->arena, (count + 1) * sizeof(int64_t));
    for (size_t i = 0; i < count; i++) {
        kinds[i] = after->choices[i].kind->name;
        named[i] = after->choices[i].named;
        wanted[i] = after->choices[i].wanted;
    }
    return count == 0 || pg_tx_exec(tx, &SET_CHOICES,
                                    PARAMS(PG_TEXT(work->user_id), PG_TEXTS(kinds, count), PG_I64S(named, count),
                                           PG_I64S(wanted, count)),
                                    NULL, err);
}

static bool write_quiet(struct pg_tx *tx, const struct change_work *work, struct err *err)
{
    const struct quiet_hours *quiet = &work->wish->quiet;
    if (!work->wish->quiet_seen)
        return true;
    work->after->quiet = *quiet;
    if (!*quiet->time_zone)
        return pg_tx_exec(tx, &SET_QUIET, PARAMS(PG_TEXT(work->user_id), PG_NULL, PG_NULL, PG_NULL), NULL, err);
    AUTO(pg_result) zone = pg_tx_query(tx, &FIND_ZONE, PARAMS(PG_TEXT(quiet->time_zone)), err);
    if (!zone)
        return false;
    if (pg_rows(zone) == 0)
        return err_add_field(err, "/quiet_hours/time_zone", "there is no such time zone");
    return pg_tx_exec(
        tx, &SET_QUIET,
        PARAMS(PG_TEXT(work->user_id), PG_TEXT(quiet->from), PG_TEXT(quiet->to), PG_TEXT(quiet->time_zone)), NULL, err);
}

/* The row of preferences is locked by its new version before anything is read. */
static bool change(struct pg_tx *tx, void *payload, struct err *err)
{
    struct change_work *work = payload;
    const struct pg_params who = PARAMS(PG_TEXT(work->user_id));
    if (!pg_tx_exec(tx, &LOCK_PREFERENCES, who, NULL, err))
        return false;
    AUTO(pg_result) preferences = pg_tx_query(tx, &GET_PREFERENCES, who, err);
    AUTO(pg_result) choices = preferences ? pg_tx_query(tx, &GET_CHOICES, who, err) : NULL;
    if (!choices)
        return false;
    *work->after = (struct settings){0};
    read_preferences(preferences, work->after);
    read_choices(choices, work->after);
    if (!merge_choices(work->wish, work->after, err) || !write_choices(tx, work, err) || !write_quiet(tx, work, err))
        return false;
    const struct outbox_event event = event_settings(work->arena, work->user_id, work->after, work->origin);
    return outbox_add(tx, &event, err);
}

bool store_change_settings(struct pg_pool *db, struct arena *arena, const char *user_id, const struct settings *wish,
                           const struct origin *origin, struct settings *after, struct err *err)
{
    struct change_work work = {arena, user_id, wish, origin, after};
    return pg_transaction(db, change, &work, err);
}
