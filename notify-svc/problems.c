#include "problems.h"

NOTIFY_PROBLEMS(PROBLEM_DEFINE)

const struct problem *const NOTIFY_PROBLEM_LIST[] = {NOTIFY_PROBLEMS(PROBLEM_LIST) NULL};
