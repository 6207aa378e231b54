#include "hub_internal.h"

#include "arena.h"
#include "clock.h"
#include "log.h"
#include "store.h"

#include <stdio.h>

enum {
    USERS_A_ROUND = 32,
    STREAMS_A_ROUND = 1024,
    HEADS_AT_ONCE = 2000,
    TICK_MS = 1000,
    AFTER_FAILURE_MS = 500,
    ROUND_ARENA_BYTES = 512 * 1024 * 1024, /* 32 users with 501 notices of at most 12 kB, thrice over */
};

/* A stream as it was when the round began: by number, because it may be gone when there is something to write. */
struct seen {
    uint64_t number;
    bool live;
    int64_t position, read_rev;
};

struct round_user {
    const char *id;
    struct seen *streams;
    size_t stream_count;
    struct head head;
    int64_t unread;
    /* what was asked and what came: slices of the round's arrays */
    bool ask_after, ask_fresh, ask_marks;
    int64_t after, least_rev;
    const struct user_notice *notices, *fresh;
    const char *const *texts, *const *fresh_texts; /* the events, one per notice */
    size_t notice_count, fresh_count;
    const struct user_mark *marks;
    size_t mark_count;
};

struct round {
    struct hub *hub;
    struct arena *arena;
    struct round_user users[USERS_A_ROUND];
    size_t count;
};

/* ---- what is to be looked at ---- */

static size_t count_streams(const struct hub_user *user)
{
    size_t count = 0;
    for (const struct stream *stream = user->streams; stream; stream = stream->next)
        count++;
    return count;
}

static void see_user(struct round *round, const struct hub_user *user)
{
    struct round_user *seen = &round->users[round->count++];
    *seen = (struct round_user){.id = arena_text(round->arena, user->id)};
    seen->streams = arena_alloc(round->arena, (count_streams(user) + 1) * sizeof *seen->streams);
    for (const struct stream *stream = user->streams; stream; stream = stream->next)
        seen->streams[seen->stream_count++] =
            (struct seen){stream->number, stream->live, stream->position, stream->read_rev};
}

/* The first woken users; they are asleep again. Under the lock. */
static void take_woken(struct round *round)
{
    struct hub *hub = round->hub;
    while (hub->woken_first && round->count < USERS_A_ROUND) {
        struct hub_user *user = hub->woken_first;
        hub_unmark(hub, user);
        see_user(round, user);
    }
}

/* ---- asking ---- */

static const char **user_ids(const struct round *round)
{
    const char **ids = arena_alloc(round->arena, (round->count + 1) * sizeof(char *));
    for (size_t i = 0; i < round->count; i++)
        ids[i] = round->users[i].id;
    return ids;
}

/* A client that claims more than there is stands at the end. */
static int64_t place_of(const struct round_user *user, int64_t position)
{
    return position < user->head.last_seq ? position : user->head.last_seq;
}

static void plan(struct round_user *user)
{
    user->after = user->head.last_seq;
    user->least_rev = user->head.read_rev;
    for (size_t i = 0; i < user->stream_count; i++) {
        const struct seen *seen = &user->streams[i];
        if (seen->position < 0 && !seen->live)
            user->ask_fresh = true;
        else if (seen->position < user->after)
            user->after = seen->position;
        if (seen->live && seen->read_rev < user->least_rev)
            user->least_rev = seen->read_rev;
    }
    user->ask_after = user->after < user->head.last_seq;
    user->ask_marks = user->least_rev < user->head.read_rev;
}

static const char *event_text(struct arena *arena, const struct notice *notice)
{
    AUTO_STR text;
    str_init(&text);
    str_printf(&text, "id: %lld\nevent: notification\ndata: ", (long long)notice->seq);
    codec_notice(&text, notice);
    str_add(&text, "\n\n");
    return arena_bytes(arena, text.bytes, text.length);
}

/* Gives each user its slice of `all`, which is in the order of what was asked. */
static void deal_notices(struct round *round, const struct user_notices *all, const size_t *owners,
                         const int64_t *fresh)
{
    const char **texts = arena_alloc(round->arena, (all->count + 1) * sizeof(char *));
    for (size_t i = 0; i < all->count;) {
        const size_t asked = all->items[i].user, first = i;
        for (; i < all->count && all->items[i].user == asked; i++)
            texts[i] = event_text(round->arena, &all->items[i].notice);
        struct round_user *user = &round->users[owners[asked]];
        if (fresh[asked]) {
            user->fresh = all->items + first;
            user->fresh_texts = texts + first;
            user->fresh_count = i - first;
        } else {
            user->notices = all->items + first;
            user->texts = texts + first;
            user->notice_count = i - first;
        }
    }
}

