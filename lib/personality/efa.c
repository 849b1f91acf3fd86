/* SPDX-License-Identifier: Apache-2.0 */
/* The RDMA side of EFA devices and the Neuron devices, as their drivers show them in sysfs. */
#include "personality/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names: amzn-drivers kernel/linux/efa, efa_verbs.c. */
static const char *const port_counters[] = {
    "tx_bytes",
    "tx_pkts",
    "rx_bytes",
    "rx_pkts",
    "rx_drops",
    "send_bytes",
    "send_wrs",
    "recv_bytes",
    "recv_wrs",
    "rdma_read_wrs",
    "rdma_read_bytes",
    "rdma_read_wr_err",
    "rdma_read_resp_bytes",
    "rdma_write_wrs",
    "rdma_write_bytes",
    "rdma_write_wr_err",
    "rdma_write_recv_bytes",
    "retrans_bytes",
    "retrans_pkts",
    "retrans_timeout_events",
    "impaired_remote_conn_events",
    "unresponsive_remote_events",
    NULL,
};

static const char *const device_counters[] = {
    "submitted_cmds",
    "completed_cmds",
    "cmds_err",
    "no_completion_cmds",
    "keep_alive_rcvd",
    "alloc_pd_err",
    "create_qp_err",
    "create_cq_err",
    "reg_mr_err",
    "alloc_ucontext_err",
    "create_ah_err",
    "mmap_err",
    NULL,
};

static void write_counters(struct dt_tree *tree, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        dt_tree_file(tree, names[i], "0\n");
    dt_tree_file(tree, "lifespan", "10\n");
}

/* What the driver answers for the speed of one device, in the verbs' words. */
static const char *rate_name(int gbps)
{
    static const struct {
        int gbps;
        const char *name;
    } rates[] = {{400, "400 Gb/sec (8X HDR)"},    {200, "200 Gb/sec (4X HDR)"},
                 {120, "120 Gb/sec (12X FDR10)"}, {100, "100 Gb/sec (4X EDR)"},
                 {60, "60 Gb/sec (12X DDR)"},     {50, "50 Gb/sec (1X HDR)"},
                 {40, "40 Gb/sec (4X FDR10)"},    {30, "30 Gb/sec (12X SDR)"}};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (gbps >= rates[i].gbps)
            return rates[i].name;
    }
    return "25 Gb/sec (1X EDR)";
}

static void write_guid_and_gid(struct dt_tree *tree, const char *base, uint64_t id)
{
    const unsigned w[4] = {(unsigned)(id >> 48) & 0xffff, (unsigned)(id >> 32) & 0xffff,
                           (unsigned)(id >> 16) & 0xffff, (unsigned)id & 0xffff};
    dt_tree_enter(tree, "%s", base);
    dt_tree_file(tree, "node_guid", "%04x:%04x:%04x:%04x\n", w[0], w[1], w[2], w[3]);
    dt_tree_file(tree, "sys_image_guid", "0000:0000:0000:0000\n");
    dt_tree_enter(tree, "%s/ports/1/gids", base);
    dt_tree_file(tree, "0", "fe80:0000:0000:0000:%04x:%04x:%04x:%04x\n", w[0], w[1], w[2], w[3]);
}

static void write_efa(struct dt_tree *tree, const struct dt_persona *machine, size_t index,
                      const struct dt_persona_device *at)
{
    char *path = dt_persona_pci_path(at);
    struct dt_buf base_text = DT_BUF_INIT, name_text = DT_BUF_INIT;
    unsigned long bus = strtoul(at->bdf + 5, NULL, 16), slot = strtoul(at->bdf + 8, NULL, 16);
    dt_buf_printf(&name_text, "rdmap%lus%lu", bus, slot); /* as rdma-core's udev rule names it */
    char *name = dt_buf_take(&name_text);
    dt_buf_printf(&base_text, "sys/%s/infiniband/%s", path ? path : "", name ? name : "");
    char *base = dt_buf_take(&base_text);
    if (!path || !name || !base)
        goto out;

    write_guid_and_gid(tree, base, dt_persona_hash(machine, "guid", index));
    dt_tree_enter(tree, "%s", base);
    dt_tree_file(tree, "node_type", "8: unspecified\n");
    dt_tree_file(tree, "node_desc", "%s\n", machine->node);
    dt_tree_file(tree, "fw_ver", "0.0.0.0\n");
    dt_tree_link(tree, "device", "../../../%s", at->bdf);
    dt_tree_enter(tree, "%s/hw_counters", base);
    write_counters(tree, device_counters);
    dt_tree_enter(tree, "%s/ports/1", base);
    dt_tree_file(tree, "state", "4: ACTIVE\n");
    dt_tree_file(tree, "phys_state", "5: LinkUp\n");
    dt_tree_file(tree, "rate", "%s\n", rate_name(machine->type->efa_gbps));
    dt_tree_file(tree, "link_layer", "Unspecified\n");
    dt_tree_enter(tree, "%s/ports/1/hw_counters", base);
    write_counters(tree, port_counters);

    dt_tree_enter(tree, "sys/%s", path);
    dt_tree_file(tree, "p2p", "%s\n",
                 machine->type->accelerator == DT_ACCELERATOR_NVIDIA   ? "NVIDIA"
                 : machine->type->accelerator == DT_ACCELERATOR_NEURON ? "NEURON"
                                                                       : "");
    dt_tree_enter(tree, "sys/%s/infiniband_verbs/uverbs%zu", path, index);
    dt_tree_file(tree, "ibdev", "%s\n", name);
    dt_tree_file(tree, "abi_version", "1\n");
    dt_tree_link(tree, "device", "../../../%s", at->bdf);
    dt_tree_enter(tree, "sys/class/infiniband");
    dt_tree_link(tree, name, "../../%s/infiniband/%s", path, name);
    dt_tree_enter(tree, "sys/class/infiniband_verbs");
    char verbs[32];
    snprintf(verbs, sizeof verbs, "uverbs%zu", index);
    dt_tree_link(tree, verbs, "../../%s/infiniband_verbs/%s", path, verbs);
out:
    free(path);
    free(name);
    free(base);
}

