/* ws_load - many STOMP sockets in one epoll loop: holds them, sends on a fixed schedule, counts what arrives and how
 * late.
 *
 *     ws_load --host 127.0.0.1 --port 8090 --plan FILE [--rate 100] [--seconds 10] [--warmup 2] [--size 200]
 * [--connect-rate 2000] [--hold 0] [--pid name=PID ...]
 *
 * Several --port: the sockets take them in turn. --hold: seconds that all stay open before the program ends.
 * A line of the plan is one socket: TOKEN ROOM flags, flags of s (subscribes to the room) and p (publishes to it); "-"
 * as room: only CONNECT. Latency: the content begins with the time at which the message was due (so a stall is not
 * hidden); it is read off by the sockets of flag l, others only count. Prints one JSON object: connected, bytes of
 * memory (PSS) per socket of each --pid, sent, delivered, CPU of each --pid (its children included) per delivered
 * message, p50, p99. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIDS_MAX = 8, PORTS_MAX = 8, BUFFER = 1 << 18, TAIL = 4096, BUCKETS = 64 * 32 };

struct socket_of {
    int fd;
    enum { DIALLING, UPGRADING, CONNECTING, SUBSCRIBING, READY, GONE } state;
    bool subscribes, publishes, looks;
    char *token, room[40];
    size_t have;
    char *rest; /* of a frame that was cut; NULL: none */
};

static struct {
    const char *host, *plan;
    int ports[PORTS_MAX], port_count, size;
    double rate, seconds, warmup, connect_rate, hold;
    struct {
        char name[32];
        int pid;
    } pids[PIDS_MAX];
    int pid_count;
} options = {.host = "127.0.0.1", .size = 200, .seconds = 10, .warmup = 2, .connect_rate = 2000};

static struct socket_of *sockets;
static size_t count, ready, gone, publishers;
static size_t *publishing;
static int epoll_fd;
static uint64_t delivered, sent, receipts, errors, looked, histogram[BUCKETS];
static bool measuring;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- figures of the server ---- */

static long pss_kb(int pid)
{
    char path[64], line[256];
    long kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %ld", &kb) == 1)
            break;
    if (file)
        (void)fclose(file);
    return kb;
}

static double cpu_seconds_alone(int pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        (void)fclose(file);
    text[got] = '\0';
    unsigned long user = 0, kernel = 0;
    const char *end = strrchr(text, ')');
    if (end)
        (void)sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* With its children: PostgreSQL has a process for each connection. */
static double cpu_seconds(int pid)
{
    char path[64];
    double sum = cpu_seconds_alone(pid);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "r");
    for (int child; file && fscanf(file, "%d", &child) == 1;)
        sum += cpu_seconds_alone(child);
    if (file)
        (void)fclose(file);
    return sum;
}

/* ---- latency: 32 buckets per power of two ---- */

static void note(int64_t us)
{
    uint64_t value = us < 1 ? 1 : (uint64_t)us;
    int power = 63 - __builtin_clzll(value);
    uint64_t part = power >= 5 ? (value >> (power - 5)) & 31 : (value << (5 - power)) & 31;
    histogram[power * 32 + (int)part]++;
    looked++;
}

static double percentile_ms(double share)
{
    uint64_t until = (uint64_t)((double)looked * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen > until)
            return (double)((uint64_t)(32 + i % 32) << (i / 32)) / 32 / 1000;
    }
    return 0;
}

/* ---- sending ---- */

static void put(struct socket_of *socket, const char *text, size_t length)
{
    static unsigned char frame[70000];
    size_t at = 0;
    frame[at++] = 0x81;
    if (length < 126) {
        frame[at++] = (unsigned char)(0x80 | length);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(length >> 8);
        frame[at++] = (unsigned char)length;
    }
    memset(frame + at, 0, 4); /* the mask that changes nothing */
    at += 4;
    memcpy(frame + at, text, length);
    if (send(socket->fd, frame, at + length, MSG_NOSIGNAL) != (ssize_t)(at + length))
        errors++;
}

