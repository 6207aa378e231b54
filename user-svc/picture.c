#include "picture.h"

#include "crypto.h"
#include "objstore.h"
#include "picture_strip.h"

#include <ctype.h>
#include <stdio.h>

enum { NAME_RANDOM_BYTES = 16, NAME_HEX = 2 * NAME_RANDOM_BYTES };

static const struct {
    const char *type, *ending;
} PICTURE_TYPES[] = {{"image/png", ".png"}, {"image/jpeg", ".jpg"}, {"image/webp", ".webp"}};

static const char *ending_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_LENGTH(PICTURE_TYPES); i++)
        if (strcmp(PICTURE_TYPES[i].type, type) == 0)
            return PICTURE_TYPES[i].ending;
    return NULL;
}

bool picture_name(struct view bytes, char key[PICTURE_KEY_BYTES], const char **type, struct err *err)
{
    if (bytes.length == 0)
        return err_set(err, &ERR_BAD_INPUT, "the body is empty: send the bytes of a picture");
    int width = 0, height = 0;
    *type = media_sniff(bytes, false, &width, &height);
    const char *ending = *type ? ending_of(*type) : NULL;
    if (!ending)
        return err_set(err, &ERR_MEDIA_TYPE, "a picture is a png, jpeg or webp");
    if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX ||
        (int64_t)width * height > PICTURE_PIXELS_MAX)
        return err_set(err, &ERR_BAD_INPUT, "a picture has 1 to %d pixels a side, and at most %d million in all",
                       PICTURE_SIDE_MAX, PICTURE_PIXELS_MAX / 1000000);
    unsigned char random[NAME_RANDOM_BYTES];
    char hex[NAME_HEX + 1];
    crypto_random(random, sizeof random);
    crypto_hex(random, sizeof random, hex);
    (void)snprintf(key, PICTURE_KEY_BYTES, "%s%s", hex, ending);
    return true;
}

bool picture_clean(struct arena *arena, struct view bytes, const char *type, struct view *clean, struct err *err)
{
    int width = 0, height = 0, clean_width = 0, clean_height = 0;
    (void)media_sniff(bytes, false, &width, &height);
    if (!picture_strip(arena, bytes, type, clean))
        return err_set(err, &ERR_BAD_INPUT, "the parts of the picture do not fit together");
    const char *now = media_sniff(*clean, false, &clean_width, &clean_height);
    return (now && strcmp(now, type) == 0 && clean_width == width && clean_height == height) ||
           err_set(err, &ERR_BAD_INPUT, "the parts of the picture do not fit together");
}

bool picture_name_valid(const char *key)
{
    for (int i = 0; i < NAME_HEX; i++)
        if (!isdigit((unsigned char)key[i]) && (key[i] < 'a' || key[i] > 'f'))
            return false;
    for (size_t i = 0; i < ARRAY_LENGTH(PICTURE_TYPES); i++)
        if (strcmp(PICTURE_TYPES[i].ending, key + NAME_HEX) == 0)
            return true;
    return false;
}

const char *picture_object(struct arena *arena, const char *key)
{
    return arena_printf(arena, "user/%s", key);
}
