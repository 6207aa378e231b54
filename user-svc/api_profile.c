#include "api.h"

#include "api_common.h"

#include <stdio.h>

/* ---- entity tags: the version of the account's copy and of the profile ---- */

static const char *profile_tag(struct arena *arena, const struct profile *profile)
{
    return arena_printf(arena, "\"%lld-%lld\"", (long long)profile->account_version,
                        (long long)profile->profile_version);
}

/* Does a list of tags (If-Match, If-None-Match) name this one? `weak` also takes W/"..." */
static bool tags_name(const char *list, const char *tag, bool weak)
{
    const size_t length = strlen(tag);
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        if (weak && strncmp(at, "W/", 2) == 0)
            at += 2;
        const size_t word = strcspn(at, ", \t");
        if (word == length && strncmp(at, tag, length) == 0)
            return true;
        at += word;
    }
    return false;
}

struct if_match {
    struct arena *arena;
    const char *header; /* NULL: any version will do */
};

static bool version_matches(const struct profile *now, const void *payload, struct err *err)
{
    const struct if_match *match = payload;
    if (!match->header || tags_name(match->header, profile_tag(match->arena, now), false))
        return true;
    return err_set(err, &ERR_STALE_VERSION, "the profile has changed since you read it");
}

static bool reply_own_profile(struct request *req, struct reply *reply, const struct profile *profile)
{
    const char *tag = profile_tag(req->arena, profile);
    const char *known = http_header(req, "If-None-Match");
    reply_header(reply, "ETag", tag);
    reply_header(reply, "Cache-Control", "private, no-cache");
    if (known && strcmp(req->method, "GET") == 0 && tags_name(known, tag, true))
        return reply_empty(reply, 304);
    codec_own_profile(&reply->body, profile, role_name(req->identity->role));
    return true;
}

/* GET /api/users/me -> my profile. Right after sign-up the account's event may be on its way: it is waited for up to a
 * second (it brings the e-mail), then what the token says must do. */
bool profile_own(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    const char *me = req->identity->user_id;
    struct profile profile;
    if (!store_find_profile(app->db, req->arena, me, &profile, err)) {
        if (!err_is(err, &ERR_NOT_FOUND))
            return false;
        err_clear(err);
        if (!store_make_own_row(app->db, req->identity, err))
            return false;
        if (!store_find_profile(app->db, req->arena, me, &profile, err))
            return err_is(err, &ERR_NOT_FOUND) ? err_set(err, &ERR_SESSION_ENDED, "the account was withdrawn") : false;
    }
    if (profile.account_version == 0 && req->waited_ms < RECORD_WAIT_MS)
        return http_try_again(req, RECORD_LOOK_MS);
    return reply_own_profile(req, reply, &profile);
}

/* PATCH /api/users/me {bio?, location?, interests?} -> my profile; null clears; 412 when If-Match names another
 * version. */
bool profile_change(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    struct profile_wish wish;
    if (!JSON_DECODE(req->arena, req->body, PROFILE_WISH_FIELDS, &wish, err) ||
        !profile_wish_clean(req->arena, &wish, err))
        return false;
    const struct if_match match = {req->arena, http_header(req, "If-Match")};
    const struct profile_change change = {
        .caller = req->identity,
        .origin = origin_of(req),
        .wish = &wish,
        .may = version_matches,
        .payload = &match,
    };
    struct profile after;
    return store_change_profile(app->db, req->arena, &change, &after, err) && reply_own_profile(req, reply, &after);
}

/* GET /api/users/:id -> a public profile, with what we are to each other; an admin also reads e-mail and role. */
bool profile_view(struct request *req, struct reply *reply, struct err *err)
{
    const struct user_app *app = req->app;
    const char *id = http_param_uuid(req, "id", err);
    struct profile profile;
    struct relation relation;
    if (!id)
        return false;
    const char *me = req->identity->user_id;
    const bool self = strcmp(id, me) == 0;
    if (self && !store_make_own_row(app->db, req->identity, err))
        return false;
    if (!store_view_profile(app->db, req->arena, id, me, &profile, &relation, err))
        return wait_for_copy(req, id, err);
    codec_public_profile(&reply->body, &profile, self ? "self" : relation_word(&relation, side_of(me, id)),
                         req->identity->role == ROLE_ADMIN);
    return true;
}
