/* The frame of a daemon: each case runs as a process of its own and is watched from outside. */
#include "service.h"

#include "http.h"
#include "mem.h"
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct probe_config {
    struct service_config service;
    const char *needed;
};
static struct probe_config config;
static const struct setting SETTINGS[] = {
    SERVICE_SETTINGS(struct probe_config, service, "18900", "18901", "4"),
    SETTING_REQUIRED(struct probe_config, needed, "T_NEEDED", "what is needed"),
    {0},
};

struct child {
    pid_t pid;
    int fd;
    char output[1 << 16];
    size_t length;
};

/* Runs service_main in a new process; its output (both streams) comes through a pipe. */
static void child_start(struct child *child, bool (*run)(void *config, struct err *err), const char *argument)
{
    int ends[2];
    memset(child, 0, sizeof *child);
    (void)!pipe(ends);
    (void)fflush(stdout);
    child->pid = fork();
    if (child->pid == 0) {
        char *argv[] = {"probe-svc", (char *)(uintptr_t)argument, NULL};
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        int status = service_main("probe-svc", argument ? 2 : 1, argv, SETTINGS, &config, &config.service, run);
        (void)fflush(stdout);
        _exit(status);
    }
    (void)close(ends[1]);
    child->fd = ends[0];
}

static bool child_said(struct child *child, const char *words)
{
    struct pollfd wait = {.fd = child->fd, .events = POLLIN};
    while (poll(&wait, 1, 0) > 0 && child->length < sizeof child->output - 1) {
        ssize_t got = read(child->fd, child->output + child->length, sizeof child->output - 1 - child->length);
        if (got <= 0)
            break;
        child->length += (size_t)got;
    }
    return strstr(child->output, words) != NULL;
}

