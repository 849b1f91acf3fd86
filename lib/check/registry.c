/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: every check of one node, in the order in which they are told. dt-validate(8) is made
 * from these rows. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "check/judges.h"

#define FAST    DT_LEVEL_FAST
#define FULL    DT_LEVEL_FULL
#define DEEP    DT_LEVEL_DEEP
#define NODE    DT_SCOPE_NODE
#define JOB     DT_SCOPE_JOB
#define MONITOR DT_SEVERITY_MONITOR
#define RESET   DT_SEVERITY_RESET
#define REBOOT  DT_SEVERITY_REBOOT
#define REPLACE DT_SEVERITY_REPLACE

const struct dt_check dt_checks[] = {
    /* ---- GPUs ---- */
    {"gpu-count", "every GPU is on the PCI bus and answers", FAST, NODE, REPLACE,
     dt_check_gpu_count,
     "Counts the GPUs on the PCI bus and those that the driver answers for, against the instance "
     "table. Fails when one is missing from the bus (replace), or when the driver does not answer "
     "for it or does not work at all."},
    {"gpu-recovery", "the driver asks for no recovery action", FAST, NODE, RESET,
     dt_check_gpu_recovery,
     "Reads NVML field 230, the driver's own verdict over each GPU: none, reset, reboot, drain. A "
     "state and not an event, so that neither an old log nor a lost one can hide it. Drivers "
     "before 565 do not tell. Fails, too, when the driver answers any question about the GPU with "
     "\"reset required\", \"lost\" and the like; another error is UNKNOWN."},
    {"gpu-ecc", "no uncorrected memory error in a GPU", FAST, NODE, RESET, dt_check_gpu_ecc,
     "Uncorrected ECC errors since the GPU's last reset. Fails at the first: results computed with "
     "that memory are not to be trusted, and contained pages wait for the reset."},
    {"gpu-ecc-mode", "ECC is on", FAST, NODE, RESET, dt_check_gpu_ecc_mode,
     "Fails when ECC is off, as memory errors then go unseen; warns when it will be off after the "
     "next reset. GPUs without ECC are left out."},
    {"gpu-rows", "no GPU memory waits to be remapped or retired", FAST, NODE, RESET,
     dt_check_gpu_rows,
     "Remapped rows (A100 and later) and retired pages (before). Pending: reset the GPU. A row "
     "that "
     "could not be remapped: replace the instance."},
    {"gpu-memory", "no GPU memory is missing", FAST, NODE, REPLACE, dt_check_gpu_memory,
     "The GPU's memory as NVML tells it against EC2's figure for the type. Fails below 90%."},
    {"gpu-throttle", "no GPU is slowed down by heat or power", FAST, NODE, REBOOT,
     dt_check_gpu_throttle,
     "The reasons for which the clocks are lowered right now. Fails for a hardware slowdown or "
     "power brake, warns for the driver's thermal one. Harmless are an idle GPU, its power cap "
     "under "
     "load, application clocks (see gpu-clocks), sync boost and display clocks."},
    {"gpu-temperature", "no GPU is near its slowdown temperature", FAST, NODE, REPLACE,
     dt_check_gpu_temperature,
     "The GPU's temperature against the threshold that NVML gives for it. Warns from 5 C below it "
     "on, fails from it on."},
    {"gpu-power", "GPUs have their default power limit", FAST, NODE, RESET, dt_check_gpu_power,
     "Warns when somebody has lowered the power limit, fails when it is below half."},
    {"gpu-clocks", "application clocks are not lowered", FAST, NODE, MONITOR, dt_check_gpu_clocks,
     "Warns when the application clock of a GPU or of its memory is below its default. GPUs from "
     "Blackwell on have none. A lock (nvidia-smi -lgc) is not told by NVML."},
    {"gpu-pcie", "GPUs have all of their PCIe link", FAST, NODE, REPLACE, dt_check_gpu_pcie,
     "Width and generation of the PCIe link. Fails when lanes are missing, or when the link can "
     "not "
     "reach the generation that other GPUs of the node can. An idle GPU lowers the generation by "
     "itself: what it runs at warns only when the GPU is busy."},
    {"gpu-persistence", "persistence mode is on", FAST, NODE, MONITOR, dt_check_gpu_persistence,
     "Warns when it is off: then each start of a program waits seconds for the driver."},
    {"gpu-mig", "GPUs are not divided", FAST, NODE, MONITOR, dt_check_gpu_mig,
     "Warns when MIG is on, or will be after the next reset: NCCL can not join parts of a GPU."},
    {"gpu-vbios", "all GPUs have one VBIOS", FAST, NODE, MONITOR, dt_check_gpu_vbios,
     "Warns when the GPUs of a node differ in their VBIOS."},
    {"gpu-processes", "no stranger uses the GPUs", FAST, NODE, RESET, dt_check_gpu_processes,
     "Programs that compute on a GPU, by NVML, and whose they are, by their cgroup and user. Fails "
     "for one that is not of this job on a GPU that Slurm gave it, and for a tenth of the memory "
     "in "
     "use by no program. Outside of jobs, programs of Slurm jobs are at home and others warn. "
     "Services of root (MPS, DCGM) are left out."},
    {"nvlink", "every NVLink is up", FAST, NODE, REBOOT, dt_check_nvlink,
     "Counts the links of each GPU that are up, against the instance table. One link less halves "
     "what NCCL gets, or hangs it."},
    {"nvlink-errors", "no NVLink had to be trained anew", FAST, NODE, RESET, dt_check_nvlink_errors,
     "Error counters of all links since the driver was loaded. Fails when NVLink 5 could not "
     "recover "
     "a link, warns when a link passed its error limit or, before NVLink 5, was trained anew. CRC "
     "errors and replays, which the links repair by themselves, are told and not judged here."},
    {"fabric", "every GPU has joined the NVSwitch fabric", FAST, NODE, REBOOT, dt_check_fabric,
     "State, status and health of the fabric by NVML, its health mask, and whether all GPUs are in "
     "one partition. A GPU outside of it runs alone and hangs "
     "with "
     "others. GPUs before Hopper do not tell: see fabric-manager."},
    /* ---- Neuron ---- */
    {"neuron-count", "every Neuron device answers", FAST, NODE, REPLACE, dt_check_neuron_count,
     "Counts the Neuron devices that the driver shows, against the instance table."},
    {"neuron-errors", "no uncorrected error in a Neuron device", FAST, NODE, REPLACE,
     dt_check_neuron_errors,
     "Uncorrected errors of device memory and of SRAM since the driver was loaded, wherever the "
     "driver's version shows them; from level full on also those of cores and of DMA. Repairable "
     "ones ask for a reboot, others for another host."},
    /* ---- EFA ---- */
    {"efa-count", "every EFA device is there", FAST, NODE, REPLACE, dt_check_efa_count,
     "Counts RDMA devices of Amazon's vendor and EFA's device number, against the instance table. "
     "Other RDMA devices, which p6 instances show too, are not counted."},
    {"efa-port", "every EFA port is ACTIVE", FAST, NODE, REBOOT, dt_check_efa_port,
     "State and link of port 1 of each EFA device."},
    {"efa-verbs", "programs can open EFA devices", FAST, NODE, RESET, dt_check_efa_verbs,
     "The kernel module ib_uverbs, without which libfabric finds no EFA and NCCL falls back to "
     "TCP."},
    /* ---- the machine ---- */
    {"cpu-count", "no CPU is missing", FAST, NODE, REPLACE, dt_check_cpu_count,
     "CPUs that are online, against the instance table, or, for a type that is not in it, against "
     "those that are present. Switched-off hyper-threads are no fault."},
    {"numa-count", "no NUMA node is missing", FAST, NODE, REPLACE, dt_check_numa_count,
     "NUMA nodes that are online, against the instance table, where the table's were seen on a "
     "machine of the type."},
    {"clock-source", "the kernel reads the time fast", FAST, NODE, MONITOR, dt_check_clock_source,
     "Warns when the kernel's clock source is one that every look at the clock has to trap for "
     "(xen, hpet, acpi_pm): NCCL and PyTorch look at the clock all the time."},
    {"modules", "required kernel modules are loaded", FAST, NODE, RESET, dt_check_modules,
     "Is each of required-modules of dt.conf loaded?"},
    {"numa-balancing", "the kernel moves no pages", FAST, NODE, MONITOR, dt_check_numa_balancing,
     "Warns when automatic NUMA balancing is on: its page faults disturb pinned buffers and cost "
     "training throughput."},
    {"memory", "no memory is missing", FAST, NODE, REPLACE, dt_check_memory,
     "Memory that the kernel sees, against the instance table; limit min-memory-percent of "
     "dt.conf."},
    {"hugepages", "huge pages are free for EFA", FAST, NODE, REBOOT, dt_check_hugepages,
     "Free huge pages, which libfabric takes for its buffers; limit min-hugepages-mib of dt.conf."},
    {"fs-mounted", "required file systems are mounted", FAST, NODE, RESET, dt_check_fs_mounted,
     "Is something mounted at each of required-mounts of dt.conf? A mount point without its file "
     "system is a directory like any other, and writable."},
    {"fs-readonly", "the kernel has made no disk read-only", FAST, NODE, REBOOT,
     dt_check_fs_readonly,
     "Local file systems that were mounted to be written and that are read-only as a whole: the "
     "kernel does so when it finds one damaged. What was mounted read-only is no fault."},
    /* ---- since the last job ---- */
    {"gpu-ecc-growth", "few corrected GPU memory errors since the last job", FAST, NODE, REPLACE,
     dt_check_gpu_ecc_growth,
     "Corrected ECC errors and remapped rows of each GPU: what came while the last job ran here, "
     "and since. Limits in counters.conf, as for all counters that dt keeps from job to job in "
     "state-directory of dt.conf. A boot, a reset and a new driver begin anew."},
    {"gpu-pcie-replay", "few PCIe replays since the last job", FAST, NODE, REPLACE,
     dt_check_gpu_pcie_replay,
     "The PCIe replay counter of each GPU: what came while the last job ran here, and since. "
     "Limit gpu.pcie_replay of counters.conf."},
    {"nvlink-growth", "few NVLink errors since the last job", FAST, NODE, REBOOT,
     dt_check_nvlink_growth,
     "CRC errors, replays and recoveries of all NVLinks of a GPU: what came while the last job ran "
     "here, and since. Limit gpu.nvlink_errors of counters.conf."},
    {"efa-retransmits", "few EFA errors since the last job", FAST, NODE, REPLACE,
     dt_check_efa_retransmits,
     "Retransmits, drops, failed writes, and remote ends that did not answer, of each EFA device: "
     "what came while the last job ran here; from level full on also since. Limits efa.* of "
     "counters.conf."},
    {"link-flaps", "network links stay up", FAST, NODE, REPLACE, dt_check_link_flaps,
     "How often the carrier of a network device came or went while the last job ran here, and "
     "since. Limit net.carrier_changes of counters.conf."},
    {"ena-allowances", "EC2 held few packets back since the last job", FAST, NODE, MONITOR,
     dt_check_ena_allowances,
     "Packets that EC2 queued or dropped, by the ENA driver, since the instance may have no more: "
     "bandwidth in and out, packets, tracked connections, DNS and metadata. What came while the "
     "last job ran here; from level full on also since. Limits ena.* of counters.conf. The node is "
     "not sick: its jobs wait for their data."},
    {"edac-growth", "few errors of the node's memory since the last job", FAST, NODE, REPLACE,
     dt_check_edac_growth,
     "What the kernel's EDAC drivers counted while the last job ran here, and since. Most EC2 "
     "guests have none. Limits edac.* of counters.conf."},
    {"nvme-media", "no error of NVMe media since the last job", FAST, NODE, REPLACE,
     dt_check_nvme_media,
     "Media errors and critical warnings of NVMe devices: what came while the last job ran here. "
     "Limits nvme.* of counters.conf."},
    {"lemon", "few jobs were lost here", FAST, NODE, REPLACE, dt_check_lemon,
     "Jobs that the node went down under, or that failed while its hardware did, over boots. Warns "
     "from lemon-losses of dt.conf within lemon-days on, and fails by lemon-policy."},
    {"profile", "the node is as the site's profile says", FAST, NODE, MONITOR, dt_check_profile,
     "Versions, counts, sizes, mounts, settings and limits against a file that dt-validate --learn "
     "wrote on a healthy node: profile of dt.conf, or --profile. Names the first three that "
     "differ, "
     "each with its line. Settings and limits warn, the rest fails. A profile is for one instance "
     "type: others are not judged by it."},
    /* ---- measured ---- */
    {"memory-bandwidth", "memory is as fast on all NUMA nodes", DEEP, NODE, MONITOR,
     dt_check_memory_bandwidth,
     "GB/s (10^9 bytes) of a triad, a = b + s * c, 24 bytes an element: one thread on each core of "
     "a "
     "NUMA node, bound to it with its memory, over arrays of four times its last caches (192 MiB "
     "to "
     "4 GiB, a quarter of what is free at most), the best round in 0.2 s; one NUMA node after the "
     "other. Warns when one is slower than another by more than deep-slower-percent of dt.conf. A "
     "job's nodes are compared with their median, by their slowest NUMA node."},
    {"cpu-speed", "cores are as fast on all NUMA nodes", DEEP, NODE, MONITOR, dt_check_cpu_speed,
     "Units of work a second of one core of each NUMA node, the best of 0.05 s: a unit is 1000 "
     "turns "
     "of a fixed loop, integer and floating, that needs no memory. Judged as memory-bandwidth."},
    /* ---- the job's own context ---- */
    {"memlock", "ranks may lock memory for EFA", FAST, JOB, RESET, dt_check_memlock,
     "The limit on locked memory that the ranks will have, where there is EFA; limit "
     "min-memlock-mib of dt.conf."},
    {"nofile", "ranks may open enough files", FAST, JOB, RESET, dt_check_nofile,
     "The limit on open files that the ranks will have; limit min-nofile of dt.conf."},
    {"shm", "/dev/shm is large enough", FAST, JOB, RESET, dt_check_shm,
     "Size of /dev/shm (limit min-shm-percent of dt.conf); warns when a tenth of it or less is "
     "free. From level full on the ranks look at it again themselves, in their container, and at "
     "the device nodes of their GPUs and of EFA, the limit min-nproc, the CUDA driver's library "
     "and "
     "aws-ofi-nccl."},
    {"fs-writable", "the job can write where it must", FAST, JOB, RESET, dt_check_fs_writable,
     "Writes a small file as the job's user in the working directory, TMPDIR and each of "
     "writable-paths of dt.conf, in a child with a deadline."},
    {"env", "no variable of the job is harmful", FAST, JOB, MONITOR, dt_check_env,
     "What the environment rules say of the job's variables; see dt-env(1)."},
    /* ---- from level full on ---- */
    {"efa-rate", "every EFA device has its full rate", FULL, NODE, REBOOT, dt_check_efa_rate,
     "The rate of each port against the instance table."},
    {"efa-gid", "every EFA device has an address", FULL, NODE, RESET, dt_check_efa_gid,
     "The GID of each EFA device. All zeros: the device is not ready."},
    {"pcie-errors", "no uncorrected PCIe error", FULL, NODE, REBOOT, dt_check_pcie_errors,
     "PCIe errors that the kernel counts since boot (AER) for GPUs and EFA devices: fails at a "
     "fatal "
     "one, warns at a non-fatal one. Many EC2 guests are not shown them."},
    {"fabric-manager", "the fabric manager runs", FULL, NODE, RESET, dt_check_fabric_manager,
     "Looks for the process nv-fabricmanager where the machine has NVSwitches."},
    {"mounts", "network file systems answer", FULL, JOB, REBOOT, dt_check_mounts,
     "Asks each network and FUSE file system with statfs, as the user, in a child of its own with "
     "the deadline probe-timeout-ms of dt.conf, so that one that hangs is named and delays no "
     "other check."},
    {"nvme", "every NVMe device is live", FULL, NODE, REPLACE, dt_check_nvme,
     "State of each NVMe controller."},
    {"local-storage", "no disk of the instance store is missing", FULL, NODE, REPLACE,
     dt_check_local_storage,
     "The sizes of all NVMe instance store disks together, against the instance table."},
    {"fs-space", "there is room where programs write", FULL, NODE, RESET, dt_check_fs_space,
     "Free space and free files (inodes) of /, /tmp, /dev/shm and of the paths of fs-writable; "
     "limits min-free-mib and min-free-files of dt.conf."},
    {"raid", "software RAID is whole", FULL, NODE, REPLACE, dt_check_raid,
     "Arrays of md that lack a disk or do not run."},
    {"ethernet", "Ethernet devices have a link", FULL, NODE, REBOOT, dt_check_ethernet,
     "Each physical Ethernet device that is switched on. Fails when the one with the default route "
     "has no link, warns for another."},
    {"default-route", "there is a default route", FULL, NODE, MONITOR, dt_check_default_route,
     "Warns when there is none: object storage, licence servers and package sources are then out "
     "of "
     "reach."},
    {"name-resolves", "names of nodes lead to addresses", FULL, NODE, MONITOR,
     dt_check_name_resolves,
     "Looks the host name up, and in a step the names of its other nodes, at most 16 from all over "
     "the list, in a child with the deadline probe-timeout-ms of dt.conf for all of them. Warns "
     "and "
     "names them: Gloo and MPI look names up when they start, and wait as long as the resolver "
     "does."},
    {"imds", "the instance metadata service answers", FULL, NODE, MONITOR, dt_check_imds,
     "Asks 169.254.169.254 for a token (IMDSv2), in a child with the deadline probe-timeout-ms of "
     "dt.conf, on EC2 alone. Warns: programs get their credentials there. imds of dt.conf switches "
     "it "
     "off."},
    {"ec2-type", "the node is judged by its real type", FULL, NODE, MONITOR, dt_check_instance_type,
     "Warns when EC2's own word for the instance type is not the one that the instance table was "
     "asked "
     "for (DMI, or instance-type of dt.conf)."},
    {"maintenance", "EC2 does not take the instance away", FULL, NODE, REPLACE,
     dt_check_maintenance,
     "Scheduled events, spot interruption and rebalance recommendation of the metadata service. "
     "Fails "
     "for an interruption, and for an event sooner than maintenance-hours of dt.conf; warns for a "
     "later "
     "one and for a recommendation."},
    {"cpu-governor", "CPUs run at full clock", FULL, NODE, MONITOR, dt_check_governor,
     "Warns when the governor is another than performance. Most EC2 guests have none."},
    {"clock-sync", "the clock is synchronized", FULL, NODE, MONITOR, dt_check_clock_sync,
     "Asks the kernel whether a time service disciplines its clock."},
    {"memory-free", "earlier jobs have left the memory free", FULL, NODE, MONITOR,
     dt_check_memory_free,
     "Warns when less than half of the memory is available: a process, or files in /dev/shm or "
     "tmpfs, that an earlier job has left."},
    {"memory-fragments", "free memory is in large blocks", FULL, NODE, MONITOR,
     dt_check_memory_fragments,
     "Warns when too little of the free memory lies in blocks that a huge page can be made of; "
     "limit "
     "min-huge-free-percent of dt.conf. Not judged while most of the memory is in use or is "
     "cache."},
    {"memory-errors", "memory and processors report no errors", FULL, NODE, REPLACE,
     dt_check_memory_errors,
     "Fails for uncorrected memory errors that EDAC has counted since boot, warns for machine "
     "check "
     "exceptions. Most EC2 guests show neither; what the hypervisor passes on is then in "
     "kernel-log."},
    {"swap", "no memory is swapped out", FULL, NODE, MONITOR, dt_check_swap,
     "Warns when more swap is in use than max-swap-mib of dt.conf."},
    {"shm-left", "earlier jobs left nothing in /dev/shm", FULL, NODE, MONITOR, dt_check_shm_left,
     "Files in /dev/shm that belong to users who run no process here: it is memory that no job can "
     "have. Warns above max-shm-left-mib of dt.conf."},
    {"processes", "processes are not stuck", FULL, NODE, MONITOR, dt_check_processes,
     "Counts zombies, and processes that wait without being interruptible (state D) and still do "
     "50 ms later. Warns from max-zombies and max-stuck-processes of dt.conf on, and says where "
     "the "
     "kernel holds the first one."},
    {"services", "required services run", FULL, NODE, RESET, dt_check_services,
     "Is there a process for each of required-processes of dt.conf?"},
    {"kernel-log", "no event in the kernel's log needs a reset", FULL, NODE, RESET,
     dt_check_kernel_log,
     "Reads the kernel's log since boot for Xid and SXid events, and for errors of EFA, Neuron, "
     "memory and NVMe. xid.conf says what each Xid asks for; those of NVLink 5 (144 to 150) are "
     "decoded. A reset that the driver no longer asks for (field 230, or the last Xid 154 where it "
     "does not tell), and what is older than a day, only warn; a program's own Xid is no fault of "
     "the node. Events of GPUs that Slurm did not give to this job are counted and not judged, and "
     "so are those that only warn and are older than the last job's end here."},
    {NULL, NULL, DT_LEVEL_OFF, NODE, DT_SEVERITY_NONE, NULL, NULL},
};

