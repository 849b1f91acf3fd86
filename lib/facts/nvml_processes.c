/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses one GPU: the programs that hold a context on it, and its memory in use. Layouts after
 * NVIDIA's nvml.h. */
#include <dlfcn.h>
#include <stdlib.h>

#include "facts/nvml_health.h"

enum {
    PROCESSES_MAX = 64,    /* of one GPU: more say nothing more */
    INSUFFICIENT_SIZE = 7, /* nvmlReturn_t; what fits has been written */
    MEMORY_V2 = 0x2000028, /* NVML_STRUCT_VERSION(Memory, 2) */
};

struct process { /* nvmlProcessInfo_t, versions 2 and 3 */
    unsigned pid;
    unsigned long long memory; /* bytes; all ones: not known */
    unsigned gpu_instance, compute_instance;
};

struct memory { /* nvmlMemory_v2_t: without version 2 the driver's own part counts as used */
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct dt_nvml_processes {
    int (*compute)(void *, unsigned *, struct process *);
    int (*graphics)(void *, unsigned *, struct process *);
    int (*memory)(void *, struct memory *);
};

struct dt_nvml_processes *dt_nvml_processes_open(void *library)
{
    struct dt_nvml_processes *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *(void **)&p->compute = dlsym(library, "nvmlDeviceGetComputeRunningProcesses_v3");
    if (!p->compute) /* before driver 510 */
        *(void **)&p->compute = dlsym(library, "nvmlDeviceGetComputeRunningProcesses_v2");
    *(void **)&p->graphics = dlsym(library, "nvmlDeviceGetGraphicsRunningProcesses_v3");
    *(void **)&p->memory = dlsym(library, "nvmlDeviceGetMemoryInfo_v2");
    return p;
}

static void read_programs(const struct dt_nvml_processes *p, void *handle, json_t *device)
{
    struct process list[PROCESSES_MAX] = {{0}};
    unsigned count = PROCESSES_MAX;
    int rc = p->compute ? p->compute(handle, &count, list) : -1;
    if (rc != 0 && rc != INSUFFICIENT_SIZE)
        return;
    json_t *processes = json_array();
    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++) {
        json_t *one = json_pack("{s:I}", "pid", (json_int_t)list[i].pid);
        if (list[i].memory != ~0ULL)
            dt_nvml_put(one, "mib", list[i].memory >> 20);
        json_array_append_new(processes, one);
    }
    json_object_set_new(device, "processes", processes);
}

void dt_nvml_processes_read(const struct dt_nvml_processes *p, void *handle, json_t *device)
{
    struct process list[PROCESSES_MAX];
    struct memory memory = {.version = MEMORY_V2};
    unsigned count = PROCESSES_MAX;
    read_programs(p, handle, device);
    if (p->graphics && p->graphics(handle, &count, list) == 0)
        dt_nvml_put(device, "graphics", count);
    if (p->memory && p->memory(handle, &memory) == 0)
        dt_nvml_put(device, "memory_used_mib", memory.used >> 20);
}
