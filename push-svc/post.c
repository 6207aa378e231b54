#include "post.h"

#include "clock.h"
#include "crypto.h"
#include "figures.h"
#include "log.h"
#include "mem.h"
#include "message.h"
#include "pace.h"
#include "store.h"
#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    POLL_MS = 500,        /* retries that come due, and what other instances' workers wrote */
    PACED_MS = 20,        /* between two looks while the pace holds us back */
    WRITE_AGAIN_MS = 200, /* while the database is away */
    CLAIM_MOST = 500,
    FAILURE_MOST_MS = 30000,
};

/* One send in hand. */
struct letter {
    struct wire_call call; /* first: the wire gives it back */
    struct finished finished;
    int attempt;
    int64_t until_ms; /* monotonic: the end of its time to live */
};

struct channel {
    const char *name; /* as in sends.channel */
    bool open;        /* there are credentials */
    int in_hand;      /* with the wire, or not yet written down */
    bool more;        /* the last claim was full, or somebody said so */
    int64_t looked_ms, paused_until_ms;
    int failures; /* in a row, of the provider as a whole */
};

struct post {
    struct post_options options;
    struct wire *wire;
    struct backoff backoff;
    struct pace pace; /* of FCM */
    struct channel channels[WIRE_CHANNELS];
    struct finished *finished; /* to be written */
    size_t finished_count, finished_room;
    int64_t write_after_ms;
    pthread_t thread;
    _Atomic bool stop, woken;
};

static unsigned char chance(void)
{
    unsigned char byte;
    crypto_random(&byte, 1);
    return byte;
}

/* ---- what became of them ---- */

static void note(struct post *post, const struct finished *finished, enum wire_channel channel, bool tried)
{
    if (post->finished_count == post->finished_room) {
        post->finished_room = post->finished_room ? post->finished_room * 2 : 256;
        post->finished = mem_grow(post->finished, post->finished_room, sizeof *post->finished);
    }
    post->finished[post->finished_count++] = *finished;
    figures_outcome(finished->sink ? "sink" : post->channels[channel].name, &finished->outcome, tried);
    if (finished->outcome.alert)
        log_event(LOG_ERROR, "push_needs_a_look", LOG_TEXT("channel", post->channels[channel].name),
                  LOG_TEXT("reason", finished->outcome.reason), LOG_I64("send_id", finished->send_id));
}

/* A provider that is away, or says that it has enough, is left alone for a while, by all sends at once. */
static void pause_channel(struct channel *channel, int64_t delay_ms, int64_t now_ms)
{
    if (channel->paused_until_ms >= now_ms + delay_ms)
        return;
    channel->paused_until_ms = now_ms + delay_ms;
    log_event(LOG_WARN, "push_channel_paused", LOG_TEXT("channel", channel->name), LOG_I64("ms", delay_ms));
}

static void learn(struct post *post, enum wire_channel which, const struct letter *letter, int64_t now_ms)
{
    struct channel *channel = &post->channels[which];
    const struct outcome *outcome = &letter->finished.outcome;
    if (outcome->pause_channel)
        pause_channel(channel, outcome->delay_ms < BACKOFF_MOST_MS ? outcome->delay_ms : BACKOFF_MOST_MS, now_ms);
    if (letter->call.end == WIRE_ANSWERED && letter->call.status < 500) {
        if (outcome->state == OUTCOME_DELIVERED)
            channel->failures = 0;
        return;
    }
    /* Web push has many providers: one that is away says nothing of the others. */
    if (which == WIRE_FCM && letter->call.end != WIRE_NOT_STARTED && now_ms >= channel->paused_until_ms &&
        ++channel->failures > 1) {
        const int64_t delay = backoff_ms(post->backoff.first_ms / 10, channel->failures - 1, chance());
        pause_channel(channel, delay < FAILURE_MOST_MS ? delay : FAILURE_MOST_MS, now_ms);
    }
}

