#include "depth_state.h"

/* Does `a` stand before `b` on its side? */
static bool better(int64_t a, int64_t b, bool falling)
{
    return falling ? a > b : a < b;
}

void depth_diff(const struct depth_side *before, const struct depth_side *after, bool falling,
                struct depth_changes *changes)
{
    size_t old = 0, new = 0;
    changes->count = 0;
    while (old < before->count || new < after->count) {
        const struct depth_level *was = old < before->count ? &before->levels[old] : NULL,
                                 *is = new < after->count ? &after->levels[new] : NULL;
        if (was && is && was->price == is->price) {
            if (was->quantity != is->quantity)
                changes->levels[changes->count++] = *is;
            old++, new ++;
        } else if (!is || (was && better(was->price, is->price, falling))) {
            changes->levels[changes->count++] = (struct depth_level){was->price, 0};
            old++;
        } else {
            changes->levels[changes->count++] = *is;
            new ++;
        }
    }
}
