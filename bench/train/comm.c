/* SPDX-License-Identifier: Apache-2.0 */
/* What is built on the communication operations: waiting, agreeing on failure, counting CPUs. */
#include "comm.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "clock.h"

int dt_comm_break(struct dt_comm *comm, struct dt_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    comm->broken = true;
    dt_error_vset(err, format, args);
    va_end(args);
    return -1;
}

/* SIGTERM is blocked, and asked for between steps. A rank that waits for one that died would never
 * get there: after some seconds of waiting it ends at once. */
static void end_if_told(void)
{
    sigset_t pending;
    if (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM)) {
        fputs("dt-train: SIGTERM while another rank does not answer; ending without a checkpoint\n",
              stderr);
        _exit(DT_EXIT_SIGNAL + SIGTERM);
    }
}

/* Short sleeps once the wait is longer than a switch costs, then an eighth of the time waited so far:
 * a look at MPI asks the kernel about the sockets of all ranks, and many ranks may share a core. */
void dt_comm_step_aside(unsigned turn)
{
    static _Thread_local double begin;
    double now = dt_seconds();
    if (turn <= 1)
        begin = now;
    double waited = now - begin, pause = waited / 8;
    if (waited > 3)
        end_if_told();
    if (waited < 1e-4) {
        sched_yield();
        return;
    }
    pause = pause < 2e-5 ? 2e-5 : pause > 1e-3 ? 1e-3 : pause;
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * pause)}, NULL);
}

static int look_again(struct dt_comm *comm, unsigned turn, struct dt_error *err)
{
    if (turn > 0)
        dt_comm_step_aside(turn);
    return comm->operations->poll(comm, err);
}

int dt_comm_poll(struct dt_comm *comm, struct dt_error *err)
{
    double begin = dt_seconds();
    int rc = comm->operations->poll(comm, err);
    comm->spent_s += dt_seconds() - begin;
    return rc;
}

static bool is_ended(const struct dt_comm *comm, const void *operation)
{
    return comm->finished >= *(const uint64_t *)operation;
}

static bool is_done(const struct dt_comm *comm, const void *message)
{
    (void)comm;
    return ((const struct dt_message *)message)->done;
}

static bool is_drained(const struct dt_comm *comm, const void *nothing)
{
    (void)nothing;
    return comm->finished >= comm->started && comm->under_way == 0;
}

static int wait_until(struct dt_comm *comm,
                      bool (*is_over)(const struct dt_comm *comm, const void *what),
                      const void *what, struct dt_error *err)
{
    double begin = dt_seconds();
    int rc = 0;
    for (unsigned turn = 0; rc == 0 && !is_over(comm, what); turn++)
        rc = look_again(comm, turn, err);
    comm->spent_s += dt_seconds() - begin;
    return rc;
}

static int join(struct dt_comm *comm, uint64_t operation, struct dt_error *err)
{
    return comm->operations->join ? comm->operations->join(comm, operation, err) : 0;
}

int dt_comm_wait(struct dt_comm *comm, uint64_t operation, struct dt_error *err)
{
    int rc = wait_until(comm, is_ended, &operation, err);
    return rc == 0 ? join(comm, operation, err) : rc;
}

int dt_comm_wait_message(struct dt_comm *comm, const struct dt_message *message,
                         struct dt_error *err)
{
    return wait_until(comm, is_done, message, err);
}

int dt_comm_drain(struct dt_comm *comm, struct dt_error *err)
{
    int rc = wait_until(comm, is_drained, NULL, err);
    return rc == 0 ? join(comm, comm->started, err) : rc;
}

int dt_comm_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                struct dt_error *err)
{
    if (comm->operations->sum_start(comm, data, count, type, err) < 0)
        return -1;
    return dt_comm_drain(comm, err);
}

int dt_comm_agree(struct dt_comm *comm, bool failed, int *code, struct dt_error *err)
{
    struct {
        int rank, code;
        char host[64];
        struct dt_error error;
    } news = {.rank = comm->rank, .code = *code};
    double *failures = calloc((size_t)comm->size, sizeof *failures);
    if (!failures)
        return dt_comm_break(comm, err, "no memory for %d ranks' answers", comm->size);
    failures[comm->rank] = failed;
    int rc = dt_comm_sum(comm, failures, (size_t)comm->size, DT_COMM_DOUBLE, err);
    int first = 0;
    while (rc == 0 && first < comm->size && failures[first] == 0)
        first++;
    free(failures);
    if (rc < 0 || first == comm->size)
        return rc;
    gethostname(news.host, sizeof news.host - 1);
    if (failed)
        news.error = *err;
    if (comm->operations->broadcast(comm, &news, sizeof news, first, err) < 0)
        return -1;
    *err = news.error;
    *code = news.code;
    return comm->size > 1 ? dt_error_prefix(err, "rank %d on %s", news.rank, news.host) : -1;
}

struct place {
    char host[64];
    cpu_set_t cpus;
};

int dt_comm_cpu_share(struct dt_comm *comm, int *cpus, struct dt_error *err)
{
    struct place *all = calloc((size_t)comm->size + 1, sizeof *all);
    if (!all)
        return dt_comm_break(comm, err, "no memory for the CPU masks of %d ranks", comm->size);
    struct place *mine = &all[comm->size];
    gethostname(mine->host, sizeof mine->host - 1);
    if (sched_getaffinity(0, sizeof mine->cpus, &mine->cpus) < 0)
        CPU_SET(0, &mine->cpus); /* a mask wider than cpu_set_t: count on one */
    int rc = comm->operations->allgather(comm, mine, all, sizeof *mine, err);
    int sharers = 0;
    for (int i = 0; rc == 0 && i < comm->size; i++) {
        cpu_set_t both;
        CPU_AND(&both, &all[i].cpus, &mine->cpus);
        sharers += strcmp(all[i].host, mine->host) == 0 && CPU_COUNT(&both) > 0;
    }
    *cpus = CPU_COUNT(&mine->cpus) / (sharers > 0 ? sharers : 1);
    if (*cpus < 1)
        *cpus = 1;
    free(all);
    return rc;
}
