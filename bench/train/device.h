/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks compute on: their CPUs, or a GPU each. The GPU's part is a library of its own
 * (cuda/), which is built where CUDA is and opened here at run time, so that dt-train itself runs
 * where there is none.
 *
 * A GPU's arrays are managed memory, which the host reads and writes at the same addresses: what reads
 * checkpoints, hashes, exports and makes first values is host code, and stays what it is. The pages
 * lie on the GPU as long as the host leaves them alone. kernels.h says when the host may touch them. */
#ifndef DT_TRAIN_DEVICE_H
#define DT_TRAIN_DEVICE_H

#include "blas.h"
#include "comm.h"
#include "kernels.h"
#include "reals.h"

enum dt_device_kind { DT_DEVICE_AUTO, DT_DEVICE_CPU, DT_DEVICE_CUDA };

/* What tells one GPU of a node from another, slices of one (MIG), too. */
struct dt_cuda_place {
    int visible; /* GPUs that this process sees */
    int index;   /* of them, the one that is its own */
    char name[64], uuid[48];
};

/* A group of ranks in NCCL; cuda/groups.c. All is queued behind what was computed before, on a stream
 * of its own, one for all groups: then what one group sends on of another's is in order, and the ranks
 * start the same operations in the same order. join: what is computed from now on comes after all that
 * this group has queued up to operation number `operation`; mark: that number is of nothing in the
 * queue, but of the host's. */
struct dt_cuda_group;
struct dt_cuda_groups {
    int (*id)(char id[128], struct dt_error *err);
    int (*open)(struct dt_cuda_group **group, const char id[128], int rank, int size,
                struct dt_error *err);
    void (*close)(struct dt_cuda_group *group);
    int (*sum)(struct dt_cuda_group *group, real *data, size_t count, uint64_t operation,
               struct dt_error *err);
    int (*scatter)(struct dt_cuda_group *group, const real *all, real *mine, size_t count,
                   uint64_t operation, struct dt_error *err);
    int (*gather)(struct dt_cuda_group *group, const real *mine, real *all, size_t count,
                  uint64_t operation, struct dt_error *err);
    int (*all_to_all)(struct dt_cuda_group *group, const real *all, const size_t *send, real *mine,
                      const size_t *receive, uint64_t operation, struct dt_error *err);
    int (*mark)(struct dt_cuda_group *group, uint64_t operation, struct dt_error *err);
    int (*join)(struct dt_cuda_group *group, uint64_t operation, struct dt_error *err);
    /* -1: it has failed in this rank, or another rank has died. */
    int (*check)(struct dt_cuda_group *group, struct dt_error *err);
    void (*abort)(void); /* all groups, so that nothing waits for them */
};

/* What the library exports as DT_CUDA_LIBRARY; it belongs to the dt-train of the same version only. */
struct dt_cuda_library {
    const char *version;
    /* Which GPU the rank that is number `local` on its node comes to. -1: none, and why. */
    int (*place)(struct dt_cuda_place *place, int local, struct dt_error *err);
    int (*open)(const struct dt_cuda_place *place, bool bf16, char *products, size_t size,
                struct dt_error *err);
    void (*close)(void);
    struct dt_kernels *kernels;
    const struct dt_memory_source *memory;
    const struct dt_cuda_groups *groups;
};
#define DT_CUDA_LIBRARY "dt_cuda_library"

struct dt_device {
    enum dt_device_kind kind; /* what became of it: CPU or CUDA */
    struct dt_comm *comm;     /* all ranks, for data of this device: that of the host, or `own` */
    struct dt_comm own, *host;
    const struct dt_cuda_library *library;
    char name[192]; /* for people: "GPU 0 of 8, NVIDIA H200, cuBLAS 13.0" */
    char why[256];  /* auto: why it is the CPU where a GPU was hoped for; "": nobody could hope */
};

/* Every rank calls it, and all succeed or fail; all come to the same kind. The exit code of a failure
 * goes to *code. */
int dt_device_open(struct dt_device *device, enum dt_device_kind wanted, bool bf16,
                   struct dt_comm *host, int *code, struct dt_error *err);
/* Before `host` is closed, whose memory is the device's, and is given back to it then. */
void dt_device_close(struct dt_device *device);

/* Products by this device: with the CPU dt_blas_open. */
int dt_device_blas(const struct dt_device *device, struct dt_blas *blas, enum dt_blas_kind kind,
                   int threads, struct dt_error *err);

/* comm_nccl.c: real numbers by the library's groups, all else by `host`, which goes with it when it
 * was made by split. */
void dt_comm_nccl_open(struct dt_comm *comm, struct dt_comm *host,
                       const struct dt_cuda_library *library);

#endif
