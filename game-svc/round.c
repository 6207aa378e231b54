#include "round.h"

static const char *const PHASE_NAMES[PHASES] = {"setup", "open", "closed"};

const char *round_phase_name(enum round_phase phase)
{
    return PHASE_NAMES[phase];
}

enum round_phase round_phase_of(const char *name)
{
    enum round_phase phase = PHASE_SETUP;
    while (phase < PHASE_CLOSED && strcmp(PHASE_NAMES[phase], name) != 0)
        phase++;
    return phase;
}

struct market_rules round_rules(const struct round *round)
{
    struct market_rules rules = {
        .seed_cash = round->seed_cash,
        .tick = round->tick,
        .price_min = round->price_min,
        .price_max = round->price_max,
        .size_rule = round->size_rule,
        .company_count = (uint8_t)round->company_count,
    };
    for (int i = 0; i < round->company_count; i++)
        rules.companies[i] = (struct market_company){round->companies[i].id, round->companies[i].initial_price};
    return rules;
}

/* ---- times ---- */

void round_plan(struct round *round, const struct round_lengths *lengths, int64_t now_ms)
{
    const int64_t whole_ms = lengths->setup_ms + lengths->open_ms + lengths->break_ms;
    int64_t opens_ms = now_ms + lengths->setup_ms;
    if (lengths->align) {
        opens_ms = now_ms - now_ms % whole_ms + lengths->setup_ms;
        if (opens_ms <= now_ms)
            opens_ms += whole_ms;
    }
    round->open_ms = lengths->open_ms;
    round->setup_at_ms = now_ms;
    round->opens_at_ms = opens_ms;
    round->closes_at_ms = opens_ms + lengths->open_ms;
    round->next_at_ms = round->closes_at_ms + lengths->break_ms;
}

void round_start(struct round *round, bool align, int64_t now_ms)
{
    enum { LATE_MS = 1000 };
    const int64_t late_ms = now_ms - round->opens_at_ms;
    round->phase = PHASE_OPEN;
    if (late_ms <= LATE_MS || (align && !round->held))
        return;
    round->opens_at_ms += late_ms;
    if (!round->held) {
        round->closes_at_ms += late_ms;
        round->next_at_ms += late_ms;
    }
}

int64_t round_next_countdown_ms(int64_t end_ms, int64_t every_ms, int64_t now_ms)
{
    const int64_t left_ms = end_ms - now_ms;
    const int64_t steps = left_ms > 0 ? (left_ms - 1) / every_ms : 0;
    return steps ? end_ms - steps * every_ms : 0;
}

int64_t round_news_at_ms(const struct round *round, int64_t number, int64_t every_ms, int64_t now_ms)
{
    /* S-14: of 300 seconds the last 15.5 have no news; the same share of other lengths. */
    enum { QUIET_MS = 15500, OF_MS = 300000 };
    const int64_t quiet_ms = round->open_ms < OF_MS ? round->open_ms * QUIET_MS / OF_MS : QUIET_MS;
    const int64_t planned_ms = round->opens_at_ms + number * every_ms, soon_ms = now_ms + every_ms / 4;
    const int64_t at_ms = planned_ms > soon_ms ? planned_ms : soon_ms;
    return round->closes_at_ms && at_ms >= round->closes_at_ms - quiet_ms ? 0 : at_ms;
}

int64_t round_next_refill_ms(const struct round *round, int64_t every_ms, int64_t now_ms)
{
    const int64_t past_ms = now_ms > round->opens_at_ms ? now_ms - round->opens_at_ms : 0;
    const int64_t at_ms = round->opens_at_ms + (past_ms / every_ms + 1) * every_ms;
    return round->closes_at_ms && at_ms >= round->closes_at_ms ? 0 : at_ms;
}

/* ---- numbers ---- */

static uint64_t big_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

uint64_t round_source(const struct round *round)
{
    const uint64_t source =
        big_endian(round->id.bytes, 8) * UINT64_C(0x9e3779b97f4a7c15) ^ big_endian(round->id.bytes + 8, 8);
    return source ? source : 1;
}

/* A UUIDv7 of the round's time: 48 bits of milliseconds, 42 bits of the round, 32 bits of the command's number. */
struct uuid round_command_id(const struct round *round, int64_t n)
{
    const uint64_t source = round_source(round);
    struct uuid id = round->id;
    for (int i = 6; i < 12; i++)
        id.bytes[i] = (unsigned char)(source >> (8 * (i - 6)));
    id.bytes[6] = 0x70 | (id.bytes[6] & 0x0f);
    id.bytes[8] = 0x80 | (id.bytes[8] & 0x3f);
    for (int i = 0; i < 4; i++)
        id.bytes[12 + i] = (unsigned char)(n >> (8 * (3 - i)));
    return id;
}

int64_t round_command_n(const struct uuid *id)
{
    return (int64_t)big_endian(id->bytes + 12, 4);
}
