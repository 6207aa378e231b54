#include "outbox.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "pg_conn.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1000,          /* of one statement, and of one look of the relay */
    PAYLOAD_BYTES_MAX = 262144, /* an event is a fact, not a document; the broker takes 1 MB at most */
    ROWS_BYTES_MAX = 4 << 20,   /* of binary payloads in one look: see NEXT */
    LOOK_MS = 500,              /* without a wake-up */
    SOON_MS = 10,               /* behind a batch: what committed beside it did not call (see the trigger) */
    SOON_LOOKS = 20,
    LOCK_MS = 1000, /* between two tries to become the relay */
    SEND_MS = 3000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 2000,
    STOP_MS = 3000,
    COUNT_MS = 5000, /* between two counts of what waits */
};

/* ---- adding
 * ---------------------------------------------------------------------------------------------------------- */

void event_open(struct str *out, const char *kind, char *id)
{
    char made[UUID_TEXT_BYTES];
    id = id ? id : made;
    uuid_new(id);
    json_open(out, NULL, '{');
    json_i64(out, "v", 1);
    json_text(out, "id", id);
    json_time(out, "at", clock_now_ms());
    json_text(out, "kind", kind);
}

struct outbox_event event_close(struct arena *arena, struct str *out, const char *topic, const char *key,
                                const char *request_id, const char *traceparent)
{
    json_close(out, '}');
    return (struct outbox_event){
        .topic = topic,
        .key = arena_text(arena, key),
        .payload = arena_bytes(arena, out->bytes, out->length),
        .request_id = request_id,
        .traceparent = traceparent,
    };
}

/* ids are given in the order of the list */
static const struct pg_statement ADD = {
    "outbox_add", "INSERT INTO outbox (topic, key, payload, bytes, request_id, traceparent) SELECT topic, key, "
                  "payload, decode(hex, 'hex'), request_id, traceparent "
                  "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH "
                  "ORDINALITY AS event (topic, key, payload, hex, request_id, traceparent, place) ORDER BY place"};

static char *hex_of(struct arena *arena, struct view bytes)
{
    static const char DIGITS[] = "0123456789abcdef";
    char *hex = arena_alloc(arena, bytes.length * 2 + 1);
    for (size_t i = 0; i < bytes.length; i++) {
        hex[2 * i] = DIGITS[(unsigned char)bytes.bytes[i] >> 4];
        hex[2 * i + 1] = DIGITS[bytes.bytes[i] & 15];
    }
    return hex;
}

static size_t event_length(const struct outbox_event *event)
{
    return event->payload ? strlen(event->payload) : event->bytes.length;
}

static size_t bytes_of_all(const struct outbox_event *events, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += events[i].payload ? 0 : events[i].bytes.length;
    return length;
}

static bool add_portion(struct pg_tx *tx, const struct outbox_event *events, size_t count, struct err *err)
{
    enum { TOPIC, KEY, PAYLOAD, HEX, REQUEST_ID, TRACEPARENT, COLUMNS, HEX_SLACK = 32 };
    AUTO_FREE const char **cells = mem_new(count * COLUMNS, sizeof *cells);
    AUTO(arena) arena = arena_open(bytes_of_all(events, count) * 2 + count * HEX_SLACK + 4096);
    for (size_t i = 0; i < count; i++) {
        if (event_length(&events[i]) > PAYLOAD_BYTES_MAX)
            return err_set_internal(err, &ERR_INTERNAL, "an event for %s is longer than %d bytes", events[i].topic,
                                    PAYLOAD_BYTES_MAX);
        cells[TOPIC * count + i] = events[i].topic;
        cells[KEY * count + i] = events[i].key;
        cells[PAYLOAD * count + i] = events[i].payload;
        cells[HEX * count + i] = events[i].payload ? NULL : hex_of(arena, events[i].bytes);
        cells[REQUEST_ID * count + i] = events[i].request_id;
        cells[TRACEPARENT * count + i] = events[i].traceparent;
    }
    return pg_tx_post(tx, &ADD,
                      PARAMS(PG_TEXTS(cells + TOPIC * count, count), PG_TEXTS(cells + KEY * count, count),
                             PG_TEXTS(cells + PAYLOAD * count, count), PG_TEXTS(cells + HEX * count, count),
                             PG_TEXTS(cells + REQUEST_ID * count, count), PG_TEXTS(cells + TRACEPARENT * count, count)),
                      NULL, err);
}

