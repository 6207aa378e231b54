/* services.c - see services.h. A new service is a line in SERVICES. */
#include "services.h"

#include "probe.h"
#include "runfiles.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* clang-format off */
/* Ports: SERVICE_PORT_BASE (7100) + port + n-1, ADMIN_PORT_BASE (7300) + port + n-1; the gateway's own are GATEWAY_PORT and up.
 * The tenth port of each row is for a developer's own instance. */
static const struct service {
    const char *name;
    int port;
    const char *database;   /* gets <DATABASE>_DB_URL, and nobody else's; NULL: none */
    const char *secrets[4]; /* of .run/secrets, what it may know */
    const char *settings[4]; /* NAME=value, unless the environment says otherwise */
} SERVICES[] = {
    /* name      port database  secrets             settings */
    {"gateway",   0, NULL,     {NULL},             {NULL}},
    {"auth-svc", 10, "AUTH",   {"AUTH_SECRET"},    {"AUTH_FIRST_ADMIN=admin@madang.local"}},
    {"user-svc", 20, "USER",   {"FILES_SECRET"},   {NULL}},
    {"chat-svc", 30, "CHAT",   {"FILES_SECRET"},  {NULL}},
    {"presence-svc", 40, "PRESENCE", {NULL},       {NULL}},
    {"push-svc", 50, "PUSH",   {NULL},             {NULL}},
    {"notify-svc", 60, "NOTIFY", {NULL},           {NULL}},
    {"match-svc", 70, "MATCH", {NULL},             {NULL}},
    {"order-svc", 80, "ORDER", {NULL},             {NULL}},
    {"game-svc", 90, "GAME",   {NULL},             {NULL}},
};
#define SERVICES_COUNT (sizeof SERVICES / sizeof *SERVICES)
#define DEVELOPER_PORT 9
#define DEVELOPER_SLOT 100 /* beside those of the table, which are their n */

/* What no daemon inherits: other services' keys (each gets its own by SERVICES), and what drives only the local stack. */
static const char *const HIDDEN[] = {
    "PG_URL", "PG_OWNER_PASSWORD", "PG_PASSWORD_", "PG_ROLE_PASSWORDS", "ADMIN_PASSWORD", "DEMO_PASSWORD", "FRIENDS_PASSWORD",
    "AUTH_SECRET=", "FILES_SECRET=", "PG_BIN=", "PGPASSWORD", "STORE_", "KAFKA_LIB=", "OWN_", "MAKE", "MFLAGS", "SCALE=",
};
/* clang-format on */

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void *must(void *memory)
{
    if (!memory) {
        fputs("madang: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

__attribute__((format(printf, 1, 2))) static char *text(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&out, format, args) < 0)
        out = NULL;
    va_end(args);
    return must(out);
}

static int port_setting(const char *name, int otherwise)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", otherwise);
    long port = run_number(setting(name, digits));
    if (port > 0 && port < 65536)
        return (int)port;
    fprintf(stderr, "madang: %s is not a port\n", name);
    exit(1);
}

/* ---- environments ---- */

static bool is_hidden(const char *entry)
{
    for (size_t i = 0; i < sizeof HIDDEN / sizeof *HIDDEN; i++)
        if (strncmp(entry, HIDDEN[i], strlen(HIDDEN[i])) == 0)
            return true;
    const char *equals = strchr(entry, '=');
    return equals && equals - entry > 7 && strncmp(equals - 7, "_DB_URL", 7) == 0;
}

static char **environment_without_hidden(void)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **out = must(calloc(count + 32, sizeof *out)); /* 32: room for what daemon_environment adds */
    for (size_t i = 0, n = 0; i < count; i++)
        if (!is_hidden(environ[i]))
            out[n++] = environ[i];
    return out;
}

/* Sets NAME=value, replacing an earlier one. */
static void put(char **environment, char *entry)
{
    size_t name_length = (size_t)(strchr(entry, '=') - entry) + 1;
    size_t i = 0;
    while (environment[i] && strncmp(environment[i], entry, name_length) != 0)
        i++;
    environment[i] = entry;
}

