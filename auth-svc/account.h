/* account.h - the rules of names, passwords and profiles: what may be stored, and in which form it is compared.
 * Pure functions; results come from the arena. Checks add a field to err (JSON pointer) and return false, so that a
 * handler can make all of them and tell everything that is wrong at once. */
#ifndef AUTH_ACCOUNT_H
#define AUTH_ACCOUNT_H

#include "arena.h"
#include "errors.h"
#include "token.h"

enum {
    HANDLE_MIN = 2,
    HANDLE_MAX = 30,
    NICKNAME_MIN = 2,
    NICKNAME_MAX = 20, /* code points */
    PASSWORD_MIN = 8,
    PASSWORD_MAX = 128, /* code points */
    EMAIL_MAX = 254,
    NAME_MAX_LENGTH = 50,
    PHONE_BYTES = 18,
};

/* An account as the API and the events show it. Empty texts: not there. */
struct account {
    char id[UUID_TEXT_BYTES];
    char email[EMAIL_MAX + 1];
    char handle[64], nickname[96];
    char phone[PHONE_BYTES];
    char locale[4];
    enum role role;
    bool email_verified, has_password, withdrawn;
    bool owner_proved; /* the address is known to be of who holds the account */
    int64_t role_version, version, created_at_ms;
};

/* A name in both forms. */
struct nickname {
    const char *shown;  /* NFC, trimmed */
    const char *folded; /* what the unique index holds */
};

/* On failure the field /nickname says why: length, characters, or the word list. */
bool account_nickname(struct arena *arena, const char *text, struct nickname *nickname, struct err *err);
/* True when a word of the list is in it, whatever stands between its letters (separators, digits). */
bool account_is_profane(struct arena *arena, const char *text);
bool account_handle(const char *text, struct err *err);
/* `text` as typed -> lower case for comparing. Field `pointer` on failure. */
const char *account_email(struct arena *arena, const char *text, const char *pointer, struct err *err);
/* NFC, so that the same password typed on another keyboard is the same; NULL when it holds control characters. */
const char *account_password_form(struct arena *arena, const char *password);
/* 8-128 characters with a letter and a digit, not one of `names` (folded compare; NULL-ended; NULL items are skipped).
 * Field `pointer` on failure. */
bool account_password(struct arena *arena, const char *password, const char *const *names, size_t name_count,
                      const char *pointer, struct err *err);
/* Digits only, a Korean number with its leading 0 (+82 10 -> 010), others as +digits. False: no phone number. */
bool account_phone(const char *text, char phone[PHONE_BYTES]);
/* An existing day (YYYY-MM-DD) from 1900 to `today` (same form). */
bool account_birth_date(const char *text, const char *today, struct err *err);
/* Real name: 1-50 characters without control characters. */
const char *account_name(struct arena *arena, const char *text, struct err *err);

/* user_ and 10 random letters: for who gives no handle. */
void account_make_handle(char handle[HANDLE_MAX + 1]);
/* 손님 or guest, and 8 digits: until a social account is completed. */
void account_make_nickname(bool korean, char nickname[32]);

#endif
