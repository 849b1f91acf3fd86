/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of errors that only ever grow, device by device: what a node remembers from job to job
 * (lib/history). Those of GPUs are with gpu.devices. Names of EFA's counters after amzn-drivers
 * efa_verbs.c; which of them exist depends on the driver. */
#include "facts/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/check.h"

#define EFA_CLASS "sys/class/infiniband"
#define NET_CLASS "sys/class/net"
#define EDAC      "sys/devices/system/edac/mc"

enum { DEVICES_MAX = 128 }; /* of one kind; the largest instance has 32 EFA devices */

/* A number in a file of an opened directory. */
static bool read_number(int directory, const char *file, long long *value)
{
    char text[32], *end;
    int fd = openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && errno == 0 && *value >= 0 && (*end == '\n' || !*end);
}

/* Those of `files` that the directory has, as one object; a device that has none is left out. */
static void add(struct dt_reader *reader, json_t *list, const char *kind, const char *device,
                int directory, const char *const *files)
{
    long long value;
    size_t found = 0;
    json_t *item = json_pack("{s:s,s:s}", "kind", kind, "device", device);
    for (; directory >= 0 && *files; files++) {
        if (!read_number(directory, *files, &value))
            continue;
        json_object_set_new(item, *files, json_integer(value));
        found++;
    }
    if (directory >= 0)
        close(directory);
    if (!found)
        json_decref(item);
    else if (json_array_append_new(list, item) < 0)
        reader->failed = true;
}

/* Each read may be a command to the device, several for one device: from level full on. */
static void read_efa(struct dt_reader *reader, json_t *list)
{
    static const char *const files[] = {"rx_drops",
                                        "retrans_pkts",
                                        "retrans_bytes",
                                        "retrans_timeout_events",
                                        "unresponsive_remote_events",
                                        "impaired_remote_conn_events",
                                        "rdma_read_wr_err",
                                        "rdma_write_wr_err",
                                        NULL};
    json_t *device;
    size_t i;
    json_array_foreach(json_object_get(reader->doc, "efa.devices"), i, device)
    {
        const char *name = json_string_value(json_object_get(device, "name"));
        if (name && i < DEVICES_MAX)
            add(reader, list, "efa", name,
                dt_root_open(reader->root, O_PATH | O_DIRECTORY,
                             EFA_CLASS "/%s/ports/1/hw_counters", name),
                files);
    }
}

/* Of real devices: those of containers come and go. */
static void read_net(struct dt_reader *reader, json_t *list)
{
    static const char *const files[] = {"carrier_changes", NULL};
    char **names;
    int count = dt_root_list(reader->root, &names, NET_CLASS);
    for (int i = 0; i < count && i < DEVICES_MAX; i++) {
        if (!dt_root_exists(reader->root, NET_CLASS "/%s/device", names[i]))
            continue;
        add(reader, list, "net", names[i],
            dt_root_open(reader->root, O_PATH | O_DIRECTORY, NET_CLASS "/%s", names[i]), files);
        if (reader->request->level >= DT_LEVEL_FULL) /* a command to the device, too */
            dt_read_allowances(reader, list, names[i]);
    }
    if (count >= 0)
        dt_names_free(names);
}

/* EC2's guests mostly have none; metal may. */
static void read_edac(struct dt_reader *reader, json_t *list)
{
    static const char *const files[] = {"ce_count", "ue_count", NULL};
    char **names;
    int count = dt_root_list(reader->root, &names, EDAC);
    for (int i = 0; i < count && i < DEVICES_MAX; i++) {
        if (strncmp(names[i], "mc", 2) == 0)
            add(reader, list, "edac", names[i],
                dt_root_open(reader->root, O_PATH | O_DIRECTORY, EDAC "/%s", names[i]), files);
    }
    if (count >= 0)
        dt_names_free(names);
}

void dt_read_counters(struct dt_reader *reader)
{
    json_t *list = json_array();
    read_net(reader, list);
    read_edac(reader, list);
    if (reader->request->level >= DT_LEVEL_FULL) {
        read_efa(reader, list);
        dt_read_smart(reader, list);
    }
    dt_reader_take(reader, "counters", list);
}
