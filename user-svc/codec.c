#include "codec.h"

#include "text.h"

const struct field PROFILE_WISH_FIELDS[] = {
    FIELD_TEXT(struct profile_wish, bio, .nullable = true, .max = BIO_MAX, FIELD_SEEN(struct profile_wish, bio_seen)),
    FIELD_TEXT(struct profile_wish, location, .nullable = true, .max = LOCATION_MAX,
               FIELD_SEEN(struct profile_wish, location_seen)),
    FIELD_TEXTS(struct profile_wish, interests, .nullable = true, .max = INTERESTS_MAX, .item_min = 1,
                .item_max = INTEREST_MAX, FIELD_SEEN(struct profile_wish, interests_seen)),
    {0},
};

/* ---- people ---- */

static void person_members(struct str *out, const struct person *person)
{
    char url[PICTURE_URL_BYTES];
    person_picture_url(person->id, person->avatar_key, url);
    json_text(out, "id", person->id);
    json_text(out, "handle", person->handle);
    json_text(out, "nickname", person->nickname);
    json_text(out, "avatar_url", url);
}

void codec_person(struct str *out, const char *name, const struct person *person)
{
    json_open(out, name, '{');
    person_members(out, person);
    json_close(out, '}');
}

void codec_person_at(struct str *out, const struct person *person, const char *time_name, int64_t at_ms)
{
    json_open(out, NULL, '{');
    codec_person(out, "user", person);
    json_time(out, time_name, at_ms);
    json_close(out, '}');
}

void codec_found(struct str *out, struct arena *arena, const struct person *person, const char *email)
{
    json_open(out, NULL, '{');
    person_members(out, person);
    if (*email)
        json_text(out, "email", text_mask_email(arena, email));
    json_close(out, '}');
}

static void profile_members(struct str *out, const struct profile *profile)
{
    person_members(out, &profile->person);
    json_text(out, "bio", profile->bio);
    if (*profile->location)
        json_text(out, "location", profile->location);
    json_open(out, "interests", '[');
    for (size_t i = 0; i < profile->interests.count; i++)
        json_text(out, NULL, profile->interests.items[i]);
    json_close(out, ']');
    json_time(out, "created_at", profile->created_ms);
}

static void private_members(struct str *out, const struct profile *profile, const char *role)
{
    json_text(out, "email", *profile->email ? profile->email : NULL);
    json_text(out, "role", role);
}

void codec_public_profile(struct str *out, const struct profile *profile, const char *relation, bool for_admin)
{
    json_open(out, NULL, '{');
    profile_members(out, profile);
    json_text(out, "relation", relation);
    if (for_admin)
        private_members(out, profile, profile->role);
    json_close(out, '}');
}

void codec_own_profile(struct str *out, const struct profile *profile, const char *role)
{
    json_open(out, NULL, '{');
    profile_members(out, profile);
    private_members(out, profile, role);
    json_close(out, '}');
}