/* The exit status, -1 when it does not end within 10 s. */
static int child_end(struct child *child)
{
    int status = 0;
    bool ended = EVENTUALLY(10000, waitpid(child->pid, &status, WNOHANG) == child->pid);
    (void)child_said(child, "");
    (void)close(child->fd);
    if (!ended) {
        (void)kill(child->pid, SIGKILL);
        (void)waitpid(child->pid, NULL, 0);
    }
    return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool says(struct child *child, const char *words)
{
    return test_check(child_said(child, words), __FILE__, __LINE__, "expected \"%s\" in: %s", words, child->output);
}

static void environment(void)
{
    (void)setenv("T_NEEDED", "x", 1);
    static const char *const NAMES[] = {"LISTEN",    "ADMIN_LISTEN", "ADVERTISE", "INSTANCE",
                                        "LOG_LEVEL", "PROFILE",      "WORKERS"};
    for (size_t i = 0; i < ARRAY_LENGTH(NAMES); i++)
        (void)unsetenv(NAMES[i]);
}

static void tell_reload(void *payload)
{
    (void)!write(STDERR_FILENO, payload, strlen(payload));
}

static bool run_until_stop(void *cfg, struct err *err)
{
    struct probe_config *it = cfg;
    char line[200];
    bool ok = !service_stopping() && strlen(it->service.instance) > 9 && it->service.workers == 4;
    (void)snprintf(line, sizeof line, "runs as %s %s\n", it->service.instance, ok ? "well" : "badly");
    (void)!write(STDERR_FILENO, line, strlen(line));
    ok = service_wait_for_stop(tell_reload, "reloaded\n", err) && ok;
    struct pollfd wait = {.fd = service_stop_fd(), .events = POLLIN};
    return ok && service_stopping() && poll(&wait, 1, 0) == 1;
}

static bool never_run(void *cfg, struct err *err)
{
    (void)cfg, (void)err;
    (void)!write(STDERR_FILENO, "RAN\n", 4);
    return true;
}

TEST(service_stops_on_sigterm_and_sigint_and_reloads_on_sighup, "")
{
    static const int SIGNALS[] = {SIGTERM, SIGINT};
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    environment();
    for (size_t i = 0; i < ARRAY_LENGTH(SIGNALS); i++) {
        child_start(child, run_until_stop, NULL);
        EXPECT(EVENTUALLY(10000, child_said(child, "well\n")));
        (void)kill(child->pid, SIGHUP);
        EXPECT(EVENTUALLY(10000, child_said(child, "reloaded\n")));
        (void)kill(child->pid, SIGNALS[i]);
        EXPECT_I64(0, child_end(child));
        says(child, "\"event.action\":\"start\"");
        says(child, "\"event.action\":\"stop_asked\"");
        says(child, "\"event.action\":\"stopped\"");
    }
}

/* Told to stop while still starting: the wait ends at once, and loops of their own see it. */
static bool run_slow_start(void *cfg, struct err *err)
{
    (void)cfg;
    (void)!write(STDERR_FILENO, "starting\n", 9);
    struct pollfd wait = {.fd = service_stop_fd(), .events = POLLIN};
    return poll(&wait, 1, 10000) == 1 && service_stopping() && service_wait_for_stop(NULL, NULL, err);
}

TEST(service_hears_a_stop_while_it_starts, "")
{
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    environment();
    child_start(child, run_slow_start, NULL);
    EXPECT(EVENTUALLY(10000, child_said(child, "starting\n")));
    (void)kill(child->pid, SIGTERM);
    EXPECT_I64(0, child_end(child));
}

static void *fail_from_a_thread(void *payload)
{
    (void)payload;
    service_fail("fenced: %d", 42);
    service_fail("later and untold");
    return NULL;
}

static bool run_and_fail(void *cfg, struct err *err)
{
    pthread_t thread;
    (void)cfg;
    (void)pthread_create(&thread, NULL, fail_from_a_thread, NULL);
    bool ok = service_wait_for_stop(NULL, NULL, err);
    (void)pthread_join(thread, NULL);
    return ok;
}

TEST(service_ends_with_the_first_reason_of_service_fail, "")
{
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    environment();
    child_start(child, run_and_fail, NULL);
    EXPECT_I64(1, child_end(child));
    says(child, "fenced: 42");
    EXPECT(!child_said(child, "untold"));
}

static bool run_write_to_nobody(void *cfg, struct err *err)
{
    int ends[2];
    pthread_attr_t attributes;
    size_t stack = 0;
    (void)cfg, (void)err;
    (void)!pipe(ends);
    (void)close(ends[0]);
    (void)pthread_getattr_default_np(&attributes);
    (void)pthread_attr_getstacksize(&attributes, &stack);
    return write(ends[1], "x", 1) == -1 && stack <= (2U << 20); /* SIGPIPE would have ended us */
}

TEST(service_ignores_sigpipe_and_keeps_stacks_small, "I9")
{
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    environment();
    child_start(child, run_write_to_nobody, NULL);
    EXPECT_I64(0, child_end(child));
}

TEST(service_prints_help_and_version, "")
{
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    environment();
    child_start(child, never_run, "--help");
    EXPECT_I64(0, child_end(child));
    says(child, "LISTEN ");
    says(child, "127.0.0.1:18900");
    says(child, "T_NEEDED");
    child_start(child, never_run, "--version");
    EXPECT_I64(0, child_end(child));
    says(child, "probe-svc " VERSION);
    child_start(child, never_run, "--what");
    EXPECT_I64(2, child_end(child));
    says(child, "--what");
    EXPECT(!child_said(child, "RAN"));
}

TEST(service_refuses_wrong_settings_by_name, "I10")
{
    static const char *const BAD[][2] = {{"WORKERS", "0"},        {"LOG_LEVEL", "loud"}, {"PROFILE", "test"},
                                         {"INSTANCE", "a b"},     {"LISTEN", "8080"},    {"ADMIN_LISTEN", "h:99999"},
                                         {"ADVERTISE", "::1:80"}, {"T_NEEDED", ""}};
    struct child *child AUTO_FREE = mem_new(1, sizeof *child);
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        environment();
        (void)setenv(BAD[i][0], BAD[i][1], 1);
        child_start(child, never_run, NULL);
        EXPECT_I64(2, child_end(child));
        says(child, BAD[i][0]);
        EXPECT(!child_said(child, "RAN"));
    }
    environment();
}

