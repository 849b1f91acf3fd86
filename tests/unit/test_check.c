/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: a good node passes all of them, each has a planted fault that it must find, and what is
 * not known is never taken for good. */
#include "check_node.h"

/* Facts to put over the good ones (a null takes the fact away), and what must come of it. */
struct fault {
    const char *check;
    const char *facts;
    enum dt_result result;
    const char *value;                  /* part of the text */
    const struct dt_instance *instance; /* NULL: p5.48xlarge */
};

#define XID_154(age, change)                                                                       \
    "{'kind':'xid','code':154,'age_s':" #age ",'bdf':'0000:ee:00','text':'154, GPU recovery "      \
    "action changed from " change "'}"

#define PROCESS(whose) "{'bdf':'0000:70:00.0','pid':4711,'name':'python3','mib':70000," whose "}"

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
    {"cpu-count", "{'cpu.online':191}", DT_FAIL, "191 CPUs", NULL},
    {"cpu-count", "{'cpu.online':96}", DT_PASS, "hyper-threads are off", NULL},
    {"cpu-count", "{'cpu.online':null}", DT_UNKNOWN, "not known", NULL},
    {"numa-count", "{'numa.count':1}", DT_FAIL, "1 NUMA node", NULL},
    {"numa-count", "{'numa.count':null}", DT_UNKNOWN, "not known", NULL},
    {"numa-count", "{'numa.count':1}", DT_SKIP, "no measured", &trn1}, /* a model blames nobody */
    {"clock-source", "{'clock.source':'hpet'}", DT_WARN, "hpet: each look", NULL},
    {"clock-source", "{'clock.source':'kvm-clock'}", DT_PASS, "kvm-clock", NULL},
    {"clock-source", "{'clock.source':null}", DT_UNKNOWN, "not known", NULL},
    {"modules", "{'module.required':[{'name':'gdrdrv','ok':false},{'name':'b','ok':false}]}",
     DT_FAIL, "gdrdrv and 1 more are missing", NULL},
    {"modules", "{'module.required':null}", DT_UNKNOWN, "not known", NULL},
    {"services", "{'process.required':[{'name':'chronyd','ok':false}]}", DT_FAIL,
     "chronyd is missing", NULL},
    {"services", "{'process.required':null}", DT_UNKNOWN, "not known", NULL},
    {"processes", "{'process.zombies':20}", DT_WARN, "20 zombies", NULL},
    {"processes", "{'process.stuck':20,'process.stuck_first':'dd (process 7) in nfs_wait'}",
     DT_WARN, "the first: dd (process 7) in nfs_wait", NULL},
    {"processes", "{'process.stuck':19}", DT_PASS, "19 processes in state D", NULL},
    {"processes", "{'process.zombies':null}", DT_UNKNOWN, "not known", NULL},
    {"memory-bandwidth",
     "{'measured.nodes':[{'node':0,'mb_s':100000},{'node':1,'mb_s':84990}],"
     "'mem.bandwidth_mb_s':84990}",
     DT_WARN, "100.0 GB/s on NUMA node 0, 84.9 GB/s on NUMA node 1", NULL},
    {"memory-bandwidth",
     "{'measured.nodes':[{'node':0,'mb_s':100000},{'node':1,'mb_s':85000}],"
     "'mem.bandwidth_mb_s':85000}",
     DT_PASS, "85.0 GB/s", NULL},
    {"memory-bandwidth",
     "{'mem.bandwidth_mb_s':null,'why.mem.bandwidth_mb_s':'did not answer in 60000 ms'}",
     DT_UNKNOWN, "did not answer", NULL},
    {"cpu-speed",
     "{'measured.nodes':[{'node':0,'speed':300000},{'node':1,'speed':400000}],'cpu.speed':300000}",
     DT_WARN, "300000 units/s on NUMA node 0", NULL},
    {"cpu-speed", "{'cpu.speed':null}", DT_UNKNOWN, "not known", NULL},
    {"swap", "{'swap.used_mib':1025}", DT_WARN, "1025 MiB of swap", NULL},
    {"swap", "{'swap.used_mib':1024}", DT_PASS, "1024 MiB", NULL},
    {"swap", "{'swap.used_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"memory-fragments", "{'mem.free_huge_mib':474999}", DT_WARN, "24% of the free", NULL},
    {"memory-fragments", "{'mem.free_huge_mib':475000}", DT_PASS, "25% of the free", NULL},
    {"memory-fragments", "{'mem.free_mib':2000,'mem.free_huge_mib':0}", DT_SKIP, "cache", NULL},
    {"memory-fragments", "{'mem.free_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"memory-errors", "{'edac.uncorrected':1}", DT_FAIL, "1 uncorrected", NULL},
    {"memory-errors", "{'cpu.machine_checks':2}", DT_WARN, "2 machine checks", NULL},
    {"memory-errors", "{'edac.corrected':9}", DT_PASS, "9 corrected", NULL},
    {"memory-errors", "{'edac.uncorrected':null}", DT_SKIP, "neither", NULL},
    {"shm-left", "{'shm.left_mib':1025,'shm.left_uid':1001}", DT_WARN, "of uid 1001", NULL},
    {"shm-left", "{'shm.left_mib':null}", DT_UNKNOWN, "not known", NULL},
    {"fs-space", "{'fs.space':[{'path':'/tmp','free_mib':511}]}", DT_FAIL, "/tmp has 511 MiB free",
     NULL},
    {"fs-space", "{'fs.space':[{'path':'/tmp','free_mib':512,'free_files':999}]}", DT_FAIL,
     "/tmp has room for 999 more files", NULL},
    {"fs-space", "{'fs.writable':[{'path':'/fsx','ok':true,'free_mib':3}]}", DT_FAIL,
     "/fsx has 3 MiB free", NULL},
    {"fs-space", "{'fs.space':[{'path':'/tmp','free_mib':512}]}", DT_PASS, "/tmp has 512", NULL},
    {"fs-space", "{'fs.space':null}", DT_UNKNOWN, "not known", NULL},
    {"fs-readonly", "{'fs.readonly':[{'path':'/','type':'ext4'}]}", DT_FAIL, "/ (ext4) was", NULL},
    {"fs-readonly", "{'fs.readonly':null}", DT_UNKNOWN, "not known", NULL},
    {"local-storage", "{'nvme.devices':[{'name':'a','state':'live','gb':100}]}", DT_FAIL,
     "0 instance store disks, 0 GB", NULL},
    {"local-storage",
     "{'nvme.devices':[{'name':'a','state':'live','model':'Amazon EC2 NVMe Instance Storage'}]}",
     DT_UNKNOWN, "size of a", NULL},
    {"local-storage", "{'nvme.devices':null}", DT_UNKNOWN, "not known", NULL},
    {"local-storage", "{}", DT_SKIP, "no instance store", &hpc7a},
    {"ethernet", "{'net.links':[{'name':'ens32','on':1,'carrier':0}]}", DT_FAIL,
     "ens32 has no link", NULL},
    {"ethernet",
     "{'net.links':[{'name':'ens32','on':1,'carrier':1},{'name':'ens33','on':1,'carrier':0}]}",
     DT_WARN, "ens33 has no link (1 of 2)", NULL},
    {"ethernet",
     "{'net.links':[{'name':'ens32','on':1,'carrier':1},{'name':'ens33','on':0,'carrier':0}]}",
     DT_PASS, "1 up", NULL},
    {"ethernet", "{'net.links':[]}", DT_SKIP, "no Ethernet", NULL},
    {"ethernet", "{'net.links':null}", DT_UNKNOWN, "not known", NULL},
    {"default-route", "{'net.default_route':0}", DT_WARN, "there is none", NULL},
    {"default-route", "{'net.default_route':null}", DT_UNKNOWN, "not known", NULL},
    {"name-resolves", "{'net.resolves':0,'why.net.resolves':'did not answer in 500 ms'}", DT_WARN,
     "did not answer", NULL},
    {"name-resolves",
     "{'net.others':[{'name':'a','ok':true},{'name':'b','ok':false,'reason':'not known'}]}",
     DT_WARN, "b: not known", NULL},
    {"name-resolves",
     "{'net.resolves':0,'why.net.resolves':'gone','net.others':[{'name':'a','ok':false,'reason':'x'"
     "},"
     "{'name':'b','ok':false,'reason':'y'},{'name':'c','ok':false,'reason':'z'}]}",
     DT_WARN, ": gone; a: x; b: y; and others", NULL},
    {"name-resolves", "{'net.others':[{'name':'a','ok':true}]}", DT_PASS, "and 1 other of the step",
     NULL},
    {"name-resolves", "{'net.resolves':null}", DT_UNKNOWN, "not known", NULL},
    {"imds", "{'imds.reachable':0,'why.imds.reachable':'No route to host'}", DT_WARN, "No route",
     NULL},
    {"imds", "{'imds.reachable':null}", DT_SKIP, "not asked", NULL},
    {"ec2-type", "{'imds.type':'m5.large'}", DT_WARN, "EC2 says m5.large", NULL},
    {"ec2-type", "{'imds.type':null}", DT_UNKNOWN, "not known", NULL},
    {"maintenance", "{'imds.events':[{'code':'instance-stop','in_s':86399}]}", DT_FAIL,
     "instance-stop, in 24 h", NULL},
    {"maintenance",
     "{'imds.events':[{'code':'a','in_s':864000},{'code':'system-reboot','in_s':-5}]}", DT_FAIL,
     "system-reboot, now", NULL},
    {"maintenance", "{'imds.events':[{'code':'instance-stop','in_s':864000}]}", DT_WARN,
     "instance-stop, in 10 days", NULL},
    {"maintenance", "{'imds.rebalance':1}", DT_WARN, "recommends", NULL},
    {"maintenance", "{'imds.interruption':'terminate at x'}", DT_FAIL, "terminate at x", NULL},
    {"maintenance", "{'imds.events':null}", DT_UNKNOWN, "not known", NULL},
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
    {"kernel-log", "{'log.errors':[{'kind':'xid','code':48,'age_s':90,'text':'Xid 48','times':3}]}",
     DT_FAIL, "(3 times, the last 1 min ago)", NULL},
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
    /* Xid 154 says what the driver asks for, where field 230 does not */
    {"kernel-log", "{'log.errors':[" XID_154(9, "0x0 (None) to 0x1 (GPU Reset Required)") "]}",
     DT_FAIL, "Reset Required", NULL},
    {"kernel-log", "{'log.errors':[" XID_154(9, "0x0 (None) to 0x2 (OS Reboot)") "]}", DT_FAIL,
     "OS Reboot", NULL},
    {"kernel-log",
     "{'log.errors':[" XID_154(9, "0x0 (None) to 0x1 (GPU Reset Required)") "," XID_154(
         5, "0x1 (GPU Reset Required) to 0x0 (None)") "]}",
     DT_PASS, "2 harmless", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':48,'age_s':90,'text':'Xid 48','bdf':"
     "'0000:ee:00'}," XID_154(5, "0x1 (GPU Reset Required) to 0x0 (None)") "]}",
     DT_WARN, "Xid 48", NULL},
    {"kernel-log",
     "{'log.errors':[" XID_154(
         95, "0x1 (GPU Reset Required) to 0x0 (None)") ","
                                                       "{'kind':'xid','code':48,'age_s':90,'text':'"
                                                       "Xid 48','bdf':'0000:ee:00'}]}",
     DT_FAIL, "Xid 48", NULL},
    {"kernel-log", "{'log.errors':[" XID_154(9, "no numbers") "]}", DT_WARN, "no numbers", NULL},
    /* GPUs of other jobs: counted only */
    {"kernel-log",
     "{'job.gpus':['0000:00:00.0'],'log.errors':[{'kind':'xid','code':79,'age_s':9,"
     "'text':'x','bdf':'0000:70:00'}]}",
     DT_PASS, "0 harmless, 1 of GPUs that this job does not", NULL},
    {"kernel-log",
     "{'job.gpus':['0000:70:00.0'],'log.errors':[{'kind':'xid','code':79,'age_s':9,"
     "'text':'x','bdf':'0000:70:00'}]}",
     DT_FAIL, "fallen off", NULL},
    {"kernel-log",
     "{'job.gpus':['0000:70:00.0'],'log.errors':[{'kind':'xid','code':79,'age_s':9,"
     "'text':'no address'}]}",
     DT_FAIL, "fallen off", NULL},
    /* what only warns is forgotten with the job in which it happened; what needs a reset is not */
    {"kernel-log",
     "{'log.now_s':1000,'history.last_end_s':900,'log.errors':[{'kind':'xid','code':"
     "63,'age_s':101,'text':'x'}]}",
     DT_PASS, "1 from before the last job's end", NULL},
    {"kernel-log",
     "{'log.now_s':1000,'history.last_end_s':900,'log.errors':[{'kind':'xid','code':"
     "63,'age_s':100,'text':'x'}]}",
     DT_WARN, "remapping", NULL},
    {"kernel-log",
     "{'log.now_s':1000,'history.last_end_s':900,'log.errors':[{'kind':'xid','code':"
     "48,'age_s':101,'text':'x'}]}",
     DT_FAIL, "Double Bit", NULL},
    {"kernel-log",
     "{'history.last_end_s':900,'log.errors':[{'kind':'xid','code':63,'age_s':101,"
     "'text':'x'}]}",
     DT_WARN, "remapping", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'xid','code':154,'age_s':9,'text':'x','bdf':'0000:70:00'}]}", DT_PASS,
     "1 harmless", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'sxid','code':1,'age_s':9,'text':'1, Non-fatal'}]}",
     DT_PASS, "harmless", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'neuron','age_s':9,'text':'NEURON_HW_ERR=NC_UNCORRECTABLE_ERROR'}]}",
     DT_FAIL, "NC_UNC", NULL},
    {"kernel-log",
     "{'log.errors':[{'kind':'neuron','age_s':9,'text':'NEURON_HW_ERR=DMA_ERROR x'}]}", DT_FAIL,
     "DMA_ERROR", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'neuron','age_s':9,'text':'NEURON_HW_ERR=X'}]}", DT_WARN,
     "NEURON_HW_ERR", NULL},
    {"kernel-log", "{'log.errors':[{'kind':'disk','age_s':9,'text':'I/O error'}]}", DT_WARN,
     "I/O error", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':1}}", DT_FAIL,
     "GPU 0000:70:00.0: the driver asks for a GPU reset", NULL},
    {"gpu-recovery", "{'last-gpu':{'recovery':2}}", DT_FAIL, "a reboot of the node", NULL},
    /* a GPU of another job: told, and no failure */
    {"gpu-recovery", "{'job.gpus':['0000:00:00.0'],'last-gpu':{'recovery':2}}", DT_WARN,
     "a reboot of the node; this job does not have it", NULL},
    {"gpu-recovery", "{'job.gpus':['0000:70:00.0'],'last-gpu':{'recovery':2}}", DT_FAIL, "a reboot",
     NULL},
    {"gpu-recovery", "{'job.gpus':['0000:00:00.0'],'last-gpu':{'recovery':null}}", DT_PASS,
     "8 GPUs", NULL},
    {"gpu-recovery", "{'job.gpus':['0000:00:00.0'],'all-gpus':{'recovery':null}}", DT_SKIP,
     "does not tell", NULL},
    {"gpu-temperature", "{'job.gpus':['0000:00:00.0'],'last-gpu':{'celsius':82}}", DT_PASS,
     "8 GPUs", NULL},
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
    {"gpu-pcie", "{'last-gpu':{'pcie_gen_max':3}}", DT_FAIL,
     "reaches generation 3, and others here 5", NULL},
    {"gpu-pcie", "{'all-gpus':{'pcie_gen_max':3}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-pcie", "{'last-gpu':{'slow':0}}", DT_WARN, "busy, and its PCIe link runs at generation 1",
     NULL},
    {"gpu-pcie", "{'last-gpu':{'slow':4}}", DT_WARN, "it is busy", NULL},
    {"gpu-pcie", "{'last-gpu':{'slow':256}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-pcie", "{'last-gpu':{'slow':0,'pcie_gen':5}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-pcie", "{'all-gpus':{'slow':null}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-pcie", "{'all-gpus':{'pcie_gen_max':null,'pcie_gen':null}}", DT_PASS, "8 GPUs", NULL},
    {"pcie-errors", "{'last-gpu':{'aer_fatal':2}}", DT_FAIL, "0000:70:00.0 has 2 fatal", NULL},
    {"pcie-errors", "{'last-gpu':{'aer_nonfatal':1}}", DT_WARN, "1 non-fatal PCIe errors (1 of 8",
     NULL},
    {"pcie-errors",
     "{'efa.devices':[{'name':'a','bdf':'0000:01:00.0','state':'ACTIVE','phys_state':'LinkUp',"
     "'gbps':100,'aer_fatal':1,'aer_nonfatal':0}]}",
     DT_FAIL, "0000:01:00.0 has 1 fatal", NULL},
    {"pcie-errors", "{'all-gpus':{'aer_fatal':null}}", DT_SKIP, "counts no PCIe errors", NULL},
    {"gpu-clocks", "{'last-gpu':{'clock_mhz':1095}}", DT_WARN, "(graphics) is 1095 MHz, and 1980",
     NULL},
    {"gpu-clocks", "{'last-gpu':{'clock_memory_mhz':810}}", DT_WARN, "(memory) is 810 MHz", NULL},
    {"gpu-clocks", "{'all-gpus':{'clock_default_mhz':1095}}", DT_PASS, "8 GPUs", NULL}, /* raised */
    {"gpu-clocks", "{'last-gpu':{'clock_mhz':null,'clock_memory_mhz':null}}", DT_UNKNOWN,
     "does not tell", NULL},
    {"gpu-clocks", "{'all-gpus':{'clock_mhz':null,'clock_memory_mhz':null}}", DT_SKIP,
     "does not tell", NULL},
    /* whose is it? */
    {"gpu-processes",
     "{'job.id':7,'gpu.processes':[" PROCESS("'uid':1007,'job':6") "],"
                                                                   "'job.gpus':['0000:70:00.0']}",
     DT_FAIL, "GPU 0000:70:00.0: process 4711 (python3, user 1007, job 6) holds 70000 MiB", NULL},
    {"gpu-processes", "{'job.id':7,'gpu.processes':[" PROCESS("'uid':1007,'job':6") "]}", DT_WARN,
     "job 6", NULL}, /* may be on its own GPU */
    {"gpu-processes",
     "{'job.id':7,'gpu.processes':[" PROCESS("'uid':1007,'job':6") "],"
                                                                   "'job.gpus':['0000:00:00.0']}",
     DT_PASS, "8 GPUs", NULL},
    {"gpu-processes", "{'job.id':7,'gpu.processes':[" PROCESS("'uid':1007,'job':7") "]}", DT_PASS,
     "8 GPUs", NULL},
    {"gpu-processes", "{'job.id':7,'job.uid':1007,'gpu.processes':[" PROCESS("'uid':1007") "]}",
     DT_PASS, "8 GPUs", NULL},
    {"gpu-processes", "{'job.id':7,'job.uid':1008,'gpu.processes':[" PROCESS("'uid':1007") "]}",
     DT_FAIL, "user 1007) holds", NULL},
    {"gpu-processes", "{'gpu.processes':[" PROCESS("'uid':1007") "]}", DT_WARN, "user 1007", NULL},
    {"gpu-processes", "{'gpu.processes':[" PROCESS("'uid':1007,'job':6") "]}", DT_PASS, "8 GPUs",
     NULL},
    {"gpu-processes", "{'gpu.processes':[{'bdf':'0000:70:00.0','pid':9}]}", DT_UNKNOWN,
     "process 9 (not in /proc)", NULL},
    {"gpu-processes",
     "{'job.id':7,'gpu.processes':[{'bdf':'0000:70:00.0','pid':9,'uid':0,'name':"
     "'nvidia-cuda-mps-server'}]}",
     DT_PASS, "8 GPUs", NULL},
    {"gpu-processes", "{'last-gpu':{'memory_used_mib':20000}}", DT_FAIL,
     "20000 of 81559 MiB are in use, by no program", NULL},
    {"gpu-processes", "{'last-gpu':{'memory_used_mib':2000}}", DT_WARN, "2000 of 81559", NULL},
    {"gpu-processes", "{'last-gpu':{'memory_used_mib':1024}}", DT_PASS, "8 GPUs", NULL},
    {"gpu-processes", "{'last-gpu':{'memory_used_mib':20000,'graphics':1}}", DT_PASS, "8 GPUs",
     NULL},
    {"gpu-processes", "{'last-gpu':{'memory_used_mib':20000},'job.gpus':['0000:00:00.0']}", DT_PASS,
     "8 GPUs", NULL},
    {"gpu-processes", "{'gpu.processes':null}", DT_SKIP, "does not tell", NULL},
    {"gpu-processes", "{'gpu.source':'procfs'}", DT_SKIP, "NVML told nothing", NULL},
    {"gpu-persistence", "{'last-gpu':{'persistence':0}}", DT_WARN, "is off", NULL},
    {"gpu-persistence", "{'last-gpu':{'persistence':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-mig", "{'last-gpu':{'mig':1,'mig_pending':1}}", DT_WARN, "MIG is on", NULL},
    {"gpu-mig", "{'last-gpu':{'mig_pending':1}}", DT_WARN, "after the next reset", NULL},
    {"gpu-mig", "{'last-gpu':{'mig':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"gpu-vbios", "{'last-gpu':{'vbios':'2'}}", DT_WARN, "VBIOS 2, and the first GPU has 1", NULL},
    {"gpu-vbios", "{'last-gpu':{'vbios':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"nvlink", "{'last-gpu':{'nvlinks_up':17}}", DT_FAIL, "17 of 18 NVLinks", NULL},
    {"nvlink", "{'last-gpu':{'nvlinks':null}}", DT_FAIL, "0 of 18 NVLinks", NULL},
    {"nvlink", "{'last-gpu':{'nvlinks_up':17,'nvlinks_down':'11'}}", DT_FAIL, "up (down: 11)",
     NULL},
    {"nvlink-errors", "{'last-gpu':{'nvlink_unrecovered':1}}", DT_FAIL, "could not be recovered",
     NULL},
    {"nvlink-errors", "{'last-gpu':{'nvlink_integrity':3}}", DT_WARN, "than its limit (3", NULL},
    {"nvlink-errors", "{'last-gpu':{'nvlink_recovery':2}}", DT_WARN, "trained anew", NULL},
    {"nvlink-errors", "{'last-gpu':{'nvlink_recovery':2,'nvlink_unrecovered':0}}", DT_PASS,
     "8 GPUs", NULL},
    {"nvlink-errors", "{'last-gpu':{'nvlink_errors':null}}", DT_UNKNOWN, "does not tell", NULL},
    {"nvlink-errors", "{'all-gpus':{'nvlink_errors':null}}", DT_SKIP, "does not tell", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':1}}", DT_FAIL, "less than its bandwidth", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':16}}", DT_FAIL, "bad routes", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':768}}", DT_FAIL, "not configured right", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':8192}}", DT_FAIL, "in no partition", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':32768}}", DT_FAIL, "lost its fabric manager", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':20480}}", DT_PASS, "8 GPUs", NULL},
    {"fabric", "{'last-gpu':{'fabric_mask':256}}", DT_PASS, "8 GPUs", NULL},
    {"fabric", "{'last-gpu':{'fabric_clique':3}}", DT_FAIL, "another NVLink partition", NULL},
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
    {"neuron-errors",
     "{'neuron.errors':[{'device':'neuron3','counter':'mem_ecc_repairable_uncorrected','count':1},"
     "{'device':'neuron3/neuron_core1','counter':'hw_nc_ue_error','count':4}],"
     "'neuron.counters':32,'neuron.count':16,'efa.count':8}",
     DT_FAIL, "neuron3/neuron_core1: hw_nc_ue_error is 4, and 1 more", &trn1},
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
    {"efa-rate", "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'LinkUp','gbps':120}]}",
     DT_PASS, "1 devices at 120 Gb/s", &hpc7a}, /* 150, as InfiniBand's speeds tell it */
    {"efa-rate", "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'LinkUp','gbps':100}]}",
     DT_SKIP, "does not tell rates above 100 Gb/s", &hpc7a},
    {"efa-rate",
     "{'efa.devices':[{'name':'a','state':'ACTIVE','phys_state':'LinkUp','gbps':100},"
     "{'name':'b','state':'ACTIVE','phys_state':'LinkUp','gbps':120}]}",
     DT_FAIL, "a runs at 100 Gb/s (1 of 2", &hpc7a},
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
    {"numa-balancing", "{'kernel.numa_balancing':1,'numa.count':1}", DT_SKIP, "one NUMA", &hpc7a},
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
    {"nvme",
     "{'nvme.devices':[{'name':'nvme2','model':'Amazon EC2 NVMe Instance "
     "Storage','gb':30400,'state':'dead'}]}",
     DT_FAIL, "nvme2 (Amazon EC2 NVMe Instance Storage) is dead", NULL},
    {"nvme", "{'nvme.devices':null}", DT_UNKNOWN, "not known", NULL},
    {"raid", "{'raid.arrays':[{'name':'md0','state':'clean','degraded':1}]}", DT_FAIL,
     "md0 is clean, and lacks 1", NULL},
    {"raid", "{'raid.arrays':null}", DT_UNKNOWN, "not known", NULL},
