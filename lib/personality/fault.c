/* SPDX-License-Identifier: Apache-2.0 */
/* The list of faults, the way that real machines break, and planting one of them. Those that take more
 * than a line or a file are functions of fault_*.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "personality/edit.h"

static int add_nvml_line(struct dt_tree *tree, const char *line)
{
    char bdf[32];
    if (!dt_edit_last_device(tree, "0x10de", "0x0302", bdf))
        return dt_edit_complain(tree, "this machine has no NVIDIA GPU");
    return dt_edit_add_to_nvml(tree, line, bdf);
}

static int add_fact(struct dt_tree *tree, const char *fact)
{
    char *text = NULL;
    int rc = asprintf(&text, ", %s}\n", fact) < 0
                 ? dt_edit_complain(tree, "out of memory")
                 : dt_edit_substitute(tree, "dt-facts.json", "}\n", text);
    free(text);
    return rc == 0 ? dt_edit_complain(tree, "only a tree can be broken so, and this is none") : rc;
}

int dt_fault_plant(const char *root, const struct dt_fault *fault, struct dt_error *err)
{
    struct dt_tree opened, *tree = &opened;
    if (fault->variable)
        return dt_error_set(err, "%s can not be planted in a tree: it is a variable of the job, %s",
                            fault->name, fault->variable);
    if (dt_tree_open_existing(tree, root, err) != 0)
        return dt_tree_close(tree);
    int rc = 0;
    if (fault->plant)
        rc = fault->plant(tree);
    if (rc >= 0 && fault->nvml)
        rc = add_nvml_line(tree, fault->nvml);
    if (rc >= 0 && fault->path)
        rc = dt_edit_write_anew(tree, fault->path, fault->text);
    if (rc >= 0 && fault->fact)
        rc = add_fact(tree, fault->fact);
    if (dt_tree_close(tree) == 0 && rc >= 0)
        return 0;
    dt_error_prefix(err, "%s can not be planted", fault->name);
    return -1;
}

const struct dt_fault *dt_fault_find(const char *name)
{
    for (const struct dt_fault *fault = dt_faults; fault->name; fault++) {
        if (strcmp(fault->name, name) == 0)
            return fault;
    }
    return NULL;
}

/* Rows end in what the selftest has to know beside them: ".types = ..., .also = ...". */
#define ROW(name_, does_, found_by_, ...)                                                          \
    {                                                                                              \
        .name = name_, .does = does_, .found_by = found_by_, __VA_ARGS__                           \
    }