TEST(service_splits_addresses, "I10")
{
    static const struct {
        const char *text, *host;
        int port;
    } GOOD[] = {{"127.0.0.1:80", "127.0.0.1", 80},
                {"localhost:0", "localhost", 0},
                {"[::1]:65535", "::1", 65535},
                {"user-svc:8040", "user-svc", 8040}};
    static const char *const BAD[] = {
        "",        ":",       ":80",        "host",
        "host:",   "host:x",  "host:65536", "host:-1",
        "host: 1", "::1:80",  "[::1]",      "[::1]80",
        "[]:80",   "[::1:80", "h:1:2",      "0123456789012345678901234567890123456789012345678901234567890123456789:1"};
    char host[64];
    int port;
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(GOOD); i++) {
        REQUIRE_OK(service_split_address(GOOD[i].text, host, &port, &err), &err);
        EXPECT_TEXT(GOOD[i].host, host);
        EXPECT_I64(GOOD[i].port, port);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        test_check(!service_split_address(BAD[i], host, &port, &err), __FILE__, __LINE__, "taken: %s", BAD[i]);
}

static bool run_admin_side(void *cfg, struct err *err)
{
    struct probe_config *it = cfg;
    AUTO(http_server) admin = admin_server_start(it->service.admin_listen, NULL, NULL, NULL, "dev", err);
    if (!admin)
        return false;
    char line[40];
    (void)snprintf(line, sizeof line, "port %d;", http_server_port(admin));
    (void)!write(STDERR_FILENO, line, strlen(line));
    return service_wait_for_stop(NULL, NULL, err);
}

/* What a container's health check runs: a second process with the same settings. */
TEST(health_asks_the_process_with_the_same_settings, "S-51")
{
    struct child *served AUTO_FREE = mem_new(1, sizeof *served), *asking AUTO_FREE = mem_new(1, sizeof *asking);
    char address[40];
    environment();
    (void)setenv("ADMIN_LISTEN", "127.0.0.1:0", 1);
    child_start(served, run_admin_side, NULL);
    REQUIRE(EVENTUALLY(10000, child_said(served, "port ") && child_said(served, ";")));
    (void)snprintf(address, sizeof address, "0.0.0.0:%ld", strtol(strstr(served->output, "port ") + 5, NULL, 10));
    (void)setenv("ADMIN_LISTEN", address, 1);
    child_start(asking, never_run, "--health");
    EXPECT_I64(0, child_end(asking));
    EXPECT(!child_said(asking, "RAN"));
    (void)kill(served->pid, SIGTERM);
    EXPECT_I64(0, child_end(served));
    child_start(asking, never_run, "--health");
    EXPECT_I64(1, child_end(asking));
    environment();
}

TEST(a_wildcard_is_told_as_the_hosts_own_address, "S-53")
{
    char out[96], host[64];
    int port;
    struct err err = {0};
    REQUIRE_OK(service_reachable_address("user-svc:8040", out, &err), &err);
    EXPECT_TEXT("user-svc:8040", out);
    REQUIRE_OK(service_reachable_address("[::1]:80", out, &err), &err);
    EXPECT_TEXT("[::1]:80", out);
    if (service_reachable_address("0.0.0.0:8040", out, &err)) { /* a host whose name has an address */
        REQUIRE_OK(service_split_address(out, host, &port, &err), &err);
        EXPECT(strcmp(host, "0.0.0.0") != 0 && strncmp(host, "127.", 4) != 0);
        EXPECT_I64(8040, port);
    } else {
        EXPECT(err_is(&err, &ERR_BAD_INPUT) && strstr(err.message, "ADVERTISE"));
    }
}
