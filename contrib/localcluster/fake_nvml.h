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

#define FAKE_KEYS 32

typedef struct gpu *nvmlDevice_t;

struct gpu {
    char bdf[32], uuid[96], name[96], vbios[64];
    unsigned vendor, device;
    unsigned long long mib;
    bool lost;
    long long values[FAKE_KEYS]; /* by index into the keys of fake_nvml_health.c; -1: none */
};

int fake_begin_device(const char *function, const struct gpu *gpu);
int fake_answer_text(char *to, unsigned length, const char *text);

/* Statements about one GPU; what stands behind its address. */
void fake_health_init(struct gpu *gpu);
void fake_health_set(struct gpu *gpu, const char *text);
void fake_health_unset(struct gpu *gpu, const char *text);
void fake_health_vbios(struct gpu *gpu, const char *text);

#endif
