/* SPDX-License-Identifier: Apache-2.0 */
/* How the kernel runs the machine: clock, governor, NUMA balancing, modules; and the processes and
 * addresses without which the fabrics are useless. */
#include "check/check.h"
#include "facts/system.h"

#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#define CLASS "sys/class/infiniband"

static void read_clock(struct dt_reader *reader)
{
    struct timex clock = {0};
    if (reader->root->fake) {
        dt_reader_why(reader, "clock.synced", "a tree has no clock");
        return;
    }
    int state = adjtimex(&clock);
    if (state < 0) {
        dt_reader_why(reader, "clock.synced", "adjtimex: %s", strerror(errno));
        return;
    }
    dt_reader_int(reader, "clock.synced", state != TIME_ERROR && !(clock.status & STA_UNSYNC));
}

static void read_governor(struct dt_reader *reader)
{
    char text[64];
    if (dt_root_read(reader->root, text, sizeof text,
                     "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") > 0)
        dt_reader_string(reader, "cpu.governor", text);
}

/* Where the kernel has no such file, the fact does not exist: no reason is kept. */
static void read_switches(struct dt_reader *reader)
{
    long long value;
    const struct dt_root *root = reader->root;
    if (dt_root_read_long(root, &value, "proc/sys/kernel/numa_balancing") == 0)
        dt_reader_int(reader, "kernel.numa_balancing", value);
    if (dt_root_exists(root, "sys/module"))
        dt_reader_int(reader, "module.ib_uverbs", dt_root_exists(root, "sys/module/ib_uverbs"));
    else
        dt_reader_why(reader, "module.ib_uverbs", "/sys/module is not there");
}

void dt_read_system(struct dt_reader *reader)
{
    if (reader->request->level >= DT_LEVEL_FULL) {
        read_clock(reader);
        read_governor(reader);
    }
    read_switches(reader);
    if (reader->request->conf->required_mounts && reader->request->conf->required_mounts[0])
        dt_read_mounted(reader);
}

/* Is the address anything but zeros, behind the prefix fe80::? */
static bool has_address(const struct dt_root *root, const char *device, bool *known)
{
    char gid[64];
    *known = dt_root_read(root, gid, sizeof gid, CLASS "/%s/ports/1/gids/0", device) > 0;
    const char *low = *known ? gid : "";
    for (int colon = 0; *low && colon < 4; low++)
        colon += *low == ':';
    return strspn(low, "0:") != strlen(low);
}

void dt_read_efa_gids(struct dt_reader *reader)
{
    const json_t *devices = json_object_get(reader->doc, "efa.devices");
    json_t *without = json_array();
    for (size_t i = 0; i < json_array_size(devices); i++) {
        bool known;
        const char *name = json_string_value(json_object_get(json_array_get(devices, i), "name"));
        if (name && !has_address(reader->root, name, &known)) {
            if (known) {
                json_array_append_new(without, json_string(name));
                continue;
            }
            dt_reader_why(reader, "efa.without_gid", "/" CLASS "/%s/ports/1/gids/0 is missing",
                          name);
            json_decref(without);
            return;
        }
    }
    dt_reader_take(reader, "efa.without_gid", without);
}

static bool is_number(const char *name)
{
    return *name && strspn(name, "0123456789") == strlen(name);
}

/* The fabric manager's process: GPUs before Hopper do not tell of the fabric by themselves. */
void dt_read_fabric_manager(struct dt_reader *reader)
{
    char **names, comm[32];
    bool runs = false;
    if (!dt_root_exists(reader->root, "proc/driver/nvidia-nvswitch/devices"))
        return; /* no NVSwitch in this machine's hands */
    int count = dt_root_list(reader->root, &names, "proc");
    for (int i = 0; i < count && !runs; i++) {
        runs = is_number(names[i]) &&
               dt_root_read(reader->root, comm, sizeof comm, "proc/%s/comm", names[i]) > 0 &&
               strncmp(comm, "nv-fabricmanage", 15) == 0; /* comm is cut at 15 */
    }
    if (count >= 0) {
        dt_names_free(names);
        dt_reader_int(reader, "fabric.manager", runs);
    } else {
        dt_reader_why(reader, "fabric.manager", "/proc: %s", strerror(-count));
    }
}
