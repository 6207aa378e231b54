/* sigv4.h - AWS Signature Version 4 for S3 (no double encoding of the path). Pure; tested with the published vectors.
 */
#ifndef MADANG_SIGV4_H
#define MADANG_SIGV4_H

#include "str.h"

#include <stdint.h>

struct sigv4 {
    const char *access_key, *secret_key, *region, *service; /* service: "s3" */
    int64_t at_s;
};
struct sigv4_pair {
    const char *name, *value; /* not encoded yet; a list ends with name NULL */
};
struct sigv4_request {
    const char *method, *path;        /* path not encoded */
    const struct sigv4_pair *query;   /* may be NULL */
    const struct sigv4_pair *headers; /* host included; may hold x-amz-date, x-amz-content-sha256 */
    const char *payload_hash;         /* hex, or "UNSIGNED-PAYLOAD" */
};

/* The value of the Authorization header. The caller adds x-amz-date (sigv4_date) and x-amz-content-sha256 to the
 * headers. */
void sigv4_authorization(const struct sigv4 *sigv4, const struct sigv4_request *request, struct str *out);
/* Path and query of a presigned URL, valid for `expires_s`. Headers: host only. */
void sigv4_presign(const struct sigv4 *sigv4, const struct sigv4_request *request, int64_t expires_s, struct str *out);
void sigv4_date(int64_t at_s, char text[17]); /* 20130524T000000Z */
/* For the vectors. */
void sigv4_canonical_request(const struct sigv4_request *request, struct str *out);

#endif
