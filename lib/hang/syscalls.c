/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the system calls in which a process may stay, and whether they begin with a descriptor. The kernel gives the number of its own
 * architecture; the headers that we are compiled with have the same. */
#include <sys/syscall.h>

#include "hang/hang.h"

static const struct {
    long number;
    const char *name;
    bool takes_fd;
} calls[] = {
#define CALL(name)                                                                                 \
    {                                                                                              \
        SYS_##name, #name, false                                                                   \
    }
#define FD(name)                                                                                   \
    {                                                                                              \
        SYS_##name, #name, true                                                                    \
    }
    FD(read),
    FD(write),
    FD(readv),
    FD(writev),
    FD(pread64),
    FD(pwrite64),
    CALL(openat),
    FD(close),
    FD(fsync),
    FD(fdatasync),
    FD(ioctl),
    FD(fcntl),
    FD(flock),
    FD(ftruncate),
    FD(fallocate),
    CALL(statfs),
    CALL(newfstatat),
    CALL(statx),
    FD(getdents64),
    CALL(unlinkat),
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
    CALL(open),
#endif
#ifdef SYS_stat
    CALL(stat),
#endif
#ifdef SYS_lstat
    CALL(lstat),
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
