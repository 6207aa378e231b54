/* Settings from the environment and from files. */
#include "config.h"

#include "mem.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct probe {
    const char *text, *needed, *secret, *other;
    int64_t number;
    bool on;
};

static const struct setting SETTINGS[] = {
    SETTING_TEXT(struct probe, text, "T_TEXT", "standard", "a text"),
    SETTING_REQUIRED(struct probe, needed, "T_NEEDED", "what is needed"),
    SETTING_SECRET(struct probe, secret, "T_SECRET", "the secret"),
    SETTING_SECRET_OPTIONAL(struct probe, other, "T_OTHER", "another secret"),
    SETTING_I64(struct probe, number, "T_NUMBER", "7", 1, 100, "a number"),
    SETTING_BOOL(struct probe, on, "T_ON", "off", "a switch"),
    {0},
};

static struct probe probe;

static void fresh(void)
{
    static const char *const NAMES[] = {"T_TEXT", "T_SECRET_FILE", "T_OTHER", "T_OTHER_FILE", "T_NUMBER", "T_ON"};
    for (size_t i = 0; i < ARRAY_LENGTH(NAMES); i++)
        (void)unsetenv(NAMES[i]);
    (void)setenv("T_NEEDED", "n", 1);
    (void)setenv("T_SECRET", "s3cret", 1);
    memset(&probe, 0, sizeof probe);
}

static bool load(struct err *err)
{
    *err = (struct err){0};
    return config_load(SETTINGS, &probe, err);
}

/* Refused, and the message starts with the setting's name. */
static void expect_refused(const char *name, const char *value, const char *told)
{
    struct err err;
    value ? (void)setenv(name, value, 1) : (void)unsetenv(name);
    bool ok = load(&err);
    test_check(!ok && strncmp(err.message, told, strlen(told)) == 0, __FILE__, __LINE__, "%s=%s: %s", name,
               value ? value : "(none)", ok ? "taken" : err.message);
    test_check(!strstr(err.message, "s3cret"), __FILE__, __LINE__, "tells the secret: %s", err.message);
    fresh();
}

TEST(config_takes_defaults_and_the_environment, "")
{
    struct err err = {0};
    fresh();
    REQUIRE_OK(load(&err), &err);
    EXPECT_TEXT("standard", probe.text);
    EXPECT_TEXT("n", probe.needed);
    EXPECT_TEXT("s3cret", probe.secret);
    EXPECT_TEXT("", probe.other);
    EXPECT_I64(7, probe.number);
    EXPECT(!probe.on);
    (void)setenv("T_TEXT", "", 1); /* meant to be empty */
    (void)setenv("T_NUMBER", "", 1);
    (void)setenv("T_ON", "YES", 1);
    REQUIRE_OK(load(&err), &err);
    EXPECT_TEXT("", probe.text);
    EXPECT_I64(7, probe.number);
    EXPECT(probe.on);
    (void)setenv("T_NUMBER", "100", 1);
    REQUIRE_OK(load(&err), &err);
    EXPECT_I64(100, probe.number);
    const char *kept = probe.needed;
    (void)setenv("T_NEEDED", "another", 1);
    EXPECT_TEXT("n", kept); /* lives on */
}

TEST(config_refuses_wrong_settings_by_name, "I10")
{
    fresh();
    expect_refused("T_NEEDED", NULL, "T_NEEDED is not set");
    expect_refused("T_NEEDED", "", "T_NEEDED is not set");
    expect_refused("T_SECRET", NULL, "T_SECRET is not set (nor T_SECRET_FILE)");
    expect_refused("T_NUMBER", "0", "T_NUMBER: must be a whole number from 1 to 100");
    expect_refused("T_NUMBER", "101", "T_NUMBER: ");
    expect_refused("T_NUMBER", "1x", "T_NUMBER: ");
    expect_refused("T_NUMBER", " 1", "T_NUMBER: ");
    expect_refused("T_NUMBER", "99999999999999999999", "T_NUMBER: ");
    expect_refused("T_NUMBER", "1.5", "T_NUMBER: ");
    expect_refused("T_ON", "maybe", "T_ON: must be on or off");
    expect_refused("T_TEXT", "\xff", "T_TEXT: is not UTF-8");
    expect_refused("T_SECRET_FILE", "/no/such/file", "T_SECRET and T_SECRET_FILE are both set");
    (void)unsetenv("T_SECRET");
    expect_refused("T_SECRET_FILE", "/no/such/file", "T_SECRET_FILE: can't read /no/such/file");
}

static void write_file(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "we");
    EXPECT_I64(length, fwrite(bytes, 1, length, file));
    (void)fclose(file);
}

TEST(config_reads_secrets_from_files, "")
{
    struct err err = {0};
    char path[] = "/tmp/t_config_XXXXXX";
    (void)close(mkstemp(path));
    fresh();
    (void)unsetenv("T_SECRET");
    (void)setenv("T_SECRET_FILE", path, 1);
    write_file(path, "line one\nline two\n", 18);
    REQUIRE_OK(load(&err), &err);
    EXPECT_TEXT("line one\nline two", probe.secret);
    write_file(path, "x\r\n", 3);
    REQUIRE_OK(load(&err), &err);
    EXPECT_TEXT("x", probe.secret);
    write_file(path, "a\0b", 3);
    EXPECT(!load(&err));
    EXPECT(strstr(err.message, "T_SECRET_FILE") != NULL);
    write_file(path, "\n", 1);
    EXPECT(!load(&err)); /* an empty secret is none */
    char *big AUTO_FREE = mem_new(1, 70000);
    memset(big, 'x', 70000);
    write_file(path, big, 70000);
    EXPECT(!load(&err));
    (void)unlink(path);
    fresh();
}

TEST(config_help_lists_settings_without_secrets, "")
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    config_print_help(SETTINGS, file);
    (void)fclose(file);
    EXPECT(strstr(text, "T_TEXT    a text (default standard)\n") != NULL);
    EXPECT(strstr(text, "T_NEEDED  what is needed (required)\n") != NULL);
    EXPECT(strstr(text, "T_SECRET  the secret (required; secret)\n") != NULL);
    EXPECT(strstr(text, "T_OTHER   another secret (optional; secret)\n") != NULL);
    EXPECT(!strstr(text, "s3cret"));
    free(text);
}
