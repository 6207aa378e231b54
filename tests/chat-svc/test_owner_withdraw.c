/* Who withdraws while he is added to a group: whichever comes first, no member stays who is nobody. */
#include "owner_kit.h"

#include <pthread.h>
#include <stdatomic.h>

struct withdrawal {
    struct kit *kit;
    const char *user;
    atomic_bool holds, may_commit;
    bool done;
};

/* As copies.c: the row first, then the groups. */
static bool withdraw(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement GO = {"t_withdraw",
                                           "UPDATE people SET withdrawn = true, nickname = '' WHERE user_id = $1"};
    struct withdrawal *withdrawal = payload;
    if (!pg_tx_exec(tx, &GO, PARAMS(PG_TEXT(withdrawal->user)), NULL, err))
        return false;
    withdrawal->holds = true;
    EVENTUALLY(20000, withdrawal->may_commit);
    return true;
}

static void *run_withdrawal(void *payload)
{
    struct withdrawal *withdrawal = payload;
    struct err err = {0};
    withdrawal->done = pg_transaction(withdrawal->kit->app.db, withdraw, withdrawal, &err);
    return NULL;
}

/* The owner, on a thread of its own as in life. */
static void *run_owner(void *payload)
{
    return kit_apply(payload) ? payload : NULL;
}

static int64_t members_of(const char *room, const char *user)
{
    return kit_number("SELECT count(*) FROM members WHERE room_id = '%s' AND user_id = '%s'", room, user);
}

static int64_t owners_that_wait(void)
{
    return atoll(test_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE "
                          "'%%people%%FOR SHARE%%' AND datname = current_database()"));
}

static void race(struct kit *kit, const struct command *command, const char *user, struct chat_event *answer)
{
    struct withdrawal withdrawal = {.kit = kit, .user = user};
    pthread_t withdrawing, owning;
    void *applied;
    const char *corr = kit_add(kit, command);
    REQUIRE(pthread_create(&withdrawing, NULL, run_withdrawal, &withdrawal) == 0);
    EVENTUALLY(20000, withdrawal.holds);
    REQUIRE(pthread_create(&owning, NULL, run_owner, kit) == 0);
    EVENTUALLY(20000, owners_that_wait() > 0);
    withdrawal.may_commit = true;
    (void)pthread_join(withdrawing, NULL);
    (void)pthread_join(owning, &applied);
    EXPECT(withdrawal.done && applied);
    EXPECT(kit_answer(kit, corr, answer));
}

TEST(who_withdraws_while_he_is_added_is_not_added, "P-06 M-06")
{
    struct kit *kit = kit_open();
    const char *people[4] = {kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "park"),
                             kit_person(kit, "going")};
    kit_all_friends(kit, people, 4);
    const char *room = kit_group(kit, people, 3), *added[] = {people[3]};
    const struct command add = {.kind = COMMAND_ADD, .room_id = room, .user_id = people[0], .user_ids = {added, 1}};
    struct chat_event answer;
    race(kit, &add, people[3], &answer);
    EXPECT(answer.code && *answer.code);
    EXPECT_I64(0, members_of(room, people[3]));
}

TEST(who_withdraws_while_a_group_is_made_with_him_is_not_in_it, "P-06 M-06")
{
    struct kit *kit = kit_open();
    const char *people[4] = {kit_person(kit, "kim"), kit_person(kit, "lee"), kit_person(kit, "park"),
                             kit_person(kit, "going")};
    kit_all_friends(kit, people, 4);
    const char *room = kit_id(kit);
    const struct command create = {.kind = COMMAND_CREATE,
                                   .room_id = room,
                                   .user_id = people[0],
                                   .room_kind = "group",
                                   .user_ids = {people + 1, 3}};
    struct chat_event answer;
    race(kit, &create, people[3], &answer);
    EXPECT_I64(0, members_of(room, people[3]));
}