static bool ask_notices(struct round *round, struct err *err)
{
    const char *ids[2 * USERS_A_ROUND];
    int64_t after[2 * USERS_A_ROUND], fresh[2 * USERS_A_ROUND];
    size_t owners[2 * USERS_A_ROUND], count = 0;
    for (size_t i = 0; i < round->count; i++) {
        const struct round_user *user = &round->users[i];
        for (int kind = 0; kind < 2; kind++) {
            if (kind ? !user->ask_fresh : !user->ask_after)
                continue;
            ids[count] = user->id;
            after[count] = user->after;
            fresh[count] = kind;
            owners[count++] = i;
        }
    }
    struct user_notices all = {0};
    if (count == 0)
        return true;
    if (!store_notices_of(round->hub->options.db, round->arena, ids, after, fresh, count, REPLAY_MAX + 1, &all, err))
        return false;
    deal_notices(round, &all, owners, fresh);
    return true;
}

static bool ask_marks(struct round *round, struct err *err)
{
    const char *ids[USERS_A_ROUND];
    int64_t revs[USERS_A_ROUND];
    size_t owners[USERS_A_ROUND], count = 0;
    for (size_t i = 0; i < round->count; i++) {
        if (!round->users[i].ask_marks)
            continue;
        ids[count] = round->users[i].id;
        revs[count] = round->users[i].least_rev;
        owners[count++] = i;
    }
    struct user_marks all = {0};
    if (count == 0)
        return true;
    if (!store_marks_of(round->hub->options.db, round->arena, ids, revs, count, MARKS_MAX + 1, &all, err))
        return false;
    for (size_t i = 0; i < all.count;) {
        struct round_user *user = &round->users[owners[all.items[i].user]];
        const size_t asked = all.items[i].user;
        user->marks = all.items + i;
        for (; i < all.count && all.items[i].user == asked; i++)
            user->mark_count++;
    }
    return true;
}

static bool ask(struct round *round, struct err *err)
{
    const char **ids = user_ids(round);
    struct head heads[USERS_A_ROUND];
    int64_t unread[USERS_A_ROUND];
    if (!store_heads(round->hub->options.db, round->arena, ids, round->count, heads, err))
        return false;
    bool anything = false;
    for (size_t i = 0; i < round->count; i++) {
        struct round_user *user = &round->users[i];
        user->head = heads[i];
        plan(user);
        anything = anything || user->ask_after || user->ask_marks;
        for (size_t s = 0; s < user->stream_count; s++)
            anything = anything || !user->streams[s].live;
    }
    if (!anything) /* woken twice for one change */
        return true;
    if (!ask_notices(round, err) || !ask_marks(round, err) ||
        !store_unread_of(round->hub->options.db, ids, round->count, unread, err))
        return false;
    for (size_t i = 0; i < round->count; i++)
        round->users[i].unread = unread[i];
    return true;
}

/* ---- writing: under the lock ---- */

static void write_position(struct stream *stream, int64_t position)
{
    char text[48];
    const int length = snprintf(text, sizeof text, "id: %lld\n\n", (long long)position);
    stream_bytes(stream, text, (size_t)length);
}

/* hello {unread, seq, read_up_to}; `id` only where the client's position is known. */
static void write_hello(struct stream *stream, const struct round_user *user)
{
    char retry[32];
    const int length = snprintf(retry, sizeof retry, "retry: %d\n", RETRY_MS);
    AUTO_STR json;
    str_init(&json);
    json_open(&json, NULL, '{');
    json_i64(&json, "unread", user->unread);
    json_i64(&json, "seq", user->head.last_seq);
    json_i64(&json, "read_up_to", user->head.read_up_to);
    json_close(&json, '}');
    stream_bytes(stream, retry, (size_t)length);
    stream_event(stream, "hello", stream->position < 0 ? -1 : place_of(user, stream->position), json.bytes,
                 json.length);
}

static void write_reset(struct stream *stream, const struct round_user *user)
{
    AUTO_STR json;
    str_init(&json);
    json_open(&json, NULL, '{');
    json_i64(&json, "unread", user->unread);
    json_i64(&json, "seq", user->head.last_seq);
    json_close(&json, '}');
    stream_event(stream, "reset", user->head.last_seq, json.bytes, json.length);
    stream->position = user->head.last_seq;
}

