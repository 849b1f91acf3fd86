/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: a good node passes all of them, each has a planted fault that it must find, and what is
 * not known is never taken for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check/check.h"
#include "check/judges.h"

static const struct dt_instance p5 = {.name = (char *)"p5.48xlarge",
                                      .vcpus = 192,
                                      .cores = 96,
                                      .threads_per_core = 2,
                                      .memory_mib = 2097152,
                                      .accelerator = DT_ACCELERATOR_NVIDIA,
                                      .accelerators = 8,
                                      .accelerator_memory_mib = 81920,
                                      .nvlinks = 18,
                                      .efas = 32,
                                      .efa_gbps = 100};
static const struct dt_instance trn1 = {.name = (char *)"trn1.32xlarge",
                                        .memory_mib = 524288,
                                        .accelerator = DT_ACCELERATOR_NEURON,
                                        .accelerators = 16,
                                        .efas = 8};
static const struct dt_instance hpc7a = {
    .name = (char *)"hpc7a.96xlarge", .memory_mib = 786432, .efas = 2};
static const struct dt_instance g5 = {.name = (char *)"g5.48xlarge",
                                      .memory_mib = 786432,
                                      .accelerator = DT_ACCELERATOR_NVIDIA,
                                      .accelerators = 8,
                                      .efas = 1};
static const struct dt_conf conf = {.env_on_abort = DT_POLICY_REFUSE,
                                    .min_nofile = 65536,
                                    .min_memlock_mib = 16384,
                                    .min_shm_percent = 10,
                                    .min_hugepages_mib = 1024,
                                    .min_memory_percent = 95,
                                    .max_clock_offset_ms = 100,
                                    .probe_timeout_ms = 500};

static json_t *good_gpu(int index)
{
    static const struct {
        const char *key;
        int value;
    } numbers[] = {
        {"memory_mib", 81559},
        {"recovery", 0},
        {"ecc", 1},
        {"ecc_pending", 1},
        {"ecc_uncorrected", 0},
        {"rows_pending", 0},
        {"rows_failed", 0},
        {"slow", 1},
        {"celsius", 30},
        {"celsius_slow", 87},
        {"power_mw", 700000},
        {"power_default_mw", 700000},
        {"pcie_width", 16},
        {"pcie_width_max", 16},
        {"persistence", 1},
        {"mig", 0},
        {"mig_pending", 0},
        {"nvlinks", 18},
        {"nvlinks_up", 18},
        {"fabric", 3},
        {"fabric_status", 0},
        {"fabric_health", 1},
    };
    json_t *gpu = json_pack("{s:o,s:s}", "bdf", json_sprintf("0000:%d0:00.0", index), "vbios", "1");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(gpu, numbers[i].key, json_integer(numbers[i].value));
    return gpu;
}

static json_t *good_facts(void)
{
    json_t *doc = json_pack(
        "{s:s,s:i,s:i,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "instance.type",
        "p5.48xlarge", "gpu.pci_count", 8, "gpu.count", 8, "gpu.source", "nvml", "neuron.count", 0,
        "efa.count", 32, "efa.active", 32, "limit.memlock", -1, "limit.nofile", 1048576,
        "shm.size_mib", 1048576, "shm.free_mib", 1048000, "mem.total_mib", 2048000,
        "hugepages.free_mib", 10240, "hugepages.size_kib", 2048, "hugepages.total_mib", 10240);
    json_t *efas = json_array();
    for (int i = 0; i < 32; i++)
        json_array_append_new(efas,
                              json_pack("{s:o,s:s,s:s,s:i}", "name", json_sprintf("rdmap%ds0", i),
                                        "state", "ACTIVE", "phys_state", "LinkUp", "gbps", 100));
    json_t *gpus = json_array();
    for (int i = 0; i < 8; i++)
        json_array_append_new(gpus, good_gpu(i));
    json_object_set_new(doc, "gpu.devices", gpus);
    json_object_update_new(
        doc, json_pack("{s:i,s:i,s:s,s:i,s:i,s:i,s:i,s:[],s:[{s:s,s:s}],s:[{s:s,s:s}],s:i}",
                       "cpu.online", 192, "numa.count", 2, "cpu.governor", "performance",
                       "kernel.numa_balancing", 0, "clock.synced", 1, "mem.available_mib", 2000000,
                       "module.ib_uverbs", 1, "efa.without_gid", "nvme.devices", "name", "nvme0",
                       "state", "live", "raid.arrays", "name", "md0", "state", "clean",
                       "fabric.manager", 1));
    json_object_set_new(doc, "fs.mounted",
                        json_pack("[{s:s,s:b,s:s}]", "path", "/fsx", "ok", 1, "type", "lustre"));
    json_object_set_new(doc, "efa.devices", efas);
    json_object_set_new(doc, "gpu.lost", json_array());
    json_object_set_new(doc, "fs.writable", json_pack("[{s:s,s:b}]", "path", "/fsx", "ok", 1));
    json_object_set_new(doc, "fs.mounts",
                        json_pack("[{s:s,s:s,s:b}]", "path", "/fsx", "type", "lustre", "ok", 1));
    json_object_set_new(doc, "log.errors",
                        json_pack("[{s:s,s:i,s:i,s:s}]", "kind", "xid", "code", 31, "age_s", 5,
                                  "text", "NVRM: Xid: 31"));
    return doc;
}

