/* sys.h - the three system calls that every request makes, without libc's cancellation points.
 * Nothing here cancels threads, but in a process that has more than one libc asks at each of these calls whether
 * somebody did: two atomic operations a call. Results and errno as of recv(2), send(2) and epoll_wait(2). */
#ifndef GATEWAY_SYS_H
#define GATEWAY_SYS_H

#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline ssize_t sys_recv(int fd, void *bytes, size_t size)
{
    return syscall(SYS_recvfrom, fd, bytes, size, 0, NULL, NULL);
}

/* Never SIGPIPE. */
static inline ssize_t sys_send(int fd, const void *bytes, size_t length)
{
    return syscall(SYS_sendto, fd, bytes, length, MSG_NOSIGNAL, NULL, 0);
}

static inline int sys_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
#ifdef SYS_epoll_wait
    return (int)syscall(SYS_epoll_wait, epoll_fd, events, max, timeout_ms);
#else
    return (int)syscall(SYS_epoll_pwait, epoll_fd, events, max, timeout_ms, NULL, 0);
#endif
}

#endif
