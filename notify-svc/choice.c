#include "choice.h"

#include "problems.h"

#include <ctype.h>
#include <string.h>

unsigned choice_channels(const struct kind *kind, unsigned asked, const struct choice *choice)
{
    unsigned channels = asked ? asked : kind->normally;
    if (choice && !kind->locked)
        channels = (channels & ~choice->named) | choice->wanted;
    return channels & kind->possible;
}

bool choice_change(struct choice *now, const struct choice *change, struct err *err)
{
    const struct kind *kind = change->kind;
    const unsigned defaults = kind->normally & change->named;
    if (kind->locked && change->wanted != (defaults & CHANNELS_CHOSEN))
        return err_set(err, &ERR_KIND_LOCKED, "%s can't be changed", kind->name);
    const unsigned impossible = change->wanted & ~kind->possible;
    for (int i = 0; i < CHANNELS; i++)
        if (impossible & (1u << i))
            return err_add_field(err, "/kinds", "%s does not go by %s", kind->name, CHANNEL_NAMES[i]);
    if (kind->locked)
        return true;
    const unsigned named = change->named & kind->possible;
    now->named |= named;
    now->wanted = (now->wanted & ~named) | (change->wanted & named);
    return true;
}

bool quiet_time_valid(const char *text)
{
    if (strlen(text) != 5 || text[2] != ':')
        return false;
    for (int i = 0; i < 5; i++)
        if (i != 2 && !isdigit((unsigned char)text[i]))
            return false;
    return (text[0] - '0') * 10 + text[1] - '0' < 24 && text[3] < '6';
}

bool quiet_zone_plausible(const char *text)
{
    const size_t length = strlen(text);
    if (length == 0 || length >= sizeof((struct quiet_hours *)0)->time_zone || !isupper((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_+-/", text[i]))
            return false;
    return true;
}
