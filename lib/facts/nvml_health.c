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
    SINCE_RESET = 0,      /* nvmlEccCounterType_t: volatile */
    SLOWDOWN = 1,         /* nvmlTemperatureThresholds_t */
    SENSOR_GPU = 0,       /* nvmlTemperatureSensors_t */
    FIELD_RECOVERY = 230, /* NVML_FI_DEV_GET_GPU_RECOVERY_ACTION */
    CLOCK_GRAPHICS = 0,   /* nvmlClockType_t */
    CLOCK_MEMORY = 2,
    HW_SLOWDOWN = 0x8, /* nvmlClocksEventReasonHwSlowdown */
};

struct dt_nvml_health {
    dt_nvml_fields fields;
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
    int (*generation)(void *, unsigned *);
    int (*generation_max)(void *, unsigned *);
    int (*clock)(void *, int, unsigned *);
    int (*clock_default)(void *, int, unsigned *);
    int (*clock_max)(void *, int, unsigned *);
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
    *(void **)&h->generation = dlsym(library, "nvmlDeviceGetCurrPcieLinkGeneration");
    *(void **)&h->generation_max = dlsym(library, "nvmlDeviceGetMaxPcieLinkGeneration");
    *(void **)&h->clock = dlsym(library, "nvmlDeviceGetApplicationsClock");
    *(void **)&h->clock_default = dlsym(library, "nvmlDeviceGetDefaultApplicationsClock");
    *(void **)&h->clock_max = dlsym(library, "nvmlDeviceGetMaxClockInfo");
    return h;
}

unsigned long long dt_nvml_value(const struct dt_nvml_field *field)
{
    return field->type == 1 || field->type == 5 ? field->value.ui : field->value.ull;
}

void dt_nvml_put(json_t *device, const char *key, unsigned long long value)
{
    json_object_set_new(device, key, json_integer((json_int_t)value));
}

/* nvmlReturn_t: what is no "this GPU, driver or user has no such thing". */
static bool is_trouble(int rc)
{
    enum { TIMEOUT = 10, IRQ = 11, INFOROM = 14, LOST = 15, RESET = 16, SYSTEM = 17, OTHER = 999 };
    return rc == TIMEOUT || rc == IRQ || rc == INFOROM || rc == LOST || rc == RESET ||
           rc == SYSTEM || rc == OTHER;
}

bool dt_nvml_answers(json_t *device, const char *what, int rc)
{
    if (is_trouble(rc) && !json_object_get(device, "refused")) {
        json_object_set_new(device, "refused", json_string(what));
        json_object_set_new(device, "refused_code", json_integer(rc));
    }
    return rc == 0;
}

void dt_nvml_put_one(json_t *device, const char *key, int (*call)(void *, unsigned *), void *handle)
{
    unsigned value = 0;
    if (call && dt_nvml_answers(device, key, call(handle, &value)))
        dt_nvml_put(device, key, value);
}

static void read_recovery(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    struct dt_nvml_field field = {.id = FIELD_RECOVERY, .rc = -1};
    if (h->fields &&
        dt_nvml_answers(device, "nvmlDeviceGetFieldValues", h->fields(handle, 1, &field)) &&
        dt_nvml_answers(device, "nvmlDeviceGetFieldValues", field.rc))
        dt_nvml_put(device, "recovery", dt_nvml_value(&field));
}

static void read_memory_errors(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned current, pending, corrected, uncorrected, failed;
    unsigned long long count;
    if (h->ecc_mode &&
        dt_nvml_answers(device, "nvmlDeviceGetEccMode", h->ecc_mode(handle, &current, &pending))) {
        dt_nvml_put(device, "ecc", current);
        dt_nvml_put(device, "ecc_pending", pending);
    }
    if (h->ecc_errors && dt_nvml_answers(device, "nvmlDeviceGetTotalEccErrors",
                                         h->ecc_errors(handle, UNCORRECTED, SINCE_RESET, &count)))
        dt_nvml_put(device, "ecc_uncorrected", count);
    if (h->ecc_errors && dt_nvml_answers(device, "nvmlDeviceGetTotalEccErrors",
                                         h->ecc_errors(handle, CORRECTED, SINCE_RESET, &count)))
        dt_nvml_put(device, "ecc_corrected", count);
    if (h->remapped &&
        dt_nvml_answers(device, "nvmlDeviceGetRemappedRows",
                        h->remapped(handle, &corrected, &uncorrected, &pending, &failed))) {
        dt_nvml_put(device, "rows_corrected", corrected);
        dt_nvml_put(device, "rows_uncorrected", uncorrected);
        dt_nvml_put(device, "rows_pending", pending);
        dt_nvml_put(device, "rows_failed", failed);
    }
    dt_nvml_put_one(device, "pages_pending", h->retired, handle);
}

