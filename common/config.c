#include "config.h"

#include "mem.h"
#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { VALUE_BYTES_MAX = 64 * 1024, NAME_BYTES = 128 };

/* Values live as long as the process: this list owns them. */
struct kept {
    struct kept *next;
    char text[];
};
static struct kept *kept_values;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *keep(const char *text, size_t length)
{
    struct kept *kept = mem_new(1, sizeof *kept + length + 1);
    memcpy(kept->text, text, length);
    (void)pthread_mutex_lock(&kept_lock);
    kept->next = kept_values;
    kept_values = kept;
    (void)pthread_mutex_unlock(&kept_lock);
    return kept->text;
}

static bool read_whole(int file, char *bytes, size_t room, size_t *length)
{
    *length = 0;
    for (;;) {
        ssize_t got = read(file, bytes + *length, room - *length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        *length += (size_t)got;
        if (*length == room) {
            errno = EFBIG;
            return false;
        }
    }
}

/* Reads the file that NAME_FILE names; one line end at its end is not part of the secret. */
static const char *read_secret_file(const char *name, const char *path, struct err *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *bytes = mem_new(1, VALUE_BYTES_MAX + 1);
    size_t length = 0;
    bool ok = file >= 0 && read_whole(file, bytes, VALUE_BYTES_MAX + 1, &length);
    int reason = errno;
    if (file >= 0)
        (void)close(file);
    if (!ok) {
        err_set(err, &ERR_BAD_INPUT, "%s: can't read %s: %s", name, path, strerror(reason));
        return NULL;
    }
    if (length && bytes[length - 1] == '\n')
        length--;
    if (length && bytes[length - 1] == '\r')
        length--;
    if (memchr(bytes, '\0', length)) {
        err_set(err, &ERR_BAD_INPUT, "%s: %s contains a zero byte", name, path);
        return NULL;
    }
    return keep(bytes, length);
}

/* The setting's text: from the environment, from NAME_FILE, or its default. *text is NULL when there is none. */
static bool find_text(const struct setting *setting, const char **text, struct err *err)
{
    const char *value = getenv(setting->name);
    *text = NULL;
    if (setting->kind == SETTING_KIND_SECRET) {
        char name_file[NAME_BYTES];
        (void)snprintf(name_file, sizeof name_file, "%s_FILE", setting->name);
        const char *path = getenv(name_file);
        if (path && *path && value && *value)
            return err_set(err, &ERR_BAD_INPUT, "%s and %s are both set: which one counts?", setting->name, name_file);
        if (path && *path)
            return (*text = read_secret_file(name_file, path, err)) != NULL;
    }
    if (value) {
        size_t length = strnlen(value, VALUE_BYTES_MAX + 1);
        if (length > VALUE_BYTES_MAX)
            return err_set(err, &ERR_BAD_INPUT, "%s: longer than %d bytes", setting->name, VALUE_BYTES_MAX);
        if (!utf8_valid(value, length))
            return err_set(err, &ERR_BAD_INPUT, "%s: is not UTF-8", setting->name);
        /* FOO= in a compose file means "as usual" for numbers and switches, but a text can be meant to be empty. */
        if (length || setting->kind == SETTING_KIND_TEXT || setting->kind == SETTING_KIND_SECRET)
            *text = keep(value, length);
    }
    if (!*text)
        *text = setting->default_text;
    return true;
}

static bool parse_bool(const char *text, bool *value)
{
    static const char *const WORDS[][2] = {{"off", "on"}, {"false", "true"}, {"no", "yes"}, {"0", "1"}};
    for (size_t i = 0; i < ARRAY_LENGTH(WORDS); i++) {
        for (int j = 0; j < 2; j++) {
            if (strcasecmp(text, WORDS[i][j]) == 0) {
                *value = j;
                return true;
            }
        }
    }
    return false;
}

static bool store_i64(const struct setting *setting, const char *text, int64_t *out, struct err *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = (*text >= '0' && *text <= '9') || (*text == '-' && text[1] >= '0' && text[1] <= '9');
    if (!digits || *end || errno || value < setting->min || value > setting->max)
        return err_set(err, &ERR_BAD_INPUT, "%s: must be a whole number from %" PRId64 " to %" PRId64 ", is \"%.40s\"",
                       setting->name, setting->min, setting->max, text);
    *out = value;
    return true;
}

static bool load_one(const struct setting *setting, char *out, struct err *err)
{
    const char *text;
    if (!find_text(setting, &text, err))
        return false;
    bool secret = setting->kind == SETTING_KIND_SECRET;
    if (!text || (!*text && !setting->default_text))
        return err_set(err, &ERR_BAD_INPUT, "%s is not set%s%s%s: %s", setting->name, secret ? " (nor " : "",
                       secret ? setting->name : "", secret ? "_FILE)" : "", setting->help);
    void *place = out + setting->offset;
    switch (setting->kind) {
    case SETTING_KIND_TEXT:
    case SETTING_KIND_SECRET:
        *(const char **)place = text;
        return true;
    case SETTING_KIND_I64:
        return store_i64(setting, text, place, err);
    case SETTING_KIND_BOOL:
        if (!parse_bool(text, place))
            return err_set(err, &ERR_BAD_INPUT, "%s: must be on or off, is \"%.40s\"", setting->name, text);
        return true;
    }
    return err_set(err, &ERR_INTERNAL, "%s: unknown kind of setting", setting->name);
}

bool config_load(const struct setting *table, void *out, struct err *err)
{
    for (const struct setting *setting = table; setting->name; setting++) {
        if (!load_one(setting, out, err))
            return false;
    }
    return true;
}

void config_print_help(const struct setting *table, FILE *file)
{
    int width = 0;
    for (const struct setting *setting = table; setting->name; setting++) {
        int length = (int)strlen(setting->name);
        width = length > width ? length : width;
    }
    (void)fprintf(file, "Settings, from the environment (secrets also from the file named by NAME_FILE):\n");
    for (const struct setting *setting = table; setting->name; setting++) {
        (void)fprintf(file, "  %-*s  %s", width, setting->name, setting->help);
        const char *secret = setting->kind == SETTING_KIND_SECRET ? "; secret" : "";
        if (!setting->default_text)
            (void)fprintf(file, " (required%s)\n", secret);
        else if (*secret || !*setting->default_text)
            (void)fprintf(file, " (optional%s)\n", secret);
        else
            (void)fprintf(file, " (default %s)\n", setting->default_text);
    }
}
