/* trade_watch - many viewers of one company's market in one epoll loop.
 *
 *     trade_watch --gateway 127.0.0.1:8080 --company ID [--viewers 1000] [--seconds 10]
 *
 * Each viewer subscribes to book, trades and ticker on /ws/market. When all have their snapshots it prints "ready",
 * then counts frames for --seconds. One in fifty looks at the frames: a trade tells when the market saw it ("at"), and
 * the difference to now is how late the frame came. Prints one JSON object: viewers, frames, bytes, gone, p50 and p99
 * and highest lateness, how many were later than a second. */
#include "client.h"

#include <getopt.h>

enum { CHANNELS = 3, LOOK_EVERY = 50, READ = 1 << 18, FRAME_MAX = 1 << 18, LATE_MAX = 1 << 20, READY_WITHIN_S = 60 };

struct viewer {
    int fd;
    bool upgraded, looks, gone;
    int snapshots;
    size_t skip;            /* bytes left of a frame that is only counted */
    unsigned char head[10]; /* of a frame, as far as it is here */
    size_t head_have;
    char *kept; /* of one that looks: the frame so far */
    size_t kept_have, kept_want;
    char tail[4]; /* the last bytes of the handshake's reply */
};

static struct {
    struct sockaddr_in to;
    char name[64];
    const char *company;
    int viewers;
    double seconds;
} options = {.viewers = 1000, .seconds = 10};
static int epoll_fd;
static uint64_t frames, bytes, late_count, later_than_a_second;
static int ready, gone;
static double *late_ms;
static bool counting;

