/* pg_wire.c - parameters on their way out, results and failures on their way in. */
#include "pg_conn.h"
#include "uuid.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- parameters
 * ------------------------------------------------------------------------------------------------------ */

/* An item of an array literal: always quoted, so that NULL, commas, braces and blanks are text. */
static void add_item(struct str *out, const char *text)
{
    if (!text) {
        str_add(out, "NULL");
        return;
    }
    str_add_char(out, '"');
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "\"\\");
        str_add_bytes(out, at, plain);
        at += plain;
        if (*at) {
            str_add_char(out, '\\');
            str_add_char(out, *at++);
        }
    }
    str_add_char(out, '"');
}

static const char *array_literal(struct str *out, const struct pg_param *param)
{
    str_add_char(out, '{');
    for (size_t i = 0; i < param->length; i++) {
        if (i)
            str_add_char(out, ',');
        if (param->kind == PG_KIND_TEXTS)
            add_item(out, param->texts[i]);
        else
            str_add_i64(out, param->numbers[i]);
    }
    str_add_char(out, '}');
    return out->bytes;
}

static char *put_i32(char *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

/* The binary form of an array: dimensions, "has NULLs", the type of items, how many, from which index; then each item
 * with its length. Gives the place of the first item, with room for all. */
static char *begin_array(struct str *out, uint32_t type, size_t count, size_t item_size)
{
    str_reserve(out, 20 + count * (4 + item_size));
    char *at = put_i32(out->bytes, count ? 1 : 0);
    at = put_i32(put_i32(at, 1), type);
    return count ? put_i32(put_i32(at, (uint32_t)count), 1) : at;
}

static void end_array(struct str *out, const char *at)
{
    out->length = (size_t)(at - out->bytes);
}

static void add_uuids(struct str *out, const struct uuid *items, size_t count)
{
    enum { UUID_OID = 2950 };
    static const struct uuid NONE;
    char *at = begin_array(out, UUID_OID, count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const bool none = memcmp(&items[i], &NONE, sizeof NONE) == 0;
        at = put_i32(at, none ? UINT32_MAX : sizeof *items);
        if (!none)
            at = (char *)memcpy(at, items[i].bytes, sizeof *items) + sizeof *items;
    }
    end_array(out, at);
}

static void add_bigints(struct str *out, const int64_t *items, size_t count)
{
    enum { BIGINT_OID = 20 };
    char *at = begin_array(out, BIGINT_OID, count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = htobe64((uint64_t)items[i]);
        at = (char *)memcpy(put_i32(at, sizeof value), &value, sizeof value) + sizeof value;
    }
    end_array(out, at);
}

bool pg_wire_fill(struct pg_wire *wire, struct pg_params params, struct err *err)
{
    wire->count = 0;
    if (params.count > PG_PARAMS_MAX)
        return err_set_internal(err, &ERR_INTERNAL, "%d parameters, at most %d", params.count, PG_PARAMS_MAX);
    for (int i = 0; i < params.count; i++) {
        const struct pg_param *param = &params.items[i];
        wire->lengths[i] = wire->formats[i] = 0;
        wire->arrays[i] = (struct str){0};
        wire->count++;
        switch (param->kind) {
        case PG_KIND_TEXT:
            wire->values[i] = param->text;
            break;
        case PG_KIND_I64:
            (void)snprintf(wire->numbers[i], sizeof wire->numbers[i], "%lld", (long long)param->number);
            wire->values[i] = wire->numbers[i];
            break;
        case PG_KIND_BOOL:
            wire->values[i] = param->number ? "t" : "f";
            break;
        case PG_KIND_BYTES:
            wire->values[i] = param->bytes ? param->bytes : param->length ? NULL : "";
            wire->lengths[i] = (int)param->length;
            wire->formats[i] = 1;
            break;
        case PG_KIND_UUIDS:
        case PG_KIND_BIGINTS:
            if (param->kind == PG_KIND_UUIDS)
                add_uuids(&wire->arrays[i], param->bytes, param->length);
            else
                add_bigints(&wire->arrays[i], param->numbers, param->length);
            wire->values[i] = wire->arrays[i].bytes;
            wire->lengths[i] = (int)wire->arrays[i].length;
            wire->formats[i] = 1;
            break;
        case PG_KIND_TEXTS:
        case PG_KIND_I64S:
            wire->values[i] = array_literal(&wire->arrays[i], param);
            break;
        }
    }
    return true;
}

void pg_wire_free(struct pg_wire *wire)
{
    for (int i = 0; i < wire->count; i++)
        str_free(&wire->arrays[i]);
    wire->count = 0;
}

/* ---- results
 * --------------------------------------------------------------------------------------------------------- */

/* A struct pg_result is libpq's PGresult under our own name, so that services need no libpq header. */
static const PGresult *of(const struct pg_result *result)
{
    return (const PGresult *)result;
}

void pg_result_release(struct pg_result **result)
{
    PQclear((PGresult *)*result);
    *result = NULL;
}

int pg_rows(const struct pg_result *result)
{
    return PQntuples(of(result));
}

int64_t pg_changed(const struct pg_result *result)
{
    return strtoll(PQcmdTuples((PGresult *)result), NULL, 10); /* "" (no count) gives 0 */
}

bool pg_is_null(const struct pg_result *result, int row, int column)
{
    return PQgetisnull(of(result), row, column) != 0;
}

const char *pg_text(const struct pg_result *result, int row, int column)
{
    return pg_is_null(result, row, column) ? NULL : PQgetvalue(of(result), row, column);
}

size_t pg_text_length(const struct pg_result *result, int row, int column)
{
    return (size_t)PQgetlength(of(result), row, column);
}

int64_t pg_i64(const struct pg_result *result, int row, int column)
{
    const char *text = pg_text(result, row, column);
    return text ? strtoll(text, NULL, 10) : 0;
}

bool pg_bool(const struct pg_result *result, int row, int column)
{
    const char *text = pg_text(result, row, column);
    return text && text[0] == 't';
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

struct view pg_bytes(const struct pg_result *result, int row, int column, struct arena *arena)
{
    const char *text = pg_text(result, row, column);
    size_t length = pg_text_length(result, row, column);
    if (!text || length < 2 || text[0] != '\\' || text[1] != 'x')
        return (struct view){NULL, 0};
    length = (length - 2) / 2;
    char *bytes = arena_alloc(arena, length + 1);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
    return (struct view){bytes, length};
}

/* One item of {a,"b \"c\"",NULL} starting at *at; leaves *at behind it. The text is written over itself in `room`. */
static const char *read_item(const char **at, char **room)
{
    char *start = *room, *end = start;
    const char *from = *at;
    bool quoted = *from == '"';
    if (quoted)
        from++;
    while (*from && (quoted ? *from != '"' : *from != ',' && *from != '}')) {
        if (*from == '\\' && from[1])
            from++;
        *end++ = *from++;
    }
    if (quoted && *from)
        from++;
    *end = '\0';
    *at = from;
    *room = end + 1;
    return !quoted && strcasecmp(start, "NULL") == 0 ? NULL : start;
}

struct texts pg_texts(const struct pg_result *result, int row, int column, struct arena *arena)
{
    const char *text = pg_text(result, row, column);
    struct texts list = {NULL, 0};
    if (!text || !(text = strchr(text, '{')) || text[1] == '}')
        return list;
    size_t length = strlen(text), commas = 1;
    for (const char *at = text; *at; at++)
        commas += *at == ',';
    list.items = arena_alloc(arena, commas * sizeof *list.items);
    char *room = arena_alloc(arena, length + 1); /* items and their NULs are never longer than the literal */
    const char *at = text + 1;
    for (;;) {
        list.items[list.count++] = read_item(&at, &room);
        if (*at != ',')
            return list;
        at++;
    }
}

/* ---- failures
 * -------------------------------------------------------------------------------------------------------- */

static bool class_is(const char *state, const char *class_name)
{
    return strncmp(state, class_name, strlen(class_name)) == 0;
}

static bool in_list(const char *state, const char *const *list)
{
    for (; *list; list++)
        if (class_is(state, *list))
            return true;
    return false;
}

/* SQLSTATE prefixes. 0A000 and 26000: a prepared statement that no longer fits the schema, refused before it ran. */
static const char *const RACES[] = {"40001", "40P01", NULL};
static const char *const NOT_RUN[] = {"26000", "0A000", NULL};
static const char *const AWAY[] = {"08", "57P", "53", "25006", "25P03", NULL};
static const char *const TOO_SLOW[] = {"57014", "55P03", NULL};
static const char *const VIOLATIONS[] = {"23505", "23503", "23514", "23P01", NULL};

static bool unavailable(struct err *err, const char *name, const char *state, const char *words)
{
    err_set_internal(err, &ERR_UNAVAILABLE, "%s: %s %.*s", name, state, (int)strcspn(words, "\n"), words);
    err->retry_after_s = 1;
    return false;
}

enum pg_outcome pg_failure(const PGresult *result, const char *name, struct err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (!state || !words) { /* made by libpq itself: the connection broke */
        unavailable(err, name, "", PQresultErrorMessage(result));
        return PG_LOST;
    }
    if (in_list(state, VIOLATIONS)) {
        const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
        err_set_internal(err, &ERR_CONFLICT, "%s", constraint ? constraint : "");
        return PG_FAILED;
    }
    if (in_list(state, RACES)) {
        unavailable(err, name, state, words);
        return PG_RACE;
    }
    if (in_list(state, NOT_RUN) && !strstr(words, "not supported")) {
        unavailable(err, name, state, words);
        return PG_NOT_RUN;
    }
    bool fatal = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
    if (fatal || in_list(state, AWAY) || in_list(state, TOO_SLOW)) {
        unavailable(err, name, state, words);
        return fatal || in_list(state, (const char *const[]){"08", "57P", "25006", NULL}) ? PG_LOST : PG_FAILED;
    }
    /* Class 22 quotes the value that it refuses behind ': "'; values do not belong into a log. */
    const char *value = class_is(state, "22") ? strstr(words, ": \"") : NULL;
    err_set_internal(err, &ERR_INTERNAL, "%s: %s %.*s", name, state, value ? (int)(value - words) : (int)strlen(words),
                     words);
    return PG_FAILED;
}

bool pg_violated(const struct err *err, const char *constraint)
{
    return err_is(err, &ERR_CONFLICT) && strcmp(err->detail, constraint) == 0;
}

/* ---- reads and writes
 * ------------------------------------------------------------------------------------------------- */

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool has_word(const char *sql, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = sql; *at; at++)
        if (strncasecmp(at, word, length) == 0 && !word_char(at[length]) && (at == sql || !word_char(at[-1])))
            return true;
    return false;
}

bool pg_is_read(const char *sql)
{
    sql += strspn(sql, " \t\r\n(");
    if (strncasecmp(sql, "select", 6) == 0 && !word_char(sql[6]))
        return true;
    return strncasecmp(sql, "with", 4) == 0 && !word_char(sql[4]) && !has_word(sql, "insert") &&
           !has_word(sql, "update") && !has_word(sql, "delete") && !has_word(sql, "merge");
}
