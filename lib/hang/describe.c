/* SPDX-License-Identifier: Apache-2.0 */
/* What one process does, as a kind and in words. The system call says most; where it may not be read
 * the name of the kernel function in which the process waits has to do. */
#include <string.h>

#include "hang/hang.h"

#define RUNS_CORES 0.5 /* in state R, and at least so much of a core */

static bool any(const char *word, const char *const *list)
{
    for (; *list; list++) {
        if (strstr(word, *list))
            return true;
    }
    return false;
}

static bool is_pipe(const char *target)
{
    return strncmp(target, "pipe:", 5) == 0 || strncmp(target, "/dev/pts/", 9) == 0 ||
           strncmp(target, "fifo ", 5) == 0;
}

static enum dt_hang_kind by_call(const struct dt_hang_process *process)
{
    static const char *const waits[] = {"futex",   "epoll",        "poll",     "pselect6",
                                        "select",  "recv",         "send",     "accept",
                                        "connect", "io_getevents", "io_uring", NULL};
    const struct dt_proc_syscall *call = &process->call;
    const char *name = dt_syscall_name(call->number);
    if (!name)
        return DT_HANG_OTHER;
    if (strcmp(name, "nanosleep") == 0 || strcmp(name, "clock_nanosleep") == 0 ||
        strcmp(name, "pause") == 0)
        return DT_HANG_SLEEPS;
    if ((strcmp(name, "select") == 0 || strcmp(name, "pselect6") == 0) && call->args[0] == 0)
        return DT_HANG_SLEEPS; /* of no descriptor: a sleep of older Pythons */
    if (strcmp(name, "wait4") == 0 || strcmp(name, "waitid") == 0)
        return DT_HANG_WAITS_CHILD;
    bool writes = strncmp(name, "write", 5) == 0, reads = strncmp(name, "read", 4) == 0;
    if ((writes || reads) && is_pipe(process->target))
        return writes ? DT_HANG_WRITES_PIPE : DT_HANG_READS_PIPE;
    if ((writes || reads) && strncmp(process->target, "socket:", 7) == 0)
        return DT_HANG_WAITS;
    if (strcmp(name, "restart_syscall") == 0)
        return strstr(process->where, "nanosleep") ? DT_HANG_SLEEPS : DT_HANG_WAITS;
    return any(name, waits) ? DT_HANG_WAITS : DT_HANG_OTHER;
}

static enum dt_hang_kind by_place(const char *where)
{
    static const char *const sleeps[] = {"nanosleep", NULL};
    static const char *const writes[] = {"pipe_write", NULL};
    static const char *const reads[] = {"pipe_read", "n_tty_read", NULL};
    static const char *const children[] = {"do_wait", NULL};
    static const char *const waits[] = {"futex",      "ep_poll",         "poll_schedule", "sk_wait",
                                        "wait_woken", "inet_csk_accept", "unix_stream",   NULL};
    return any(where, sleeps)     ? DT_HANG_SLEEPS
           : any(where, writes)   ? DT_HANG_WRITES_PIPE
           : any(where, reads)    ? DT_HANG_READS_PIPE
           : any(where, children) ? DT_HANG_WAITS_CHILD
           : any(where, waits)    ? DT_HANG_WAITS
                                  : DT_HANG_OTHER;
}

enum dt_hang_kind dt_hang_kind_of(const struct dt_hang_process *process)
{
    switch (process->state) {
    case 'T':
    case 't':
        return DT_HANG_STOPPED;
    case 'Z':
    case 'X':
        return DT_HANG_ZOMBIE;
    case 'D':
        return DT_HANG_DISK;
    default:
        break;
    }
    if (process->cores >= RUNS_CORES)
        return DT_HANG_RUNS;
    if (process->state == 'R' || (process->has_call && process->call.number < 0))
        return DT_HANG_RUNS;
    return process->has_call ? by_call(process) : by_place(process->where);
}

/* "in futex (futex_do_wait)", with what the descriptor is where it has a name. */
static void put_place(struct dt_buf *text, const struct dt_hang_process *process)
{
    const char *name = process->has_call ? dt_syscall_name(process->call.number) : NULL;
    const char *target = process->target;
    if (name)
        dt_buf_printf(text, " in %s", name);
    else if (process->has_call && process->call.number >= 0)
        dt_buf_printf(text, " in system call %ld", process->call.number);
    if (name && (target[0] == '/' || strncmp(target, "fifo ", 5) == 0))
        dt_buf_printf(text, " of %s", target);
    else if (name && strncmp(target, "socket:", 7) == 0)
        dt_buf_puts(text, " of a socket");
    else if (name && strncmp(target, "pipe:", 5) == 0)
        dt_buf_puts(text, " of a pipe");
    if (process->where[0])
        dt_buf_printf(text, " (%s)", process->where);
}

void dt_hang_describe(struct dt_buf *text, const struct dt_hang_process *process,
                      enum dt_hang_kind kind)
{
    static const struct {
        const char *before, *after;
    } words[DT_HANG_KINDS] = {
        [DT_HANG_WAITS] = {"waits", ""},
        [DT_HANG_READS_PIPE] = {"waits", ", for somebody to write"},
        [DT_HANG_WAITS_CHILD] = {"waits for a process that it has started", ""},
        [DT_HANG_SLEEPS] = {"sleeps", ""},
        [DT_HANG_WRITES_PIPE] = {"is blocked", ", as nobody reads"},
        [DT_HANG_DISK] = {"is stuck", " in state D: a disk or file system does not answer"},
        [DT_HANG_ZOMBIE] = {"is dead, and not all of it has ended", ""},
    };
    if (kind == DT_HANG_STOPPED) {
        dt_buf_puts(text, process->state == 't' ? "is held by a debugger (state t)"
                                                : "is stopped (state T, SIGSTOP or SIGTSTP)");
    } else if (kind == DT_HANG_RUNS) {
        dt_buf_puts(text, "computes and says nothing");
    } else {
        dt_buf_puts(text, words[kind].before ? words[kind].before : "is");
        put_place(text, process);
        dt_buf_puts(text, words[kind].after ? words[kind].after : "");
    }
}
