/* SPDX-License-Identifier: Apache-2.0 */
/* The fake NCCL: ranks of one machine talk through a file in shared memory, piece by piece between
 * barriers. As with the real one, an operation is only put on a stream when it is called, ranks of a
 * group must call the same in the same order, and one that fails is learnt of later; see
 * cuda_runtime.h. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "nccl.h"

#define PIECE  ((size_t)1 << 14) /* floats of a rank at a time */
#define LETTER ((size_t)1 << 10) /* floats from one rank to another at a time */
#define RANKS  16
#define WAIT_S 120 /* a test that went wrong ends */

enum kind { SUM, SCATTER, GATHER, EXCHANGE };

struct letter {
    atomic_int full;
    size_t count;
    float data[LETTER];
};

/* In the file; then PIECE floats of each rank. */
struct shared {
    atomic_int arrived, turn;
    atomic_int failed;
    struct {
        int kind;
        size_t count;
    } doing[RANKS];
    struct letter letters[RANKS][RANKS];
};

struct fake_nccl {
    struct shared *shared;
    float *areas;
    size_t bytes;
    int rank, size;
    long operations;
    bool failed;
};

struct part {
    const float *from;
    float *to;
    size_t count;
};
struct operation {
    enum kind kind;
    struct fake_nccl *comm;
    const float *from;
    float *to;
    size_t count;
    struct part sends[RANKS], receives[RANKS]; /* EXCHANGE */
};

static struct operation *grouped; /* between ncclGroupStart and its end */
static cudaStream_t grouped_stream;
static bool grouping;

const char *ncclGetErrorString(ncclResult_t code)
{
    switch (code) {
    case ncclSystemError:
        return "unhandled system error";
    case ncclInvalidUsage:
        return "invalid usage";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    default:
        return "no error";
    }
}

/* ---- ranks together ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Another rank is awaited, since `begin`. */
static void step_aside(double begin)
{
    if (now() - begin > 1e-4)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    else
        sched_yield();
    if (now() - begin > WAIT_S) {
        fputs("fake NCCL: a rank did not come in two minutes\n", stderr);
        abort();
    }
}

/* All come, or one has failed. */
static void meet(struct fake_nccl *comm)
{
    struct shared *s = comm->shared;
    double begin = now();
    int turn = atomic_load(&s->turn);
    if (atomic_fetch_add(&s->arrived, 1) + 1 == comm->size) {
        atomic_store(&s->arrived, 0);
        atomic_store(&s->turn, turn + 1);
        return;
    }
    while (atomic_load(&s->turn) == turn && !atomic_load(&s->failed))
        step_aside(begin);
}

static float *area(const struct fake_nccl *comm, int rank)
{
    return comm->areas + (size_t)rank * PIECE;
}

static bool is_broken(const struct fake_nccl *comm)
{
    return atomic_load(&comm->shared->failed) != 0;
}

/* What each rank does must be the same; NCCL would hang, or make nonsense of it. */
static void compare(const struct operation *o)
{
    struct fake_nccl *comm = o->comm;
    struct shared *s = comm->shared;
    s->doing[comm->rank].kind = (int)o->kind;
    s->doing[comm->rank].count = o->count;
    meet(comm);
    for (int r = 0; r < comm->size && !is_broken(comm); r++)
        if (s->doing[r].kind != (int)o->kind || s->doing[r].count != o->count) {
            fprintf(stderr,
                    "fake NCCL: rank %d does operation %d of %zu numbers, and rank %d %d of %zu\n",
                    comm->rank, (int)o->kind, o->count, r, s->doing[r].kind, s->doing[r].count);
            abort();
        }
}

