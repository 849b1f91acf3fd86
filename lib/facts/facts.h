/* SPDX-License-Identifier: Apache-2.0 */
/* What a node is, read once: a flat document of facts that judges (check, compare, env) and reports
 * work on, and that travels to dt-gather as JSON. No tool is spawned; every path is below a root.
 * A fact that could not be learnt is absent, never guessed; "why.<fact>" then holds the reason.
 * Whatever may hang (NVML, the job's directories, network mounts) is asked in a child with a
 * deadline.
 *
 * Keys (units in the name), by kind:
 *   node.name node.boot_id kernel.release                  string
 *   instance.type                    string: DMI product name, or dt.conf's; absent: unknown machine
 *   instance.source                  "dmi" | "config"
 *   driver.nvidia driver.efa driver.neuron                 string, versions of kernel modules
 *   lib.libfabric lib.nccl lib.ofi_nccl lib.rdma_core efa.installer   string, of what lies in the usual
 *                                    places; where a job leads elsewhere, dt-node puts its own there
 *   lib.torch lib.cuda lib.neuron    string, only then
 *   cpu.online numa.count            int;  cpu.list  string, "0-191"
 *   cpu.isa                          "avx512_bf16" | "avx512" | "avx2" | "other", of an x86 processor
 *   cpu.openblas_coretype            string, kernels that OpenBLAS should take and does not by itself
 *   blas.name                        "openblas-pthread", "reference" ...: what libblas.so.3 leads to
 *   torch.libuv                      0: the distribution's PyTorch is built without libuv
 *   container                        0 | 1
 *   platform                         "parallelcluster" | "hyperpod" | "eks"
 *   mem.total_mib mem.available_mib hugepages.total_mib hugepages.free_mib hugepages.size_kib      int
 *   shm.size_mib shm.free_mib        int, of /dev/shm
 *   limit.memlock limit.nofile       int, bytes / files that a rank will have; -1: unlimited
 *   gpu.pci_count                    int, display-class functions of vendor 10de on the PCI bus
 *   gpu.count                        int, GPUs that the driver answers for
 *   gpu.source                       "nvml" | "procfs": where gpu.count comes from
 *   gpu.error                        string, the driver's own words when it refuses to work at all
 *   gpu.lost                         array of {"bdf","reason"}: PCI shows it, the driver does not
 *   gpu.model gpu.memory_mib         string, int, of the first GPU
 *   gpu.devices                      array of {"bdf","uuid","model","numa","memory_mib","minor"}; by NVML also,
 *                                    each where the GPU and its driver tell it: "recovery" (field 230),
 *                                    "ecc" "ecc_pending" "persistence" "mig" "mig_pending" (0 | 1),
 *                                    "ecc_uncorrected" "ecc_corrected" (since the last reset),
 *                                    "rows_corrected" "rows_uncorrected" "rows_pending" "rows_failed"
 *                                    "pages_pending", "slow" (clocks event reasons), "celsius"
 *                                    "celsius_slow", "power_mw" "power_default_mw", "pcie_width"
 *                                    "pcie_width_max" "pcie_gen" "pcie_gen_max" "pcie_replay" (count),
 *                                    "clock_mhz" "clock_default_mhz" "clock_max_mhz" "clock_memory_mhz"
 *                                    "clock_memory_default_mhz" (application clocks), "nvlinks"
 *                                    "nvlinks_up" "nvlinks_down" ("3,7"), counts over all links since
 *                                    the driver was loaded: "nvlink_crc" "nvlink_replay"
 *                                    "nvlink_recovery" and, of NVLink 5, "nvlink_rx" "nvlink_integrity"
 *                                    "nvlink_unrecovered", with "nvlink_errors" their sum, "fabric"
 *                                    "fabric_status" "fabric_clique" "fabric_mask" "fabric_health"
 *                                    "fabric_cluster" (text), "vbios", "memory_used_mib", "graphics"
 *                                    (programs that draw), "refused" "refused_code" (what NVML
 *                                    answers with an error that is not "not supported", the first, and
 *                                    which error); from level full on "aer_fatal"
 *                                    "aer_nonfatal" "aer_correctable" where PCIe tells its errors
 *   gpu.processes                    array of {"bdf","pid","mib","name","uid","job"}: programs on GPUs; name
 *                                    and uid absent: /proc does not show it; job absent: of no Slurm job
 *   job.id job.uid                   int, the Slurm job for which facts are read, and its user; absent: none
 *   job.gpus                         array of PCI addresses: the GPUs that Slurm gave the job; absent
 *                                    where Slurm did not, or not all could be told: any may be its
 *   neuron.count                     int
 *   neuron.counters                  int, error counters that could be read
 *   neuron.errors                    array of {"device","counter","count"}: those above 0
 *   cpu.governor                     string; absent where the kernel sets no clock
 *   kernel.numa_balancing            0 | 1; absent where the kernel has none
 *   clock.synced                     0 | 1: a time service disciplines the kernel's clock
 *   module.ib_uverbs                 0 | 1: loaded
 *   fs.mounted                       array of {"path","ok","type"|"reason"}: dt.conf's required-mounts
 *   efa.count                        int, RDMA devices of vendor 0x1d0f with device 0xefa*
 *   efa.active                       int, those whose port 1 is ACTIVE and LinkUp
 *   efa.devices                      array of {"name","bdf","numa","state","phys_state","device"};
 *                                    from level full on also "gbps", and as GPUs "aer_fatal" ...
 *   counters                         array of {"kind","device", and the device's counters by name}, that
 *                                    grow until the next boot or reset: "net" carrier_changes; "edac"
 *                                    ce_count ue_count; from level full on also "efa" (rx_drops
 *                                    retrans_pkts ...), "nvme" (media_errors critical_warning) and "ena"
 *                                    (bw_in_allowance_exceeded ...: what EC2 held back; of a tree:
 *                                    dt-ethtool/INTERFACE). Of GPUs: in gpu.devices
 *   history.growth                   array of {"counter","device","by","in_s","when"}: what has grown of
 *                                    those counters ("gpu.pcie_replay") while the last job ran here
 *                                    ("job"), and since they were last kept ("since"); by lib/history
 *   history.kept                     string, names of the counters that there is a base for
 *   history.lost                     array of {"job","step","ago_s","why"}: jobs that this node has lost
 *   history.last_end_s history.last_end_age_s        int, seconds from boot to the end of the last job
 *                                    here, and from then to now; absent: none has ended since boot
 *   net.interface net.address        string, of the default route
 *   net.interfaces                   array of {"name","address"}, at most 64: running, with an address;
 *                                    in the kernel's order, which is the order in which NCCL takes them
 *   fs.writable                      array of {"path","ok","reason","free_mib","free_files","foreign"}: tried as the
 *                                    user; no "ok": could not be tried; foreign: the working
 *                                    directory, which is not this user's to write
 *   cpu.present                      int, CPUs that are there, on or off
 *   clock.source                     "tsc" | "kvm-clock" | "hpet" ...
 *   kernel.thp                       "always" | "madvise" | "never"; absent where the kernel has none
 *   boot.uptime_s                    int
 *   module.list                      string, "ena,efa,nvidia": of those that fabrics and GPUs need
 *   module.required                  array of {"name","ok"}: dt.conf's required-modules
 *   fs.readonly                      array of {"path","type"}: disks that the kernel made read-only
 *   fs.network fs.network_options    string, "/fsx lustre; ...", "/fsx lustre SERVER OPTIONS; ...": what
 *                                    nodes should share; what an automounter brought is left out
 *   topology.summary                 string, "CPUs 0-191 in 2 NUMA nodes, GPUs 4+4, EFA 16+16"
 *   net.default_route                0 | 1
 *   net.mtu                          int, of the interface with the default route
 *   limit.nproc limit.stack limit.core   int, as limit.memlock; of a process outside a job alone
 *   clock.offset_us clock.rtt_us     int, this node minus the gathering host; set by dt-node
 *   took_us                          int, time spent here
 * From level full on:
 *   fs.mounts                        array of {"path","type","ok","reason"}: network and user mounts,
 *                                    each asked with statfs as the user in a child of its own
 *   log.errors                       array of {"kind":"xid"|"sxid"|"efa"|"neuron"|"memory"|"disk",
 *                                    "code","bdf","age_s","text","times"}: the newest of those that are
 *                                    the same, and how often there were such,
 *                                    from the kernel log since boot, newest 64; of a tree: from its file dev/kmsg
 *   log.records                      int, kernel log records read
 *   log.now_s                        int, seconds since boot when it was read: event time is this less age_s
 *   history.last_end_s               int, seconds since boot when the last job here ended; absent: not known
 *   efa.without_gid                  array of names of EFA devices whose GID is zero
 *   fabric.manager                   0 | 1: nv-fabricmanager runs; absent where there is no NVSwitch
 *   nvme.devices                     array of {"name","model","state","gb"}
 *   raid.arrays                      array of {"name","state","degraded"}
 *   net.links                        array of {"name","on","carrier","mtu","carrier_changes"}: Ethernet
 *   fs.space                         array of {"path","free_mib","free_files"}: /, /tmp, /dev/shm
 *   net.resolves                     0 | 1: the host name leads to an address; why.net.resolves
 *   net.others                       array of {"name","ok","reason"}: so the names of the step's other
 *                                    nodes, at most 16 from all over its list
 *   imds.reachable                   0 | 1, where EC2's metadata service was asked
 *   imds.type imds.interruption      string, "terminate at TIME";  imds.rebalance  1: recommended
 *   imds.events                      array of {"code","when","in_s"}: announced; of a tree: dt-imds/
 *   swap.used_mib                    int
 *   mem.free_mib mem.free_huge_mib   int, free outright, and of that in blocks for huge pages
 *   edac.corrected edac.uncorrected cpu.machine_checks   int, since boot; absent where not counted
 *   shm.left_mib shm.left_uid        int, files in /dev/shm of users without a process; whose first
 *   process.zombies process.stuck    int; process.stuck_first  string, "dd (process 7) in nfs_wait"
 *   process.required                 array of {"name","ok"}: dt.conf's required-processes
 * At level deep:
 *   measured.names                   string, of the facts that were measured, or taken from the job's
 *                                    step before (lib/inspect/reuse.h)
 *   measured.age_s                   int, then: how long ago; absent: measured now
 *   measured.nodes                   array of {"node","cores","mb_s","speed"}: the NUMA nodes, one after the
 *                                    other. mb_s: MB/s of a triad by one thread a core, over 4 times
 *                                    its last caches (192 MiB to 4 GiB), in 200 ms; speed: units of work
 *                                    a second of one core, in 50 ms (lib/facts/speed.h)
 *   mem.bandwidth_mb_s mem.bandwidth_node    int, the least of them, and whose it is
 *   cpu.speed cpu.speed_node         int, likewise
 */