void dt_persona_write_efas(struct dt_tree *tree, const struct dt_persona *machine)
{
    struct dt_persona_device *all = dt_persona_nics(machine);
    for (int i = 0; all && i < machine->type->efas; i++)
        write_efa(tree, machine, (size_t)i, &all[i]);
    free(all);
}

/* What the Neuron driver says of a generation: names of aws-neuron-driver's dhal. */
static const struct generation {
    const char *pci_id;
    int cores;
    const char *device_arch, *core_arch, *instance, *device;
} generations[] = {
    {"1d0f:7064", 4, "NDv1", "NCv1", "Inf1", "Inferentia"},
    {"1d0f:7164", 2, "NDv2", "NCv2", "Trn1", "Trainium1"},
    {"1d0f:7364", 8, "NDv3", "NCv3", "Trn2", "Trainium2"},
};

static const struct generation *generation_of(const struct dt_instance *type)
{
    size_t count = sizeof generations / sizeof *generations;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(generations[i].pci_id, type->accelerator_pci_id) == 0)
            return &generations[i];
    }
    return &generations[count - 1];
}

static void write_neuron_core(struct dt_tree *tree, const char *base, int core, const char *arch)
{
    static const char *const counters[] = {"success",
                                           "failure",
                                           "timeout",
                                           "hw_error",
                                           "hw_hbm_ue_error",
                                           "hw_nc_ue_error",
                                           "hw_dma_abort_error",
                                           NULL};
    dt_tree_enter(tree, "%s/neuron_core%d/info/architecture", base, core);
    dt_tree_file(tree, "arch_type", "%s\n", arch);
    for (size_t i = 0; counters[i]; i++) {
        dt_tree_enter(tree, "%s/neuron_core%d/stats/status/%s", base, core, counters[i]);
        dt_tree_file(tree, "total", "0\n");
        dt_tree_file(tree, "present", "0\n");
    }
}

static void write_neuron_device(struct dt_tree *tree, const struct dt_persona *machine, int index)
{
    const struct generation *gen = generation_of(machine->type);
    int count = machine->type->accelerators;
    char base[96];
    snprintf(base, sizeof base, "sys/devices/virtual/neuron_device/neuron%d", index);
    dt_tree_enter(tree, "%s", base);
    dt_tree_file(tree, "core_count", "%d\n", gen->cores);
    dt_tree_file(tree, "connected_devices", "%d, %d\n", (index + count - 1) % count,
                 (index + 1) % count);
    dt_tree_enter(tree, "%s/info", base);
    dt_tree_file(tree, "serial_number", "%016" PRIx64 "\n",
                 dt_persona_hash(machine, "neuron", (size_t)index));
    dt_tree_enter(tree, "%s/info/architecture", base);
    dt_tree_file(tree, "arch_type", "%s\n", gen->device_arch);
    dt_tree_file(tree, "device_name", "%s\n", gen->device);
    dt_tree_file(tree, "instance_type", "%s\n", gen->instance);
    dt_tree_enter(tree, "%s/stats/hardware", base);
    dt_tree_file(tree, "mem_ecc_uncorrected", "0\n");
    dt_tree_file(tree, "sram_ecc_uncorrected", "0\n");
    dt_tree_file(tree, "mem_ecc_repairable_uncorrected", "0\n");
    for (int core = 0; core < gen->cores; core++)
        write_neuron_core(tree, base, core, gen->core_arch);
    dt_tree_enter(tree, "sys/class/neuron_device");
    dt_tree_link(tree, strrchr(base, '/') + 1, "../../devices/virtual/neuron_device/neuron%d",
                 index);
}

void dt_persona_write_neuron(struct dt_tree *tree, const struct dt_persona *machine)
{
    if (machine->type->accelerator != DT_ACCELERATOR_NEURON)
        return;
    for (int i = 0; i < machine->type->accelerators; i++)
        write_neuron_device(tree, machine, i);
}
