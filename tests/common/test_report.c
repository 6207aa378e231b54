/* Faults as an error tracker gets them; the tracker is a server of our own. */
#include "report.h"

#include "log.h"
#include "test.h"
#include "test_collector.h"

static bool open_for(const char *url)
{
    char dsn[128];
    struct err err = {0};
    (void)snprintf(dsn, sizeof dsn, "http://public-key@%s/42", url + strlen("http://"));
    return test_check(report_open("probe-svc", "probe-1", "bench", dsn, &err), __FILE__, __LINE__, "%s", err.message);
}

TEST(an_error_is_reported_once_a_minute_and_warnings_never, "D-54 I9")
{
    char url[96];
    AUTO(collector) server = collector_open("", url);
    REQUIRE(server != NULL && open_for(url));
    log_event(LOG_WARN, "only_a_warning", LOG_I64("n", 1));
    log_event(LOG_ERROR, "it_broke", LOG_TEXT("error.message", "a \"quoted\" word"));
    EXPECT(EVENTUALLY(10000, got("it_broke")));
    for (int i = 0; i < 500; i++)
        log_event(LOG_ERROR, "it_broke", LOG_I64("n", i));
    log_event(LOG_ERROR, "something_else");
    EXPECT(EVENTUALLY(10000, got("something_else")));
    report_close();
    EXPECT(calls == 2);
    EXPECT(!got("only_a_warning"));
    EXPECT(got("{\"type\":\"event\"}\n") && got("\"release\":\"madang@") && got("\"environment\":\"bench\""));
    EXPECT(got("quoted") && got("\"logger\":\"probe-svc\""));
    EXPECT(got("POST /api/42/envelope/ HTTP/1.1") && got("sentry_key=public-key"));
    log_event(LOG_ERROR, "after_the_end"); /* nobody hears it, and nothing breaks */
    EXPECT(calls == 2);
}

TEST(many_kinds_of_faults_are_ten_a_minute, "I9")
{
    char url[96], action[32];
    AUTO(collector) server = collector_open("", url);
    REQUIRE(server != NULL && open_for(url));
    for (int i = 0; i < 200; i++) {
        (void)snprintf(action, sizeof action, "fault_%d", i);
        log_event(LOG_ERROR, action);
    }
    report_close();
    EXPECT_I64(10, calls);
    EXPECT(got("fault_0") && !got("fault_11"));
}

TEST(a_tracker_that_is_away_stops_nobody, "I9")
{
    REQUIRE(open_for("http://127.0.0.1:1"));
    log_event(LOG_ERROR, "nobody_hears");
    report_close();
}

TEST(a_wrong_address_is_refused_by_its_setting, "I10")
{
    static const char *const WRONG[] = {
        "x", "https://host/1", "https://@host/1", "https://key@/1", "https://key@host/", "ftp://key@host/1"};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        struct err err = {0};
        test_check(!report_open("s", "i", "e", WRONG[i], &err) && err_is(&err, &ERR_BAD_INPUT) &&
                       strstr(err.message, "SENTRY_DSN"),
                   __FILE__, __LINE__, "taken: %s", WRONG[i]);
    }
}
