#include "json.h"
#include "json_check.h"

#include "mem.h"
#include "utf8.h"
#include "uuid.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* json_check() has accepted the body before cJSON sees it; cJSON then unescapes the texts and gives the tree. Numbers
 * and raw values are read from the bytes themselves, since cJSON keeps numbers as double and would round 2^53 + 1. */

enum { TEXT_MAX = 4000, TEXTS_MAX = 100, ITEM_MAX = 200, FIELDS_MAX = 64 };

struct decoder {
    struct arena *arena;
    const struct field *table;
    char *out;
    bool lenient;
    struct err *err;
};

static void tree_release(cJSON **tree)
{
    cJSON_Delete(*tree);
}

/* Adds a wrong field; `name` may be anything a client sent: escaped by RFC 6901 and cut to the room on a character. */
static bool wrong(struct decoder *decoder, const char *name, int index, const char *message)
{
    char pointer[sizeof decoder->err->fields[0].pointer] = "/";
    size_t used = 1, room = sizeof pointer - 8; /* an index may follow */
    for (size_t at = 0, length = strlen(name); at < length;) {
        uint32_t code = 0;
        size_t size = utf8_decode(name + at, length - at, &code);
        bool escape = code == '~' || code == '/';
        if (!size || used + size + escape > room)
            break;
        if (escape) {
            pointer[used++] = '~';
            pointer[used++] = code == '~' ? '0' : '1';
        } else {
            memcpy(pointer + used, name + at, size);
            used += size;
        }
        at += size;
    }
    pointer[used] = '\0';
    if (index >= 0)
        (void)snprintf(pointer + used, sizeof pointer - used, "/%d", index);
    if (!decoder->err->problem)
        err_set(decoder->err, &ERR_BAD_INPUT, "Some fields are not valid");
    return err_add_field(decoder->err, pointer, "%s", message);
}

__attribute__((format(printf, 4, 5))) static bool wrong_because(struct decoder *decoder, const char *name, int index,
                                                                const char *format, ...)
{
    char message[sizeof decoder->err->fields[0].message];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return wrong(decoder, name, index, message);
}

static bool length_fits(struct decoder *decoder, const char *name, int index, const char *text, int64_t min,
                        int64_t max)
{
    int64_t count = (int64_t)utf8_count(text, strlen(text));
    if (count > max)
        return wrong_because(decoder, name, index, "must have at most %" PRId64 " characters", max);
    if (count < min)
        return count == 0 ? wrong(decoder, name, index, "must not be empty")
                          : wrong_because(decoder, name, index, "must have at least %" PRId64 " characters", min);
    return true;
}

static bool is_one_of(struct decoder *decoder, const struct field *field, const char *text)
{
    char list[sizeof decoder->err->fields[0].message];
    size_t used = 0;
    list[0] = '\0';
    for (const char *const *value = field->one_of; *value; value++) {
        if (strcmp(*value, text) == 0)
            return true;
        int more = snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", *value);
        used = used + (size_t)more < sizeof list ? used + (size_t)more : sizeof list - 1;
    }
    return wrong_because(decoder, field->name, -1, "must be one of %.90s", list);
}

static bool take_text(struct decoder *decoder, const struct field *field, const cJSON *value, void *place)
{
    if (!cJSON_IsString(value))
        return wrong(decoder, field->name, -1, "must be a text");
    const char *text = value->valuestring;
    if (!length_fits(decoder, field->name, -1, text, field->min, field->max ? field->max : TEXT_MAX))
        return false;
    if (field->one_of && !is_one_of(decoder, field, text))
        return false;
    *(const char **)place = arena_text(decoder->arena, text);
    return true;
}

static bool take_uuid(struct decoder *decoder, const struct field *field, const cJSON *value, void *place)
{
    struct uuid uuid;
    if (!cJSON_IsString(value) || !uuid_parse(value->valuestring, &uuid))
        return wrong(decoder, field->name, -1, "must be a UUID");
    char *text = arena_alloc(decoder->arena, UUID_TEXT_BYTES);
    uuid_format(&uuid, text);
    *(const char **)place = text;
    return true;
}

