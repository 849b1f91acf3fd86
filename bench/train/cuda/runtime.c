/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU of this process: found, opened, its memory, its streams, and waiting for it; and the table by
 * which dt-train knows the library. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "internal.h"
#include "version.h"

enum { LEAST_CAPABILITY = 8 }; /* what the kernels are compiled for (Makefile) */

/* Of what was free at the start: more than fits is not evicted in time, and can hang the GPU. */
#define MOST_OF_FREE 0.95

static struct {
    cudaStream_t compute, comm;
    bool failed;
    char why[256];
    void *scratch;
    size_t scratch_size, taken, most; /* bytes */
    int index;
} gpu;

cudaStream_t dt_cuda_stream(void)
{
    return gpu.compute;
}

cudaStream_t dt_cuda_comm_stream(void)
{
    return gpu.comm;
}

void dt_cuda_note_other(const char *what, const char *why)
{
    if (!gpu.failed)
        snprintf(gpu.why, sizeof gpu.why, "GPU %d: %s failed: %s", gpu.index, what, why);
    gpu.failed = true;
}

void dt_cuda_note(cudaError_t code, const char *what)
{
    if (code != cudaSuccess)
        dt_cuda_note_other(what, cudaGetErrorString(code));
}

void dt_cuda_launched(const char *what)
{
    dt_cuda_note(cudaGetLastError(), what);
}

int dt_cuda_tell(struct dt_error *err)
{
    return gpu.failed ? dt_error_set(err, "%s", gpu.why) : 0;
}

/* As long as a step takes, and with ranks that may die meanwhile: a look at the stream now and then,
 * at most an eighth of the time waited so far apart. */
static int watch(cudaStream_t stream, struct dt_error *err)
{
    double begin = dt_seconds();
    cudaError_t code;
    while ((code = cudaStreamQuery(stream)) == cudaErrorNotReady) {
        double pause = (dt_seconds() - begin) / 8;
        pause = pause < 2e-5 ? 2e-5 : pause > 1e-3 ? 1e-3 : pause;
        if (dt_cuda_groups_check(err) < 0)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * pause)}, NULL);
    }
    dt_cuda_note(code, "computing");
    return 0;
}

int dt_cuda_wait(struct dt_error *err)
{
    if (dt_cuda_groups_any()) {
        if (watch(gpu.compute, err) < 0 || dt_cuda_groups_check(err) < 0)
            return -1;
    } else {
        dt_cuda_note(cudaStreamSynchronize(gpu.compute), "computing");
    }
    return dt_cuda_tell(err);
}

void *dt_cuda_scratch(size_t bytes)
{
    if (bytes <= gpu.scratch_size)
        return gpu.scratch;
    dt_cuda_note(cudaStreamSynchronize(gpu.compute), "computing");
    dt_cuda_note(cudaFree(gpu.scratch), "freeing memory");
    gpu.scratch = NULL;
    gpu.scratch_size = 0;
    cudaError_t code = cudaMalloc(&gpu.scratch, bytes);
    dt_cuda_note(code, "taking memory for kernels");
    gpu.scratch_size = code == cudaSuccess ? bytes : 0;
    return gpu.scratch;
}

/* ---- memory ---- */

/* In front of what is handed out, as far as it is aligned: how much it is. */
enum { HEAD = 256 };

static void prefer_gpu(void *at, size_t bytes)
{
#if CUDART_VERSION >= 13000
    const struct cudaMemLocation place = {.type = cudaMemLocationTypeDevice, .id = gpu.index};
    cudaMemAdvise(at, bytes, cudaMemAdviseSetPreferredLocation, place);
#else
    cudaMemAdvise(at, bytes, cudaMemAdviseSetPreferredLocation, gpu.index);
#endif
    (void)cudaGetLastError(); /* advice is not more than that */
}

