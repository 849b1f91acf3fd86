/* SPDX-License-Identifier: Apache-2.0 */
/* Communication over MPI. Sums are cut in pieces, which Open MPI moves several times faster than
 * one large one; waiting gives the CPU away, because ranks may share cores. */
#include "comm.h"

#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"

#define PIECE_BYTES ((size_t)1 << 20)
#define BIG_BYTES   ((size_t)1 << 30) /* counts of MPI are int */

struct state {
    MPI_Request *requests;
    int count, capacity;
};

static int check(struct dt_comm *comm, int code, const char *what, struct dt_error *err)
{
    if (code == MPI_SUCCESS)
        return 0;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return dt_comm_break(comm, err, "MPI: %s failed: %s", what, text);
}

static int add_request(struct dt_comm *comm, MPI_Request **request, struct dt_error *err)
{
    struct state *state = comm->state;
    if (state->count == state->capacity) {
        int capacity = state->capacity ? 2 * state->capacity : 64;
        MPI_Request *grown = realloc(state->requests, (size_t)capacity * sizeof(MPI_Request));
        if (!grown) {
            dt_comm_break(comm, err, "no memory for %d MPI requests", capacity);
            return -1;
        }
        state->requests = grown;
        state->capacity = capacity;
    }
    *request = &state->requests[state->count++];
    return 0;
}

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    size_t size = type == DT_COMM_REAL ? sizeof(real) : sizeof(double);
    MPI_Datatype kind = size == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
    size_t step = PIECE_BYTES / size;
    for (size_t i = 0; i < count; i += step) {
        MPI_Request *request = NULL;
        if (add_request(comm, &request, err) < 0)
            return -1;
        int part = (int)(count - i < step ? count - i : step);
        if (check(comm,
                  MPI_Iallreduce(MPI_IN_PLACE, (char *)data + i * size, part, kind, MPI_SUM,
                                 MPI_COMM_WORLD, request),
                  "allreduce", err) < 0)
            return -1;
    }
    return 0;
}

static int test_all(struct dt_comm *comm, int *done, struct dt_error *err)
{
    struct state *state = comm->state;
    *done = 1;
    if (state->count == 0)
        return 0;
    if (check(comm, MPI_Testall(state->count, state->requests, done, MPI_STATUSES_IGNORE),
              "waiting for an allreduce", err) < 0)
        return -1;
    if (*done)
        state->count = 0;
    return 0;
}

static int poll_sums(struct dt_comm *comm, struct dt_error *err)
{
    int done;
    return test_all(comm, &done, err);
}

/* SIGTERM is blocked, and asked for between steps. A rank that waits for one that died would never
 * get there: after some seconds of waiting it ends at once. */
static void end_if_told(unsigned turn)
{
    sigset_t pending;
    if (turn > 20000 && turn % 1000 == 0 && sigpending(&pending) == 0 &&
        sigismember(&pending, SIGTERM)) {
        fputs("dt-train: SIGTERM while another rank does not answer; ending without a checkpoint\n",
              stderr);
        _exit(DT_EXIT_SIGNAL + SIGTERM);
    }
}

/* A rank that waits hands its core on: at once by yielding, and by short sleeps once the wait is
 * longer than a switch costs. */
static void step_aside(unsigned turn)
{
    if (turn < 200) {
        sched_yield();
        return;
    }
    struct timespec pause = {.tv_nsec = turn < 1000 ? 20000 : 100000};
    nanosleep(&pause, NULL);
}

static int drain(struct dt_comm *comm, struct dt_error *err)
{
    for (unsigned turn = 0;; turn++) {
        int done;
        if (test_all(comm, &done, err) < 0)
            return -1;
        if (done)
            return 0;
        step_aside(turn);
        end_if_told(turn);
    }
}

static int finish(struct dt_comm *comm, MPI_Request request, int started, const char *what,
                  struct dt_error *err)
{
    MPI_Request *place = NULL;
    if (check(comm, started, what, err) < 0 || add_request(comm, &place, err) < 0)
        return -1;
    *place = request;
    return drain(comm, err);
}

static int broadcast(struct dt_comm *comm, void *data, size_t bytes, int root, struct dt_error *err)
{
    for (size_t i = 0; i < bytes; i += BIG_BYTES) {
        int part = (int)(bytes - i < BIG_BYTES ? bytes - i : BIG_BYTES);
        MPI_Request request;
        int started = MPI_Ibcast((char *)data + i, part, MPI_BYTE, root, MPI_COMM_WORLD, &request);
        if (finish(comm, request, started, "broadcast", err) < 0)
            return -1;
    }
    return 0;
}

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    MPI_Request request;
    int started = MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                                 MPI_COMM_WORLD, &request);
    return finish(comm, request, started, "allgather", err);
}

static void end_all(struct dt_comm *comm, int code)
{
    (void)comm;
    MPI_Abort(MPI_COMM_WORLD, code);
}

static void close_mpi(struct dt_comm *comm)
{
    struct state *state = comm->state;
    MPI_Finalize();
    free(state->requests);
    free(state);
}

/* Manners of Open MPI that suit a program that may share cores, live on a node whose /sys is not
 * the machine's, and speak on a user's terminal. What the user has set stays. */
static void set_manners(void)
{
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    setenv("OMPI_MCA_btl", "^openib", 0); /* replaced by UCX and libfabric long ago, and loud */
    setenv("OMPI_MCA_btl_base_warn_component_unused", "0", 0);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 0); /* the launcher has bound us */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
}

int dt_comm_mpi_open(struct dt_comm *comm, struct dt_error *err)
{
    static const struct dt_comm_operations operations = {.sum_start = sum_start,
                                                         .poll = poll_sums,
                                                         .drain = drain,
                                                         .broadcast = broadcast,
                                                         .allgather = allgather,
                                                         .abort = end_all,
                                                         .close = close_mpi};
    *comm = (struct dt_comm){.operations = &operations};
    set_manners();
    int provided;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS)
        return dt_error_set(err,
                            "MPI_Init failed with code %d; was the program started by a "
                            "launcher of the same MPI?",
                            code);
    comm->state = calloc(1, sizeof(struct state));
    if (!comm->state) {
        MPI_Abort(MPI_COMM_WORLD, 1);
        return dt_error_set(err, "no memory for the state of MPI");
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &comm->size);
    return 0;
}
