#include "password.h"

#include "clock.h"
#include "crypto.h"

#include <argon2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SALT_BYTES = 16,
    HASH_BYTES = 32,
    LANES_MOST = 4,
    COME_AGAIN_MS = 10,
    FORGOTTEN_MS = 3000, /* who did not come again within this has gone */
};

/* A request that waits before the first gate. */
struct waiter {
    char request_id[72];
    int64_t ticket, seen_ms; /* ticket 0: a free slot */
};

struct passwords {
    struct passwords_options options;
    char dummy[PASSWORD_HASH_BYTES]; /* of nobody's password */
    pthread_mutex_t mutex;
    pthread_cond_t lane_free;
    int hashing;          /* in a lane now */
    int inside, capacity; /* past the first gate */
    int64_t last_ticket;
    struct waiter *waiters; /* options.queue of them */
};

struct password_turn {
    struct passwords *passwords;
};

static int lanes_of_machine(void)
{
    const long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return half < 1 ? 1 : half > LANES_MOST ? LANES_MOST : (int)half;
}

struct passwords *passwords_open(const struct passwords_options *options, struct err *err)
{
    AUTO(passwords) passwords = MEM_NEW(passwords);
    passwords->options = *options;
    const int lanes = passwords->options.lanes = options->lanes > 0 ? options->lanes : lanes_of_machine();
    passwords->capacity = options->workers / 2 > lanes ? options->workers / 2 : lanes;
    passwords->waiters = mem_new((size_t)options->queue, sizeof *passwords->waiters);
    (void)pthread_mutex_init(&passwords->mutex, NULL);
    (void)pthread_cond_init(&passwords->lane_free, NULL);
    char nobody[RANDOM_TEXT_BYTES];
    crypto_random_text(nobody);
    if (!password_hash(passwords, nobody, passwords->dummy, err))
        return NULL;
    return TAKE(passwords);
}

void passwords_release(struct passwords **passwords)
{
    struct passwords *it = *passwords;
    *passwords = NULL;
    if (!it)
        return;
    (void)pthread_cond_destroy(&it->lane_free);
    (void)pthread_mutex_destroy(&it->mutex);
    free(it->waiters);
    free(it);
}

/* ---- the first gate; all with the mutex held ---- */

struct line {
    struct waiter *mine, *free;
    int before_me; /* waiting with a lower ticket; all of them when I am not in line */
};

static struct line look(struct passwords *passwords, const char *request_id, int64_t now_ms)
{
    struct line line = {0};
    for (int i = 0; i < passwords->options.queue; i++) {
        struct waiter *waiter = &passwords->waiters[i];
        if (waiter->ticket && now_ms - waiter->seen_ms > FORGOTTEN_MS)
            waiter->ticket = 0;
        if (!waiter->ticket)
            line.free = waiter;
        else if (strcmp(waiter->request_id, request_id) == 0)
            line.mine = waiter;
    }
    for (int i = 0; i < passwords->options.queue; i++) {
        const struct waiter *waiter = &passwords->waiters[i];
        line.before_me += waiter->ticket && waiter != line.mine && (!line.mine || waiter->ticket < line.mine->ticket);
    }
    return line;
}

enum entry { ENTERED, WAITS, FULL };

static enum entry enter(struct passwords *passwords, const char *request_id)
{
    int64_t now_ms = clock_monotonic_ms();
    struct line line = look(passwords, request_id, now_ms);
    if (passwords->inside + line.before_me < passwords->capacity) {
        passwords->inside++;
        if (line.mine)
            line.mine->ticket = 0;
        return ENTERED;
    }
    if (!line.mine) {
        if (!line.free)
            return FULL;
        line.mine = line.free;
        line.mine->ticket = ++passwords->last_ticket;
        (void)snprintf(line.mine->request_id, sizeof line.mine->request_id, "%s", request_id);
    }
    line.mine->seen_ms = now_ms;
    return WAITS;
}

struct password_turn *password_enter(struct passwords *passwords, struct request *req, struct err *err)
{
    (void)pthread_mutex_lock(&passwords->mutex);
    /* The request's address tells two requests with one client-made id apart; it stays while it waits. */
    enum entry entry = enter(passwords, arena_printf(req->arena, "%p", (void *)req->exchange));
    (void)pthread_mutex_unlock(&passwords->mutex);
    if (entry == FULL)
        (void)err_set_retry(err, &ERR_OVERLOADED, 2, "too many log-ins at this moment");
    else if (entry == WAITS)
        (void)http_try_again(req, COME_AGAIN_MS);
    if (entry != ENTERED)
        return NULL;
    struct password_turn *turn = MEM_NEW(password_turn);
    turn->passwords = passwords;
    return turn;
}

void password_turn_release(struct password_turn **turn)
{
    if (!*turn)
        return;
    struct passwords *passwords = (*turn)->passwords;
    (void)pthread_mutex_lock(&passwords->mutex);
    passwords->inside--;
    (void)pthread_mutex_unlock(&passwords->mutex);
    free(*turn);
    *turn = NULL;
}

int64_t password_waiting(void *payload)
{
    struct passwords *passwords = payload;
    int64_t waiting = 0;
    (void)pthread_mutex_lock(&passwords->mutex);
    for (int i = 0; i < passwords->options.queue; i++)
        waiting += passwords->waiters[i].ticket != 0;
    (void)pthread_mutex_unlock(&passwords->mutex);
    return waiting;
}

/* ---- the second gate: lanes ---- */

static void lane_take(struct passwords *passwords)
{
    (void)pthread_mutex_lock(&passwords->mutex);
    while (passwords->hashing >= passwords->options.lanes)
        (void)pthread_cond_wait(&passwords->lane_free, &passwords->mutex);
    passwords->hashing++;
    (void)pthread_mutex_unlock(&passwords->mutex);
}

static void lane_give(struct passwords *passwords)
{
    (void)pthread_mutex_lock(&passwords->mutex);
    passwords->hashing--;
    (void)pthread_cond_signal(&passwords->lane_free);
    (void)pthread_mutex_unlock(&passwords->mutex);
}

bool password_hash(struct passwords *passwords, const char *password, char hash[PASSWORD_HASH_BYTES], struct err *err)
{
    unsigned char salt[SALT_BYTES];
    crypto_random(salt, sizeof salt);
    lane_take(passwords);
    int code =
        argon2id_hash_encoded((uint32_t)passwords->options.passes, (uint32_t)passwords->options.memory_kib, 1, password,
                              strlen(password), salt, sizeof salt, HASH_BYTES, hash, PASSWORD_HASH_BYTES);
    lane_give(passwords);
    return code == ARGON2_OK ||
           err_set_internal(err, &ERR_INTERNAL, "hashing a password: %s", argon2_error_message(code));
}

bool password_matches(struct passwords *passwords, const char *hash, const char *password)
{
    bool real = hash && *hash;
    lane_take(passwords);
    int code = argon2id_verify(real ? hash : passwords->dummy, password, strlen(password));
    lane_give(passwords);
    return real && code == ARGON2_OK;
}

/* The number after `name` in the hash's parameters; 0 when it is not there. */
static unsigned long parameter(const char *hash, const char *name)
{
    const char *at = strstr(hash, name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

bool password_is_old(const struct passwords *passwords, const char *hash)
{
    return strncmp(hash, "$argon2id$", 10) != 0 || parameter(hash, "$v=") < ARGON2_VERSION_NUMBER ||
           parameter(hash, "$m=") < (unsigned long)passwords->options.memory_kib ||
           parameter(hash, ",t=") < (unsigned long)passwords->options.passes;
}
