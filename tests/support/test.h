/* test.h - the tests in C: a test registers itself, names the requirements it shows, and goes on after a failed EXPECT.
 *     TEST(signup_refuses_a_taken_email, "P-01 M-01")
 *     {
 *         REQUIRE(db);                       // ends this test when false
 *         EXPECT_I64(409, status);
 *     }
 * The program runs all tests (or those whose name contains argv[1]) and ends with "N passed, N failed". */
#ifndef MADANG_TEST_H
#define MADANG_TEST_H

#include "errors.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct test {
    const char *name, *shows, *file;
    void (*run)(void);
    struct test *next;
};
void test_register(struct test *test);

/* Counts the failure and prints it; returns `ok`. */
bool test_check(bool ok, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));
bool test_equal_text(const char *expected, const char *actual, const char *file, int line);

#define TEST(name_, shows_)                                                                                            \
    static void test_##name_(void);                                                                                    \
    __attribute__((constructor)) static void register_##name_(void)                                                    \
    {                                                                                                                  \
        static struct test entry = {.name = #name_, .shows = (shows_), .file = __FILE__, .run = test_##name_};         \
        test_register(&entry);                                                                                         \
    }                                                                                                                  \
    static void test_##name_(void)

#define EXPECT(condition) test_check((condition), __FILE__, __LINE__, "%s", #condition)
#define EXPECT_I64(expected, actual)                                                                                   \
    __extension__({                                                                                                    \
        long long e_ = (long long)(expected), a_ = (long long)(actual);                                                \
        test_check(e_ == a_, __FILE__, __LINE__, "%s: expected %lld, is %lld", #actual, e_, a_);                       \
    })
#define EXPECT_TEXT(expected, actual) test_equal_text((expected), (actual), __FILE__, __LINE__)
/* The err carries this problem code. */
#define EXPECT_PROBLEM(code_, err_)                                                                                    \
    test_equal_text((code_), (err_)->problem ? (err_)->problem->code : "(none)", __FILE__, __LINE__)
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!test_check((condition), __FILE__, __LINE__, "%s", #condition))                                            \
            return;                                                                                                    \
    } while (0)
/* For calls that set an err: prints it. */
#define REQUIRE_OK(call, err_)                                                                                         \
    do {                                                                                                               \
        if (!test_check((call), __FILE__, __LINE__, "%s: %s %s %s", #call,                                             \
                        (err_)->problem ? (err_)->problem->code : "", (err_)->message, (err_)->detail))                \
            return;                                                                                                    \
    } while (0)

/* Waits until the condition holds: conditions, not times, decide. `ms` is for a quick machine that has nothing else to
 * do. */
enum { TEST_PATIENCE = 3 };
#define EVENTUALLY(ms, condition)                                                                                      \
    __extension__({                                                                                                    \
        int64_t until_ = test_now_ms() + TEST_PATIENCE * (ms);                                                         \
        bool ok_;                                                                                                      \
        while (!(ok_ = (condition)) && test_now_ms() < until_)                                                         \
            test_pause();                                                                                              \
        test_check(ok_, __FILE__, __LINE__, "within %d ms: %s", TEST_PATIENCE *(int)(ms), #condition);                 \
    })
int64_t test_now_ms(void);
void test_pause(void); /* 5 ms between two looks at a condition */

/* A random-number generator with a printed seed (TEST_SEED sets it), so a failure can be run again. */
uint64_t test_random(void);

/* From the environment (tests/run.sh and .run/env set them); ends the program with a clear message when it is missing.
 */
const char *test_env(const char *name);

#endif
