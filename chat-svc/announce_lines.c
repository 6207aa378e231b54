/* announce_lines.c - an event of the game -> what is said of it. Pure. */
#include "announce.h"
#include "mem.h"
#include "uuid.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { NAME_MAX_POINTS = 100, TEXT_BYTES_MAX = 2000, PLACES_BYTES_MAX = 64 * 1024, SAID_PLACES = 5 };

struct raw_event {
    const char *id, *at, *kind, *market, *phase, *opens_at, *closes_at, *next_at;
    int64_t number, seconds_left, participants;
    const char *company, *company_name, *text, *places, *companies;
    bool good;
};
static const struct field EVENT_FIELDS[] = {
    FIELD_UUID(struct raw_event, id, .required = true),
    FIELD_TEXT(struct raw_event, at, .required = true, .max = 40),
    FIELD_TEXT(struct raw_event, kind, .required = true, .max = 64),
    FIELD_UUID(struct raw_event, market, .required = true),
    FIELD_TEXT(struct raw_event, phase, .max = 16),
    FIELD_TEXT(struct raw_event, opens_at, .nullable = true, .max = 40),
    FIELD_TEXT(struct raw_event, closes_at, .nullable = true, .max = 40),
    FIELD_TEXT(struct raw_event, next_at, .nullable = true, .max = 40),
    FIELD_I64(struct raw_event, number, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct raw_event, seconds_left, .min = 0, .max = 1000000),
    FIELD_I64(struct raw_event, participants, .min = 0, .max = INT64_MAX),
    FIELD_UUID(struct raw_event, company),
    FIELD_TEXT(struct raw_event, company_name, .max = NAME_MAX_POINTS),
    FIELD_RAW(struct raw_event, text),
    FIELD_RAW(struct raw_event, places),
    FIELD_RAW(struct raw_event, companies),
    FIELD_BOOL(struct raw_event, good),
    {0},
};

static const char *const PHASES[] = {"setup", "open", "closed"};
enum { PHASE_SETUP, PHASE_OPEN, PHASE_CLOSED };

static int phase_of(const char *phase)
{
    for (size_t i = 0; phase && i < ARRAY_LENGTH(PHASES); i++)
        if (strcmp(PHASES[i], phase) == 0)
            return (int)i;
    return -1;
}

static bool bad(struct err *err, const char *what)
{
    return err_set(err, &ERR_BAD_INPUT, "%s", what);
}

/* ---- reading ---- */

static void tree_release(cJSON **tree)
{
    cJSON_Delete(*tree);
}
#define AUTO_TREE __attribute__((cleanup(tree_release))) cJSON *

static const char *text_member(struct arena *arena, const cJSON *item, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);
    return cJSON_IsString(value) ? arena_text(arena, value->valuestring) : NULL;
}

static bool take_company(struct arena *arena, const cJSON *item, struct game_company *company)
{
    const cJSON *index = cJSON_GetObjectItemCaseSensitive(item, "index");
    company->id = text_member(arena, item, "id");
    company->name = text_member(arena, item, "name");
    company->index = cJSON_IsNumber(index) ? (int64_t)index->valuedouble : -1;
    return company->id && uuid_parse(company->id, NULL) && company->name && *company->name &&
           strlen(company->name) <= TITLE_MAX && company->index >= 0 && company->index < GAME_COMPANIES_MAX;
}

static bool take_companies(struct arena *arena, const char *json, struct game_event *event, struct err *err)
{
    AUTO_TREE tree = cJSON_Parse(json);
    const int count = cJSON_IsArray(tree) ? cJSON_GetArraySize(tree) : -1;
    if (count < 0 || count > GAME_COMPANIES_MAX)
        return bad(err, "companies: a list of at most 16");
    event->companies = arena_alloc(arena, ((size_t)count + 1) * sizeof *event->companies);
    for (const cJSON *item = tree->child; item; item = item->next)
        if (!take_company(arena, item, &event->companies[event->company_count++]))
            return bad(err, "a company is {id, index, name}");
    return true;
}

static enum game_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum game_kind kind;
    } KINDS[] = {{"round", GAME_ROUND}, {"countdown", GAME_COUNTDOWN}, {"news", GAME_NEWS}, {"ranking", GAME_RANKING}};
    for (size_t i = 0; i < ARRAY_LENGTH(KINDS); i++)
        if (strcmp(KINDS[i].name, name) == 0)
            return KINDS[i].kind;
    return GAME_OTHER;
}