static struct outcome judge(const struct post *post, const struct letter *letter)
{
    const struct wire_call *call = &letter->call;
    const struct view body = {call->answer.bytes ? call->answer.bytes : "", call->answer.length};
    if (call->end == WIRE_NOT_STARTED)
        return (struct outcome){OUTCOME_RETRY, .reason = "not_started", .untried = true};
    if (call->end == WIRE_NO_ANSWER)
        return outcome_no_answer(&post->backoff, letter->attempt, chance());
    return call->channel == WIRE_FCM
               ? fcm_outcome(call->status, body, call->retry_after_s, &post->backoff, letter->attempt, chance())
               : outcome_web(call->status, call->retry_after_s, &post->backoff, letter->attempt, chance());
}

static void letter_free(struct letter *letter)
{
    wire_call_free_parts(&letter->call);
    free(letter);
}

static void take_back(struct post *post, int wait_ms)
{
    struct wire_call *calls = wire_take(post->wire, wait_ms);
    const int64_t now_ms = clock_monotonic_ms();
    while (calls) {
        struct letter *letter = (struct letter *)calls;
        const enum wire_channel channel = calls->channel;
        calls = calls->next;
        letter->finished.outcome = outcome_within(judge(post, letter), letter->until_ms - now_ms);
        if (letter->call.end != WIRE_NOT_STARTED)
            figures_took(post->channels[channel].name, letter->call.took_us);
        learn(post, channel, letter, now_ms);
        note(post, &letter->finished, channel, letter->call.end != WIRE_NOT_STARTED);
        letter_free(letter);
    }
}

/* Everything that is known goes in one transaction. While the database is away it waits here, and nothing new is taken.
 */
static void write_down(struct post *post, int64_t now_ms)
{
    struct err err = {0};
    if (post->finished_count == 0 || now_ms < post->write_after_ms)
        return;
    if (!store_finish(post->options.db, post->options.slot, post->finished, post->finished_count, &err)) {
        log_err("push_finish_failed", &err);
        post->write_after_ms = now_ms + WRITE_AGAIN_MS;
        return;
    }
    for (size_t i = 0; i < post->finished_count; i++)
        post->channels[post->finished[i].channel].in_hand--;
    post->finished_count = 0;
}

/* ---- taking ---- */

static void write_fcm(struct letter *letter, const struct claimed *claimed, const struct push *push)
{
    message_fcm(push, claimed->platform, claimed->address, &letter->call.body);
}

static struct curl_slist *web_headers(const struct push *push, const char *authorization)
{
    AUTO_STR line;
    str_init(&line);
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    list = curl_slist_append(list, "Content-Encoding: aes128gcm");
    list = curl_slist_append(list, "Expect:");
    list = curl_slist_append(list, push->high ? "Urgency: high" : "Urgency: normal");
    str_printf(&line, "TTL: %lld", (long long)push->ttl_s);
    list = curl_slist_append(list, line.bytes);
    if (push->collapse_key) {
        char topic[WEBPUSH_TOPIC_BYTES];
        webpush_topic(push->collapse_key, topic);
        str_clear(&line);
        str_printf(&line, "Topic: %s", topic);
        list = curl_slist_append(list, line.bytes);
    }
    str_clear(&line);
    str_printf(&line, "Authorization: %s", authorization);
    return curl_slist_append(list, line.bytes);
}

static bool write_web(const struct post *post, struct letter *letter, const struct claimed *claimed,
                      const struct push *push, struct err *err)
{
    char origin[ENDPOINT_MAX];
    struct webpush_chance fresh;
    AUTO_STR plain, authorization;
    str_init(&plain);
    str_init(&authorization);
    /* The list may be stricter than when the device was put. */
    if (!reach_endpoint(post->options.reach, claimed->address, err))
        return false;
    reach_origin(claimed->address, origin);
    webpush_chance(&fresh);
    message_web(push, WEBPUSH_PLAIN_MAX, &plain);
    if (!webpush_seal(claimed->p256dh, claimed->auth, (struct view){plain.bytes, plain.length}, &fresh,
                      &letter->call.body, err) ||
        !vapid_authorization(post->options.vapid, origin, clock_now_ms() / 1000, &authorization, err))
        return false;
    letter->call.url = mem_text(claimed->address);
    letter->call.headers = web_headers(push, authorization.bytes);
    return true;
}

