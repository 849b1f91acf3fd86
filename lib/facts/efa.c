/* SPDX-License-Identifier: Apache-2.0 */
/* EFA devices: RDMA devices filtered by vendor and device number, since instances such as
 * p6-b200.48xlarge show other RDMA devices too. Names and texts after amzn-drivers efa_verbs.c and
 * the kernel's infiniband sysfs. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/check.h"
#include "facts/reader.h"

#define CLASS "sys/class/infiniband"

/* Folder of the RDMA device below /sys, "devices/pci0000:44/0000:4f:00.0/infiniband/rdmap79s0", by
 * the link that the class has for it: from there on no further link has to be followed, file by
 * file. false: no device of a bus. */
static bool real_folder(int class, const char *name, char *folder, size_t size)
{
    static const char up[] = "../../";
    char target[512];
    ssize_t len = readlinkat(class, name, target, sizeof target);
    if (len <= 0 || (size_t)len == sizeof target)
        return false;
    target[len] = '\0';
    if (strncmp(target, up, sizeof up - 1) != 0)
        return false;
    int n = snprintf(folder, size, "sys/%s", target + sizeof up - 1);
    return n > 0 && (size_t)n < size;
}

/* Cut "/infiniband/NAME" off: what is left is the PCI device's own folder. */
static bool cut_to_device(char *folder)
{
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(folder, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    return strchr(folder, '/') != NULL;
}

/* "4: ACTIVE" -> "ACTIVE" */
static void read_state(const struct dt_root *root, json_t *device, const char *folder,
                       const char *file)
{
    char text[64];
    if (dt_root_read(root, text, sizeof text, "%s/ports/1/%s", folder, file) <= 0)
        return;
    char *colon = strchr(text, ':');
    const char *word = colon ? colon + 1 + strspn(colon + 1, " ") : text;
    json_object_set_new(device, file, json_string(word));
}

/* From level full on: 32 more files are felt. */
static void read_rate(const struct dt_root *root, json_t *device, const char *folder)
{
    char rate[64];
    if (dt_root_read(root, rate, sizeof rate, "%s/ports/1/rate", folder) > 0)
        json_object_set_new(device, "gbps", json_integer(strtoll(rate, NULL, 10)));
}

static json_t *read_device(const struct dt_reader *reader, int class, const char *name)
{
    const struct dt_root *root = reader->root;
    char folder[520], pci[sizeof folder];
    struct dt_pci_id id;
    long long numa;
    if (!real_folder(class, name, folder, sizeof folder))
        return NULL;
    memcpy(pci, folder, sizeof pci);
    if (!cut_to_device(pci) || !dt_pci_identify(root, pci, &id) || id.vendor != 0x1d0f ||
        id.device >> 4 != 0xefa)
        return NULL;
    json_t *device = json_pack("{s:s,s:s,s:o}", "name", name, "bdf", strrchr(pci, '/') + 1,
                               "device", json_sprintf("1d0f:%04x", id.device));
    if (dt_root_read_long(root, &numa, "%s/numa_node", pci) == 0 && numa >= 0)
        json_object_set_new(device, "numa", json_integer(numa));
    read_state(root, device, folder, "state");
    read_state(root, device, folder, "phys_state");
    if (reader->request->level >= DT_LEVEL_FULL)
        read_rate(root, device, folder);
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
    int class = count > 0 ? dt_root_open(reader->root, O_PATH | O_DIRECTORY, CLASS) : -1;
    if (count < 0 && !dt_root_exists(reader->root, "sys/class")) {
        dt_reader_why(reader, "efa.count", "/" CLASS ": %s", strerror(-count));
        dt_reader_why(reader, "efa.active", "/" CLASS ": %s", strerror(-count));
        return;
    }
    long long active = 0;
    json_t *devices = json_array();
    for (int i = 0; i < count; i++) {
        json_t *device = read_device(reader, class, names[i]);
        if (!device)
            continue;
        active += is(device, "state", "ACTIVE") && is(device, "phys_state", "LinkUp");
        json_array_append_new(devices, device);
    }
    dt_reader_int(reader, "efa.count", (long long)json_array_size(devices));
    dt_reader_int(reader, "efa.active", active);
    dt_reader_take(reader, "efa.devices", devices);
    if (class >= 0)
        close(class);
    if (count >= 0)
        dt_names_free(names);
}
