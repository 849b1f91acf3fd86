/* SPDX-License-Identifier: Apache-2.0 */
/* The admin's word on where devices hang, for machines that hide it (a virtual machine flattens the
 * PCI tree) or get it wrong. The file is hwloc XML, NCCL XML, or `switch` sections as those of
 * instances.conf. It is believed as a whole or not at all. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/conf.h"
#include "topology/internal.h"
#include "topology/machine.h"
#include "topology/xml.h"

/* ---- `switch` sections ------------------------------------------------------------------------ */

static int add_row(struct dt_machine *machine, cfg_t *section, unsigned number, const char *list,
                   struct dt_error *err)
{
    const char *bridge = cfg_getstr(section, "bridge");
    int rc = 0;

    for (unsigned i = 0; i < cfg_size(section, list) && rc == 0; i++) {
        const char *bdf = cfg_getnstr(section, list, i);
        struct dt_buf path = DT_BUF_INIT;
        struct dt_machine_device device = {.nic = strcmp(list, "nics") == 0,
                                           .bdf = (char *)bdf,
                                           .node_os = (int)cfg_getint(section, "numa")};
        /* one switch below one host bridge, named by their numbers */
        dt_buf_printf(&path, "override%u/%s%u/%s", number, bridge && *bridge ? bridge : "switch",
                      number, bdf);
        device.path = path.data;
        if (path.failed)
            rc = dt_error_set(err, "%s: no memory left to read it", machine->name);
        else
            rc = dt_machine_add_device(machine, device, err) ? 0 : -1;
        dt_buf_fini(&path);
    }
    return rc;
}

static int read_section(struct dt_machine *machine, cfg_t *section, unsigned number,
                        struct dt_error *err)
{
    long numa = cfg_getint(section, "numa");

    if (cfg_size(section, "numa") == 0 || numa < 0 || numa >= DT_MACHINE_NODES_MAX)
        return dt_error_set(err,
                            "%s: switch %u (line %d) needs numa = N, the NUMA node it hangs on",
                            machine->name, number + 1, section->line);
    return add_row(machine, section, number, "gpus", err) ||
                   add_row(machine, section, number, "nics", err)
               ? -1
               : 0;
}

static int read_sections(struct dt_machine *machine, const char *text, size_t len,
                         struct dt_error *err)
{
    cfg_opt_t row[] = {CFG_INT("numa", 0, CFGF_NODEFAULT), CFG_STR("bridge", "", CFGF_NONE),
                       CFG_STR_LIST("gpus", NULL, CFGF_NODEFAULT),
                       CFG_STR_LIST("nics", NULL, CFGF_NODEFAULT), CFG_END()};
    cfg_opt_t options[] = {CFG_SEC("switch", row, CFGF_MULTI), CFG_END()};
    cfg_t *cfg;
    int rc = 0;

    if (dt_conf_parse_text(&cfg, options, machine->name, text, len, err))
        return -1;
    if (cfg_size(cfg, "switch") == 0)
        rc =
            dt_error_set(err, "%s describes no switch { }, so it overrides nothing", machine->name);
    for (unsigned i = 0; i < cfg_size(cfg, "switch") && rc == 0; i++)
        rc = read_section(machine, cfg_getnsec(cfg, "switch", i), i, err);
    cfg_free(cfg);
    return rc;
}

/* ---- does it fit ------------------------------------------------------------------------------ */

static struct dt_device *find_device(struct dt_topology *topology, const char *bdf)
{
    for (size_t i = 0; i < topology->accelerator_count; i++)
        if (strcasecmp(topology->accelerators[i].bdf, bdf) == 0)
            return &topology->accelerators[i];
    for (size_t i = 0; i < topology->nic_count; i++)
        if (strcasecmp(topology->nics[i].bdf, bdf) == 0)
            return &topology->nics[i];
    return NULL;
}

static int check_twice(const struct dt_machine *machine, struct dt_error *err)
{
    for (size_t a = 0; a < machine->device_count; a++)
        for (size_t b = a + 1; b < machine->device_count; b++)
            if (strcasecmp(machine->devices[a].bdf, machine->devices[b].bdf) == 0)
                return dt_error_set(err,
                                    "%s puts device %s in two places; it is not used, and devices "
                                    "stay where the system shows them",
                                    machine->name, machine->devices[a].bdf);
    return 0;
}

