#include "cookie.h"

#include "crypto.h"

/* The words before the id keep this signature from meaning anything elsewhere. */
static void sign(const unsigned char key[COOKIE_KEY_BYTES], const char *session_id, struct str *out)
{
    unsigned char mac[SHA256_BYTES];
    AUTO_STR text;
    str_init(&text);
    str_printf(&text, "madang stream cookie:%s", session_id);
    crypto_hmac_sha256(key, COOKIE_KEY_BYTES, text.bytes, text.length, mac);
    crypto_base64url(mac, sizeof mac, out);
}

void cookie_print(const unsigned char key[COOKIE_KEY_BYTES], const char *session_id, char text[COOKIE_TEXT_BYTES])
{
    AUTO_STR out;
    str_init(&out);
    str_printf(&out, "%s.", session_id);
    sign(key, session_id, &out);
    memcpy(text, out.bytes, out.length < COOKIE_TEXT_BYTES ? out.length + 1 : COOKIE_TEXT_BYTES);
}

bool cookie_read(const unsigned char key[COOKIE_KEY_BYTES], const char *text, char session_id[UUID_TEXT_BYTES])
{
    char wanted[COOKIE_TEXT_BYTES], id[UUID_TEXT_BYTES];
    struct uuid uuid;
    if (strlen(text) != COOKIE_TEXT_BYTES - 1)
        return false;
    memcpy(id, text, sizeof id - 1);
    id[sizeof id - 1] = '\0';
    if (!uuid_parse(id, &uuid))
        return false;
    cookie_print(key, id, wanted);
    if (!crypto_equal(wanted, sizeof wanted, text, sizeof wanted))
        return false;
    memcpy(session_id, id, sizeof id);
    return true;
}
