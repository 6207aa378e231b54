#include "account.h"

#include "crypto.h"
#include "text.h"
#include "utf8.h"
#include "words.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* The folded text without anything but letters and marks: what is left when "f-u 1 c.k" hides a word. */
static char *letters_only(struct arena *arena, const char *folded)
{
    size_t length = strlen(folded), at = 0, kept = 0;
    char *out = arena_alloc(arena, length + 1);
    while (at < length) {
        uint32_t code;
        size_t size = utf8_decode(folded + at, length - at, &code);
        if (!size)
            break;
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
        if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ME) {
            memcpy(out + kept, folded + at, size);
            kept += size;
        }
        at += size;
    }
    out[kept] = '\0';
    return out;
}

bool account_is_profane(struct arena *arena, const char *text)
{
    const char *folded = text_fold(arena, text);
    if (!folded)
        return false;
    const char *letters = letters_only(arena, folded);
    for (size_t i = 0; WORD_LIST[i]; i++) {
        const char *word =
            text_fold(arena, WORD_LIST[i]); /* the same form: compatibility letters such as ㅅㅂ change */
        if (word && strstr(letters, word))
            return true;
    }
    return false;
}

/* No character that others can't see or that turns their text around (bidi overrides, line separators, private use).
 * The joiner of emoji is one that people mean. */
static bool can_be_shown(const char *text)
{
    enum { ZERO_WIDTH_JOINER = 0x200d };
    size_t length = strlen(text), at = 0;
    while (at < length) {
        uint32_t code;
        at += utf8_decode(text + at, length - at, &code);
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
        if (code != ZERO_WIDTH_JOINER &&
            (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO ||
             category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP))
            return false;
    }
    return true;
}

bool account_nickname(struct arena *arena, const char *text, struct nickname *nickname, struct err *err)
{
    const char *nfc = text_nfc(arena, text, false);
    if (!nfc || !can_be_shown(nfc))
        return err_add_field(err, "/nickname", "holds characters that can't be shown");
    nickname->shown = text_trim(arena, nfc);
    nickname->folded = text_fold(arena, nickname->shown);
    size_t shown = utf8_count(nickname->shown, strlen(nickname->shown));
    /* the folded form has no invisible characters, so a name of nothing but those is too short */
    if (!nickname->folded || shown < NICKNAME_MIN ||
        utf8_count(nickname->folded, strlen(nickname->folded)) < NICKNAME_MIN)
        return err_add_field(err, "/nickname", "must have at least %d characters", NICKNAME_MIN);
    if (shown > NICKNAME_MAX)
        return err_add_field(err, "/nickname", "must have at most %d characters", NICKNAME_MAX);
    if (strlen(nickname->shown) >= sizeof((struct account *)0)->nickname)
        return err_add_field(err, "/nickname", "is too long");
    if (account_is_profane(arena, nickname->shown))
        return err_add_field(err, "/nickname", "holds a word that is not allowed");
    return true;
}

bool account_handle(const char *text, struct err *err)
{
    size_t length = strlen(text);
    if (length < HANDLE_MIN || length > HANDLE_MAX)
        return err_add_field(err, "/handle", "must have %d to %d characters", HANDLE_MIN, HANDLE_MAX);
    if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.") != length)
        return err_add_field(err, "/handle", "may hold a-z, 0-9, _ and . only");
    return true;
}

const char *account_email(struct arena *arena, const char *text, const char *pointer, struct err *err)
{
    if (!text_is_email(text)) {
        err_add_field(err, pointer, "is not an e-mail address");
        return NULL;
    }
    return text_fold(arena, text);
}

const char *account_password_form(struct arena *arena, const char *password)
{
    return text_nfc(arena, password, false);
}