static const char xid_table[] = "xid 13 APP X M Graphics Engine Exception\n"
                                "xid 31 APP X M page fault\n"
                                "xid 48 RESET X M Double Bit ECC Error\n"
                                "xid 63 MONITOR X M remapping\n"
                                "xid 79 REPLACE X M GPU has fallen off the bus\n"
                                "xid 154 RECOVERY X M recovery action changed\n";

static void run(struct dt_check_results *results, json_t *doc, const struct dt_instance *instance)
{
    struct dt_facts facts = {.doc = doc};
    struct dt_error err;
    struct dt_xids xids;
    char *table = strdup(xid_table);
    struct dt_check_context context = {.facts = &facts,
                                       .instance = instance,
                                       .conf = &conf,
                                       .xids = &xids,
                                       .level = DT_LEVEL_DEEP};
    assert_int_equal(dt_xids_parse(&xids, "table", table, &err), 0);
    assert_int_equal(dt_check_run(results, &context, &err), 0);
    dt_xids_fini(&xids);
    free(table);
}

static const struct dt_check_result *named(const struct dt_check_results *results, const char *name)
{
    for (size_t i = 0; i < results->count; i++) {
        if (strcmp(results->items[i].name, name) == 0)
            return &results->items[i];
    }
    fail_msg("no check %s", name);
    return NULL;
}

/* Facts to put over the good ones (a null takes the fact away), and what must come of it. */
struct fault {
    const char *check;
    const char *facts;
    enum dt_result result;
    const char *value;                  /* part of the text */
    const struct dt_instance *instance; /* NULL: p5.48xlarge */
};

