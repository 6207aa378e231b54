/* Argon2id: parameters in the hash, a few at a time. */
#include "mem.h"
#include "password.h"
#include "test.h"

#include <pthread.h>

static struct passwords *open_with(int64_t memory_kib, int64_t passes, int lanes)
{
    struct err err = {0};
    struct passwords *passwords = passwords_open(
        &(struct passwords_options){
            .memory_kib = memory_kib, .passes = passes, .lanes = lanes, .queue = 8, .workers = 4},
        &err);
    EXPECT(passwords != NULL);
    return passwords;
}

TEST(a_hash_is_argon2id_with_its_parameters_and_its_own_salt, "P-01 P-09 S-04")
{
    AUTO(passwords) passwords = open_with(19456, 2, 2);
    char one[PASSWORD_HASH_BYTES], other[PASSWORD_HASH_BYTES];
    struct err err = {0};
    REQUIRE_OK(password_hash(passwords, "same-Secret-1", one, &err), &err);
    REQUIRE_OK(password_hash(passwords, "same-Secret-1", other, &err), &err);
    EXPECT(strncmp(one, "$argon2id$v=19$m=19456,t=2,p=1$", 31) == 0);
    EXPECT(strcmp(one, other) != 0);
    EXPECT(password_matches(passwords, one, "same-Secret-1"));
    EXPECT(!password_matches(passwords, one, "same-Secret-2"));
    EXPECT(!password_matches(passwords, one, ""));
}

TEST(nobody_s_password_never_matches, "P-02 D-02")
{
    AUTO(passwords) passwords = open_with(64, 1, 2);
    EXPECT(!password_matches(passwords, NULL, "whatever-1"));
    EXPECT(!password_matches(passwords, "", "whatever-1"));
    EXPECT(!password_matches(passwords, "$argon2id$v=19$garbage", "whatever-1"));
}

TEST(a_hash_of_smaller_parameters_is_old, "S-04")
{
    AUTO(passwords) small = open_with(64, 1, 1);
    AUTO(passwords) more_memory = open_with(128, 1, 1);
    AUTO(passwords) more_passes = open_with(64, 2, 1);
    char hash[PASSWORD_HASH_BYTES];
    struct err err = {0};
    REQUIRE_OK(password_hash(small, "same-Secret-1", hash, &err), &err);
    EXPECT(!password_is_old(small, hash));
    EXPECT(password_is_old(more_memory, hash));
    EXPECT(password_is_old(more_passes, hash));
    EXPECT(password_matches(more_memory, hash, "same-Secret-1")); /* old, but still right */
    REQUIRE_OK(password_hash(more_memory, "same-Secret-1", hash, &err), &err);
    EXPECT(!password_is_old(small, hash)); /* shrinking the setting hashes nothing again */
    EXPECT(password_is_old(small, "$2a$10$something else"));
}

static void *hash_some(void *payload)
{
    struct passwords *passwords = payload;
    for (int i = 0; i < 20; i++) {
        char hash[PASSWORD_HASH_BYTES];
        struct err err = {0};
        if (!password_hash(passwords, "same-Secret-1", hash, &err) ||
            !password_matches(passwords, hash, "same-Secret-1"))
            return "wrong";
    }
    return NULL;
}

static void share_lanes(int lanes)
{
    AUTO(passwords) passwords = open_with(64, 1, lanes);
    pthread_t threads[8];
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, hash_some, passwords) == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        void *wrong = NULL;
        EXPECT(pthread_join(threads[i], &wrong) == 0 && !wrong);
    }
    EXPECT_I64(0, password_waiting(passwords));
}

TEST(many_threads_share_few_lanes, "K-05")
{
    share_lanes(2);
    share_lanes(0); /* as many as the machine gives */
}
