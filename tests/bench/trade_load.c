/* trade_load - many traders in one epoll loop, each with its own connection and its own list of orders.
 *
 *     trade_load --gateway 127.0.0.1:8080[,...] --tokens FILE --orders FILE --out FILE [--rate 2000]
 *
 * --tokens: a bearer token a line, one trader each. --orders: a JSON body a line; of n traders and m orders the first
 * m/n are the first trader's. A trader sends one order after the other without pause; with --rate so many a second
 * leave over all traders, on a fixed schedule, and latency counts from the time an order was due, so a stall is not
 * hidden. Each order is sent once: one without an answer is an error. Line k of --out: what became of order k, "status
 * id state" (state: the order's, or the problem's code). Prints one JSON object. */
#include "client.h"

#include <getopt.h>

enum { REPLY_MAX = 16 * 1024, REQUEST_MAX = 4096, GATEWAYS_MAX = 8, ANSWER_WITHIN_S = 30 };

struct trader {
    int fd;
    const char *token;
    size_t next, end; /* of the orders */
    char request[REQUEST_MAX], reply[REPLY_MAX];
    size_t have;
    int64_t started_us, due_us; /* started: 0, nothing in flight */
    int door;
};

struct outcome {
    int status; /* 0: no answer */
    int64_t took_us;
    char id[40], state[32];
};

static struct {
    struct sockaddr_in doors[GATEWAYS_MAX];
    char names[GATEWAYS_MAX][64];
    int door_count;
    const char *out;
    double rate;
    char **tokens, **orders;
    size_t token_count, order_count;
} options;
static struct outcome *outcomes;
static size_t done, errors;
static int64_t last_us;
static int epoll_fd;

/* ---- one trader ---- */

static void dial(struct trader *t)
{
    t->fd = client_dial(epoll_fd, &options.doors[t->door], t);
    t->have = 0;
}

static void settle(struct trader *t, int status)
{
    const int64_t now = client_now_us();
    struct outcome *outcome = &outcomes[t->next++];
    outcome->status = status;
    outcome->took_us = now - t->started_us;
    t->started_us = 0;
    t->have = 0;
    last_us = now;
    done++;
    errors += status == 0;
}

static void redial(struct trader *t)
{
    close(t->fd);
    dial(t);
}

static void ask(struct trader *t, int64_t started_us)
{
    const char *body = options.orders[t->next];
    const int length = snprintf(t->request, sizeof t->request,
                                "POST /api/orders HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: "
                                "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                options.names[t->door], t->token, strlen(body), body);
    if (length < 0 || (size_t)length >= sizeof t->request)
        client_die("the request is too long");
    t->started_us = started_us;
    if (!client_send(t->fd, t->request, (size_t)length)) {
        settle(t, 0);
        redial(t);
    }
}

static void copy_member(const char *body, const char *name, char *out, size_t size)
{
    const char *at = strstr(body, name);
    if (!at)
        return;
    at += strlen(name);
    const size_t length = strcspn(at, "\"");
    (void)snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), at);
}

static bool whole_reply(struct trader *t)
{
    struct client_reply reply;
    if (!client_whole_reply(t->reply, t->have, &reply))
        return false;
    if (!reply.has_length)
        client_die("a reply without Content-Length:\n%s", t->reply);
    struct outcome *outcome = &outcomes[t->next];
    const bool problem = reply.status >= 400;
    copy_member(reply.body, problem ? "\"order_id\":\"" : "\"id\":\"", outcome->id, sizeof outcome->id);
    copy_member(reply.body, problem ? "\"code\":\"" : "\"status\":\"", outcome->state, sizeof outcome->state);
    settle(t, reply.status);
    if (reply.closing)
        redial(t);
    return true;
}

static void on_readable(struct trader *t)
{
    const ssize_t n = recv(t->fd, t->reply + t->have, REPLY_MAX - 1 - t->have, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        if (t->started_us)
            settle(t, 0);
        redial(t);
    } else {
        t->have += (size_t)n;
        if (!t->started_us || !whole_reply(t))
            return;
    }
    if (options.rate <= 0 && t->next < t->end)
        ask(t, client_now_us());
}

/* ---- all of them ---- */

static void ask_due(struct trader *all, int64_t interval_us)
{
    const int64_t now = client_now_us();
    for (size_t i = 0; i < options.token_count; i++) {
        struct trader *t = &all[i];
        if (t->started_us || t->next == t->end || t->due_us > now)
            continue;
        const int64_t due = t->due_us;
        t->due_us += interval_us;
        ask(t, due);
    }
}

