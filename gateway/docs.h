/* docs.h - the few static files of the public side: /docs (Swagger UI) and /openapi.yaml, in memory.
 * Read at start and at SIGHUP from DOCS_DIR (plain files of its top level) and OPENAPI_FILE; bounded. Thread-safe. */
#ifndef GATEWAY_DOCS_H
#define GATEWAY_DOCS_H

#include "errors.h"
#include "str.h"

struct docs;
struct exchange;

struct docs *docs_open(const char *dir, const char *openapi_file);
void docs_release(struct docs **docs);
/* Reads all files again. What can't be read is logged and answers 404. */
void docs_reload(struct docs *docs);

/* True for a path that docs_answer answers (also with 404). */
bool docs_have(struct docs *docs, struct view path);
/* True: answered. */
bool docs_answer(struct exchange *exchange);
/* The exchange needs its file no longer. */
void docs_leave(struct exchange *exchange);

#endif
