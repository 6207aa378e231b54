#include "problems.h"

#include <stddef.h>

AUTH_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const AUTH_PROBLEM_LIST[] = {AUTH_PROBLEMS(PROBLEM_LIST) NULL};