#ifndef DT_FACTS_FACTS_H
#define DT_FACTS_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/root.h"
#include "conf/conf.h"

struct dt_facts {
    json_t *doc; /* JSON object, owned */
};

/* What the caller has to ask as the user, too: it is asked in a child of its own, within the deadline
 * of a probe. */
struct dt_facts_question {
    void (*ask)(int out, void *argument); /* in the child: writes a text and returns */
    void *argument;
    enum {
        DT_QUESTION_UNASKED,    /* there was no child, or it could not become the user */
        DT_QUESTION_UNANSWERED, /* or not to the end: `why` */
        DT_QUESTION_ANSWERED
    } state;
    char *answer; /* what was written, whole or not; caller frees; NULL: unasked */
    struct dt_error why;
};

/* For whom and where facts are read. Strings are borrowed. */
struct dt_facts_request {
    const struct dt_root *root;
    const struct dt_conf *conf;
    const char *node_name; /* NULL: the kernel's host name */
    uid_t uid;             /* user of the job: file systems are tried as this one */
    gid_t gid;
    const gid_t *groups; /* supplementary groups of the user */
    size_t group_count;
    const char *cwd;      /* working directory of the job, or NULL */
    const char *tmpdir;   /* TMPDIR of the job, or NULL: /tmp */
    long long job;        /* Slurm's number of the job, or 0: none is near */
    const char *job_gpus; /* SLURM_STEP_GPUS or SLURM_JOB_GPUS of the job, or NULL */
    const char *nodes;    /* SLURM_STEP_NODELIST of the job, or NULL: not known */
    long long memlock;    /* limits the rank will have, or DT_LIMIT_OWN: this process's own */
    long long nofile;
    const json_t *measured; /* object of facts to take in place of measuring anew; NULL */
    int level;              /* enum dt_level of check/check.h: what may be probed */
    struct dt_facts_question *question; /* or NULL; filled in */
    /* The root is a tree that this process reads itself, as the user: no child is made for its file
     * systems, nor for NVML where its dt-facts.json tells what that would (gpu.devices). */
    bool recorded;
};
#define DT_LIMIT_OWN (-2LL)

