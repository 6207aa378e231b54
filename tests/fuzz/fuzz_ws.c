/* Any bytes as what a WebSocket client sends: whole or in pieces (of the size in the first byte) the same messages and
 * control frames come out, or the same close code. */
#include "../../common/ws_internal.h"

#include "utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 70000 };

static void must(bool ok)
{
    if (!ok)
        abort();
}

static uint64_t mix(uint64_t hash, struct view bytes, unsigned kind)
{
    hash = (hash ^ kind) * UINT64_C(1099511628211);
    for (size_t i = 0; i < bytes.length; i++)
        hash = (hash ^ (unsigned char)bytes.bytes[i]) * UINT64_C(1099511628211);
    return hash * 31 + bytes.length;
}

static void message(void *payload, struct view bytes, bool binary)
{
    must(bytes.length <= MESSAGE_MAX && (binary || utf8_valid(bytes.bytes, bytes.length)));
    *(uint64_t *)payload = mix(*(uint64_t *)payload, bytes, binary);
}

static void control(void *payload, enum ws_opcode opcode, struct view bytes)
{
    must(bytes.length <= WS_CONTROL_MAX && opcode >= WS_CLOSE && opcode <= WS_PONG);
    *(uint64_t *)payload = mix(*(uint64_t *)payload, bytes, opcode);
}

static bool going(void *payload)
{
    (void)payload;
    return true;
}

static uint64_t parse(const uint8_t *data, size_t size, size_t step, int *code)
{
    static const struct ws_events EVENTS = {message, control, going};
    struct ws_parser parser = {0};
    uint64_t hash = 0;
    char *bytes = malloc(size); /* it is unmasked in place */
    must(bytes != NULL);
    memcpy(bytes, data, size);
    *code = 0;
    for (size_t at = 0; at < size && !*code; at += step)
        *code = ws_parse(&parser, bytes + at, size - at < step ? size - at : step, MESSAGE_MAX, &EVENTS, &hash);
    ws_parser_free(&parser);
    free(bytes);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    int whole_code, pieces_code;
    const uint64_t whole = parse(data + 1, size - 1, size - 1, &whole_code),
                   pieces = parse(data + 1, size - 1, 1 + data[0], &pieces_code);
    must(whole == pieces && whole_code == pieces_code);
    return 0;
}