/* The digits of a JSON number that is written as an integer. */
static bool read_i64(struct view raw, int64_t *out, bool *integer)
{
    bool negative = raw.length && raw.bytes[0] == '-';
    int64_t value = 0;
    *integer = false;
    for (size_t i = negative; i < raw.length; i++) {
        if (raw.bytes[i] < '0' || raw.bytes[i] > '9')
            return false;
    }
    *integer = true;
    for (size_t i = negative; i < raw.length; i++) {
        int digit = raw.bytes[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    return !__builtin_mul_overflow(value, negative ? 1 : -1, out); /* summed up below zero, where there is one more */
}

static bool take_i64(struct decoder *decoder, const struct field *field, const cJSON *value, struct view raw,
                     void *place)
{
    bool integer, any = field->min == 0 && field->max == 0;
    int64_t number, min = any ? INT64_MIN : field->min, max = field->max || any ? field->max : INT64_MAX;
    if (any)
        max = INT64_MAX;
    if (!cJSON_IsNumber(value))
        return wrong(decoder, field->name, -1, "must be a whole number");
    if (!read_i64(raw, &number, &integer))
        return wrong(decoder, field->name, -1, integer ? "is out of range" : "must be a whole number");
    if (number >= min && number <= max) {
        *(int64_t *)place = number;
        return true;
    }
    if (max == INT64_MAX)
        return wrong_because(decoder, field->name, -1, "must be at least %" PRId64, min);
    return wrong_because(decoder, field->name, -1, "must be from %" PRId64 " to %" PRId64, min, max);
}

static bool take_texts(struct decoder *decoder, const struct field *field, const cJSON *value, void *place)
{
    if (!cJSON_IsArray(value))
        return wrong(decoder, field->name, -1, "must be an array of texts");
    int64_t count = cJSON_GetArraySize(value), max = field->max ? field->max : TEXTS_MAX;
    if (count > max)
        return wrong_because(decoder, field->name, -1, "must have at most %" PRId64 " items", max);
    if (count < field->min)
        return wrong_because(decoder, field->name, -1, "must have at least %" PRId64 " items", field->min);
    struct texts *texts = place;
    texts->items = arena_alloc(decoder->arena, ((size_t)count + 1) * sizeof *texts->items);
    bool ok = true;
    for (const cJSON *item = value->child; item; item = item->next, texts->count++) {
        int index = (int)texts->count;
        if (!cJSON_IsString(item))
            ok = wrong(decoder, field->name, index, "must be a text");
        else if (!length_fits(decoder, field->name, index, item->valuestring, field->item_min,
                              field->item_max ? field->item_max : ITEM_MAX))
            ok = false;
        else
            texts->items[index] = arena_text(decoder->arena, item->valuestring);
    }
    return ok;
}

/* The value's own bytes without white space outside of texts. */
static const char *minify(struct arena *arena, struct view raw)
{
    char *text = arena_alloc(arena, raw.length + 1);
    size_t used = 0;
    bool quoted = false;
    for (size_t i = 0; i < raw.length; i++) {
        char c = raw.bytes[i];
        if (!quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
            continue;
        text[used++] = c;
        if (quoted && c == '\\' && i + 1 < raw.length)
            text[used++] = raw.bytes[++i];
        else if (c == '"')
            quoted = !quoted;
    }
    text[used] = '\0';
    return text;
}

static bool take_field(struct decoder *decoder, const struct field *field, const cJSON *value, struct view raw)
{
    void *place = decoder->out + field->offset;
    switch (field->kind) {
    case FIELD_KIND_TEXT:
        return take_text(decoder, field, value, place);
    case FIELD_KIND_UUID:
        return take_uuid(decoder, field, value, place);
    case FIELD_KIND_I64:
        return take_i64(decoder, field, value, raw, place);
    case FIELD_KIND_BOOL:
        if (!cJSON_IsBool(value))
            return wrong(decoder, field->name, -1, "must be true or false");
        *(bool *)place = cJSON_IsTrue(value);
        return true;
    case FIELD_KIND_TEXTS:
        return take_texts(decoder, field, value, place);
    case FIELD_KIND_RAW:
        if (field->max && raw.length > (size_t)field->max)
            return wrong_because(decoder, field->name, -1, "must have at most %" PRId64 " bytes", field->max);
        *(const char **)place = minify(decoder->arena, raw);
        return true;
    }
    return wrong(decoder, field->name, -1, "is of an unknown kind");
}

static int field_index(const struct field *table, const char *name)
{
    for (int i = 0; table[i].name; i++) {
        if (strcmp(table[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void take_members(struct decoder *decoder, const cJSON *tree, const struct json_top *top)
{
    bool present[FIELDS_MAX] = {0};
    size_t at = 0;
    for (const cJSON *member = tree->child; member; member = member->next, at++) {
        int index = field_index(decoder->table, member->string);
        if (index < 0 || index >= FIELDS_MAX) {
            if (!decoder->lenient)
                wrong(decoder, member->string, -1, "is not known");
            continue;
        }
        const struct field *field = &decoder->table[index];
        if (cJSON_IsNull(member) && !field->nullable)
            continue;
        present[index] = true;
        if (field->seen_offset)
            *(bool *)(decoder->out + field->seen_offset) = true;
        if (!cJSON_IsNull(member))
            take_field(decoder, field, member, top->values[at]);
    }
    for (int i = 0; decoder->table[i].name && i < FIELDS_MAX; i++) {
        if (decoder->table[i].required && !present[i])
            wrong(decoder, decoder->table[i].name, -1, "is required");
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two members of one name would be read differently by different readers. Names are compared unescaped.
 * Not inlined: its 8 kB of stack must not add up over the nesting. */
__attribute__((noinline)) static const char *find_doubled(const cJSON *value)
{
    const char *names[JSON_MEMBERS_MAX], *found = NULL;
    size_t count = 0;
    if (cJSON_IsObject(value)) {
        for (const cJSON *member = value->child; member && count < JSON_MEMBERS_MAX; member = member->next)
            names[count++] = member->string;
        qsort(names, count, sizeof names[0], compare_names);
        for (size_t i = 1; i < count; i++) {
            if (strcmp(names[i - 1], names[i]) == 0)
                return names[i];
        }
    }
    return found;
}

static const char *find_doubled_deep(const cJSON *value)
{
    const char *found = find_doubled(value);
    for (const cJSON *child = value->child; child && !found; child = child->next) {
        if (child->child)
            found = find_doubled_deep(child);
    }
    return found;
}

static bool decode(struct arena *arena, struct view body, const struct field *table, void *out, size_t out_size,
                   bool lenient, struct err *err)
{
    struct json_top top;
    memset(out, 0, out_size);
    if (!json_check(body, &top, err))
        return false;
    __attribute__((cleanup(tree_release))) cJSON *tree = cJSON_ParseWithLength(body.bytes, body.length);
    if (!tree)
        return err_set(err, &ERR_BAD_INPUT, "The body is not valid JSON");
    const char *doubled = find_doubled_deep(tree);
    if (doubled)
        return err_set(err, &ERR_BAD_INPUT, "The body has two members \"%.60s\"", doubled);
    err_clear(err);
    struct decoder decoder = {.arena = arena, .table = table, .out = out, .lenient = lenient, .err = err};
    take_members(&decoder, tree, &top);
    return err->problem == NULL;
}

bool json_decode(struct arena *arena, struct view body, const struct field *table, void *out, size_t out_size,
                 struct err *err)
{
    return decode(arena, body, table, out, out_size, false, err);
}

bool json_decode_lenient(struct arena *arena, struct view body, const struct field *table, void *out, size_t out_size,
                         struct err *err)
{
    return decode(arena, body, table, out, out_size, true, err);
}
