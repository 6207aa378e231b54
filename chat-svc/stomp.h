/* stomp.h - the frames of STOMP 1.2, 1.1 and 1.0: an incremental parser of what clients send, an encoder of what we
 * send. Pure; fuzzed.
 *
 *     stomp_feed(&parser, chunk);                                    // one WebSocket message; lent until STOMP_MORE
 *     while ((got = stomp_next(&parser, &frame, &why)) == STOMP_FRAME) ...
 *     if (got == STOMP_BROKEN) ... one ERROR frame, then close
 *
 * A frame may come in many chunks and a chunk may hold many frames; between them stand line ends (heart-beats). Lines
 * end with LF or CRLF. Only SEND has a body. Headers are unescaped by version (none in CONNECT, none in 1.0; an unknown
 * escape is broken); of repeated headers the first counts. A parser at rest holds no memory. */
#ifndef MADANG_STOMP_H
#define MADANG_STOMP_H

#include "str.h"

enum {
    STOMP_HEADERS_MAX = 32,
    STOMP_LINE_MAX = 4096,  /* bytes of one header line: a token fits */
    STOMP_HEAD_MAX = 16384, /* of the command and all headers */
    STOMP_BODY_MAX = 65536,
};

enum stomp_version { STOMP_1_0, STOMP_1_1, STOMP_1_2, STOMP_VERSIONS };
const char *stomp_version_name(enum stomp_version version); /* "1.0" */

enum stomp_command {
    STOMP_CONNECT, /* STOMP too */
    STOMP_SEND,
    STOMP_SUBSCRIBE,
    STOMP_UNSUBSCRIBE,
    STOMP_ACK,
    STOMP_NACK,
    STOMP_BEGIN,
    STOMP_COMMIT,
    STOMP_ABORT,
    STOMP_DISCONNECT,
    STOMP_COMMANDS
};

struct stomp_header {
    const char *name, *value; /* unescaped, NUL-terminated, in frame->head */
};
struct stomp_frame {
    enum stomp_command command;
    size_t header_count;
    struct stomp_header headers[STOMP_HEADERS_MAX];
    struct view body;              /* in the input: valid until the next stomp_next */
    char head[STOMP_HEAD_MAX + 2]; /* with the end of its last line, and a zero */
};
const char *stomp_header(const struct stomp_frame *frame, const char *name); /* NULL when absent */

struct stomp_parser {
    enum stomp_version version; /* of the session, for the escapes; the owner sets it at CONNECT */
    struct str kept;            /* the beginning of a frame whose rest has not come yet */
    struct view input;
    size_t scanned, head_length; /* of the frame that begins the input; head_length 0: its end was not seen yet */
    int64_t content_length;      /* -1: up to NUL */
    bool from_kept;              /* input is in `kept` */
};
enum stomp_result { STOMP_MORE, STOMP_FRAME, STOMP_BROKEN };
void stomp_feed(struct stomp_parser *parser, struct view chunk);
/* why: a constant sentence for STOMP_BROKEN. */
enum stomp_result stomp_next(struct stomp_parser *parser, struct stomp_frame *frame, const char **why);
/* For the ERROR of a broken frame: its receipt header if one can be found; false when none. */
bool stomp_receipt_of_broken(const struct stomp_parser *parser, char *receipt, size_t size);
bool stomp_too_large(const char *why); /* a limit was exceeded: close code 1009, not 1002 */
void stomp_parser_free(struct stomp_parser *parser);

/* ---- encoding: begin, headers, end ---- */

void stomp_begin(struct str *out, const char *command);
void stomp_add(struct str *out, enum stomp_version version, const char *name,
               const char *value); /* escaped as the version has it */
void stomp_add_i64(struct str *out, const char *name, int64_t value);
void stomp_end(struct str *out,
               struct view body); /* content-length when there is a body; the NUL is part of out->length */

/* "heart-beat: cx,cy"; false when it is not two numbers. */
bool stomp_parse_beats(const char *text, int64_t *can_ms, int64_t *wants_ms);
/* The best common version of "1.2,1.1,1.0"; NULL or "" means 1.0. False: none. */
bool stomp_choose_version(const char *accept, enum stomp_version *version);

#endif