static void run_sum(const struct operation *o)
{
    struct fake_nccl *comm = o->comm;
    for (size_t at = 0; at < o->count && !is_broken(comm); at += PIECE) {
        size_t count = o->count - at < PIECE ? o->count - at : PIECE;
        memcpy(area(comm, comm->rank), o->from + at, count * sizeof(float));
        meet(comm);
        for (size_t i = 0; i < count; i++) {
            float sum = 0; /* not in the order of the ranks, as the real one's is not */
            for (int r = comm->size; r-- > 0;)
                sum += area(comm, r)[i];
            o->to[at + i] = sum;
        }
        meet(comm);
    }
}

static void run_scatter(const struct operation *o)
{
    struct fake_nccl *comm = o->comm;
    for (int owner = 0; owner < comm->size; owner++)
        for (size_t at = 0; at < o->count && !is_broken(comm); at += PIECE) {
            size_t count = o->count - at < PIECE ? o->count - at : PIECE;
            memcpy(area(comm, comm->rank), o->from + (size_t)owner * o->count + at,
                   count * sizeof(float));
            meet(comm);
            for (size_t i = 0; i < count && owner == comm->rank; i++) {
                float sum = 0;
                for (int r = comm->size; r-- > 0;)
                    sum += area(comm, r)[i];
                o->to[at + i] = sum;
            }
            meet(comm);
        }
}

static void run_gather(const struct operation *o)
{
    struct fake_nccl *comm = o->comm;
    for (size_t at = 0; at < o->count && !is_broken(comm); at += PIECE) {
        size_t count = o->count - at < PIECE ? o->count - at : PIECE;
        memcpy(area(comm, comm->rank), o->from + at, count * sizeof(float));
        meet(comm);
        for (int r = 0; r < comm->size; r++)
            memcpy(o->to + (size_t)r * o->count + at, area(comm, r), count * sizeof(float));
        meet(comm);
    }
}

/* Who has nothing for anybody, and awaits nothing, is not asked. */
static bool send_some(struct fake_nccl *comm, struct part *part, int to)
{
    struct letter *letter = &comm->shared->letters[comm->rank][to];
    size_t count = part->count < LETTER ? part->count : LETTER;
    if (count == 0 || atomic_load(&letter->full))
        return false;
    memcpy(letter->data, part->from, count * sizeof(float));
    letter->count = count;
    atomic_store(&letter->full, 1);
    part->from += count;
    part->count -= count;
    return true;
}

static bool take_some(struct fake_nccl *comm, struct part *part, int from)
{
    struct letter *letter = &comm->shared->letters[from][comm->rank];
    if (part->count == 0 || !atomic_load(&letter->full))
        return false;
    if (letter->count > part->count) {
        fprintf(stderr, "fake NCCL: rank %d awaits %zu numbers of rank %d, which sends %zu more\n",
                comm->rank, part->count, from, letter->count - part->count);
        abort();
    }
    memcpy(part->to, letter->data, letter->count * sizeof(float));
    part->to += letter->count;
    part->count -= letter->count;
    atomic_store(&letter->full, 0);
    return true;
}

static void run_exchange(const struct operation *o)
{
    struct fake_nccl *comm = o->comm;
    struct operation rest = *o;
    double moved = now();
    for (bool more = true; more && !is_broken(comm);) {
        bool some = false;
        more = false;
        for (int r = 0; r < comm->size; r++) {
            some |= send_some(comm, &rest.sends[r], r);
            some |= take_some(comm, &rest.receives[r], r);
            more |= rest.sends[r].count > 0 || rest.receives[r].count > 0;
        }
        if (some)
            moved = now();
        else if (more)
            step_aside(moved);
    }
}

static void run(void *context)
{
    static void (*const runs[])(const struct operation *o) = {
        [SUM] = run_sum, [SCATTER] = run_scatter, [GATHER] = run_gather, [EXCHANGE] = run_exchange};
    struct operation *o = context;
    if (o->kind != EXCHANGE && !is_broken(o->comm))
        compare(o);
    if (!is_broken(o->comm))
        runs[o->kind](o);
    free(o);
}

