/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, streams and events of the fake CUDA; see cuda_runtime.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_runtime.h"

/* Work that is not done yet; only NCCL's is left for later. */
struct work {
    struct work *next;
    void (*run)(void *context);
    void *context;
};
struct fake_stream {
    struct work *first, **end;
    unsigned long added, done;
};
struct fake_event {
    struct fake_stream *stream;
    unsigned long place; /* of `added` */
};

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

const char *cudaGetErrorString(cudaError_t code)
{
    switch (code) {
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    default:
        return "fake error";
    }
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* Number of the device among those of the machine; -1: past the last that is visible. */
static long visible(int index)
{
    const char *chosen = getenv("CUDA_VISIBLE_DEVICES");
    long all = number_of("FAKE_CUDA_DEVICES", 1);
    if (!chosen)
        return index < all ? index : -1;
    for (; *chosen && index > 0; index--) {
        chosen += strcspn(chosen, ",");
        chosen += *chosen == ',';
    }
    return *chosen && atol(chosen) < all ? atol(chosen) : -1;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    const char *driver = getenv("FAKE_CUDA_DRIVER");
    if (driver && strcmp(driver, "none") == 0)
        return cudaErrorInsufficientDriver;
    for (*count = 0; visible(*count) >= 0;)
        ++*count;
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    long number = visible(device);
    *properties = (struct cudaDeviceProp){.major = (int)number_of("FAKE_CUDA_CAPABILITY", 9),
                                          .concurrentManagedAccess = 1};
    snprintf(properties->name, sizeof properties->name, "Fake GPU");
    memcpy(properties->uuid.bytes, &number, sizeof number);
    return number >= 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaSetDevice(int device)
{
    return visible(device) >= 0 ? cudaSuccess : cudaErrorInvalidValue;
}

static size_t free_memory(void)
{
    return (size_t)number_of("FAKE_CUDA_MEMORY", 1024) << 20;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *left = *all = free_memory();
    return cudaSuccess;
}

/* Not zeroed: full of numbers that are none. */
cudaError_t cudaMalloc(void **at, size_t bytes)
{
    *at = bytes <= free_memory() ? aligned_alloc(256, (bytes + 255) / 256 * 256) : NULL;
    if (*at)
        memset(*at, 0xff, bytes);
    return *at ? cudaSuccess : cudaErrorMemoryAllocation;
}

/* The real one promises what does not fit, too. */
cudaError_t cudaMallocManaged(void **at, size_t bytes, unsigned flags)
{
    (void)flags;
    *at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (*at)
        memset(*at, 0xff, bytes);
    return *at ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *at)
{
    free(at);
    return cudaSuccess;
}

cudaError_t cudaMemAdvise(const void *at, size_t bytes, enum cudaMemoryAdvise advice,
                          struct cudaMemLocation place)
{
    (void)at, (void)bytes, (void)advice, (void)place;
    return cudaSuccess;
}

/* ---- streams ---- */

static void run_up_to(struct fake_stream *stream, unsigned long place)
{
    while (stream->done < place) {
        struct work *work = stream->first;
        stream->first = work->next;
        if (!stream->first)
            stream->end = &stream->first;
        work->run(work->context);
        free(work);
        stream->done++;
    }
}

void fake_stream_add(cudaStream_t stream, void (*run)(void *context), void *context)
{
    struct work *work = calloc(1, sizeof *work);
    if (!work)
        abort();
    *work = (struct work){.run = run, .context = context};
    *stream->end = work;
    stream->end = &work->next;
    stream->added++;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return cudaErrorMemoryAllocation;
    (*stream)->end = &(*stream)->first;
    return cudaSuccess;
}

/* A kernel that fails is learnt of here. */
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    static long waits;
    run_up_to(stream, stream->added);
    return ++waits == number_of("FAKE_CUDA_FAILS", 0) ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)stream, (void)flags;
    if (event->stream)
        run_up_to(event->stream, event->place);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof **event);
    return *event ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    *event = (struct fake_event){stream, stream->added};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

/* What came before on the stream is done first. */
cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream)
{
    run_up_to(stream, stream->added);
    memset(at, value, bytes);
    return cudaSuccess;
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

static void copy(void *context)
{
    struct copy *c = context;
    memmove(c->to, c->from, c->bytes);
    free(c);
}

/* In its turn, where something waits for its own. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    struct copy *c = malloc(sizeof *c);
    (void)kind;
    if (!c)
        return cudaErrorMemoryAllocation;
    *c = (struct copy){to, from, bytes};
    if (stream->done < stream->added)
        fake_stream_add(stream, copy, c);
    else
        copy(c);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    (void)function, (void)attribute, (void)value;
    return cudaSuccess;
}
