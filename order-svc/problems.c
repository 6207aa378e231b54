#include "problems.h"

ORDER_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const ORDER_PROBLEM_LIST[] = {ORDER_PROBLEMS(PROBLEM_LIST) NULL};
