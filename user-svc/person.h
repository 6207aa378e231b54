/* person.h - a person as others see one, a person's own profile, and what makes names searchable. Pure rules.
 * Texts are lent: they live as long as the arena or the rows they came from. */
#ifndef MADANG_PERSON_H
#define MADANG_PERSON_H

#include "arena.h"
#include "json.h"
#include "token.h"

#include <stdint.h>

enum {
    BIO_MAX = 500,
    LOCATION_MAX = 100,
    INTERESTS_MAX = 20,
    INTEREST_MAX = 30,
    QUERY_MIN = 2,
    QUERY_MAX = 254,
    STOCK_PICTURES = 4,
    PICTURE_URL_BYTES = 80,
};

struct person {
    const char *id, *handle, *nickname;
    const char *avatar_key; /* NULL: a stock picture */
};

struct profile {
    struct person person;
    const char *email; /* "" when unknown */
    const char *role, *bio, *location;
    struct texts interests;
    int64_t created_ms;
    int64_t account_version; /* 0: made from the token, the account's event has not come yet */
    int64_t profile_version;
    bool withdrawn;
};

/* A wish to change the profile: only what was in the body; null clears. */
struct profile_wish {
    const char *bio, *location;
    struct texts interests;
    bool bio_seen, location_seen, interests_seen;
};

/* Names as search compares them. `grams` are the distinct pieces of two code points of both names. */
struct search_names {
    const char *handle, *nickname, *email;
    const char **grams;
    size_t gram_count;
};

/* What a client asked search for. */
struct search_wish {
    const char *folded;
    bool is_email; /* only a whole e-mail can match */
    const char **grams;
    size_t gram_count;
};

/* Where the picture of a person is: "/files/user/<key>", or one of the stock pictures, always the same for an id. */
void person_picture_url(const char *id, const char *avatar_key, char url[PICTURE_URL_BYTES]);

/* The profile of somebody new: empty, a stock picture, version 0. */
struct profile profile_fresh(const char *id);

/* NFC, no control characters, no edge white space, interests without doubles. err names every wrong field. */
bool profile_wish_clean(struct arena *arena, struct profile_wish *wish, struct err *err);

struct search_names search_names_of(struct arena *arena, const char *handle, const char *nickname, const char *email);

/* bad_input when there are fewer than two letters (white space at the edges does not count) or too many. */
bool search_wish_read(struct arena *arena, const char *query, struct search_wish *wish, struct err *err);

#endif
