/* strays.c - see strays.h. */
#include "strays.h"

#include "runfiles.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void strays_kill_children(const pid_t known[], int count)
{
    char path[64], digits[16];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    while (file && fscanf(file, "%15s", digits) == 1) {
        pid_t child = (pid_t)run_number(digits);
        bool is_known = false;
        for (int i = 0; i < count; i++)
            is_known = is_known || known[i] == child;
        if (!is_known && child > 0)
            kill(child, SIGKILL);
    }
    if (file)
        fclose(file);
}

/* PostgreSQL's processes stand in the data folder. Somebody's shell may, too. */
static bool serves(const char *pid, const struct stat *data)
{
    char path[64], program[PATH_MAX];
    struct stat cwd;
    snprintf(path, sizeof path, "/proc/%.20s/cwd", pid);
    if (stat(path, &cwd) != 0 || cwd.st_dev != data->st_dev || cwd.st_ino != data->st_ino)
        return false;
    snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
    ssize_t length = readlink(path, program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    const char *name = strrchr(program, '/');
    return name && strncmp(name, "/postgres", 9) == 0; /* " (deleted)" may follow, after an upgrade */
}

void strays_kill_postgres(void)
{
    char folder[PATH_MAX];
    struct stat data;
    run_path(folder, "stores/postgres");
    DIR *processes = stat(folder, &data) == 0 ? opendir("/proc") : NULL;
    for (struct dirent *entry; processes && (entry = readdir(processes));)
        if (run_number(entry->d_name) > 0 && serves(entry->d_name, &data))
            kill((pid_t)run_number(entry->d_name), SIGKILL);
    if (processes)
        closedir(processes);
}
