/* cookie.h - the cookie of streams: "<session id>.<HMAC-SHA256 of it>". Who opened a stream by a ticket has one, and
 * reconnects with it, because a ticket works once and an EventSource repeats its address. It says which session;
 * whether that lives is the store's to say. Pure functions. */
#ifndef MADANG_NOTIFY_COOKIE_H
#define MADANG_NOTIFY_COOKIE_H

#include "str.h"
#include "uuid.h"

#define STREAM_COOKIE "madang_stream"
#define STREAM_PATH "/api/notifications/stream"

enum { COOKIE_KEY_BYTES = 32, COOKIE_TEXT_BYTES = 36 + 1 + 43 + 1 };

void cookie_print(const unsigned char key[COOKIE_KEY_BYTES], const char *session_id, char text[COOKIE_TEXT_BYTES]);
/* False for anything that cookie_print did not write with this key. */
bool cookie_read(const unsigned char key[COOKIE_KEY_BYTES], const char *text, char session_id[UUID_TEXT_BYTES]);

#endif
