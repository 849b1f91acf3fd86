/* SPDX-License-Identifier: Apache-2.0 */
/* What NVML tells of one GPU beside who it is: its health (nvml_health.c), what joins it to others
 * (nvml_links.c), who uses it (nvml_processes.c). Called in the child that asks NVML. A call that the
 * library or the GPU does not have leaves its keys away. */
#ifndef DT_FACTS_NVML_HEALTH_H
#define DT_FACTS_NVML_HEALTH_H

#include <jansson.h>
#include <stdbool.h>

struct dt_nvml_health;
struct dt_nvml_links;
struct dt_nvml_processes;

/* Functions of an opened library; NULL: out of memory. They live as long as the process. */
struct dt_nvml_health *dt_nvml_health_open(void *library);
struct dt_nvml_links *dt_nvml_links_open(void *library);
struct dt_nvml_processes *dt_nvml_processes_open(void *library);

/* Add to a member of gpu.devices (facts.h has the keys). handle: an nvmlDevice_t. */
void dt_nvml_health_read(const struct dt_nvml_health *health, void *handle, json_t *device);
void dt_nvml_links_read(const struct dt_nvml_links *links, void *handle, json_t *device);
/* Its programs as "processes", which the parent takes out again: [{"pid","mib"}]. */
void dt_nvml_processes_read(const struct dt_nvml_processes *processes, void *handle,
                            json_t *device);

/* ---- for these three ---- */
struct dt_nvml_field { /* nvmlFieldValue_t */
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
typedef int (*dt_nvml_fields)(void *, int, struct dt_nvml_field *);

unsigned long long dt_nvml_value(const struct dt_nvml_field *field);
void dt_nvml_put(json_t *device, const char *key, unsigned long long value);
/* Did it answer? What it could answer and does not is kept as "refused", the first of them. */
bool dt_nvml_answers(json_t *device, const char *what, int rc);
/* Functions of the form f(device, unsigned *); NULL: the library lacks it. */
void dt_nvml_put_one(json_t *device, const char *key, int (*call)(void *, unsigned *),
                     void *handle);

#endif