static void give_up_late(struct trader *all)
{
    const int64_t late = client_now_us() - (int64_t)ANSWER_WITHIN_S * 1000000;
    for (size_t i = 0; i < options.token_count; i++) {
        if (!all[i].started_us || all[i].started_us > late)
            continue;
        settle(&all[i], 0);
        redial(&all[i]);
        if (options.rate <= 0 && all[i].next < all[i].end)
            ask(&all[i], client_now_us());
    }
}

static void run(struct trader *all, int64_t start)
{
    const int64_t interval_us = options.rate > 0 ? (int64_t)(1e6 * (double)options.token_count / options.rate) : 0;
    struct epoll_event events[256];
    for (int64_t looked = start; done < options.order_count;) {
        const int n = epoll_wait(epoll_fd, events, 256, interval_us ? 1 : 100);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
        if (interval_us)
            ask_due(all, interval_us);
        if (client_now_us() - looked > 1000000) {
            give_up_late(all);
            looked = client_now_us();
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(double seconds)
{
    const size_t n = options.order_count;
    int64_t *took = malloc(n * sizeof *took);
    double sum = 0;
    size_t accepted = 0, refused = 0, other = 0;
    for (size_t i = 0; i < n; i++) {
        took[i] = outcomes[i].took_us;
        sum += (double)took[i];
        accepted += outcomes[i].status == 201;
        refused += outcomes[i].status == 409 || outcomes[i].status == 422;
        other +=
            outcomes[i].status && outcomes[i].status != 201 && outcomes[i].status != 409 && outcomes[i].status != 422;
    }
    qsort(took, n, sizeof *took, by_size);
#define AT(part) ((double)took[(size_t)((double)(n - 1) * (part))] / 1000)
    printf("{\"orders\":%zu,\"seconds\":%.3f,\"rate\":%.0f,\"mean_ms\":%.2f,\"p50_ms\":%.2f,\"p95_ms\":%.2f,\"p99_ms\":"
           "%.2f,"
           "\"max_ms\":%.2f,\"accepted\":%zu,\"refused\":%zu,\"other\":%zu,\"errors\":%zu}\n",
           n, seconds, (double)n / seconds, sum / (double)n / 1000, AT(.5), AT(.95), AT(.99), AT(1), accepted, refused,
           other, errors);
#undef AT
    free(took);
    FILE *out = fopen(options.out, "w");
    if (!out)
        client_die("%s: %s", options.out, strerror(errno));
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "%d %s %s\n", outcomes[i].status, *outcomes[i].id ? outcomes[i].id : "-",
                      *outcomes[i].state ? outcomes[i].state : "-");
    (void)fclose(out);
}

static void add_door(const char *text)
{
    if (options.door_count == GATEWAYS_MAX || !client_address(text, &options.doors[options.door_count]))
        client_die("--gateway address:port[,address:port...], IPv4");
    (void)snprintf(options.names[options.door_count++], 64, "%s", text);
}

static void parse(int argc, char **argv)
{
    static const struct option LONG[] = {{"gateway", 1, 0, 'g'}, {"tokens", 1, 0, 't'}, {"orders", 1, 0, 'o'},
                                         {"out", 1, 0, 'O'},     {"rate", 1, 0, 'R'},   {0}};
    for (int o; (o = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (o) {
        case 'g':
            for (char *door = strtok(optarg, ","); door; door = strtok(NULL, ","))
                add_door(door);
            break;
        case 't':
            options.tokens = client_lines(optarg, &options.token_count);
            break;
        case 'o':
            options.orders = client_lines(optarg, &options.order_count);
            break;
        case 'O':
            options.out = optarg;
            break;
        case 'R':
            options.rate = atof(optarg);
            break;
        default:
            client_die("usage: see the head of trade_load.c");
        }
    }
    if (!options.door_count || !options.token_count || !options.order_count || !options.out ||
        options.order_count % options.token_count)
        client_die("usage: see the head of trade_load.c");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    epoll_fd = epoll_create1(0);
    outcomes = calloc(options.order_count, sizeof *outcomes);
    struct trader *all = calloc(options.token_count, sizeof *all);
    const size_t each = options.order_count / options.token_count;
    for (size_t i = 0; i < options.token_count; i++) {
        all[i] = (struct trader){
            .token = options.tokens[i], .next = i * each, .end = (i + 1) * each, .door = (int)i % options.door_count};
        dial(&all[i]);
    }
    const int64_t start = client_now_us();
    for (size_t i = 0; i < options.token_count; i++) {
        if (options.rate > 0)
            all[i].due_us = start + (int64_t)(1e6 * (double)i / options.rate);
        else
            ask(&all[i], client_now_us());
    }
    run(all, start);
    report((double)(last_us - start) / 1e6);
    return errors ? 1 : 0;
}