static const struct fault faults[] = {
    {"gpu-count", "{'gpu.pci_count':7,'gpu.count':7}", DT_FAIL, "7 GPUs on the PCI bus", NULL},
    {"gpu-count",
     "{'gpu.count':7,'gpu.lost':[{'bdf':'0000:53:00.0','reason':'fell off the PCI bus'}]}", DT_FAIL,
     "7 of 8 GPUs answer (0000:53:00.0: fell off the PCI bus)", NULL},
    {"gpu-count", "{'gpu.count':null,'gpu.error':'nvmlInit: Driver/library version mismatch'}",
     DT_FAIL, "version mismatch", NULL},
    {"gpu-count", "{'gpu.count':null,'why.gpu.count':'NVML did not answer in 500 ms'}", DT_UNKNOWN,
     "did not answer", NULL},
    {"gpu-count", "{'gpu.pci_count':0,'gpu.count':0}", DT_FAIL, "0 GPUs", NULL},
    {"gpu-count", "{}", DT_SKIP, "no GPU on hpc7a.96xlarge", &hpc7a},
    {"gpu-count", "{}", DT_SKIP, "no GPU on trn1.32xlarge", &trn1},
    {"neuron-count", "{'neuron.count':15}", DT_FAIL, "15 Neuron devices", &trn1},
    {"neuron-count", "{'neuron.count':16}", DT_PASS, "16 Neuron devices", &trn1},
    {"neuron-count", "{'neuron.count':null}", DT_UNKNOWN, "not known", &trn1},
    {"efa-count", "{'efa.count':31}", DT_FAIL, "31 EFA devices", NULL},
    {"efa-count", "{'efa.count':0,'efa.devices':[]}", DT_FAIL, "0 EFA devices", NULL},
    {"efa-count", "{'efa.count':null}", DT_UNKNOWN, "not known", NULL},
    {"efa-count", "{'efa.count':0,'efa.devices':[]}", DT_WARN, "0 EFA devices", &g5},
    {"efa-port",
     "{'efa.devices':[{'name':'rdmap79s0','state':'DOWN','phys_state':'Disabled'},"
     "{'name':'b','state':'ACTIVE','phys_state':'LinkUp'}]}",
     DT_FAIL, "rdmap79s0 is DOWN (1 of 2 up)", NULL},
    {"efa-port", "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'Polling'}]}", DT_FAIL,
     "link Polling", NULL},
    {"efa-port", "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'Disabled'}]}", DT_FAIL,
     "link Disabled", NULL},
    {"efa-port", "{'efa.devices':[{'name':'a'}]}", DT_UNKNOWN, "1 of 1 ports not known", NULL},
    {"efa-port", "{'efa.devices':null}", DT_UNKNOWN, "not known", NULL},
    {"memlock", "{'limit.memlock':65536}", DT_FAIL, "64 KiB", NULL},
    {"memlock", "{'limit.memlock':17179869184}", DT_PASS, "16 GiB", NULL},
    {"memlock", "{'limit.memlock':17179869183}", DT_FAIL, "16 GiB", NULL},
    {"memlock", "{'limit.memlock':null}", DT_UNKNOWN, "not known", NULL},
    {"nofile", "{'limit.nofile':1024}", DT_FAIL, "1024 open files", NULL},
    {"nofile", "{'limit.nofile':65536}", DT_PASS, "65536 open files", NULL},
    {"nofile", "{'limit.nofile':-1}", DT_PASS, "unlimited", NULL},
    {"nofile", "{'limit.nofile':null}", DT_UNKNOWN, "not known", NULL},
    {"shm", "{'shm.size_mib':64}", DT_FAIL, "64 MiB", NULL},
    {"shm", "{'shm.size_mib':204800,'shm.free_mib':204800}", DT_PASS, "200 GiB", NULL},
    {"shm", "{'shm.size_mib':204799}", DT_FAIL, "200 GiB", NULL},
    {"shm", "{'shm.free_mib':10}", DT_WARN, "only 10 MiB free", NULL},
    {"shm", "{'shm.size_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"memory", "{'mem.total_mib':1900000}", DT_FAIL, "1855 GiB", NULL},
    {"memory", "{'mem.total_mib':1992294}", DT_PASS, "1946 GiB", NULL},
    {"memory", "{'mem.total_mib':1992293}", DT_FAIL, "1946 GiB", NULL},
    {"memory", "{'mem.total_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"hugepages", "{'hugepages.free_mib':2}", DT_FAIL, "2 MiB free", NULL},
    {"hugepages", "{'hugepages.free_mib':1024}", DT_PASS, "1 GiB free", NULL},
    {"hugepages", "{'hugepages.free_mib':1023}", DT_FAIL, "1023 MiB free", NULL},
    {"hugepages", "{'hugepages.free_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"fs-writable",
     "{'fs.writable':[{'path':'/a','ok':true},{'path':'/fsx','ok':false,"
     "'reason':'Disk quota exceeded'}]}",
     DT_FAIL, "/fsx: Disk quota exceeded", NULL},
    {"fs-writable", "{'fs.writable':[{'path':'/fsx','reason':'not tried'}]}", DT_UNKNOWN,
     "not tried", NULL},
    {"fs-writable", "{'fs.writable':null}", DT_UNKNOWN, "not known", NULL},
    {"mounts",
     "{'fs.mounts':[{'path':'/fsx','type':'lustre','ok':false,'reason':'did not answer'}]}",
     DT_FAIL, "lustre /fsx: did not answer", NULL},
    {"mounts", "{'fs.mounts':null}", DT_UNKNOWN, "not known", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':79,'age_s':7200,'text':'Xid 79'},"
     "{'kind':'xid','code':31,'age_s':1,'text':'Xid 31'}]}",
     DT_FAIL, "Xid 79 [GPU has fallen off the bus] (2 h ago)", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'xid','code':79,'age_s':864000,'text':'old'}]}", DT_WARN,
     "old", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'sxid','code':1,'age_s':9,'text':'SXid 1, Fatal, x'}]}",
     DT_FAIL, "SXid", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'efa','bdf':'x','age_s':9,'text':'efa x'}]}", DT_WARN,
     "efa", NULL},
    {"kernel-log", "{'log.errors':null}", DT_UNKNOWN, "not known", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'xid','code':48,'age_s':90,'text':'Xid 48'}]}", DT_FAIL,
     "(1 min ago)", NULL},
    /* state before history: that GPU was reset since */
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':48,'age_s':90,'text':'x','bdf':'0000:70:00'}]}", DT_WARN,
     "Double Bit", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':79,'age_s':90,'text':'x','bdf':'0000:70:00'}]}", DT_FAIL,
     "fallen off", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'xid','code':63,'age_s':9,'text':'x'}]}", DT_WARN,
     "remapping", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'xid','code':999,'age_s':9,'text':'Xid 999'}]}", DT_WARN,
     "Xid 999", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':154,'age_s':9,'text':'154 (GPU Reset Required)'}]}",
     DT_FAIL, "Reset Required", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':154,'age_s':9,'text':'x','bdf':'0000:70:00'}]}", DT_PASS,
     "1 harmless", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'sxid','code':1,'age_s':9,'text':'1, Non-fatal'}]}",
     DT_PASS, "harmless", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'neuron','age_s':9,'text':'NEURON_HW_ERR=X'}]}", DT_FAIL,
     "NEURON_HW_ERR", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'disk','age_s':9,'text':'I/O error'}]}", DT_WARN,
     "I/O error", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':1}}", DT_FAIL,
     "GPU 0000:70:00.0: the driver asks for a GPU reset", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':2}}", DT_FAIL, "a reboot of the node", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':9}}", DT_FAIL, "action 9", NULL},
    {"gpu-recovery", "{'all-gpus':{'recovery':4}}", DT_FAIL, "a reset, and 7 more", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':null}}", DT_UNKNOWN, "70:00.0 does not tell", NULL},
    {"gpu-recovery", "{'all-gpus':{'recovery':null}}", DT_SKIP, "does not tell", NULL},
    {"gpu-recovery", "{'gpu.source':'procfs'}", DT_UNKNOWN, "NVML told nothing", NULL},
    {"gpu-ecc", "{'gpu.source':'procfs'}", DT_SKIP, "NVML told nothing", NULL},
    {"gpu-ecc", "{'last-gpu':{'ecc_uncorrected':1}}", DT_FAIL, "1 uncorrected ECC error since",
     NULL},
    {"gpu-ecc", "{'last-gpu':{'ecc_uncorrected':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-ecc-mode", "{'last-gpu':{'ecc':0}}", DT_FAIL, "ECC is off", NULL},
    {"gpu-ecc-mode", "{'last-gpu':{'ecc_pending':0}}", DT_WARN, "will be off", NULL},
    {"gpu-ecc-mode", "{'last-gpu':{'ecc':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-rows", "{'last-gpu':{'rows_pending':1}}", DT_FAIL, "waits to be remapped", NULL},
    {"gpu-rows", "{'last-gpu':{'rows_failed':1}}", DT_FAIL, "could not be remapped", NULL},
    {"gpu-rows", "{'last-gpu':{'rows_pending':null,'pages_pending':1}}", DT_FAIL, "be retired",
     NULL},
    {"gpu-rows", "{'last-gpu':{'rows_pending':null,'pages_pending':0}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-rows", "{'last-gpu':{'rows_pending':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-memory", "{'last-gpu':{'memory_mib':40960}}", DT_FAIL, "40960 MiB of the 81920 MiB",
     NULL},
    {"gpu-memory", "{'last-gpu':{'memory_mib':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-throttle", "{'last-gpu':{'slow':8}}", DT_FAIL, "slows it down", NULL},
    {"gpu-throttle", "{'last-gpu':{'slow':72}}", DT_FAIL, "(too hot)", NULL},
    {"gpu-throttle", "{'last-gpu':{'slow':136}}", DT_FAIL, "(power brake)", NULL},
    {"gpu-throttle", "{'last-gpu':{'slow':32}}", DT_WARN, "the driver slows", NULL},
    {"gpu-throttle", "{'last-gpu':{'slow':279}}", DT_PASS, "8 GPUs", NULL}, /* idle, caps, sync */
    {"gpu-throttle", "{'last-gpu':{'slow':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-temperature", "{'last-gpu':{'celsius':87}}", DT_FAIL, "87 C", NULL},
    {"gpu-temperature", "{'last-gpu':{'celsius':82}}", DT_WARN, "82 C", NULL},
    {"gpu-temperature", "{'last-gpu':{'celsius':81}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-temperature", "{'last-gpu':{'celsius':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-power", "{'last-gpu':{'power_mw':349999}}", DT_FAIL, "349 W", NULL},
    {"gpu-power", "{'last-gpu':{'power_mw':350000}}", DT_WARN, "350 W", NULL},
    {"gpu-power", "{'last-gpu':{'power_mw':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-pcie", "{'last-gpu':{'pcie_width':8}}", DT_FAIL, "8 of 16 PCIe lanes", NULL},
    {"gpu-pcie", "{'last-gpu':{'pcie_width':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-persistence", "{'last-gpu':{'persistence':0}}", DT_WARN, "is off", NULL},
    {"gpu-persistence", "{'last-gpu':{'persistence':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-mig", "{'last-gpu':{'mig':1,'mig_pending':1}}", DT_WARN, "MIG is on", NULL},
    {"gpu-mig", "{'last-gpu':{'mig_pending':1}}", DT_WARN, "after the next reset", NULL},
    {"gpu-mig", "{'last-gpu':{'mig':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-vbios", "{'last-gpu':{'vbios':'2'}}", DT_WARN, "VBIOS 2, and the first GPU has 1", NULL},
    {"gpu-vbios", "{'last-gpu':{'vbios':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"nvlink", "{'last-gpu':{'nvlinks_up':17}}", DT_FAIL, "17 of 18 NVLinks", NULL},
    {"nvlink", "{'last-gpu':{'nvlinks':null}}", DT_FAIL, "0 of 18 NVLinks", NULL},
    {"fabric", "{'last-gpu':{'fabric':2}}", DT_FAIL, "(in progress)", NULL},
    {"fabric", "{'last-gpu':{'fabric_status':999}}", DT_FAIL, "NVML status 999", NULL},
    {"fabric", "{'last-gpu':{'fabric_health':2}}", DT_FAIL, "unhealthy", NULL},
    {"fabric", "{'last-gpu':{'fabric':0}}", DT_UNKNOWN, "does not tell", NULL},
    {"fabric-manager", "{'fabric.manager':0}", DT_FAIL, "does not run", NULL},
    {"fabric-manager", "{'fabric.manager':null,'why.fabric.manager':'/proc'}", DT_UNKNOWN,
     "not known: /proc", NULL},
    {"neuron-errors",
     "{'neuron.errors':[{'device':'neuron3','counter':'mem_ecc_uncorrected','count':2}],"
     "'neuron.counters':32,'neuron.count':16,'efa.count':8}",
     DT_FAIL, "neuron3: mem_ecc_uncorrected is 2", &trn1},
    {"neuron-errors", "{'neuron.errors':[],'neuron.counters':32}", DT_PASS, "32 counters at 0",
     &trn1},
    {"neuron-errors", "{'neuron.errors':[],'neuron.counters':0}", DT_SKIP, "no error counters",
     &trn1},
    {"neuron-errors", "{}", DT_UNKNOWN, "not known", &trn1},
    {"efa-rate",
     "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'LinkUp','gbps':25},"
     "{'name':'b','state':'ACTIVE','phys_state':'LinkUp','gbps':100}]}",
     DT_FAIL, "a runs at 25 Gb/s (1 of 2 devices are slow)", NULL},
    {"efa-rate", "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'LinkUp'}]}",
     DT_UNKNOWN, "a does not tell", NULL},
    {"efa-gid", "{'efa.without_gid':['rdmap3s0']}", DT_FAIL, "rdmap3s0 has no address (1 of 32",
     NULL},
    {"efa-gid", "{'efa.without_gid':null}", DT_UNKNOWN, "not known", NULL},
    {"efa-verbs", "{'module.ib_uverbs':0}", DT_FAIL, "not loaded", NULL},
    {"efa-verbs", "{'module.ib_uverbs':null}", DT_UNKNOWN, "not known", NULL},
    {"cpu-count", "{'cpu.online':191}", DT_FAIL, "191 CPUs", NULL},
    {"cpu-count", "{'cpu.online':96}", DT_PASS, "hyper-threads are off", NULL},
    {"cpu-count", "{'cpu.online':null}", DT_UNKNOWN, "not known", NULL},
    {"cpu-governor", "{'cpu.governor':'powersave'}", DT_WARN, "powersave", NULL},
    {"cpu-governor", "{'cpu.governor':null}", DT_SKIP, "does not set", NULL},
    {"numa-balancing", "{'kernel.numa_balancing':1}", DT_WARN, "on: it moves", NULL},
    {"numa-balancing", "{'kernel.numa_balancing':1,'numa.count':1}", DT_SKIP, "one NUMA", NULL},
    {"clock-sync", "{'clock.synced':0}", DT_WARN, "not synchronized", NULL},
    {"clock-sync", "{'clock.synced':null}", DT_UNKNOWN, "not known", NULL},
    {"memory-free", "{'mem.available_mib':1000000}", DT_WARN, "1010240 of 2048000", NULL},
    {"memory-free", "{'mem.available_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"fs-mounted",
     "{'fs.mounted':[{'path':'/fsx','ok':false,'reason':'nothing is mounted there'}]}", DT_FAIL,
     "no file system at /fsx: nothing is mounted there", NULL},
    {"fs-mounted", "{'fs.mounted':null}", DT_SKIP, "no required-mounts", NULL},
    {"fs-mounted", "{'fs.mounted':null,'why.fs.mounted':'EIO'}", DT_UNKNOWN, "not known: EIO",
     NULL},
    {"nvme", "{'nvme.devices':[{'name':'nvme2','model':'Amazon','state':'dead'}]}", DT_FAIL,
     "nvme2 (Amazon) is dead", NULL},
    {"nvme", "{'nvme.devices':null}", DT_UNKNOWN, "not known", NULL},
    {"raid", "{'raid.arrays':[{'name':'md0','state':'clean','degraded':1}]}", DT_FAIL,
     "md0 is clean, and lacks 1", NULL},
    {"raid", "{'raid.arrays':null}", DT_UNKNOWN, "not known", NULL},
};

static void change_gpus(json_t *doc, json_t *changes, size_t first)
{
    const char *key;
    json_t *value;
    json_t *gpus = json_object_get(doc, "gpu.devices");
    for (size_t i = first; i < json_array_size(gpus); i++) {
        json_object_foreach(changes, key, value)
        {
            if (json_is_null(value))
                json_object_del(json_array_get(gpus, i), key);
            else
                json_object_set(json_array_get(gpus, i), key, value);
        }
    }
}

static json_t *with_fault(const char *text)
{
    char *json = strdup(text);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *over = json_loads(json, 0, NULL);
    json_t *doc = good_facts();
    const char *key;
    json_t *value;
    assert_non_null(over);
    json_object_foreach(over, key, value)
    {
        if (strcmp(key, "last-gpu") == 0 || strcmp(key, "all-gpus") == 0)
            change_gpus(doc, value, *key == 'l' ? 7 : 0);
        else if (json_is_null(value))
            json_object_del(doc, key);
        else
            json_object_set(doc, key, value);
    }
    json_decref(over);
    free(json);
    return doc;
}

static void good_node_passes(void **state)
{
    struct dt_check_results results;
    json_t *doc = good_facts();
    (void)state;
    run(&results, doc, &p5);
    for (size_t i = 0; i < results.count; i++) {
        const struct dt_check_result *result = &results.items[i];
        bool off = strncmp(result->name, "neuron-", 7) == 0 || strcmp(result->name, "env") == 0;
        enum dt_result wanted = off ? DT_SKIP : DT_PASS;
        if (result->result != wanted)
            fail_msg("%s is %s: %s", result->name, dt_result_name(result->result), result->message);
        assert_true(*result->value && *result->message && result->us >= 0);
    }
    assert_int_equal(dt_check_worst(&results), DT_SKIP);
    dt_check_results_fini(&results);
    json_decref(doc);
}

static void faults_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const struct fault *fault = &faults[i];
        struct dt_check_results results;
        json_t *doc = with_fault(fault->facts);
        run(&results, doc, fault->instance ? fault->instance : &p5);
        const struct dt_check_result *result = named(&results, fault->check);
        if (result->result != fault->result || !strstr(result->value, fault->value))
            fail_msg("%s with %s is %s '%s'; wanted: %s '%s'", fault->check, fault->facts,
                     dt_result_name(result->result), result->value, dt_result_name(fault->result),
                     fault->value);
        if (result->result >= DT_WARN) {
            assert_true(strlen(result->next) > 0); /* what to do */
            assert_non_null(strstr(result->message, result->next));
            assert_true(strlen(result->source) > 0);
        }
        if (!fault->instance) /* one fault does not make another check fail */
            for (size_t k = 0; k < results.count; k++)
                if (results.items[k].result == DT_FAIL && &results.items[k] != result &&
                    strcmp(fault->check, "memory") != 0)
                    fail_msg("%s made %s fail", fault->facts, results.items[k].name);
        dt_check_results_fini(&results);
        json_decref(doc);
    }
}

