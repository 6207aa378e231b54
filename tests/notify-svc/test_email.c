/* test_email.c - mails through a real server (STARTTLS, TLS, log-in; read back by another parser), and what odd answers
 * come to. */
#include "channel_email.h"
#include "mail_world.h"
#include "mem.h"
#include "smtp.h"

static struct email_config config_for(const char *scheme, int port)
{
    static char url[64];
    snprintf(url, sizeof url, "%s://localhost:%d", scheme, port);
    return (struct email_config){.url = url,
                                 .user = WORLD_USER,
                                 .password = WORLD_PASSWORD,
                                 .from = "마당 <no-reply@madang.example>",
                                 .tls = "required",
                                 .ca_file = world_certificate,
                                 .senders = 1,
                                 .timeout_ms = 10000};
}

static const struct delivery LETTER = {
    .kind = "meetup_approved",
    .dedupe_id = "letter-1",
    .address = "mina@example.com",
    .locale = "ko",
    .title = "참가가 승인되었습니다: 한강 달리기 🎉",
    .body = "안녕하세요.\n참가 신청이 승인되었습니다.\n.\n끝",
    .body_html = "<p>안녕하세요.</p>",
    .attempt = 1,
};

static struct outcome send_with(const struct email_config *config, const struct delivery *delivery)
{
    struct err err = {0};
    struct outcome outcome = {.kind = OUTCOME_DROPPED};
    AUTO(email_channel) email = email_channel_open(config, NULL, &err);
    if (!email) {
        printf("email_channel_open: %s\n", err.message);
        exit(1);
    }
    email_channel_send(email, delivery, &outcome);
    return outcome;
}

static void expect_letter(const cJSON *mail, const char *port)
{
    EXPECT_TEXT(port, mail_text(mail, "port"));
    EXPECT(cJSON_IsTrue(cJSON_GetObjectItem(mail, "tls")));
    EXPECT(cJSON_IsTrue(cJSON_GetObjectItem(mail, "authenticated")));
    EXPECT_TEXT("no-reply@madang.example", mail_text(mail, "mail_from"));
    EXPECT_TEXT("mina@example.com",
                cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(mail, "recipients"), 0)));
    EXPECT_I64(1, cJSON_GetArraySize(cJSON_GetObjectItem(mail, "recipients")));
    EXPECT_TEXT(LETTER.title, mail_text(mail, "subject"));
    EXPECT_TEXT("마당", mail_text(mail, "from_name"));
    EXPECT_TEXT("mina@example.com", mail_text(mail, "to"));
    EXPECT_TEXT("안녕하세요.\r\n참가 신청이 승인되었습니다.\r\n.\r\n끝", mail_text(mail, "text"));
    EXPECT_TEXT(LETTER.body_html, mail_text(mail, "html"));
    char *types = cJSON_PrintUnformatted(cJSON_GetObjectItem(mail, "types"));
    EXPECT_TEXT("[\"multipart/mixed\",\"multipart/alternative\",\"text/plain\",\"text/html\"]", types);
    free(types);
    EXPECT_I64(0, cJSON_GetArraySize(cJSON_GetObjectItem(mail, "defects")));
    EXPECT(cJSON_GetNumberValue(cJSON_GetObjectItem(mail, "longest_line")) <= 100); /* the line with the boundary */
    EXPECT(llabs(atoll(mail_text(mail, "date")) - (long long)time(NULL)) < 3600);
}

TEST(mail_goes_over_starttls_with_a_log_in, "D-51 M-55")
{
    world_start();
    const struct email_config config = config_for("smtp", world_starttls);
    const struct outcome outcome = send_with(&config, &LETTER);
    EXPECT_TEXT("reply 250", outcome.reason);
    REQUIRE(outcome.kind == OUTCOME_SENT);
    cJSON *mail = world_mail();
    expect_letter(mail, "starttls");
    cJSON_Delete(mail);
}

TEST(mail_goes_over_tls_from_the_start, "D-51")
{
    world_start();
    const struct email_config config = config_for("smtps", world_smtps);
    REQUIRE(send_with(&config, &LETTER).kind == OUTCOME_SENT);
    cJSON *mail = world_mail();
    expect_letter(mail, "smtps");
    cJSON_Delete(mail);
}

TEST(mail_has_each_header_once_and_keeps_its_message_id, "D-51 K-46")
{
    static const char *const ONCE[] = {"date", "message-id", "from", "to", "subject", "mime-version"};
    world_start();
    const struct email_config config = config_for("smtp", world_starttls);
    char first[256] = "";
    for (int attempt = 1; attempt <= 3; attempt++) {
        struct delivery letter = LETTER;
        letter.attempt = attempt;
        letter.body_html = NULL;
        letter.dedupe_id = attempt < 3 ? "letter-2" : "letter-3";
        REQUIRE(send_with(&config, &letter).kind == OUTCOME_SENT);
        cJSON *mail = world_mail();
        for (size_t i = 0; i < ARRAY_LENGTH(ONCE); i++) {
            int count = 0;
            const cJSON *name;
            cJSON_ArrayForEach(name, cJSON_GetObjectItem(mail, "names")) count +=
                strcmp(name->valuestring, ONCE[i]) == 0;
            test_check(count == 1, __FILE__, __LINE__, "%s: %d times", ONCE[i], count);
        }
        if (attempt == 1)
            snprintf(first, sizeof first, "%s", mail_text(mail, "message_id"));
        else if (attempt == 2)
            EXPECT_TEXT(first, mail_text(mail, "message_id"));
        else
            EXPECT(strcmp(first, mail_text(mail, "message_id")) != 0);
        cJSON_Delete(mail);
    }
}

