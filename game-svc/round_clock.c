#include "round_clock.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "rounds.h"
#include "steps.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BEAT_MS = 20,       /* between two wake-ups; most of them look at a clock only */
    LOOK_MOST_MS = 200, /* between two looks: what others add (final accounts) waits no longer */
    FAILED_WAIT_MS = 500,
    POSTPONE_MS = 2000,   /* a step that can't be done comes again then */
    STEPS_IN_A_ROW = 100, /* then others get their turn, too */
};

struct round_clock {
    const struct game_app *app;
    struct rounds *rounds;
    int64_t look_ms; /* monotonic: the next look */
    bool adopted;
};

/* ---- metrics ---- */

static struct {
    struct metric *lateness, *steps;
    struct metric_child *commands, *orders, *news, *rounds, *phase, *number;
} figures;

static void make_figures(void)
{
    figures.lateness =
        metric_histogram("madang_game_step_lateness_seconds", "How late a step of the round clock was done", "step");
    figures.steps = metric_counter("madang_game_steps_total", "Steps of the round clock that were done here", "step");
    figures.commands =
        METRIC_CHILD(metric_counter("madang_game_commands_total", "Commands that were sent to markets (outbox)", NULL));
    figures.orders =
        METRIC_CHILD(metric_counter("madang_game_bot_orders_total", "Orders of bots among these commands", NULL));
    figures.news = METRIC_CHILD(metric_counter("madang_game_news_total", "News lines", NULL));
    figures.rounds = METRIC_CHILD(metric_counter("madang_game_rounds_total", "Rounds that were set up here", NULL));
    figures.phase = METRIC_CHILD(metric_gauge(
        "madang_game_round_phase", "Phase that this instance's last step left: 0 set-up, 1 open, 2 closed", NULL));
    figures.number = METRIC_CHILD(metric_gauge("madang_game_round_number", "Number of that round", NULL));
}

static void make_metrics(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_figures);
}

static void count_turn(const struct turn *turn)
{
    metric_add(figures.commands, turn->commands);
    metric_add(figures.orders, turn->orders);
    metric_set(figures.phase, turn->round->phase);
    metric_set(figures.number, turn->round->number);
}

static void count_step(const struct turn *turn)
{
    const char *name = step_name(turn->step.kind);
    const int64_t late_ms = turn->now_ms - turn->step.at_ms;
    metric_observe_us(METRIC_CHILD(figures.lateness, name), late_ms * 1000);
    metric_add(METRIC_CHILD(figures.steps, name), 1);
    metric_add(figures.news, turn->step.kind == STEP_NEWS);
    count_turn(turn);
}

static void log_round(const char *action, const struct round *round)
{
    log_event(LOG_INFO, action, LOG_TEXT("round", round->id_text), LOG_I64("number", round->number),
              LOG_TEXT("phase", round_phase_name(round->phase)));
}

static void log_step(const struct turn *turn)
{
    switch (turn->step.kind) {
    case STEP_START:
        log_round("round_open", turn->round);
        break;
    case STEP_CLOSE:
        log_round("round_closed", turn->round);
        break;
    case STEP_RANK:
        if (turn->step.number == 1)
            log_round("round_ranked", turn->round);
        break;
    default:
        break;
    }
}

/* ---- one step, one transaction ---- */

struct doing {
    const struct game_app *app;
    struct arena *arena;
    struct round round;
    struct turn turn;
    struct step step; /* the one in hand */
    struct uuid round_id;
    bool done; /* something was */
};

static bool do_due(struct pg_tx *tx, void *payload, struct err *err)
{
    struct doing *doing = payload;
    int64_t now_ms;
    arena_reset(doing->arena);
    if (!store_step_take(tx, &doing->step, &doing->round_id, &now_ms, &doing->done, err))
        return false;
    if (!doing->done)
        return true;
    if (!store_round_load(tx, doing->arena, &doing->round_id, &doing->round, err))
        return false;
    turn_begin(&doing->turn, doing->app, tx, doing->arena, &doing->round, now_ms);
    doing->turn.step = doing->step;
    return step_do(&doing->turn, err);
}

