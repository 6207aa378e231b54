#include "news.h"

#include "bot.h"
#include "chance.h"

#include <string.h>

/* Weights as the seed wrote them beside the lines (and never used). */
const struct news_line NEWS_LINES[NEWS_LINES_COUNT] = {
    {"accounting_fraud", -2000, 400, "회계 부정이 드러났습니다", "accounting fraud has come to light"},
    {"chief_investigated", -1800, 200, "대표이사가 수사를 받고 있습니다", "its chief executive is under investigation"},
    {"side_effects", -1500, 400, "제품에서 부작용이 보고되었습니다", "side effects of its product are reported"},
    {"recall", -1500, 400, "제품을 대규모로 회수합니다", "it recalls its products"},
    {"environment_fine", -1700, 200, "환경 규정 위반으로 과징금을 물게 되었습니다",
     "it is fined for breaking environmental rules"},
    {"plant_fire", -1400, 300, "공장에 불이 났습니다", "a fire has broken out in its plant"},
    {"data_leak", -1800, 400, "고객 정보가 유출되었습니다", "its customers' data has leaked"},
    {"hacking_outage", -1600, 300, "해킹으로 서비스가 멈췄습니다", "an attack has brought its services down"},
    {"safety_ban", -1700, 400, "안전 문제로 판매가 금지되었습니다", "its product is banned for safety reasons"},
    {"harmful_substance", -1500, 300, "제품에서 유해 물질이 나왔습니다", "a harmful substance is found in its product"},
    {"new_product", 1800, 400, "혁신적인 신제품을 선보였습니다", "it presents a new product"},
    {"clinical_trial", 1900, 400, "임상 시험에 성공했습니다", "its clinical trial has succeeded"},
    {"renewable_energy", 3700, 400, "재생 에너지 기술을 개발했습니다", "it has a breakthrough in renewable energy"},
    {"global_partner", 1800, 300, "세계적인 기업과 손을 잡았습니다", "it has won a global partner"},
    {"self_driving", 2900, 100, "자율 주행 기술을 공개했습니다", "it shows self-driving technology"},
    {"record_sales", 3700, 400, "사상 최대 매출을 올렸습니다", "its sales are the highest ever"},
    {"celebrity", 2500, 200, "유명인이 제품을 추천했습니다", "a celebrity praises its product"},
    {"credit_rating", 1800, 200, "신용 등급이 올랐습니다", "its credit rating is raised"},
    {"staff_welfare", 1400, 300, "직원 복지를 크게 늘렸습니다", "it does much more for its staff"},
    {"state_research", 2600, 100, "정부 연구 지원금을 받게 되었습니다", "it receives public research money"},
};

const struct news_line *news_find(const char *code)
{
    for (int i = 0; i < NEWS_LINES_COUNT; i++)
        if (strcmp(NEWS_LINES[i].code, code) == 0)
            return &NEWS_LINES[i];
    return NULL;
}

void news_text_ko(struct str *out, const char *company, const struct news_line *line)
{
    str_printf(out, "%s: %s", company, line->ko);
}

void news_text_en(struct str *out, const char *company_en, const struct news_line *line)
{
    str_printf(out, "%s: %s", company_en, line->en);
}

struct news_draw news_draw(int64_t seed, int64_t number, int company_count)
{
    struct chance chance = chance_of(seed, "news", number);
    struct news_draw draw = {
        .company = (int)chance_between(&chance, 0, company_count - 1),
        .line = &NEWS_LINES[chance_between(&chance, 0, NEWS_LINES_COUNT - 1)],
    };
    const int64_t sign = draw.line->mean < 0 ? -1 : 1;
    int64_t size = sign * draw.line->mean + draw.line->spread * chance_bell(&chance) / 1000;
    size = size < NEWS_WEIGHT_LEAST ? NEWS_WEIGHT_LEAST : size > NEWS_WEIGHT_MOST ? NEWS_WEIGHT_MOST : size;
    draw.weight = sign * size;
    return draw;
}

static int64_t divide_up(int64_t value, int64_t by)
{
    return (value + by - 1) / by;
}

struct news_order news_order(int64_t seed, int64_t number, int64_t weight, int order, int64_t strength)
{
    enum { WITH_LEAST = 12, WITH_MOST = 18, AGAINST_LEAST = 6, AGAINST_MOST = 9, THOUSAND = 1000, PERCENT = 100 };
    const int trader = order * BOT_TRADERS / NEWS_ORDERS; /* two orders each, the hasty one first */
    const struct temperament *temperament = &TEMPERAMENTS[trader];
    struct chance chance = chance_of(seed, "news order", number * NEWS_ORDERS + order);
    const bool with = chance_happens(&chance, temperament->with_permille), good = weight > 0;
    const int64_t c = with ? chance_between(&chance, WITH_LEAST, WITH_MOST)
                           : chance_between(&chance, AGAINST_LEAST, AGAINST_MOST),
                  u = chance_between(&chance, 1, THOUSAND),
                  pull = !with  ? NEWS_WEIGHT_PLAIN
                         : good ? weight
                                : -weight;
    return (struct news_order){
        .bot = trader + 1,
        .side = with == good ? SIDE_BUY : SIDE_SELL,
        .quantity = divide_up(u * c * pull * temperament->size_percent * strength,
                              (int64_t)THOUSAND * NEWS_WEIGHT_PLAIN * PERCENT * PERCENT),
    };
}

int64_t news_delay_ms(int64_t seed, int64_t number, int64_t least_ms)
{
    struct chance chance = chance_of(seed, "news delay", number);
    return least_ms + chance_between(&chance, 0, least_ms * 2 / 3);
}
