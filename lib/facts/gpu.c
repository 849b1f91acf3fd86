/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA GPUs: how many the PCI bus shows and how many the driver answers for. The two are kept
 * apart, because "fell off the bus" and "the driver refuses it" have different cures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "facts/reader.h"

#define PCI       "sys/bus/pci/devices"
#define PROC_GPUS "proc/driver/nvidia/gpus"

/* class 0x0300xx: VGA, 0x0302xx: 3D; NVSwitches (0x0680xx) and sound functions are none */
static bool is_gpu(const struct dt_root *root, const char *bdf)
{
    char folder[sizeof PCI + 256];
    struct dt_pci_id id;
    snprintf(folder, sizeof folder, PCI "/%s", bdf);
    return dt_pci_identify(root, folder, &id) && id.vendor == 0x10de && id.class >> 16 == 0x03;
}

/* More than half of the devices on the bus of a p5.48xlarge are NICs, which need no second look: an
 * object with their addresses as keys. */
static json_t *known_nics(const struct dt_reader *reader)
{
    json_t *nics = json_object(), *device;
    size_t i;
    json_array_foreach(json_object_get(reader->doc, "efa.devices"), i, device)
    {
        const char *bdf = json_string_value(json_object_get(device, "bdf"));
        if (bdf)
            json_object_set_new(nics, bdf, json_true());
    }
    return nics;
}

/* Keeps "pci.gpus", a list of addresses, in the document until dt_read_gpu has used it. */
void dt_read_gpu_pci(struct dt_reader *reader)
{
    char **devices;
    int count = dt_root_list(reader->root, &devices, PCI);
    if (count < 0 && !dt_root_exists(reader->root, "sys/bus")) {
        dt_reader_why(reader, "gpu.pci_count", "/" PCI ": %s", strerror(-count));
        return;
    }
    json_t *found = json_array(), *nics = known_nics(reader);
    for (int i = 0; i < count; i++) {
        if (!json_object_get(nics, devices[i]) && is_gpu(reader->root, devices[i]))
            json_array_append_new(found, json_string(devices[i]));
    }
    dt_reader_int(reader, "gpu.pci_count", (long long)json_array_size(found));
    dt_reader_take(reader, "pci.gpus", found);
    json_decref(nics);
    if (count >= 0)
        dt_names_free(devices);
}

bool dt_gpu_driver_loaded(const struct dt_reader *reader)
{
    return dt_root_exists(reader->root, "proc/driver/nvidia");
}

bool dt_gpu_bus_is_read(const struct dt_reader *reader)
{
    return json_object_get(reader->doc, "gpu.pci_count") ||
           json_object_get(reader->doc, "why.gpu.pci_count");
}

bool dt_gpu_on_bus(const struct dt_reader *reader)
{
    return json_array_size(json_object_get(reader->doc, "pci.gpus")) > 0;
}

static void add_numa(struct dt_reader *reader, json_t *device)
{
    long long numa;
    const char *bdf = json_string_value(json_object_get(device, "bdf"));
    if (bdf && dt_root_read_long(reader->root, &numa, PCI "/%s/numa_node", bdf) == 0 && numa >= 0)
        json_object_set_new(device, "numa", json_integer(numa));
}

/* Value after "NAME:" in /proc/driver/nvidia/gpus/BDF/information. */
static void information_line(json_t *device, const char *key, char *text, const char *name)
{
    char *line = strstr(text, name);
    if (!line)
        return;
    line += strlen(name);
    line += strspn(line, ": \t");
    size_t len = strcspn(line, "\n");
    while (len > 0 && line[len - 1] == ' ')
        len--;
    json_object_set_new(device, key, json_stringn(line, len));
}

static json_t *devices_from_procfs(struct dt_reader *reader)
{
    char **names;
    int count = dt_root_list(reader->root, &names, PROC_GPUS);
    if (count < 0)
        return NULL;
    json_t *devices = json_array();
    for (int i = 0; i < count; i++) {
        char text[4096];
        if (dt_root_read(reader->root, text, sizeof text, PROC_GPUS "/%s/information", names[i]) <=
            0)
            continue;
        json_t *device = json_pack("{s:s}", "bdf", names[i]);
        information_line(device, "model", text, "Model:");
        information_line(device, "uuid", text, "GPU UUID:");
        const char *minor = strstr(text, "Device Minor:");
        if (minor)
            json_object_set_new(device, "minor",
                                json_integer(strtol(minor + strlen("Device Minor:"), NULL, 10)));
        json_array_append_new(devices, device);
    }
    dt_names_free(names);
    return devices;
}

