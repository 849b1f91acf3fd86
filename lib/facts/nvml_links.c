/* SPDX-License-Identifier: Apache-2.0 */
/* What joins one GPU to others: NVLink links with their error counters, and the NVSwitch fabric.
 * Numbers and layouts after NVIDIA's nvml.h. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "facts/nvml_health.h"

enum {
    LINKS_MAX = 36,        /* NVML_NVLINK_MAX_LINKS is 18; tables of later drivers may grow */
    FABRIC_V2 = 0x2000024, /* NVML_STRUCT_VERSION(GpuFabricInfo, 2) */
    FABRIC_V3 = 0x3000028,
    ONE = 0,        /* scope of the fields that are sums by themselves */
    ALL = UINT_MAX, /* of those of NVLink 5: all links together */
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

struct dt_nvml_links {
    dt_nvml_fields fields;
    int (*state)(void *, unsigned, unsigned *);
    int (*fabric)(void *, struct fabric *);
};

struct dt_nvml_links *dt_nvml_links_open(void *library)
{
    struct dt_nvml_links *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    *(void **)&l->fields = dlsym(library, "nvmlDeviceGetFieldValues");
    *(void **)&l->state = dlsym(library, "nvmlDeviceGetNvLinkState");
    *(void **)&l->fabric = dlsym(library, "nvmlDeviceGetGpuFabricInfoV");
    return l;
}

/* Links are numbered from 0 without a gap; the first that is refused is behind the last. */
static unsigned read_states(const struct dt_nvml_links *l, void *handle, json_t *device)
{
    unsigned count = 0, up = 0, active;
    struct dt_buf down = DT_BUF_INIT;
    while (l->state && count < LINKS_MAX && l->state(handle, count, &active) == 0) {
        if (!active)
            dt_buf_printf(&down, "%s%u", down.len ? "," : "", count);
        up += active != 0;
        count++;
    }
    if (count > 0) {
        dt_nvml_put(device, "nvlinks", count);
        dt_nvml_put(device, "nvlinks_up", up);
    }
    if (down.data)
        json_object_set_new(device, "nvlinks_down", json_string(down.data));
    dt_buf_fini(&down);
    return count;
}

/* Counters since the driver was loaded or the GPU reset. Fields that are of one kind are added up. */
static void read_errors(const struct dt_nvml_links *l, void *handle, json_t *device)
{
    static const struct {
        unsigned field, scope;
        const char *key;
    } counters[] = {
        {38, ONE, "nvlink_crc"},          /* NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL */
        {45, ONE, "nvlink_crc"},          /* ..._CRC_DATA_ERROR_COUNT_TOTAL */
        {52, ONE, "nvlink_replay"},       /* ..._REPLAY_ERROR_COUNT_TOTAL */
        {59, ONE, "nvlink_recovery"},     /* ..._RECOVERY_ERROR_COUNT_TOTAL */
        {206, ALL, "nvlink_rx"},          /* ..._COUNT_MALFORMED_PACKET_ERRORS */
        {207, ALL, "nvlink_rx"},          /* ..._COUNT_BUFFER_OVERRUN_ERRORS */
        {208, ALL, "nvlink_rx"},          /* ..._COUNT_RCV_ERRORS */
        {211, ALL, "nvlink_integrity"},   /* ..._COUNT_LOCAL_LINK_INTEGRITY_ERRORS */
        {213, ALL, "nvlink_recovery"},    /* ..._COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS */
        {214, ALL, "nvlink_unrecovered"}, /* ..._COUNT_LINK_RECOVERY_FAILED_EVENTS */
    };
    enum { COUNT = sizeof counters / sizeof counters[0] };
    struct dt_nvml_field fields[COUNT] = {{0}};
    unsigned long long sum = 0;
    bool any = false;
    for (size_t i = 0; i < COUNT; i++)
        fields[i] =
            (struct dt_nvml_field){.id = counters[i].field, .scope = counters[i].scope, .rc = -1};
    if (!l->fields || l->fields(handle, COUNT, fields) != 0)
        return;
    for (size_t i = 0; i < COUNT; i++) {
        if (fields[i].rc != 0)
            continue;
        const json_t *before = json_object_get(device, counters[i].key);
        unsigned long long value = dt_nvml_value(&fields[i]);
        dt_nvml_put(device, counters[i].key,
                    value + (unsigned long long)json_integer_value(before));
        sum += value;
        any = true;
    }
    if (any)
        dt_nvml_put(device, "nvlink_errors", sum);
}

/* "0123...": the cluster's UUID, zeros where there is none. */
static void put_cluster(json_t *device, const unsigned char uuid[16])
{
    static const unsigned char none[16];
    char text[33];
    if (memcmp(uuid, none, sizeof none) == 0)
        return;
    for (size_t i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", uuid[i]);
    json_object_set_new(device, "fabric_cluster", json_string(text));
}

static void read_fabric(const struct dt_nvml_links *l, void *handle, json_t *device)
{
    struct fabric fabric = {.version = FABRIC_V3};
    if (!l->fabric)
        return;
    int rc = l->fabric(handle, &fabric);
    if (rc != 0) {
        fabric = (struct fabric){.version = FABRIC_V2};
        rc = l->fabric(handle, &fabric);
    }
    if (rc != 0)
        return;
    dt_nvml_put(device, "fabric", fabric.state);
    dt_nvml_put(device, "fabric_status", (unsigned)fabric.status);
    dt_nvml_put(device, "fabric_clique", fabric.clique);
    dt_nvml_put(device, "fabric_mask", fabric.mask);
    dt_nvml_put(device, "fabric_health", fabric.summary);
    put_cluster(device, fabric.cluster);
}

void dt_nvml_links_read(const struct dt_nvml_links *links, void *handle, json_t *device)
{
    if (read_states(links, handle, device) > 0)
        read_errors(links, handle, device);
    read_fabric(links, handle, device);
}
