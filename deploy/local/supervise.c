/* supervise.c - madang-supervise: keeps the stores and the daemons of the local stack running. README.md has the
 * picture. Two supervisors, each with its lock: one for the stores, one for the daemons, so that daemons come and go on
 * standing stores. The loop has one thread: signals come by signalfd, everything else by the clock. */
#include "client.h"
#include "probe.h"
#include "runfiles.h"
#include "services.h"
#include "strays.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define STORES_READY_MS 90000
#define STORES_STOP_MS 30000
#define DAEMONS_STOP_MS 20000
#define QUICK_DEATHS_MAX 15 /* a store that dies at once so often while starting will not start */
#define STEP_MS 50          /* between two looks while something is awaited */
#define IDLE_MS 1000        /* between two looks at the size of the logs */

struct supervisor {
    const char *part; /* stores or daemons */
    struct unit units[UNITS_MAX];
    int count;
    bool again;    /* SUPERVISE: the dead are started again */
    bool awaiting; /* start-up is not over: step() is called every STEP_MS */
    void (*step)(struct supervisor *s);
    int64_t begun_ms;
    int stop_ms; /* units get so long to stop, then SIGKILL */
    bool stopping;
    int64_t kill_at_ms;
    int status;       /* our exit status */
    char **task_argv; /* stores: prepares the database. daemons in the foreground: loads demo data. NULL: none */
    pid_t task;
    pid_t stores; /* daemons in the foreground: the supervisor of the stores, when it is our child */
};

static void say(const char *who, const char *what)
{
    printf("madang: %s %s\n", who, what);
    fflush(stdout);
}

/* ---- stopping ---- */

static void stop(struct supervisor *s, int status)
{
    if (s->stopping)
        return;
    s->stopping = true;
    s->status = status;
    s->kill_at_ms = now_ms() + s->stop_ms;
    run_lock_state(s->part, "stopping");
    for (int i = 0; i < s->count; i++) {
        s->units[i].start_at_ms = 0;
        unit_signal(&s->units[i], s->units[i].stop_signal);
        unit_signal(&s->units[i], SIGCONT); /* a paused one must hear it too */
    }
    if (s->task > 0)
        kill(s->task, SIGTERM);
}

static void fail(struct supervisor *s, const struct unit *unit, const char *what)
{
    fprintf(stderr, "madang: %s %s\n", unit->name, what);
    if (unit->argv) {
        fprintf(stderr, "the end of its log:\n");
        run_print_tail(unit->name, 15, 0);
    }
    stop(s, 1);
}

static bool anything_left(const struct supervisor *s)
{
    for (int i = 0; i < s->count; i++)
        if (s->units[i].pid)
            return true;
    return s->task > 0;
}

static void kill_what_does_not_stop(struct supervisor *s)
{
    if (now_ms() < s->kill_at_ms)
        return;
    s->kill_at_ms = INT64_MAX;
    for (int i = 0; i < s->count; i++)
        if (s->units[i].pid) {
            say(s->units[i].name, "does not stop; killed");
            unit_signal(&s->units[i], SIGKILL);
        }
    if (s->task > 0)
        kill(s->task, SIGKILL);
}

static void kill_strays(const struct supervisor *s)
{
    pid_t known[UNITS_MAX + 2] = {s->task, s->stores};
    for (int i = 0; i < s->count; i++)
        known[i + 2] = s->units[i].pid;
    strays_kill_children(known, s->count + 2);
}