TEST(mails_share_a_connection_and_survive_its_end, "D-51")
{
    struct odd_server server;
    struct err err = {0};
    odd_start(&server, (struct odd_script){.times = 0});
    struct email_config config = config_for("smtp", server.port);
    config.tls = "off";
    config.user = config.password = "";
    AUTO(email_channel) email = email_channel_open(&config, NULL, &err);
    REQUIRE(email);
    for (int i = 0; i < 5; i++) {
        struct outcome outcome;
        email_channel_send(email, &LETTER, &outcome);
        EXPECT_I64(OUTCOME_SENT, outcome.kind);
    }
    email_channel_release(&email);
    odd_stop(&server); /* it has counted what it answered */
    EXPECT_I64(1, atomic_load(&server.connections));
    EXPECT_I64(5, atomic_load(&server.accepted));
}

TEST(a_kept_connection_that_died_costs_no_attempt, "D-51")
{
    struct odd_server server;
    struct err err = {0};
    odd_start(&server, (struct odd_script){.mail = "421 closing", .after = 1, .times = 2});
    struct email_config config = config_for("smtp", server.port);
    config.tls = "off";
    config.user = config.password = "";
    AUTO(email_channel) email = email_channel_open(&config, NULL, &err);
    REQUIRE(email);
    struct outcome outcome;
    email_channel_send(email, &LETTER, &outcome);
    REQUIRE(outcome.kind == OUTCOME_SENT);
    email_channel_send(email, &LETTER, &outcome);
    EXPECT_TEXT("reply 250", outcome.reason);
    EXPECT_I64(OUTCOME_SENT, outcome.kind);
    EXPECT_I64(2, atomic_load(&server.connections));
    email_channel_release(&email);
    odd_stop(&server);
}

TEST(mail_never_leaves_without_tls_when_it_is_required, "D-51")
{
    world_start();
    const struct email_config plain = config_for("smtp", world_plain); /* offers no STARTTLS */
    const struct outcome outcome = send_with(&plain, &LETTER);
    EXPECT_I64(OUTCOME_RETRY, outcome.kind);
    struct email_config stranger = config_for("smtp", world_starttls);
    stranger.ca_file = ""; /* nobody vouches for it */
    EXPECT_I64(OUTCOME_RETRY, send_with(&stranger, &LETTER).kind);
    struct email_config other_name = config_for("smtp", world_starttls);
    char url[64];
    snprintf(url, sizeof url, "smtp://localhost.localdomain.invalid:%d", world_starttls);
    other_name.url = url;
    EXPECT_I64(OUTCOME_RETRY, send_with(&other_name, &LETTER).kind);
    /* nothing came: the next mail is this one */
    const struct email_config good = config_for("smtp", world_starttls);
    struct delivery letter = LETTER;
    letter.title = "the only one";
    REQUIRE(send_with(&good, &letter).kind == OUTCOME_SENT);
    cJSON *mail = world_mail();
    EXPECT_TEXT("the only one", mail_text(mail, "subject"));
    cJSON_Delete(mail);
}

TEST(a_wrong_password_can_be_mended, "D-51")
{
    world_start();
    struct email_config config = config_for("smtp", world_starttls);
    config.password = "not this one";
    const struct outcome outcome = send_with(&config, &LETTER);
    EXPECT_I64(OUTCOME_RETRY, outcome.kind);
    EXPECT(strstr(outcome.reason, "535") != NULL);
    EXPECT(strstr(outcome.reason, "not this one") == NULL && strstr(outcome.reason, WORLD_USER) == NULL);
    config.user = config.password = "";
    EXPECT_I64(OUTCOME_RETRY, send_with(&config, &LETTER).kind); /* 530: log in first */
}