static bool do_set_up(struct pg_tx *tx, void *payload, struct err *err)
{
    struct doing *doing = payload;
    int64_t number, now_ms;
    arena_reset(doing->arena);
    if (!store_round_wanted(tx, &doing->done, &number, &now_ms, err))
        return false;
    return !doing->done || step_set_up(doing->app, tx, number, now_ms, &doing->turn, doing->arena, &doing->round, err);
}

static bool do_adopt(struct pg_tx *tx, void *payload, struct err *err)
{
    struct doing *doing = payload;
    int64_t now_ms;
    arena_reset(doing->arena);
    if (!store_round_lock(tx, doing->arena, &doing->round, &now_ms, &doing->done, err))
        return false;
    if (!doing->done)
        return true;
    turn_begin(&doing->turn, doing->app, tx, doing->arena, &doing->round, now_ms);
    step_adopt(&doing->turn);
    return turn_flush(&doing->turn, err);
}

bool round_clock_adopt(const struct game_app *app, struct err *err)
{
    AUTO(arena) arena = arena_open(TURN_ARENA_BYTES);
    struct doing doing = {.app = app, .arena = arena};
    return pg_transaction(app->db, do_adopt, &doing, err);
}

static bool set_up(struct doing *doing, struct err *err)
{
    if (!pg_transaction(doing->app->db, do_set_up, doing, err))
        return false;
    if (doing->done) {
        metric_add(figures.rounds, 1);
        count_turn(&doing->turn);
        log_round("round_set_up", &doing->round);
    }
    return true;
}

/* What failed for a reason of its own must not stop the clock: its log line tells. */
static void postpone(const struct doing *doing, const struct err *err)
{
    struct err second = {0};
    if (doing->done && !err_is(err, &ERR_UNAVAILABLE) &&
        !store_step_postpone(doing->app->db, &doing->round_id, &doing->step, POSTPONE_MS, &second))
        log_err("step_postpone", &second);
}

bool round_clock_look(const struct game_app *app, int64_t *wait_ms, struct err *err)
{
    AUTO(arena) arena = arena_open(TURN_ARENA_BYTES);
    struct doing doing = {.app = app, .arena = arena, .done = true};
    make_metrics();
    for (int i = 0; doing.done && i < STEPS_IN_A_ROW; i++) {
        doing.done = false;
        if (!pg_transaction(app->db, do_due, &doing, err)) {
            postpone(&doing, err);
            return false;
        }
        if (doing.done) {
            count_step(&doing.turn);
            log_step(&doing.turn);
        }
    }
    if (app->config->game && !set_up(&doing, err))
        return false;
    return store_steps_wait(app->db, LOOK_MOST_MS, wait_ms, err);
}

/* ---- the thread ---- */

static void beat(void *payload, unsigned round)
{
    struct round_clock *clock = payload;
    (void)round;
    if (clock_monotonic_ms() < clock->look_ms)
        return;
    struct err err = {0};
    int64_t wait_ms = FAILED_WAIT_MS;
    if (!clock->adopted)
        clock->adopted = round_clock_adopt(clock->app, &err);
    if (clock->adopted)
        (void)round_clock_look(clock->app, &wait_ms, &err);
    if (err.problem)
        log_err("round_clock", &err);
    clock->look_ms = clock_monotonic_ms() + wait_ms;
}

struct round_clock *round_clock_start(const struct game_app *app, struct err *err)
{
    struct round_clock *clock = MEM_NEW(round_clock);
    clock->app = app;
    make_metrics();
    clock->rounds = rounds_start(BEAT_MS, beat, clock, err);
    if (clock->rounds)
        return clock;
    free(clock);
    return NULL;
}

void round_clock_release(struct round_clock **clock)
{
    if (!*clock)
        return;
    rounds_release(&(*clock)->rounds);
    free(*clock);
    *clock = NULL;
}
