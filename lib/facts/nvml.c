/* SPDX-License-Identifier: Apache-2.0 */
/* Asking NVIDIA's management library, opened at run time. Runs in a child: nvmlInit can hang with a
 * sick driver. Every function is looked up by name; the few types needed are declared here after
 * nvml.h of CUDA 11.0, whose layout has been stable since. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "facts/nvml_health.h"
#include "facts/reader.h"

typedef struct nvml_device *nvml_device_t;

struct nvml_pci_info { /* nvmlPciInfo_t, version 3 */
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};

struct nvml_memory { /* nvmlMemory_t */
    unsigned long long total, free, used;
};

struct nvml {
    int (*init)(void);
    const char *(*error)(int);
    int (*driver)(char *, unsigned);
    int (*count)(unsigned *);
    int (*handle)(unsigned, nvml_device_t *);
    int (*uuid)(nvml_device_t, char *, unsigned);
    int (*name)(nvml_device_t, char *, unsigned);
    int (*pci)(nvml_device_t, struct nvml_pci_info *);
    int (*memory)(nvml_device_t, struct nvml_memory *);
    int (*minor)(nvml_device_t, unsigned *);
    struct dt_nvml_health *health; /* these: NULL: no memory */
    struct dt_nvml_links *links;
    struct dt_nvml_processes *processes;
};

static void *open_library(const struct dt_reader *reader, char *reason, size_t size)
{
    static const char *const places[] = {
        "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
        "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
        "/usr/lib64/libnvidia-ml.so.1",
        "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
    };
    const char *chosen = reader->request->conf->nvml_library;
    void *library = NULL;
    if (chosen && *chosen) {
        library = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
        if (!library)
            snprintf(reason, size, "the NVML library of dt.conf can not be opened: %s", dlerror());
        return library;
    }
    if (!reader->root->fake)
        library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; !library && i < sizeof places / sizeof places[0]; i++) {
        char path[4096];
        const char *root = reader->root->fake ? reader->root->path : "";
        if (!dt_root_exists(reader->root, "%s", places[i] + 1))
            continue;
        snprintf(path, sizeof path, "%s%s", root, places[i]);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library)
            snprintf(reason, size, "NVML can not be opened: %s", dlerror());
    }
    return library;
}

static void look_up(struct nvml *nvml, void *library)
{
    *(void **)&nvml->init = dlsym(library, "nvmlInit_v2");
    *(void **)&nvml->error = dlsym(library, "nvmlErrorString");
    *(void **)&nvml->driver = dlsym(library, "nvmlSystemGetDriverVersion");
    *(void **)&nvml->count = dlsym(library, "nvmlDeviceGetCount_v2");
    *(void **)&nvml->handle = dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&nvml->uuid = dlsym(library, "nvmlDeviceGetUUID");
    *(void **)&nvml->name = dlsym(library, "nvmlDeviceGetName");
    *(void **)&nvml->pci = dlsym(library, "nvmlDeviceGetPciInfo_v3");
    *(void **)&nvml->memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
    *(void **)&nvml->minor = dlsym(library, "nvmlDeviceGetMinorNumber");
    nvml->health = dt_nvml_health_open(library);
    nvml->links = dt_nvml_links_open(library);
    nvml->processes = dt_nvml_processes_open(library);
}

/* One GPU that answers; NULL: it does not. */
static json_t *read_device(const struct nvml *nvml, unsigned index)
{
    nvml_device_t handle;
    char text[128] = "";
    struct nvml_pci_info pci = {0};
    struct nvml_memory memory;
    if (nvml->handle(index, &handle) != 0 || nvml->uuid(handle, text, sizeof text) != 0)
        return NULL;
    text[sizeof text - 1] = '\0';
    json_t *device = json_pack("{s:s}", "uuid", text);
    if (nvml->pci && nvml->pci(handle, &pci) == 0) {
        char bdf[40];
        snprintf(bdf, sizeof bdf, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
        json_object_set_new(device, "bdf", json_string(bdf));
    }
    text[0] = '\0';
    if (nvml->name && nvml->name(handle, text, sizeof text) == 0)
        json_object_set_new(device, "model", json_string(text));
    if (nvml->memory && nvml->memory(handle, &memory) == 0)
        json_object_set_new(device, "memory_mib", json_integer((json_int_t)(memory.total >> 20)));
    unsigned minor;
    if (nvml->minor && nvml->minor(handle, &minor) == 0)
        json_object_set_new(device, "minor", json_integer(minor));
    if (nvml->health)
        dt_nvml_health_read(nvml->health, handle, device);
    if (nvml->links)
        dt_nvml_links_read(nvml->links, handle, device);
    if (nvml->processes)
        dt_nvml_processes_read(nvml->processes, handle, device);
    return device;
}

static void refused(const struct nvml *nvml, json_t *answer, const char *call, int rc)
{
    char text[256];
    snprintf(text, sizeof text, "%s: %s", call, nvml->error ? nvml->error(rc) : "failed");
    json_object_set_new(answer, "error", json_string(text));
}

static void ask(const struct nvml *nvml, json_t *answer)
{
    unsigned count = 0;
    char driver[96] = "";
    int rc = nvml->init();
    if (rc != 0) {
        refused(nvml, answer, "nvmlInit", rc);
        return;
    }
    if (nvml->driver && nvml->driver(driver, sizeof driver) == 0)
        json_object_set_new(answer, "driver", json_string(driver));
    rc = nvml->count(&count);
    if (rc != 0) {
        refused(nvml, answer, "nvmlDeviceGetCount", rc);
        return;
    }
    json_t *devices = json_array();
    for (unsigned i = 0; i < count && i < 256; i++) {
        json_t *device = read_device(nvml, i);
        if (device)
            json_array_append_new(devices, device);
    }
    json_object_set_new(answer, "devices", devices);
}

void dt_probe_nvml(int out, void *argument)
{
    char reason[512] = "";
    struct nvml nvml = {0};
    json_t *answer = json_object();
    void *library = open_library(argument, reason, sizeof reason);
    if (library) {
        look_up(&nvml, library);
        if (nvml.init && nvml.count && nvml.handle && nvml.uuid)
            ask(&nvml, answer);
        else
            snprintf(reason, sizeof reason, "the NVML library lacks functions that dt needs");
    }
    if (reason[0])
        json_object_set_new(answer, "unusable", json_string(reason));
    /* No nvmlShutdown and no free: the process ends now, and shutting down may hang too. */
    char *text = json_dumps(answer, JSON_COMPACT);
    dt_probe_say(out, text ? text : "{}");
}