static void publish(struct socket_of *socket, int64_t due_us)
{
    static uint64_t number;
    static char text[66000], pad[60000];
    if (!*pad)
        memset(pad, 'x', sizeof pad - 1);
    char head[32];
    int digits = snprintf(head, sizeof head, "t%016lld ", (long long)due_us);
    int length = snprintf(
        text, sizeof text,
        "SEND\ndestination:/app/rooms.%s.messages\nreceipt:r\n\n{\"client_id\":\"b%d-%llu\",\"content\":\"%s%.*s\"}",
        socket->room, getpid(), (unsigned long long)++number, head, options.size > digits ? options.size - digits : 0,
        pad);
    put(socket, text, (size_t)length + 1);
    sent += measuring;
}

/* ---- receiving ---- */

static void advance(struct socket_of *socket)
{
    char text[8192];
    int length = 0;
    if (socket->state == UPGRADING) {
        socket->state = CONNECTING;
        length = snprintf(text, sizeof text, "CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,0\n\n");
    } else if (socket->state == CONNECTING && socket->subscribes) {
        socket->state = SUBSCRIBING;
        length =
            snprintf(text, sizeof text, "SUBSCRIBE\nid:s\nreceipt:sub\ndestination:/topic/rooms.%s\n\n", socket->room);
    } else {
        socket->state = READY;
        ready++;
    }
    if (length)
        put(socket, text, (size_t)length + 1);
}

/* One WebSocket message: whole STOMP frames. */
static void take(struct socket_of *socket, const char *bytes, size_t length)
{
    if (length >= 5 && memcmp(bytes, "ERROR", 5) == 0) {
        if (errors++ < 5)
            fprintf(stderr, "%.*s\n", (int)length, bytes);
    } else if (socket->state != READY) {
        if ((socket->state == CONNECTING && memcmp(bytes, "CONNECTED", 9) == 0) ||
            (socket->state == SUBSCRIBING && memcmp(bytes, "RECEIPT", 7) == 0))
            advance(socket);
    } else if (measuring && memcmp(bytes, "RECEIPT", 7) == 0) {
        receipts++;
    } else if (measuring && memcmp(bytes, "MESSAGE", 7) == 0) {
        static const char NAME[] = "\"content\":\"t";
        if (!socket->looks) {
            delivered++;
            return;
        }
        const char *at = memmem(bytes, length, NAME, sizeof NAME - 1);
        if (at) {
            delivered++;
            note(now_us() - strtoll(at + sizeof NAME - 1, NULL, 10));
        }
    }
}

static void drop(struct socket_of *socket)
{
    (void)close(socket->fd);
    socket->state = GONE;
    gone++;
}

static size_t take_all(struct socket_of *socket, char *bytes, size_t have)
{
    size_t at = 0;
    if (socket->state == UPGRADING) {
        char *end = memmem(bytes, have, "\r\n\r\n", 4);
        if (!end)
            return 0;
        if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
            if (errors++ < 5)
                fprintf(stderr, "%.*s\n", (int)have, bytes);
            drop(socket);
            return have;
        }
        at = (size_t)(end + 4 - bytes);
        advance(socket);
    }
    while (have - at >= 2) {
        const unsigned char *frame = (const unsigned char *)bytes + at;
        size_t head = (frame[1] & 0x7f) == 126 ? 4 : (frame[1] & 0x7f) == 127 ? 10 : 2, length = frame[1] & 0x7f;
        if (have - at < head)
            break;
        if (head > 2) {
            length = 0;
            for (size_t i = 2; i < head; i++)
                length = length << 8 | frame[i];
        }
        if (have - at < head + length)
            break;
        if ((frame[0] & 0x0f) == 1)
            take(socket, bytes + at + head, length);
        else if ((frame[0] & 0x0f) == 9)
            (void)send(socket->fd, "\x8a\x80\0\0\0\0", 6, MSG_NOSIGNAL);
        at += head + length;
    }
    return at;
}

