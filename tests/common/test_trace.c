/* Spans as a collector gets them; the collector is a server of our own. */
#include "trace.h"

#include "test.h"
#include "test_collector.h"

#define SAMPLED "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define UNSAMPLED "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

static void add(const char *name, const char *traceparent)
{
    trace_add(&(struct trace_span){.name = name,
                                   .kind = TRACE_SERVER,
                                   .traceparent = traceparent,
                                   .parent = "00f067aa0ba902b7",
                                   .start_us = 1700000000000001,
                                   .took_us = 1500,
                                   .failed = true,
                                   .attributes = {{"http.route", "/a \"quoted\" one"}}});
}

TEST(a_sampled_span_reaches_the_collector_and_another_does_not, "D-54")
{
    char url[96];
    struct err err = {0};
    AUTO(collector) server = collector_open("/v1/traces", url);
    REQUIRE(server != NULL);
    EXPECT(!trace_wants(SAMPLED)); /* closed: nothing is kept */
    REQUIRE_OK(trace_open("probe-svc", "probe-1", url, &err), &err);
    EXPECT(trace_wants(SAMPLED));
    EXPECT(!trace_wants(UNSAMPLED));
    EXPECT(!trace_wants(NULL));
    EXPECT(!trace_wants("00-short-01"));
    EXPECT(trace_wants_flags("01") && trace_wants_flags("03") && trace_wants_flags("0b") && trace_wants_flags("ff"));
    EXPECT(!trace_wants_flags("00") && !trace_wants_flags("02") && !trace_wants_flags("0a") &&
           !trace_wants_flags("fe"));
    add("GET /wanted", SAMPLED);
    add("GET /unwanted", UNSAMPLED);
    EXPECT(EVENTUALLY(10000, got("GET /wanted")));
    trace_close();
    EXPECT(!got("GET /unwanted"));
    EXPECT(got("\"traceId\":\"0af7651916cd43dd8448eb211c80319c\""));
    EXPECT(got("\"spanId\":\"b7ad6b7169203331\""));
    EXPECT(got("\"parentSpanId\":\"00f067aa0ba902b7\""));
    EXPECT(got("\"startTimeUnixNano\":\"1700000000000001000\""));
    EXPECT(got("\"endTimeUnixNano\":\"1700000000001501000\""));
    EXPECT(got("\"stringValue\":\"probe-svc\""));
    EXPECT(got("\"code\":2"));
    EXPECT(got("quoted"));
}

TEST(what_waits_leaves_when_the_process_ends_and_a_deaf_collector_is_not_waited_for, "I9")
{
    char url[96], name[32];
    struct err err = {0};
    AUTO(collector) server = collector_open("/v1/traces", url);
    REQUIRE(server != NULL);
    REQUIRE_OK(trace_open("probe-svc", "probe-1", url, &err), &err);
    for (int i = 0; i < 1200; i++) {
        (void)snprintf(name, sizeof name, "span %d.", i);
        add(name, SAMPLED);
    }
    trace_close();
    EXPECT(got("\"span 0.\"") && got("\"span 700.\"") && got("\"span 1199.\""));
    status = 503;
    REQUIRE_OK(trace_open("probe-svc", "probe-1", url, &err), &err);
    for (int i = 0; i < 6000; i++) /* more than are kept */
        add("lost", SAMPLED);
    trace_close();
    EXPECT(calls < 40);
    REQUIRE_OK(trace_open("probe-svc", "probe-1", "http://127.0.0.1:1/v1/traces", &err), &err);
    add("nobody", SAMPLED);
    trace_close();
}

TEST(a_child_has_an_id_of_its_own_in_the_same_trace, "")
{
    char one[TRACE_PARENT_BYTES], two[TRACE_PARENT_BYTES];
    trace_child(SAMPLED, one);
    trace_child(SAMPLED, two);
    EXPECT_I64(55, (int64_t)strlen(one));
    EXPECT(memcmp(one, SAMPLED, 36) == 0 && strcmp(one + 52, "-01") == 0);
    EXPECT(strcmp(one, two) != 0 && strcmp(one, SAMPLED) != 0);
}
