/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's own verdict and counters for one GPU. Numbers and layouts after NVIDIA's nvml.h; each
 * function is looked up by name, and one that is missing, or says that the GPU does not support it,
 * leaves its facts away. */
#include "facts/nvml_health.h"

#include <dlfcn.h>
#include <stdlib.h>

enum {
    CORRECTED = 0, /* nvmlMemoryErrorType_t */
    UNCORRECTED = 1,
    SINCE_RESET = 0,       /* nvmlEccCounterType_t: volatile */
    SLOWDOWN = 1,          /* nvmlTemperatureThresholds_t */
    SENSOR_GPU = 0,        /* nvmlTemperatureSensors_t */
    LINKS_MAX = 36,        /* NVML_NVLINK_MAX_LINKS is 18; tables of later drivers may grow */
    FIELD_RECOVERY = 230,  /* NVML_FI_DEV_GET_GPU_RECOVERY_ACTION */
    FABRIC_V2 = 0x2000024, /* NVML_STRUCT_VERSION(GpuFabricInfo, 2) */
    FABRIC_V3 = 0x3000028,
};

struct field_value { /* nvmlFieldValue_t */
    unsigned id, scope;
    long long timestamp, latency_us;
    int type; /* nvmlValueType_t: 1 unsigned int, 2 unsigned long, 3 unsigned long long, 5 int */
    int rc;
    union {
        double d;
        int si;
        unsigned ui;
        unsigned long ul;
        unsigned long long ull;
    } value;
};

struct fabric { /* nvmlGpuFabricInfo_v3_t; version 2 ends before `summary` */
    unsigned version;
    unsigned char cluster[16];
    int status;
    unsigned clique;
    unsigned char state;
    unsigned mask;
    unsigned char summary;
};

struct dt_nvml_health {
    int (*fields)(void *, int, struct field_value *);
    int (*ecc_mode)(void *, unsigned *, unsigned *);
    int (*ecc_errors)(void *, int, int, unsigned long long *);
    int (*remapped)(void *, unsigned *, unsigned *, unsigned *, unsigned *);
    int (*retired)(void *, unsigned *);
    int (*reasons)(void *, unsigned long long *);
    int (*temperature)(void *, int, unsigned *);
    int (*threshold)(void *, int, unsigned *);
    int (*power)(void *, unsigned *);
    int (*power_default)(void *, unsigned *);
    int (*persistence)(void *, unsigned *);
    int (*mig)(void *, unsigned *, unsigned *);
    int (*vbios)(void *, char *, unsigned);
    int (*width)(void *, unsigned *);
    int (*width_max)(void *, unsigned *);
    int (*replay)(void *, unsigned *);
    int (*link)(void *, unsigned, unsigned *);
    int (*link_errors)(void *, unsigned, unsigned, unsigned long long *);
    int (*fabric)(void *, struct fabric *);
};

struct dt_nvml_health *dt_nvml_health_open(void *library)
{
    struct dt_nvml_health *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *(void **)&h->fields = dlsym(library, "nvmlDeviceGetFieldValues");
    *(void **)&h->ecc_mode = dlsym(library, "nvmlDeviceGetEccMode");
    *(void **)&h->ecc_errors = dlsym(library, "nvmlDeviceGetTotalEccErrors");
    *(void **)&h->remapped = dlsym(library, "nvmlDeviceGetRemappedRows");
    *(void **)&h->retired = dlsym(library, "nvmlDeviceGetRetiredPagesPendingStatus");
    *(void **)&h->reasons = dlsym(library, "nvmlDeviceGetCurrentClocksEventReasons");
    if (!h->reasons) /* its name before driver 535 */
        *(void **)&h->reasons = dlsym(library, "nvmlDeviceGetCurrentClocksThrottleReasons");
    *(void **)&h->temperature = dlsym(library, "nvmlDeviceGetTemperature");
    *(void **)&h->threshold = dlsym(library, "nvmlDeviceGetTemperatureThreshold");
    *(void **)&h->power = dlsym(library, "nvmlDeviceGetPowerManagementLimit");
    *(void **)&h->power_default = dlsym(library, "nvmlDeviceGetPowerManagementDefaultLimit");
    *(void **)&h->persistence = dlsym(library, "nvmlDeviceGetPersistenceMode");
    *(void **)&h->mig = dlsym(library, "nvmlDeviceGetMigMode");
    *(void **)&h->vbios = dlsym(library, "nvmlDeviceGetVbiosVersion");
    *(void **)&h->width = dlsym(library, "nvmlDeviceGetCurrPcieLinkWidth");
    *(void **)&h->width_max = dlsym(library, "nvmlDeviceGetMaxPcieLinkWidth");
    *(void **)&h->replay = dlsym(library, "nvmlDeviceGetPcieReplayCounter");
    *(void **)&h->link = dlsym(library, "nvmlDeviceGetNvLinkState");
    *(void **)&h->link_errors = dlsym(library, "nvmlDeviceGetNvLinkErrorCounter");
    *(void **)&h->fabric = dlsym(library, "nvmlDeviceGetGpuFabricInfoV");
    return h;
}