/* `slot`: the place in the Kafka group. Two processes with one slot would throw each other out. */
static char **daemon_environment(const struct service *service, const char *instance, int slot, int port,
                                 int admin_port)
{
    char **e = environment_without_hidden();
    char folder[PATH_MAX];
    const char *host = service->port == 0 ? setting("GATEWAY_HOST", "127.0.0.1") : "127.0.0.1";
    run_path(folder, "data/%s", service->name);
    put(e, text("LISTEN=%s:%d", host, port));
    put(e, text("ADMIN_LISTEN=127.0.0.1:%d", admin_port));
    put(e, text("INSTANCE=%s", instance));
    put(e, text("INSTANCE_SLOT=%d", slot));
    put(e, text("REDIS_URL=%s", setting("REDIS_URL", "")));
    put(e, text("KAFKA_BROKERS=%s", setting("KAFKA_BROKERS", "")));
    put(e, text("DATA_DIR=%s", folder));
    put(e, text("PROFILE=%s", setting("PROFILE", "dev")));
    /* By name: browsers and auth-svc treat localhost as safe without TLS. */
    char *public_url = text("http://localhost:%d", port_setting("GATEWAY_PORT", 8080));
    put(e, text("PUBLIC_URL=%s", setting("PUBLIC_URL", public_url)));
    free(public_url);
    if (service->database) {
        char *name = text("%s_DB_URL", service->database);
        put(e, text("%s=%s", name, setting(name, "")));
        free(name);
    }
    for (int i = 0; i < 4 && service->secrets[i]; i++)
        put(e, text("%s=%s", service->secrets[i], setting(service->secrets[i], "")));
    for (int i = 0; i < 4 && service->settings[i]; i++) {
        char *name = text("%.*s", (int)strcspn(service->settings[i], "="), service->settings[i]);
        if (!getenv(name))
            put(e, text("%s", service->settings[i]));
        free(name);
    }
    return e;
}

/* ---- ports ---- */