/* Nothing of ours outlives us. */
static void end_strays(const struct supervisor *s)
{
    kill_strays(s);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

/* ---- what happens to children ---- */

static void task_ended(struct supervisor *s, int status)
{
    s->task = 0;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (strcmp(s->part, "daemons") == 0) {
        if (!ok && !s->stopping)
            say(s->task_argv[0], "failed; the daemons go on");
    } else if (ok && !s->stopping) {
        s->awaiting = false;
        run_lock_state(s->part, "ready");
        say(s->part, "are ready");
    } else if (!s->stopping) {
        fputs("madang: the database could not be prepared\n", stderr);
        stop(s, 1);
    }
}

static void stores_ended(struct supervisor *s, int status)
{
    s->stores = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_UP_ALREADY)
        return; /* they run, and are not ours to stop */
    if (!s->stopping)
        fputs("madang: the supervisor of the stores ended\n", stderr);
    stop(s, 1);
}

static void reap(struct supervisor *s)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == s->task)
            task_ended(s, status);
        else if (pid == s->stores)
            stores_ended(s, status);
        for (int i = 0; i < s->count; i++)
            if (s->units[i].pid == pid) {
                unit_ended(&s->units[i], status, s->again && !s->stopping);
                kill_strays(s); /* what it left would be in the way of the next */
            }
    }
}

/* ---- start-up of the stores ---- */

static void start_task(struct supervisor *s)
{
    s->task = process_start(NULL, s->task_argv, environ, STDOUT_FILENO, SIGKILL);
    if (s->task < 0)
        stop(s, 1);
}

/* All answer -> the database is prepared -> ready. */
static void step_stores(struct supervisor *s)
{
    bool all = true;
    for (int i = 0; i < s->count && !s->stopping; i++) {
        struct unit *unit = &s->units[i];
        if (unit->ready)
            continue;
        bool runs = unit->pid || !unit->argv;
        if (runs && unit->probe(unit->address)) {
            unit->ready = true;
            say(unit->name, "answers");
            continue;
        }
        all = false;
        if (unit->quick_deaths >= QUICK_DEATHS_MAX || (!runs && !unit->start_at_ms))
            fail(s, unit, "does not start");
        else if (now_ms() - s->begun_ms > STORES_READY_MS)
            fail(s, unit, "does not answer");
    }
    if (all && !s->stopping && !s->task)
        start_task(s);
}

/* ---- start-up of the daemons ---- */

static void make_due(struct supervisor *s)
{
    for (int i = 0; i < s->count; i++)
        if (s->units[i].argv)
            s->units[i].start_at_ms = 1;
}

/* The stores are ready -> every daemon at once. */
static void step_daemons(struct supervisor *s)
{
    char state[32];
    if (!run_holder("stores", state, sizeof state) && !s->stores) {
        fputs("madang: there are no stores\n", stderr);
        stop(s, 1);
    } else if (strcmp(state, "ready") == 0) {
        make_due(s);
        s->awaiting = false;
        run_lock_state(s->part, "started");
        if (s->task_argv)
            start_task(s);
    }
}

/* ---- the loop ---- */

static int next_wait_ms(struct supervisor *s)
{
    int64_t wait_ms = s->awaiting || s->stopping ? STEP_MS : IDLE_MS;
    for (int i = 0; i < s->count && !s->stopping; i++) {
        int64_t due_ms = unit_start_if_due(&s->units[i]);
        if (due_ms >= 0 && due_ms < wait_ms)
            wait_ms = due_ms;
    }
    return (int)wait_ms;
}

static void read_signals(struct supervisor *s, int fd, int wait_ms)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    struct signalfd_siginfo info;
    if (poll(&readable, 1, wait_ms) <= 0)
        return;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue; /* reap() looks at every turn */
        if (s->stopping)
            s->kill_at_ms = 0; /* asked twice: at once */
        stop(s, 0);
    }
}

static int supervise(struct supervisor *s, int signals)
{
    s->begun_ms = now_ms();
    s->awaiting = true;
    while (!s->stopping || anything_left(s)) {
        read_signals(s, signals, next_wait_ms(s));
        reap(s);
        if (s->stopping)
            kill_what_does_not_stop(s);
        else if (s->awaiting)
            s->step(s);
        for (int i = 0; i < s->count; i++)
            run_rotate_log(s->units[i].name);
        run_rotate_log("supervise");
    }
    return s->status;
}

