#include "person.h"

#include "text.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>

void person_picture_url(const char *id, const char *avatar_key, char url[PICTURE_URL_BYTES])
{
    if (avatar_key) {
        (void)snprintf(url, PICTURE_URL_BYTES, "/files/user/%s", avatar_key);
        return;
    }
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    (void)snprintf(url, PICTURE_URL_BYTES, "/files/user/stock/%u", 1 + (hash >> 8) % STOCK_PICTURES);
}

/* ---- profile ---- */

struct profile profile_fresh(const char *id)
{
    return (struct profile){.person = {.id = id}, .email = "", .role = "", .bio = "", .location = ""};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Several lines: edges only. One line: text_trim also joins inner runs. */
static const char *clean_text(struct arena *arena, const char *text, bool multiline)
{
    char *clean = text_nfc(arena, text, multiline);
    if (!clean)
        return NULL;
    if (!multiline)
        return text_trim(arena, clean);
    size_t length = strlen(clean);
    while (length && is_space(clean[length - 1]))
        clean[--length] = '\0';
    while (is_space(*clean))
        clean++;
    return clean;
}

static bool clean_field(struct arena *arena, const char **text, const char *pointer, bool multiline, size_t max,
                        struct err *err)
{
    const char *clean = *text ? clean_text(arena, *text, multiline) : ""; /* null clears */
    if (!clean)
        return err_add_field(err, pointer, "control characters are not allowed");
    if (utf8_count(clean, strlen(clean)) > max)
        return err_add_field(err, pointer, "at most %zu characters", max);
    *text = clean;
    return true;
}

static bool interest_known(struct arena *arena, const struct texts *kept, const char *text)
{
    const char *folded = text_fold(arena, text);
    for (size_t i = 0; i < kept->count; i++) {
        const char *other = text_fold(arena, kept->items[i]);
        if (folded && other && strcmp(folded, other) == 0)
            return true;
    }
    return false;
}

static bool clean_interests(struct arena *arena, struct texts *interests, struct err *err)
{
    struct texts kept = {.items = arena_alloc(arena, (interests->count + 1) * sizeof(char *))};
    bool good = true;
    for (size_t i = 0; i < interests->count; i++) {
        const char *pointer = arena_printf(arena, "/interests/%zu", i);
        const char *text = interests->items[i];
        if (!clean_field(arena, &text, pointer, false, INTEREST_MAX, err))
            good = false;
        else if (!*text)
            good = err_add_field(err, pointer, "must not be blank");
        else if (!interest_known(arena, &kept, text))
            kept.items[kept.count++] = text;
    }
    *interests = kept;
    return good;
}

bool profile_wish_clean(struct arena *arena, struct profile_wish *wish, struct err *err)
{
    bool good = true;
    if (wish->bio_seen)
        good &= clean_field(arena, &wish->bio, "/bio", true, BIO_MAX, err);
    if (wish->location_seen)
        good &= clean_field(arena, &wish->location, "/location", false, LOCATION_MAX, err);
    if (wish->interests_seen)
        good &= clean_interests(arena, &wish->interests, err);
    return good;
}

/* ---- search ---- */

static const char *folded_or_empty(struct arena *arena, const char *text)
{
    const char *folded = text_fold(arena, text);
    return folded ? folded : "";
}

static size_t grams_add(struct arena *arena, const char **grams, size_t count, size_t room, const char *folded)
{
    size_t more = 0;
    const char **pieces = text_bigrams(arena, folded, &more);
    for (size_t i = 0; i < more && count < room; i++) {
        bool known = false;
        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(grams[k], pieces[i]) == 0;
        if (!known)
            grams[count++] = pieces[i];
    }
    return count;
}

struct search_names search_names_of(struct arena *arena, const char *handle, const char *nickname, const char *email)
{
    enum { ROOM = 512 }; /* two names of at most 256 pieces each */
    struct search_names names = {
        .handle = folded_or_empty(arena, handle),
        .nickname = folded_or_empty(arena, nickname),
        .email = folded_or_empty(arena, email),
        .grams = arena_alloc(arena, ROOM * sizeof(char *)),
    };
    names.gram_count = grams_add(arena, names.grams, 0, ROOM, names.nickname);
    names.gram_count = grams_add(arena, names.grams, names.gram_count, ROOM, names.handle);
    return names;
}

bool search_wish_read(struct arena *arena, const char *query, struct search_wish *wish, struct err *err)
{
    *wish = (struct search_wish){0};
    const char *clean = query && strlen(query) <= 4 * QUERY_MAX ? clean_text(arena, query, false) : NULL;
    wish->folded = clean ? text_fold(arena, clean) : NULL;
    const size_t letters = wish->folded ? utf8_count(wish->folded, strlen(wish->folded)) : 0;
    if (letters < QUERY_MIN || letters > QUERY_MAX)
        return err_add_field(err, "q", "%d to %d letters", QUERY_MIN, QUERY_MAX);
    wish->is_email = strchr(wish->folded, '@') && text_is_email(wish->folded);
    wish->grams = text_bigrams(arena, wish->folded, &wish->gram_count);
    return true;
}