bool outbox_add_all(struct pg_tx *tx, const struct outbox_event *events, size_t count, struct err *err)
{
    for (size_t done = 0; done < count; done += EVENTS_MAX)
        if (!add_portion(tx, events + done, count - done < EVENTS_MAX ? count - done : EVENTS_MAX, err))
            return false;
    return true;
}

bool outbox_add(struct pg_tx *tx, const struct outbox_event *event, struct err *err)
{
    return outbox_add_all(tx, event, 1, err);
}

/* ---- the relay
 * ------------------------------------------------------------------------------------------------------- */

/* Everything goes over one connection: it holds the advisory lock, so a relay that lost the lock can't delete either.
 */
struct outbox_relay {
    char *url, *schema;
    int32_t lock_numbers[2];
    struct kafka_producer *producer; /* lent */
    struct pg_conn *conn;            /* NULL while there is none */
    bool owner;                      /* the lock is ours */
    int looks_left;                  /* quick looks behind a batch */
    int backoff_ms;
    int64_t count_ms, stop_ms; /* monotonic */
    int stop_fd;
    _Atomic bool stop;
    pthread_t thread;
    struct metric_child *sent, *failures, *waiting, *oldest;
};

static const struct pg_statement TRY_LOCK = {"outbox_lock", "SELECT pg_try_advisory_lock($1::int, $2::int)"};
/* In order of id, up to 1000 rows or 1 MB, but one at least. */
static const struct pg_statement NEXT = {"outbox_next",
                                         "SELECT id, topic, key, payload, request_id, traceparent, bytes FROM ("
                                         "SELECT *, sum(size) OVER (ORDER BY id) - size AS before FROM ("
                                         "SELECT *, coalesce(length(payload), length(bytes)) AS size FROM outbox "
                                         "ORDER BY id LIMIT $1) AS oldest) AS sized WHERE before < 1000000 ORDER BY "
                                         "id"};
static const struct pg_statement DONE = {"outbox_done", "DELETE FROM outbox WHERE id = ANY ($1::bigint[])"};
static const struct pg_statement COUNT = {
    "outbox_count", "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at))::bigint, 0) FROM (SELECT "
                    "created_at FROM outbox ORDER BY id LIMIT 100000) AS waiting"};

static struct pg_result *ask(struct outbox_relay *relay, const struct pg_statement *statement, struct pg_params params,
                             struct err *err)
{
    return pg_conn_run(relay->conn, statement, params, false, PG_WAIT_MS, NULL, err);
}

static void disconnect(struct outbox_relay *relay)
{
    pg_conn_release(&relay->conn);
    if (relay->owner)
        log_event(LOG_INFO, "outbox_relay_ends", LOG_TEXT("schema", relay->schema));
    relay->owner = false;
    metric_set(relay->waiting, 0);
    metric_set(relay->oldest, 0);
}

/* True when we are the relay of this schema. Becoming it starts to listen, so that no wake-up is lost. */
static bool own_lock(struct outbox_relay *relay, struct err *err)
{
    if (relay->owner)
        return true;
    if (!relay->conn && !(relay->conn = pg_conn_open(relay->url, relay->schema, PG_CONNECT_MS, err)))
        return false;
    AUTO(pg_result)
    row = ask(relay, &TRY_LOCK, PARAMS(PG_I64(relay->lock_numbers[0]), PG_I64(relay->lock_numbers[1])), err);
    if (!row || !pg_bool(row, 0, 0))
        return false;
    char listen[128];
    (void)snprintf(listen, sizeof listen, "LISTEN outbox_%s", relay->schema);
    if (!pg_conn_script(relay->conn, listen, PG_WAIT_MS, NULL, err))
        return false;
    log_event(LOG_INFO, "outbox_relay_begins", LOG_TEXT("schema", relay->schema));
    return relay->owner = true;
}

