/* SPDX-License-Identifier: Apache-2.0 */
/* The fake NVML's calls about a GPU's health. A GPU of which nothing is said is healthy, and has
 * neither NVLink nor a fabric. */
#include "fake_nvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys of "set", and what a GPU answers unless it is set. */
enum key {
    RECOVERY,
    ECC,
    ECC_PENDING,
    ECC_UNCORRECTED,
    ECC_CORRECTED,
    ROWS_CORRECTED,
    ROWS_UNCORRECTED,
    ROWS_PENDING,
    ROWS_FAILED,
    PAGES_PENDING,
    SLOW,
    CELSIUS,
    CELSIUS_SLOW,
    POWER_MW,
    POWER_DEFAULT_MW,
    PERSISTENCE,
    MIG,
    MIG_PENDING,
    PCIE_WIDTH,
    PCIE_WIDTH_MAX,
    PCIE_REPLAY,
    NVLINKS,
    NVLINKS_UP,
    NVLINK_ERRORS,
    FABRIC,
    FABRIC_STATUS,
    FABRIC_HEALTH,
    KEY_COUNT
};

static const struct {
    const char *name;
    long long usual;
} keys[KEY_COUNT] = {
    [RECOVERY] = {"recovery", 0},
    [ECC] = {"ecc", 1},
    [ECC_PENDING] = {"ecc_pending", 1},
    [ECC_UNCORRECTED] = {"ecc_uncorrected", 0},
    [ECC_CORRECTED] = {"ecc_corrected", 0},
    [ROWS_CORRECTED] = {"rows_corrected", 0},
    [ROWS_UNCORRECTED] = {"rows_uncorrected", 0},
    [ROWS_PENDING] = {"rows_pending", 0},
    [ROWS_FAILED] = {"rows_failed", 0},
    [PAGES_PENDING] = {"pages_pending", -1},
    [SLOW] = {"slow", 1}, /* idle */
    [CELSIUS] = {"celsius", 35},
    [CELSIUS_SLOW] = {"celsius_slow", 87},
    [POWER_MW] = {"power_mw", 700000},
    [POWER_DEFAULT_MW] = {"power_default_mw", 700000},
    [PERSISTENCE] = {"persistence", 1},
    [MIG] = {"mig", 0},
    [MIG_PENDING] = {"mig_pending", 0},
    [PCIE_WIDTH] = {"pcie_width", 16},
    [PCIE_WIDTH_MAX] = {"pcie_width_max", 16},
    [PCIE_REPLAY] = {"pcie_replay", 0},
    [NVLINKS] = {"nvlinks", -1},
    [NVLINKS_UP] = {"nvlinks_up", -1},
    [NVLINK_ERRORS] = {"nvlink_errors", 0},
    [FABRIC] = {"fabric", -1},
    [FABRIC_STATUS] = {"fabric_status", 0},
    [FABRIC_HEALTH] = {"fabric_health", 1},
};

_Static_assert((int)KEY_COUNT <= FAKE_KEYS, "struct gpu holds too few values");

void fake_health_init(struct gpu *gpu)
{
    for (int i = 0; i < KEY_COUNT; i++)
        gpu->values[i] = keys[i].usual;
    snprintf(gpu->vbios, sizeof gpu->vbios, "96.00.A5.00.01");
}

static void set(struct gpu *gpu, const char *name, long long value)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            gpu->values[i] = value;
    }
}

void fake_health_set(struct gpu *gpu, const char *text)
{
    char name[32];
    long long value;
    if (sscanf(text, "%31s %lld", name, &value) == 2)
        set(gpu, name, value);
}

void fake_health_unset(struct gpu *gpu, const char *text)
{
    char name[32];
    if (sscanf(text, "%31s", name) == 1)
        set(gpu, name, -1);
}

void fake_health_vbios(struct gpu *gpu, const char *text)
{
    snprintf(gpu->vbios, sizeof gpu->vbios, "%.*s", (int)strcspn(text, " \n"), text);
}

/* ---- the calls ---- */

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

static int answer(const char *function, const struct gpu *gpu, enum key key, unsigned *value)
{
    int rc = fake_begin_device(function, gpu);
    if (rc == SUCCESS && !value)
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS && gpu->values[key] < 0)
        rc = NOT_SUPPORTED;
    if (rc == SUCCESS)
        *value = (unsigned)gpu->values[key];
    return rc;
}