static void every_check_can_fail(void **state)
{
    (void)state;
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        bool fails = false, unknown = false;
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
            fails |= strcmp(faults[i].check, check->name) == 0 && faults[i].result == DT_FAIL;
            unknown |= strcmp(faults[i].check, check->name) == 0 && faults[i].result == DT_UNKNOWN;
            /* What asks for no more than a look warns. */
            fails |= strcmp(faults[i].check, check->name) == 0 && faults[i].result == DT_WARN &&
                     check->severity == DT_SEVERITY_MONITOR;
        }
        if (strcmp(check->name, "env") == 0) /* judges no facts: refused_variable_fails() */
            continue;
        /* Kernels without these have no fault to hide; a GPU without NVLinks has them down. */
        if (strcmp(check->name, "cpu-governor") == 0 ||
            strcmp(check->name, "numa-balancing") == 0 || strcmp(check->name, "nvlink") == 0)
            unknown = true;
        if (!fails || !unknown)
            fail_msg("no planted fault makes %s %s", check->name, fails ? "UNKNOWN" : "FAIL");
    }
}

static void judge_env(struct dt_check_result *copy, struct dt_env_item *items, size_t count)
{
    struct dt_facts facts = {.doc = json_object()};
    struct dt_env_plan plan = {.items = items, .count = count};
    struct dt_check_context context = {
        .facts = &facts, .conf = &conf, .env = &plan, .level = DT_LEVEL_FAST};
    struct dt_check_results results;
    struct dt_error err;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    struct dt_check_result *env = (struct dt_check_result *)named(&results, "env");
    *copy = *env;
    *env = (struct dt_check_result){.name = "env"};
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
}

