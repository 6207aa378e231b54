#include "steps.h"

#include "bot.h"
#include "crypto.h"
#include "events.h"
#include "ranking_step.h"

enum {
    SECOND_MS = 1000,
    RESULT_LOOK_MS = 250, /* between two looks for the result that the next round waits for */
    UNANSWERED_MAX = 60   /* commands: news orders are left out until the market has caught up */
};

static int64_t news_every_ms(const struct turn *turn)
{
    return turn->app->config->news_seconds * SECOND_MS;
}

static int64_t refill_every_ms(const struct turn *turn)
{
    return turn->app->config->refill_seconds * SECOND_MS;
}

/* ---- the time left ---- */

/* When the phase ends; 0: it does not. */
static int64_t phase_end_ms(const struct round *round)
{
    const int64_t ends_ms[PHASES] = {round->opens_at_ms, round->closes_at_ms, round->next_at_ms};
    return ends_ms[round->phase];
}

static void plan_countdown(struct turn *turn)
{
    const int64_t end_ms = phase_end_ms(turn->round);
    if (end_ms)
        turn_step(turn, STEP_COUNTDOWN, 1,
                  round_next_countdown_ms(end_ms, turn->app->config->countdown_seconds * SECOND_MS, turn->now_ms));
}

static bool do_countdown(struct turn *turn, struct err *err)
{
    (void)err;
    const int64_t every_ms = turn->app->config->countdown_seconds * SECOND_MS;
    const int64_t end_ms = phase_end_ms(turn->round), left_ms = end_ms - turn->step.at_ms;
    /* One that is overdue would tell a time that is no longer true. */
    if (end_ms && left_ms > 0 && turn->now_ms - turn->step.at_ms < every_ms / 2)
        turn_event(turn, event_countdown(turn->arena, turn->round, (left_ms + SECOND_MS / 2) / SECOND_MS));
    plan_countdown(turn);
    return true;
}

/* ---- set-up ---- */

static void fill_companies(struct turn *turn, int count)
{
    struct round *round = turn->round;
    struct company_draw draws[MARKET_COMPANIES_MAX];
    companies_draw(round->seed, count, draws);
    round->company_count = count;
    for (int i = 0; i < count; i++) {
        struct company *company = &round->companies[i];
        *company = (struct company){
            .index = i,
            .name = draws[i].name->name,
            .name_en = draws[i].name->name_en,
            .business = draws[i].name->business,
            .initial_price = draws[i].price,
        };
        uuid_new(company->id_text);
        (void)uuid_parse(company->id_text, &company->id);
    }
}

static void new_round(struct turn *turn, int64_t number)
{
    const struct game_config *config = turn->app->config;
    struct round *round = turn->round;
    *round = (struct round){
        .number = number,
        .phase = PHASE_SETUP,
        .held = config->hold,
        .size_rule = config->size_rule,
        .bots = config->bots,
        .next_n = 1,
        .seed_cash = config->seed_cash,
        .tick = PRICE_UNIT,
        .price_min = PRICE_UNIT,
        .price_max = PRICE_MAX,
    };
    uuid_new(round->id_text);
    (void)uuid_parse(round->id_text, &round->id);
    crypto_random(&round->seed, sizeof round->seed);
    round_plan(round,
               &(struct round_lengths){.setup_ms = config->setup_seconds * SECOND_MS,
                                       .open_ms = config->open_seconds * SECOND_MS,
                                       .break_ms = config->break_seconds * SECOND_MS,
                                       .align = config->align && !config->hold},
               turn->now_ms);
    if (round->held) {
        round->opens_at_ms = turn->now_ms;
        round->closes_at_ms = round->next_at_ms = 0;
    }
    fill_companies(turn, (int)config->companies);
}

static void send_open(struct turn *turn)
{
    struct market_command open = {.kind = MARKET_OPEN, .open = round_rules(turn->round)};
    turn_command(turn, &open);
}

static void send_deposits(struct turn *turn)
{
    for (int bot = 0; bot <= BOT_TRADERS; bot++) {
        struct market_command command = {.kind = MARKET_DEPOSIT};
        command.deposit.deposit_id = round_command_id(turn->round, turn->round->next_n);
        command.deposit.account = bot_account(bot);
        command.deposit.cash = bot_cash(turn->app->config->book_factor);
        command.deposit.company_count = (uint8_t)turn->round->company_count;
        for (int i = 0; i < turn->round->company_count; i++)
            command.deposit.shares[i] = BOT_SHARES;
        turn_command(turn, &command);
    }
}

