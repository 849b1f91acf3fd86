/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI tree: bridges, GPUs, Neuron devices, EFA and ENA functions, each with what sysfs tells of
 * it and the 256 bytes of configuration space that hwloc reads. */
#include "personality/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_SIZE 256

struct function {
    struct dt_persona_device at;
    unsigned vendor, device, subsystem_vendor, subsystem_device;
    unsigned class;                  /* 24 bits */
    const char *driver;              /* "" = none */
    unsigned secondary, subordinate; /* bus numbers, of bridges only */
    int pcie_generation;
};

static unsigned bus_of(const char *bdf)
{
    return (unsigned)strtoul(bdf + 5, NULL, 16);
}

char *dt_persona_pci_path(const struct dt_persona_device *device)
{
    struct dt_buf path = DT_BUF_INIT;
    const char *top = *device->bridge ? device->bridge : device->bdf;
    dt_buf_printf(&path, "devices/pci%.7s", top);
    if (*device->bridge)
        dt_buf_printf(&path, "/%s", device->bridge);
    dt_buf_printf(&path, "/%s", device->bdf);
    return dt_buf_take(&path);
}

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}

/* PCI Local Bus 3.0 §6.1 header, and a PCI Express capability with the link's speed and width. */
static void fill_config(unsigned char config[CONFIG_SIZE], const struct function *f)
{
    const unsigned capability = 0x40;
    bool bridge = f->class >> 8 == 0x0604;
    memset(config, 0, CONFIG_SIZE);
    put16(config + 0x00, f->vendor);
    put16(config + 0x02, f->device);
    put16(config + 0x04, 0x0406); /* command: memory, bus master, no INTx */
    put16(config + 0x06, 0x0010); /* status: has capabilities */
    config[0x09] = (unsigned char)f->class;
    config[0x0a] = (unsigned char)(f->class >> 8);
    config[0x0b] = (unsigned char)(f->class >> 16);
    config[0x0e] = bridge ? 1 : 0;
    if (bridge) {
        config[0x18] = (unsigned char)bus_of(f->at.bdf);
        config[0x19] = (unsigned char)f->secondary;
        config[0x1a] = (unsigned char)f->subordinate;
    } else {
        put16(config + 0x2c, f->subsystem_vendor);
        put16(config + 0x2e, f->subsystem_device);
    }
    config[0x34] = (unsigned char)capability;
    config[capability] = 0x10;                                /* PCI Express */
    put16(config + capability + 2, bridge ? 0x0052 : 0x0002); /* switch port, endpoint */
    put16(config + capability + 18, (unsigned)f->pcie_generation | 16u << 4); /* status: x16 */
}

static void write_links(struct dt_tree *tree, const struct function *f)
{
    const char *up = *f->at.bridge ? "../../../.." : "../../..";
    dt_tree_link(tree, "subsystem", "%s/bus/pci", up);
    if (*f->driver)
        dt_tree_link(tree, "driver", "%s/bus/pci/drivers/%s", up, f->driver);
}

static void write_function(struct dt_tree *tree, const struct dt_persona *machine,
                           const struct function *f)
{
    static const char *const speeds[] = {"2.5 GT/s PCIe", "2.5 GT/s PCIe",  "5.0 GT/s PCIe",
                                         "8.0 GT/s PCIe", "16.0 GT/s PCIe", "32.0 GT/s PCIe",
                                         "64.0 GT/s PCIe"};
    unsigned char config[CONFIG_SIZE];
    char *path = dt_persona_pci_path(&f->at);
    char *list = dt_persona_node_cpulist(machine, f->at.numa);
    char *mask = dt_persona_node_cpumask(machine, f->at.numa);
    fill_config(config, f);

    dt_tree_enter(tree, "sys/%s", path ? path : "devices");
    dt_tree_file(tree, "vendor", "0x%04x\n", f->vendor);
    dt_tree_file(tree, "device", "0x%04x\n", f->device);
    dt_tree_file(tree, "class", "0x%06x\n", f->class);
    dt_tree_file(tree, "subsystem_vendor", "0x%04x\n", f->subsystem_vendor);
    dt_tree_file(tree, "subsystem_device", "0x%04x\n", f->subsystem_device);
    dt_tree_file(tree, "modalias", "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", f->vendor,
                 f->device, f->subsystem_vendor, f->subsystem_device, f->class >> 16 & 0xff,
                 f->class >> 8 & 0xff, f->class & 0xff);
    dt_tree_file(tree, "numa_node", "%d\n", f->at.numa);
    dt_tree_file(tree, "local_cpulist", "%s\n", list ? list : "");
    dt_tree_file(tree, "local_cpus", "%s\n", mask ? mask : "");
    dt_tree_file(tree, "current_link_speed", "%s\n", speeds[f->pcie_generation]);
    dt_tree_file(tree, "max_link_speed", "%s\n", speeds[f->pcie_generation]);
    dt_tree_file(tree, "current_link_width", "16\n");
    dt_tree_file(tree, "max_link_width", "16\n");
    dt_tree_file(tree, "enable", "1\n");
    dt_tree_bytes(tree, "config", config, sizeof config);
    write_links(tree, f);
    dt_tree_enter(tree, "sys/bus/pci/devices");
    dt_tree_link(tree, f->at.bdf, "../../../%s", path ? path : "");
    free(path);
    free(list);
    free(mask);
}