/* The job in whose step, or for whose Prolog, this process itself runs, by its environment: for
 * .job and .job_gpus of a request. 0: none. */
long long dt_facts_own_job(const char **gpus);

int dt_facts_collect(struct dt_facts *facts, const struct dt_facts_request *request,
                     struct dt_error *err);

/* The same in two halves, for a caller with work of his own to do while the children run. What has
 * been started must be finished; the request lives until then. NULL: no memory. */
struct dt_facts_run;
struct dt_facts_run *dt_facts_start(const struct dt_facts_request *request, struct dt_error *err);
int dt_facts_finish(struct dt_facts_run *run, struct dt_facts *facts, struct dt_error *err);

/* What lib/history keeps of a node, and nothing else: counters, efa.devices and, with_gpus,
 * gpu.devices. request->level says which counters. */
int dt_facts_collect_counters(struct dt_facts *facts, const struct dt_facts_request *request,
                              bool with_gpus, struct dt_error *err);

/* Take facts that came from outside: a copy with every text made printable. Refused: anything but
 * an object of numbers, texts, and arrays of flat objects; more than DT_FACTS_KEYS_MAX keys. */
#define DT_FACTS_KEYS_MAX  256
#define DT_FACTS_ITEMS_MAX 1024
int dt_facts_from_json(struct dt_facts *facts, json_t *doc /* borrowed */, struct dt_error *err);
void dt_facts_fini(struct dt_facts *facts);

/* Typed access. Return false when the fact is absent or of another type. Strings are borrowed. */
bool dt_facts_int(const struct dt_facts *facts, const char *key, long long *value);
bool dt_facts_string(const struct dt_facts *facts, const char *key, const char **value);
json_t *dt_facts_array(const struct dt_facts *facts, const char *key);   /* borrowed, or NULL */
const char *dt_facts_why(const struct dt_facts *facts, const char *key); /* or "not known" */

int dt_facts_set_int(struct dt_facts *facts, const char *key, long long value);
int dt_facts_set_string(struct dt_facts *facts, const char *key, const char *value);

#endif
