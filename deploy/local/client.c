/* client.c - see client.h. */
#include "client.h"

#include "probe.h"
#include "runfiles.h"
#include "services.h"
#include "strays.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUPERVISOR_MS 120000 /* more than it gives its stores */
#define DOWN_MS 60000        /* more than it gives its units to stop */
#define TAIL_LINES 15

static const char *const STORES[] = {"postgres", "redis", "kafka"};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000 * 1000}, NULL);
}

/* ---- up ---- */

/* A supervisor in the background: in a session of its own, its words to .run/supervise.log. */
static pid_t start_supervisor(const char *command)
{
    int log = run_open_log("supervise");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
        dup2(log, 1);
        dup2(log, 2);
        close_range(3, ~0U, 0);
        execl("/proc/self/exe", "madang-supervise", command, (char *)NULL);
        _exit(127);
    }
    close(log);
    return pid;
}

/* Until the supervisor of the part says `word`, started if there is none. */
static bool bring_up(const char *part, const char *command, const char *word)
{
    char state[32];
    pid_t started = 0;
    long log_start = run_log_size("supervise");
    for (int64_t deadline = now_ms() + SUPERVISOR_MS; now_ms() < deadline; pause_ms(20)) {
        pid_t holder = run_holder(part, state, sizeof state);
        if (holder && strcmp(state, word) == 0)
            return true;
        int status = 0;
        if (!holder && !started)
            started = start_supervisor(command);
        else if (started > 0 && waitpid(started, &status, WNOHANG) == started) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_UP_ALREADY)
                break;
            started = 0; /* somebody else was faster; theirs counts */
        }
    }
    fprintf(stderr, "madang: the %s did not come up:\n", part);
    run_print_tail("supervise", 40, log_start);
    return false;
}

int client_stores(void)
{
    return bring_up("stores", "keep-stores", "ready") ? 0 : 1;
}

struct waiting {
    bool print;
    int unready;
};

static void count_unready(const char *instance, void *payload)
{
    struct waiting *waiting = payload;
    char name[NAME_MAX], address[128];
    snprintf(name, sizeof name, "%s.admin", instance);
    run_read(name, address, sizeof address);
    if (*address && probe_readyz(address))
        return;
    waiting->unready++;
    if (waiting->print) {
        fprintf(stderr, "madang: %s is not ready; the end of its log:\n", instance);
        run_print_tail(instance, TAIL_LINES, 0);
    }
}

int client_wait(void)
{
    const char *wish = getenv("READY_SECONDS");
    long seconds = wish ? run_number(wish) : 0;
    int64_t deadline = now_ms() + 1000L * (seconds > 0 ? seconds : 60);
    struct waiting waiting;
    do {
        waiting = (struct waiting){0};
        services_each_instance(count_unready, &waiting);
        if (waiting.unready == 0)
            return 0;
        pause_ms(30);
    } while (now_ms() < deadline && run_holder("daemons", NULL, 0) != 0);
    waiting = (struct waiting){.print = true};
    services_each_instance(count_unready, &waiting);
    return waiting.unready == 0 && run_holder("daemons", NULL, 0) != 0 ? 0 : 1;
}

int client_up(void)
{
    return bring_up("stores", "keep-stores", "ready") && bring_up("daemons", "keep-daemons", "started") ? client_wait()
                                                                                                        : 1;
}

/* ---- down ---- */

static bool take_down(const char *part)
{
    bool told = false;
    pid_t holder = 0;
    for (int64_t deadline = now_ms() + DOWN_MS; now_ms() < deadline; pause_ms(20)) {
        holder = run_holder(part, NULL, 0);
        if (holder == 0)
            return true;
        if (holder > 0 && !told) {
            told = true;
            if (kill(holder, SIGTERM) != 0 && errno != ESRCH) {
                fprintf(stderr, "madang: cannot stop the %s (process %d): %s\n", part, (int)holder, strerror(errno));
                return false;
            }
        }
    }
    fprintf(stderr, "madang: the supervisor of the %s (process %d) does not stop; killed\n", part, (int)holder);
    if (holder > 0)
        kill(holder, SIGKILL); /* its units die with it */
    return false;
}

