/* SPDX-License-Identifier: Apache-2.0 */
/* A libnvidia-ml.so.1 that answers from a text file, so that what asks NVML can be tried, and
 * broken, without a GPU. The file is nvml.conf beside the library, or the one that DT_FAKE_NVML
 * names; it is read at each nvmlInit_v2. One statement a line:
 *
 *   driver VERSION
 *   gpu BDF UUID VENDOR:DEVICE MIB NAME...   in the order of NVML's indices
 *   lost BDF                  the GPU is counted, and its calls answer GPU_IS_LOST (15)
 *   set BDF|* KEY NUMBER      what the GPU answers; fake_nvml_health.c has the keys
 *   unset BDF|* KEY           the GPU answers NOT_SUPPORTED (3)
 *   vbios BDF|* TEXT
 *   process BDF|* PID MIB     a program that computes there
 *   fail FUNCTION CODE        the function answers that code: "fail nvmlInit_v2 9"
 *   hang FUNCTION             the function never returns
 *   crash FUNCTION            the process dies in it
 *
 * Function prototypes follow the public nvml.h (CUDA 11.0 and later); only what dt asks is here.
 */
#include "fake_nvml.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned long long total, free, used; /* bytes */
} nvmlMemory_t;

enum { HANG = -1, CRASH = -2 };

struct rule {
    char function[64];
    int code; /* HANG, CRASH, or what is answered */
};

/* NVML is one per process by design: its callers hold no context. */
static struct {
    int users;
    char driver[80];
    struct gpu *gpus;
    unsigned gpu_count;
    struct rule *rules;
    unsigned rule_count;
} nvml;

int nvmlInit_v2(void);
int nvmlInit(void);
int nvmlInitWithFlags(unsigned flags);
int nvmlShutdown(void);
const char *nvmlErrorString(int code);
int nvmlSystemGetDriverVersion(char *version, unsigned length);
int nvmlSystemGetNVMLVersion(char *version, unsigned length);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device);
int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length);
int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length);
int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci);
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory);
int nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *minor);

/* ---- data file ---- */

static FILE *open_data(void)
{
    const char *named = getenv("DT_FAKE_NVML");
    if (named && *named)
        return fopen(named, "re");
    Dl_info info;
    if (dladdr((void *)(size_t)&nvmlInit_v2, &info) == 0 || !info.dli_fname)
        return NULL;
    const char *slash = strrchr(info.dli_fname, '/');
    int directory = slash ? (int)(slash - info.dli_fname) : 0;
    char path[PATH_MAX];
    int n =
        snprintf(path, sizeof path, "%.*s%snvml.conf", directory, info.dli_fname, slash ? "/" : "");
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

static void *grow(void *array, unsigned count, size_t size)
{
    void *more = realloc(array, (count + 1) * size);
    if (!more)
        abort();
    memset((char *)more + count * size, 0, size);
    return more;
}

static void add_gpu(const char *line)
{
    nvml.gpus = grow(nvml.gpus, nvml.gpu_count, sizeof *nvml.gpus);
    struct gpu *gpu = &nvml.gpus[nvml.gpu_count];
    fake_health_init(gpu);
    if (sscanf(line, "gpu %31s %95s %x:%x %llu %95[^\n]", gpu->bdf, gpu->uuid, &gpu->vendor,
               &gpu->device, &gpu->mib, gpu->name) == 6)
        nvml.gpu_count++;
}

/* "BDF|* ..." of a statement: for each GPU that is meant. */
static void for_gpus(const char *line, void (*apply)(struct gpu *, const char *))
{
    char which[32];
    int used = 0;
    if (sscanf(line, "%*s %31s %n", which, &used) != 1 || used == 0)
        return;
    for (unsigned i = 0; i < nvml.gpu_count; i++) {
        if (strcmp(which, "*") == 0 || strcasecmp(which, nvml.gpus[i].bdf) == 0)
            apply(&nvml.gpus[i], line + used);
    }
}

static struct gpu *find_gpu(const char *bdf)
{
    for (unsigned i = 0; i < nvml.gpu_count; i++) {
        if (strcasecmp(nvml.gpus[i].bdf, bdf) == 0)
            return &nvml.gpus[i];
    }
    return NULL;
}

static void add_rule(const char *function, int code)
{
    nvml.rules = grow(nvml.rules, nvml.rule_count, sizeof *nvml.rules);
    struct rule *rule = &nvml.rules[nvml.rule_count++];
    snprintf(rule->function, sizeof rule->function, "%s", function);
    rule->code = code;
}

static void read_line(const char *line)
{
    char word[96];
    int code;
    if (strncmp(line, "gpu ", 4) == 0)
        add_gpu(line);
    else if (sscanf(line, "driver %79s", word) == 1)
        snprintf(nvml.driver, sizeof nvml.driver, "%.79s", word);
    else if (sscanf(line, "lost %31s", word) == 1 && find_gpu(word))
        find_gpu(word)->lost = true;
    else if (strncmp(line, "set ", 4) == 0)
        for_gpus(line, fake_health_set);
    else if (strncmp(line, "unset ", 6) == 0)
        for_gpus(line, fake_health_unset);
    else if (strncmp(line, "vbios ", 6) == 0)
        for_gpus(line, fake_health_vbios);
    else if (strncmp(line, "process ", 8) == 0)
        for_gpus(line, fake_add_process);
    else if (sscanf(line, "fail %63s %d", word, &code) == 2 && code >= 0)
        add_rule(word, code);
    else if (sscanf(line, "hang %63s", word) == 1)
        add_rule(word, HANG);
    else if (sscanf(line, "crash %63s", word) == 1)
        add_rule(word, CRASH);
}

static int load_data(void)
{
    FILE *file = open_data();
    if (!file)
        return DRIVER_NOT_LOADED;
    free(nvml.gpus);
    free(nvml.rules);
    memset(&nvml, 0, sizeof nvml);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) >= 0)
        read_line(line);
    free(line);
    fclose(file);
    return SUCCESS;
}

