/* SPDX-License-Identifier: Apache-2.0 */
/* Which rank holds up a job in which nothing moves. When one rank is stuck the others wait for it, and
 * waiting ranks look alike: the same system call, the same line of Python, the same key of the store.
 * The one that does something else is the one to look at. What a rank does is read from /proc by the
 * caller; here it is put into words and compared. Nothing here opens a file.
 */
#ifndef DT_HANG_HANG_H
#define DT_HANG_HANG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* ---- what /proc shows of a process ------------------------------------------------------------ */

/* /proc/PID/stat: "PID (any text) STATE PPID ..." */
struct dt_proc_stat {
    char state; /* R S D T t Z I ... */
    int parent, group;
    unsigned long long faults; /* minor and major */
    unsigned long long ticks;  /* of user and kernel time, in units of sysconf(_SC_CLK_TCK) */
};
bool dt_proc_stat_parse(struct dt_proc_stat *stat, const char *text);

/* /proc/PID/syscall: "NUMBER 0xARG0 ... 0xARG5 0xSP 0xPC", or "running". number -1: it is in none. */
struct dt_proc_syscall {
    long number;
    unsigned long long args[6];
};
bool dt_proc_syscall_parse(struct dt_proc_syscall *call, const char *text);
const char *dt_syscall_name(long number); /* of this machine; NULL: none of those that block */

bool dt_syscall_takes_fd(long number); /* as its first argument */
int dt_syscall_path(long number);      /* which argument is a path; -1: none */

/* /proc/PID/io: bytes that went through read and write calls of any kind. */
bool dt_proc_io_parse(unsigned long long *bytes_read, unsigned long long *bytes_written,
                      const char *text);

/* The mount that holds a path, of /proc/PID/mountinfo: its type and mount point. false: none. */
bool dt_mount_of(const char *mountinfo, const char *path, struct dt_buf *type,
                 struct dt_buf *point);

/* "train.py:88 in step" from what Python's faulthandler has written: the place of the main thread, in
 * the program rather than in a library where that can be told. false: there is none. */
bool dt_python_place(const char *dump, struct dt_buf *place);

/* Number of the step that a line of output tells of ("step 12/100", "iter: 7", "Iteration 3"); -1: none. */
long long dt_step_of_line(const char *line, size_t len);

/* ---- one rank ---------------------------------------------------------------------------------- */

/* What a rank does; the later, the more it is to be suspected of holding up the others. */
enum dt_hang_kind {
    DT_HANG_WAITS,       /* in a futex, a socket, a poll: as one that waits for its peers */
    DT_HANG_OTHER,       /* in any other system call */
    DT_HANG_READS_PIPE,  /* from a pipe or a terminal */
    DT_HANG_WAITS_CHILD, /* for a process that it has started */
    DT_HANG_SLEEPS,      /* by a timer */
    DT_HANG_RUNS,        /* uses a core */
    DT_HANG_WRITES_PIPE, /* whose reader does not read */
    DT_HANG_ENDED,       /* with code 0, while others go on */
    DT_HANG_APART,       /* has not connected to the store, in which others are */
    DT_HANG_DISK,        /* state D */
    DT_HANG_ZOMBIE,
    DT_HANG_STOPPED, /* state T or t */
    DT_HANG_DYING,   /* has printed a traceback and does not end */
    DT_HANG_KINDS
};

struct dt_hang_process {
    char state;
    double cores;      /* used lately, with its descendants: 1.0 is one core */
    const char *where; /* in the kernel (wchan); "": not known */
    bool has_call;     /* `call` could be read */
    struct dt_proc_syscall call;
    const char
        *target; /* what the descriptor of the call is: "pipe:[1]", "socket:[2]", a path; "" */
};
enum dt_hang_kind dt_hang_kind_of(const struct dt_hang_process *process);

/* "waits in futex (futex_do_wait)", with nothing in it that differs between ranks that do the same. */
void dt_hang_describe(struct dt_buf *text, const struct dt_hang_process *process,
                      enum dt_hang_kind kind);

/* ---- all ranks --------------------------------------------------------------------------------- */

struct dt_hang_rank {
    int rank, node;
    int pid;
    enum dt_hang_kind kind;
    double age_s, quiet_s;   /* how long it runs; since when nothing of it moved */
    char *node_name, *doing; /* owned */
    char *key;               /* of the store, that it waits for; owned; NULL: none */
    char *stack;             /* owned, lines; NULL or "": none */
    bool connected;          /* to the store */
    bool odd;                /* out: does not do what the others do */
};
void dt_hang_rank_fini(struct dt_hang_rank *rank);

/* Mark the odd ones; returns how many. 0: all do the same. A rank without a connection becomes
 * DT_HANG_APART where others have one. */
size_t dt_hang_judge(struct dt_hang_rank *ranks, size_t count);

/* The paragraph: the odd ranks, each with host and pid, then what the others do. */
void dt_hang_report(struct dt_buf *text, const struct dt_hang_rank *ranks, size_t count,
                    double quiet_s);

#endif