struct row_headers {
    struct kafka_header list[3];
};

static struct view payload_of(const struct pg_result *rows, int row, struct arena *arena)
{
    const char *text = pg_text(rows, row, 3);
    return text ? (struct view){text, pg_text_length(rows, row, 3)} : pg_bytes(rows, row, 6, arena);
}

static void fill_message(const struct pg_result *rows, int row, struct arena *arena, struct kafka_message *message,
                         struct row_headers *headers)
{
    size_t count = 0;
    const char *request_id = pg_text(rows, row, 4), *traceparent = pg_text(rows, row, 5);
    *headers = (struct row_headers){0};
    if (request_id)
        headers->list[count++] = (struct kafka_header){"x-request-id", request_id};
    if (traceparent)
        headers->list[count++] = (struct kafka_header){"traceparent", traceparent};
    *message = (struct kafka_message){
        .topic = pg_text(rows, row, 1),
        .key = {pg_text(rows, row, 2), pg_text_length(rows, row, 2)},
        .payload = payload_of(rows, row, arena),
        .headers = headers->list,
    };
}

static bool send_rows(struct outbox_relay *relay, const struct pg_result *rows, struct err *err)
{
    size_t count = (size_t)pg_rows(rows);
    AUTO_FREE struct kafka_message *messages = mem_new(count, sizeof *messages);
    AUTO_FREE struct row_headers *headers = mem_new(count, sizeof *headers);
    AUTO_FREE int64_t *ids = mem_new(count, sizeof *ids);
    AUTO(arena) arena = arena_open(ROWS_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        fill_message(rows, (int)i, arena, &messages[i], &headers[i]);
        ids[i] = pg_i64(rows, (int)i, 0);
    }
    int64_t left_ms = relay->stop ? relay->stop_ms - clock_monotonic_ms() : SEND_MS;
    if (left_ms <= 0)
        return err_set_internal(err, &ERR_UNAVAILABLE, "events are left to the next relay");
    if (!kafka_send_all(relay->producer, messages, count, (int)left_ms, err))
        return false;
    AUTO(pg_result) done = ask(relay, &DONE, PARAMS(PG_I64S(ids, count)), err);
    if (done)
        metric_add(relay->sent, (int64_t)count);
    return done != NULL;
}

/* Sends the oldest rows. *more: there were some, so look again. */
static bool relay_look(struct outbox_relay *relay, bool *more, struct err *err)
{
    *more = false;
    AUTO(pg_result) rows = ask(relay, &NEXT, PARAMS(PG_I64(EVENTS_MAX)), err);
    if (!rows)
        return false;
    *more = pg_rows(rows) > 0;
    return !*more || send_rows(relay, rows, err);
}

static void count_waiting(struct outbox_relay *relay)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < relay->count_ms || !relay->owner)
        return;
    relay->count_ms = now_ms + COUNT_MS;
    struct err err = {0};
    AUTO(pg_result) row = ask(relay, &COUNT, NO_PARAMS, &err);
    if (row) {
        metric_set(relay->waiting, pg_i64(row, 0, 0));
        metric_set(relay->oldest, pg_i64(row, 0, 1));
    }
}

static bool was_called(struct outbox_relay *relay)
{
    bool called = false;
    for (PGnotify *call; (call = PQnotifies(relay->conn->libpq)); called = true)
        PQfreemem(call);
    return called;
}

