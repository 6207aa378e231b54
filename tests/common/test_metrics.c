/* Metrics in the text format of Prometheus. */
#include "metrics.h"

#include "test.h"

#include <pthread.h>
#include <stdio.h>

static const char *printed(void)
{
    static struct str out;
    str_free(&out);
    str_init(&out);
    metrics_print(&out);
    return out.bytes;
}

static bool has(const char *words)
{
    return test_check(strstr(printed(), words) != NULL, __FILE__, __LINE__, "missing: %s", words);
}

TEST(metrics_print_counters_and_gauges, "")
{
    struct metric *logins = metric_counter("t_logins_total", "Log-ins by result.", "result,how");
    EXPECT(metric_counter("t_logins_total", "again", "result,how") == logins);
    struct metric_child *ok = METRIC_CHILD(logins, "ok", "web");
    EXPECT(METRIC_CHILD(logins, "ok", "web") == ok);
    metric_add(ok, 2);
    metric_add(METRIC_CHILD(logins, "a\"b\\c\nd", "x"), 1);
    metric_set(METRIC_CHILD(metric_gauge("t_depth", "Line\none \\ two", NULL)), -5);
    has("# HELP t_logins_total Log-ins by result.\n# TYPE t_logins_total "
        "counter\nt_logins_total{result=\"ok\",how=\"web\"} 2\n");
    has("t_logins_total{result=\"a\\\"b\\\\c\\nd\",how=\"x\"} 1\n");
    has("# HELP t_depth Line\\none \\\\ two\n# TYPE t_depth gauge\nt_depth -5\n");
    EXPECT_I64(2, metric_value(ok));
}

TEST(metrics_print_histograms_that_add_up, "")
{
    struct metric_child *child = METRIC_CHILD(metric_histogram("t_seconds", "How long.", "route"), "/a");
    metric_observe_us(child, 400);
    metric_observe_us(child, 500);
    metric_observe_us(child, 501);
    metric_observe_us(child, 60 * 1000000LL);
    has("# TYPE t_seconds histogram\n");
    has("t_seconds_bucket{route=\"/a\",le=\"0.0005\"} 2\n");
    has("t_seconds_bucket{route=\"/a\",le=\"0.001\"} 3\n");
    has("t_seconds_bucket{route=\"/a\",le=\"10\"} 3\n");
    has("t_seconds_bucket{route=\"/a\",le=\"+Inf\"} 4\n");
    has("t_seconds_sum{route=\"/a\"} 60.001401\n");
    has("t_seconds_count{route=\"/a\"} 4\n");
    metric_observe_us(METRIC_CHILD(metric_histogram("t_plain_seconds", "Without labels.", NULL)), 1000000);
    has("t_plain_seconds_bucket{le=\"1\"} 1\n");
    has("t_plain_seconds_count 1\n");
}

TEST(metrics_are_bounded, "I9")
{
    struct metric *metric = metric_counter("t_many_total", "Many.", "id");
    for (int i = 0; i < 2000; i++) {
        char id[12];
        (void)snprintf(id, sizeof id, "%d", i);
        metric_add(METRIC_CHILD(metric, id), 1);
    }
    int lines = 0;
    for (const char *at = printed(); (at = strstr(at, "\nt_many_total{")); at++)
        lines++;
    EXPECT_I64(513, lines);
    has("t_many_total{id=\"511\"} 1\n");
    has("t_many_total{id=\"other\"} 1488\n");
}

static int64_t read_number(void *payload)
{
    return *(const int *)payload;
}

TEST(metrics_ask_for_gauges_and_forget_them, "")
{
    int a = 3, b = 4;
    metric_gauge_read("t_asked", "Asked.", read_number, &a);
    metric_gauge_read("t_asked", "Asked.", read_number, &b);
    has("# TYPE t_asked gauge\nt_asked 7\n");
    metric_forget(&a);
    has("t_asked 4\n");
    metric_forget(&b);
    EXPECT(!strstr(printed(), "t_asked"));
}

static void *add_often(void *payload)
{
    struct metric *metric = payload;
    for (int i = 0; i < 10000; i++)
        metric_add(METRIC_CHILD(metric, i % 2 ? "odd" : "even"), 1);
    return NULL;
}

TEST(metrics_lose_nothing_between_threads, "")
{
    struct metric *metric = metric_counter("t_threads_total", "Threads.", "kind");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        (void)pthread_create(&threads[i], NULL, add_often, metric);
    (void)printed();
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    has("t_threads_total{kind=\"even\"} 20000\n");
    has("t_threads_total{kind=\"odd\"} 20000\n");
}

TEST(metrics_tell_of_the_process, "")
{
    static const char *const NAMES[] = {"process_cpu_seconds_total",
                                        "process_resident_memory_bytes",
                                        "process_virtual_memory_bytes",
                                        "process_open_fds",
                                        "process_max_fds",
                                        "process_start_time_seconds",
                                        "process_threads"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char line[80];
        double value = 0;
        (void)snprintf(line, sizeof line, "\n%s ", NAMES[i]);
        const char *at = strstr(printed(), line);
        EXPECT(at && sscanf(at + strlen(line), "%lf", &value) == 1);
        test_check(value > 0, __FILE__, __LINE__, "%s %g", NAMES[i], value);
    }
    has("madang_build_info{version=\"" VERSION "\"} 1\n");
    const char *all = printed();
    EXPECT(all[strlen(all) - 1] == '\n');
}
