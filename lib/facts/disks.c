/* SPDX-License-Identifier: Apache-2.0 */
/* Local disks: NVMe devices and software RAID, as sysfs shows them. */
#include <string.h>

#include "facts/printable.h"
#include "facts/system.h"

static void take_text(struct dt_reader *reader, json_t *object, const char *key, const char *path,
                      const char *device, const char *file)
{
    char text[128];
    if (dt_root_read(reader->root, text, sizeof text, "%s/%s/%s", path, device, file) > 0)
        json_object_set_new(object, key, dt_printable_json(text, sizeof text));
}

/* Of its first name space, which is the only one that EC2 gives. */
static void take_size(struct dt_reader *reader, json_t *device, const char *name)
{
    long long sectors;
    if (dt_root_read_long(reader->root, &sectors, "sys/class/nvme/%s/%sn1/size", name, name) == 0 ||
        dt_root_read_long(reader->root, &sectors, "sys/block/%sn1/size", name) == 0)
        json_object_set_new(device, "gb", json_integer(sectors * 512 / 1000000000));
}

static void read_nvme(struct dt_reader *reader)
{
    char **names;
    json_t *devices = json_array();
    int count = dt_root_list(reader->root, &names, "sys/class/nvme");
    for (int i = 0; i < count; i++) {
        json_t *device = json_pack("{s:s}", "name", names[i]);
        take_text(reader, device, "model", "sys/class/nvme", names[i], "model");
        take_text(reader, device, "state", "sys/class/nvme", names[i], "state");
        take_size(reader, device, names[i]);
        json_array_append_new(devices, device);
    }
    if (count >= 0)
        dt_names_free(names);
    if (count >= 0 || dt_root_exists(reader->root, "sys/class")) {
        dt_reader_take(reader, "nvme.devices", devices);
    } else {
        json_decref(devices);
        dt_reader_why(reader, "nvme.devices", "/sys/class: %s", strerror(-count));
    }
}

static void read_raid(struct dt_reader *reader)
{
    char **names;
    long long degraded;
    json_t *arrays = json_array();
    int count = dt_root_list(reader->root, &names, "sys/block");
    for (int i = 0; i < count; i++) {
        if (strncmp(names[i], "md", 2) != 0 ||
            !dt_root_exists(reader->root, "sys/block/%s/md", names[i]))
            continue;
        json_t *array = json_pack("{s:s}", "name", names[i]);
        take_text(reader, array, "state", "sys/block", names[i], "md/array_state");
        /* RAID 0 has no such file: it can not lose a disk and live. */
        if (dt_root_read_long(reader->root, &degraded, "sys/block/%s/md/degraded", names[i]) == 0)
            json_object_set_new(array, "degraded", json_integer(degraded));
        json_array_append_new(arrays, array);
    }
    if (count >= 0)
        dt_names_free(names);
    if (count >= 0 || dt_root_exists(reader->root, "sys/class")) {
        dt_reader_take(reader, "raid.arrays", arrays);
    } else {
        json_decref(arrays);
        dt_reader_why(reader, "raid.arrays", "/sys/block: %s", strerror(-count));
    }
}

void dt_read_disks(struct dt_reader *reader)
{
    read_nvme(reader);
    read_raid(reader);
}