static void read_speed(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned long long reasons;
    unsigned degrees;
    if (h->reasons && dt_nvml_answers(device, "nvmlDeviceGetCurrentClocksEventReasons",
                                      h->reasons(handle, &reasons)))
        dt_nvml_put(device, "slow", reasons);
    if (h->temperature && dt_nvml_answers(device, "nvmlDeviceGetTemperature",
                                          h->temperature(handle, SENSOR_GPU, &degrees)))
        dt_nvml_put(device, "celsius", degrees);
    if (h->threshold && h->threshold(handle, SLOWDOWN, &degrees) == 0)
        dt_nvml_put(device, "celsius_slow", degrees);
    dt_nvml_put_one(device, "power_mw", h->power, handle);
    dt_nvml_put_one(device, "power_default_mw", h->power_default, handle);
    dt_nvml_put_one(device, "pcie_width", h->width, handle);
    dt_nvml_put_one(device, "pcie_width_max", h->width_max, handle);
    dt_nvml_put_one(device, "pcie_gen", h->generation, handle);
    dt_nvml_put_one(device, "pcie_gen_max", h->generation_max, handle);
    dt_nvml_put_one(device, "pcie_replay", h->replay, handle);
}

static void put_clock(json_t *device, const char *key, int (*call)(void *, int, unsigned *),
                      void *handle, int clock)
{
    unsigned mhz = 0;
    if (call && call(handle, clock, &mhz) == 0 && mhz > 0)
        dt_nvml_put(device, key, mhz);
}

/* Application clocks; GPUs from Blackwell on have none. */
static void read_clocks(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    put_clock(device, "clock_mhz", h->clock, handle, CLOCK_GRAPHICS);
    put_clock(device, "clock_default_mhz", h->clock_default, handle, CLOCK_GRAPHICS);
    put_clock(device, "clock_max_mhz", h->clock_max, handle, CLOCK_GRAPHICS);
    put_clock(device, "clock_memory_mhz", h->clock, handle, CLOCK_MEMORY);
    put_clock(device, "clock_memory_default_mhz", h->clock_default, handle, CLOCK_MEMORY);
}

static void read_mode(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned current, pending;
    char text[64] = "";
    dt_nvml_put_one(device, "persistence", h->persistence, handle);
    if (h->mig &&
        dt_nvml_answers(device, "nvmlDeviceGetMigMode", h->mig(handle, &current, &pending))) {
        dt_nvml_put(device, "mig", current);
        dt_nvml_put(device, "mig_pending", pending);
    }
    if (h->vbios && h->vbios(handle, text, sizeof text) == 0) {
        text[sizeof text - 1] = '\0';
        json_object_set_new(device, "vbios", json_string(text));
    }
}

/* A hardware slowdown without heat or power brake may be no more than a change of clocks, says nvml.h:
 * one that is real is still there when everything else was read. */
static void look_again(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    unsigned long long again;
    json_int_t reasons = json_integer_value(json_object_get(device, "slow"));
    if ((reasons & HW_SLOWDOWN) && h->reasons(handle, &again) == 0)
        dt_nvml_put(device, "slow",
                    (unsigned long long)reasons & (again | ~(unsigned long long)HW_SLOWDOWN));
}

void dt_nvml_health_read(const struct dt_nvml_health *h, void *handle, json_t *device)
{
    read_recovery(h, handle, device);
    read_memory_errors(h, handle, device);
    read_speed(h, handle, device);
    read_clocks(h, handle, device);
    read_mode(h, handle, device);
    look_again(h, handle, device);
}
