/* SPDX-License-Identifier: Apache-2.0 */
/* The fake NVML's calls about a GPU's health. A GPU of which nothing is said is healthy, and has
 * neither NVLink nor a fabric. */
#include "fake_nvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a GPU answers unless it is set; -1: not supported. */
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
    [PCIE_GEN] = {"pcie_gen", 1}, /* idle */
    [PCIE_GEN_MAX] = {"pcie_gen_max", 5},
    [PCIE_REPLAY] = {"pcie_replay", 0},
    [CLOCK_MHZ] = {"clock_mhz", 1980},
    [CLOCK_DEFAULT_MHZ] = {"clock_default_mhz", 1980},
    [CLOCK_MAX_MHZ] = {"clock_max_mhz", 1980},
    [CLOCK_MEMORY_MHZ] = {"clock_memory_mhz", 2619},
    [CLOCK_MEMORY_DEFAULT_MHZ] = {"clock_memory_default_mhz", 2619},
    [NVLINKS] = {"nvlinks", -1},
    [NVLINKS_UP] = {"nvlinks_up", -1},
    [NVLINK_CRC] = {"nvlink_crc", 0},
    [NVLINK_REPLAY] = {"nvlink_replay", 0},
    [NVLINK_RECOVERY] = {"nvlink_recovery", 0},
    [NVLINK_RX] = {"nvlink_rx", -1}, /* of NVLink 5 alone, as the next two */
    [NVLINK_INTEGRITY] = {"nvlink_integrity", -1},
    [NVLINK_UNRECOVERED] = {"nvlink_unrecovered", -1},
    [FABRIC] = {"fabric", -1},
    [FABRIC_STATUS] = {"fabric_status", 0},
    [FABRIC_CLIQUE] = {"fabric_clique", 0},
    [FABRIC_MASK] = {"fabric_mask", 0},
    [FABRIC_HEALTH] = {"fabric_health", 1},
    [MEMORY_USED_MIB] = {"memory_used_mib", 0},
    [GRAPHICS] = {"graphics", 0},
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

int fake_answer(const char *function, const struct gpu *gpu, enum fake_key key, unsigned *value)
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
        return fake_answer(#function, device, key, value);                                         \
    }

#define ASKS_TWO(function, key_a, key_b)                                                           \
    int function(nvmlDevice_t device, unsigned *a, unsigned *b);                                   \
    int function(nvmlDevice_t device, unsigned *a, unsigned *b)                                    \
    {                                                                                              \
        int rc = fake_answer(#function, device, key_a, a);                                         \
        return rc == SUCCESS ? fake_answer(#function, device, key_b, b) : rc;                      \
    }

ASKS_ONE(nvmlDeviceGetRetiredPagesPendingStatus, PAGES_PENDING)
ASKS_ONE(nvmlDeviceGetPowerManagementLimit, POWER_MW)
ASKS_ONE(nvmlDeviceGetPowerManagementDefaultLimit, POWER_DEFAULT_MW)
ASKS_ONE(nvmlDeviceGetPersistenceMode, PERSISTENCE)
ASKS_ONE(nvmlDeviceGetCurrPcieLinkWidth, PCIE_WIDTH)
ASKS_ONE(nvmlDeviceGetMaxPcieLinkWidth, PCIE_WIDTH_MAX)
ASKS_ONE(nvmlDeviceGetPcieReplayCounter, PCIE_REPLAY)
ASKS_ONE(nvmlDeviceGetCurrPcieLinkGeneration, PCIE_GEN)
ASKS_ONE(nvmlDeviceGetMaxPcieLinkGeneration, PCIE_GEN_MAX)
ASKS_TWO(nvmlDeviceGetEccMode, ECC, ECC_PENDING)
ASKS_TWO(nvmlDeviceGetMigMode, MIG, MIG_PENDING)

int nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter,
                                unsigned long long *count);
int nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed);
int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons);
int nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons);
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees);
int nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, int threshold, unsigned *degrees);
int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length);
int nvmlDeviceGetApplicationsClock(nvmlDevice_t device, int clock, unsigned *mhz);
int nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, int clock, unsigned *mhz);
int nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int clock, unsigned *mhz);

static int answer_wide(const char *function, const struct gpu *gpu, enum fake_key key,
                       unsigned long long *value)
{
    unsigned small = 0;
    int rc = fake_answer(function, gpu, key, &small);
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
    int rc = fake_answer(__func__, device, ROWS_CORRECTED, corrected);
    if (rc == SUCCESS)
        rc = fake_answer(__func__, device, ROWS_UNCORRECTED, uncorrected);
    if (rc == SUCCESS)
        rc = fake_answer(__func__, device, ROWS_PENDING, pending);
    return rc == SUCCESS ? fake_answer(__func__, device, ROWS_FAILED, failed) : rc;
}

int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return answer_wide(__func__, device, SLOW, reasons);
}

/* Its name before driver 535. */
int nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return answer_wide(__func__, device, SLOW, reasons);
}

int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees)
{
    return sensor == 0 ? fake_answer(__func__, device, CELSIUS, degrees) : INVALID_ARGUMENT;
}

int nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, int threshold, unsigned *degrees)
{
    return threshold == 1 ? fake_answer(__func__, device, CELSIUS_SLOW, degrees) : NOT_SUPPORTED;
}

/* nvmlClockType_t: graphics 0, memory 2. */
int nvmlDeviceGetApplicationsClock(nvmlDevice_t device, int clock, unsigned *mhz)
{
    return fake_answer(__func__, device, clock == 2 ? CLOCK_MEMORY_MHZ : CLOCK_MHZ, mhz);
}

int nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, int clock, unsigned *mhz)
{
    return fake_answer(__func__, device, clock == 2 ? CLOCK_MEMORY_DEFAULT_MHZ : CLOCK_DEFAULT_MHZ,
                       mhz);
}

int nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int clock, unsigned *mhz)
{
    return clock == 0 ? fake_answer(__func__, device, CLOCK_MAX_MHZ, mhz) : NOT_SUPPORTED;
}

int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *text, unsigned length)
{
    int rc = fake_begin_device(__func__, device);
    return rc == SUCCESS ? fake_answer_text(text, length, device->vbios) : rc;
}