static void write_texts(struct stream *stream, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        stream_bytes(stream, texts[i], strlen(texts[i]));
    if (count)
        metric_add(METRIC_CHILD(stream->hub->events, "notification"), (int64_t)count);
}

static size_t bytes_of(const char *const *texts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(texts[i]);
    return bytes;
}

/* Who says nothing gets the newest unread ones, then stands at the end. */
static void write_fresh(struct stream *stream, const struct round_user *user)
{
    size_t first = user->fresh_count > FRESH_MAX ? user->fresh_count - FRESH_MAX : 0;
    while (bytes_of(user->fresh_texts + first, user->fresh_count - first) > REPLAY_BYTES_MAX)
        first++;
    /* What came after the heads were asked is told in the next round: between two of them may lie one that was read. */
    size_t last = user->fresh_count;
    while (last > first && user->fresh[last - 1].notice.seq > user->head.last_seq)
        last--;
    write_texts(stream, user->fresh_texts + first, last - first);
    stream->position = user->head.last_seq;
    write_position(stream, stream->position);
}

/* What lies beyond the stream's position. True when it could not all be told: look again. */
static bool write_missed(struct stream *stream, const struct round_user *user, bool was_live)
{
    size_t first = 0;
    stream->position = place_of(user, stream->position);
    while (first < user->notice_count && user->notices[first].notice.seq <= stream->position)
        first++;
    const size_t count = user->notice_count - first;
    const bool cut = user->notice_count > REPLAY_MAX; /* the slowest stream's: there is more than was asked for */
    const bool much = (cut && first == 0) || bytes_of(user->texts + first, count) > REPLAY_BYTES_MAX;
    if (much && !was_live) {
        write_reset(stream, user);
        return false;
    }
    write_texts(stream, user->texts + first, count);
    if (count)
        stream->position = user->notices[user->notice_count - 1].notice.seq;
    if (!cut && stream->position < user->head.last_seq) /* the rest was swept */
        stream->position = user->head.last_seq;
    return stream->position < user->head.last_seq;
}

/* read {up_to, ids[], unread}: all up to `up_to` is read, and these ids beside; reload: too many to say. */
static void write_marks(struct stream *stream, const struct round_user *user)
{
    AUTO_STR json;
    str_init(&json);
    size_t told = 0;
    json_open(&json, NULL, '{');
    json_i64(&json, "up_to", user->head.read_up_to);
    json_open(&json, "ids", '[');
    for (size_t i = 0; i < user->mark_count && told < MARKS_MAX; i++)
        if (user->marks[i].rev > stream->read_rev) {
            json_text(&json, NULL, user->marks[i].id);
            told++;
        }
    json_close(&json, ']');
    if (user->mark_count > MARKS_MAX)
        json_bool(&json, "reload", true);
    json_i64(&json, "unread", user->unread);
    json_close(&json, '}');
    stream_event(stream, "read", -1, json.bytes, json.length);
}

static bool write_stream(struct stream *stream, const struct round_user *user)
{
    const bool was_live = stream->live;
    bool again = false;
    if (!was_live)
        write_hello(stream, user);
    stream->live = true;
    if (stream->position < 0)
        write_fresh(stream, user);
    else
        again = write_missed(stream, user, was_live);
    if (was_live && stream->read_rev < user->head.read_rev)
        write_marks(stream, user);
    if (stream->read_rev < user->head.read_rev || !was_live)
        stream->read_rev = user->head.read_rev;
    return again;
}

static struct stream *find_stream(const struct hub_user *user, uint64_t number)
{
    struct stream *stream = user->streams;
    while (stream && stream->number != number)
        stream = stream->next;
    return stream;
}

static void write_round(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        const struct round_user *seen = &round->users[i];
        struct hub_user *user = hub_find_user(round->hub, seen->id);
        bool again = false;
        for (size_t s = 0; user && s < seen->stream_count; s++) {
            struct stream *stream = find_stream(user, seen->streams[s].number);
            if (stream && write_stream(stream, seen))
                again = true;
        }
        if (again)
            hub_mark(round->hub, user);
    }
}

static void wake_again(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        struct hub_user *user = hub_find_user(round->hub, round->users[i].id);
        if (user)
            hub_mark(round->hub, user);
    }
}

