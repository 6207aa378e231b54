#include "clock.h"
#include "test.h"
#include "uuid.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

TEST(uuid_text_has_version_7_and_the_rfc_variant, "")
{
    char text[UUID_TEXT_BYTES];
    int64_t before_ms = clock_now_ms();
    uuid_new(text);
    EXPECT_I64(36, strlen(text));
    EXPECT(text[14] == '7');
    EXPECT(strchr("89ab", text[19]) != NULL);
    for (const char *c = text; *c; c++)
        EXPECT(!isupper((unsigned char)*c));
    EXPECT(uuid_time_ms(text) >= before_ms);
}

TEST(uuids_of_a_thread_grow_even_when_the_clock_is_set_back, "")
{
    char last[UUID_TEXT_BYTES], next[UUID_TEXT_BYTES];
    uuid_new(last);
    for (int i = 0; i < 100000; i++) {
        if (i == 50000)
            clock_shift_ms(-60000);
        uuid_new(next);
        if (!EXPECT(strcmp(last, next) < 0))
            break;
        memcpy(last, next, sizeof last);
    }
    clock_shift_ms(60000);
}

enum { THREADS = 4, EACH = 20000 };
static char made[THREADS][EACH][UUID_TEXT_BYTES];

static void *make_many(void *list)
{
    char(*texts)[UUID_TEXT_BYTES] = list;
    for (int i = 0; i < EACH; i++)
        uuid_new(texts[i]);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(uuids_of_many_threads_differ, "")
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, make_many, made[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char(*all)[UUID_TEXT_BYTES] = made[0];
    qsort(all, THREADS * EACH, sizeof *all, compare);
    int doubles = 0;
    for (int i = 1; i < THREADS * EACH; i++)
        doubles += strcmp(all[i - 1], all[i]) == 0;
    EXPECT_I64(0, doubles);
}

TEST(uuid_parse_takes_the_canonical_form_in_either_case_and_nothing_else, "")
{
    struct uuid id;
    char text[UUID_TEXT_BYTES];
    EXPECT(uuid_parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", &id));
    uuid_format(&id, text);
    EXPECT_TEXT("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", text);
    EXPECT_I64(1645557742000, uuid_time_ms(text)); /* the example of RFC 9562, appendix A.6 */
    static const char *const WRONG[] = {
        "",
        "017f22e2",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b07-cc3-98c4-dc0c0c07398f",
        " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
        EXPECT(!uuid_parse(WRONG[i], NULL));
    EXPECT_I64(-1, uuid_time_ms("6ba7b810-9dad-11d1-80b4-00c04fd430c8")); /* version 1 */
    EXPECT_I64(-1, uuid_time_ms("nonsense"));
}
