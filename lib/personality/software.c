/* SPDX-License-Identifier: Apache-2.0 */
/* What is installed: DMI, kernel, modules and drivers, the files by which libraries tell their
 * version, and the fake NVML with its data. */
#include "personality/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_dmi(struct dt_tree *tree, const struct dt_persona *machine)
{
    dt_tree_enter(tree, "sys/devices/virtual/dmi/id");
    dt_tree_file(tree, "product_name", "%s\n", machine->type->name);
    dt_tree_file(tree, "sys_vendor", "Amazon EC2\n");
    dt_tree_file(tree, "board_vendor", "Amazon EC2\n");
    dt_tree_file(tree, "bios_vendor", "Amazon EC2\n");
    dt_tree_file(tree, "board_asset_tag", "i-0%016" PRIx64 "\n",
                 dt_persona_hash(machine, "instance", 0));
    dt_tree_enter(tree, "sys/class/dmi");
    dt_tree_link(tree, "id", "../../devices/virtual/dmi/id");
}

static void write_kernel(struct dt_tree *tree, const struct dt_persona *machine)
{
    uint64_t a = dt_persona_hash(machine, "boot", 0), b = dt_persona_hash(machine, "boot", 1);
    dt_tree_enter(tree, "proc");
    dt_tree_file(tree, "cmdline", "BOOT_IMAGE=/boot/vmlinuz-" PERSONALITY_KERNEL " ro\n");
    dt_tree_file(tree, "version", "Linux version " PERSONALITY_KERNEL "\n");
    dt_tree_enter(tree, "proc/sys/kernel");
    dt_tree_file(tree, "osrelease", PERSONALITY_KERNEL "\n");
    dt_tree_file(tree, "hostname", "%s\n", machine->node);
    dt_tree_file(tree, "numa_balancing", "0\n");
    dt_tree_enter(tree, "proc/sys/kernel/random");
    dt_tree_file(tree, "boot_id", "%08x-%04x-4%03x-a%03x-%012" PRIx64 "\n", (unsigned)(a >> 32),
                 (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 52),
                 b & UINT64_C(0xffffffffffff));
    dt_tree_enter(tree, "sys/fs/cgroup"); /* empty: the cgroup file system is mounted there */
}