bool game_event_decode(struct arena *arena, struct view payload, struct game_event *event, struct err *err)
{
    struct raw_event raw;
    *event = (struct game_event){0};
    if (!JSON_DECODE_LENIENT(arena, payload, EVENT_FIELDS, &raw, err))
        return false;
    *event = (struct game_event){
        .kind = kind_of(raw.kind),
        .id = raw.id,
        .at = raw.at,
        .market = raw.market,
        .phase = raw.phase,
        .opens_at = raw.opens_at,
        .closes_at = raw.closes_at,
        .next_at = raw.next_at,
        .number = raw.number,
        .seconds_left = raw.seconds_left,
        .participants = raw.participants,
        .company = raw.company,
        .company_name = raw.company_name,
        .text = raw.text,
        .places = raw.places,
        .good = raw.good,
    };
    switch (event->kind) {
    case GAME_ROUND:
        return (phase_of(event->phase) >= 0 || bad(err, "a round's phase is not known")) && raw.companies
                   ? take_companies(arena, raw.companies, event, err)
                   : bad(err, "a round has companies");
    case GAME_NEWS:
        return (event->company && event->company_name && event->text && event->text[0] == '{' &&
                strlen(event->text) <= TEXT_BYTES_MAX) ||
               bad(err, "news is of a company and has a text");
    case GAME_RANKING:
        return (event->places && event->places[0] == '[' && strlen(event->places) <= PLACES_BYTES_MAX) ||
               bad(err, "a ranking has places");
    case GAME_COUNTDOWN:
    case GAME_OTHER:
        break;
    }
    return true;
}

/* ---- words ---- */

static int64_t time_ms(const char *text)
{
    struct tm parts = {0};
    int millis = 0;
    if (!text || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                        &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &millis) < 6)
        return 0;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    return (int64_t)timegm(&parts) * 1000 + millis;
}

struct span { /* until the phase ends: "5 minutes", "5분"; empty when unknown */
    char en[32], ko[32];
};

static struct span span_of(const struct game_event *event)
{
    struct span span = {"", ""};
    const int phase = phase_of(event->phase);
    const char *end = phase == PHASE_SETUP ? event->opens_at : phase == PHASE_OPEN ? event->closes_at : event->next_at;
    const int64_t ms = time_ms(end) - time_ms(event->at);
    const long long seconds = (ms + 500) / 1000;
    if (!end || ms <= 0)
        return span;
    if (seconds % 60 == 0) {
        (void)snprintf(span.en, sizeof span.en, "%lld minute%s", seconds / 60, seconds == 60 ? "" : "s");
        (void)snprintf(span.ko, sizeof span.ko, "%lld분", seconds / 60);
    } else {
        (void)snprintf(span.en, sizeof span.en, "%lld second%s", seconds, seconds == 1 ? "" : "s");
        (void)snprintf(span.ko, sizeof span.ko, "%lld초", seconds);
    }
    return span;
}

static void put_words(struct str *out, const char *en, const char *ko)
{
    json_open(out, "text", '{');
    json_text(out, "en", en);
    json_text(out, "ko", ko);
    json_close(out, '}');
}

static void put_round(struct arena *arena, struct str *out, const struct game_event *event)
{
    static const struct {
        const char *en, *en_span, *ko, *ko_span;
    } WORDS[] = {
        [PHASE_SETUP] = {"Round %lld is being set up.", " Trading starts in %s.", "%lld라운드를 준비하고 있습니다.",
                         " %s 후에 거래가 시작됩니다."},
        [PHASE_OPEN] = {"Round %lld: trading is open.", " It closes in %s.", "%lld라운드 거래가 시작되었습니다.",
                        " %s 후에 끝납니다."},
        [PHASE_CLOSED] = {"Round %lld is over.", " The next one comes in %s.", "%lld라운드 거래가 끝났습니다.",
                          " 다음 라운드는 %s 후에 시작합니다."},
    };
    const int phase = phase_of(event->phase);
    const struct span span = span_of(event);
    char en[160], ko[240], en_more[80] = "", ko_more[120] = "";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (*span.en) {
        (void)snprintf(en_more, sizeof en_more, WORDS[phase].en_span, span.en);
        (void)snprintf(ko_more, sizeof ko_more, WORDS[phase].ko_span, span.ko);
    }
    (void)snprintf(en, sizeof en, WORDS[phase].en, (long long)event->number);
    (void)snprintf(ko, sizeof ko, WORDS[phase].ko, (long long)event->number);
#pragma GCC diagnostic pop
    json_text(out, "phase", event->phase);
    json_i64(out, "number", event->number);
    if (event->opens_at)
        json_text(out, "opens_at", event->opens_at);
    if (event->closes_at)
        json_text(out, "closes_at", event->closes_at);
    if (event->next_at)
        json_text(out, "next_at", event->next_at);
    put_words(out, arena_printf(arena, "%s%s", en, en_more), arena_printf(arena, "%s%s", ko, ko_more));
}

