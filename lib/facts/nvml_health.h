/* SPDX-License-Identifier: Apache-2.0 */
/* Health of one GPU by NVML: what the driver itself says of it. Called in the child that asks NVML.
 * A call that the library or the GPU does not have leaves its keys away. */
#ifndef DT_FACTS_NVML_HEALTH_H
#define DT_FACTS_NVML_HEALTH_H

#include <jansson.h>

struct dt_nvml_health;

/* Functions of an opened library; NULL: out of memory. Lives as long as the process. */
struct dt_nvml_health *dt_nvml_health_open(void *library);

/* Adds to a member of gpu.devices (facts.h has the keys). handle: an nvmlDevice_t. */
void dt_nvml_health_read(const struct dt_nvml_health *health, void *handle, json_t *device);

#endif
