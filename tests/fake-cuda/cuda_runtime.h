/* SPDX-License-Identifier: Apache-2.0 */
/* The part of CUDA's runtime that dt-train's GPU library calls, for a machine without a GPU: memory is
 * the host's, kernels and copies are done when they are called (emulate.h), and what NCCL was told
 * runs when somebody waits for it, and not before: who forgets to wait reads old numbers.
 *
 * What it pretends to be is set by variables:
 *   FAKE_CUDA_DEVICES=N      GPUs of the machine (1); CUDA_VISIBLE_DEVICES chooses among them
 *   FAKE_CUDA_DRIVER=none    there is no driver
 *   FAKE_CUDA_MEMORY=MIB     free memory of a GPU (1024)
 *   FAKE_CUDA_CAPABILITY=N   major number of the compute capability (9)
 *   FAKE_CUDA_FAILS=N        a kernel fails: wait number N of the process learns of it
 *   FAKE_NCCL_FAILS=R:N      operation N of rank R of its group fails, and all ranks learn of it */
#ifndef FAKE_CUDA_RUNTIME_H
#define FAKE_CUDA_RUNTIME_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUDART_VERSION 13000

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
} cudaError_t;

typedef struct fake_stream *cudaStream_t;
typedef struct fake_event *cudaEvent_t;

enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
enum cudaMemoryAdvise { cudaMemAdviseSetPreferredLocation = 3 };
enum cudaMemLocationType { cudaMemLocationTypeDevice = 1 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaMemLocation {
    enum cudaMemLocationType type;
    int id;
};
struct cudaDeviceProp {
    char name[256];
    struct {
        char bytes[16];
    } uuid;
    int major, minor, concurrentManagedAccess;
};

#define cudaMemAttachGlobal    1u
#define cudaStreamNonBlocking  1u
#define cudaEventDisableTiming 2u

const char *cudaGetErrorString(cudaError_t code);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMemGetInfo(size_t *left, size_t *all);
cudaError_t cudaMalloc(void **at, size_t bytes);
cudaError_t cudaMallocManaged(void **at, size_t bytes, unsigned flags);
cudaError_t cudaFree(void *at);
cudaError_t cudaMemAdvise(const void *at, size_t bytes, enum cudaMemoryAdvise advice,
                          struct cudaMemLocation place);
cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value);

/* For fake_nccl.c: work on the stream, done in its turn when the stream is waited for. */
void fake_stream_add(cudaStream_t stream, void (*work)(void *context), void *context);

#ifdef __cplusplus
}
#endif

#endif
