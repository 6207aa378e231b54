#include "json.h"

#include "clock.h"

/* A comma is due unless something was just opened or nothing stands before (a space or line feed ends a prefix such as
 * "data: "). A value never ends in one of these bytes. */
static void begin(struct str *out, const char *name)
{
    if (out->length && !strchr("{[: \n", out->bytes[out->length - 1]))
        str_add_char(out, ',');
    if (name) {
        str_add_json(out, name, strlen(name));
        str_add_char(out, ':');
    }
}

void json_open(struct str *out, const char *name, char bracket)
{
    begin(out, name);
    str_add_char(out, bracket);
}

void json_close(struct str *out, char bracket)
{
    str_add_char(out, bracket);
}

void json_text(struct str *out, const char *name, const char *value)
{
    begin(out, name);
    if (value)
        str_add_json(out, value, strlen(value));
    else
        str_add(out, "null");
}

void json_i64(struct str *out, const char *name, int64_t value)
{
    begin(out, name);
    str_add_i64(out, value);
}

void json_bool(struct str *out, const char *name, bool value)
{
    begin(out, name);
    str_add(out, value ? "true" : "false");
}

void json_raw(struct str *out, const char *name, const char *value)
{
    begin(out, name);
    str_add(out, value);
}

void json_time(struct str *out, const char *name, int64_t at_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_format(at_ms, text);
    json_text(out, name, text);
}

static void encode_texts(struct str *out, const char *name, const struct texts *texts)
{
    json_open(out, name, '[');
    for (size_t i = 0; i < texts->count; i++)
        json_text(out, NULL, texts->items[i]);
    json_close(out, ']');
}

static void encode_field(struct str *out, const struct field *field, const void *place)
{
    const char *text;
    switch (field->kind) {
    case FIELD_KIND_TEXT:
    case FIELD_KIND_UUID:
    case FIELD_KIND_RAW:
        text = *(const char *const *)place;
        if (!text && !field->nullable)
            return;
        if (text && field->kind == FIELD_KIND_RAW)
            json_raw(out, field->name, text);
        else
            json_text(out, field->name, text);
        return;
    case FIELD_KIND_I64:
        json_i64(out, field->name, *(const int64_t *)place);
        return;
    case FIELD_KIND_BOOL:
        json_bool(out, field->name, *(const bool *)place);
        return;
    case FIELD_KIND_TEXTS:
        encode_texts(out, field->name, place);
        return;
    }
}

void json_encode(struct str *out, const struct field *table, const void *in)
{
    json_open(out, NULL, '{');
    for (const struct field *field = table; field->name; field++)
        encode_field(out, field, (const char *)in + field->offset);
    json_close(out, '}');
}
