/* Any bytes as a token; or, after the letter S, "header LF payload" signed by the key that the verifier trusts, so that
 * what stands behind the signature is reached too. Time stands at FUZZ_NOW_S, so the seeds in corpus/token stay valid.
 */
#include "clock.h"
#include "crypto.h"
#include "key_of_all.h"
#include "mem.h"
#include "token.h"

#include <stdlib.h>

static struct token_verifier *verifier;

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    struct err err = {0};
    clock_shift_ms(FUZZ_NOW_S * 1000 - clock_now_ms());
    AUTO_STR jwks;
    str_init(&jwks);
    key_of_all_jwks(&jwks);
    struct keyset *keys = keyset_open();
    must(keyset_load_jwks(keys, (struct view){jwks.bytes, jwks.length}, &err));
    verifier = token_verifier_open(&(struct token_options){.keys = keys,
                                                           .revoked = revoked_open(),
                                                           .issuer = TOKEN_ISSUER,
                                                           .audience = TOKEN_AUDIENCE,
                                                           .cache_entries = 16},
                                   &err);
    must(verifier);
    return 0;
}

/* Text of at most `size` bytes with its NUL, and nothing read beyond it. */
static void check_text(const char *text, size_t size)
{
    must(memchr(text, '\0', size) != NULL);
}

static void check_token(struct view token)
{
    struct err err = {0}, again = {0};
    static struct token_parts parts;
    struct identity identity, second;
    bool split = token_split(token, &parts, &err);
    must(split || err_is(&err, &ERR_TOKEN_INVALID));
    if (split) {
        check_text(parts.kid, sizeof parts.kid);
        must(parts.payload_length < sizeof parts.payload && parts.payload[parts.payload_length] == '\0');
    }
    bool ok = token_verify(verifier, token, &identity, &err);
    must(ok || err_is(&err, &ERR_TOKEN_INVALID) || err_is(&err, &ERR_TOKEN_EXPIRED));
    must(ok == token_verify(verifier, token, &second, &again)); /* from the cache, when it was good */
    if (!ok)
        return;
    must(split && identity.expires_at_s > identity.issued_at_s && (unsigned)identity.role < ROLES);
    check_text(identity.handle, sizeof identity.handle);
    check_text(identity.nickname, sizeof identity.nickname);
    must(uuid_parse(identity.user_id, NULL) && uuid_parse(identity.session_id, NULL));
    must(strcmp(identity.user_id, second.user_id) == 0 && identity.role == second.role);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    struct view input = {(const char *)bytes, length};
    const char *end = length > 1 && bytes[0] == 'S' ? memchr(bytes, '\n', length) : NULL;
    if (!end) {
        check_token(input);
        return 0;
    }
    AUTO_STR token;
    str_init(&token);
    size_t header = (size_t)(end - input.bytes) - 1;
    key_of_all_sign((struct view){input.bytes + 1, header}, (struct view){end + 1, length - header - 2}, &token);
    check_token((struct view){token.bytes, token.length});
    return 0;
}