/* The state of a machine that no job has used since it booted, 40 days ago. */
static void write_state(struct dt_tree *tree, const struct dt_persona *machine)
{
    long long free_kib = dt_persona_memory_kib(machine) - dt_persona_huge_pages(machine) * 2048;
    int nodes = machine->type->numa_nodes;
    struct dt_buf buddies = DT_BUF_INIT;
    for (int node = 0; node < nodes; node++)
        dt_buf_printf(&buddies,
                      "Node %d, zone   Normal %6d %6d %6d %6d %6d %6d %6d %6d %6d %6d %6lld\n",
                      node, 301, 220, 97, 64, 32, 16, 9, 7, 5, 3, free_kib / nodes / 4096 * 9 / 10);
    char *text = dt_buf_take(&buddies);
    dt_tree_enter(tree, "proc");
    dt_tree_file(tree, "uptime", "3456005.25 691000.00\n");
    dt_tree_file(tree, "swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    dt_tree_file(tree, "buddyinfo", "%s", text ? text : "");
    free(text);
    dt_tree_enter(tree, "proc/1");
    dt_tree_file(tree, "stat", "1 (systemd) S 0 1 1 0 -1 4194560\n");
    dt_tree_enter(tree, "sys/devices/system/clocksource/clocksource0");
    dt_tree_file(tree, "current_clocksource", "tsc\n");
    dt_tree_file(tree, "available_clocksource", "tsc kvm-clock acpi_pm\n");
    dt_tree_enter(tree, "proc/net");
    dt_tree_file(tree, "route",
                 "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
                 "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
}

/* The instance metadata service; what is not there is answered by 404. */
static void write_imds(struct dt_tree *tree, const struct dt_persona *machine)
{
    dt_tree_enter(tree, "dt-imds/latest/meta-data");
    dt_tree_file(tree, "instance-type", "%s", machine->type->name);
    dt_tree_enter(tree, "dt-imds/latest/meta-data/events/maintenance");
    dt_tree_file(tree, "scheduled", "[]");
}

static void write_disk(struct dt_tree *tree, int index, const char *model, long long gb)
{
    dt_tree_enter(tree, "sys/class/nvme/nvme%d", index);
    dt_tree_file(tree, "model", "%-40s\n", model);
    dt_tree_file(tree, "state", "live\n");
    dt_tree_enter(tree, "sys/class/nvme/nvme%d/nvme%dn1", index, index);
    dt_tree_file(tree, "size", "%lld\n", gb * 1000000000 / 512);
}

/* A root volume, and the instance store in as many disks as the large types have. */
static void write_disks(struct dt_tree *tree, const struct dt_persona *machine)
{
    long long gb = machine->type->local_storage_gb;
    int disks = gb == 0 ? 0 : machine->type->accelerators >= 8 && gb >= 7000 ? 8 : 1;
    write_disk(tree, 0, "Amazon Elastic Block Store", 200);
    for (int i = 1; i <= disks; i++)
        write_disk(tree, i, "Amazon EC2 NVMe Instance Storage", (gb + disks - 1) / disks);
}

struct module {
    const char *name, *version; /* version "": the module states none */
};

static void write_modules(struct dt_tree *tree, const struct dt_persona *machine)
{
    const struct dt_instance *type = machine->type;
    struct module modules[6] = {{"ena", "2.15.0g"}};
    size_t count = 1;
    if (type->efas > 0) {
        modules[count++] = (struct module){"efa", PERSONALITY_EFA_DRIVER};
        modules[count++] = (struct module){"ib_uverbs", ""};
    }
    if (type->accelerator == DT_ACCELERATOR_NVIDIA) {
        modules[count++] = (struct module){"nvidia", PERSONALITY_NVIDIA};
        modules[count++] = (struct module){"nvidia_uvm", ""};
    }
    if (type->accelerator == DT_ACCELERATOR_NEURON)
        modules[count++] = (struct module){"neuron", PERSONALITY_NEURON};

    struct dt_buf list = DT_BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        dt_tree_enter(tree, "sys/module/%s", modules[i].name);
        dt_tree_file(tree, "initstate", "live\n");
        dt_tree_file(tree, "refcnt", "1\n");
        if (*modules[i].version)
            dt_tree_file(tree, "version", "%s\n", modules[i].version);
        dt_buf_printf(&list, "%s 131072 1 - Live 0x0000000000000000 (OE)\n", modules[i].name);
    }
    char *text = dt_buf_take(&list);
    dt_tree_enter(tree, "proc");
    dt_tree_file(tree, "modules", "%s", text ? text : "");
    free(text);
}

static void write_nvidia_proc(struct dt_tree *tree, const struct dt_persona *machine)
{
    dt_tree_enter(tree, "proc/driver");
    if (machine->type->accelerator != DT_ACCELERATOR_NVIDIA)
        return;
    dt_tree_enter(tree, "proc/driver/nvidia");
    dt_tree_file(tree, "version",
                 "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  " PERSONALITY_NVIDIA
                 "  Release Build  (dvs-builder@U22-I3-AE18-09-6)\n"
                 "GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)\n");
    struct dt_persona_device *gpus = dt_persona_accelerators(machine);
    for (int i = 0; gpus && i < machine->type->accelerators; i++) {
        char uuid[48];
        dt_persona_gpu_uuid(machine, (size_t)i, uuid);
        dt_tree_enter(tree, "proc/driver/nvidia/gpus/%s", gpus[i].bdf);
        dt_tree_file(tree, "information",
                     "Model: \t\t %s\nIRQ:   \t\t %d\nGPU UUID: \t %s\nBus Type: \t PCIe\n"
                     "Bus Location: \t %s\nDevice Minor: \t %d\nGPU Excluded:\t No\n",
                     machine->type->accelerator_model, 200 + i, uuid, gpus[i].bdf, i);
    }
    free(gpus);
}

/* Libraries are read for their version, not opened: a file with the name and the text that the real
 * one carries is enough. */
static void write_libraries(struct dt_tree *tree, const struct dt_persona *machine)
{
    const struct dt_instance *type = machine->type;
    dt_tree_enter(tree, "opt/amazon");
    if (type->efas == 0)
        return;
    dt_tree_file(tree, "efa_installed_packages",
                 "# EFA installer version: " PERSONALITY_EFA_INSTALLER "\n"
                 "# Debug packages installed: no\n# Packages installed:\n"
                 "efa-2.17.2-1.noarch efa-config-1.18-1.noarch libfabric-aws-" PERSONALITY_LIBFABRIC
                 "-1.x86_64 rdma-core-58.amzn0-1.x86_64 libnccl-ofi-" PERSONALITY_OFI_NCCL
                 "-1.x86_64\n");
    dt_tree_enter(tree, "opt/amazon/efa/lib64");
    dt_tree_file(tree, PERSONALITY_LIBFABRIC_SO, "libfabric %s\n", PERSONALITY_LIBFABRIC);
    dt_tree_link(tree, "libfabric.so.1", PERSONALITY_LIBFABRIC_SO);
    dt_tree_link(tree, "libfabric.so", PERSONALITY_LIBFABRIC_SO);
    dt_tree_enter(tree, "opt/amazon/efa/lib64/pkgconfig");
    dt_tree_file(tree, "libfabric.pc",
                 "prefix=/opt/amazon/efa\nName: libfabric\nDescription: OFI-WG libfabric\n"
                 "Version: " PERSONALITY_LIBFABRIC "\nLibs: -L${prefix}/lib64 -lfabric\n");
    if (type->accelerator != DT_ACCELERATOR_NVIDIA)
        return;
    dt_tree_enter(tree, "opt/amazon/ofi-nccl/lib64");
    dt_tree_file(tree, "libnccl-net.so",
                 "NET/OFI Initializing aws-ofi-nccl " PERSONALITY_OFI_NCCL "%c", '\0');
    dt_tree_link(tree, "libnccl-net-ofi.so", "libnccl-net.so");
    dt_tree_enter(tree, "opt/nccl/build/lib");
    dt_tree_file(tree, "libnccl.so." PERSONALITY_NCCL,
                 "NCCL version " PERSONALITY_NCCL "+cuda12.8%c", '\0');
    dt_tree_link(tree, "libnccl.so.2", "libnccl.so." PERSONALITY_NCCL);
    dt_tree_link(tree, "libnccl.so", "libnccl.so.2");
}

/* What no file of a machine can show: the kernel's clock against another's, how fast memory is, what
 * is mounted on /dev/shm. And the file systems that it has. */
static void write_facts(struct dt_tree *tree, const struct dt_persona *machine)
{
    long long shm = dt_persona_memory_kib(machine) / 1024 / 2;
    dt_tree_enter(tree, ".");
    dt_tree_file(
        tree, "dt-facts.json",
        "{\"clock.synced\": 1, \"clock.offset_us\": 0, \"clock.rtt_us\": 100,\n"
        " \"measured.nodes\": [{\"node\": 0, \"cores\": 48, \"mb_s\": 230000, \"speed\": 400000},\n"
        "  {\"node\": 1, \"cores\": 48, \"mb_s\": 228000, \"speed\": 401000}],\n"
        " \"mem.bandwidth_mb_s\": 228000, \"mem.bandwidth_node\": 1,\n"
        " \"cpu.speed\": 400000, \"cpu.speed_node\": 0,\n"
        " \"shm.size_mib\": %lld, \"shm.free_mib\": %lld,\n"
        " \"limit.memlock\": -1, \"limit.nofile\": 1048576, \"shm.left_mib\": 0, \"net.resolves\": "
        "1,\n"
        " \"fs.space\": [{\"path\": \"/\", \"free_mib\": 150000, \"free_files\": 12000000},\n"
        "  {\"path\": \"/dev/shm\", \"free_mib\": %lld}]}\n",
        shm, shm, shm);
    dt_tree_enter(tree, "proc/self");
    dt_tree_file(tree, "mountinfo",
                 "1 0 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n" PERSONALITY_FSX);
    dt_tree_enter(tree, "tmp");
    dt_tree_enter(tree, "fsx");
    dt_tree_enter(tree, "scratch");
    dt_tree_enter(tree, "dev");
    dt_tree_file(tree, "kmsg", "6,1,100000,-;Linux version " PERSONALITY_KERNEL "\n");
}

void dt_persona_write_software(struct dt_tree *tree, const struct dt_persona *machine)
{
    write_facts(tree, machine);
    write_dmi(tree, machine);
    write_kernel(tree, machine);
    write_state(tree, machine);
    write_disks(tree, machine);
    write_imds(tree, machine);
    write_modules(tree, machine);
    write_nvidia_proc(tree, machine);
    write_libraries(tree, machine);
}

static int copy_file(struct dt_tree *tree, const char *name, const char *from)
{
    char buf[65536];
    ssize_t n = -1;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return dt_tree_fail(tree, "opening the fake NVML library", from);
    int out = openat(tree->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (out < 0) {
        dt_tree_fail(tree, "writing", name);
        goto done;
    }
    while ((n = read(in, buf, sizeof buf)) > 0) {
        if (write(out, buf, (size_t)n) != n) {
            n = -1;
            break;
        }
    }
    if (n < 0)
        dt_tree_fail(tree, "copying", from);
done:
    if (out >= 0)
        close(out);
    close(in);
    return tree->failed ? -1 : 0;
}

int dt_persona_write_nvml(struct dt_tree *tree, const struct dt_persona *machine,
                          const char *library)
{
    const struct dt_instance *type = machine->type;
    dt_tree_enter(tree, "usr/local/nvidia/lib64");
    if (type->accelerator != DT_ACCELERATOR_NVIDIA || tree->failed)
        return tree->failed ? -1 : 0;

    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "# What the fake NVML beside this file answers; fake_nvml.c has the words.\n"
                       "driver " PERSONALITY_NVIDIA "\n");
    struct dt_persona_device *gpus = dt_persona_accelerators(machine);
    for (int i = 0; gpus && i < type->accelerators; i++) {
        char uuid[48];
        dt_persona_gpu_uuid(machine, (size_t)i, uuid);
        dt_buf_printf(&text, "gpu %s %s %s %lld %s\n", gpus[i].bdf, uuid, type->accelerator_pci_id,
                      type->accelerator_memory_mib, type->accelerator_model);
    }
    free(gpus);
    if (type->nvlinks > 0)
        dt_buf_printf(&text, "set * nvlinks %d\n", type->nvlinks);
    if (type->nvlinks >= 18) /* Hopper and later tell of the NVSwitch fabric */
        dt_buf_puts(&text, "set * fabric 3\n");
    char *data = dt_buf_take(&text);
    dt_tree_file(tree, "nvml.conf", "%s", data ? data : "");
    free(data);
    return library ? copy_file(tree, "libnvidia-ml.so.1", library) : 0;
}