/* A node that lost a device is the same machine still; one that has less than half of them is not. */
static int check_machine(const struct dt_machine *machine, struct dt_topology *topology,
                         size_t *matched, struct dt_error *err)
{
    const char *stranger = NULL;

    *matched = 0;
    for (size_t d = 0; d < machine->device_count; d++) {
        const struct dt_machine_device *device = &machine->devices[d];
        if (!find_device(topology, device->bdf)) {
            stranger = stranger ? stranger : device->bdf;
            continue;
        }
        ++*matched;
        if (device->node_os >= 0 && dt_topology_logical_node(topology->hwloc, device->node_os) < 0)
            return dt_error_set(err,
                                "%s puts device %s on NUMA node %d, which this machine has not; "
                                "it is not used",
                                machine->name, device->bdf, device->node_os);
    }
    if (*matched == 0 || *matched * 2 < machine->device_count)
        return dt_error_set(err,
                            "%s is of another machine: %zu of its %zu devices are here, %s is not; "
                            "it is not used",
                            machine->name, *matched, machine->device_count,
                            stranger ? stranger : "any");
    return 0;
}

/* ---- using it --------------------------------------------------------------------------------- */

static void forget_groups(struct dt_device *devices, size_t count)
{
    for (size_t i = 0; i < count; i++)
        devices[i].group = devices[i].root = -1;
}

static void move_devices(struct dt_machine *machine, struct dt_topology *topology)
{
    for (size_t d = 0; d < machine->device_count; d++) {
        struct dt_machine_device *from = &machine->devices[d];
        struct dt_device *to = find_device(topology, from->bdf);
        char *path;
        if (!to)
            continue;
        path = to->path;
        to->path = from->path;
        from->path = path;
        if (from->node_os >= 0)
            to->numa = dt_topology_logical_node(topology->hwloc, from->node_os);
    }
}

static int describe(struct dt_machine *machine, const struct dt_topology *topology, size_t matched,
                    struct dt_buf *source, struct dt_buf *notes)
{
    size_t here = topology->accelerator_count + topology->nic_count;

    dt_buf_printf(source, "%s + override %s", topology->source, machine->name);
    dt_buf_puts(notes, topology->notes);
    if (matched < machine->device_count)
        dt_buf_printf(notes, "%zu of %zu devices of %s are not on this machine\n",
                      machine->device_count - matched, machine->device_count, machine->name);
    if (matched < here)
        dt_buf_printf(notes, "%s does not name %zu of %zu devices: they stay where they were\n",
                      machine->name, here - matched, here);
    return source->failed || notes->failed ? -1 : 0;
}

static int use(struct dt_machine *machine, struct dt_topology *topology, size_t matched,
               struct dt_error *err)
{
    struct dt_buf source = DT_BUF_INIT, notes = DT_BUF_INIT;
    char *old_source = topology->source, *old_notes = topology->notes;
    int rc = -1;

    if (describe(machine, topology, matched, &source, &notes)) {
        dt_error_set(err, "no memory left for %s", machine->name);
        goto out;
    }
    forget_groups(topology->accelerators, topology->accelerator_count);
    forget_groups(topology->nics, topology->nic_count);
    move_devices(machine, topology);
    rc = dt_topology_group_devices(topology, NULL, source.data, err);
    if (rc) {
        topology->source = old_source;
        goto out;
    }
    free(old_source);
    free(old_notes);
    topology->notes = dt_buf_take(&notes);
out:
    dt_buf_fini(&source);
    dt_buf_fini(&notes);
    return rc;
}

int dt_topology_override_text(struct dt_topology *topology, const char *name, const char *text,
                              size_t len, struct dt_error *err)
{
    struct dt_machine machine = {.name = name, .places_only = true};
    const struct dt_instance *instance = NULL;
    size_t matched, blanks = strspn(text, " \t\r\n");
    int rc;

    if (text[blanks] == '<')
        rc = dt_machine_parse(&machine, text, len, NULL, &instance, err);
    else
        rc = read_sections(&machine, text, len, err);
    if (rc == 0)
        rc = check_twice(&machine, err);
    if (rc == 0)
        rc = check_machine(&machine, topology, &matched, err);
    if (rc == 0)
        rc = use(&machine, topology, matched, err);
    dt_machine_fini(&machine);
    return rc;
}

int dt_topology_override(struct dt_topology *topology, const char *path, struct dt_error *err)
{
    size_t len;
    int open_errno, rc;
    char *text = dt_conf_read_text(path, &len, &open_errno, err);

    if (!text && open_errno)
        return dt_error_set(err, "topology override %s can not be opened: %s", path,
                            strerror(open_errno));
    if (!text)
        return -1;
    rc = dt_topology_override_text(topology, path, text, len, err);
    free(text);
    return rc;
}
