/* The rules, by tables. */
#include "presence.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

#define USER "0192d3a0-0000-7000-8000-00000000000a"
#define OTHER "0192d3a0-0000-7000-8000-00000000000b"
#define ONE "0192d3a0-0000-7000-8000-000000000001"
#define TWO "0192d3a0-0000-7000-8000-000000000002"

enum { LEASE = 90000, DOWN = 5000, NOW = 1000000 };
static const struct presence_limits LIMITS = {.lease_ms = LEASE, .down_ms = DOWN};

static struct presence_signal signal_of(const char *connection, enum signal_kind kind, int64_t n, int64_t at_ms)
{
    struct presence_signal signal = {.kind = kind, .n = n, .at_ms = at_ms, .lease_ms = LEASE};
    (void)snprintf(signal.connection, sizeof signal.connection, "%s", connection);
    (void)snprintf(signal.user_id, sizeof signal.user_id, "%s", USER);
    return signal;
}

/* ---- one connection's signals ---- */

TEST(signals_of_a_connection_fold_into_until_when_it_keeps_its_user_here, "P-35 M-49")
{
    static const struct {
        const char *what;
        struct {
            enum signal_kind kind;
            int64_t n, at_ms;
        } signals[5]; /* n 0 ends */
        int64_t n, seen_ms, until_ms;
        bool closed;
    } CASES[] = {
        {"up", {{SIGNAL_UP, 1, NOW}}, 1, NOW, NOW + LEASE, false},
        {"a beat alone is as good as an up", {{SIGNAL_BEAT, 7, NOW}}, 7, NOW, NOW + LEASE, false},
        {"beats make it longer",
         {{SIGNAL_UP, 1, NOW - 60000}, {SIGNAL_BEAT, 2, NOW - 30000}},
         2,
         NOW - 30000,
         NOW + 60000,
         false},
        {"up and down", {{SIGNAL_UP, 1, NOW - 9000}, {SIGNAL_DOWN, 2, NOW - 1000}}, 2, NOW - 1000, NOW + 4000, true},
        {"a close alone keeps nobody here", {{SIGNAL_DOWN, 2, NOW}}, 2, NOW, NOW, true},
        {"a close never makes it longer",
         {{SIGNAL_UP, 1, NOW - 200000}, {SIGNAL_DOWN, 2, NOW}},
         2,
         NOW,
         NOW - 200000 + LEASE,
         true},
        {"twice the same", {{SIGNAL_UP, 1, NOW - 50}, {SIGNAL_UP, 1, NOW}}, 1, NOW - 50, NOW - 50 + LEASE, false},
        {"an old one", {{SIGNAL_BEAT, 5, NOW - 50}, {SIGNAL_BEAT, 4, NOW}}, 5, NOW - 50, NOW - 50 + LEASE, false},
        {"nothing follows a close",
         {{SIGNAL_UP, 1, NOW}, {SIGNAL_DOWN, 2, NOW}, {SIGNAL_BEAT, 3, NOW}},
         2,
         NOW,
         NOW + DOWN,
         true},
        {"a clock that is ahead", {{SIGNAL_UP, 1, NOW + 5000000}}, 1, NOW, NOW + LEASE, false},
        {"a clock that goes back", {{SIGNAL_UP, 1, NOW}, {SIGNAL_BEAT, 2, NOW - 700}}, 2, NOW, NOW + LEASE, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct presence_signal signals[5];
        struct connection_news news[5];
        size_t count = 0;
        for (; count < 5 && CASES[i].signals[count].n; count++)
            signals[count] =
                signal_of(ONE, CASES[i].signals[count].kind, CASES[i].signals[count].n, CASES[i].signals[count].at_ms);
        bool good = presence_fold(signals, count, &LIMITS, NOW, news) == 1 && news[0].n == CASES[i].n &&
                    news[0].seen_ms == CASES[i].seen_ms && news[0].until_ms == CASES[i].until_ms &&
                    news[0].closed == CASES[i].closed;
        test_check(good, __FILE__, __LINE__, "%s: n %lld, seen %lld, until %lld, closed %d", CASES[i].what,
                   (long long)news[0].n, (long long)news[0].seen_ms - NOW, (long long)news[0].until_ms - NOW,
                   news[0].closed);
    }
}

TEST(a_lease_is_what_was_asked_for_and_at_most_the_setting, "P-35")
{
    struct connection_news news;
    struct presence_signal signal = signal_of(ONE, SIGNAL_UP, 1, NOW);
    signal.lease_ms = 3000;
    EXPECT_I64(1, presence_fold(&signal, 1, &LIMITS, NOW, &news));
    EXPECT_I64(NOW + 3000, news.until_ms);
    signal.lease_ms = 86400 * 1000;
    EXPECT_I64(1, presence_fold(&signal, 1, &LIMITS, NOW, &news));
    EXPECT_I64(NOW + LEASE, news.until_ms);
}

TEST(connections_stand_apart_and_each_has_one_user, "M-49")
{
    struct presence_signal signals[] = {signal_of(TWO, SIGNAL_UP, 1, NOW - 10), signal_of(ONE, SIGNAL_UP, 1, NOW - 20),
                                        signal_of(TWO, SIGNAL_DOWN, 2, NOW), signal_of(ONE, SIGNAL_DOWN, 2, NOW)};
    (void)snprintf(signals[3].user_id, sizeof signals[3].user_id, "%s", OTHER); /* a lie about ONE */
    struct connection_news news[4];
    EXPECT_I64(2, presence_fold(signals, 4, &LIMITS, NOW, news));
    EXPECT_TEXT(ONE, news[0].connection);
    EXPECT_TEXT(USER, news[0].user_id);
    EXPECT(!news[0].closed && news[1].closed);
    EXPECT_I64(0, presence_fold(signals, 0, &LIMITS, NOW, news));
}

/* ---- what connections say of a user ---- */

TEST(a_user_is_online_as_long_as_a_connection_says_so, "P-35 P-36 M-49")
{
    static const struct {
        const char *what;
        struct presence before;
        int64_t until_ms, seen_ms;
        enum presence_result result;
        struct presence after;
    } CASES[] = {
        {"comes",
         {.n = 4, .last_seen_ms = 5},
         NOW + 10,
         NOW,
         PRESENCE_CHANGED,
         {.online = true, .look_ms = NOW + 10, .last_seen_ms = NOW, .n = 5}},
        {"stays: a beat",
         {.online = true, .look_ms = NOW + 10, .n = 5},
         NOW + 99,
         NOW,
         PRESENCE_SAME,
         {.online = true, .look_ms = NOW + 10, .n = 5}},
        {"stays: the look was due",
         {.online = true, .look_ms = NOW - 1, .n = 5},
         NOW + 99,
         NOW,
         PRESENCE_STORED,
         {.online = true, .look_ms = NOW + 99, .n = 5}},
        {"closed a moment ago",
         {.online = true, .look_ms = NOW + 90, .n = 5},
         NOW + 50,
         NOW,
         PRESENCE_STORED,
         {.online = true, .look_ms = NOW + 50, .n = 5}},
        {"goes",
         {.online = true, .look_ms = NOW, .last_seen_ms = 7, .n = 5},
         NOW,
         NOW - 50,
         PRESENCE_CHANGED,
         {.last_seen_ms = NOW - 50, .n = 6}},
        {"goes with nothing left",
         {.online = true, .look_ms = NOW, .last_seen_ms = 7, .n = 5},
         0,
         0,
         PRESENCE_CHANGED,
         {.last_seen_ms = 7, .n = 6}},
        {"is away",
         {.last_seen_ms = NOW - 50, .n = 6},
         NOW - 10,
         NOW - 50,
         PRESENCE_SAME,
         {.last_seen_ms = NOW - 50, .n = 6}},
        {"was here and gone again unseen",
         {.last_seen_ms = 7, .n = 6},
         NOW - 10,
         NOW - 50,
         PRESENCE_CHANGED,
         {.last_seen_ms = NOW - 50, .n = 7}},
        {"never was", {.n = 0}, 0, 0, PRESENCE_SAME, {.n = 0}},
        {"withdrawn", {.withdrawn = true, .n = 3}, NOW + 99, NOW, PRESENCE_SAME, {.withdrawn = true, .n = 3}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct presence is = CASES[i].before;
        const struct presence *after = &CASES[i].after;
        enum presence_result result = presence_look(&is, CASES[i].until_ms, CASES[i].seen_ms, NOW);
        test_check(result == CASES[i].result && is.online == after->online && is.look_ms == after->look_ms &&
                       is.last_seen_ms == after->last_seen_ms && is.n == after->n && is.withdrawn == after->withdrawn,
                   __FILE__, __LINE__, "%s: result %d, online %d, look %lld, seen %lld, n %lld", CASES[i].what, result,
                   is.online, (long long)is.look_ms, (long long)is.last_seen_ms, (long long)is.n);
    }
}

TEST(settings_are_told_when_they_change, "P-36 P-42")
{
    struct presence presence = {.visible = true, .show_last_seen = true, .n = 9};
    EXPECT_I64(PRESENCE_SAME, presence_set(&presence, true, true));
    EXPECT_I64(PRESENCE_CHANGED, presence_set(&presence, false, true));
    EXPECT_I64(PRESENCE_CHANGED, presence_set(&presence, false, false));
    EXPECT_I64(11, presence.n);
    EXPECT(!presence.visible && !presence.show_last_seen);
}

TEST(who_withdraws_is_gone_once_and_for_good, "P-06")
{
    struct presence presence = {
        .online = true, .visible = true, .show_last_seen = true, .look_ms = 9, .last_seen_ms = 8, .n = 3};
    EXPECT_I64(PRESENCE_CHANGED, presence_withdraw(&presence));
    EXPECT(!presence.online && !presence.visible && !presence.last_seen_ms && presence.withdrawn);
    EXPECT_I64(4, presence.n);
    EXPECT_I64(PRESENCE_SAME, presence_withdraw(&presence));
    struct presence unknown = {.visible = true};
    EXPECT_I64(PRESENCE_STORED, presence_withdraw(&unknown)); /* nobody was told anything */
    EXPECT_I64(0, unknown.n);
}

TEST(friends_see_what_may_be_seen, "P-36 P-42")
{
    static const struct {
        struct presence presence;
        struct presence_view view;
    } CASES[] = {
        {{.online = true, .visible = true, .show_last_seen = true, .last_seen_ms = 5}, {true, 0}},
        {{.visible = true, .show_last_seen = true, .last_seen_ms = 5}, {false, 5}},
        {{.visible = true, .show_last_seen = true}, {false, 0}},
        {{.visible = true, .last_seen_ms = 5}, {false, 0}},
        {{.online = true, .visible = true, .last_seen_ms = 5}, {true, 0}},
        {{.online = true, .show_last_seen = true, .last_seen_ms = 5}, {false, 0}}, /* hides: nothing at all */
        {{.show_last_seen = true, .last_seen_ms = 5}, {false, 0}},
        {{.visible = true, .show_last_seen = true, .withdrawn = true, .last_seen_ms = 5}, {false, 0}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct presence_view view = presence_shown(&CASES[i].presence);
        EXPECT_I64(CASES[i].view.online, view.online);
        EXPECT_I64(CASES[i].view.last_seen_ms, view.last_seen_ms);
    }
}

/* ---- any history: the rule by rule result is what the definition says ---- */

/* Definition: online at a time when some connection has a signal that keeps its user here then. */
TEST(after_any_signals_in_any_batches_presence_is_as_defined, "P-35 M-49")
{
    enum { CONNECTIONS = 4, STEPS = 60, ROUNDS = 300 };
    for (int round = 0; round < ROUNDS; round++) {
        struct presence presence = {.visible = true};
        struct {
            int64_t n, until, seen;
            bool open, ever;
        } model[CONNECTIONS] = {{0}};
        int64_t now = NOW, told = 0;
        for (int step = 0; step < STEPS; step++) {
            now += (int64_t)(test_random() % 40000);
            size_t c = test_random() % CONNECTIONS;
            char id[UUID_TEXT_BYTES];
            (void)snprintf(id, sizeof id, "0192d3a0-0000-7000-8000-%012zx", c);
            bool may = !model[c].ever || model[c].open;
            if (may) {
                enum signal_kind kind = !model[c].open ? SIGNAL_UP : test_random() % 3 ? SIGNAL_BEAT : SIGNAL_DOWN;
                model[c].ever = true;
                model[c].n++;
                model[c].seen = now;
                model[c].open = kind != SIGNAL_DOWN;
                int64_t close = now + DOWN;
                model[c].until = kind != SIGNAL_DOWN ? now + LEASE : close < model[c].until ? close : model[c].until;
                if (!model[c].open && test_random() % 2) /* a next connection in its place, now and then */
                    model[c].ever = false;
            }
            int64_t until = 0, seen = 0;
            for (size_t i = 0; i < CONNECTIONS; i++) {
                until = model[i].until > until ? model[i].until : until;
                seen = model[i].seen > seen ? model[i].seen : seen;
            }
            told += presence_look(&presence, until, seen, now) == PRESENCE_CHANGED;
            EXPECT(presence.online == (until > now));
            EXPECT(!presence.online || (presence.look_ms > now && presence.look_ms <= until));
            EXPECT_I64(told, presence.n);
        }
    }
}
