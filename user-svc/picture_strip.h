/* picture_strip.h - a picture without what cameras and programs write into it besides the picture: place, time, names,
 * thumbnails of what was cropped away. Pure.
 *
 * Idea: what is known to be needed for showing the picture is copied, all else is left out; nothing is decoded. The one
 * thing that is kept of Exif is the orientation, in a block of its own that holds nothing else: without it pictures of
 * phones would lie on their side.
 *
 *     jpeg  frames, tables, scans; JFIF without its thumbnail, ICC profile, Adobe's colour transform; nothing behind
 * the end png   critical chunks, colour, transparency, animation webp  bitstreams, alpha, animation, ICC profile */
#ifndef MADANG_USER_PICTURE_STRIP_H
#define MADANG_USER_PICTURE_STRIP_H

#include "arena.h"
#include "str.h"

#include <stdbool.h>

/* `bytes` are of `type` by media_sniff(). False: the parts do not fit together. *clean lives in the arena, and is at
 * most PICTURE_STRIP_ROOM longer. */
enum { PICTURE_STRIP_ROOM = 64 };
bool picture_strip(struct arena *arena, struct view bytes, const char *type, struct view *clean);

#endif
