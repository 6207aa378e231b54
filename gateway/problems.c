#include "problems.h"

#include <stddef.h>

GATEWAY_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const GATEWAY_PROBLEM_LIST[] = {GATEWAY_PROBLEMS(PROBLEM_LIST) NULL};
