/* forward.h - the heads that we write: a request's for the service, an answer's for the client.
 * Passed on: what is end to end. Dropped: what belongs to one connection (and what Connection names), what we write
 * ourselves, and look-alikes of known names with '_'. */
#ifndef GATEWAY_FORWARD_H
#define GATEWAY_FORWARD_H

#include "exchange.h"

/* A place to write to that never overflows: what does not fit sets `full`. */
struct writer {
    char *at, *end;
    bool full;
};
void write_bytes(struct writer *writer, const void *bytes, size_t length);
void write_view(struct writer *writer, struct view view);
void write_text(struct writer *writer, const char *text);
void write_number(struct writer *writer, int64_t number);
#define WRITE_LITERAL(writer, literal) write_bytes((writer), (literal), sizeof(literal) - 1)

/* Client address, request id and trace of the request in loop->request; believes what trusted proxies say. */
void forward_identify(struct exchange *exchange);
/* Writes the request's head into exchange->request. False: it would be too large. */
bool forward_request(struct exchange *exchange, struct err *err);
/* True when a header of loop->request or loop->response goes on; ours: HEADER_REQ or HEADER_RES. */
bool forward_passes(const struct http1_headers *headers, const struct http1_header *header, int ours);
void write_header(struct writer *writer, const struct http1_header *header);
/* Head of the answer in loop->response. */
void forward_response(struct exchange *exchange, struct writer *out);
/* What every answer carries, ours and the services': ids, limits, CORS, security. has_policy: it brought its own
 * Content-Security-Policy. */
void forward_common(struct exchange *exchange, struct writer *out, bool has_policy);

#endif