static void send_opening_book(struct turn *turn)
{
    struct quote quotes[BOOK_QUOTES_MAX];
    for (int i = 0; i < turn->round->company_count; i++) {
        const size_t count = companies_opening_book(turn->round->seed, i, turn->round->companies[i].initial_price,
                                                    turn->app->config->book_factor, quotes);
        for (size_t quote = 0; quote < count; quote++)
            turn_place(turn, 0, i, &quotes[quote]);
    }
}

bool step_set_up(const struct game_app *app, struct pg_tx *tx, int64_t number, int64_t now_ms, struct turn *turn,
                 struct arena *arena, struct round *round, struct err *err)
{
    turn_begin(turn, app, tx, arena, round, now_ms);
    new_round(turn, number);
    /* First, since what follows refers to it. */
    if (!store_round_insert(tx, round, err))
        return false;
    send_open(turn);
    send_deposits(turn);
    send_opening_book(turn);
    turn_event(turn, event_round(arena, round));
    turn_step(turn, STEP_START, 1, round->opens_at_ms);
    plan_countdown(turn);
    return turn_flush(turn, err);
}

/* ---- trading ---- */

static bool do_start(struct turn *turn, struct err *err)
{
    (void)err;
    struct market_command start = {.kind = MARKET_START};
    if (turn->round->phase != PHASE_SETUP)
        return true;
    round_start(turn->round, turn->app->config->align, turn->now_ms);
    turn_command(turn, &start);
    turn_event(turn, event_round(turn->arena, turn->round));
    if (turn->round->bots)
        turn_step(turn, STEP_REFILL, 1, round_next_refill_ms(turn->round, refill_every_ms(turn), turn->now_ms));
    turn_step(turn, STEP_NEWS, 1, round_news_at_ms(turn->round, 1, news_every_ms(turn), turn->now_ms));
    turn_step(turn, STEP_CLOSE, 1, turn->round->closes_at_ms);
    plan_countdown(turn);
    return true;
}

/* The number of the last command that is known to be answered: the log is one, so all before it are answered, too. */
static int64_t last_heard(const struct progress *progress)
{
    int64_t heard = 0;
    for (int i = 0; i < progress->company_count; i++)
        heard = progress->heard_n[i] > heard ? progress->heard_n[i] : heard;
    return heard;
}

static bool read_progress(struct turn *turn, struct progress **progress, struct err *err)
{
    const char *id = turn->round->id_text;
    const struct texts ids = {&id, 1};
    size_t count;
    if (!store_progress_read(turn->tx, turn->arena, &ids, progress, &count, err))
        return false;
    return count == 1 || err_set_internal(err, &ERR_INTERNAL, "round %s has no progress", id);
}

static void refill_company(struct turn *turn, const struct company *company, const struct progress *progress)
{
    struct depth_state depth;
    struct quote quotes[REFILL_QUOTES_MAX];
    const struct market_rules rules = round_rules(turn->round);
    /* The book as it was before the last orders would be refilled twice (S-22: what lags would be flooded). */
    if (company->bot_sent_n > last_heard(progress) || !depth_find(turn->app->depth, company->id_text, &depth) ||
        depth.seq < progress->heard_seq[company->index] || depth.halted)
        return;
    struct chance chance =
        chance_of(turn->round->seed, "refill", turn->step.number * MARKET_COMPANIES_MAX + company->index);
    const size_t count = bot_refill(&chance, &depth, &rules, turn->app->config->bot_strength, quotes);
    for (size_t i = 0; i < count; i++)
        turn_place(turn, 0, company->index, &quotes[i]);
}

static bool do_refill(struct turn *turn, struct err *err)
{
    const int64_t every_ms = refill_every_ms(turn);
    struct progress *progress;
    if (turn->round->phase != PHASE_OPEN)
        return true;
    if (!read_progress(turn, &progress, err))
        return false;
    if (turn->now_ms - turn->step.at_ms < every_ms)
        for (int i = 0; i < turn->round->company_count; i++)
            refill_company(turn, &turn->round->companies[i], progress);
    turn_step(turn, STEP_REFILL, turn->step.number + 1, round_next_refill_ms(turn->round, every_ms, turn->now_ms));
    return true;
}

