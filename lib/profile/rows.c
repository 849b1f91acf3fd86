/* SPDX-License-Identifier: Apache-2.0 */
/* What profiles tell of, in the order of the file. */
#include "profile/profile.h"

#define TEXT   DT_PROFILE_TEXT
#define NUMBER DT_PROFILE_NUMBER
#define LEAST  DT_PROFILE_LEAST
#define NEAR   DT_PROFILE_NEAR

const struct dt_profile_row dt_profile_rows[] = {
    {"instance-type", "instance.type", TEXT, false, false, "nodes of other types are not judged"},
    {"kernel", "kernel.release", TEXT, false, false, NULL},
    {"nvidia-driver", "driver.nvidia", TEXT, false, false, NULL},
    {"efa-driver", "driver.efa", TEXT, false, false, NULL},
    {"neuron-driver", "driver.neuron", TEXT, false, false, NULL},
    {"libfabric", "lib.libfabric", TEXT, false, false, NULL},
    {"nccl", "lib.nccl", TEXT, false, false, NULL},
    {"ofi-nccl", "lib.ofi_nccl", TEXT, false, false, NULL},
    {"gpu-model", "gpu.model", TEXT, false, false, NULL},
    {"gpu-count", "gpu.count", NUMBER, false, false, NULL},
    {"gpu-memory-mib", "gpu.memory_mib", NUMBER, false, false, NULL},
    {"neuron-count", "neuron.count", NUMBER, false, false, NULL},
    {"efa-count", "efa.count", NUMBER, false, false, NULL},
    {"cpu-count", "cpu.online", NUMBER, false, false, NULL},
    {"numa-count", "numa.count", NUMBER, false, false, NULL},
    {"topology", "topology.summary", TEXT, false, false, NULL},
    {"memory-mib", "mem.total_mib", NEAR, false, false, "within 2 %: firmware keeps some"},
    {"hugepages-mib", "hugepages.total_mib", LEAST, true, false, "at least"},
    {"network-mounts", "fs.network", TEXT, false, false, NULL},
    {"mount-options", "fs.network_options", TEXT, true, false, NULL},
    {"mtu", "net.mtu", NUMBER, false, false, NULL},
    {"modules", "module.list", TEXT, true, false, NULL},
    {"clock-source", "clock.source", TEXT, true, false, NULL},
    {"huge-page-mode", "kernel.thp", TEXT, true, false, NULL},
    {"numa-balancing", "kernel.numa_balancing", NUMBER, true, false, NULL},
    {"cpu-governor", "cpu.governor", TEXT, true, false, NULL},
    {"shm-mib", "shm.size_mib", LEAST, true, false, "at least"},
    {"memlock", "limit.memlock", LEAST, true, true, "bytes, at least; -1: unlimited"},
    {"nofile", "limit.nofile", LEAST, true, true, "at least; -1: unlimited"},
    {0},
};