/* FAKE_NCCL_FAILS=RANK:OPERATION */
static bool is_to_fail(struct fake_nccl *comm)
{
    const char *planted = getenv("FAKE_NCCL_FAILS");
    int rank;
    long operation;
    return planted && sscanf(planted, "%d:%ld", &rank, &operation) == 2 && rank == comm->rank &&
           operation == comm->operations;
}

static ncclResult_t add(const struct operation *o, cudaStream_t stream)
{
    struct operation *later = malloc(sizeof *later);
    o->comm->operations++;
    if (!later || is_to_fail(o->comm)) {
        free(later);
        atomic_store(&o->comm->shared->failed, 1);
        o->comm->failed = true;
        return ncclSystemError;
    }
    *later = *o;
    fake_stream_add(stream, run, later);
    return ncclSuccess;
}

/* ---- groups ---- */

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int count;
    *id = (ncclUniqueId){{0}};
    snprintf(id->internal, sizeof id->internal, "/dev/shm/fake-nccl.%d.%d", (int)getpid(), count++);
    int fd = open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0)
        return ncclSystemError;
    size_t bytes = sizeof(struct shared) + RANKS * PIECE * sizeof(float);
    int rc = ftruncate(fd, (off_t)bytes);
    close(fd);
    return rc == 0 ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank)
{
    struct fake_nccl *c = calloc(1, sizeof *c);
    int fd = open(id.internal, O_RDWR);
    if (!c || fd < 0 || ranks > RANKS)
        return ncclSystemError;
    c->rank = rank;
    c->size = ranks;
    c->bytes = sizeof(struct shared) + RANKS * PIECE * sizeof(float);
    void *at = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return ncclSystemError;
    c->shared = at;
    c->areas = (float *)(void *)(c->shared + 1);
    meet(c);
    if (rank == 0)
        unlink(id.internal);
    *comm = c;
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    munmap(comm->shared, comm->bytes);
    free(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    atomic_store(&comm->shared->failed, 1);
    return ncclSuccess; /* what is on the stream may still look at it */
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *code)
{
    *code = comm->failed ? ncclSystemError : is_broken(comm) ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

/* ---- operations ---- */

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    (void)type, (void)op;
    return add(&(struct operation){SUM, comm, from, to, count, {{0}}, {{0}}}, stream);
}

ncclResult_t ncclReduceScatter(const void *from, void *to, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    (void)type, (void)op;
    return add(&(struct operation){SCATTER, comm, from, to, count, {{0}}, {{0}}}, stream);
}

ncclResult_t ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    (void)type;
    return add(&(struct operation){GATHER, comm, from, to, count, {{0}}, {{0}}}, stream);
}

ncclResult_t ncclGroupStart(void)
{
    grouping = true;
    return ncclSuccess;
}

static struct operation *in_group(ncclComm_t comm, cudaStream_t stream)
{
    if (!grouping)
        return NULL; /* alone it would wait for its peer: nothing of dt-train does that */
    if (!grouped)
        grouped = calloc(1, sizeof *grouped);
    if (grouped)
        grouped->comm = comm;
    grouped_stream = stream;
    if (grouped)
        grouped->kind = EXCHANGE;
    return grouped;
}

ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    struct operation *o = in_group(comm, stream);
    (void)type;
    if (!o)
        return ncclInvalidUsage;
    o->sends[peer] = (struct part){.from = from, .count = count};
    return ncclSuccess;
}

ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    struct operation *o = in_group(comm, stream);
    (void)type;
    if (!o)
        return ncclInvalidUsage;
    o->receives[peer] = (struct part){.to = to, .count = count};
    return ncclSuccess;
}

/* A group of nothing is nothing. */
ncclResult_t ncclGroupEnd(void)
{
    ncclResult_t code = grouped ? add(grouped, grouped_stream) : ncclSuccess;
    free(grouped);
    grouped = NULL;
    grouping = false;
    return code;
}
