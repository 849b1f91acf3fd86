/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the GPUs' library, and a GPU for each rank; see device.h. */
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/exitcode.h"
#include "version.h"

#define LIBRARY_NAME "dt-train-cuda.so"

/* What each rank tells the others of its GPU. */
struct finding {
    char host[64];
    bool found;
    struct dt_cuda_place place;
    struct dt_error why;
};

static const struct dt_cuda_library *open_library(struct dt_error *err)
{
    char *path = dt_beside(LIBRARY_NAME);
    if (!path) {
        dt_error_set(err, "this dt-train has no " LIBRARY_NAME " beside it; it is built and "
                          "installed where CUDA's nvcc is");
        return NULL;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct dt_cuda_library *library = handle ? dlsym(handle, DT_CUDA_LIBRARY) : NULL;
    if (!handle)
        dt_error_set(err,
                     "%s; CUDA's libraries, cuBLAS and NCCL must be where the linker finds them",
                     dlerror());
    else if (!library || strcmp(library->version, DT_VERSION) != 0) {
        dt_error_set(err, "%s is of dt %s, and this is dt %s; install both of one version", path,
                     library ? library->version : "of another kind", DT_VERSION);
        dlclose(handle);
        library = NULL;
    }
    free(path);
    return library;
}

/* Ranks before this one on the same node. */
static int local_rank(const struct finding *all, int rank)
{
    int local = 0;
    for (int i = 0; i < rank; i++)
        local += strcmp(all[i].host, all[rank].host) == 0;
    return local;
}

static int on_host(const struct finding *all, int size, const char *host)
{
    int count = 0;
    for (int i = 0; i < size; i++)
        count += strcmp(all[i].host, host) == 0;
    return count;
}

/* A GPU that an earlier rank has, too: NCCL refuses it, and neither would be fast. */
static bool shares(const struct finding *all, int size, int rank, struct dt_error *err)
{
    for (int i = 0; i < rank; i++)
        if (all[i].found && strcmp(all[i].host, all[rank].host) == 0 &&
            strcmp(all[i].place.uuid, all[rank].place.uuid) == 0) {
            dt_error_set(err,
                         "%d GPU%s visible for the %d ranks on %s, so that ranks %d and %d would "
                         "share one; ask Slurm for one a rank (--gpus-per-task=1), take fewer "
                         "ranks a node, or say --device cpu",
                         all[rank].place.visible, all[rank].place.visible == 1 ? " is" : "s are",
                         on_host(all, size, all[rank].host), all[rank].host, i, rank);
            return true;
        }
    return false;
}

/* All ranks learn what each has found. */
static int look_around(struct dt_device *d, struct finding *all, struct dt_error *err)
{
    struct dt_comm *host = d->host;
    struct finding *mine = &all[host->size];
    gethostname(mine->host, sizeof mine->host - 1);
    if (host->operations->allgather(host, mine, all, sizeof *mine, err) < 0)
        return -1;
    d->library = open_library(&mine->why);
    mine->found =
        d->library && d->library->place(&mine->place, local_rank(all, host->rank), &mine->why) == 0;
    return host->operations->allgather(host, mine, all, sizeof *mine, err);
}

/* The first rank that has no GPU of its own, -1: all have. why: what there is to say about it. */
static int first_without(const struct finding *all, int size, struct dt_error *why)
{
    for (int i = 0; i < size; i++) {
        if (!all[i].found)
            *why = all[i].why;
        if (!all[i].found || shares(all, size, i, why))
            return i;
    }
    return -1;
}

static int take_gpu(struct dt_device *d, const struct finding *mine, bool bf16,
                    struct dt_error *err)
{
    char products[64];
    if (d->library->open(&mine->place, bf16, products, sizeof products, err) < 0)
        return -1;
    dt_memory_use(d->library->memory);
    snprintf(d->name, sizeof d->name, "GPU %d of %d, %s, %s", mine->place.index,
             mine->place.visible, mine->place.name, products);
    d->kind = DT_DEVICE_CUDA;
    d->host->kernels = d->library->kernels; /* one process alone: copies to itself */
    if (d->host->size > 1) {
        dt_comm_nccl_open(&d->own, d->host, d->library);
        if (!d->own.state)
            return dt_error_set(err, "no memory for the groups of ranks");
        d->comm = &d->own;
    }
    return 0;
}

/* NVIDIA's driver is there, so that a GPU may have been hoped for. */
static bool has_driver(void)
{
    return access("/proc/driver/nvidia/version", F_OK) == 0;
}

static int choose(struct dt_device *d, enum dt_device_kind wanted, bool bf16,
                  const struct finding *all, struct dt_error *err)
{
    struct dt_error why = {""};
    int without = first_without(all, d->host->size, &why);
    if (without < 0)
        return take_gpu(d, &all[d->host->rank], bf16, err);
    if (wanted == DT_DEVICE_AUTO) {
        if (d->library || has_driver())
            snprintf(d->why, sizeof d->why, "%.*s", (int)sizeof d->why - 1, why.text);
        return 0;
    }
    if (without != d->host->rank)
        return 0; /* that rank fails, and all with it */
    *err = why;
    return dt_error_prefix(err, "--device cuda");
}

int dt_device_open(struct dt_device *d, enum dt_device_kind wanted, bool bf16, struct dt_comm *host,
                   int *code, struct dt_error *err)
{
    *d = (struct dt_device){.kind = DT_DEVICE_CPU, .host = host, .comm = host};
    *code = DT_EXIT_CONFIG;
    if (wanted == DT_DEVICE_CPU)
        return 0;
    struct finding *all = calloc((size_t)host->size + 1, sizeof *all);
    if (!all)
        return dt_comm_break(host, err, "no memory for the GPUs of %d ranks", host->size);
    int rc = look_around(d, all, err);
    if (rc == 0) {
        rc = choose(d, wanted, bf16, all, err);
        rc = dt_comm_agree(host, rc < 0, code, err);
    }
    free(all);
    return rc;
}

void dt_device_close(struct dt_device *d)
{
    if (d->kind != DT_DEVICE_CUDA)
        return;
    d->host->broken |= d->comm->broken;
    if (d->host->broken)
        d->library->groups->abort();
    else if (d->comm == &d->own)
        d->own.operations->close(&d->own);
    d->library->close();
    d->host->kernels = NULL;
}

int dt_device_blas(const struct dt_device *d, struct dt_blas *blas, enum dt_blas_kind kind,
                   int threads, struct dt_error *err)
{
    if (d->kind != DT_DEVICE_CUDA)
        return dt_blas_open(blas, kind, threads, err);
    *blas = (struct dt_blas){
        .kind = DT_BLAS_DEVICE, .threads = threads, .kernels = d->library->kernels};
    snprintf(blas->name, sizeof blas->name, "%.95s", d->name);
    return 0;
}
