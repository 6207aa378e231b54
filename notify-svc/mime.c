#include "mime.h"

#include "crypto.h"
#include "text.h"
#include "utf8.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum {
    LINE_CHARACTERS = 76, /* of a line with encoded words */
    WORD_FRAME = 12,      /* =?UTF-8?B??= */
    WORD_BYTES = 45,      /* 60 characters of base64 */
    PLAIN_BYTES = 200,    /* a longer line goes in words, which can be folded anywhere */
    ID_CHARACTERS = 40,
};

bool mime_is_line(const char *text)
{
    if (!utf8_valid(text, strlen(text)))
        return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

bool mime_is_address(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f || strchr("<>,;:\\\"()[]", *c))
            return false;
    return text_is_email(text);
}

bool mime_parse_mailbox(const char *text, struct mailbox *mailbox, struct err *err)
{
    const char *open = strrchr(text, '<'), *start = open ? open + 1 : text;
    size_t name_length = open ? (size_t)(open - text) : 0;
    size_t length = open ? strcspn(start, ">") : strlen(start);
    while (name_length > 0 && text[name_length - 1] == ' ')
        name_length--;
    *mailbox = (struct mailbox){0};
    if (name_length >= sizeof mailbox->name || length >= sizeof mailbox->address ||
        (open && strcmp(start + length, ">") != 0))
        return err_set(err, &ERR_BAD_INPUT, "it is not written as Name <address>");
    memcpy(mailbox->name, text, name_length);
    memcpy(mailbox->address, start, length);
    if (!mime_is_line(mailbox->name) || !mime_is_address(mailbox->address))
        return err_set(err, &ERR_BAD_INPUT, "it is not written as Name <address>");
    return true;
}

/* ---- encoded words ---- */

static bool is_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c >= 0x80)
            return false;
    return strlen(text) <= PLAIN_BYTES && !strstr(text, "=?") && *text != ' ';
}

/* The longest piece of whole code points that fits into `room` bytes. */
static size_t piece_length(const char *text, size_t room)
{
    size_t length = 0, left = strlen(text);
    while (length < left) {
        uint32_t code;
        size_t step = utf8_decode(text + length, left - length, &code);
        step = step ? step : 1;
        if (length + step > room)
            break;
        length += step;
    }
    return length;
}

/* `used`: characters that stand in the line already. */
static void add_words(struct str *out, const char *text, size_t used)
{
    size_t room = (LINE_CHARACTERS - WORD_FRAME - used) / 4 * 3;
    for (bool first = true; *text; first = false) {
        unsigned char encoded[WORD_BYTES * 2];
        size_t length = piece_length(text, room < WORD_BYTES ? room : WORD_BYTES);
        (void)EVP_EncodeBlock(encoded, (const unsigned char *)text, (int)length);
        str_printf(out, "%s=?UTF-8?B?%s?=", first ? "" : "\r\n ", (const char *)encoded);
        text += length;
        room = WORD_BYTES;
    }
}

void mime_add_unstructured(struct str *out, const char *name, const char *text)
{
    str_printf(out, "%s: ", name);
    if (is_plain(text))
        str_add(out, text);
    else
        add_words(out, text, strlen(name) + 2);
}

static void add_quoted(struct str *out, const char *text)
{
    str_add_char(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            str_add_char(out, '\\');
        str_add_char(out, *text);
    }
    str_add_char(out, '"');
}

void mime_add_mailbox(struct str *out, const char *name, const struct mailbox *mailbox)
{
    str_printf(out, "%s: ", name);
    if (*mailbox->name && is_plain(mailbox->name)) {
        add_quoted(out, mailbox->name);
        str_add_char(out, ' ');
    } else if (*mailbox->name) {
        add_words(out, mailbox->name, strlen(name) + 2);
        str_add(out, "\r\n ");
    }
    str_printf(out, "<%s>", mailbox->address);
}

void mime_add_date(struct str *out, int64_t at_ms)
{
    /* strftime's names follow the locale; a mail's never do. */
    static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm at;
    (void)gmtime_r(&seconds, &at);
    str_printf(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000", DAYS[at.tm_wday], at.tm_mday, MONTHS[at.tm_mon],
               at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
}

void mime_add_message_id(struct str *out, const char *dedupe_id, const char *recipient, const char *from_address)
{
    char hex[SHA256_HEX_BYTES];
    AUTO_STR key;
    str_init(&key);
    str_printf(&key, "%s\n%s", dedupe_id, recipient);
    crypto_sha256_hex(key.bytes, key.length, hex);
    str_printf(out, "Message-ID: <%.*s%s>", ID_CHARACTERS, hex, strrchr(from_address, '@'));
}