static void forget_stores(void)
{
    char name[NAME_MAX];
    for (size_t i = 0; i < sizeof STORES / sizeof *STORES; i++) {
        snprintf(name, sizeof name, "%s.pid", STORES[i]);
        run_remove(name);
    }
}

int client_stores_down(void)
{
    if (run_holder("daemons", NULL, 0)) {
        fputs("madang: daemons run on these stores; `make down` stops both\n", stderr);
        return 1;
    }
    bool ok = take_down("stores");
    if (ok)
        strays_kill_postgres();
    forget_stores();
    return ok ? 0 : 1;
}

int client_daemons_down(void)
{
    bool ok = take_down("daemons");
    services_forget_instances();
    return ok ? 0 : 1;
}

int client_down(void)
{
    int daemons = client_daemons_down();
    int stores = client_stores_down();
    return daemons ? daemons : stores;
}

/* ---- status ---- */

static void print_row(const char *name, const char *url, const char *admin, bool (*probe)(const char *),
                      const char *probed)
{
    char file[NAME_MAX], pid_text[32];
    snprintf(file, sizeof file, "%s.pid", name);
    run_read(file, pid_text, sizeof pid_text);
    pid_t pid = (pid_t)run_number(pid_text);
    bool runs = pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
    const char *state = runs ? "running" : pid > 0 ? "dead" : "external";
    bool ready = (runs || pid == 0) && probe(probed);
    printf("%-14s %8s  %-9s %-28s %-28s %s\n", name, pid > 0 ? pid_text : "-", state, url, admin, ready ? "yes" : "no");
}

static void print_instance(const char *instance, void *payload)
{
    (void)payload;
    char name[NAME_MAX], url[128], admin[128];
    snprintf(name, sizeof name, "%s.url", instance);
    run_read(name, url, sizeof url);
    snprintf(name, sizeof name, "%s.admin", instance);
    run_read(name, admin, sizeof admin);
    print_row(instance, url, admin, probe_readyz, admin);
}

/* Without scheme, log-in and options: those can be secret, and a table is narrow. */
static const char *plain_address(const char *url, char out[128])
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    const char *at = strchr(start, '@');
    start = at ? at + 1 : start;
    snprintf(out, 128, "%.*s", (int)strcspn(start, "/?"), start);
    return out;
}

int client_status(void)
{
    static const struct {
        const char *name, *url;
        bool (*probe)(const char *);
    } ROWS[] = {{"postgres", "PG_URL", probe_postgres},
                {"redis", "REDIS_URL", probe_redis},
                {"kafka", "KAFKA_BROKERS", probe_kafka}};
    char stores[32], daemons[32], address[128];
    pid_t stores_pid = run_holder("stores", stores, sizeof stores);
    pid_t daemons_pid = run_holder("daemons", daemons, sizeof daemons);
    if (!stores_pid && !daemons_pid) {
        puts("nothing runs");
        return 0;
    }
    printf("%-14s %8s  %-9s %-28s %-28s %s\n", "instance", "pid", "state", "url", "admin", "ready");
    for (size_t i = 0; stores_pid && i < sizeof ROWS / sizeof *ROWS; i++) {
        const char *url = getenv(ROWS[i].url);
        print_row(ROWS[i].name, plain_address(url ? url : "", address), "-", ROWS[i].probe, url ? url : "");
    }
    services_each_instance(print_instance, NULL);
    if (stores_pid)
        printf("supervisor of the stores: process %d, %s\n", (int)stores_pid, stores);
    if (daemons_pid)
        printf("supervisor of the daemons: process %d, %s\n", (int)daemons_pid, daemons);
    return 0;
}