/* What the server says, at which step, and what it comes to. */
static const struct odd_case {
    const char *name;
    struct odd_script script;
    enum outcome_kind kind;
} ODD[] = {
    {"greeting 421", {.greeting = "421 too busy", .times = 1}, OUTCOME_RETRY},
    {"greeting 554", {.greeting = "554 no mail from you", .times = 1}, OUTCOME_DEAD},
    {"sender 451", {.mail = "451 later", .times = 1}, OUTCOME_RETRY},
    {"recipient 450", {.rcpt = "450 mailbox busy", .times = 1}, OUTCOME_RETRY},
    {"recipient 550", {.rcpt = "550 no such user mina@example.com", .times = 1}, OUTCOME_DEAD},
    {"data 451", {.data = "451 later", .times = 1}, OUTCOME_RETRY},
    {"end 452", {.end = "452 disk full", .times = 1}, OUTCOME_RETRY},
    {"end 552", {.end = "552 too large", .times = 1}, OUTCOME_DEAD},
    {"drop at the greeting", {.greeting = "drop", .times = 1}, OUTCOME_RETRY},
    {"drop at the recipient", {.rcpt = "drop", .times = 1}, OUTCOME_RETRY},
    {"drop after the text", {.end = "drop", .times = 1}, OUTCOME_RETRY},
    {"silence after the text", {.end = "stall", .times = 1}, OUTCOME_RETRY},
    {"nonsense", {.rcpt = "hello", .times = 1}, OUTCOME_RETRY},
};

TEST(odd_answers_come_to_again_or_never, "D-51 K-46")
{
    for (size_t i = 0; i < ARRAY_LENGTH(ODD); i++) {
        struct odd_server server;
        struct err err = {0};
        struct outcome outcome;
        odd_start(&server, ODD[i].script);
        struct email_config config = config_for("smtp", server.port);
        config.tls = "off";
        config.user = config.password = "";
        config.timeout_ms = strstr(ODD[i].name, "silence") || strstr(ODD[i].name, "nonsense") ? 400 : 10000;
        AUTO(email_channel) email = email_channel_open(&config, NULL, &err);
        REQUIRE(email);
        email_channel_send(email, &LETTER, &outcome);
        test_check(outcome.kind == ODD[i].kind, __FILE__, __LINE__, "%s: outcome %d (%s)", ODD[i].name, outcome.kind,
                   outcome.reason);
        EXPECT(strstr(outcome.reason, "mina") == NULL); /* the server's words stay out */
        EXPECT_I64(0, atomic_load(&server.accepted));
        if (!ODD[i].script.greeting) { /* 4yz, then 2yz */
            email_channel_send(email, &LETTER, &outcome);
            test_check(outcome.kind == OUTCOME_SENT, __FILE__, __LINE__, "%s: then %s", ODD[i].name, outcome.reason);
            EXPECT(EVENTUALLY(5000, atomic_load(&server.accepted) == 1)); /* it counts after it answered */
        }
        email_channel_release(&email);
        odd_stop(&server);
    }
}

TEST(no_server_is_worth_another_try, "D-51")
{
    struct odd_server server;
    odd_start(&server, (struct odd_script){.times = 0});
    struct email_config config = config_for("smtp", server.port);
    odd_stop(&server);
    EXPECT_I64(OUTCOME_RETRY, send_with(&config, &LETTER).kind);
}

TEST(what_would_add_a_header_or_a_recipient_is_dead, "D-51")
{
    struct odd_server server;
    odd_start(&server, (struct odd_script){.times = 0});
    struct email_config config = config_for("smtp", server.port);
    config.tls = "off";
    config.user = config.password = "";
    struct delivery letter = LETTER;
    letter.title = "Hello\r\nBcc: all@example.com";
    EXPECT_I64(OUTCOME_DEAD, send_with(&config, &letter).kind);
    letter = LETTER;
    letter.address = "mina@example.com>\r\nRCPT TO:<other@example.com";
    EXPECT_I64(OUTCOME_DEAD, send_with(&config, &letter).kind);
    letter.address = "";
    EXPECT_I64(OUTCOME_DEAD, send_with(&config, &letter).kind);
    EXPECT_I64(0, atomic_load(&server.connections));
    odd_stop(&server);
}

TEST(settings_that_would_betray_a_password_stop_the_start, "D-51")
{
    static const struct {
        const char *url, *user, *password, *tls, *from, *named;
    } BAD[] = {
        {"http://mail.example.com", "", "", "required", "a@b.example", "SMTP_URL"},
        {"smtp://user:secret@mail.example.com", "", "", "required", "a@b.example", "SMTP_URL"},
        {"smtp://mail.example.com", "user", "secret", "off", "a@b.example", "SMTP_TLS"},
        {"smtp://localhost.example.com", "user", "secret", "off", "a@b.example", "SMTP_TLS"},
        {"smtp://mail.example.com", "", "", "try", "a@b.example", "SMTP_TLS"},
        {"smtp://mail.example.com", "", "secret", "required", "a@b.example", "SMTP_USER"},
        {"smtp://mail.example.com", "", "", "required", "nobody", "SMTP_FROM"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct err err = {0};
        const struct email_config config = {.url = BAD[i].url,
                                            .user = BAD[i].user,
                                            .password = BAD[i].password,
                                            .tls = BAD[i].tls,
                                            .from = BAD[i].from,
                                            .ca_file = "",
                                            .timeout_ms = 1000};
        AUTO(smtp) smtp = smtp_open(&config, &err);
        EXPECT(!smtp);
        EXPECT(strncmp(err.message, BAD[i].named, strlen(BAD[i].named)) == 0);
        EXPECT(strstr(err.message, "secret") == NULL);
    }
}
