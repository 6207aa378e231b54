/* keyset.h - what token.c needs of the key set (opened, filled and released as token.h says): does this key, known by
 * its id, sign these bytes? Each key is parsed once; a reader holds an immutable snapshot, so a new set never waits for
 * a verification, nor the other way round. Thread-safe. */
#ifndef MADANG_KEYSET_H
#define MADANG_KEYSET_H

#include "token.h"

enum { KEYSET_MAX = 16, KEY_SIGNATURE_BYTES = 64 };

enum key_verdict { KEY_UNKNOWN, KEY_SIGNATURE_WRONG, KEY_SIGNATURE_GOOD };

/* `signature` is r and s, 32 bytes each (RFC 7518 section 3.4). *epoch tells which epoch the verdict belongs to. */
enum key_verdict keyset_check(struct keyset *keys, const char *kid, struct view signed_bytes,
                              const unsigned char signature[KEY_SIGNATURE_BYTES], uint64_t *epoch);

/* Grows when a key is taken away or replaced: what was verified in an earlier epoch must be verified again. */
uint64_t keyset_epoch(const struct keyset *keys);

#endif
