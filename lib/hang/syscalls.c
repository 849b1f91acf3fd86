/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the system calls in which a process may stay, and which of their arguments is a descriptor, the first one, or a path. The kernel
 * gives the number of its own architecture; the headers that we are compiled with have the same. */
#include <sys/syscall.h>

#include "hang/hang.h"

static const struct {
    long number;
    const char *name;
    bool takes_fd;
    int path; /* which argument; -1: none */
} calls[] = {
#define CALL(name)                                                                                 \
    {                                                                                              \
        SYS_##name, #name, false, -1                                                               \
    }
#define FD(name)                                                                                   \
    {                                                                                              \
        SYS_##name, #name, true, -1                                                                \
    }
#define PATH(name, argument)                                                                       \
    {                                                                                              \
        SYS_##name, #name, false, argument                                                         \
    }
    FD(read),
    FD(write),
    FD(readv),
    FD(writev),
    FD(pread64),
    FD(pwrite64),
    PATH(openat, 1),
    PATH(readlinkat, 1),
    PATH(faccessat, 1),
    PATH(faccessat2, 1),
    PATH(mkdirat, 1),
    PATH(execve, 0),
    FD(close),
    FD(fsync),
    FD(fdatasync),
    FD(ioctl),
    FD(fcntl),
    FD(flock),
    FD(ftruncate),
    FD(fallocate),
    PATH(statfs, 0),
    PATH(newfstatat, 1),
    PATH(statx, 1),
    FD(getdents64),
    PATH(unlinkat, 1),
    CALL(mmap),
    CALL(munmap),
    CALL(madvise),
    CALL(msync),
    CALL(futex),
    CALL(nanosleep),
    CALL(ppoll),
    CALL(pselect6),
    CALL(epoll_pwait),
    CALL(wait4),
    CALL(waitid),
    FD(connect),
    FD(accept),
    FD(accept4),
    FD(recvfrom),
    FD(recvmsg),
    FD(sendto),
    FD(sendmsg),
    FD(sendfile),
    FD(splice),
    CALL(rt_sigsuspend),
    CALL(rt_sigtimedwait),
    CALL(clock_nanosleep),
    CALL(restart_syscall),
    CALL(exit_group),
    CALL(exit),
    CALL(io_getevents),
    CALL(io_uring_enter),
    CALL(semtimedop),
    CALL(msgrcv),
    FD(preadv),
    FD(pwritev),
    FD(copy_file_range),
    CALL(process_vm_readv),
    CALL(rt_sigreturn),
#ifdef SYS_poll
    CALL(poll),
#endif
#ifdef SYS_select
    CALL(select),
#endif
#ifdef SYS_epoll_wait
    CALL(epoll_wait),
#endif
#ifdef SYS_open
    PATH(open, 0),
#endif
#ifdef SYS_stat
    PATH(stat, 0),
#endif
#ifdef SYS_lstat
    PATH(lstat, 0),
#endif
#ifdef SYS_access
    PATH(access, 0),
#endif
#ifdef SYS_mkdir
    PATH(mkdir, 0),
#endif
#ifdef SYS_unlink
    PATH(unlink, 0),
#endif
#ifdef SYS_rename
    PATH(rename, 0),
#endif
#ifdef SYS_pause
    CALL(pause),
#endif
#ifdef SYS_epoll_pwait2
    CALL(epoll_pwait2),
#endif
#ifdef SYS_futex_waitv
    CALL(futex_waitv),
#endif
#undef CALL
#undef FD
#undef PATH
};

const char *dt_syscall_name(long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].number == number)
            return calls[i].name;
    }
    return NULL;
}

bool dt_syscall_takes_fd(long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].number == number)
            return calls[i].takes_fd;
    }
    return false;
}

int dt_syscall_path(long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].number == number)
            return calls[i].path;
    }
    return -1;
}
