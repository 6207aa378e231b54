#include "companies.h"

#include "chance.h"
#include "mem.h"

enum { BUSINESS_COUNT = 3, NAMES_EACH = 8 };
_Static_assert(BUSINESS_COUNT *NAMES_EACH >= MARKET_COMPANIES_MAX, "a name for each company of a market");

const char *const BUSINESSES[] = {"electronics", "cars", "chemicals", NULL};

static const struct company_name NAMES[BUSINESS_COUNT][NAMES_EACH] = {
    {
        {"누리별전자", "Nuribyeol Electronics", "electronics"},
        {"해온전자", "Haeon Electronics", "electronics"},
        {"미르빛전자", "Mirbit Electronics", "electronics"},
        {"가람솔전자", "Garamsol Electronics", "electronics"},
        {"도담전자", "Dodam Electronics", "electronics"},
        {"새론빛전자", "Saeronbit Electronics", "electronics"},
        {"아라누리전자", "Aranuri Electronics", "electronics"},
        {"윤슬전자", "Yunseul Electronics", "electronics"},
    },
    {
        {"달구지자동차", "Dalguji Motors", "cars"},
        {"바람길자동차", "Baramgil Motors", "cars"},
        {"너른들자동차", "Neoreundeul Motors", "cars"},
        {"나래온자동차", "Naraeon Motors", "cars"},
        {"한달음자동차", "Handareum Motors", "cars"},
        {"이든길자동차", "Ideungil Motors", "cars"},
        {"마루벌자동차", "Marubeol Motors", "cars"},
        {"다온길자동차", "Daongil Motors", "cars"},
    },
    {
        {"솔내음화학", "Solnaeeum Chemicals", "chemicals"},
        {"푸른샘화학", "Pureunsaem Chemicals", "chemicals"},
        {"온새미화학", "Onsaemi Chemicals", "chemicals"},
        {"이슬결화학", "Iseulgyeol Chemicals", "chemicals"},
        {"하늘못화학", "Haneulmot Chemicals", "chemicals"},
        {"가온물화학", "Gaonmul Chemicals", "chemicals"},
        {"단비샘화학", "Danbisaem Chemicals", "chemicals"},
        {"여울빛화학", "Yeoulbit Chemicals", "chemicals"},
    },
};

void companies_draw(int64_t seed, int count, struct company_draw *companies)
{
    int first[BUSINESS_COUNT];
    for (int business = 0; business < BUSINESS_COUNT; business++) {
        struct chance chance = chance_of(seed, "names", business);
        first[business] = (int)chance_between(&chance, 0, NAMES_EACH - 1);
    }
    for (int i = 0; i < count; i++) {
        const int business = i % BUSINESS_COUNT;
        struct chance chance = chance_of(seed, "price", i);
        companies[i] = (struct company_draw){
            .name = &NAMES[business][(first[business] + i / BUSINESS_COUNT) % NAMES_EACH],
            .price = 2 * chance_between(&chance, K_LEAST / 2, K_MOST / 2) * PRICE_UNIT,
        };
    }
}

size_t companies_opening_book(int64_t seed, int company, int64_t price, int64_t factor,
                              struct quote quotes[BOOK_QUOTES_MAX])
{
    const int64_t k = price / PRICE_UNIT, rounded = (factor + k / 2) / k, most = rounded > 1 ? rounded : 1;
    struct chance chance = chance_of(seed, "book", company);
    size_t count = 0;
    for (int64_t at = k / 2; at <= k + k / 2; at++)
        quotes[count++] = (struct quote){
            .side = at < k ? SIDE_BUY : SIDE_SELL,
            .price = at * PRICE_UNIT,
            .quantity = chance_between(&chance, 1, most),
        };
    return count;
}
