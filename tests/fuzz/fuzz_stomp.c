/* Any bytes as what a STOMP client sends. The first byte chooses version and piece size; whole or in pieces the same
 * frames come out, within their limits. */
#include "../../chat-svc/stomp.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
    return hash * 31 + length;
}

static uint64_t check_frame(const struct stomp_frame *frame, uint64_t hash)
{
    must(frame->command < STOMP_COMMANDS && frame->header_count <= STOMP_HEADERS_MAX &&
         frame->body.length <= STOMP_BODY_MAX);
    must(frame->command == STOMP_SEND || frame->body.length == 0);
    hash = mix(hash, &frame->command, sizeof frame->command);
    for (size_t i = 0; i < frame->header_count; i++) {
        must(strlen(frame->headers[i].value) <= STOMP_LINE_MAX);
        hash = mix(hash, frame->headers[i].name, strlen(frame->headers[i].name));
        hash = mix(hash, frame->headers[i].value, strlen(frame->headers[i].value));
        must(stomp_header(frame, frame->headers[i].name) != NULL);
    }
    return mix(hash, frame->body.bytes, frame->body.length);
}

static uint64_t parse(enum stomp_version version, struct view text, size_t step, bool *broken)
{
    static struct stomp_frame frame;
    struct stomp_parser parser = {.version = version, .content_length = -1};
    uint64_t hash = 0;
    *broken = false;
    for (size_t at = 0; at < text.length && !*broken; at += step) {
        const char *why;
        enum stomp_result got;
        stomp_feed(&parser, (struct view){text.bytes + at, text.length - at < step ? text.length - at : step});
        while ((got = stomp_next(&parser, &frame, &why)) == STOMP_FRAME)
            hash = check_frame(&frame, hash);
        *broken = got == STOMP_BROKEN;
        if (*broken) {
            char receipt[64];
            must(why != NULL);
            (void)stomp_receipt_of_broken(&parser, receipt, sizeof receipt);
        }
    }
    must(*broken || parser.kept.length <= STOMP_HEAD_MAX + STOMP_BODY_MAX + step);
    stomp_parser_free(&parser);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const enum stomp_version version = (enum stomp_version)(data[0] % STOMP_VERSIONS);
    const struct view text = {(const char *)data + 1, size - 1};
    bool whole_broken, pieces_broken;
    const uint64_t whole = parse(version, text, text.length, &whole_broken),
                   pieces = parse(version, text, 1 + data[0] / STOMP_VERSIONS, &pieces_broken);
    must(whole == pieces && whole_broken == pieces_broken);
    int64_t a, b;
    AUTO_STR copy = {0};
    str_add_bytes(&copy, text.bytes, text.length);
    (void)stomp_parse_beats(copy.bytes, &a, &b);
    enum stomp_version chosen;
    (void)stomp_choose_version(copy.bytes, &chosen);
    return 0;
}
