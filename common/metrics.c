#include "metrics.h"

#include "mem.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LABELS_MAX = 6, CHILDREN_MAX = 512, LABEL_BYTES = 256 };

static const int64_t BUCKETS_US[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                     100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
static const char *const BUCKET_NAMES[] = {"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
                                           "0.1",    "0.25",  "0.5",    "1",     "2.5",  "5",     "10"};
enum { BUCKETS = ARRAY_LENGTH(BUCKETS_US) };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
static const char *const KIND_NAMES[] = {"counter", "gauge", "histogram"};

struct histogram {
    _Atomic int64_t buckets[BUCKETS + 1]; /* not cumulative; the last one is above every bound */
    _Atomic int64_t sum_us;
};

struct metric_child {
    struct metric *family;
    struct metric_child *next;
    char *labels; /* a="x",b="y" already escaped; "" without labels */
    _Atomic int64_t value;
    struct histogram *histogram;
};

struct metric {
    struct metric *next;
    enum metric_kind kind;
    char *name, *help;
    char *label_names[LABELS_MAX];
    size_t label_count;
    struct metric_child *children;
    size_t child_count;
};

/* A gauge that is asked for. Several with one name (two servers in one process) are printed as their sum. */
struct reader {
    struct reader *next;
    char *name, *help;
    int64_t (*read)(void *payload);
    void *payload;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the lists; values are atomic */
static struct metric *metrics;
static struct reader *readers;

static void split_labels(struct metric *metric, const char *labels)
{
    while (labels && *labels && metric->label_count < LABELS_MAX) {
        size_t length = strcspn(labels, ",");
        char *name = mem_new(1, length + 1);
        memcpy(name, labels, length);
        metric->label_names[metric->label_count++] = name;
        labels += length + (labels[length] == ',');
    }
}

static struct metric *metric_find_or_make(enum metric_kind kind, const char *name, const char *help, const char *labels)
{
    (void)pthread_mutex_lock(&lock);
    struct metric **end = &metrics, *metric;
    while (*end && strcmp((*end)->name, name) != 0)
        end = &(*end)->next;
    metric = *end;
    if (!metric) {
        metric = *end = MEM_NEW(metric);
        metric->kind = kind;
        metric->name = mem_text(name);
        metric->help = mem_text(help);
        split_labels(metric, labels);
    }
    (void)pthread_mutex_unlock(&lock);
    return metric;
}

struct metric *metric_counter(const char *name, const char *help, const char *labels)
{
    return metric_find_or_make(METRIC_COUNTER, name, help, labels);
}

struct metric *metric_gauge(const char *name, const char *help, const char *labels)
{
    return metric_find_or_make(METRIC_GAUGE, name, help, labels);
}

struct metric *metric_histogram(const char *name, const char *help, const char *labels)
{
    return metric_find_or_make(METRIC_HISTOGRAM, name, help, labels);
}

/* A label value as the format has it: backslash, quote and line feed are escaped. */
static void add_label_value(struct str *out, const char *value)
{
    size_t length = strnlen(value, LABEL_BYTES);
    for (size_t i = 0; i < length; i++) {
        if (value[i] == '\n') {
            str_add(out, "\\n");
            continue;
        }
        if (value[i] == '\\' || value[i] == '"')
            str_add_char(out, '\\');
        str_add_char(out, value[i]);
    }
}

static void print_labels(struct str *out, const struct metric *metric, const char *const *values)
{
    for (size_t i = 0; i < metric->label_count; i++) {
        str_printf(out, "%s%s=\"", i ? "," : "", metric->label_names[i]);
        add_label_value(out, values[i]);
        str_add_char(out, '"');
    }
}

static struct metric_child *child_find(struct metric *metric, const char *labels)
{
    for (struct metric_child *child = metric->children; child; child = child->next) {
        if (strcmp(child->labels, labels) == 0)
            return child;
    }
    return NULL;
}

static struct metric_child *child_make(struct metric *metric, const char *labels)
{
    struct metric_child *child = MEM_NEW(metric_child), **end = &metric->children;
    child->family = metric;
    child->labels = mem_text(labels);
    if (metric->kind == METRIC_HISTOGRAM)
        child->histogram = MEM_NEW(histogram);
    while (*end)
        end = &(*end)->next;
    *end = child;
    metric->child_count++;
    return child;
}

struct metric_child *metric_child(struct metric *metric, ...)
{
    const char *values[LABELS_MAX + 1] = {0};
    va_list args;
    va_start(args, metric);
    for (size_t i = 0; i <= LABELS_MAX && (values[i] = va_arg(args, const char *)); i++)
        ;
    va_end(args);
    for (size_t i = 0; i < metric->label_count; i++) {
        if (!values[i]) /* a caller's fault that must not take the process down */
            values[i] = "";
    }
    AUTO_STR labels;
    str_init(&labels);
    print_labels(&labels, metric, values);
    (void)pthread_mutex_lock(&lock);
    struct metric_child *child = child_find(metric, labels.bytes);
    if (!child && metric->child_count >= CHILDREN_MAX) {
        static const char *const OTHERS[LABELS_MAX] = {"other", "other", "other", "other", "other", "other"};
        str_clear(&labels);
        print_labels(&labels, metric, OTHERS);
        child = child_find(metric, labels.bytes);
    }
    if (!child)
        child = child_make(metric, labels.bytes);
    (void)pthread_mutex_unlock(&lock);
    return child;
}

void metric_add(struct metric_child *child, int64_t amount)
{
    atomic_fetch_add_explicit(&child->value, amount, memory_order_relaxed);
}

void metric_set(struct metric_child *child, int64_t value)
{
    atomic_store_explicit(&child->value, value, memory_order_relaxed);
}

int64_t metric_value(const struct metric_child *child)
{
    return atomic_load_explicit(&child->value, memory_order_relaxed);
}

void metric_observe_us(struct metric_child *child, int64_t microseconds)
{
    size_t bucket = 0;
    while (bucket < BUCKETS && microseconds > BUCKETS_US[bucket])
        bucket++;
    if (!child->histogram)
        return;
    atomic_fetch_add_explicit(&child->histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&child->histogram->sum_us, microseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&child->value, 1, memory_order_relaxed);
}

void metric_gauge_read(const char *name, const char *help, int64_t (*read)(void *payload), void *payload)
{
    struct reader *reader = MEM_NEW(reader);
    reader->name = mem_text(name);
    reader->help = mem_text(help);
    reader->read = read;
    reader->payload = payload;
    (void)pthread_mutex_lock(&lock);
    struct reader **end = &readers;
    while (*end && strcmp((*end)->name, name) <= 0) /* sorted, so that equal names stand together */
        end = &(*end)->next;
    reader->next = *end;
    *end = reader;
    (void)pthread_mutex_unlock(&lock);
}

void metric_forget(const void *payload)
{
    (void)pthread_mutex_lock(&lock);
    for (struct reader **at = &readers; *at;) {
        struct reader *reader = *at;
        if (reader->payload != payload) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        free(reader->name);
        free(reader->help);
        free(reader);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* ---- printing
 * -------------------------------------------------------------------------------------------------------- */

static void print_head(struct str *out, const char *name, const char *help, const char *kind)
{
    str_printf(out, "# HELP %s ", name);
    for (const char *c = help; *c; c++) {
        if (*c == '\n' || *c == '\\')
            str_add(out, *c == '\n' ? "\\n" : "\\\\");
        else
            str_add_char(out, *c);
    }
    str_printf(out, "\n# TYPE %s %s\n", name, kind);
}

static void print_plain(struct str *out, const struct metric_child *child)
{
    str_add(out, child->family->name);
    if (*child->labels)
        str_printf(out, "{%s}", child->labels);
    str_printf(out, " %" PRId64 "\n", metric_value(child));
}

/* The buckets are read one after another while others add: +Inf and _count come from the same sum, so they agree. */
static void print_histogram(struct str *out, const struct metric_child *child)
{
    const char *name = child->family->name, *comma = *child->labels ? "," : "";
    const char *open = *child->labels ? "{" : "", *close = *child->labels ? "}" : "";
    int64_t below = 0;
    for (size_t i = 0; i <= BUCKETS; i++) {
        below += atomic_load_explicit(&child->histogram->buckets[i], memory_order_relaxed);
        str_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRId64 "\n", name, child->labels, comma,
                   i < BUCKETS ? BUCKET_NAMES[i] : "+Inf", below);
    }
    int64_t sum_us = atomic_load_explicit(&child->histogram->sum_us, memory_order_relaxed);
    str_printf(out, "%s_sum%s%s%s %.6f\n", name, open, child->labels, close, (double)sum_us / 1e6);
    str_printf(out, "%s_count%s%s%s %" PRId64 "\n", name, open, child->labels, close, below);
}

static void print_readers(struct str *out)
{
    for (struct reader *reader = readers; reader;) {
        const char *name = reader->name;
        int64_t value = 0;
        print_head(out, name, reader->help, "gauge");
        for (; reader && strcmp(reader->name, name) == 0; reader = reader->next)
            value += reader->read(reader->payload);
        str_printf(out, "%s %" PRId64 "\n", name, value);
    }
}

static void print_one(struct str *out, const char *name, const char *help, const char *kind, double value)
{
    print_head(out, name, help, kind);
    str_printf(out, "%s %.17g\n", name, value);
}

/* Fields 20 (threads), 22 (start), 23 (virtual size) and 24 (resident pages) of /proc/self/stat, see proc(5). */
static bool read_stat(long long values[25])
{
    char bytes[2048];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return false;
    size_t length = fread(bytes, 1, sizeof bytes - 1, file);
    (void)fclose(file);
    bytes[length] = '\0';
    const char *at = strrchr(bytes, ')'); /* the name in parentheses may hold anything */
    if (!at)
        return false;
    at += 2;
    for (int field = 3; field <= 24; field++) {
        values[field] = field == 3 ? 0 : strtoll(at, NULL, 10);
        at += strcspn(at, " ");
        at += *at == ' ';
    }
    return true;
}

static int64_t boot_time_s(void)
{
    char line[256];
    long long at = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "btime ", 6) == 0) {
            at = strtoll(line + 6, NULL, 10);
            break;
        }
    }
    if (file)
        (void)fclose(file);
    return at;
}

