#include "refresh.h"

#include <string.h>

enum { ID_BYTES = 16, RANDOM_BYTES = 32, MAC_BYTES = 16, TOKEN_BYTES = ID_BYTES + RANDOM_BYTES + MAC_BYTES };

static void mac_of(const struct secret *secret, const unsigned char *token, unsigned char mac[SHA256_BYTES])
{
    secret_mac(secret, "refresh token", token, ID_BYTES + RANDOM_BYTES, mac);
}

/* Fills everything from the session id and the 32 bytes. */
static void finish(const struct secret *secret, const unsigned char id[ID_BYTES],
                   const unsigned char random[RANDOM_BYTES], struct refresh_token *token)
{
    unsigned char bytes[TOKEN_BYTES], mac[SHA256_BYTES];
    memcpy(bytes, id, ID_BYTES);
    memcpy(bytes + ID_BYTES, random, RANDOM_BYTES);
    mac_of(secret, bytes, mac);
    memcpy(bytes + ID_BYTES + RANDOM_BYTES, mac, MAC_BYTES);
    AUTO_STR text = {0};
    crypto_base64url(bytes, sizeof bytes, &text);
    memcpy(token->text, text.bytes, REFRESH_TEXT_BYTES);
    struct uuid uuid;
    memcpy(uuid.bytes, id, ID_BYTES);
    uuid_format(&uuid, token->session_id);
    crypto_sha256(bytes, sizeof bytes, token->hash);
}

void refresh_new(const struct secret *secret, const char *session_id, struct refresh_token *token)
{
    struct uuid id;
    unsigned char random[RANDOM_BYTES];
    (void)uuid_parse(session_id, &id); /* ours: always one */
    crypto_random(random, sizeof random);
    finish(secret, id.bytes, random, token);
}

void refresh_successor(const struct secret *secret, const struct refresh_token *presented, struct refresh_token *next)
{
    struct uuid id;
    unsigned char random[SHA256_BYTES];
    (void)uuid_parse(presented->session_id, &id);
    secret_mac(secret, "refresh successor", presented->text, strlen(presented->text), random);
    finish(secret, id.bytes, random, next);
}

bool refresh_read(const struct secret *secret, const char *text, struct refresh_token *token)
{
    unsigned char bytes[REFRESH_TEXT_BYTES],
        mac[SHA256_BYTES]; /* decoding n characters never gives more than n bytes */
    if (strlen(text) != REFRESH_TEXT_BYTES - 1 ||
        crypto_base64url_decode(text, REFRESH_TEXT_BYTES - 1, bytes) != TOKEN_BYTES)
        return false;
    mac_of(secret, bytes, mac);
    if (!crypto_equal(mac, MAC_BYTES, bytes + ID_BYTES + RANDOM_BYTES, MAC_BYTES))
        return false;
    finish(secret, bytes, bytes + ID_BYTES, token);
    return true;
}

enum refresh_verdict refresh_judge(const struct refresh_state *state, const struct refresh_token *presented,
                                   int64_t grace_ms)
{
    bool current = crypto_equal(state->current, SHA256_BYTES, presented->hash, SHA256_BYTES);
    bool twin = state->has_twin && crypto_equal(state->twin, SHA256_BYTES, presented->hash, SHA256_BYTES);
    bool previous = state->has_previous && crypto_equal(state->previous, SHA256_BYTES, presented->hash, SHA256_BYTES);
    if (state->ended)
        return state->ended_by_reuse ? REFRESH_REUSED : REFRESH_GONE;
    if (state->expired)
        return REFRESH_GONE;
    if (current || twin)
        return REFRESH_ROTATE;
    if (previous && state->rotated_ago_ms <= grace_ms)
        return REFRESH_REPEAT;
    return REFRESH_REUSED;
}
