/* SPDX-License-Identifier: Apache-2.0 */
/* The fake NVML's calls about NVLink, the NVSwitch fabric, counters by field, and programs on a GPU. */
#include "fake_nvml.h"

#include <stdio.h>

struct field_value { /* nvmlFieldValue_t */
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    int valueType, nvmlReturn;
    union {
        unsigned ui;
        unsigned long long ull;
    } value;
};

struct fabric { /* nvmlGpuFabricInfo_v3_t */
    unsigned version;
    unsigned char clusterUuid[16];
    int status;
    unsigned cliqueId;
    unsigned char state;
    unsigned healthMask;
    unsigned char healthSummary;
};

struct process { /* nvmlProcessInfo_t, version 3 */
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
};

struct memory { /* nvmlMemory_v2_t */
    unsigned version;
    unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, struct field_value *values);
int nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active);
int nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, struct fabric *fabric);
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                            struct process *processes);
int nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned *count,
                                            struct process *processes);
int nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                             struct process *processes);
int nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct memory *memory);

/* Fields of nvml.h, each with the key that it answers from; of several with one key, the first. */
static const struct {
    unsigned field;
    enum fake_key key;
} fields[] = {
    {230, RECOVERY},           /* NVML_FI_DEV_GET_GPU_RECOVERY_ACTION */
    {38, NVLINK_CRC},          /* NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL */
    {52, NVLINK_REPLAY},       /* ..._REPLAY_ERROR_COUNT_TOTAL */
    {59, NVLINK_RECOVERY},     /* ..._RECOVERY_ERROR_COUNT_TOTAL */
    {208, NVLINK_RX},          /* ..._COUNT_RCV_ERRORS */
    {211, NVLINK_INTEGRITY},   /* ..._COUNT_LOCAL_LINK_INTEGRITY_ERRORS */
    {214, NVLINK_UNRECOVERED}, /* ..._COUNT_LINK_RECOVERY_FAILED_EVENTS */
};

static void answer_field(const struct gpu *gpu, struct field_value *value)
{
    value->nvmlReturn = NOT_SUPPORTED;
    value->valueType = 1; /* unsigned int */
    value->value.ull = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].field != value->fieldId || gpu->values[fields[i].key] < 0)
            continue;
        value->nvmlReturn = SUCCESS;
        value->value.ui = (unsigned)gpu->values[fields[i].key];
    }
}

int nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, struct field_value *values)
{
    int rc = fake_begin_device(__func__, device);
    for (int i = 0; rc == SUCCESS && i < count; i++)
        answer_field(device, &values[i]);
    return rc;
}

int nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active)
{
    unsigned links = 0;
    int rc = fake_answer(__func__, device, NVLINKS, &links);
    if (rc == SUCCESS && link >= links)
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS) /* the last ones are down */
        *active = device->values[NVLINKS_UP] < 0 || link < (unsigned)device->values[NVLINKS_UP];
    return rc;
}

int nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, struct fabric *fabric)
{
    int rc = fake_begin_device(__func__, device);
    if (rc != SUCCESS)
        return rc;
    if (fabric->version != 0x3000028 && fabric->version != 0x2000024)
        return ARGUMENT_VERSION_MISMATCH;
    if (device->values[FABRIC] < 0)
        return NOT_SUPPORTED;
    fabric->state = (unsigned char)device->values[FABRIC];
    fabric->status = (int)device->values[FABRIC_STATUS];
    fabric->cliqueId = (unsigned)device->values[FABRIC_CLIQUE];
    fabric->healthMask = (unsigned)device->values[FABRIC_MASK];
    if (fabric->version == 0x3000028)
        fabric->healthSummary = (unsigned char)device->values[FABRIC_HEALTH];
    return SUCCESS;
}

/* "PID MIB" of a statement. */
void fake_add_process(struct gpu *gpu, const char *text)
{
    struct fake_process *process = &gpu->processes[gpu->process_count];
    if (gpu->process_count < PROCESSES_MAX &&
        sscanf(text, "%u %llu", &process->pid, &process->mib) == 2)
        gpu->process_count++;
}

int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                            struct process *processes)
{
    int rc = fake_begin_device(__func__, device);
    if (rc != SUCCESS)
        return rc;
    unsigned room = *count;
    *count = device->process_count;
    for (unsigned i = 0; i < room && i < device->process_count; i++)
        processes[i] = (struct process){.pid = device->processes[i].pid,
                                        .usedGpuMemory = device->processes[i].mib << 20};
    return room < device->process_count ? INSUFFICIENT_SIZE : SUCCESS;
}

/* They have numbers from 1 on, and no memory. */
/* Of the same layout, in drivers before 510. */
int nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned *count,
                                            struct process *processes)
{
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                             struct process *processes)
{
    unsigned have = 0, room = *count;
    int rc = fake_answer(__func__, device, GRAPHICS, &have);
    *count = have;
    for (unsigned i = 0; rc == SUCCESS && i < room && i < have; i++)
        processes[i] = (struct process){.pid = i + 1};
    return rc;
}

int nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct memory *memory)
{
    unsigned used = 0;
    int rc = fake_answer(__func__, device, MEMORY_USED_MIB, &used);
    if (rc == SUCCESS && memory->version != 0x2000028)
        rc = ARGUMENT_VERSION_MISMATCH;
    if (rc != SUCCESS)
        return rc;
    unsigned long long in_use = used;
    for (unsigned i = 0; i < device->process_count; i++)
        in_use += device->processes[i].mib;
    memory->total = (device->mib << 20) / 1000 * 995;
    memory->reserved = 512ULL << 20;
    memory->used = in_use << 20;
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}