static void on_readable(struct socket_of *socket)
{
    static char buffer[BUFFER];
    size_t have = socket->have;
    if (have)
        memcpy(buffer, socket->rest, have);
    ssize_t got = recv(socket->fd, buffer + have, sizeof buffer - have, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(socket);
        return;
    }
    have += (size_t)got;
    size_t used = take_all(socket, buffer, have);
    socket->have = have - used;
    free(socket->rest);
    socket->rest = NULL;
    if (socket->have) {
        socket->rest = malloc(socket->have);
        memcpy(socket->rest, buffer + used, socket->have);
    }
}

static void dial(struct socket_of *one, size_t index)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)options.ports[index % (size_t)options.port_count])},
                       from = {.sin_family = AF_INET};
    (void)inet_pton(AF_INET, options.host, &to.sin_addr);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / 20000)); /* one address has not ports enough */
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one->fd < 0)
        die("socket");
    (void)setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    /* The port at connect(): bind() would look for one that no other socket has, for milliseconds where most are in
     * TIME_WAIT. */
    (void)setsockopt(one->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    (void)bind(one->fd, (struct sockaddr *)&from, sizeof from);
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = one};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, one->fd, &event) != 0)
        die("epoll_ctl");
}

static void on_writable(struct socket_of *one)
{
    char text[8192];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, one->fd, &event);
    one->state = UPGRADING;
    int length = snprintf(
        text, sizeof text,
        "GET /ws/chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\nAuthorization: Bearer "
        "%s\r\n\r\n",
        one->token);
    if (send(one->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        drop(one);
}

static void turn(int wait_ms)
{
    struct epoll_event events[512];
    int n = epoll_wait(epoll_fd, events, 512, wait_ms);
    for (int i = 0; i < n; i++) {
        struct socket_of *one = events[i].data.ptr;
        if (one->state == DIALLING)
            on_writable(one);
        else if (one->state != GONE)
            on_readable(one);
    }
}

/* ---- the run ---- */

static void read_plan(void)
{
    FILE *file = fopen(options.plan, "r");
    char token[4096], room[64], flags[8];
    if (!file)
        die(options.plan);
    for (size_t room_for = 0; fscanf(file, "%4095s %63s %7s", token, room, flags) == 3; count++) {
        if (count == room_for)
            sockets = realloc(sockets, (room_for = room_for ? room_for * 2 : 1024) * sizeof *sockets);
        struct socket_of *one = &sockets[count];
        *one = (struct socket_of){.token = strdup(token)};
        (void)snprintf(one->room, sizeof one->room, "%.36s", room);
        one->subscribes = strchr(flags, 's') != NULL;
        one->publishes = strchr(flags, 'p') != NULL;
        one->looks = strchr(flags, 'l') != NULL;
    }
    (void)fclose(file);
    publishing = calloc(count + 1, sizeof *publishing);
    for (size_t i = 0; i < count; i++)
        if (sockets[i].publishes)
            publishing[publishers++] = i;
}

static void connect_all(void)
{
    const int64_t start = now_us();
    for (size_t dialled = 0; ready + gone < count;) {
        while (dialled < count && (double)dialled < (double)(now_us() - start) / 1e6 * options.connect_rate) {
            dial(&sockets[dialled], dialled);
            dialled++;
        }
        turn(1);
        if (now_us() - start > 120 * 1000000LL) {
            fprintf(stderr, "%zu of %zu ready, %zu gone\n", ready, count, gone);
            break;
        }
    }
}

static void rest_for(double seconds)
{
    for (const int64_t until = now_us() + (int64_t)(seconds * 1e6); now_us() < until;)
        turn(10);
}

static void publish_all(void)
{
    const int64_t start = now_us(), measured = start + (int64_t)(options.warmup * 1e6),
                  end = measured + (int64_t)(options.seconds * 1e6);
    double cpu[PIDS_MAX] = {0};
    uint64_t number = 0;
    for (int64_t now = start; now < end; now = now_us()) {
        if (!measuring && now >= measured) {
            measuring = true;
            for (int i = 0; i < options.pid_count; i++)
                cpu[i] = cpu_seconds(options.pids[i].pid);
        }
        int64_t due;
        while (publishers && (due = start + (int64_t)((double)number * 1e6 / options.rate)) <= now) {
            struct socket_of *one = &sockets[publishing[number++ % publishers]];
            if (one->state == READY)
                publish(one, due);
        }
        turn(publishers ? 1 : 10);
    }
    double after[PIDS_MAX];
    for (int i = 0; i < options.pid_count; i++)
        after[i] = cpu_seconds(options.pids[i].pid);
    rest_for(1); /* what is under way still counts */
    printf("\"sent\":%llu,\"receipts\":%llu,\"delivered\":%llu,\"delivered_a_second\":%.0f,\"p50_ms\":%.2f,\"p99_ms\":%"
           ".2f,\"max_share_of_core\":{",
           (unsigned long long)sent, (unsigned long long)receipts, (unsigned long long)delivered,
           (double)delivered / options.seconds, percentile_ms(0.5), percentile_ms(0.99));
    for (int i = 0; i < options.pid_count; i++)
        printf("%s\"%s\":%.3f", i ? "," : "", options.pids[i].name, (after[i] - cpu[i]) / options.seconds);
    printf("},\"cpu_us_per_delivered\":{");
    for (int i = 0; i < options.pid_count; i++)
        printf("%s\"%s\":%.2f", i ? "," : "", options.pids[i].name,
               delivered ? (after[i] - cpu[i]) * 1e6 / (double)delivered : 0);
    printf("},");
}

static void read_options(int argc, char **argv)
{
    static const struct option NAMES[] = {
        {"host", 1, 0, 'h'},    {"port", 1, 0, 'p'},   {"plan", 1, 0, 'f'}, {"rate", 1, 0, 'r'},
        {"seconds", 1, 0, 's'}, {"warmup", 1, 0, 'w'}, {"size", 1, 0, 'z'}, {"connect-rate", 1, 0, 'c'},
        {"pid", 1, 0, 'i'},     {"hold", 1, 0, 'o'},   {0, 0, 0, 0}};
    for (int option; (option = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) {
        if (option == 'h')
            options.host = optarg;
        else if (option == 'p' && options.port_count < PORTS_MAX)
            options.ports[options.port_count++] = atoi(optarg);
        else if (option == 'o')
            options.hold = atof(optarg);
        else if (option == 'f')
            options.plan = optarg;
        else if (option == 'r')
            options.rate = atof(optarg);
        else if (option == 's')
            options.seconds = atof(optarg);
        else if (option == 'w')
            options.warmup = atof(optarg);
        else if (option == 'z')
            options.size = atoi(optarg);
        else if (option == 'c')
            options.connect_rate = atof(optarg);
        else if (option == 'i' && options.pid_count < PIDS_MAX &&
                 sscanf(optarg, "%31[^=]=%d", options.pids[options.pid_count].name,
                        &options.pids[options.pid_count].pid) == 2)
            options.pid_count++;
        else
            exit(2);
    }
    if (!options.plan || !options.port_count)
        exit(2);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    read_plan();
    epoll_fd = epoll_create1(0);
    long before[PIDS_MAX];
    for (int i = 0; i < options.pid_count; i++)
        before[i] = pss_kb(options.pids[i].pid);
    const int64_t start = now_us();
    connect_all();
    const double took = (double)(now_us() - start) / 1e6;
    rest_for(1);
    printf("{\"sockets\":%zu,\"ready\":%zu,\"lost\":%zu,\"connect_seconds\":%.2f,\"bytes_per_socket\":{", count, ready,
           gone, took);
    for (int i = 0; i < options.pid_count; i++)
        printf("%s\"%s\":%.0f", i ? "," : "", options.pids[i].name,
               ready ? (double)(pss_kb(options.pids[i].pid) - before[i]) * 1024 / (double)ready : 0);
    printf("},");
    (void)fflush(stdout); /* whoever waits for the connections knows now */
    if (options.rate > 0)
        publish_all();
    rest_for(options.hold);
    printf("\"errors\":%llu,\"lost_at_end\":%zu}\n", (unsigned long long)errors, gone);
    return 0;
}