static void put(json_t *device, const char *key, unsigned long long value)
{
    json_object_set_new(device, key, json_integer((json_int_t)value));
}

/* Functions of the form f(device, unsigned *). */
static void put_one(json_t *device, const char *key, int (*call)(void *, unsigned *), void *handle)
{
    unsigned value = 0;
    if (call && call(handle, &value) == 0)
        put(device, key, value);
}

static void read_recovery(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    struct field_value field = {.id = FIELD_RECOVERY, .rc = -1};
    if (!h->fields || h->fields(handle, 1, &field) != 0 || field.rc != 0)
        return;
    put(device, "recovery", field.type == 1 || field.type == 5 ? field.value.ui : field.value.ull);
}

static void read_memory_errors(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned current, pending, corrected, uncorrected, failed;
    unsigned long long count;
    if (h->ecc_mode && h->ecc_mode(handle, &current, &pending) == 0) {
        put(device, "ecc", current);
        put(device, "ecc_pending", pending);
    }
    if (h->ecc_errors && h->ecc_errors(handle, UNCORRECTED, SINCE_RESET, &count) == 0)
        put(device, "ecc_uncorrected", count);
    if (h->ecc_errors && h->ecc_errors(handle, CORRECTED, SINCE_RESET, &count) == 0)
        put(device, "ecc_corrected", count);
    if (h->remapped && h->remapped(handle, &corrected, &uncorrected, &pending, &failed) == 0) {
        put(device, "rows_corrected", corrected);
        put(device, "rows_uncorrected", uncorrected);
        put(device, "rows_pending", pending);
        put(device, "rows_failed", failed);
    }
    put_one(device, "pages_pending", h->retired, handle);
}

static void read_speed(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned long long reasons;
    unsigned degrees;
    if (h->reasons && h->reasons(handle, &reasons) == 0)
        put(device, "slow", reasons);
    if (h->temperature && h->temperature(handle, SENSOR_GPU, &degrees) == 0)
        put(device, "celsius", degrees);
    if (h->threshold && h->threshold(handle, SLOWDOWN, &degrees) == 0)
        put(device, "celsius_slow", degrees);
    put_one(device, "power_mw", h->power, handle);
    put_one(device, "power_default_mw", h->power_default, handle);
    put_one(device, "pcie_width", h->width, handle);
    put_one(device, "pcie_width_max", h->width_max, handle);
    put_one(device, "pcie_replay", h->replay, handle);
}

static void read_mode(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned current, pending;
    char text[64] = "";
    put_one(device, "persistence", h->persistence, handle);
    if (h->mig && h->mig(handle, &current, &pending) == 0) {
        put(device, "mig", current);
        put(device, "mig_pending", pending);
    }
    if (h->vbios && h->vbios(handle, text, sizeof text) == 0) {
        text[sizeof text - 1] = '\0';
        json_object_set_new(device, "vbios", json_string(text));
    }
}

/* Links are numbered from 0 without a gap; the first that is refused is behind the last. */
static void read_links(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned count = 0, up = 0, active;
    unsigned long long errors = 0, one;
    while (h->link && count < LINKS_MAX && h->link(handle, count, &active) == 0) {
        up += active != 0;
        /* NVML_NVLINK_ERROR_DL_REPLAY 0, _RECOVERY 1, _CRC_FLIT 2: those before NVLink 5 have them */
        for (unsigned kind = 0; h->link_errors && active && kind < 3; kind++) {
            if (h->link_errors(handle, count, kind, &one) == 0)
                errors += one;
        }
        count++;
    }
    if (count == 0)
        return;
    put(device, "nvlinks", count);
    put(device, "nvlinks_up", up);
    put(device, "nvlink_errors", errors);
}

static void read_fabric(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    struct fabric fabric = {.version = FABRIC_V3};
    if (!h->fabric)
        return;
    int rc = h->fabric(handle, &fabric);
    if (rc != 0) {
        fabric = (struct fabric){.version = FABRIC_V2};
        rc = h->fabric(handle, &fabric);
    }
    if (rc != 0)
        return;
    put(device, "fabric", fabric.state);
    put(device, "fabric_status", (unsigned)fabric.status);
    put(device, "fabric_health", fabric.summary);
}

void dt_nvml_health_read(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    read_recovery(h, handle, device);
    read_memory_errors(h, handle, device);
    read_speed(h, handle, device);
    read_mode(h, handle, device);
    read_links(h, handle, device);
    read_fabric(h, handle, device);
}
