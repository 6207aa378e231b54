#include "lag.h"

#include <string.h>

/* Every other one goes, the first and the last stay. */
static void thin(struct lag *lag)
{
    size_t kept = 0;
    for (size_t i = 0; i < lag->mark_count; i += 2)
        lag->marks[kept++] = lag->marks[i];
    lag->mark_count = kept;
    lag->mark_step = lag->mark_step ? lag->mark_step * 2 : 2;
}

static void add_mark(struct lag *lag, int64_t offset)
{
    const struct lag_mark *last = lag->mark_count ? &lag->marks[lag->mark_count - 1] : NULL;
    if (last && (offset <= last->offset || lag->records - last->records < lag->mark_step))
        return;
    if (lag->mark_count == LAG_MARKS_MAX)
        thin(lag);
    lag->marks[lag->mark_count++] = (struct lag_mark){offset, lag->records};
}

/* The newest mark that is settled becomes the first. */
static void drop_settled(struct lag *lag, int64_t applied)
{
    size_t settled = 0;
    while (settled + 1 < lag->mark_count && lag->marks[settled + 1].offset <= applied)
        settled++;
    lag->mark_count -= settled;
    memmove(lag->marks, lag->marks + settled, lag->mark_count * sizeof *lag->marks);
}

void lag_heard(struct lag *lag, int64_t first_offset, int64_t next_offset, size_t records)
{
    if (!lag->mark_count)
        add_mark(lag, first_offset);
    lag->records += (int64_t)records;
    lag->next_offset = next_offset;
    add_mark(lag, next_offset);
}

int64_t lag_behind(struct lag *lag, int64_t applied)
{
    if (!applied || !lag->mark_count)
        return 0;
    if (applied >= lag->next_offset) { /* also what was heard since the last mark */
        lag->marks[0] = (struct lag_mark){lag->next_offset, lag->records};
        lag->mark_count = 1;
        lag->mark_step = 0;
        return 0;
    }
    drop_settled(lag, applied);
    const struct lag_mark *first = &lag->marks[0];
    return lag->records - first->records + (first->offset > applied ? first->offset - applied : 0);
}
