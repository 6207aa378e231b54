#include "presence.h"

#include <stdlib.h>
#include <string.h>

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- signals -> connections ---- */

/* A close alone says nothing of how long the user was here before. */
static void take_signal(struct connection_news *news, const struct presence_signal *signal,
                        const struct presence_limits *limits, int64_t now_ms)
{
    const int64_t at_ms = earlier(signal->at_ms, now_ms);
    const bool first = news->n == 0;
    if (signal->n <= news->n || news->closed)
        return;
    news->n = signal->n;
    news->seen_ms = later(news->seen_ms, at_ms);
    if (signal->kind == SIGNAL_DOWN) {
        news->until_ms = first ? at_ms : earlier(news->until_ms, at_ms + limits->down_ms);
        news->closed = true;
    } else {
        news->until_ms = later(news->until_ms, at_ms + earlier(signal->lease_ms, limits->lease_ms));
    }
}

struct placed {
    const struct presence_signal *signal;
    size_t place;
};

static int by_connection(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    int order = strcmp(left->signal->connection, right->signal->connection);
    return order ? order : left->place < right->place ? -1 : 1;
}

size_t presence_fold(const struct presence_signal *signals, size_t count, const struct presence_limits *limits,
                     int64_t now_ms, struct connection_news *news)
{
    size_t used = 0;
    struct placed *sorted = calloc(count ? count : 1, sizeof *sorted);
    if (!sorted)
        abort();
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct placed){&signals[i], i};
    qsort(sorted, count, sizeof *sorted, by_connection);
    for (size_t i = 0; i < count; i++) {
        const struct presence_signal *signal = sorted[i].signal;
        if (!used || strcmp(news[used - 1].connection, signal->connection) != 0) {
            news[used] = (struct connection_news){0};
            memcpy(news[used].connection, signal->connection, UUID_TEXT_BYTES);
            memcpy(news[used].user_id, signal->user_id, UUID_TEXT_BYTES);
            used++;
        }
        if (strcmp(news[used - 1].user_id, signal->user_id) == 0) /* a connection has one user */
            take_signal(&news[used - 1], signal, limits, now_ms);
    }
    free(sorted);
    return used;
}

/* ---- connections -> a user ---- */

static enum presence_result changed(struct presence *presence)
{
    presence->n++;
    return PRESENCE_CHANGED;
}

enum presence_result presence_look(struct presence *presence, int64_t until_ms, int64_t seen_ms, int64_t now_ms)
{
    if (presence->withdrawn)
        return PRESENCE_SAME;
    if (until_ms > now_ms && presence->online) {
        /* beats only make it later, and then the earlier look finds it out: most of them need no write */
        if (until_ms >= presence->look_ms && presence->look_ms > now_ms)
            return PRESENCE_SAME;
        presence->look_ms = until_ms;
        return PRESENCE_STORED;
    }
    if (until_ms > now_ms) {
        presence->online = true;
        presence->look_ms = until_ms;
        presence->last_seen_ms = later(presence->last_seen_ms, seen_ms);
        return changed(presence);
    }
    if (!presence->online && seen_ms <= presence->last_seen_ms)
        return PRESENCE_SAME;
    presence->online = false; /* or was here for a moment that nobody saw */
    presence->look_ms = 0;
    presence->last_seen_ms = later(presence->last_seen_ms, seen_ms);
    return changed(presence);
}

enum presence_result presence_set(struct presence *presence, bool visible, bool show_last_seen)
{
    if (presence->visible == visible && presence->show_last_seen == show_last_seen)
        return PRESENCE_SAME;
    presence->visible = visible;
    presence->show_last_seen = show_last_seen;
    return changed(presence);
}

enum presence_result presence_withdraw(struct presence *presence)
{
    if (presence->withdrawn)
        return PRESENCE_SAME;
    const bool told = presence->n > 0;
    presence->withdrawn = true;
    presence->online = presence->visible = presence->show_last_seen = false;
    presence->look_ms = presence->last_seen_ms = 0;
    return told ? changed(presence) : PRESENCE_STORED;
}

struct presence_view presence_shown(const struct presence *presence)
{
    if (presence->withdrawn || !presence->visible) /* a time would tell that somebody hides */
        return (struct presence_view){0};
    return (struct presence_view){
        .online = presence->online,
        .last_seen_ms = presence->online || !presence->show_last_seen ? 0 : presence->last_seen_ms,
    };
}
