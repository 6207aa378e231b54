/* Any bytes as a request body: decoding never crashes, the strict check takes nothing that cJSON then refuses, and what
 * was decoded comes back the same after encoding. */
#include "json.h"
#include "json_check.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct probe {
    const char *text, *choice, *id, *raw;
    int64_t number, small;
    bool flag, seen;
    struct texts list;
};

static const char *const CHOICES[] = {"a", "b", NULL};
static const struct field FIELDS[] = {
    FIELD_TEXT(struct probe, text, .nullable = true, .max = 20, FIELD_SEEN(struct probe, seen)),
    FIELD_TEXT(struct probe, choice, .one_of = CHOICES),
    FIELD_UUID(struct probe, id),
    FIELD_RAW(struct probe, raw),
    FIELD_I64(struct probe, number),
    FIELD_I64(struct probe, small, .min = -5, .max = 5),
    FIELD_BOOL(struct probe, flag),
    FIELD_TEXTS(struct probe, list, .max = 5, .item_max = 10),
    {0},
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_agreement(struct view body)
{
    struct json_top top;
    struct err err = {0};
    if (!json_check(body, &top, &err))
        return;
    cJSON *tree = cJSON_ParseWithLength(body.bytes, body.length);
    must(cJSON_IsObject(tree) && cJSON_GetArraySize(tree) == (int)top.count);
    cJSON_Delete(tree);
}

static void check_round_trip(struct arena *arena, const struct probe *probe)
{
    struct str out;
    struct probe again;
    struct err err = {0};
    str_init(&out);
    json_encode(&out, FIELDS, probe);
    must(JSON_DECODE(arena, view_of(out.bytes), FIELDS, &again, &err));
    must(again.number == probe->number && again.flag == probe->flag && again.list.count == probe->list.count);
    must(!probe->text || strcmp(again.text, probe->text) == 0);
    must(!probe->raw || strcmp(again.raw, probe->raw) == 0);
    str_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view body = {(const char *)data, size};
    struct arena *arena = arena_open(16 << 20);
    struct probe probe;
    struct err err = {0};
    check_agreement(body);
    if (JSON_DECODE(arena, body, FIELDS, &probe, &err))
        check_round_trip(arena, &probe);
    err = (struct err){0};
    (void)JSON_DECODE_LENIENT(arena, body, FIELDS, &probe, &err);
    arena_release(&arena);
    return 0;
}
