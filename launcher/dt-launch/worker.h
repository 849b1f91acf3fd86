/* SPDX-License-Identifier: Apache-2.0 */
/* One process of the job: starting it, and what is said about its end. */
#ifndef DT_LAUNCH_WORKER_H
#define DT_LAUNCH_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "bind_target.h"
#include "environ.h"
#include "gate.h"
#include "options_extras.h"

struct dt_worker {
    int rank, local_rank;
    struct dt_environ env;
    int in, out, err; /* descriptors that become 0, 1, 2; -1: inherit */
    int progress;     /* descriptor that it keeps, DT_PROGRESS_FD; -1: none */
    pid_t pid;
    bool running;
    int status; /* of waitpid, once it does not run any more */
    int pidfd;  /* while it runs; -1: the kernel has none */
    bool has_tail;
    size_t tail_id;                    /* of its standard error, when has_tail */
    char **argv, *path;                /* its own command, owned; NULL: that of all */
    const char *role;                  /* of --roles (borrowed); NULL: it is a rank */
    bool ends_job;                     /* when it ends well, the job has */
    struct dt_gate *gate;              /* NULL: none */
    const struct dt_bind_target *bind; /* borrowed; NULL: runs where dt-launch may */
    char *error_file;                  /* TORCHELASTIC_ERROR_FILE; owned; NULL: none */
    double started;                    /* CLOCK_MONOTONIC seconds */
    double lived;                      /* seconds */
};

struct dt_worker_start {
    const char *path;
    char **argv;
    bool own_group;                 /* a process group of its own */
    sigset_t mask;                  /* signal mask that the program gets */
    struct rlimit files;            /* limit of descriptors that it gets */
    const struct dt_ulimit *limits; /* and others; borrowed */
    int limit_count;
};

double dt_now(void); /* CLOCK_MONOTONIC, seconds */
long long dt_now_ns(void);

/* On failure *code is the exit code to end with (67, 69, 126, 127). */
int dt_worker_start(struct dt_worker *worker, const struct dt_worker_start *start, int *code,
                    struct dt_error *err);

int dt_status_code(int status); /* as a shell gives it: code, or 128 + signal */

/* how: instead of what the status says; NULL: the status.
 * "rank 3 (local 1 on p5-2) was killed by signal 11 (SIGSEGV, core dumped) after 12.3 s: python x"
 */
void dt_worker_describe(struct dt_buf *text, const struct dt_worker *worker, const char *node,
                        const char *how, char *const *argv);

#endif
