#include "codec.h"

#include "news.h"
#include "ranking.h"
#include "ratio.h"

static void time_or_null(struct str *out, const char *name, int64_t at_ms)
{
    if (at_ms)
        json_time(out, name, at_ms);
    else
        json_text(out, name, NULL);
}

void codec_round_members(struct str *out, const struct seen_round *round)
{
    json_text(out, "id", round->id);
    json_text(out, "market", round->id); /* one round is one market */
    json_i64(out, "number", round->number);
    json_text(out, "phase", round->phase);
    time_or_null(out, "setup_at", round->setup_at_ms);
    time_or_null(out, "opens_at", round->opens_at_ms);
    time_or_null(out, "closes_at", round->closes_at_ms);
    time_or_null(out, "closed_at", round->closed_at_ms);
    time_or_null(out, "next_at", round->next_at_ms);
    json_i64(out, "seed_cash", round->seed_cash);
    json_i64(out, "tick", round->tick);
}

struct company_price codec_price(const struct seen_company *company, const struct depth_state *state)
{
    struct company_price price = {.price = company->last_price ? company->last_price : company->initial_price};
    if (state) {
        price = (struct company_price){.price = company->last_price ? company->last_price : state->price,
                                       .volume = state->volume,
                                       .high = state->high,
                                       .low = state->low,
                                       .halted = state->halted};
    }
    price.change_bp = ratio_change(price.price, company->initial_price);
    return price;
}

void codec_company(struct str *out, const struct seen_company *company, const struct company_price *price)
{
    json_open(out, NULL, '{');
    json_text(out, "id", company->id);
    json_i64(out, "index", company->index);
    json_text(out, "name", company->name);
    json_text(out, "name_en", company->name_en);
    json_text(out, "business", company->business);
    json_i64(out, "price", price->price);
    json_i64(out, "initial_price", company->initial_price);
    ratio_json(out, "change_pct", price->change_bp);
    json_i64(out, "volume", price->volume);
    json_i64(out, "high", price->high ? price->high : price->price);
    json_i64(out, "low", price->low ? price->low : price->price);
    json_bool(out, "halted", price->halted);
    json_close(out, '}');
}

void codec_news(struct str *out, const struct seen_news *news)
{
    const struct news_line *line = news_find(news->line);
    AUTO_STR ko = {0}, en = {0};
    if (line) {
        news_text_ko(&ko, news->company_name, line);
        news_text_en(&en, news->company_name_en, line);
    }
    json_open(out, NULL, '{');
    json_i64(out, "number", news->number);
    json_text(out, "company_id", news->company_id);
    json_text(out, "company_name", news->company_name);
    json_text(out, "line", news->line);
    json_open(out, "text", '{');
    json_text(out, "en", line ? en.bytes : news->line);
    json_text(out, "ko", line ? ko.bytes : news->line);
    json_close(out, '}');
    json_bool(out, "good", news->weight > 0);
    json_time(out, "at", news->at_ms);
    json_close(out, '}');
}

static void put_person(struct str *out, const struct seen_place *place)
{
    json_i64(out, "place", place->place);
    json_text(out, "user_id", place->user_id);
    json_text(out, "nickname", place->nickname);
}

static void put_rating(struct str *out, int64_t rating)
{
    json_i64(out, "rating", rating);
    json_text(out, "tier", ranking_tier_name(rating));
}

static void put_result(struct str *out, const struct seen_place *place)
{
    ratio_json(out, "return_pct", place->return_bp);
    json_i64(out, "total_asset", place->cash);
    json_i64(out, "points", place->points);
    put_rating(out, place->rating);
}

void codec_place(struct str *out, const struct seen_place *place)
{
    json_open(out, NULL, '{');
    put_person(out, place);
    put_result(out, place);
    json_close(out, '}');
}

void codec_rating(struct str *out, const struct seen_place *place)
{
    json_open(out, NULL, '{');
    put_person(out, place);
    put_rating(out, place->rating);
    json_close(out, '}');
}

void codec_report(struct str *out, const char *name, const struct seen_place *place, const struct seen_round *round)
{
    json_open(out, name, '{');
    json_i64(out, "place", place->place);
    json_i64(out, "participants", round->participants);
    put_result(out, place);
    json_i64(out, "profit", place->cash - round->seed_cash);
    json_i64(out, "orders", place->orders);
    json_i64(out, "fills", place->fills);
    json_i64(out, "bought", place->bought);
    json_i64(out, "sold", place->sold);
    json_close(out, '}');
}
