#include "problems.h"

#include <string.h>

CHAT_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const CHAT_PROBLEM_LIST[] = {CHAT_PROBLEMS(PROBLEM_LIST) NULL};

const struct problem *chat_problem_by_code(const char *code)
{
    const struct problem *const *const lists[] = {CHAT_PROBLEM_LIST, COMMON_PROBLEM_LIST};
    for (size_t i = 0; code && i < sizeof lists / sizeof *lists; i++)
        for (const struct problem *const *at = lists[i]; *at; at++)
            if (strcmp((*at)->code, code) == 0)
                return *at;
    return &ERR_INTERNAL;
}
