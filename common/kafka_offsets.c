#include "kafka_conf.h"
#include "kafka_worker.h"
#include "log.h"

enum { ASK_MS = 1000 }; /* three questions; with the brokers away only the first */

bool kafka_ask_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int64_t which, int timeout_ms,
                       struct err *err)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = which;
    const rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, timeout_ms);
    if (code)
        return kafka_failed(err, "offsets", code);
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err || list->elems[i].offset < 0)
            return kafka_failed(err, list->elems[i].topic, list->elems[i].err);
    return true;
}

/* ---- where the partitions of a worker begin and end ---- */

static rd_kafka_topic_partition_list_t *list_parts(const struct kafka_worker *worker)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)worker->part_count);
    for (size_t i = 0; i < worker->part_count; i++)
        rd_kafka_topic_partition_list_add(list, worker->parts[i].subscription->topic, worker->parts[i].partition);
    return list;
}

static int64_t offset_of(const rd_kafka_topic_partition_list_t *list, const struct part *part)
{
    const rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_find(list, part->subscription->topic, part->partition);
    return place && !place->err ? place->offset : -1;
}

static bool ask_all(struct kafka_worker *worker, rd_kafka_topic_partition_list_t *commits,
                    rd_kafka_topic_partition_list_t *begins, rd_kafka_topic_partition_list_t *ends, struct err *err)
{
    const rd_kafka_resp_err_t code = rd_kafka_committed(worker->rk, commits, ASK_MS);
    if (code)
        return kafka_failed(err, "commits", code);
    return kafka_ask_offsets(worker->rk, begins, RD_KAFKA_OFFSET_BEGINNING, ASK_MS, err) &&
           kafka_ask_offsets(worker->rk, ends, RD_KAFKA_OFFSET_END, ASK_MS, err);
}

void kafka_worker_find_ends(struct kafka_worker *worker)
{
    rd_kafka_topic_partition_list_t *commits = list_parts(worker), *begins = list_parts(worker),
                                    *ends = list_parts(worker);
    struct err err = {0};
    if (worker->part_count && !ask_all(worker, commits, begins, ends, &err))
        log_event(LOG_DEBUG, "worker_ends_not_known", LOG_TEXT("worker", worker->name),
                  LOG_TEXT("reason", err.detail)); /* the end of each partition will tell */
    for (size_t i = 0; !err.problem && i < worker->part_count; i++) {
        struct part *part = &worker->parts[i];
        const int64_t commit = offset_of(commits, part), begin = offset_of(begins, part), end = offset_of(ends, part);
        const int64_t start = commit > begin && commit <= end ? commit : begin; /* beyond: the topic was made anew */
        if (start >= end)
            part->caught_up = true;
        else if (part->end_offset < 0)
            part->end_offset = end;
    }
    rd_kafka_topic_partition_list_destroy(commits);
    rd_kafka_topic_partition_list_destroy(begins);
    rd_kafka_topic_partition_list_destroy(ends);
}