#define BY_HAND(name, does, found_by, plant_, ...)                                                 \
    ROW(name, does, found_by, .plant = plant_, ##__VA_ARGS__)
#define NVML(name, does, found_by, line, ...) ROW(name, does, found_by, .nvml = line, ##__VA_ARGS__)
#define BOTH(name, does, found_by, plant_, line, ...)                                              \
    ROW(name, does, found_by, .plant = plant_, .nvml = line, ##__VA_ARGS__)
#define FILES(name, does, found_by, path_, text_, ...)                                             \
    ROW(name, does, found_by, .path = path_, .text = text_, ##__VA_ARGS__)
#define FACT(name, does, found_by, fact_, ...)                                                     \
    ROW(name, does, found_by, .fact = fact_, ##__VA_ARGS__)

const struct dt_fault dt_faults[] = {
    BY_HAND("gpu-lost",
            "the driver answers no more for the last GPU or Neuron device; PCI still shows it",
            "gpu-count or neuron-count", dt_plant_gpu_lost, .types = "p4d.24xlarge trn1.32xlarge"),
    BY_HAND("gpu-off-bus", "the last GPU or Neuron device is gone from the PCI bus as well",
            "gpu-count or neuron-count", dt_plant_gpu_off_bus,
            .types = "p4d.24xlarge trn1.32xlarge"),
    BY_HAND("efa-lost", "the last EFA device is gone", "efa-count", dt_plant_efa_lost),
    BY_HAND("efa-port-down", "the port of the last EFA device is DOWN", "efa-port",
            dt_plant_efa_port_down),
    BY_HAND("memory-missing", "a quarter of the memory is gone", "memory", dt_plant_memory_missing),
    BY_HAND("hugepages-gone", "no huge page is reserved", "hugepages", dt_plant_hugepages_gone),
    BY_HAND("kernel-odd", "an older kernel than other nodes have", "kernel", dt_plant_kernel_odd),
    BY_HAND("driver-odd", "an older accelerator driver than other nodes have (EFA's, without one)",
            "nvidia-driver, neuron-driver or efa-driver", dt_plant_driver_odd,
            .types = "p4d.24xlarge trn1.32xlarge hpc7a.96xlarge"),
    BY_HAND("libfabric-odd", "an older libfabric than other nodes have", "libfabric",
            dt_plant_libfabric_odd),
    BY_HAND("nvml-hang", "NVML never returns from its start", "gpu-count", dt_plant_nvml_hang,
            .also = "gpu-recovery=UNKNOWN", .result = "UNKNOWN", .compared = "UNKNOWN",
            .conf = "probe-timeout-ms = 300\n"),
    BY_HAND("nvml-error", "NVML says that library and driver do not match", "gpu-count",
            dt_plant_nvml_error, .also = "gpu-recovery=UNKNOWN", .compared = "UNKNOWN"),
    NVML("nvml-crash", "NVML takes the program down that asks it", "gpu-count",
         "crash nvmlDeviceGetCount_v2\n", .also = "gpu-recovery=UNKNOWN", .result = "UNKNOWN",
         .compared = "UNKNOWN"),
    NVML("gpu-reset", "the driver asks for a reset of the last GPU", "gpu-recovery",
         "set %s recovery 1\n"),
    NVML("gpu-reboot", "the driver asks for a reboot because of the last GPU", "gpu-recovery",
         "set %s recovery 2\n"),
    NVML("gpu-silent", "the driver does not tell whether the last GPU needs recovery",
         "gpu-recovery", "unset %s recovery\n", .result = "UNKNOWN"),
    NVML("gpu-refuses", "the driver answers for the GPUs that a reset is required", "gpu-recovery",
         "fail nvmlDeviceGetTotalEccErrors 16\n"),
    NVML("gpu-mute", "the driver answers for the GPUs with an unknown error", "gpu-recovery",
         "fail nvmlDeviceGetRemappedRows 999\n", .result = "UNKNOWN"),
    NVML("gpu-ecc", "the last GPU has uncorrected memory errors", "gpu-ecc",
         "set %s ecc_uncorrected 3\n"),
    NVML("gpu-ecc-off", "ECC of the last GPU is off", "gpu-ecc-mode", "set %s ecc 0\n"),
    NVML("gpu-rows-pending", "a row of the last GPU's memory waits to be remapped", "gpu-rows",
         "set %s rows_pending 1\n"),
    NVML("gpu-rows-failed", "a row of the last GPU's memory could not be remapped", "gpu-rows",
         "set %s rows_failed 1\n"),
    NVML("gpu-power-brake", "the last GPU is slowed down by its power brake", "gpu-throttle",
         "set %s slow 136\n"),
    NVML("gpu-warm", "the driver slows the last GPU down", "gpu-throttle", "set %s slow 32\n",
         .result = "WARN"),
    NVML("gpu-hot", "the last GPU is at its slowdown temperature", "gpu-temperature",
         "set %s celsius 90\n"),
    NVML("gpu-power-low", "the last GPU has a third of its power", "gpu-power",
         "set %s power_mw 233000\n"),
    NVML("gpu-lanes", "the last GPU has 8 of 16 PCIe lanes", "gpu-pcie", "set %s pcie_width 8\n"),
    NVML("gpu-pcie-gen", "the last GPU's PCIe link reaches generation 3 only", "gpu-pcie",
         "set %s pcie_gen_max 3\n"),
    BY_HAND("gpu-pcie-fatal", "the last GPU has a fatal PCIe error", "pcie-errors",
            dt_plant_gpu_pcie_fatal),
    NVML("gpu-clocks-low", "the last GPU's application clock is below its default", "gpu-clocks",
         "set %s clock_mhz 1095\n", .result = "WARN"),
    BOTH("gpu-stranger", "a program that is no job's computes on the last GPU", "gpu-processes",
         dt_plant_gpu_stranger, "process %s 4711 70000\n", .result = "WARN"),
    NVML("gpu-memory-left", "memory of the last GPU is in use, by no program", "gpu-processes",
         "set %s memory_used_mib 30000\n"),
    NVML("gpu-persistence-off", "persistence mode of the last GPU is off", "gpu-persistence",
         "set %s persistence 0\n", .result = "WARN"),
    NVML("gpu-mig", "the last GPU is divided", "gpu-mig", "set %s mig 1\n", .result = "WARN"),
    NVML("gpu-vbios-odd", "the last GPU has another VBIOS", "gpu-vbios",
         "vbios %s 96.00.74.00.01\n", .result = "WARN"),
    NVML("nvlink-down", "an NVLink of the last GPU is down", "nvlink", "set %s nvlinks_up 11\n"),
    NVML("nvlink-trained", "an NVLink of the last GPU was trained anew after errors",
         "nvlink-errors", "set %s nvlink_recovery 4\n", .result = "WARN"),
    NVML("nvlink-unrecovered", "an NVLink of the last GPU could not be recovered", "nvlink-errors",
         "set %s nvlink_unrecovered 1\n"),
    NVML("fabric-degraded", "the fabric of the last GPU has less than its bandwidth", "fabric",
         "set %s fabric_mask 1\n", .types = "p5.48xlarge"),
    NVML("fabric-apart", "the last GPU is in another NVLink partition", "fabric",
         "set %s fabric_clique 7\n", .types = "p5.48xlarge"),
    NVML("fabric-pending", "the last GPU has not joined the NVSwitch fabric", "fabric",
         "set %s fabric 2\n", .types = "p5.48xlarge"),
    NVML("fabric-refused", "the last GPU could not join the NVSwitch fabric", "fabric",
         "set %s fabric_status 999\n", .types = "p5.48xlarge"),
    BY_HAND("gpu-memory-missing", "half of the last GPU's memory is gone", "gpu-memory",
            dt_plant_gpu_memory_missing),
    BY_HAND("fabric-manager-dead", "there are NVSwitches, and no fabric manager", "fabric-manager",
            dt_plant_fabric_manager_dead),
    BY_HAND("neuron-ecc", "the last Neuron device has an uncorrected memory error", "neuron-errors",
            dt_plant_neuron_ecc, .types = "trn1.32xlarge"),
    BY_HAND("neuron-core", "a core of the last Neuron device has an uncorrected error",
            "neuron-errors", dt_plant_neuron_core_error, .types = "trn1.32xlarge"),
    BY_HAND("efa-slow", "the last EFA device runs at 25 Gb/s", "efa-rate", dt_plant_efa_slow),
    BY_HAND("efa-gid-zero", "the last EFA device has no address", "efa-gid", dt_plant_efa_gid_zero),
    BY_HAND("efa-verbs-gone", "the kernel module ib_uverbs is not loaded", "efa-verbs",
            dt_plant_efa_verbs_gone, .also = "modules=WARN"),
    FILES("cpus-offline", "half of the first 96 CPUs are offline", "cpu-count",
          "sys/devices/system/cpu/online", "0-46\n"),
    FILES("governor-powersave", "CPUs run on the governor powersave", "cpu-governor",
          "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n", .result = "WARN",
          .types = "g4dn.metal", .compared = "WARN"),
    FILES("numa-balancing", "automatic NUMA balancing is on", "numa-balancing",
          "proc/sys/kernel/numa_balancing", "1\n", .result = "WARN"),
    BY_HAND("memory-taken", "four fifths of the memory are in use", "memory-free",
            dt_plant_memory_taken, .result = "WARN"),
    NVML("gpu-ecc-growth", "the last GPU has corrected many memory errors since the last job",
         "gpu-ecc-growth", "set %s ecc_corrected 1000000000\n", .result = "WARN"),
    NVML("gpu-pcie-replays", "the last GPU's PCIe link has repeated itself since the last job",
         "gpu-pcie-replay", "set %s pcie_replay 100000000\n", .result = "WARN"),
    NVML("nvlink-errors", "the last GPU's NVLinks have made errors since the last job",
         "nvlink-growth", "set %s nvlink_crc 1000000000\n", .result = "WARN"),
    BY_HAND("efa-retransmits", "the last EFA device has retransmitted since the last job",
            "efa-retransmits", dt_plant_efa_retransmits, .result = "WARN"),
    BY_HAND("link-flaps", "the network's link came and went since the last job", "link-flaps",
            dt_plant_link_flaps, .result = "WARN"),
    BY_HAND("traffic-held-back", "EC2 has held much traffic back since the last job",
            "ena-allowances", dt_plant_traffic_held_back, .result = "WARN"),
    BY_HAND("edac-growth", "a memory controller has corrected errors since the last job",
            "edac-growth", dt_plant_edac_growth, .result = "WARN"),
    BY_HAND("nvme-media", "an NVMe device has lost data since the last job", "nvme-media",
            dt_plant_nvme_media, .result = "WARN"),
    BY_HAND("lemon", "the node went down under three jobs", "lemon", dt_persona_lose_jobs,
            .result = "WARN"),
    FACT("clock-free", "no time service disciplines the clock", "clock-sync", "\"clock.synced\": 0",
         .result = "WARN"),
    FACT("memlock", "ranks may lock 64 KiB", "memlock", "\"limit.memlock\": 65536",
         .compared = "WARN"),
    FACT("nofile", "ranks may open 1024 files", "nofile", "\"limit.nofile\": 1024",
         .compared = "WARN"),
    FACT("shm", "/dev/shm holds 64 MiB", "shm", "\"shm.size_mib\": 64"),
    FILES("nvme-dead", "an NVMe device has died", "nvme", "sys/class/nvme/nvme9/state", "dead\n"),
    FILES("raid-degraded", "a software RAID lacks a disk", "raid", "sys/block/md0/md/degraded",
          "1\n"),
    FILES("xid-79", "the last GPU's kernel log says Xid 79, an hour ago", "kernel-log", "dev/kmsg",
          "6,1,100000,-;Linux version\n3,2,864000000000,-;NVRM: Xid (PCI:0000:99:00): 79, "
          "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n6,3,867600000000,-;eth0: "
          "up\n"),
    BY_HAND("xid-buried", "a fatal Xid is in the kernel's log, under 200 of a user's program",
            "kernel-log", dt_plant_xid_buried),
    FILES("xid-154", "the driver logs that a GPU needs a reset, after it needed none", "kernel-log",
          "dev/kmsg",
          "6,1,100000,-;Linux version\n3,2,864000000000,-;NVRM: Xid (PCI:0000:99:00): 154, GPU "
          "recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)\n"
          "6,3,867600000000,-;eth0: up\n"),
    FILES("xid-nvlink", "an NVLink 5 error that needs a reset is in the kernel's log", "kernel-log",
          "dev/kmsg",
          "6,1,100000,-;Linux version\n3,2,864000000000,-;NVRM: Xid (PCI:0000:99:00): 149, "
          "NETIR_LINK_EVT  Fatal   XC0 i0 Link 01 (0x004505c6 0x00000000 0x00000000 0x00000000 "
          "0x00000000 0x00000000)\n6,3,867600000000,-;eth0: up\n"),
    FILES(
        "sxid-fatal", "a fatal NVSwitch error is in the kernel's log", "kernel-log", "dev/kmsg",
        "6,1,100000,-;Linux version\n3,2,864000000000,-;nvidia-nvswitch2: SXid (PCI:0000:a0:00.0): "
        "20034, Fatal, Link 61 LTSSM Fault Up\n6,3,867600000000,-;eth0: up\n"),
    FILES("neuron-log", "a Neuron device reports a hardware error to the kernel", "kernel-log",
          "dev/kmsg",
          "6,1,100000,-;Linux version\n3,2,864000000000,-;neuron:nc_fault: "
          "NEURON_HW_ERR=HBM_UNCORRECTABLE_ERROR instance-id=i-0\n6,3,867600000000,-;eth0: up\n",
          .types = "trn1.32xlarge"),
    FILES("numa-node-missing", "one of the NUMA nodes is gone", "numa-count",
          "sys/devices/system/node/online", "0\n", .also = "topology=FAIL"),
    FILES("clock-source-xen", "the kernel reads its clock by a trap", "clock-source",
          "sys/devices/system/clocksource/clocksource0/current_clocksource", "xen\n",
          .result = "WARN"),
    FILES("disk-readonly", "the kernel has made the root file system read-only", "fs-readonly",
          "proc/self/mountinfo",
          "1 0 259:1 / / rw,relatime shared:1 - ext4 /dev/root ro\n" PERSONALITY_FSX),
    BY_HAND("local-disk-missing", "a disk of the instance store is gone", "local-storage",
            dt_plant_local_disk_missing),
    FACT("disk-full", "the root file system has 12 MiB free", "fs-space",
         "\"fs.space\": [{\"path\": \"/\", \"free_mib\": 12, \"free_files\": 90000}]"),
    FACT("inodes-gone", "no file can be made in the root file system", "fs-space",
         "\"fs.space\": [{\"path\": \"/\", \"free_mib\": 12000, \"free_files\": 0}]"),
    BY_HAND("ethernet-down", "the Ethernet device has no link", "ethernet", dt_plant_ethernet_down),
    FILES("route-gone", "there is no default route", "default-route", "proc/net/route",
          "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n", .result = "WARN",
          .also = "mtu=UNKNOWN"),
    FILES("memory-scattered", "free memory is in pages of 4 KiB", "memory-fragments",
          "proc/buddyinfo", "Node 0, zone   Normal 199000000 90000 3000 200 10 0 0 0 0 0 0\n",
          .result = "WARN"),
    FILES("edac-uncorrected", "a memory controller counts an uncorrected error", "memory-errors",
          "sys/devices/system/edac/mc/mc0/ue_count", "1\n"),
    FILES("machine-checks", "the processors reported three machine checks", "memory-errors",
          "proc/interrupts", " MCE:          1          2   Machine check exceptions\n",
          .result = "WARN"),
    FILES("swapping", "8 GiB of swap are in use", "swap", "proc/swaps",
          "Filename Type Size Used Priority\n/swapfile file 16777212 8388608 -2\n",
          .result = "WARN"),
    FACT("shm-left", "earlier jobs left 200 GiB in /dev/shm", "shm-left",
         "\"shm.left_mib\": 204800, \"shm.left_uid\": 1001", .result = "WARN"),
    BY_HAND("processes-stuck", "30 processes wait for a file server", "processes",
            dt_plant_processes_stuck, .result = "WARN"),
    BY_HAND("fsx-gone", "no file system is mounted at /fsx", "fs-mounted or network-mounts",
            dt_plant_fsx_gone, .also = "mount-options=WARN"),
    FILES("fsx-options-odd", "/fsx is mounted with other options than on other nodes",
          "mount-options", "proc/self/mountinfo",
          "1 0 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
          "40 1 0:50 / /fsx rw,relatime shared:2 - lustre 10.0.0.9@tcp:/fsx rw,localflock\n",
          .result = "WARN"),
    FILES("mtu-small", "packets are smaller than on other nodes", "mtu", "sys/class/net/eth0/mtu",
          "1500\n"),
    FILES("numa-odd", "the last GPU is on another NUMA node than on other nodes", "topology",
          "sys/bus/pci/devices/0000:a0:1d.0/numa_node", "0\n"),
    FILES("huge-page-mode-odd", "huge pages are never made by the kernel, unlike on other nodes",
          "huge-page-mode", "sys/kernel/mm/transparent_hugepage/enabled",
          "always madvise [never]\n", .result = "WARN"),
    FILES("boot-fresh", "the node has booted a minute ago", "boot", "proc/uptime", "60.00 100.00\n",
          .result = "WARN"),
    BY_HAND("fsx-broken", "the file system at /fsx answers with an error", "mounts",
            dt_plant_fsx_broken),
    BY_HAND("scratch-gone", "the job can not write in /scratch", "fs-writable",
            dt_plant_scratch_gone),
    BY_HAND("module-gone", "a kernel module that the site asks for is not loaded", "modules",
            dt_plant_module_gone, .compared = "WARN"),
    BY_HAND("service-dead", "a service that the site asks for does not run", "services",
            dt_plant_service_dead),
    ROW("variable-deadly", "the job has a variable that ends its ranks", "env",
        .variable = "FI_EFA_MTU_SIZE=8900"),
    FACT("nccl-odd", "an older NCCL than other nodes have", "nccl", "\"lib.nccl\": \"2.21.5\""),
    FACT("ofi-nccl-odd", "an older aws-ofi-nccl than other nodes have", "ofi-nccl",
         "\"lib.ofi_nccl\": \"1.13.2\""),
    FACT("clock-off", "the clock is 2 s ahead of the other nodes", "clock",
         "\"clock.offset_us\": 2000000"),
    FACT("memory-slow", "a NUMA node's memory has five of eight channels", "memory-bandwidth",
         "\"measured.nodes\": [{\"node\": 0, \"cores\": 48, \"mb_s\": 230000, \"speed\": 400000}, "
         "{\"node\": 1, \"cores\": 48, \"mb_s\": 143000, \"speed\": 401000}], "
         "\"mem.bandwidth_mb_s\": 143000",
         .result = "WARN"),
    FACT("profile-odd", "huge pages are fewer than the site's profile has", "profile",
         "\"hugepages.total_mib\": 1", .result = "WARN"),
    FACT("cpu-slow", "the cores of a NUMA node run at half of their clock", "cpu-speed",
         "\"measured.nodes\": [{\"node\": 0, \"cores\": 48, \"mb_s\": 230000, \"speed\": 200000}, "
         "{\"node\": 1, \"cores\": 48, \"mb_s\": 228000, \"speed\": 401000}], "
         "\"cpu.speed\": 200000",
         .result = "WARN"),
    FACT("type-odd", "the machine is of a type that has no EFA to the others", "instance-type",
         "\"instance.type\": \"p4d.24xlarge\", \"imds.type\": \"p4d.24xlarge\"",
         .types = "p4de.24xlarge"),
    FACT("name-unknown", "the node's own name leads to no address", "name-resolves",
         "\"net.resolves\": 0, \"why.net.resolves\": \"Name or service not known\"",
         .result = "WARN"),
    FACT("other-unknown", "another node's name leads to no address", "name-resolves",
         "\"net.others\": [{\"name\": \"node-7\", \"ok\": false, \"reason\": \"Name or service not "
         "known\"}]",
         .result = "WARN"),
    FACT("imds-gone", "the metadata service does not answer", "imds",
         "\"imds.reachable\": 0, \"why.imds.reachable\": \"did not answer in 500 ms\"",
         .result = "WARN"),
    FILES("imds-type", "EC2 says that the instance is of another type", "ec2-type",
          "dt-imds/latest/meta-data/instance-type", "m5.large", .result = "WARN"),
    FILES("maintenance", "EC2 stops the instance now", "maintenance",
          "dt-imds/latest/meta-data/events/maintenance/scheduled",
          "[{\"NotBefore\": \"21 Jan 2019 09:00:43 GMT\", \"Code\": \"instance-stop\", "
          "\"State\": \"active\"}]"),
    FILES("spot-interruption", "EC2 takes a spot instance back", "maintenance",
          "dt-imds/latest/meta-data/spot/instance-action",
          "{\"action\": \"terminate\", \"time\": \"2026-09-18T08:22:00Z\"}"),
    FILES("rebalance", "EC2 recommends to leave a spot instance", "maintenance",
          "dt-imds/latest/meta-data/events/recommendations/rebalance",
          "{\"noticeTime\": \"2026-09-18T08:22:00Z\"}", .result = "WARN"),
    {.name = NULL},
};