static struct dt_env_item item(const char *variable, const char *value, enum dt_env_action action,
                               const char *rule, const char *reason, const char *fix)
{
    return (struct dt_env_item){.variable = (char *)variable,
                                .value = (char *)value,
                                .action = action,
                                .rule = (char *)rule,
                                .reason = (char *)reason,
                                .harm = (char *)"",
                                .fix = (char *)fix,
                                .source = (char *)"a source"};
}

static void refused_variable_fails(void **state)
{
    struct dt_env_item items[] = {
        item("NCCL_PROTO", "simple", DT_ENV_WARN, "r0", "slow", "unset NCCL_PROTO"),
        item("FI_EFA_MTU_SIZE", "1", DT_ENV_REFUSE, "mtu-size", "taken away",
             "unset FI_EFA_MTU_SIZE"),
        item("FI_EFA_IFACE", "", DT_ENV_REFUSE, "r2", "empty", "unset FI_EFA_IFACE"),
    };
    struct dt_check_result env;
    (void)state;
    items[1].harm = (char *)"it aborts";
    judge_env(&env, items, 1); /* a warning lets the job run */
    assert_int_equal(env.result, DT_PASS);
    dt_check_result_fini(&env);
    judge_env(&env, items, 2);
    assert_int_equal(env.result, DT_FAIL);
    assert_string_equal(env.value, "FI_EFA_MTU_SIZE=1 (taken away: it aborts)");
    assert_string_equal(env.limit, "what rule mtu-size allows");
    assert_string_equal(env.next, "unset FI_EFA_MTU_SIZE, or run with --dt-env=off");
    assert_string_equal(env.source, "a source");
    dt_check_result_fini(&env);
    judge_env(&env, items, 3);
    assert_non_null(strstr(env.value, "FI_EFA_MTU_SIZE=1"));
    assert_non_null(strstr(env.next, "--dt-env=explain shows the others"));
    dt_check_result_fini(&env);
}

