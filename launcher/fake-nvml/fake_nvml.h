/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the fake NVML: one GPU, and what every function does first. */
#ifndef DT_FAKE_NVML_H
#define DT_FAKE_NVML_H

#include <stdbool.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
    ARGUMENT_VERSION_MISMATCH = 25,
    UNKNOWN = 999,
};

#define FAKE_KEYS 64

/* Keys of "set"; fake_nvml_health.c says what a GPU answers unless it is set. */
enum fake_key {
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
    PCIE_GEN,
    PCIE_GEN_MAX,
    PCIE_REPLAY,
    CLOCK_MHZ,
    CLOCK_DEFAULT_MHZ,
    CLOCK_MAX_MHZ,
    CLOCK_MEMORY_MHZ,
    CLOCK_MEMORY_DEFAULT_MHZ,
    NVLINKS,
    NVLINKS_UP,
    NVLINK_CRC,
    NVLINK_REPLAY,
    NVLINK_RECOVERY,
    NVLINK_RX,
    NVLINK_INTEGRITY,
    NVLINK_UNRECOVERED,
    FABRIC,
    FABRIC_STATUS,
    FABRIC_CLIQUE,
    FABRIC_MASK,
    FABRIC_HEALTH,
    MEMORY_USED_MIB,
    GRAPHICS,
    KEY_COUNT
};

enum { PROCESSES_MAX = 16 };

struct fake_process {
    unsigned pid;
    unsigned long long mib;
};

typedef struct gpu *nvmlDevice_t;

struct gpu {
    char bdf[32], uuid[96], name[96], vbios[64];
    unsigned vendor, device;
    unsigned long long mib;
    bool lost;
    long long values[FAKE_KEYS]; /* by enum fake_key; -1: none */
    struct fake_process processes[PROCESSES_MAX];
    unsigned process_count;
};

int fake_begin_device(const char *function, const struct gpu *gpu);
int fake_answer_text(char *to, unsigned length, const char *text);
/* The value of a key, or NOT_SUPPORTED. */
int fake_answer(const char *function, const struct gpu *gpu, enum fake_key key, unsigned *value);

/* Statements about one GPU; what stands behind its address. */
void fake_health_init(struct gpu *gpu);
void fake_health_set(struct gpu *gpu, const char *text);
void fake_health_unset(struct gpu *gpu, const char *text);
void fake_health_vbios(struct gpu *gpu, const char *text);
void fake_add_process(struct gpu *gpu, const char *text);

#endif