bool account_password(struct arena *arena, const char *password, const char *const *names, size_t name_count,
                      const char *pointer, struct err *err)
{
    const char *form = account_password_form(arena, password);
    if (!form)
        return err_add_field(err, pointer, "holds control characters");
    size_t length = utf8_count(form, strlen(form));
    if (length < PASSWORD_MIN || length > PASSWORD_MAX)
        return err_add_field(err, pointer, "must have %d to %d characters", PASSWORD_MIN, PASSWORD_MAX);
    bool letter = false, digit = false;
    for (const unsigned char *c = (const unsigned char *)form; *c; c++) {
        digit = digit || (*c >= '0' && *c <= '9');
        letter = letter || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || *c >= 0x80;
    }
    if (!letter || !digit)
        return err_add_field(err, pointer, "must hold a letter and a digit");
    const char *folded = text_fold(arena, form);
    for (size_t i = 0; i < name_count; i++) {
        const char *name = names[i] ? text_fold(arena, names[i]) : NULL;
        if (name && folded && strcmp(name, folded) == 0)
            return err_add_field(err, pointer, "must not be the e-mail address, the handle or the nickname");
    }
    return true;
}

bool account_phone(const char *text, char phone[PHONE_BYTES])
{
    size_t length = 0;
    bool plus = text[0] == '+';
    for (const char *c = text + plus; *c; c++) {
        if (strchr(" -().", *c))
            continue;
        if (*c < '0' || *c > '9' || length + 3 >= PHONE_BYTES)
            return false;
        phone[length++] = *c;
    }
    phone[length] = '\0';
    if (plus && strncmp(phone, "82", 2) == 0) { /* +82 10-..., and the frequent +82 010-... */
        bool zero = phone[2] == '0';
        memmove(phone + !zero, phone + 2, length - 1);
        phone[0] = '0';
        length = strlen(phone);
        plus = false;
    }
    if (plus) {
        memmove(phone + 1, phone, length + 1);
        phone[0] = '+';
        return length >= 8 && length <= 15;
    }
    return phone[0] == '0' && length >= 9 && length <= 11;
}

static int days_of(int year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return DAYS[month - 1] + (month == 2 && leap);
}

/* The value of digits that are known to be digits. */
static int number_of(const char *digits, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

bool account_birth_date(const char *text, const char *today, struct err *err)
{
    static const char FORM[] = "dddd-dd-dd";
    bool formed = strlen(text) == sizeof FORM - 1;
    for (size_t i = 0; formed && i < sizeof FORM - 1; i++)
        formed = FORM[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == FORM[i];
    if (formed) {
        int year = number_of(text, 4), month = number_of(text + 5, 2), day = number_of(text + 8, 2);
        formed = year >= 1900 && month >= 1 && month <= 12 && day >= 1 && day <= days_of(year, month) &&
                 strncmp(text, today, sizeof FORM - 1) <= 0;
    }
    return formed || err_add_field(err, "/birth_date", "must be a past day as YYYY-MM-DD");
}

const char *account_name(struct arena *arena, const char *text, struct err *err)
{
    const char *nfc = text_nfc(arena, text, false);
    const char *name = nfc && can_be_shown(nfc) ? text_trim(arena, nfc) : NULL;
    size_t length = name ? utf8_count(name, strlen(name)) : 0;
    if (length < 1 || length > NAME_MAX_LENGTH) {
        err_add_field(err, "/name", "must have 1 to %d characters", NAME_MAX_LENGTH);
        return NULL;
    }
    return name;
}

void account_make_handle(char handle[HANDLE_MAX + 1])
{
    static const char LETTERS[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32, none that looks like another */
    unsigned char random[10];
    crypto_random(random, sizeof random);
    size_t at = (size_t)snprintf(handle, HANDLE_MAX + 1, "user_");
    for (size_t i = 0; i < sizeof random; i++)
        handle[at++] = LETTERS[random[i] % 32];
    handle[at] = '\0';
}

void account_make_nickname(bool korean, char nickname[32])
{
    char digits[9];
    crypto_random_digits(digits, 8);
    (void)snprintf(nickname, 32, "%s%s", korean ? "손님" : "guest", digits);
}
