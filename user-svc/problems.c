#include "problems.h"

USER_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const USER_PROBLEM_LIST[] = {USER_PROBLEMS(PROBLEM_LIST) NULL};
