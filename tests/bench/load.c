/* load - a closed- or open-loop HTTP/1.1 load generator that checks every reply.
 *
 *     load --url http://127.0.0.1:8080/api/friends --connections 300 --seconds 20 --warmup 3 --tokens FILE
 *          [--rotate] [--rate 2000] [--expect FILE] [--pid name=PID ...] [--json]
 *
 * One epoll loop, keep-alive, one request at a time per connection. --tokens: one bearer token a line; connection i
 * uses line i mod n, with --rotate each request takes the next line. --expect: line k holds the ids, separated by
 * spaces, that the reply to token k must list exactly (as "id":"..."); anything else counts as wrong. --rate: requests
 * per second over all connections, sent on a fixed schedule; latency counts from the scheduled time, so a stall is not
 * hidden.
 * --pid: CPU time of server processes over the measured span, per request, and the part of it in user space. Figures
 * leave out the warm-up. */
#include "client.h"

#include <getopt.h>

enum { REPLY_MAX = 256 * 1024, PIDS_MAX = 8, BUCKETS = 64 * 32 };

struct options {
    struct sockaddr_in to;
    char host[64], path[512];
    int port, connections;
    double seconds, warmup, rate;
    bool rotate, json;
    char **tokens, **expected;
    size_t token_count, expected_count;
    struct {
        char name[32];
        int pid;
    } pids[PIDS_MAX];
    int pid_count;
};

struct connection {
    int fd;
    size_t token;  /* line in use */
    char *request; /* built once, unless rotating */
    size_t request_length, sent;
    char *reply;
    size_t have;
    int64_t started_us; /* of the request in flight; 0: none */
    int64_t due_us;     /* open loop: when the next one is to leave */
};

struct counts {
    uint64_t done, errors, wrong, not_2xx;
    uint64_t histogram[BUCKETS]; /* 64 powers of two, 32 steps each: within 3 % */
};

static struct options options = {.connections = 64, .seconds = 10, .warmup = 2};
static struct counts counts;
static size_t next_token;
static int epoll_fd;

/* ---- latency ---- */

static size_t bucket_of(int64_t us)
{
    uint64_t v = us < 1 ? 1 : (uint64_t)us;
    int power = 63 - __builtin_clzll(v);
    uint64_t step = power >= 5 ? (v >> (power - 5)) & 31 : (v << (5 - power)) & 31;
    return (size_t)power * 32 + (size_t)step;
}

static double bucket_us(size_t bucket)
{
    size_t power = bucket / 32, step = bucket % 32;
    return (double)(1ULL << power) * (1.0 + (double)step / 32);
}

static double percentile_us(double part)
{
    uint64_t want = (uint64_t)((double)counts.done * part), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += counts.histogram[i];
        if (seen > want)
            return bucket_us(i);
    }
    return 0;
}

/* ---- requests ---- */

static void build_request(struct connection *c)
{
    char text[4096];
    const char *token = options.token_count ? options.tokens[c->token] : NULL;
    int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n%s%s%s\r\n", options.path, options.host,
                          options.port, token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
    if (length < 0 || (size_t)length >= sizeof text)
        client_die("the request is too long");
    c->request = realloc(c->request, (size_t)length);
    memcpy(c->request, text, (size_t)length);
    c->request_length = (size_t)length;
}

static void connect_one(struct connection *c)
{
    c->fd = client_dial(epoll_fd, &options.to, c);
    c->have = 0;
    c->started_us = 0;
}

static void send_request(struct connection *c, int64_t started_us)
{
    if (options.rotate) {
        c->token = next_token++ % options.token_count;
        build_request(c);
    }
    c->started_us = started_us;
    c->sent = 0;
    if (!client_send(c->fd, c->request, c->request_length)) {
        counts.errors++;
        close(c->fd);
        connect_one(c);
    }
}

/* The reply lists exactly the ids of the token's line. */
static bool as_expected(const struct connection *c, const char *body)
{
    if (!options.expected_count)
        return true;
    size_t listed = 0, wanted = 0;
    for (const char *at = body; (at = strstr(at, "\"id\":\"")); at += 6)
        listed++;
    char needle[128];
    for (const char *id = options.expected[c->token]; *id;) {
        size_t length = strcspn(id, " ");
        (void)snprintf(needle, sizeof needle, "\"id\":\"%.*s\"", (int)length, id);
        if (!strstr(body, needle))
            return false;
        wanted++;
        id += length + (id[length] == ' ');
    }
    return listed == wanted;
}

static void finish(struct connection *c, int status, const char *body)
{
    int64_t took = client_now_us() - c->started_us;
    counts.done++;
    counts.histogram[bucket_of(took)]++;
    if (status < 200 || status > 299)
        counts.not_2xx++;
    else if (!as_expected(c, body))
        counts.wrong++;
    c->started_us = 0;
    c->have = 0;
}

static void on_readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->reply + c->have, REPLY_MAX - 1 - c->have, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        counts.errors += c->started_us != 0;
        close(c->fd);
        connect_one(c);
    } else {
        c->have += (size_t)n;
        struct client_reply reply;
        if (!client_whole_reply(c->reply, c->have, &reply))
            return;
        finish(c, reply.status, reply.body);
    }
    if (options.rate <= 0)
        send_request(c, client_now_us());
}

/* ---- measuring ---- */

struct cpu {
    double user, all; /* seconds */
};

