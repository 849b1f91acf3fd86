/* SPDX-License-Identifier: Apache-2.0 */
/* PCIe errors of GPUs and EFA devices as the kernel counts them (Advanced Error Reporting), where the
 * machine lets it. Format: Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats. */
#include <stdlib.h>
#include <string.h>

#include "facts/reader.h"

static const struct {
    const char *file, *total, *key;
} counters[] = {
    {"aer_dev_fatal", "TOTAL_ERR_FATAL", "aer_fatal"},
    {"aer_dev_nonfatal", "TOTAL_ERR_NONFATAL", "aer_nonfatal"},
    {"aer_dev_correctable", "TOTAL_ERR_COR", "aer_correctable"},
};

static void read_device(const struct dt_root *root, json_t *device)
{
    char text[2048];
    const char *bdf = json_string_value(json_object_get(device, "bdf"));
    for (size_t i = 0; bdf && i < sizeof counters / sizeof counters[0]; i++) {
        if (dt_root_read(root, text, sizeof text, "sys/bus/pci/devices/%s/%s", bdf,
                         counters[i].file) <= 0)
            return; /* no counters: neither of this one nor of the next kind */
        const char *total = strstr(text, counters[i].total);
        if (total)
            json_object_set_new(device, counters[i].key,
                                json_integer(strtoll(total + strlen(counters[i].total), NULL, 10)));
    }
}

static void read_devices(const struct dt_root *root, const json_t *devices)
{
    for (size_t i = 0; i < json_array_size(devices); i++)
        read_device(root, json_array_get(devices, i));
}

void dt_read_aer(struct dt_reader *reader)
{
    read_devices(reader->root, json_object_get(reader->doc, "gpu.devices"));
    read_devices(reader->root, json_object_get(reader->doc, "efa.devices"));
}