/* ---- the regular look: who has more than their streams were told ---- */

static size_t all_users(struct hub *hub, struct arena *arena, const char ***ids)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&hub->lock);
    *ids = arena_alloc(arena, (hub->user_count + 1) * sizeof(char *));
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct hub_user *user = hub->buckets[i]; user; user = user->next)
            (*ids)[count++] = arena_text(arena, user->id);
    (void)pthread_mutex_unlock(&hub->lock);
    return count;
}

static void compare(struct hub *hub, const struct head *head)
{
    struct hub_user *user = hub_find_user(hub, head->user_id);
    for (const struct stream *stream = user ? user->streams : NULL; stream; stream = stream->next)
        if (!stream->live || stream->position < head->last_seq || stream->read_rev < head->read_rev)
            hub_mark(hub, user);
}

static bool look_at_all(struct hub *hub, struct arena *arena, struct err *err)
{
    const char **ids;
    const size_t count = all_users(hub, arena, &ids);
    struct head *heads = arena_alloc(arena, HEADS_AT_ONCE * sizeof *heads);
    for (size_t at = 0; at < count; at += HEADS_AT_ONCE) {
        const size_t some = count - at < HEADS_AT_ONCE ? count - at : HEADS_AT_ONCE;
        if (!store_heads(hub->options.db, arena, ids + at, some, heads, err))
            return false;
        (void)pthread_mutex_lock(&hub->lock);
        for (size_t i = 0; i < some; i++)
            compare(hub, &heads[i]);
        (void)pthread_mutex_unlock(&hub->lock);
    }
    return true;
}

/* ---- the thread ---- */

static void keep_alive(struct hub *hub, int64_t now_ms)
{
    (void)pthread_mutex_lock(&hub->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct hub_user *user = hub->buckets[i]; user; user = user->next)
            for (struct stream *stream = user->streams; stream; stream = stream->next)
                if (now_ms - stream->written_ms >= KEEP_ALIVE_MS)
                    stream_bytes(stream, ":\n\n", 3);
    (void)pthread_mutex_unlock(&hub->lock);
}

/* Until somebody is woken, or `until_ms`. False: the hub ends. */
static bool wait(struct hub *hub, int64_t until_ms, bool failed, bool *look)
{
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    (void)pthread_mutex_lock(&hub->lock);
    while (!hub->stop && (failed || (!hub->woken_first && !hub->look_all)) &&
           pthread_cond_timedwait(&hub->woken, &hub->lock, &until) == 0)
        ;
    *look = hub->look_all && !failed;
    if (*look)
        hub->look_all = false;
    const bool goes_on = !hub->stop;
    (void)pthread_mutex_unlock(&hub->lock);
    return goes_on;
}

static bool run_round(struct hub *hub, struct arena *arena, struct err *err)
{
    struct round *round = arena_alloc(arena, sizeof *round);
    round->hub = hub;
    round->arena = arena;
    (void)pthread_mutex_lock(&hub->lock);
    take_woken(round);
    (void)pthread_mutex_unlock(&hub->lock);
    if (round->count == 0)
        return true;
    const bool good = ask(round, err);
    (void)pthread_mutex_lock(&hub->lock);
    if (good)
        write_round(round);
    else
        wake_again(round);
    (void)pthread_mutex_unlock(&hub->lock);
    return good;
}

void *hub_pump_run(void *payload)
{
    struct hub *hub = payload;
    AUTO(arena) arena = arena_open(ROUND_ARENA_BYTES);
    int64_t now_ms = clock_monotonic_ms(), tick_ms = now_ms + TICK_MS, look_ms = now_ms + LOOK_MS;
    bool failed = false, look = false;
    while (wait(hub, failed ? now_ms + AFTER_FAILURE_MS : tick_ms, failed, &look)) {
        struct err err = {0};
        bool good = true;
        arena_reset(arena);
        now_ms = clock_monotonic_ms();
        if (now_ms >= tick_ms) {
            keep_alive(hub, now_ms);
            tick_ms = now_ms + TICK_MS;
        }
        if (look || now_ms >= look_ms) {
            good = look_at_all(hub, arena, &err);
            look_ms = now_ms + LOOK_MS;
        }
        arena_reset(arena);
        good = run_round(hub, arena, &err) && good;
        if (!good && !failed)
            log_err("streams_wait_for_store", &err);
        failed = !good;
        now_ms = clock_monotonic_ms();
    }
    return NULL;
}