/* SIGCHLD and what ends us, as a descriptor. Blocked before the first child. */
static int open_signals(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP); /* the terminal was closed */
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool supervising(void)
{
    const char *wish = getenv("SUPERVISE");
    return !wish || strcmp(wish, "0") != 0;
}

static int keep_stores(void)
{
    static struct supervisor s = {.part = "stores", .step = step_stores, .stop_ms = STORES_STOP_MS};
    char *prepare[] = {"deploy/local/fill.sh", NULL};
    int signals = open_signals();
    if (!run_lock(s.part))
        return STATUS_UP_ALREADY;
    s.again = supervising();
    s.task_argv = prepare;
    strays_kill_postgres();
    if ((s.count = services_make_stores(s.units)) < 0)
        return 1;
    const char *own = getenv("OWN_PG");
    setenv("CREATE_DATABASE", own && strcmp(own, "no") == 0 ? "off" : "on", 1);
    make_due(&s);
    int status = supervise(&s, signals);
    end_strays(&s);
    char name[64];
    for (int i = 0; i < s.count; i++) {
        snprintf(name, sizeof name, "%.48s.pid", s.units[i].name);
        run_remove(name);
    }
    say(s.part, "are down");
    return status;
}

/* For `run`: the stores' supervisor as a child, which stops them when we go, however we go. */
static pid_t start_stores(void)
{
    char *argv[] = {"/proc/self/exe", "keep-stores", NULL};
    return process_start(NULL, argv, environ, STDOUT_FILENO, SIGTERM);
}

static void stop_stores(const struct supervisor *s)
{
    if (s->stores <= 0)
        return;
    kill(s->stores, SIGTERM);
    while (waitpid(s->stores, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* after_ready: a program and its arguments (argv style), NULL in the background form, which finds its stores up. */
static int keep_daemons(bool foreground, char **after_ready)
{
    static struct supervisor s = {.part = "daemons", .step = step_daemons, .stop_ms = DAEMONS_STOP_MS};
    int signals = open_signals();
    if (!run_lock(s.part)) {
        if (foreground)
            fputs("madang: it runs already: `make status` shows it, `make down` stops it\n", stderr);
        return STATUS_UP_ALREADY;
    }
    s.again = supervising();
    s.task_argv = after_ready;
    if ((s.count = services_make_daemons(s.units)) < 0)
        return 1;
    if (foreground)
        s.stores = start_stores();
    int status = supervise(&s, signals);
    services_forget_instances();
    stop_stores(&s);
    end_strays(&s);
    return status;
}

static int run_one(const char *service)
{
    struct unit unit;
    if (!services_make_one(service, &unit))
        return 1;
    fflush(stdout);
    execve(unit.argv[0], unit.argv, unit.environment);
    fprintf(stderr, "madang: cannot run %s: %s\n", unit.argv[0], strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    static const struct {
        const char *name;
        int (*run)(void);
    } COMMANDS[] = {
        {"stores", client_stores},    {"up", client_up},
        {"wait", client_wait},        {"stores-down", client_stores_down},
        {"down", client_down},        {"status", client_status},
        {"keep-stores", keep_stores}, {"daemons-down", client_daemons_down},
        {"topics", client_topics},
    };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        if (strcmp(command, COMMANDS[i].name) == 0)
            return COMMANDS[i].run();
    if (strcmp(command, "keep-daemons") == 0)
        return keep_daemons(false, NULL);
    if (strcmp(command, "run") == 0)
        return keep_daemons(true, argc > 2 ? argv + 2 : NULL);
    if (strcmp(command, "one") == 0 && argc == 3)
        return run_one(argv[2]);
    fputs("usage: madang-supervise stores|up|run [program]|wait|status|down|daemons-down|stores-down|one <service>\n"
          "settings come from deploy/local/stack.sh, which the make targets call\n",
          stderr);
    return 2;
}