/* The admin's policy, the origin of the variable, and rules that are not those of the files. */
static void what_is_known_about_the_environment_is_told(void **state)
{
    struct dt_env_item items[] = {item("FI_EFA_MTU_SIZE", "1", DT_ENV_REFUSE, "mtu-size",
                                       "taken away", "unset FI_EFA_MTU_SIZE")};
    struct dt_env_plan plan = {.items = items, .count = 1};
    struct dt_conf warn_only = conf;
    struct dt_check_result env = {.name = "env"};
    struct dt_check_context context = {
        .conf = &warn_only, .env = &plan, .env_origin = "/etc/nccl.conf:3"};
    (void)state;
    warn_only.env_on_abort = DT_POLICY_WARN;
    dt_check_env(&context, &env);
    assert_int_equal(dt_judge_finish(&env), 0);
    assert_int_equal(env.result, DT_WARN);
    assert_string_equal(env.value, "FI_EFA_MTU_SIZE=1 from /etc/nccl.conf:3 (taken away)");
    assert_string_equal(env.next, "unset FI_EFA_MTU_SIZE");
    dt_check_result_fini(&env);

    env = (struct dt_check_result){.name = "env"};
    plan.count = 0;
    context.env_warning = "env-rules.conf:7: no";
    dt_check_env(&context, &env);
    assert_int_equal(dt_judge_finish(&env), 0);
    assert_int_equal(env.result, DT_WARN);
    assert_string_equal(env.value, "env-rules.conf:7: no");
    dt_check_result_fini(&env);
}

