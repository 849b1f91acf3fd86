/* SPDX-License-Identifier: Apache-2.0 */
/* EFA devices: RDMA devices filtered by vendor and device number, since instances such as
 * p6-b200.48xlarge show other RDMA devices too. Names and texts after amzn-drivers efa_verbs.c and
 * the kernel's infiniband sysfs. */
#include <stdlib.h>
#include <string.h>

#include "facts/reader.h"

#define CLASS "sys/class/infiniband"

/* "4: ACTIVE" -> "ACTIVE" */
static void read_state(struct dt_reader *reader, json_t *device, const char *name, const char *file)
{
    char text[64];
    if (dt_root_read(reader->root, text, sizeof text, CLASS "/%s/ports/1/%s", name, file) <= 0)
        return;
    char *colon = strchr(text, ':');
    const char *word = colon ? colon + 1 + strspn(colon + 1, " ") : text;
    json_object_set_new(device, file, json_string(word));
}

static void read_address(struct dt_reader *reader, json_t *device, const char *name)
{
    char target[512];
    if (dt_root_readlink(reader->root, target, sizeof target, CLASS "/%s/device", name) <= 0)
        return;
    char *slash = strrchr(target, '/');
    json_object_set_new(device, "bdf", json_string(slash ? slash + 1 : target));
}

static json_t *read_device(struct dt_reader *reader, const char *name)
{
    long long vendor, id, numa;
    char rate[64];
    const struct dt_root *root = reader->root;
    if (dt_root_read_long(root, &vendor, CLASS "/%s/device/vendor", name) < 0 || vendor != 0x1d0f)
        return NULL;
    if (dt_root_read_long(root, &id, CLASS "/%s/device/device", name) < 0 || id >> 4 != 0xefa)
        return NULL;
    json_t *device =
        json_pack("{s:s,s:o}", "name", name, "device", json_sprintf("1d0f:%04x", (unsigned)id));
    read_address(reader, device, name);
    if (dt_root_read_long(root, &numa, CLASS "/%s/device/numa_node", name) == 0 && numa >= 0)
        json_object_set_new(device, "numa", json_integer(numa));
    read_state(reader, device, name, "state");
    read_state(reader, device, name, "phys_state");
    if (dt_root_read(root, rate, sizeof rate, CLASS "/%s/ports/1/rate", name) > 0)
        json_object_set_new(device, "gbps", json_integer(strtoll(rate, NULL, 10)));
    return device;
}

static bool is(const json_t *device, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(device, key));
    return text && strcmp(text, wanted) == 0;
}

void dt_read_efa(struct dt_reader *reader)
{
    char **names;
    int count = dt_root_list(reader->root, &names, CLASS);
    if (count < 0 && !dt_root_exists(reader->root, "sys/class")) {
        dt_reader_why(reader, "efa.count", "/" CLASS ": %s", strerror(-count));
        dt_reader_why(reader, "efa.active", "/" CLASS ": %s", strerror(-count));
        return;
    }
    long long active = 0;
    json_t *devices = json_array();
    for (int i = 0; i < count; i++) {
        json_t *device = read_device(reader, names[i]);
        if (!device)
            continue;
        active += is(device, "state", "ACTIVE") && is(device, "phys_state", "LinkUp");
        json_array_append_new(devices, device);
    }
    dt_reader_int(reader, "efa.count", (long long)json_array_size(devices));
    dt_reader_int(reader, "efa.active", active);
    dt_reader_take(reader, "efa.devices", devices);
    if (count >= 0)
        dt_names_free(names);
}