static int64_t open_descriptors(void)
{
    int64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count - 1; /* opendir's own */
}

static void print_process(struct str *out)
{
    struct rusage usage;
    struct rlimit files;
    long long stat[25];
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        print_one(out, "process_cpu_seconds_total", "User and system CPU time.", "counter",
                  (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        print_one(out, "process_max_fds", "Most open file descriptors.", "gauge", (double)files.rlim_cur);
    print_one(out, "process_open_fds", "Open file descriptors.", "gauge", (double)open_descriptors());
    if (!read_stat(stat))
        return;
    print_one(out, "process_threads", "Threads.", "gauge", (double)stat[20]);
    print_one(out, "process_virtual_memory_bytes", "Virtual memory.", "gauge", (double)stat[23]);
    print_one(out, "process_resident_memory_bytes", "Resident memory.", "gauge",
              (double)stat[24] * (double)sysconf(_SC_PAGESIZE));
    print_one(out, "process_start_time_seconds", "Start, in seconds since 1970.", "gauge",
              (double)boot_time_s() + (double)stat[22] / (double)sysconf(_SC_CLK_TCK));
}

void metrics_print(struct str *out)
{
    (void)pthread_mutex_lock(&lock);
    for (const struct metric *metric = metrics; metric; metric = metric->next) {
        print_head(out, metric->name, metric->help, KIND_NAMES[metric->kind]);
        for (const struct metric_child *child = metric->children; child; child = child->next)
            child->histogram ? print_histogram(out, child) : print_plain(out, child);
    }
    print_readers(out);
    (void)pthread_mutex_unlock(&lock);
    print_head(out, "madang_build_info", "The version that runs.", "gauge");
    str_printf(out, "madang_build_info{version=\"%s\"} 1\n", VERSION);
    print_process(out);
}
