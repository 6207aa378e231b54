/* codec.h - rounds, companies, news and places as JSON. Pure. Times that are 0 become null. */
#ifndef MADANG_GAME_CODEC_H
#define MADANG_GAME_CODEC_H

#include "depth.h"
#include "store_reads.h"

/* Members of the round, without brackets: the caller may add more. */
void codec_round_members(struct str *out, const struct seen_round *round);

/* The price now: that of the market while it is known, else the last one, else the initial one. */
struct company_price {
    int64_t price, change_bp, volume, high, low; /* high, low 0: no trade yet */
    bool halted;
};
struct company_price codec_price(const struct seen_company *company, const struct depth_state *state);
void codec_company(struct str *out, const struct seen_company *company, const struct company_price *price);

void codec_news(struct str *out, const struct seen_news *news);

/* {place, user_id, nickname, return_pct, total_asset, points, rating, tier} */
void codec_place(struct str *out, const struct seen_place *place);
/* {place, user_id, nickname, rating, tier} */
void codec_rating(struct str *out, const struct seen_place *place);
/* The report card of one round: a place, and what led to it. */
void codec_report(struct str *out, const char *name, const struct seen_place *place, const struct seen_round *round);

#endif
