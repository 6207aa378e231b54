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

bool depth_patch(struct depth_side *side, bool falling, const struct depth_changes *changes)
{
    struct depth_level levels[3 * DEPTH_LEVELS];
    size_t count = 0, at = 0, change = 0;
    while (at < side->count || change < changes->count) {
        const struct depth_level *old = at < side->count ? &side->levels[at] : NULL,
                                 *new = change < changes->count ? &changes->levels[change] : NULL;
        if (!new || (old && better(old->price, new->price, falling))) {
            levels[count++] = *old;
            at++;
            continue;
        }
        if (old && old->price == new->price)
            at++;
        if (new->quantity > 0)
            levels[count++] = *new;
        change++;
    }
    if (count > DEPTH_LEVELS)
        return false;
    side->count = count;
    memcpy(side->levels, levels, count * sizeof levels[0]);
    return true;
}