#define ASKS_ONE(function, key)                                                                    \
    int function(nvmlDevice_t device, unsigned *value);                                            \
    int function(nvmlDevice_t device, unsigned *value)                                             \
    {                                                                                              \
        return answer(#function, device, key, value);                                              \
    }

#define ASKS_TWO(function, key_a, key_b)                                                           \
    int function(nvmlDevice_t device, unsigned *a, unsigned *b);                                   \
    int function(nvmlDevice_t device, unsigned *a, unsigned *b)                                    \
    {                                                                                              \
        int rc = answer(#function, device, key_a, a);                                              \
        return rc == SUCCESS ? answer(#function, device, key_b, b) : rc;                           \
    }

ASKS_ONE(nvmlDeviceGetRetiredPagesPendingStatus, PAGES_PENDING)
ASKS_ONE(nvmlDeviceGetPowerManagementLimit, POWER_MW)
ASKS_ONE(nvmlDeviceGetPowerManagementDefaultLimit, POWER_DEFAULT_MW)
ASKS_ONE(nvmlDeviceGetPersistenceMode, PERSISTENCE)
ASKS_ONE(nvmlDeviceGetCurrPcieLinkWidth, PCIE_WIDTH)
ASKS_ONE(nvmlDeviceGetMaxPcieLinkWidth, PCIE_WIDTH_MAX)
ASKS_ONE(nvmlDeviceGetPcieReplayCounter, PCIE_REPLAY)
ASKS_TWO(nvmlDeviceGetEccMode, ECC, ECC_PENDING)
ASKS_TWO(nvmlDeviceGetMigMode, MIG, MIG_PENDING)

int nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, struct field_value *values);
int nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter,
                                unsigned long long *count);
int nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed);
int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons);
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees);
int nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, int threshold, unsigned *degrees);
int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length);
int nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active);
int nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned link, int counter,
                                    unsigned long long *count);
int nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, struct fabric *fabric);

int nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, struct field_value *values)
{
    int rc = fake_begin_device(__func__, device);
    for (int i = 0; rc == SUCCESS && i < count; i++) {
        bool known = values[i].fieldId == 230 && device->values[RECOVERY] >= 0;
        values[i].nvmlReturn = known ? SUCCESS : NOT_SUPPORTED;
        values[i].valueType = 1;
        values[i].value.ull = 0;
        if (known)
            values[i].value.ui = (unsigned)device->values[RECOVERY];
    }
    return rc;
}

static int answer_wide(const char *function, const struct gpu *gpu, enum key key,
                       unsigned long long *value)
{
    unsigned small = 0;
    int rc = answer(function, gpu, key, &small);
    if (rc == SUCCESS)
        *value = small;
    return rc;
}

int nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter,
                                unsigned long long *count)
{
    (void)counter;
    return answer_wide(__func__, device, type == 1 ? ECC_UNCORRECTED : ECC_CORRECTED, count);
}

int nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed)
{
    int rc = answer(__func__, device, ROWS_CORRECTED, corrected);
    if (rc == SUCCESS)
        rc = answer(__func__, device, ROWS_UNCORRECTED, uncorrected);
    if (rc == SUCCESS)
        rc = answer(__func__, device, ROWS_PENDING, pending);
    return rc == SUCCESS ? answer(__func__, device, ROWS_FAILED, failed) : rc;
}

int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return answer_wide(__func__, device, SLOW, reasons);
}

int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees)
{
    return sensor == 0 ? answer(__func__, device, CELSIUS, degrees) : INVALID_ARGUMENT;
}

int nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, int threshold, unsigned *degrees)
{
    return threshold == 1 ? answer(__func__, device, CELSIUS_SLOW, degrees) : NOT_SUPPORTED;
}

int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length)
{
    int rc = fake_begin_device(__func__, device);
    return rc == SUCCESS ? fake_answer_text(text, length, device->vbios) : rc;
}

int nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active)
{
    unsigned links = 0;
    int rc = answer(__func__, device, NVLINKS, &links);
    if (rc == SUCCESS && link >= links)
        rc = INVALID_ARGUMENT;
    if (rc == SUCCESS) /* the last ones are down */
        *active = device->values[NVLINKS_UP] < 0 || link < (unsigned)device->values[NVLINKS_UP];
    return rc;
}

int nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned link, int counter,
                                    unsigned long long *count)
{
    int rc = answer_wide(__func__, device, NVLINK_ERRORS, count);
    if (rc == SUCCESS && (link != 0 || counter != 0))
        *count = 0; /* all of them on one link */
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
    if (fabric->version == 0x3000028)
        fabric->healthSummary = (unsigned char)device->values[FABRIC_HEALTH];
    return SUCCESS;
}
