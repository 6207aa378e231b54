/* When events may go from the commit straight to this instance's own sockets. */
#include "shortcut.h"
#include "test.h"

#define START "0190b8a2-0000-7000-8000-000000000001"
#define OTHER "0190b8a2-0000-7000-8000-000000000002"

TEST(it_is_shut_while_an_event_is_on_its_way_back, "P-29 I2")
{
    struct shortcut *shortcut = shortcut_open(START);
    EXPECT(shortcut_is_free(shortcut, 1000));
    shortcut_owe(shortcut, 2, 1000);
    EXPECT(!shortcut_is_free(shortcut, 1001));
    shortcut_heard(shortcut, shortcut_header(shortcut, false));
    EXPECT(!shortcut_is_free(shortcut, 1001));
    shortcut_heard(shortcut, shortcut_header(shortcut, false));
    EXPECT(shortcut_is_free(shortcut, 1001));
    shortcut_release(&shortcut);
    EXPECT(!shortcut);
}

TEST(others_events_and_those_it_gave_pay_nothing, "P-29")
{
    struct shortcut *shortcut = shortcut_open(START), *other = shortcut_open(OTHER);
    shortcut_owe(shortcut, 1, 0);
    shortcut_owe(shortcut, 0, SHORTCUT_PATIENCE_MS * 2); /* nothing: the patience does not begin anew */
    shortcut_heard(shortcut, NULL);
    shortcut_heard(shortcut, shortcut_header(other, false));
    shortcut_heard(shortcut, shortcut_header(shortcut, true));
    EXPECT(!shortcut_is_free(shortcut, 1));
    EXPECT(shortcut_has(shortcut, shortcut_header(shortcut, true)));
    EXPECT(!shortcut_has(shortcut, shortcut_header(shortcut, false)));
    EXPECT(!shortcut_has(shortcut, shortcut_header(other, true)));
    EXPECT(!shortcut_has(shortcut, NULL));
    EXPECT(shortcut_is_free(shortcut, SHORTCUT_PATIENCE_MS));
    shortcut_release(&shortcut);
    shortcut_release(&other);
}

TEST(what_does_not_come_back_is_forgotten, "P-29 I9")
{
    struct shortcut *shortcut = shortcut_open(START);
    shortcut_owe(shortcut, 100, 1000);
    EXPECT(!shortcut_is_free(shortcut, 1000 + SHORTCUT_PATIENCE_MS - 1));
    EXPECT(shortcut_is_free(shortcut, 1000 + SHORTCUT_PATIENCE_MS));
    shortcut_heard(shortcut, shortcut_header(shortcut, false)); /* after all */
    EXPECT(shortcut_is_free(shortcut, 1000 + SHORTCUT_PATIENCE_MS));
    shortcut_release(&shortcut);
}

TEST(who_comes_and_goes_is_told_in_the_order_of_the_log, "P-25")
{
    EXPECT(shortcut_takes(EVENT_MESSAGE));
    EXPECT(shortcut_takes(EVENT_READ));
    EXPECT(shortcut_takes(EVENT_VERDICT));
    EXPECT(!shortcut_takes(EVENT_CREATED));
    EXPECT(!shortcut_takes(EVENT_JOINED));
    EXPECT(!shortcut_takes(EVENT_LEFT));
    EXPECT(!shortcut_takes(EVENT_ROOM));
}