static bool do_news(struct turn *turn, struct err *err)
{
    const struct game_config *config = turn->app->config;
    const int64_t number = turn->step.number;
    if (turn->round->phase != PHASE_OPEN)
        return true;
    const struct news_draw draw = news_draw(turn->round->seed, number, turn->round->company_count);
    if (!store_news_add(turn->tx, turn->round, number, &draw, err))
        return false;
    turn_event(turn, event_news(turn->arena, turn->round, &draw));
    const int64_t first_ms = turn->now_ms + news_delay_ms(turn->round->seed, number, config->bot_delay_ms);
    for (int order = 0; turn->round->bots && order < NEWS_ORDERS; order++)
        turn_step(turn, STEP_BOT_ORDER, number * NEWS_ORDERS + order, first_ms + order * config->bot_gap_ms);
    turn_step(turn, STEP_NEWS, number + 1,
              round_news_at_ms(turn->round, number + 1, news_every_ms(turn), turn->now_ms));
    return true;
}

static bool do_bot_order(struct turn *turn, struct err *err)
{
    const int64_t news = turn->step.number / NEWS_ORDERS;
    struct progress *progress;
    int company;
    int64_t weight;
    bool found;
    if (turn->round->phase != PHASE_OPEN)
        return true;
    if (!store_news_find(turn->tx, turn->round, news, &company, &weight, &found, err) ||
        !read_progress(turn, &progress, err))
        return false;
    if (!found || turn->round->next_n - 1 - last_heard(progress) > UNANSWERED_MAX)
        return true;
    const struct news_order order = news_order(turn->round->seed, news, weight, (int)(turn->step.number % NEWS_ORDERS),
                                               turn->app->config->bot_strength);
    turn_place(turn, order.bot, company, &(struct quote){order.side, 0, order.quantity});
    return true;
}

/* ---- the end ---- */

static bool do_close(struct turn *turn, struct err *err)
{
    struct market_command close = {.kind = MARKET_CLOSE};
    struct round *round = turn->round;
    if (round->phase == PHASE_CLOSED)
        return true;
    round->phase = PHASE_CLOSED;
    round->closed_at_ms = turn->now_ms;
    if (!round->closes_at_ms) {
        round->closes_at_ms = round->next_at_ms = turn->now_ms;
    }
    turn_command(turn, &close);
    turn_event(turn, event_round(turn->arena, round));
    turn_step(turn, STEP_NEXT, 1, round->next_at_ms);
    plan_countdown(turn);
    return store_steps_drop_running(turn->tx, round, err);
}

static bool do_rank(struct turn *turn, struct err *err)
{
    bool more = false;
    if (!ranking_step(turn->tx, turn->arena, turn->round, &more, err))
        return false;
    if (!turn->round->ranked_at_ms)
        turn->round->ranked_at_ms = turn->now_ms;
    if (more)
        turn_step(turn, STEP_RANK, turn->step.number + 1, turn->now_ms);
    return true;
}

/* The clock sets up the next round behind this step. */
static bool do_next(struct turn *turn, struct err *err)
{
    (void)err;
    const int64_t wait_ms = turn->app->config->result_wait_seconds * SECOND_MS;
    if (!turn->round->ranked_at_ms && turn->now_ms < turn->round->next_at_ms + wait_ms)
        turn_step(turn, STEP_NEXT, 1, turn->now_ms + RESULT_LOOK_MS);
    return true;
}

/* ---- */

static bool (*const STEP_RUNS[STEPS])(struct turn *turn, struct err *err) = {
    [STEP_START] = do_start,   [STEP_COUNTDOWN] = do_countdown, [STEP_NEWS] = do_news, [STEP_BOT_ORDER] = do_bot_order,
    [STEP_REFILL] = do_refill, [STEP_CLOSE] = do_close,         [STEP_RANK] = do_rank, [STEP_NEXT] = do_next,
};

bool step_do(struct turn *turn, struct err *err)
{
    return STEP_RUNS[turn->step.kind](turn, err) && turn_flush(turn, err);
}

void step_adopt(struct turn *turn)
{
    struct round *round = turn->round;
    if (round->phase == PHASE_CLOSED) {
        if (turn->app->config->hold && round->next_at_ms > turn->now_ms)
            turn_step(turn, STEP_NEXT, 1, round->next_at_ms = turn->now_ms);
        return;
    }
    if (round->held == turn->app->config->hold)
        return;
    /* A held round has no end yet; one that must make way for a held one does not wait for its own. */
    turn_step(turn, STEP_CLOSE, 1, turn->now_ms);
    round->next_at_ms = round->closes_at_ms = turn->now_ms;
}