/* ---- what every function does first ---- */

static int obey_rules(const char *function)
{
    for (unsigned i = 0; i < nvml.rule_count; i++) {
        if (strcmp(nvml.rules[i].function, function) != 0)
            continue;
        if (nvml.rules[i].code == CRASH)
            abort();
        while (nvml.rules[i].code == HANG)
            pause();
        return nvml.rules[i].code;
    }
    return SUCCESS;
}

static int begin(const char *function)
{
    return nvml.users == 0 ? UNINITIALIZED : obey_rules(function);
}

int fake_begin_device(const char *function, const struct gpu *gpu)
{
    int rc = begin(function);
    if (rc != SUCCESS)
        return rc;
    if (!gpu)
        return INVALID_ARGUMENT;
    return gpu->lost ? GPU_IS_LOST : SUCCESS;
}

int fake_answer_text(char *to, unsigned length, const char *text)
{
    if (!to)
        return INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return INSUFFICIENT_SIZE;
    memcpy(to, text, strlen(text) + 1);
    return SUCCESS;
}

/* ---- the library ---- */

int nvmlInit_v2(void)
{
    int rc = nvml.users == 0 ? load_data() : SUCCESS;
    if (rc == SUCCESS)
        rc = obey_rules("nvmlInit_v2");
    if (rc == SUCCESS)
        nvml.users++;
    return rc;
}

int nvmlInit(void)
{
    return nvmlInit_v2();
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return nvmlInit_v2();
}

int nvmlShutdown(void)
{
    int rc = begin("nvmlShutdown");
    if (rc == SUCCESS)
        nvml.users--;
    return rc;
}

const char *nvmlErrorString(int code)
{
    switch (code) {
    case SUCCESS:
        return "Success";
    case UNINITIALIZED:
        return "Uninitialized";
    case INVALID_ARGUMENT:
        return "Invalid Argument";
    case NOT_SUPPORTED:
        return "Not Supported";
    case INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case GPU_IS_LOST:
        return "GPU is lost";
    case 18:
        return "Driver/library version mismatch";
    default:
        return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    int rc = begin(__func__);
    return rc == SUCCESS ? fake_answer_text(version, length, nvml.driver) : rc;
}

int nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    int rc = begin(__func__);
    return rc == SUCCESS ? fake_answer_text(version, length, nvml.driver) : rc;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    int rc = begin(__func__);
    if (rc == SUCCESS && !count)
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS)
        *count = nvml.gpu_count;
    return rc;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    int rc = begin(__func__);
    if (rc == SUCCESS && (!device || index >= nvml.gpu_count))
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS && nvml.gpus[index].lost)
        rc = GPU_IS_LOST;
    if (rc == SUCCESS)
        *device = &nvml.gpus[index];
    return rc;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    int rc = begin(__func__);
    if (rc != SUCCESS)
        return rc;
    if (!bus_id || !device)
        return INVALID_ARGUMENT;
    size_t len = strlen(bus_id); /* "00000000:53:00.0": sysfs writes four digits less */
    struct gpu *gpu = find_gpu(len > 12 ? bus_id + (len - 12) : bus_id);
    if (!gpu)
        return INVALID_ARGUMENT;
    *device = gpu;
    return gpu->lost ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
    int rc = fake_begin_device(__func__, device);
    return rc == SUCCESS ? fake_answer_text(uuid, length, device->uuid) : rc;
}

int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
    int rc = fake_begin_device(__func__, device);
    return rc == SUCCESS ? fake_answer_text(name, length, device->name) : rc;
}

int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    int rc = fake_begin_device(__func__, device);
    if (rc == SUCCESS && !pci)
        rc = INVALID_ARGUMENT;
    if (rc != SUCCESS)
        return rc;
    memset(pci, 0, sizeof *pci);
    if (sscanf(device->bdf, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device) != 3)
        return UNKNOWN;
    pci->pciDeviceId = device->device << 16 | device->vendor;
    pci->pciSubSystemId = pci->pciDeviceId;
    snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", pci->domain & 0xffff,
             pci->bus & 0xff, pci->device & 0xff);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    int rc = fake_begin_device(__func__, device);
    if (rc == SUCCESS && !memory)
        rc = INVALID_ARGUMENT;
    if (rc != SUCCESS)
        return rc;
    /* A little less than EC2 states, as on the real thing. */
    memory->total = (device->mib << 20) / 1000 * 995;
    memory->used = 0;
    memory->free = memory->total;
    return SUCCESS;
}

int nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *minor)
{
    int rc = fake_begin_device(__func__, device);
    if (rc == SUCCESS && !minor)
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS)
        *minor = (unsigned)(device - nvml.gpus);
    return rc;
}
