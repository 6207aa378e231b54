#include "tools.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

bool tools_run(int argc, char **argv, int *status)
{
    if (argc < 2 || (strcmp(argv[1], "--dump") != 0 && strcmp(argv[1], "--replay") != 0))
        return false;
    log_open("match-svc", "tool", LOG_ERROR);
    if (strcmp(argv[1], "--dump") == 0 && argc >= 4 && argc <= 6)
        *status = tool_dump(argv[2], argv[3], argc > 4 ? argv[4] : NULL, argc > 5 ? argv[5] : NULL);
    else if (strcmp(argv[1], "--replay") == 0 && argc == 3)
        *status = tool_replay(argv[2]);
    else {
        (void)fprintf(stderr, "usage: match-svc --dump <topic> <partition> [from [to]]\n"
                              "       match-svc --replay <market>\n");
        *status = 2;
    }
    return true;
}