/* No fact at all: nothing may pass. */
static void nothing_known_never_passes(void **state)
{
    const struct dt_instance *instances[] = {&p5, &trn1, &hpc7a, &g5, NULL};
    (void)state;
    for (size_t i = 0; i < sizeof instances / sizeof instances[0]; i++) {
        struct dt_check_results results;
        json_t *doc = json_object();
        run(&results, doc, instances[i]);
        for (size_t k = 0; k < results.count; k++)
            if (results.items[k].result != DT_UNKNOWN && results.items[k].result != DT_SKIP)
                fail_msg("%s", results.items[k].message);
        dt_check_results_fini(&results);
        json_decref(doc);
    }
}

static void unknown_machine(void **state)
{
    struct dt_check_results results;
    json_t *doc = with_fault("{'instance.type':'z9.large'}");
    (void)state;
    run(&results, doc, NULL);
    assert_int_equal(named(&results, "gpu-count")->result, DT_PASS); /* driver against PCI bus */
    assert_int_equal(named(&results, "efa-count")->result, DT_WARN); /* nobody knows how many */
    assert_non_null(strstr(named(&results, "efa-count")->message, "which lacks z9.large"));
    assert_int_equal(named(&results, "efa-port")->result, DT_PASS);
    assert_int_equal(named(&results, "memory")->result, DT_SKIP);
    dt_check_results_fini(&results);
    json_decref(doc);

    doc = with_fault("{'instance.type':null,'gpu.pci_count':0,'gpu.count':0,'efa.count':0,"
                     "'efa.devices':[],'limit.memlock':65536,'hugepages.free_mib':0}");
    run(&results, doc, NULL);
    static const char *const skipped[] = {"gpu-count", "neuron-count", "efa-count", "efa-port",
                                          "memlock",   "hugepages",    "memory"};
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
        assert_int_equal(named(&results, skipped[i])->result, DT_SKIP);
    dt_check_results_fini(&results);
    json_decref(doc);

    doc = with_fault("{'gpu.count':7}");
    run(&results, doc, NULL);
    assert_int_equal(named(&results, "gpu-count")->result, DT_FAIL);
    dt_check_results_fini(&results);
    json_decref(doc);
}

static size_t checks_up_to(enum dt_level level)
{
    size_t count = 0;
    for (const struct dt_check *check = dt_checks; check->name; check++)
        count += check->level <= level;
    return count;
}

/* Each row of the registry is whole, and found by its name. */
static void registry_is_whole(void **state)
{
    (void)state;
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        assert_true(check->level >= DT_LEVEL_FAST && check->level <= DT_LEVEL_DEEP);
        assert_true(check->severity > DT_SEVERITY_NONE);
        assert_true(strlen(check->explain) > strlen(check->summary));
        assert_ptr_equal(dt_check_find(check->name), check);
    }
    assert_int_equal(dt_check_count(), checks_up_to(DT_LEVEL_DEEP));
    assert_null(dt_check_find("gpu"));
}