#define GREW(counter, by, in_s, when)                                                              \
    "{'history.growth':[{'counter':'" counter "','device':'d','by':" by ",'in_s':" in_s            \
    ",'when':'" when "'}]}"
    {"gpu-ecc-growth", GREW("gpu.ecc_corrected", "101", "9", "job"), DT_FAIL,
     "gpu.ecc_corrected of d grew by 101 in the last job here, 9 s", NULL},
    {"gpu-ecc-growth", GREW("gpu.ecc_corrected", "100", "1", "job"), DT_PASS, "no counter", NULL},
    {"gpu-ecc-growth", "{'history.growth':null,'why.history.growth':'no job yet'}", DT_SKIP,
     "nothing to compare with: no job yet", NULL},
    {"gpu-ecc-growth", "{'history.kept':'net.carrier_changes'}", DT_SKIP, "no such counter here",
     NULL},
    /* a time shorter than the unit is one unit */
    {"gpu-pcie-replay", GREW("gpu.pcie_replay", "8", "1", "since"), DT_PASS, "no counter", NULL},
    {"gpu-pcie-replay", GREW("gpu.pcie_replay", "9", "1", "since"), DT_FAIL,
     "grew by 9 in 1 s, since the last job", NULL},
    {"gpu-pcie-replay", GREW("gpu.pcie_replay", "80", "600", "job"), DT_PASS, "no counter", NULL},
    {"gpu-pcie-replay", GREW("gpu.pcie_replay", "81", "600", "job"), DT_FAIL, "81", NULL},
    {"nvlink-growth", GREW("gpu.nvlink_errors", "101", "1", "job"), DT_FAIL, "101", NULL},
    {"nvlink-growth", GREW("gpu.nvlink_errors", "200", "2", "job"), DT_PASS, "no counter", NULL},
    {"efa-retransmits", GREW("efa.retrans_pkts", "7200001", "7200", "job"), DT_FAIL, "2 h", NULL},
    {"efa-retransmits", GREW("efa.retrans_pkts", "7200000", "7200", "job"), DT_PASS, "no counter",
     NULL},
    {"efa-retransmits", GREW("efa.rx_drops", "101", "1", "job"), DT_WARN, "efa.rx_drops", NULL},
    {"efa-retransmits", GREW("efa.unheard_of", "1000000", "1", "job"), DT_PASS, "no counter", NULL},
    /* a failure before a warning, however large; the rest is counted */
    {"efa-retransmits",
     "{'history.growth':[{'counter':'efa.rx_drops','device':'a','by':99999,'in_s':1,'when':'job'},"
     "{'counter':'efa.retrans_pkts','device':'b','by':1001,'in_s':1,'when':'job'},"
     "{'counter':'efa.retrans_pkts','device':'c','by':3000,'in_s':1,'when':'job'}]}",
     DT_FAIL, "efa.retrans_pkts of c grew by 3000 in the last job here, 1 s, and 2 more", NULL},
    {"link-flaps", GREW("net.carrier_changes", "10", "60", "job"), DT_FAIL, "10", NULL},
    {"link-flaps", GREW("net.carrier_changes", "9", "60", "job"), DT_PASS, "no counter", NULL},
    {"ena-allowances", GREW("ena.pps_allowance_exceeded", "641", "120", "job"), DT_WARN,
     "ena.pps_allowance_exceeded of d grew by 641 in the last job here, 2 min", NULL},
    {"ena-allowances", GREW("ena.pps_allowance_exceeded", "640", "120", "job"), DT_PASS,
     "no counter", NULL},
    {"edac-growth", GREW("edac.ue_count", "1", "60", "job"), DT_FAIL, "edac.ue_count", NULL},
    {"nvme-media", GREW("nvme.media_errors", "1", "60", "job"), DT_FAIL, "nvme.media", NULL},
