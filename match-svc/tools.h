/* tools.h - what match-svc can do besides serving: look into the log, and replay a market. README.md shows both. */
#ifndef MADANG_MATCH_TOOLS_H
#define MADANG_MATCH_TOOLS_H

#include <stdbool.h>

/* True for the arguments of a tool; then *status is what the process ends with.
 *   --dump <topic> <partition> [from] [to]   the records as JSON, one command or event a line
 *   --replay <market>                        all of its commands again, from the start and from each snapshot, compared
 *                                            with what market.events has; status 1 when anything differs */
bool tools_run(int argc, char **argv, int *status);

/* tool_dump.c, tool_replay.c; the status for main(). */
int tool_dump(const char *topic, const char *partition, const char *from, const char *to);
int tool_replay(const char *market);

#endif