/* How long to sleep after a look, or after a failed try. */
static int rest_ms(struct outbox_relay *relay, bool ok, bool more)
{
    if (!ok) {
        relay->backoff_ms = relay->backoff_ms ? relay->backoff_ms * 2 : BACKOFF_FIRST_MS;
        return relay->backoff_ms = relay->backoff_ms < BACKOFF_MAX_MS ? relay->backoff_ms : BACKOFF_MAX_MS;
    }
    relay->backoff_ms = 0;
    if (more) {
        relay->looks_left = SOON_LOOKS;
        return 0;
    }
    return relay->looks_left && relay->looks_left-- ? SOON_MS : LOOK_MS;
}

/* One look; gives the time to rest. */
static int relay_turn(struct outbox_relay *relay, bool *more)
{
    struct err err = {0};
    *more = false;
    if (!own_lock(relay, &err)) {
        if (err.problem)
            log_err("outbox_relay", &err);
        if (relay->conn && relay->conn->broken)
            disconnect(relay);
        return LOCK_MS;
    }
    bool ok = relay_look(relay, more, &err);
    if (!ok) {
        log_err("outbox_relay", &err);
        metric_add(relay->failures, 1);
    }
    count_waiting(relay);
    int rest = rest_ms(relay, ok, *more);
    /* Sending may have taken seconds: whoever holds the lock now must be known before the next try. */
    if (relay->conn->broken || (!ok && !pg_conn_alive(relay->conn)))
        disconnect(relay);
    return rest;
}

static void rest(struct outbox_relay *relay, int ms)
{
    bool listen = relay->owner && !relay->backoff_ms;
    if (ms && !(listen && was_called(relay)))
        pg_conn_sleep(listen ? relay->conn : NULL, relay->stop_fd, ms);
}

static void *relay_run(void *payload)
{
    struct outbox_relay *relay = payload;
    bool more;
    while (!relay->stop)
        rest(relay, relay_turn(relay, &more));
    /* The last instance to stop sends what is left; another one's relay would do it, too. */
    do
        (void)relay_turn(relay, &more);
    while (more && !relay->backoff_ms && clock_monotonic_ms() < relay->stop_ms);
    disconnect(relay);
    return NULL;
}

static void add_metrics(struct outbox_relay *relay)
{
    relay->sent = METRIC_CHILD(metric_counter("madang_outbox_sent_total", "Events that left the outbox", NULL));
    relay->failures =
        METRIC_CHILD(metric_counter("madang_outbox_failures_total", "Looks of the relay that failed", NULL));
    relay->waiting = METRIC_CHILD(
        metric_gauge("madang_outbox_waiting", "Events in the outbox, where this instance is the relay", NULL));
    relay->oldest =
        METRIC_CHILD(metric_gauge("madang_outbox_oldest_seconds", "Age of the oldest event in the outbox", NULL));
}

static void relay_free(struct outbox_relay *relay)
{
    if (relay->stop_fd >= 0)
        (void)close(relay->stop_fd);
    free(relay->url);
    free(relay->schema);
    free(relay);
}

struct outbox_relay *outbox_relay_start(struct pg_pool *pool, struct kafka_producer *producer, struct err *err)
{
    struct outbox_relay *relay = MEM_NEW(outbox_relay);
    relay->url = mem_text(pg_pool_url(pool));
    relay->schema = mem_text(pg_pool_schema(pool));
    relay->lock_numbers[0] = pg_lock_number("outbox");
    relay->lock_numbers[1] = pg_lock_number(relay->schema);
    relay->producer = producer;
    relay->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    add_metrics(relay);
    if (relay->stop_fd >= 0 && pthread_create(&relay->thread, NULL, relay_run, relay) == 0)
        return relay;
    err_set_internal(err, &ERR_INTERNAL, "the outbox relay can't start: %s", strerror(errno));
    relay_free(relay);
    return NULL;
}

void outbox_relay_release(struct outbox_relay **relay)
{
    if (!*relay)
        return;
    (*relay)->stop_ms = clock_monotonic_ms() + STOP_MS;
    (*relay)->stop = true;
    (void)eventfd_write((*relay)->stop_fd, 1);
    (void)pthread_join((*relay)->thread, NULL);
    relay_free(*relay);
    *relay = NULL;
}