static void write_bridge(struct dt_tree *tree, const struct dt_persona *machine,
                         const struct dt_instance_switch *sw, int generation)
{
    unsigned last = bus_of(sw->bridge) + 1;
    for (size_t i = 0; sw->gpus[i]; i++)
        last = bus_of(sw->gpus[i]) > last ? bus_of(sw->gpus[i]) : last;
    for (size_t i = 0; sw->nics[i]; i++)
        last = bus_of(sw->nics[i]) > last ? bus_of(sw->nics[i]) : last;
    struct function f = {
        .at = {sw->bridge, "", sw->numa},
        .vendor = 0x1d0f, /* whose switch it is, no source says: Amazon's root port id */
        .device = 0x0200,
        .class = 0x060400,
        .driver = "pcieport",
        .secondary = bus_of(sw->bridge) + 1,
        .subordinate = last,
        .pcie_generation = generation,
    };
    write_function(tree, machine, &f);
}

static void parse_id(const char *id, unsigned *vendor, unsigned *device)
{
    *vendor = (unsigned)strtoul(id, NULL, 16);
    *device = (unsigned)strtoul(id + 5, NULL, 16);
}

static void write_accelerators(struct dt_tree *tree, const struct dt_persona *machine,
                               int generation)
{
    const struct dt_instance *type = machine->type;
    static const struct {
        unsigned class;
        const char *driver;
    } kinds[] = {
        [DT_ACCELERATOR_NONE] = {0, ""},
        [DT_ACCELERATOR_NVIDIA] = {0x030200, "nvidia"},
        [DT_ACCELERATOR_NEURON] = {0x088000, "neuron"},
        [DT_ACCELERATOR_OTHER] = {0x120000, ""}, /* processing accelerators */
    };
    struct function f = {
        .class = kinds[type->accelerator].class,
        .driver = kinds[type->accelerator].driver,
        .pcie_generation = generation,
    };
    parse_id(type->accelerator_pci_id, &f.vendor, &f.device);
    f.subsystem_vendor = f.vendor;
    f.subsystem_device = f.device;
    struct dt_persona_device *all = dt_persona_accelerators(machine);
    for (int i = 0; all && i < type->accelerators; i++) {
        f.at = all[i];
        write_function(tree, machine, &f);
    }
    free(all);
}

static void write_nics(struct dt_tree *tree, const struct dt_persona *machine, int generation)
{
    const struct dt_instance *type = machine->type;
    struct function f = {.class = 0x020000, .driver = "efa", .pcie_generation = generation};
    parse_id(type->efa_pci_id, &f.vendor, &f.device);
    f.subsystem_vendor = f.vendor;
    f.subsystem_device = f.device;
    struct dt_persona_device *all = dt_persona_nics(machine);
    for (int i = 0; all && i < type->efas; i++) {
        f.at = all[i];
        write_function(tree, machine, &f);
    }
    free(all);
}

/* The Ethernet side: one ENA function, which every Nitro instance has. */
static void write_ena(struct dt_tree *tree, const struct dt_persona *machine)
{
    static const char bdf[] = "0000:00:03.0";
    struct function f = {
        .at = {bdf, "", 0},
        .vendor = 0x1d0f,
        .device = 0xec20,
        .subsystem_vendor = 0x1d0f,
        .subsystem_device = 0xec20,
        .class = 0x020000,
        .driver = "ena",
        .pcie_generation = 3,
    };
    write_function(tree, machine, &f);
    uint64_t mac = dt_persona_hash(machine, "mac", 0);
    dt_tree_enter(tree, "sys/devices/pci0000:00/%s/net/eth0", bdf);
    dt_tree_file(tree, "address", "0a:%02x:%02x:%02x:%02x:%02x\n", (unsigned)(mac >> 8) & 0xff,
                 (unsigned)(mac >> 16) & 0xff, (unsigned)(mac >> 24) & 0xff,
                 (unsigned)(mac >> 32) & 0xff, (unsigned)(mac >> 40) & 0xff);
    dt_tree_file(tree, "operstate", "up\n");
    dt_tree_file(tree, "carrier", "1\n");
    dt_tree_file(tree, "carrier_changes", "1\n");
    dt_tree_file(tree, "flags", "0x1003\n");
    dt_tree_file(tree, "mtu", "9001\n");
    dt_tree_file(tree, "type", "1\n");
    dt_tree_link(tree, "device", "../../../%s", bdf);
    dt_tree_enter(tree, "dt-ethtool");
    dt_tree_file(tree, "eth0", "NIC statistics:\n     bw_in_allowance_exceeded: 7\n");
    dt_tree_enter(tree, "sys/devices/virtual/net/lo");
    dt_tree_file(tree, "address", "00:00:00:00:00:00\n");
    dt_tree_file(tree, "operstate", "unknown\n");
    dt_tree_file(tree, "mtu", "65536\n");
    dt_tree_file(tree, "type", "772\n");
    dt_tree_enter(tree, "sys/class/net");
    dt_tree_link(tree, "eth0", "../../devices/pci0000:00/%s/net/eth0", bdf);
    dt_tree_link(tree, "lo", "../../devices/virtual/net/lo");
}

void dt_persona_write_pci(struct dt_tree *tree, const struct dt_persona *machine)
{
    static const char *const drivers[] = {"pcieport", "ena", "efa", "nvidia", "neuron", NULL};
    const struct dt_instance *type = machine->type;
    int generation = type->efa_generation >= 2 ? 5 : 3; /* Nitro v4 and later: PCIe 5 */
    for (size_t i = 0; drivers[i]; i++)
        dt_tree_enter(tree, "sys/bus/pci/drivers/%s", drivers[i]);
    dt_tree_enter(tree, "sys/bus/pci/slots");
    for (size_t i = 0; i < type->switch_count; i++) {
        if (*type->switches[i].bridge)
            write_bridge(tree, machine, &type->switches[i], generation);
    }
    if (type->accelerators > 0)
        write_accelerators(tree, machine, generation);
    if (type->efas > 0)
        write_nics(tree, machine, generation);
    write_ena(tree, machine);
}