static double now_s(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a viewer ---- */

static void dial(struct viewer *v)
{
    char request[512];
    v->fd = client_dial(epoll_fd, &options.to, v);
    const int length = snprintf(request, sizeof request,
                                "GET /ws/market HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                                options.name);
    if (!client_send(v->fd, request, (size_t)length))
        client_die("send: %s", strerror(errno));
}

static void subscribe(struct viewer *v)
{
    static const char *const CHANNEL[CHANNELS] = {"book", "trades", "ticker"};
    for (int i = 0; i < CHANNELS; i++) {
        unsigned char frame[200];
        char text[160];
        const int length = snprintf(text, sizeof text, "{\"op\":\"subscribe\",\"channel\":\"%s\",\"company\":\"%s\"}",
                                    CHANNEL[i], options.company);
        frame[0] = 0x81;
        frame[1] = (unsigned char)(0x80 | length); /* under 126; the mask is zero */
        memset(frame + 2, 0, 4);
        memcpy(frame + 6, text, (size_t)length);
        if (!client_send(v->fd, frame, (size_t)length + 6))
            client_die("send: %s", strerror(errno));
    }
}

/* Every "at" of a frame of trades: the newest is what made it leave. */
static void look(const char *frame, double now)
{
    if (!strstr(frame, "\"channel\":\"trades\"") || !strstr(frame, "\"delta\""))
        return;
    const char *at = NULL;
    for (const char *next = frame; (next = strstr(next, "\"at\":\"")); next += 6)
        at = next + 6;
    struct tm tm = {0};
    int ms = 0;
    if (!at || sscanf(at, "%d-%d-%dT%d:%d:%d.%dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                      &tm.tm_sec, &ms) != 7)
        return;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const double late = (now - ((double)timegm(&tm) + ms / 1000.0)) * 1000;
    later_than_a_second += late > 1000;
    if (late_count < LATE_MAX)
        late_ms[late_count++] = late;
}

static void frame_ended(struct viewer *v, double now)
{
    if (v->snapshots < CHANNELS && ++v->snapshots == CHANNELS)
        ready++;
    if (!counting)
        return;
    frames++;
    if (v->looks && v->kept_have == v->kept_want) {
        v->kept[v->kept_have] = '\0';
        look(v->kept, now);
    }
}

static size_t head_length(const unsigned char *head, size_t have)
{
    return have < 2 ? 2 : (head[1] & 0x7f) == 126 ? 4 : (head[1] & 0x7f) == 127 ? 10 : 2;
}

static size_t payload_length(const unsigned char *head)
{
    size_t length = head[1] & 0x7f, extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (extra)
        length = 0;
    for (size_t i = 0; i < extra; i++)
        length = length << 8 | head[2 + i];
    return length;
}

static void take(struct viewer *v, const char *data, size_t size, double now)
{
    while (size > 0) {
        if (v->skip == 0) {
            v->head[v->head_have++] = (unsigned char)*data++;
            size--;
            if (v->head_have < 2 || v->head_have < head_length(v->head, v->head_have))
                continue;
            v->skip = v->kept_want = payload_length(v->head);
            v->kept_have = v->head_have = 0;
            if (v->skip == 0)
                frame_ended(v, now);
            continue;
        }
        const size_t part = size < v->skip ? size : v->skip;
        if (v->looks && v->kept_have + part < FRAME_MAX) {
            memcpy(v->kept + v->kept_have, data, part);
            v->kept_have += part;
        }
        data += part;
        size -= part;
        v->skip -= part;
        if (v->skip == 0)
            frame_ended(v, now);
    }
}

static void on_readable(struct viewer *v)
{
    static char buffer[READ];
    const ssize_t n = recv(v->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(v->fd);
        v->gone = true;
        gone++;
        return;
    }
    const char *data = buffer;
    size_t size = (size_t)n;
    if (!v->upgraded) {
        while (size > 0 && !v->upgraded) {
            memmove(v->tail, v->tail + 1, 3);
            v->tail[3] = *data++;
            size--;
            v->upgraded = memcmp(v->tail, "\r\n\r\n", 4) == 0;
        }
        if (!v->upgraded)
            return;
        if (!strstr(buffer, " 101 ")) {
            (void)fprintf(stderr, "no upgrade: %.*s\n", 80, buffer);
            exit(1);
        }
        subscribe(v);
    }
    if (counting)
        bytes += size;
    take(v, data, size, now_s(CLOCK_REALTIME));
}

/* ---- all ---- */

static void serve(double until, bool until_ready)
{
    struct epoll_event events[512];
    while (now_s(CLOCK_MONOTONIC) < until && !(until_ready && ready + gone >= options.viewers)) {
        const int n = epoll_wait(epoll_fd, events, 512, 50);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void parse(int argc, char **argv)
{
    static const struct option LONG[] = {
        {"gateway", 1, 0, 'g'}, {"company", 1, 0, 'c'}, {"viewers", 1, 0, 'v'}, {"seconds", 1, 0, 's'}, {0}};
    bool right = false;
    for (int o; (o = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (o) {
        case 'g':
            right = client_address(optarg, &options.to);
            (void)snprintf(options.name, sizeof options.name, "%s", optarg);
            break;
        case 'c':
            options.company = optarg;
            break;
        case 'v':
            options.viewers = atoi(optarg);
            break;
        case 's':
            options.seconds = atof(optarg);
            break;
        default:
            right = false;
        }
    }
    if (!right || !options.company || options.viewers < 1)
        client_die("usage: see the head of trade_watch.c");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    client_many_files();
    epoll_fd = epoll_create1(0);
    late_ms = calloc(LATE_MAX, sizeof *late_ms);
    struct viewer *all = calloc((size_t)options.viewers, sizeof *all);
    for (int i = 0; i < options.viewers; i++) {
        all[i].looks = i % LOOK_EVERY == 0;
        if (all[i].looks)
            all[i].kept = malloc(FRAME_MAX);
        dial(&all[i]);
        serve(now_s(CLOCK_MONOTONIC) + 0.0005, false);
    }
    serve(now_s(CLOCK_MONOTONIC) + READY_WITHIN_S, true);
    printf("ready\n");
    (void)fflush(stdout);
    const int at_start = gone;
    counting = true;
    serve(now_s(CLOCK_MONOTONIC) + options.seconds, false);
    qsort(late_ms, late_count, sizeof *late_ms, by_size);
#define LATE(part) (late_count ? late_ms[(size_t)((double)(late_count - 1) * (part))] : 0)
    printf("{\"viewers\":%d,\"frames\":%llu,\"bytes\":%llu,\"gone\":%d,\"looked\":%llu,\"late_p50_ms\":%.1f,"
           "\"late_p99_ms\":%.1f,\"late_max_ms\":%.1f,\"later_than_1_s\":%llu}\n",
           ready, (unsigned long long)frames, (unsigned long long)bytes, gone - at_start,
           (unsigned long long)late_count, LATE(.5), LATE(.99), LATE(1), (unsigned long long)later_than_a_second);
#undef LATE
    return ready == options.viewers && gone == 0 ? 0 : 1;
}
