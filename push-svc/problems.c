#include "problems.h"

PUSH_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const PUSH_PROBLEM_LIST[] = {PUSH_PROBLEMS(PROBLEM_LIST) NULL};
