/* The gateway's HTTP parser. The first byte chooses: a request, a response or a chunked body; the rest are the bytes.
 * Beyond "no crash": the result must not depend on how the bytes are cut, and what is taken must be free of the bytes
 * that make two readers disagree. */
#include "http1.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_headers(const struct http1_headers *headers)
{
    must(headers->count <= HTTP1_HEADERS_MAX);
    must(!(headers->first[HEADER_CONTENT_LENGTH] && headers->first[HEADER_TRANSFER_ENCODING]));
    for (size_t i = 0; i < headers->count; i++) {
        must(headers->list[i].name.length > 0);
        for (size_t k = 0; k < headers->list[i].name.length; k++)
            must(http1_token_byte(headers->list[i].name.bytes[k]));
        for (size_t k = 0; k < headers->list[i].value.length; k++) {
            unsigned char c = (unsigned char)headers->list[i].value.bytes[k];
            must((c >= 0x20 && c != 0x7f) || c == '\t');
        }
    }
}

static void fuzz_request(const char *bytes, size_t length)
{
    struct http1_request request;
    enum http1_fault fault, cut_fault;
    enum http1_result result = http1_parse_request(bytes, length, &request, &fault);
    if (result == HTTP1_DONE) {
        check_headers(&request.headers);
        must(request.head_length <= length && request.head_length <= HTTP1_HEAD_MAX);
        must(memcmp(bytes + request.head_length - 4, "\r\n\r\n", 4) == 0);
        must(request.target.bytes[0] == '/' && request.path.length >= 1);
        must(!memmem(request.path.bytes, request.path.length, "//", 2));
        must(!memmem(request.path.bytes, request.path.length, "/../", 4));
        must(!(request.chunked && request.content_length >= 0));
        must(http1_parse_request(bytes, request.head_length - 1, &request, &cut_fault) == HTTP1_MORE);
    }
    /* no prefix may be taken when the whole is refused */
    for (size_t cut = length / 2; cut < length && cut < length / 2 + 8; cut++) {
        enum http1_result part = http1_parse_request(bytes, cut, &request, &cut_fault);
        must(part == HTTP1_MORE ||
             (part == result && (result == HTTP1_DONE || length > HTTP1_HEAD_MAX || cut_fault == fault)));
    }
}

static void fuzz_response(const char *bytes, size_t length)
{
    struct http1_response response;
    enum http1_fault fault;
    if (http1_parse_response(bytes, length, &response, &fault) == HTTP1_DONE) {
        check_headers(&response.headers);
        must(response.status >= 100 && response.status <= 599);
        must(response.head_length <= length && response.head_length <= HTTP1_HEAD_MAX);
    }
}

/* Decodes in pieces of `step`; returns a sum of the content and the place where it ended. */
static uint64_t decode(const char *bytes, size_t length, size_t step, enum http1_result *result)
{
    struct http1_body body;
    http1_body_start(&body, HTTP1_BODY_CHUNKED, 0);
    uint64_t sum = 0;
    size_t used = 0;
    *result = HTTP1_MORE;
    while (used < length && *result == HTTP1_MORE) {
        size_t piece = length - used < step ? length - used : step;
        struct view in = {bytes + used, piece}, data;
        enum http1_fault fault;
        do {
            size_t before = in.length;
            *result = http1_body_next(&body, &in, &data, &fault);
            must(*result != HTTP1_MORE || in.length < before || before == 0);
            for (size_t i = 0; i < data.length; i++)
                sum = sum * 31 + (unsigned char)data.bytes[i];
        } while (*result == HTTP1_MORE && in.length);
        used += piece - in.length;
    }
    return *result == HTTP1_BAD ? 0 : sum * 31 + used;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (!length)
        return 0;
    const char *rest = (const char *)bytes + 1;
    length--;
    if (bytes[0] % 3 == 0) {
        fuzz_request(rest, length);
    } else if (bytes[0] % 3 == 1) {
        fuzz_response(rest, length);
    } else {
        enum http1_result whole, steps;
        uint64_t a = decode(rest, length, length, &whole), b = decode(rest, length, 1 + bytes[0] / 3 % 7, &steps);
        must(whole == steps && a == b);
    }
    return 0;
}