/* A predecessor that was killed a moment ago may still be going: it gets 3 s. */
static bool port_is_free(const char *unit, const char *host, int port, const char *variable)
{
    for (int tries = 0; tries < 60; tries++) {
        if (probe_port_free(host, port))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    fprintf(stderr, "madang: %s needs port %d, which another program uses (%s chooses another)\n", unit, port,
            variable);
    return false;
}

/* ---- daemons ---- */

static const struct service *find_service(const char *name, size_t length)
{
    for (size_t i = 0; i < SERVICES_COUNT; i++)
        if (strlen(SERVICES[i].name) == length && strncmp(SERVICES[i].name, name, length) == 0)
            return &SERVICES[i];
    fprintf(stderr, "madang: there is no service %.*s; there are", (int)length, name);
    for (size_t i = 0; i < SERVICES_COUNT; i++)
        fprintf(stderr, " %s", SERVICES[i].name);
    fputc('\n', stderr);
    return NULL;
}

/* SCALE="user-svc=2 gateway=2" -> instances per row of SERVICES. */
static bool read_scale(int instances[SERVICES_COUNT])
{
    for (size_t i = 0; i < SERVICES_COUNT; i++)
        instances[i] = 1;
    const char *at = setting("SCALE", "");
    while (*(at += strspn(at, " ,"))) {
        size_t length = strcspn(at, " ,");
        size_t name_length = strcspn(at, "= ,");
        const struct service *service = find_service(at, name_length);
        if (!service)
            return false;
        if (length != name_length + 2 || at[name_length] != '=' || !isdigit((unsigned char)at[length - 1])) {
            fprintf(stderr, "madang: SCALE has %.*s; it takes <service>=0 to %d\n", (int)length, at, INSTANCES_MAX);
            return false;
        }
        instances[service - SERVICES] = at[length - 1] - '0';
        at += length;
    }
    return true;
}

static char *program_of(const struct service *service)
{
    char *path = text("%s/bin/%s", setting("BUILD", "build/gcc"), service->name);
    if (access(path, X_OK) == 0)
        return path;
    fprintf(stderr, "madang: %s is not built: no program %s\n", service->name, path);
    free(path);
    return NULL;
}

static void make_folder(const char *service)
{
    char path[PATH_MAX];
    run_path(path, "data");
    mkdir(path, 0755);
    run_path(path, "data/%s", service);
    mkdir(path, 0700);
}

static void write_address(const char *instance, const char *kind, int port)
{
    char *name = text("%s.%s", instance, kind);
    char *address = text("http://127.0.0.1:%d\n", port);
    run_write(name, address);
    free(name);
    free(address);
}

/* The gateways stand one after the other, where a port is free; services have their fixed rows. */
static int public_port(const struct service *service, int n, int *last_gateway_port)
{
    if (service->port != 0)
        return port_setting("SERVICE_PORT_BASE", 7100) + service->port + n - 1;
    const char *host = setting("GATEWAY_HOST", "127.0.0.1");
    int port = n == 1 ? port_setting("GATEWAY_PORT", 8080) : *last_gateway_port + 1;
    while (n > 1 && port < 65535 && !probe_port_free(host, port))
        port++;
    return *last_gateway_port = port;
}

static bool make_instance(const struct service *service, int n, char *program, int *last_gateway_port,
                          struct unit *unit)
{
    *unit = (struct unit){.stop_signal = SIGTERM, .delay_max_ms = 5000};
    snprintf(unit->name, sizeof unit->name, "%s-%d", service->name, n);
    int port = public_port(service, n, last_gateway_port);
    int admin_port = port_setting("ADMIN_PORT_BASE", 7300) + service->port + n - 1;
    const char *variable = service->port ? "SERVICE_PORT_BASE" : "GATEWAY_PORT";
    if (!port_is_free(unit->name, service->port ? "127.0.0.1" : setting("GATEWAY_HOST", "127.0.0.1"), port, variable) ||
        !port_is_free(unit->name, "127.0.0.1", admin_port, "ADMIN_PORT_BASE"))
        return false;
    unit->argv = must(calloc(2, sizeof *unit->argv));
    unit->argv[0] = program;
    unit->environment = daemon_environment(service, unit->name, n, port, admin_port);
    write_address(unit->name, "url", port);
    write_address(unit->name, "admin", admin_port);
    return true;
}

int services_make_daemons(struct unit units[UNITS_MAX])
{
    int instances[SERVICES_COUNT], count = 0, last_gateway_port = 0;
    services_forget_instances();
    if (!read_scale(instances))
        return -1;
    for (size_t i = 0; i < SERVICES_COUNT; i++) {
        char *program = program_of(&SERVICES[i]);
        if (!program)
            return -1;
        make_folder(SERVICES[i].name);
        for (int n = 1; n <= instances[i]; n++)
            if (!make_instance(&SERVICES[i], n, program, &last_gateway_port, &units[count++]))
                return -1;
    }
    return count;
}

bool services_make_one(const char *name, struct unit *unit)
{
    const struct service *service = find_service(name, strlen(name));
    char *program = service ? program_of(service) : NULL;
    if (!program)
        return false;
    make_folder(service->name);
    *unit = (struct unit){0};
    snprintf(unit->name, sizeof unit->name, "%s-dev", service->name);
    int port = service->port ? port_setting("SERVICE_PORT_BASE", 7100) + service->port + DEVELOPER_PORT
                             : port_setting("GATEWAY_PORT", 8080) + DEVELOPER_PORT;
    int admin_port = port_setting("ADMIN_PORT_BASE", 7300) + service->port + DEVELOPER_PORT;
    if (!port_is_free(unit->name, "127.0.0.1", port, service->port ? "SERVICE_PORT_BASE" : "GATEWAY_PORT") ||
        !port_is_free(unit->name, "127.0.0.1", admin_port, "ADMIN_PORT_BASE"))
        return false;
    unit->argv = must(calloc(2, sizeof *unit->argv));
    unit->argv[0] = program;
    unit->environment = daemon_environment(service, unit->name, DEVELOPER_SLOT, port, admin_port);
    printf("madang: %s at http://127.0.0.1:%d, admin http://127.0.0.1:%d\n", unit->name, port, admin_port);
    return true;
}

/* ---- stores ---- */

static bool is_ours(const char *name)
{
    return strcmp(setting(name, "yes"), "yes") == 0;
}

static char **arguments(const char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **out = must(calloc(count + 1, sizeof *out));
    for (size_t i = 0; i < count; i++)
        out[i] = text("%s", list[i]);
    return out;
}

int services_make_stores(struct unit units[UNITS_MAX])
{
    const char *home = setting("STORE_HOME", "");
    const char *user = setting("STORE_USER", NULL);
    char *postgres = text("%s/postgres", setting("PG_BIN", ""));
    char *pg_data = text("%s/postgres", home), *pg_config = text("config_file=%s/postgresql.conf", home);
    char *pg_hba = text("hba_file=%s/pg_hba.conf", home), *redis_conf = text("%s/redis.conf", home);
    char *jars = text("%s/*", setting("KAFKA_LIB", "")), *properties = text("%s/server.properties", home);
    char *log4j = text("-Dlog4j2.configurationFile=%s/log4j2.xml", home),
         *kafka_logs = text("-Dkafka.logs.dir=%s/kafka", home);
    /* clang-format off */
    const struct {
        const char *name, *own, *argv[16];
        const char *port_settings[2];
        int port_defaults[2];
        const char *address;
        bool (*probe)(const char *address);
        int stop_signal, delay_max_ms;
    } stores[] = {
        /* SIGINT: fast shutdown, without waiting for clients. After kill -9 a new postmaster refuses to start until the old one's
         * children are gone: so it is tried every second. */
        {"postgres", "OWN_PG", {postgres, "-D", pg_data, "-c", pg_config, "-c", pg_hba}, {"PG_PORT"}, {15432},
         setting("PG_URL", ""), probe_postgres, SIGINT, 1000},
        {"redis", "OWN_REDIS", {"redis-server", redis_conf}, {"REDIS_PORT"}, {16379},
         setting("REDIS_URL", ""), probe_redis, SIGTERM, 1000},
        /* Large pages, where the kernel has them, and a young generation that a burst fits in (docs/decisions/022). */
        {"kafka", "OWN_KAFKA", {"java", "-Xms256m", "-Xmx512m", "-Xmn128m", "-XX:+UseSerialGC", "-XX:+UseTransparentHugePages", log4j, kafka_logs, "-cp", jars, "kafka.Kafka", properties},
         {"KAFKA_PORT", "KAFKA_CONTROLLER_PORT"}, {19092, 19093}, setting("KAFKA_BROKERS", ""), probe_kafka, SIGTERM, 1000},
    };
    /* clang-format on */
    int count = 0;
    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
        struct unit unit = {.user = user,
                            .address = stores[i].address,
                            .probe = stores[i].probe,
                            .stop_signal = stores[i].stop_signal,
                            .delay_max_ms = stores[i].delay_max_ms};
        snprintf(unit.name, sizeof unit.name, "%s", stores[i].name);
        if (!is_ours(stores[i].own)) { /* somebody else runs it: it must answer, that is all */
            units[count++] = unit;
            continue;
        }
        for (int p = 0; p < 2 && stores[i].port_settings[p]; p++)
            if (!port_is_free(unit.name, "127.0.0.1",
                              port_setting(stores[i].port_settings[p], stores[i].port_defaults[p]),
                              stores[i].port_settings[p]))
                return -1;
        unit.argv = arguments(stores[i].argv);
        unit.environment = environment_without_hidden();
        if (user)
            put(unit.environment, text("HOME=%s", home));
        units[count++] = unit;
    }
    return count;
}

/* ---- what stands in RUN_DIR ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void services_each_instance(void (*each)(const char *instance, void *payload), void *payload)
{
    char folder[PATH_MAX], *names[UNITS_MAX];
    size_t count = 0;
    run_path(folder, ".");
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir)) && count < UNITS_MAX;) {
        char *dot = strrchr(entry->d_name, '.');
        if (entry->d_name[0] != '.' && dot && strcmp(dot, ".admin") == 0)
            names[count++] = text("%.*s", (int)(dot - entry->d_name), entry->d_name);
    }
    if (dir)
        closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        each(names[i], payload);
        free(names[i]);
    }
}

static void forget(const char *instance, void *payload)
{
    (void)payload;
    static const char *const KINDS[] = {"pid", "url", "admin"};
    for (size_t i = 0; i < 3; i++) {
        char *name = text("%s.%s", instance, KINDS[i]);
        run_remove(name);
        free(name);
    }
}

void services_forget_instances(void)
{
    services_each_instance(forget, NULL);
}
