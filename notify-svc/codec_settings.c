/* Settings <-> JSON. The members of `kinds` have the names of KINDS, so they are walked rather than listed. */
#include "codec.h"

#include <cjson/cJSON.h>
#include <stdio.h>

const struct choice *settings_choice(const struct settings *settings, const struct kind *kind)
{
    for (size_t i = 0; i < settings->choice_count; i++)
        if (settings->choices[i].kind == kind)
            return &settings->choices[i];
    return NULL;
}

struct raw_settings {
    const char *kinds, *quiet_hours;
    bool quiet_seen;
};
static const struct field SETTINGS_FIELDS[] = {
    FIELD_RAW(struct raw_settings, kinds),
    FIELD_RAW(struct raw_settings, quiet_hours, .nullable = true, FIELD_SEEN(struct raw_settings, quiet_seen)),
    {0},
};

struct raw_quiet {
    const char *from, *to, *time_zone;
};
static const struct field QUIET_FIELDS[] = {
    FIELD_TEXT(struct raw_quiet, from, .required = true, .max = 5),
    FIELD_TEXT(struct raw_quiet, to, .required = true, .max = 5),
    FIELD_TEXT(struct raw_quiet, time_zone, .required = true, .max = 63),
    {0},
};

static bool bad(struct err *err, const char *kind, const char *member, const char *why)
{
    char pointer[64];
    (void)snprintf(pointer, sizeof pointer, "/kinds/%s%s%s", kind, *member ? "/" : "", member);
    return err_add_field(err, pointer, "%s", why);
}

static bool read_choice(const cJSON *object, struct choice *choice, struct err *err)
{
    const cJSON *member;
    if (!cJSON_IsObject(object))
        return bad(err, choice->kind->name, "", "must be an object");
    cJSON_ArrayForEach(member, object)
    {
        const unsigned bit = channel_bit_of(member->string) & CHANNELS_CHOSEN;
        if (!bit)
            return bad(err, choice->kind->name, member->string, "inbox, push, email or slack");
        if (!cJSON_IsBool(member))
            return bad(err, choice->kind->name, member->string, "must be true or false");
        choice->named |= bit;
        choice->wanted |= cJSON_IsTrue(member) ? bit : 0;
    }
    return true;
}

static bool read_kinds(const char *json, struct settings *wish, struct err *err)
{
    cJSON *tree = cJSON_Parse(json);
    bool good = cJSON_IsObject(tree) || err_add_field(err, "/kinds", "must be an object");
    const cJSON *member;
    if (good)
        cJSON_ArrayForEach(member, tree)
        {
            const struct kind *kind = kind_find(member->string);
            if (!kind)
                good = bad(err, member->string, "", "there is no such kind");
            else if (wish->choice_count == CHOICES_MAX || settings_choice(wish, kind))
                good = bad(err, kind->name, "", "more than once");
            else {
                wish->choices[wish->choice_count].kind = kind;
                good = read_choice(member, &wish->choices[wish->choice_count++], err);
            }
            if (!good)
                break;
        }
    cJSON_Delete(tree);
    return good;
}

static bool read_quiet(struct arena *arena, const char *json, struct quiet_hours *quiet, struct err *err)
{
    struct raw_quiet raw;
    if (*json != '{')
        return err_add_field(err, "/quiet_hours", "must be null or {from, to, time_zone}");
    if (!JSON_DECODE(arena, view_of(json), QUIET_FIELDS, &raw, err))
        return false;
    if (!quiet_time_valid(raw.from))
        return err_add_field(err, "/quiet_hours/from", "a time of day like 22:00");
    if (!quiet_time_valid(raw.to) || strcmp(raw.from, raw.to) == 0)
        return err_add_field(err, "/quiet_hours/to", "a time of day like 07:00, other than from");
    if (!quiet_zone_plausible(raw.time_zone))
        return err_add_field(err, "/quiet_hours/time_zone", "a time zone like Asia/Seoul");
    (void)snprintf(quiet->from, sizeof quiet->from, "%s", raw.from);
    (void)snprintf(quiet->to, sizeof quiet->to, "%s", raw.to);
    (void)snprintf(quiet->time_zone, sizeof quiet->time_zone, "%s", raw.time_zone);
    return true;
}

bool codec_settings_wish(struct arena *arena, struct view body, struct settings *wish, struct err *err)
{
    struct raw_settings raw;
    *wish = (struct settings){0};
    if (!JSON_DECODE(arena, body, SETTINGS_FIELDS, &raw, err))
        return false;
    wish->quiet_seen = raw.quiet_seen;
    return (!raw.kinds || read_kinds(raw.kinds, wish, err)) &&
           (!raw.quiet_hours || strcmp(raw.quiet_hours, "null") == 0 ||
            read_quiet(arena, raw.quiet_hours, &wish->quiet, err));
}

void codec_quiet_hours(struct str *out, const char *name, const struct quiet_hours *quiet)
{
    if (!*quiet->time_zone) {
        json_text(out, name, NULL);
        return;
    }
    json_open(out, name, '{');
    json_text(out, "from", quiet->from);
    json_text(out, "to", quiet->to);
    json_text(out, "time_zone", quiet->time_zone);
    json_close(out, '}');
}

void codec_settings(struct str *out, const struct settings *settings)
{
    json_open(out, NULL, '{');
    json_open(out, "kinds", '{');
    for (const struct kind *kind = KINDS; kind->name; kind++) {
        const unsigned channels = choice_channels(kind, 0, settings_choice(settings, kind));
        json_open(out, kind->name, '{');
        for (int i = 0; i < CHANNELS; i++)
            if ((1u << i) & CHANNELS_CHOSEN)
                json_bool(out, CHANNEL_NAMES[i], (channels >> i) & 1);
        json_close(out, '}');
    }
    json_close(out, '}');
    codec_quiet_hours(out, "quiet_hours", &settings->quiet);
    json_close(out, '}');
}
