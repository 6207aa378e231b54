#include "figures.h"

#include "metrics.h"

static struct metric *sends(void)
{
    return metric_counter("madang_push_sends_total", "Sends by what became of them; retry counts each failed try",
                          "channel,result");
}

static struct metric *reasons(void)
{
    return metric_counter("madang_push_reasons_total", "Why sends did not go out, or not at once", "result,reason");
}

static struct metric *took(void)
{
    return metric_histogram("madang_push_send_seconds", "From the first byte to the answer", "channel");
}

void figures_open(void)
{
    (void)sends();
    (void)reasons();
    (void)took();
}

void figures_outcome(const char *channel, const struct outcome *outcome, bool tried)
{
    const char *result = OUTCOME_NAMES[outcome->state];
    if (outcome->state == OUTCOME_RETRY && !tried)
        result = "waiting"; /* put off without a try */
    metric_add(METRIC_CHILD(sends(), channel, result), 1);
    if (outcome->reason)
        metric_add(METRIC_CHILD(reasons(), result, outcome->reason), 1);
}

void figures_took(const char *channel, int64_t microseconds)
{
    metric_observe_us(METRIC_CHILD(took(), channel), microseconds);
}

void figures_in_flight(int64_t count)
{
    metric_set(METRIC_CHILD(metric_gauge("madang_push_in_flight", "Sends whose answer is awaited", NULL)), count);
}

void figures_queue(int64_t waiting)
{
    metric_set(METRIC_CHILD(metric_gauge("madang_push_queue", "Sends that wait, of all instances", NULL)), waiting);
}

void figures_requests(const char *result, int64_t count)
{
    if (count > 0)
        metric_add(METRIC_CHILD(metric_counter("madang_push_requests_total", "Pushes asked for", "result"), result),
                   count);
}

void figures_dropped_full(int64_t count)
{
    if (count <= 0)
        return;
    metric_add(METRIC_CHILD(sends(), "queue", "dropped"), count);
    metric_add(METRIC_CHILD(reasons(), "dropped", "queue_full"), count);
}