size_t dt_check_count(void)
{
    return sizeof dt_checks / sizeof dt_checks[0] - 1;
}

const struct dt_check *dt_check_find(const char *name)
{
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        if (strcmp(check->name, name) == 0)
            return check;
    }
    return NULL;
}

static int refuse(const char *name, const char *where, struct dt_error *err)
{
    /* One that holds the word, or is held by it, may be meant. */
    for (const struct dt_check *check = dt_checks; *name && check->name; check++) {
        if (strstr(check->name, name) || strstr(name, check->name))
            return dt_error_set(err, "%s: there is no check '%.40s'; did you mean %s?", where, name,
                                check->name);
    }
    return dt_error_set(err, "%s: there is no check '%.40s'; dt-validate --list names them", where,
                        name);
}

int dt_check_choose(bool **chosen, const char *names, const char *where, struct dt_error *err)
{
    char *copy = strdup(names), *rest = copy, *name;
    int rc = 0;
    if (!*chosen)
        *chosen = calloc(dt_check_count() + 1, sizeof **chosen);
    if (!copy || !*chosen) {
        free(copy);
        return dt_error_set(err, "out of memory");
    }
    while (rc == 0 && (name = strsep(&rest, ","))) {
        const struct dt_check *check = dt_check_find(name);
        if (check)
            (*chosen)[check - dt_checks] = true;
        else
            rc = refuse(name, where, err);
    }
    free(copy);
    return rc;
}

void dt_check_choice_fini(struct dt_check_choice *choice)
{
    free(choice->only);
    free(choice->skip);
    *choice = (struct dt_check_choice){0};
}