static struct cpu cpu_of(int pid)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return (struct cpu){0};
    size_t n = fread(line, 1, sizeof line - 1, file);
    (void)fclose(file);
    line[n] = '\0';
    const char *at = strrchr(line, ')');
    unsigned long user = 0, system = 0;
    if (at)
        (void)sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    return (struct cpu){(double)user / ticks, (double)(user + system) / ticks};
}

static void run_until(struct connection *all, int64_t until_us)
{
    const int64_t interval_us = options.rate > 0 ? (int64_t)(1e6 * options.connections / options.rate) : 0;
    struct epoll_event events[256];
    while (client_now_us() < until_us) {
        int n = epoll_wait(epoll_fd, events, 256, options.rate > 0 ? 0 : 100);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
        if (options.rate <= 0)
            continue;
        int64_t now = client_now_us();
        for (int i = 0; i < options.connections; i++) {
            if (!all[i].started_us && all[i].due_us <= now) {
                send_request(&all[i], all[i].due_us);
                all[i].due_us += interval_us;
            }
        }
        if (!n)
            (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
}

static void report(double seconds, const struct cpu *cpu)
{
    double rate = (double)counts.done / seconds;
    printf(options.json ? "{\"rate\":%.0f,\"done\":%llu,\"errors\":%llu,\"not_2xx\":%llu,\"wrong\":%llu,"
                          "\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f"
                        : "%.0f/s done=%llu errors=%llu not_2xx=%llu wrong=%llu p50=%.3fms p95=%.3fms p99=%.3fms",
           rate, (unsigned long long)counts.done, (unsigned long long)counts.errors, (unsigned long long)counts.not_2xx,
           (unsigned long long)counts.wrong, percentile_us(.5) / 1000, percentile_us(.95) / 1000,
           percentile_us(.99) / 1000);
    for (int i = 0; i < options.pid_count; i++)
        printf(options.json ? ",\"cpu_us_%s\":%.2f,\"user_us_%s\":%.2f" : " cpu_%s=%.2fus user_%s=%.2fus",
               options.pids[i].name, counts.done ? cpu[i].all * 1e6 / (double)counts.done : 0, options.pids[i].name,
               counts.done ? cpu[i].user * 1e6 / (double)counts.done : 0);
    printf(options.json ? "}\n" : "\n");
}

static void parse(int argc, char **argv)
{
    static const struct option LONG[] = {{"url", 1, 0, 'u'},
                                         {"connections", 1, 0, 'c'},
                                         {"seconds", 1, 0, 's'},
                                         {"warmup", 1, 0, 'w'},
                                         {"tokens", 1, 0, 't'},
                                         {"rotate", 0, 0, 'r'},
                                         {"rate", 1, 0, 'R'},
                                         {"expect", 1, 0, 'e'},
                                         {"pid", 1, 0, 'p'},
                                         {"json", 0, 0, 'j'},
                                         {0}};
    for (int o; (o = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (o) {
        case 'u':
            if (sscanf(optarg, "http://%63[^:/]:%d%511s", options.host, &options.port, options.path) != 3)
                client_die("--url http://address:port/path");
            options.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
            if (inet_pton(AF_INET, options.host, &options.to.sin_addr) != 1)
                client_die("--url needs an IPv4 address");
            break;
        case 'c':
            options.connections = atoi(optarg);
            break;
        case 's':
            options.seconds = atof(optarg);
            break;
        case 'w':
            options.warmup = atof(optarg);
            break;
        case 'R':
            options.rate = atof(optarg);
            break;
        case 'r':
            options.rotate = true;
            break;
        case 'j':
            options.json = true;
            break;
        case 't':
            options.tokens = client_lines(optarg, &options.token_count);
            break;
        case 'e':
            options.expected = client_lines(optarg, &options.expected_count);
            break;
        case 'p':
            if (options.pid_count == PIDS_MAX || sscanf(optarg, "%31[^=]=%d", options.pids[options.pid_count].name,
                                                        &options.pids[options.pid_count].pid) != 2)
                client_die("--pid name=PID");
            options.pid_count++;
            break;
        default:
            client_die("usage: see the head of load.c");
        }
    }
    if (!options.port || options.connections < 1 || (options.rotate && !options.token_count) ||
        (options.expected_count && options.expected_count != options.token_count))
        client_die("usage: see the head of load.c");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    client_many_files();
    epoll_fd = epoll_create1(0);
    struct connection *all = calloc((size_t)options.connections, sizeof *all);
    int64_t start = client_now_us();
    for (int i = 0; i < options.connections; i++) {
        struct connection *c = &all[i];
        c->token = options.token_count ? (size_t)i % options.token_count : 0;
        c->reply = malloc(REPLY_MAX);
        build_request(c);
        connect_one(c);
        c->due_us = start + (options.rate > 0 ? (int64_t)(1e6 * i / options.rate) : 0);
        if (options.rate <= 0)
            send_request(c, client_now_us());
    }
    run_until(all, start + (int64_t)(options.warmup * 1e6));
    memset(&counts, 0, sizeof counts);
    struct cpu cpu[PIDS_MAX];
    for (int i = 0; i < options.pid_count; i++)
        cpu[i] = cpu_of(options.pids[i].pid);
    int64_t begin = client_now_us();
    run_until(all, begin + (int64_t)(options.seconds * 1e6));
    double seconds = (double)(client_now_us() - begin) / 1e6;
    for (int i = 0; i < options.pid_count; i++) {
        struct cpu now = cpu_of(options.pids[i].pid);
        cpu[i] = (struct cpu){now.user - cpu[i].user, now.all - cpu[i].all};
    }
    report(seconds, cpu);
    return counts.done && !counts.wrong ? 0 : 1;
}