static bool write_letter(const struct post *post, struct letter *letter, const struct claimed *claimed, struct err *err)
{
    const int64_t left_s = claimed->left_ms / 1000;
    const struct push push = {
        .title = claimed->title,
        .body = claimed->body,
        .locale = claimed->locale,
        .data = claimed->data,
        .collapse_key = claimed->collapse_key,
        .id = claimed->dedupe_id,
        .high = claimed->urgent || strcmp(claimed->source, "chat") == 0,
        .ttl_s = left_s < TTL_MAX_S ? left_s : TTL_MAX_S,
        .expires_s = clock_now_ms() / 1000 + left_s,
    };
    if (letter->call.channel == WIRE_WEB)
        return write_web(post, letter, claimed, &push, err);
    write_fcm(letter, claimed, &push);
    return true;
}

/* Decides about one row: a verdict of policy, the sink, or a letter for the wire (the result). */
static struct letter *decide(struct post *post, enum wire_channel channel, const struct claimed *claimed,
                             int64_t now_ms)
{
    struct finished finished = {.send_id = claimed->send_id, .device = claimed->device, .channel = channel};
    struct err err = {0};
    if (claimed->address_hash)
        (void)snprintf(finished.address_hash, sizeof finished.address_hash, "%s", claimed->address_hash);
    if (claimed->verdict) {
        const bool slow = strcmp(claimed->verdict, VERDICT_SLOW) == 0;
        finished.outcome =
            (struct outcome){slow ? OUTCOME_RETRY : OUTCOME_DROPPED, .reason = claimed->verdict, .untried = true};
        finished.outcome.delay_ms = slow ? claimed->slow_ms : 0;
        note(post, &finished, channel, false);
        return NULL;
    }
    if (!post->channels[channel].open) {
        finished.sink = true;
        finished.outcome = (struct outcome){OUTCOME_DELIVERED, .reason = NULL};
        note(post, &finished, channel, true);
        return NULL;
    }
    struct letter *letter = MEM_NEW(letter);
    letter->call.channel = channel;
    letter->call.start_by_ms = now_ms + post->options.config->claim_seconds * 1000 / 2;
    letter->attempt = claimed->attempt;
    letter->until_ms = now_ms + claimed->left_ms;
    letter->finished = finished;
    if (write_letter(post, letter, claimed, &err))
        return letter;
    log_err("push_not_written", &err);
    finished.outcome = (struct outcome){OUTCOME_REJECTED, .reason = "not_written", .alert = true};
    note(post, &finished, channel, false);
    letter_free(letter);
    return NULL;
}

static void hand_over(struct post *post, enum wire_channel channel, const struct pg_result *rows)
{
    struct wire_call *first = NULL, **last = &first;
    const int64_t now_ms = clock_monotonic_ms();
    int sent = 0;
    for (int row = 0; row < pg_rows(rows); row++) {
        const struct claimed claimed = store_claimed(rows, row);
        struct letter *letter = decide(post, channel, &claimed, now_ms);
        if (!letter)
            continue;
        *last = &letter->call;
        last = &letter->call.next;
        sent++;
    }
    if (channel == WIRE_FCM && post->channels[channel].open)
        pace_use(&post->pace, sent);
    if (first)
        wire_put(post->wire, first);
}

/* How many to take now; *wait_ms shrinks to when it is worth another look. */
static int64_t wanted(struct post *post, enum wire_channel which, int64_t now_ms, int *wait_ms)
{
    struct channel *channel = &post->channels[which];
    const int64_t most = post->options.config->streams * HAND_STREAMS;
    const bool due = channel->more || now_ms - channel->looked_ms >= POLL_MS;
    const bool fcm = which == WIRE_FCM && channel->open;
    if (now_ms < channel->paused_until_ms || (fcm && !wire_fcm_ready(post->wire)))
        return 0;
    /* A third free, then a third taken: few large claims rather than many small ones. */
    if (!due || channel->in_hand > most - (post->options.config->streams + 1) / 2)
        return 0;
    int64_t count = most - channel->in_hand < CLAIM_MOST ? most - channel->in_hand : CLAIM_MOST;
    if (fcm) {
        const int64_t allowed = pace_allows(&post->pace, clock_monotonic_us());
        if (allowed < count) {
            count = allowed;
            *wait_ms = *wait_ms < PACED_MS ? *wait_ms : PACED_MS;
        }
    }
    return count;
}