static bool has_device(const json_t *devices, const char *bdf)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        const char *have = json_string_value(json_object_get(device, "bdf"));
        if (have && strcasecmp(have, bdf) == 0)
            return true;
    }
    return false;
}

/* A device that is gone answers every read of its configuration with ones. */
static const char *lost_reason(struct dt_reader *reader, const char *bdf)
{
    unsigned char id[4] = {0};
    int fd = dt_root_open(reader->root, 0, PCI "/%s/config", bdf);
    bool gone = fd >= 0 && read(fd, id, sizeof id) == (ssize_t)sizeof id &&
                memcmp(id, "\xff\xff\xff\xff", sizeof id) == 0;
    if (fd >= 0)
        close(fd);
    return gone ? "fell off the PCI bus: its configuration reads as all ones"
                : "the driver does not answer for it";
}

static void find_lost(struct dt_reader *reader, json_t *devices)
{
    json_t *lost = json_array();
    size_t i;
    json_t *bdf;
    json_array_foreach(json_object_get(reader->doc, "pci.gpus"), i, bdf)
    {
        const char *name = json_string_value(bdf);
        if (!has_device(devices, name))
            json_array_append_new(
                lost, json_pack("{s:s,s:s}", "bdf", name, "reason", lost_reason(reader, name)));
    }
    dt_reader_take(reader, "gpu.lost", lost);
}

static void keep_devices(struct dt_reader *reader, json_t *devices)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device) add_numa(reader, device);
    json_t *first = json_array_get(devices, 0);
    json_t *value;
    if ((value = json_object_get(first, "model")))
        dt_reader_take(reader, "gpu.model", json_incref(value));
    if ((value = json_object_get(first, "memory_mib")))
        dt_reader_take(reader, "gpu.memory_mib", json_incref(value));
    dt_reader_take(reader, "gpu.devices", json_incref(devices));
}

/* NVML is the judge of the count wherever its library is. Without the library, procfs is. */
static bool take_nvml(struct dt_reader *reader, const json_t *nvml, const char *failure)
{
    const char *text;
    json_t *devices = json_object_get(nvml, "devices");
    if ((text = json_string_value(json_object_get(nvml, "driver"))))
        dt_reader_string(reader, "driver.nvidia", text);
    if (json_is_array(devices)) {
        dt_reader_int(reader, "gpu.count", (long long)json_array_size(devices));
        dt_reader_string(reader, "gpu.source", "nvml");
        keep_devices(reader, devices);
        find_lost(reader, devices);
        return true;
    }
    if (failure) {
        dt_reader_why(reader, "gpu.count", "NVML %s", failure);
    } else if ((text = json_string_value(json_object_get(nvml, "error")))) {
        dt_reader_string(reader, "gpu.error", text);
        dt_reader_why(reader, "gpu.count", "%s", text);
    } else if ((text = json_string_value(json_object_get(nvml, "unusable")))) {
        dt_reader_why(reader, "gpu.count", "%s", text);
    } else {
        return false;
    }
    /* Who they are is still known, for the binding; how many work is not. */
    devices = devices_from_procfs(reader);
    if (devices)
        keep_devices(reader, devices);
    json_decref(devices);
    return true;
}

void dt_read_gpu(struct dt_reader *reader, const char *nvml_text, const char *nvml_failure)
{
    json_t *nvml = nvml_text ? json_loads(nvml_text, 0, NULL) : NULL;
    if (!take_nvml(reader, nvml, nvml_failure)) {
        json_t *devices = devices_from_procfs(reader);
        if (devices) {
            dt_reader_int(reader, "gpu.count", (long long)json_array_size(devices));
            dt_reader_string(reader, "gpu.source", "procfs");
            keep_devices(reader, devices);
            find_lost(reader, devices);
            json_decref(devices);
        } else if (json_array_size(json_object_get(reader->doc, "pci.gpus")) > 0) {
            dt_reader_string(reader, "gpu.error", "the NVIDIA driver is not loaded");
            dt_reader_why(reader, "gpu.count", "the NVIDIA driver is not loaded");
        } else if (json_object_get(reader->doc, "gpu.pci_count")) {
            dt_reader_int(reader, "gpu.count", 0);
        } else {
            dt_reader_why(reader, "gpu.count", "no PCI bus and no NVIDIA driver can be seen");
        }
    }
    json_decref(nvml);
    json_object_del(reader->doc, "pci.gpus");
}