/* Zeroed by the GPU, so that the pages lie there from the first. */
static void *take(size_t bytes)
{
    char *at = NULL;
    bytes += HEAD;
    if (bytes > gpu.most - gpu.taken ||
        cudaMallocManaged((void **)&at, bytes, cudaMemAttachGlobal) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    prefer_gpu(at, bytes);
    if (cudaMemsetAsync(at, 0, bytes, gpu.compute) != cudaSuccess ||
        cudaStreamSynchronize(gpu.compute) != cudaSuccess) {
        cudaFree(at);
        (void)cudaGetLastError();
        return NULL;
    }
    gpu.taken += bytes;
    memcpy(at, &bytes, sizeof bytes);
    return at + HEAD;
}

static void give(void *memory)
{
    char *at = (char *)memory - HEAD;
    size_t bytes;
    dt_cuda_note(cudaStreamSynchronize(gpu.compute), "computing");
    memcpy(&bytes, at, sizeof bytes);
    gpu.taken -= bytes;
    dt_cuda_note(cudaFree(at), "freeing memory");
}

/* ---- the GPU ---- */

static int no_gpu(cudaError_t code, struct dt_error *err)
{
    (void)cudaGetLastError();
    if (code == cudaErrorInsufficientDriver)
        return dt_error_set(err,
                            "no NVIDIA driver is loaded here, or it is older than CUDA %d.%d "
                            "wants; take a node with a GPU",
                            CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (code == cudaErrorNoDevice)
        return dt_error_set(err, "no GPU is visible to this rank; ask Slurm for one a rank "
                                 "(--gpus-per-task=1)");
    return dt_error_set(err, "the GPUs can not be counted: %s", cudaGetErrorString(code));
}

/* The GPUs of a process bound to some of them are counted from 0 for it. */
static int place(struct dt_cuda_place *where, int local, struct dt_error *err)
{
    struct cudaDeviceProp properties;
    *where = (struct dt_cuda_place){0};
    cudaError_t code = cudaGetDeviceCount(&where->visible);
    if (code == cudaSuccess && where->visible == 0)
        code = cudaErrorNoDevice;
    if (code != cudaSuccess)
        return no_gpu(code, err);
    where->index = local % where->visible;
    code = cudaGetDeviceProperties(&properties, where->index);
    if (code != cudaSuccess)
        return no_gpu(code, err);
    snprintf(where->name, sizeof where->name, "%.63s", properties.name);
    for (size_t i = 0; i < sizeof properties.uuid.bytes; i++)
        snprintf(where->uuid + 2 * i, 3, "%02x", (unsigned char)properties.uuid.bytes[i]);
    if (properties.major < LEAST_CAPABILITY)
        return dt_error_set(
            err, "GPU %d, %s, has compute capability %d.%d, and %d.0 or newer is wanted",
            where->index, where->name, properties.major, properties.minor, LEAST_CAPABILITY);
    if (!properties.concurrentManagedAccess)
        return dt_error_set(err,
                            "GPU %d, %s, does not share memory with the host while it computes "
                            "(concurrentManagedAccess)",
                            where->index, where->name);
    return 0;
}

static int open_gpu(const struct dt_cuda_place *where, bool bf16, char *products, size_t size,
                    struct dt_error *err)
{
    size_t all = 0, left = 0;
    gpu.index = where->index;
    dt_cuda_note(cudaSetDevice(where->index), "opening it");
    dt_cuda_note(cudaMemGetInfo(&left, &all), "asking for its memory");
    gpu.most = (size_t)((double)left * MOST_OF_FREE);
    dt_cuda_note(cudaStreamCreateWithFlags(&gpu.compute, cudaStreamNonBlocking), "a stream");
    dt_cuda_note(cudaStreamCreateWithFlags(&gpu.comm, cudaStreamNonBlocking), "a stream");
    if (dt_cuda_tell(err) < 0)
        return -1;
    return dt_cuda_products_open(bf16, products, size, err);
}

/* What fails now is of no interest: the work is done, or was told of. */
static void close_gpu(void)
{
    dt_cuda_products_close();
    cudaFree(gpu.scratch);
    gpu.scratch = NULL;
    gpu.scratch_size = 0;
}

static struct dt_kernels kernels;
static const struct dt_memory_source memory = {.take = take, .give = give};

extern const struct dt_cuda_library dt_cuda_library;
__attribute__((visibility("default"))) const struct dt_cuda_library dt_cuda_library = {
    .version = DT_VERSION,
    .place = place,
    .open = open_gpu,
    .close = close_gpu,
    .kernels = &kernels,
    .memory = &memory,
    .groups = &dt_cuda_groups,
};

__attribute__((constructor)) static void fill(void)
{
    dt_cuda_fill(&kernels);
    kernels.product = dt_cuda_product;
    kernels.wait = dt_cuda_wait;
}