static void take_due(struct post *post, enum wire_channel which, int *wait_ms)
{
    struct channel *channel = &post->channels[which];
    const int64_t now_ms = clock_monotonic_ms(), count = wanted(post, which, now_ms, wait_ms);
    if (count <= 0)
        return;
    struct err err = {0};
    AUTO(pg_result)
    rows = store_claim(post->options.db, channel->name, count, post->options.slot, post->options.config->claim_seconds,
                       &err);
    channel->looked_ms = now_ms;
    channel->more = rows && pg_rows(rows) == count;
    if (!rows) {
        log_err("push_claim_failed", &err);
        return;
    }
    channel->in_hand += pg_rows(rows);
    hand_over(post, which, rows);
    if (channel->more || post->finished_count)
        *wait_ms = 0;
}

static void *post_run(void *payload)
{
    struct post *post = payload;
    int wait_ms = 0;
    while (!atomic_load(&post->stop)) {
        take_back(post, wait_ms);
        if (atomic_exchange(&post->woken, false))
            for (int channel = 0; channel < WIRE_CHANNELS; channel++)
                post->channels[channel].more = true;
        write_down(post, clock_monotonic_ms());
        wait_ms = post->finished_count ? WRITE_AGAIN_MS : POLL_MS;
        for (int channel = 0; channel < WIRE_CHANNELS && !post->finished_count; channel++)
            take_due(post, channel, &wait_ms);
        figures_in_flight(wire_in_flight(post->wire));
    }
    wire_stop(post->wire);
    take_back(post, 0);
    write_down(post, INT64_MAX);
    return NULL;
}

/* ---- from outside ---- */

void post_wake(struct post *post)
{
    atomic_store(&post->woken, true);
    wire_poke(post->wire);
}

static bool reclaim(const struct post_options *options, struct err *err)
{
    int64_t count = 0;
    if (!store_reclaim(options->db, options->slot, &count, err))
        return false;
    if (count > 0)
        log_event(LOG_INFO, "push_sends_taken_over", LOG_I64("count", count), LOG_I64("slot", options->slot));
    return true;
}

static void post_free(struct post *post)
{
    wire_release(&post->wire);
    free(post->finished);
    free(post);
}

struct post *post_start(const struct post_options *options, struct err *err)
{
    const struct push_config *config = options->config;
    const struct wire_options wire_options = {
        .account = options->account,
        .fcm_url = config->fcm_url,
        .ca_file = config->ca_file,
        .reach = options->reach,
        .allow_http = config->allow_inner,
        .streams = (int)config->streams,
        .timeout_ms = (int)config->send_timeout_ms,
    };
    if (config->claim_seconds * 1000 < 2 * config->send_timeout_ms) {
        err_set(err, &ERR_BAD_INPUT, "PUSH_CLAIM_SECONDS must be at least twice PUSH_SEND_TIMEOUT_MS");
        return NULL;
    }
    if (!reclaim(options, err))
        return NULL;
    struct post *post = MEM_NEW(post);
    post->options = *options;
    post->backoff = (struct backoff){config->backoff_ms, config->quota_backoff_ms};
    post->channels[WIRE_FCM] = (struct channel){.name = "fcm", .open = options->account != NULL, .more = true};
    post->channels[WIRE_WEB] = (struct channel){.name = "web", .open = options->vapid != NULL, .more = true};
    pace_open(&post->pace, config->per_minute, clock_monotonic_us());
    post->wire = wire_start(&wire_options, err);
    if (post->wire && pthread_create(&post->thread, NULL, post_run, post) == 0)
        return post;
    if (post->wire)
        err_set_internal(err, &ERR_INTERNAL, "no thread for the post");
    post_free(post);
    return NULL;
}

void post_release(struct post **place)
{
    struct post *post = TAKE(*place);
    if (!post)
        return;
    atomic_store(&post->stop, true);
    wire_poke(post->wire);
    (void)pthread_join(post->thread, NULL);
    post_free(post);
}