static void severity_says_what_to_do(void **state)
{
    static const struct {
        const char *facts, *check;
        enum dt_severity severity;
    } rows[] = {
        {"{'last-gpu':{'recovery':1}}", "gpu-recovery", DT_SEVERITY_RESET},
        {"{'last-gpu':{'recovery':2}}", "gpu-recovery", DT_SEVERITY_REBOOT},
        {"{'last-gpu':{'rows_failed':1}}", "gpu-rows", DT_SEVERITY_REPLACE},
        {"{'last-gpu':{'rows_pending':1}}", "gpu-rows", DT_SEVERITY_RESET},
        {"{'efa.count':31}", "efa-count", DT_SEVERITY_REPLACE},
        {"{'efa.count':null}", "efa-count", DT_SEVERITY_MONITOR},
        {"{'clock.synced':0}", "clock-sync", DT_SEVERITY_MONITOR},
        {"{}", "efa-count", DT_SEVERITY_NONE},
        {"{}", "env", DT_SEVERITY_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_check_results results;
        json_t *doc = with_fault(rows[i].facts);
        run(&results, doc, &p5);
        assert_int_equal(named(&results, rows[i].check)->severity, rows[i].severity);
        dt_check_results_fini(&results);
        json_decref(doc);
    }
}

static void checks_are_chosen_by_name(void **state)
{
    struct dt_facts facts = {.doc = good_facts()};
    struct dt_check_results results;
    struct dt_check_choice choice = {0};
    struct dt_error err;
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .level = DT_LEVEL_FAST, .choice = &choice};
    (void)state;
    assert_int_equal(dt_check_choose(&choice.only, "nvme,shm", "--only", &err), 0);
    assert_int_equal(dt_check_choose(&choice.only, "memory", "--only", &err), 0);
    assert_int_equal(dt_check_choose(&choice.skip, "memory", "--skip", &err), 0);
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, 2);
    assert_string_equal(results.items[0].name, "shm");
    assert_string_equal(results.items[1].name, "nvme"); /* though its level is full */
    dt_check_results_fini(&results);

    assert_int_equal(dt_check_choose(&choice.only, "shm,gpu-coun", "--only", &err), -1);
    assert_string_equal(err.text, "--only: there is no check 'gpu-coun'; did you mean gpu-count?");
    assert_int_equal(dt_check_choose(&choice.only, "", "--only", &err), -1);
    assert_int_equal(dt_check_choose(&choice.only, "shm,", "--only", &err), -1);
    dt_check_choice_fini(&choice);

    context.choice = NULL;
    context.outside_job = true;
    json_object_set_new(facts.doc, "limit.memlock", json_integer(1));
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(named(&results, "memlock")->result, DT_SKIP);
    assert_string_equal(named(&results, "memlock")->value, "judged in the job's own step");
    assert_int_equal(named(&results, "efa-count")->result, DT_PASS);
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
}

static void levels_choose_checks(void **state)
{
    struct dt_facts facts = {.doc = good_facts()};
    struct dt_check_results results;
    struct dt_error err;
    enum dt_level level;
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .level = DT_LEVEL_FAST};
    (void)state;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, checks_up_to(DT_LEVEL_FAST));
    dt_check_results_fini(&results);
    context.level = DT_LEVEL_FULL;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, checks_up_to(DT_LEVEL_FULL));
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
    assert_int_equal(dt_level_parse("Full", &level), 0);
    assert_int_equal(level, DT_LEVEL_FULL);
    assert_int_equal(dt_level_parse("fuller", &level), -1);
    assert_int_equal(dt_level_parse("", &level), -1);
}

static void json_there_and_back(void **state)
{
    struct dt_check_results results, back;
    struct dt_error err = {0};
    json_t *doc = with_fault("{'efa.count':31}");
    (void)state;
    run(&results, doc, &p5);
    json_t *json = dt_check_results_to_json(&results);
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_int_equal(back.count, results.count);
    for (size_t i = 0; i < back.count; i++) {
        assert_ptr_equal(back.items[i].name, results.items[i].name);
        assert_int_equal(back.items[i].result, results.items[i].result);
        assert_string_equal(back.items[i].value, results.items[i].value);
        assert_string_equal(back.items[i].next, results.items[i].next);
        assert_string_equal(back.items[i].message, results.items[i].message);
        assert_int_equal(back.items[i].severity, results.items[i].severity);
    }
    dt_check_results_fini(&back);
    dt_check_results_fini(&results);

    json_t *first = json_array_get(json, 0);
    json_object_set_new(first, "value", json_string("\x1b[31mred\r\n"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_string_equal(back.items[0].value, "?[31mred??");
    dt_check_results_fini(&back);
    json_object_set_new(first, "severity", json_string("AWFUL"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_object_del(first, "severity");
    json_object_del(first, "message");
    json_object_set_new(first, "result", json_string("FAIL"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_int_equal(back.items[0].severity, DT_SEVERITY_REPLACE); /* the registry's */
    assert_non_null(strstr(back.items[0].message, "gpu-count: ?[31mred"));
    dt_check_results_fini(&back);
    json_object_set_new(first, "name", json_string("no-such-check"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    assert_non_null(strstr(err.text, "no-such-check"));
    json_object_set_new(first, "name", json_string("shm"));
    json_object_set_new(first, "result", json_string("GREAT"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_object_del(first, "result");
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_decref(json);
    json = json_object();
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_decref(json);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_node_passes),
        cmocka_unit_test(faults_are_found),
        cmocka_unit_test(every_check_can_fail),
        cmocka_unit_test(nothing_known_never_passes),
        cmocka_unit_test(unknown_machine),
        cmocka_unit_test(levels_choose_checks),
        cmocka_unit_test(registry_is_whole),
        cmocka_unit_test(severity_says_what_to_do),
        cmocka_unit_test(checks_are_chosen_by_name),
        cmocka_unit_test(json_there_and_back),
        cmocka_unit_test(refused_variable_fails),
        cmocka_unit_test(what_is_known_about_the_environment_is_told),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