static void put_news(struct arena *arena, struct str *out, const struct game_event *event)
{
    (void)arena;
    json_text(out, "company_id", event->company);
    json_text(out, "company_name", event->company_name);
    json_bool(out, "good", event->good);
    json_raw(out, "text", event->text);
}

/* The first places as they are, and the first of them in words: what more there is stands in the rankings. */
static void put_ranking(struct arena *arena, struct str *out, const struct game_event *event)
{
    AUTO_TREE tree = cJSON_Parse(event->places);
    AUTO_STR en = {0}, ko = {0};
    int count = 0;
    str_printf(&en, "Round %lld:", (long long)event->number);
    str_printf(&ko, "%lld라운드 결과:", (long long)event->number);
    json_i64(out, "number", event->number);
    json_i64(out, "participants", event->participants);
    json_open(out, "places", '[');
    for (const cJSON *item = tree ? tree->child : NULL; item && count < ANNOUNCED_PLACES_MAX; item = item->next) {
        const cJSON *place = cJSON_GetObjectItemCaseSensitive(item, "place"),
                    *pct = cJSON_GetObjectItemCaseSensitive(item, "return_pct");
        const char *user_id = text_member(arena, item, "user_id"), *nickname = text_member(arena, item, "nickname");
        if (!cJSON_IsNumber(place) || !cJSON_IsNumber(pct) || !user_id)
            continue;
        char *shown = cJSON_PrintUnformatted(pct);
        json_open(out, NULL, '{');
        json_i64(out, "place", (int64_t)place->valuedouble);
        json_text(out, "user_id", user_id);
        json_text(out, "nickname", nickname ? nickname : "");
        json_raw(out, "return_pct", shown ? shown : "0");
        json_close(out, '}');
        if (count++ < SAID_PLACES) {
            str_printf(&en, "%s %d. %s %s%%", count > 1 ? "," : "", place->valueint, nickname ? nickname : "", shown);
            str_printf(&ko, "%s %d위 %s %s%%", count > 1 ? "," : "", place->valueint, nickname ? nickname : "", shown);
        }
        free(shown);
    }
    json_close(out, ']');
    put_words(out, en.bytes, ko.bytes);
}

/* ---- commands ---- */

/* The same for the same event and room, another for another room. */
static const char *line_id(struct arena *arena, const char *event_id, const char *room_id)
{
    struct uuid id = {{0}}, room = {{0}};
    char text[UUID_TEXT_BYTES];
    (void)uuid_parse(event_id, &id);
    (void)uuid_parse(room_id, &room);
    for (size_t i = 9; i < sizeof id.bytes; i++) /* the random half; the variant stays */
        id.bytes[i] ^= room.bytes[i];
    uuid_format(&id, text);
    return arena_text(arena, text);
}

static void add_line(struct arena *arena, struct commands *out, const struct game_event *event, const char *room_id,
                     const char *type, void (*put)(struct arena *, struct str *, const struct game_event *))
{
    AUTO_STR content = {0};
    json_open(&content, NULL, '{');
    json_text(&content, "type", type);
    json_text(&content, "market", event->market);
    put(arena, &content, event);
    json_close(&content, '}');
    const char *id = line_id(arena, event->id, room_id);
    out->items[out->count++] = (struct command){
        .kind = COMMAND_SEND,
        .room_id = room_id,
        .client_id = id,
        .message_id = id,
        .message_kind = "system",
        .content = arena_bytes(arena, content.bytes, content.length),
    };
}

void game_event_commands(struct arena *arena, const struct game_event *event, struct commands *out)
{
    out->count = 0;
    switch (event->kind) {
    case GAME_ROUND:
        for (size_t i = 0; i < event->company_count; i++)
            out->items[out->count++] = phase_of(event->phase) == PHASE_CLOSED
                                           ? (struct command){.kind = COMMAND_CLOSE, .room_id = event->companies[i].id}
                                           : (struct command){.kind = COMMAND_CREATE,
                                                              .room_id = event->companies[i].id,
                                                              .room_kind = room_kind_name(ROOM_COMPANY),
                                                              .title = event->companies[i].name};
        add_line(arena, out, event, ROOM_EVERYBODY, "round", put_round);
        break;
    case GAME_NEWS:
        add_line(arena, out, event, ROOM_EVERYBODY, "news", put_news);
        add_line(arena, out, event, event->company, "news", put_news);
        break;
    case GAME_RANKING:
        if (event->participants > 0)
            add_line(arena, out, event, ROOM_EVERYBODY, "ranking", put_ranking);
        break;
    case GAME_COUNTDOWN:
    case GAME_OTHER:
        break;
    }
}
