/* ws_wire.c - the frames of RFC 6455: built for sending, parsed strictly. Pure; the parser is fuzzed. */
#include "ws_internal.h"

#include "mem.h"
#include "utf8.h"

#include <stdlib.h>

/* ---- out ---- */

static size_t put_header(unsigned char *header, enum ws_opcode opcode, size_t length)
{
    header[0] = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        header[1] = (unsigned char)length;
        return 2;
    }
    size_t bytes = length < 65536 ? 2 : 8;
    header[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++)
        header[2 + i] = (unsigned char)((uint64_t)length >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

struct ws_frame *ws_frame_make(enum ws_opcode opcode, struct view payload)
{
    unsigned char header[10];
    const size_t header_length = put_header(header, opcode, payload.length);
    struct ws_frame *frame = mem_new(1, sizeof *frame + header_length + payload.length);
    atomic_init(&frame->references, 1);
    frame->length = (uint32_t)(header_length + payload.length);
    memcpy(frame->bytes, header, header_length);
    if (payload.length)
        memcpy(frame->bytes + header_length, payload.bytes, payload.length);
    return frame;
}

struct ws_frame *ws_frame_new(struct view payload, bool binary)
{
    return ws_frame_make(binary ? WS_BINARY : WS_TEXT, payload);
}

struct ws_frame *ws_frame_close(int code, const char *reason)
{
    char body[WS_CONTROL_MAX];
    size_t length = 0;
    if (code) {
        body[0] = (char)(code >> 8);
        body[1] = (char)code;
        length = strlen(reason);
        if (length > sizeof body - 2)
            length = sizeof body - 2;
        while (length && !utf8_valid(reason, length))
            length--;
        memcpy(body + 2, reason, length);
        length += 2;
    }
    return ws_frame_make(WS_CLOSE, (struct view){body, length});
}

struct ws_frame *ws_frame_share(struct ws_frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void ws_frame_release(struct ws_frame **frame)
{
    if (*frame && atomic_fetch_sub_explicit(&(*frame)->references, 1, memory_order_acq_rel) == 1)
        free(*frame);
    *frame = NULL;
}

/* ---- in ---- */

static size_t header_size(const struct ws_parser *parser)
{
    if (parser->header_length < 2)
        return 2;
    const int length = parser->header[1] & 0x7f;
    return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4;
}

/* Decides by the first two bytes what no good frame can be, so that nothing waits for the rest of a bad one. */
static int check_start(const struct ws_parser *parser)
{
    const int first = parser->header[0], opcode = first & 0x0f, length = parser->header[1] & 0x7f;
    const bool final = first & 0x80;
    if (first & 0x70)
        return WS_CLOSE_PROTOCOL; /* reserved bits: no extension was agreed on */
    if (!(parser->header[1] & 0x80))
        return WS_CLOSE_PROTOCOL; /* clients mask */
    if (opcode >= 8)
        return opcode > WS_PONG || !final || length > WS_CONTROL_MAX ? WS_CLOSE_PROTOCOL : 0;
    if (opcode > WS_BINARY)
        return WS_CLOSE_PROTOCOL;
    return (opcode == WS_CONTINUATION) == (parser->message_opcode != 0) ? 0 : WS_CLOSE_PROTOCOL;
}

/* The header is whole. */
static int begin_frame(struct ws_parser *parser, size_t message_max)
{
    const unsigned char *header = parser->header;
    const int length = header[1] & 0x7f;
    uint64_t left = (uint64_t)length;
    const int more = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (more) {
        left = 0;
        for (int i = 0; i < more; i++)
            left = left << 8 | header[2 + i];
        if (left < (more == 2 ? 126u : 65536u) || left >> 63)
            return WS_CLOSE_PROTOCOL; /* not the shortest form */
    }
    parser->opcode = header[0] & 0x0f;
    parser->final = header[0] & 0x80;
    parser->left = left;
    memcpy(parser->mask, header + 2 + more, 4);
    parser->mask_at = 0;
    parser->in_payload = true;
    parser->header_length = 0;
    if (parser->opcode < 8) {
        if (left > message_max || parser->message.length + left > message_max)
            return WS_CLOSE_TOO_BIG;
        if (parser->opcode != WS_CONTINUATION)
            parser->message_opcode = parser->opcode;
    }
    return 0;
}

static void unmask(struct ws_parser *parser, char *bytes, size_t length)
{
    unsigned char mask[4];
    for (int i = 0; i < 4; i++)
        mask[i] = parser->mask[(parser->mask_at + i) & 3];
    uint32_t word;
    memcpy(&word, mask, sizeof word);
    size_t at = 0;
    for (; at + 4 <= length; at += 4) {
        uint32_t part;
        memcpy(&part, bytes + at, sizeof part);
        part ^= word;
        memcpy(bytes + at, &part, sizeof part);
    }
    for (; at < length; at++)
        bytes[at] = (char)(bytes[at] ^ mask[at & 3]);
    parser->mask_at = (uint8_t)((parser->mask_at + length) & 3);
}

static bool close_code_good(int code)
{
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static int end_control(struct view body, enum ws_opcode opcode, const struct ws_events *events, void *payload)
{
    if (opcode == WS_CLOSE && body.length) {
        if (body.length == 1 || !close_code_good((unsigned char)body.bytes[0] << 8 | (unsigned char)body.bytes[1]))
            return WS_CLOSE_PROTOCOL;
        if (!utf8_valid(body.bytes + 2, body.length - 2))
            return WS_CLOSE_NOT_UTF8;
    }
    events->control(payload, opcode, body);
    return 0;
}

/* `piece` ends the frame. What came before it is in `message` or `control`, mostly nothing. */
static int end_frame(struct ws_parser *parser, struct view piece, const struct ws_events *events, void *payload)
{
    const bool control = parser->opcode >= 8;
    struct str *kept = control ? &parser->control : &parser->message;
    parser->in_payload = false;
    if (kept->length || !(control || parser->final)) {
        str_add_bytes(kept, piece.bytes, piece.length);
        piece = (struct view){kept->bytes, kept->length};
    }
    if (!control && !parser->final)
        return 0;
    int code = 0;
    if (control) {
        code = end_control(piece, (enum ws_opcode)parser->opcode, events, payload);
    } else {
        const bool binary = parser->message_opcode == WS_BINARY;
        parser->message_opcode = 0;
        if (!binary && !utf8_valid(piece.bytes, piece.length))
            code = WS_CLOSE_NOT_UTF8;
        else
            events->message(payload, piece, binary);
    }
    str_free(kept);
    return code;
}

int ws_parse(struct ws_parser *parser, char *bytes, size_t length, size_t message_max, const struct ws_events *events,
             void *payload)
{
    size_t at = 0;
    while (at < length && events->going(payload)) {
        if (!parser->in_payload) {
            parser->header[parser->header_length++] = (unsigned char)bytes[at++];
            int code = parser->header_length == 2 ? check_start(parser) : 0;
            if (!code && parser->header_length >= 2 && parser->header_length == header_size(parser))
                code = begin_frame(parser, message_max);
            if (code)
                return code;
            if (!parser->in_payload || parser->left)
                continue;
        }
        size_t part = length - at < parser->left ? length - at : (size_t)parser->left;
        unmask(parser, bytes + at, part);
        parser->left -= part;
        if (parser->left) {
            str_add_bytes(parser->opcode >= 8 ? &parser->control : &parser->message, bytes + at, part);
            return 0;
        }
        int code = end_frame(parser, (struct view){bytes + at, part}, events, payload);
        if (code)
            return code;
        at += part;
    }
    return 0;
}

void ws_parser_free(struct ws_parser *parser)
{
    str_free(&parser->message);
    str_free(&parser->control);
}
