/* picture.h - what a picture of a person may be, its name, and the four stock pictures. Pure.
 * A name is 32 random hex digits and the ending of its type: nobody guesses it, and its bytes never change. */
#ifndef MADANG_USER_PICTURE_H
#define MADANG_USER_PICTURE_H

#include "arena.h"
#include "errors.h"
#include "store.h"
#include "str.h"

enum {
    PICTURE_BYTES_MAX = 5 * 1024 * 1024,
    PICTURE_SIDE_MAX = 8192,           /* pixels */
    PICTURE_PIXELS_MAX = 40 * 1000000, /* what a phone can unpack */
};

/* A new name for bytes that are a png, jpeg or webp by their content; *type is the content type.
 * err: bad_input (empty, too many pixels), unsupported_media_type. */
bool picture_name(struct view bytes, char key[PICTURE_KEY_BYTES], const char **type, struct err *err);
/* The picture without what says more than it shows (picture_strip.h), as it is stored. err: bad_input. */
bool picture_clean(struct arena *arena, struct view bytes, const char *type, struct view *clean, struct err *err);
/* Could this name be one of ours? */
bool picture_name_valid(const char *key);
/* Where the picture lies in the object store. */
const char *picture_object(struct arena *arena, const char *key);

struct stock_picture {
    const unsigned char *bytes;
    size_t length;
};
extern const struct stock_picture STOCK_PICTURE_TABLE[]; /* STOCK_PICTURES of them, all png */

#endif
