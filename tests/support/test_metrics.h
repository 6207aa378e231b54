/* test_metrics.h - figures as /metrics shows them. */
#ifndef MADANG_TEST_METRICS_H
#define MADANG_TEST_METRICS_H

#include "metrics.h"
#include "str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a line that begins with this name (with its labels); -1: there is none. */
static int64_t test_metric(const char *name)
{
    AUTO_STR out;
    str_init(&out);
    metrics_print(&out);
    char line[160];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(out.bytes, line);
    return at ? strtoll(at + strlen(line), NULL, 10) : -1;
}

#endif
