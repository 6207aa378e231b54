#include "service.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "report.h"
#include "trace.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (2U << 20)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define STACK_BYTES (2U << 20)
#endif
#endif
#ifndef STACK_BYTES
#define STACK_BYTES (256U << 10)
#endif

/* stop_fd is an epoll set of two level-triggered sources that nobody reads: the signalfd of SIGTERM and SIGINT (the
 * signal stays pending) and an eventfd for service_fail. So every thread may poll it, before and after the stop. */
static struct {
    pthread_once_t once;
    int stop_fd, fail_fd, signal_fd, reload_fd;
    pthread_mutex_t lock;
    bool failed;
    char reason[200];
    atomic_bool stopping;
} process = {.once = PTHREAD_ONCE_INIT, .signal_fd = -1, .reload_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static void process_watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(process.stop_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        abort(); /* no descriptors at the very start: nothing can work */
}

static void process_init(void)
{
    process.stop_fd = epoll_create1(EPOLL_CLOEXEC);
    process.fail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    process_watch(process.fail_fd);
}

int service_stop_fd(void)
{
    (void)pthread_once(&process.once, process_init);
    return process.stop_fd;
}

bool service_stopping(void)
{
    if (atomic_load_explicit(&process.stopping, memory_order_relaxed))
        return true;
    struct pollfd wait = {.fd = service_stop_fd(), .events = POLLIN};
    if (poll(&wait, 1, 0) != 1)
        return false;
    atomic_store(&process.stopping, true);
    return true;
}

void service_fail(const char *reason_format, ...)
{
    (void)pthread_once(&process.once, process_init);
    (void)pthread_mutex_lock(&process.lock);
    if (!process.failed) {
        process.failed = true;
        va_list args;
        va_start(args, reason_format);
        (void)vsnprintf(process.reason, sizeof process.reason, reason_format, args);
        va_end(args);
        (void)eventfd_write(process.fail_fd, 1);
    }
    (void)pthread_mutex_unlock(&process.lock);
}

static void run_reloads(void (*on_reload)(void *payload), void *payload)
{
    struct signalfd_siginfo info;
    if (read(process.reload_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    log_event(LOG_INFO, "reload");
    if (on_reload)
        on_reload(payload);
}

bool service_wait_for_stop(void (*on_reload)(void *payload), void *payload, struct err *err)
{
    struct pollfd waits[] = {{.fd = service_stop_fd(), .events = POLLIN}, {.fd = process.reload_fd, .events = POLLIN}};
    while (!service_stopping()) {
        if (poll(waits, ARRAY_LENGTH(waits), -1) > 0 && (waits[1].revents & POLLIN))
            run_reloads(on_reload, payload);
    }
    (void)pthread_mutex_lock(&process.lock);
    bool failed = process.failed;
    if (failed)
        err_set_internal(err, &ERR_INTERNAL, "%s", process.reason);
    (void)pthread_mutex_unlock(&process.lock);
    if (!failed)
        log_event(LOG_INFO, "stop_asked");
    return !failed;
}

/* ---- before run ----------------------------------------------------------------------------------------------------
 */

static void signals_open(void)
{
    sigset_t stop, reload, both;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigemptyset(&reload);
    sigaddset(&reload, SIGHUP);
    both = stop;
    sigaddset(&both, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &both, NULL); /* before the first thread, so that all inherit it */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)service_stop_fd();
    process.signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    process.reload_fd = signalfd(-1, &reload, SFD_CLOEXEC | SFD_NONBLOCK);
    process_watch(process.signal_fd);
}

/* Many small daemons share a machine: few malloc arenas and small stacks keep each under its budget of 10 MB. */
static void memory_open(void)
{
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_setattr_default_np(&attributes);
    (void)pthread_attr_destroy(&attributes);
}

static void descriptors_open(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void instance_make(char *text, size_t size)
{
    char host[48] = "";
    unsigned char random[4];
    (void)gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++) {
        bool plain = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || *c == '-' || *c == '.';
        *c = plain ? *c : '-';
    }
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memcpy(random, &(int32_t){(int32_t)clock_now_us()}, sizeof random);
    (void)snprintf(text, size, "%s-%02x%02x%02x%02x", *host ? host : "host", random[0], random[1], random[2],
                   random[3]);
}

static bool instance_valid(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return length > 0 && length < 64 && text[length] == '\0';
}

static bool profile_valid(const char *profile)
{
    return strcmp(profile, "dev") == 0 || strcmp(profile, "bench") == 0 || strcmp(profile, "production") == 0;
}

static bool common_check(const char *name, struct service_config *common, struct err *err)
{
    static char instance[64];
    enum log_level level;
    char host[64];
    int port;
    if (!log_parse_level(common->log_level, &level))
        return err_set(err, &ERR_BAD_INPUT, "LOG_LEVEL: must be debug, info, warn or error, is \"%.40s\"",
                       common->log_level);
    if (!profile_valid(common->profile))
        return err_set(err, &ERR_BAD_INPUT, "PROFILE: must be production, dev or bench, is \"%.40s\"", common->profile);
    if (!*common->instance) {
        instance_make(instance, sizeof instance);
        common->instance = instance;
    }
    if (!instance_valid(common->instance))
        return err_set(err, &ERR_BAD_INPUT, "INSTANCE: must be 1 to 63 of A-Z a-z 0-9 . _ -");
    log_open(name, common->instance, level);
    const struct {
        const char *name, *value;
    } addresses[] = {
        {"LISTEN", common->listen}, {"ADMIN_LISTEN", common->admin_listen}, {"ADVERTISE", common->advertise}};
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++) {
        struct err wrong = {0};
        if (*addresses[i].value && !service_split_address(addresses[i].value, host, &port, &wrong))
            return err_set(err, &ERR_BAD_INPUT, "%s: %s", addresses[i].name, wrong.message);
    }
    return true;
}

static void print_help(const char *name, const struct setting *settings)
{
    printf("%s %s\nUsage: %s [--help | --version | --health]\n\n", name, VERSION, name);
    config_print_help(settings, stdout);
    printf("\n--health: 0 when the process with these settings answers on its admin port.\nSIGTERM, SIGINT: drain and "
           "stop. SIGHUP: reload what can be reloaded.\n");
}

int service_main(const char *name, int argc, char **argv, const struct setting *settings, void *config,
                 struct service_config *common, bool (*run)(void *config, struct err *err))
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help(name, settings);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", name, VERSION);
        return 0;
    }
    const bool asks = argc == 2 && strcmp(argv[1], "--health") == 0;
    if (argc != 1 && !asks) {
        (void)fprintf(stderr, "%s: unknown argument %s (see --help)\n", name, argv[1]);
        return 2;
    }
    struct err err = {0};
    log_open(name, "", LOG_INFO);
    if (!config_load(settings, config, &err) || !common_check(name, common, &err)) {
        log_event(LOG_ERROR, "wrong_setting", LOG_TEXT("message", err.message));
        return 2;
    }
    if (asks)
        return service_ask_health(common->admin_listen, &err) ? 0 : 1;
    memory_open();
    descriptors_open();
    signals_open();
    log_event(LOG_INFO, "start", LOG_TEXT("service.version", VERSION), LOG_TEXT("profile", common->profile));
    bool ok = report_open(name, common->instance, common->profile, common->sentry_dsn, &err) &&
              trace_open(name, common->instance, common->otlp_url, &err) && run(config, &err);
    trace_close();
    if (!ok)
        log_event(LOG_ERROR, "failed", LOG_TEXT("error.type", err.problem ? err.problem->code : "unknown"),
                  LOG_TEXT("error.message", err.message), LOG_TEXT("error.detail", err.detail));
    else
        log_event(LOG_INFO, "stopped");
    report_close();
    return ok ? 0 : 1;
}

/* ---- addresses
 * ------------------------------------------------------------------------------------------------------- */

static bool parse_port(const char *text, int *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return false;
    *port = (int)strtol(text, NULL, 10);
    return *port <= 65535;
}

bool service_split_address(const char *address, char host[64], int *port, struct err *err)
{
    bool bracket = *address == '[';
    const char *start = address + bracket, *end = bracket ? strchr(start, ']') : strrchr(address, ':');
    const char *colon = end && bracket ? end + 1 : end;
    size_t length = end ? (size_t)(end - start) : 0;
    bool ok = length > 0 && length < 64 && *colon == ':' && parse_port(colon + 1, port);
    /* more than one colon without brackets: where would the port start? */
    if (!ok || (!bracket && memchr(start, ':', length)))
        return err_set(err, &ERR_BAD_INPUT, "must be host:port or [v6]:port, is \"%.80s\"", address);
    memcpy(host, start, length);
    host[length] = '\0';
    return true;
}
