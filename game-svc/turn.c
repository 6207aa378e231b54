#include "turn.h"

#include "bot.h"

#include <stdlib.h>

void turn_begin(struct turn *turn, const struct game_app *app, struct pg_tx *tx, struct arena *arena,
                struct round *round, int64_t now_ms)
{
    *turn = (struct turn){.app = app, .tx = tx, .arena = arena, .round = round, .now_ms = now_ms};
    turn->events = arena_alloc(arena, TURN_EVENTS_MAX * sizeof *turn->events);
    turn->steps = arena_alloc(arena, TURN_STEPS_MAX * sizeof *turn->steps);
}

void turn_event(struct turn *turn, struct outbox_event event)
{
    if (turn->event_count == TURN_EVENTS_MAX)
        abort(); /* a step with more raises TURN_EVENTS_MAX */
    turn->events[turn->event_count++] = event;
}

void turn_command(struct turn *turn, struct market_command *command)
{
    command->market = turn->round->id;
    command->source = round_source(turn->round);
    command->n = (uint64_t)turn->round->next_n++;
    AUTO_STR bytes;
    str_init(&bytes);
    market_command_encode(&bytes, command);
    turn->commands++;
    turn_event(turn, (struct outbox_event){
                         .topic = TOPIC_MARKET_COMMANDS,
                         .key = turn->round->id_text,
                         .bytes = {arena_bytes(turn->arena, bytes.bytes, bytes.length), bytes.length},
                     });
}

void turn_place(struct turn *turn, int bot, int company, const struct quote *quote)
{
    struct market_command command = {
        .kind = MARKET_PLACE,
        .order =
            {
                .order_id = round_command_id(turn->round, turn->round->next_n),
                .account = bot_account(bot),
                .company = (uint8_t)company,
                .side = (uint8_t)quote->side,
                .type = quote->price ? TYPE_LIMIT : TYPE_MARKET,
                .tif = quote->price ? TIF_GTC : TIF_IOC,
                .post_only = quote->price != 0,
                .bot = true,
                .price = quote->price,
                .quantity = quote->quantity,
                .client_order_id = {"", 0},
            },
    };
    turn->round->companies[company].bot_sent_n = turn->round->next_n;
    turn->sent[company] = true;
    turn->orders++;
    turn_command(turn, &command);
}

void turn_step(struct turn *turn, enum step_kind kind, int64_t number, int64_t at_ms)
{
    if (!at_ms)
        return;
    if (turn->step_count == TURN_STEPS_MAX)
        abort(); /* as above */
    turn->steps[turn->step_count++] = (struct step){kind, number, at_ms};
}

bool turn_flush(struct turn *turn, struct err *err)
{
    if (!store_round_change(turn->tx, turn->round, err))
        return false;
    for (int i = 0; i < turn->round->company_count; i++)
        if (turn->sent[i] && !store_company_sent(turn->tx, &turn->round->companies[i], err))
            return false;
    return store_steps_add(turn->tx, turn->round, turn->steps, turn->step_count, err) &&
           outbox_add_all(turn->tx, turn->events, turn->event_count, err);
}