#undef GREW
#define LOST(job, ago) "{'job':" job ",'step':0,'ago_s':" ago ",'why':'the node went down'}"
    {"lemon", "{'history.lost':[" LOST("7", "500") "," LOST("8", "400") "," LOST("9", "5") "]}",
     DT_FAIL, "3 jobs lost here in 7 days: 9 (", NULL},
    {"lemon", "{'history.lost':[" LOST("8", "400") "," LOST("9", "5") "]}", DT_PASS,
     "2 jobs lost here", NULL},
    {"lemon",
     "{'history.lost':[" LOST("7", "604801") "," LOST("8", "604800") "," LOST("9", "5") "]}",
     DT_PASS, "2 jobs lost here", NULL},
    {"lemon", "{'history.lost':null,'why.history.growth':'no job yet'}", DT_SKIP, "no job yet",
     NULL},
#undef LOST
};

static void good_node_passes(void **state)
{
    struct dt_check_results results;
    json_t *doc = good_facts();
    (void)state;
    run(&results, doc, &p5);
    for (size_t i = 0; i < results.count; i++) {
        const struct dt_check_result *result = &results.items[i];
        bool off = strncmp(result->name, "neuron-", 7) == 0 || strcmp(result->name, "env") == 0 ||
                   strcmp(result->name, "profile") == 0;
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

static bool is_of_growth(const struct dt_check *check)
{
    static const char *const names[] = {"gpu-ecc-growth",  "gpu-pcie-replay", "nvlink-growth",
                                        "efa-retransmits", "link-flaps",      "edac-growth",
                                        "nvme-media",      "ena-allowances",  "lemon"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(check->name, names[i]) == 0)
            return true;
    }
    return false;
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
        /* These judge more than facts: test_check_env.c, test_profile.c. */
        if (strcmp(check->name, "env") == 0 || strcmp(check->name, "profile") == 0)
            continue;
        /* Kernels without these have no fault to hide; a GPU without NVLinks has them down. */
        if (strcmp(check->name, "cpu-governor") == 0 || strcmp(check->name, "memory-errors") == 0 ||
            strcmp(check->name, "imds") == 0 || strcmp(check->name, "numa-balancing") == 0 ||
            strcmp(check->name, "nvlink") == 0 || strcmp(check->name, "pcie-errors") == 0)
            unknown = true;
        /* What the node has not kept yet is no riddle: SKIP, with the reason. */
        if (is_of_growth(check))
            unknown = true;
        if (!fails || !unknown)
            fail_msg("no planted fault makes %s %s", check->name, fails ? "UNKNOWN" : "FAIL");
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_node_passes),     cmocka_unit_test(faults_are_found),
        cmocka_unit_test(every_check_can_fail), cmocka_unit_test(nothing_known_never_passes),
        cmocka_unit_test(unknown_machine),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
