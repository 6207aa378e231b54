/* Any bytes as an id_token of an outside provider, against a key set; behind the byte 0x1e stands another key set.
 * After the letter S, "header LF payload" is signed by the key that the set holds, so that the claims are reached too.
 */
#include "crypto.h"
#include "idtoken.h"
#include "key_of_all.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);

enum { SET_MARK = 0x1e };

static struct str jwks;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    str_init(&jwks);
    key_of_all_jwks(&jwks);
    return 0;
}

static void check(const char *token, struct view set)
{
    static const struct id_token_rules RULES = {.issuer = "https://id.example",
                                                .other_issuer = "id.example",
                                                .client_id = "us",
                                                .nonce = "n",
                                                .now_s = FUZZ_NOW_S};
    AUTO(arena) arena = arena_open(1 << 20);
    struct id_token out;
    struct err err = {0};
    bool unknown_key = false;
    bool good = id_token_verify(arena, token, &RULES, set, &out, &unknown_key, &err);
    if (good ? !out.subject || !*out.subject : !err.problem)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    AUTO_STR text, token;
    str_init(&text);
    str_init(&token);
    const unsigned char *mark = memchr(bytes, SET_MARK, length);
    size_t token_length = mark ? (size_t)(mark - bytes) : length;
    struct view set = mark ? (struct view){(const char *)mark + 1, length - token_length - 1}
                           : (struct view){jwks.bytes, jwks.length};
    str_add_bytes(&text, bytes, token_length);
    const char *end = text.bytes[0] == 'S' ? strchr(text.bytes, '\n') : NULL;
    if (end) {
        size_t header = (size_t)(end - text.bytes) - 1;
        key_of_all_sign((struct view){text.bytes + 1, header}, view_of(end + 1), &token);
    } else {
        str_add(&token, text.bytes);
    }
    check(token.bytes, set);
    return 0;
}
