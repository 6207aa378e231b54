#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct test *first, **last = &first;
static int failures_of_this_test;
static uint64_t random_state;

void test_register(struct test *test)
{
    *last = test;
    last = &test->next;
}

bool test_check(bool ok, const char *file, int line, const char *format, ...)
{
    if (ok)
        return true;
    failures_of_this_test++;
    printf("    %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    return false;
}

bool test_equal_text(const char *expected, const char *actual, const char *file, int line)
{
    bool same = expected && actual ? strcmp(expected, actual) == 0 : expected == actual;
    return test_check(same, file, line, "expected \"%s\", is \"%s\"", expected ? expected : "(null)",
                      actual ? actual : "(null)");
}

int64_t test_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void test_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* splitmix64 */
uint64_t test_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

const char *test_env(const char *name)
{
    const char *value = getenv(name);
    if (!value || !*value) {
        printf("%s is not set: start the stores with `make stores` and source .run/env\n0 passed, 1 failed\n", name);
        exit(1);
    }
    return value;
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "", *seed = getenv("TEST_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu\n", (unsigned long long)random_state);
    int passed = 0, failed = 0;
    for (struct test *test = first; test; test = test->next) {
        if (!strstr(test->name, only))
            continue;
        failures_of_this_test = 0;
        test->run();
        printf("%s %s%s%s%s\n", failures_of_this_test ? "not ok" : "ok", test->name, *test->shows ? " [" : "",
               test->shows, *test->shows ? "]" : "");
        failures_of_this_test ? failed++ : passed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
