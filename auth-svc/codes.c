#include "codes.h"

#include "mem.h"

/* clang-format off */
static const struct code_purpose PURPOSES[] = {
    /* name             by SMS needs account  gives proof */
    {"verify_email",    false, false,         true},
    {"reset_password",  false, true,          true},
    {"find_login",      true,  true,          false},
    {"verify_phone",    true,  false,         true},
};
/* clang-format on */

const struct code_purpose *code_purpose_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(PURPOSES); i++)
        if (strcmp(PURPOSES[i].name, name) == 0)
            return &PURPOSES[i];
    return NULL;
}

const char *code_address(struct arena *arena, const struct code_purpose *purpose, const char *email, const char *phone,
                         struct err *err)
{
    const char *wanted = purpose->by_sms ? phone : email, *other = purpose->by_sms ? email : phone;
    const char *pointer = purpose->by_sms ? "/phone" : "/email";
    if (other)
        err_add_field(err, purpose->by_sms ? "/email" : "/phone", "does not belong to this purpose");
    if (!wanted) {
        err_add_field(err, pointer, "is required");
        return NULL;
    }
    if (!purpose->by_sms) {
        const char *folded = account_email(arena, wanted, pointer, err);
        return other ? NULL : folded;
    }
    char *number = arena_alloc(arena, PHONE_BYTES);
    if (!account_phone(wanted, number)) {
        err_add_field(err, pointer, "is not a phone number");
        return NULL;
    }
    return other ? NULL : number;
}

void code_mac(const struct secret *secret, const struct code_purpose *purpose, const char *address, const char *code,
              unsigned char mac[SHA256_BYTES])
{
    AUTO_STR text = {0};
    str_printf(&text, "%s\n%s\n%s", purpose->name, address, code);
    secret_mac(secret, "code", text.bytes, text.length, mac);
}
