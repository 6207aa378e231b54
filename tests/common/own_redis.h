/* own_redis.h - a redis-server of the test's own on a free port, to be paused, killed and started again. It keeps
 * nothing on disk: a restart is a wipe. Header only. */
#ifndef MADANG_TEST_OWN_REDIS_H
#define MADANG_TEST_OWN_REDIS_H

#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct own_redis {
    pid_t pid;
    int port;
    const char *password; /* NULL: none */
    char url[128];
};

static inline int own_redis_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static inline bool own_redis_answers(const struct own_redis *redis)
{
    char reply[64] = "";
    int fd = own_redis_connect(redis->port);
    if (fd < 0)
        return false;
    bool ok = write(fd, "PING\r\n", 6) == 6 && read(fd, reply, sizeof reply - 1) > 0 &&
              (strncmp(reply, "+PONG", 5) == 0 || strncmp(reply, "-NOAUTH", 7) == 0);
    (void)close(fd);
    return ok;
}

static inline int own_redis_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)bind(fd, (struct sockaddr *)&address, sizeof address);
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* Starts it on its port (chosen at the first start) and waits until it answers. */
static inline bool own_redis_start(struct own_redis *redis)
{
    if (!redis->port)
        redis->port = own_redis_free_port();
    (void)snprintf(redis->url, sizeof redis->url, "redis://%s%s%s127.0.0.1:%d", redis->password ? ":" : "",
                   redis->password ? redis->password : "", redis->password ? "@" : "", redis->port);
    redis->pid = fork();
    if (redis->pid == 0) {
        char port[12];
        (void)snprintf(port, sizeof port, "%d", redis->port);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "no", "--dir", "/tmp", redis->password ? "--requirepass" : (char *)NULL,
                     redis->password, (char *)NULL);
        _exit(127);
    }
    return EVENTUALLY(30000, own_redis_answers(redis));
}

static inline void own_redis_kill(struct own_redis *redis)
{
    if (redis->pid <= 0)
        return;
    (void)kill(redis->pid, SIGCONT);
    (void)kill(redis->pid, SIGKILL);
    (void)waitpid(redis->pid, NULL, 0);
    redis->pid = 0;
}

static inline void own_redis_pause(struct own_redis *redis)
{
    (void)kill(redis->pid, SIGSTOP);
}

static inline void own_redis_go_on(struct own_redis *redis)
{
    (void)kill(redis->pid, SIGCONT);
}

#endif
