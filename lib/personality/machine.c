/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine of a type looks like in numbers: which CPU is where, how much memory the guest
 * sees, serial numbers. Nothing is written here. */
#include "personality/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dt_persona_device *collect(const struct dt_persona *machine, bool nics)
{
    const struct dt_instance *type = machine->type;
    size_t count = (size_t)(nics ? type->efas : type->accelerators), used = 0;
    struct dt_persona_device *devices = calloc(count + 1, sizeof *devices);
    if (!devices)
        return NULL;
    for (size_t i = 0; i < type->switch_count; i++) {
        const struct dt_instance_switch *sw = &type->switches[i];
        char *const *list = nics ? sw->nics : sw->gpus;
        for (size_t k = 0; list[k] && used < count; k++)
            devices[used++] = (struct dt_persona_device){list[k], sw->bridge, sw->numa};
    }
    return devices;
}

struct dt_persona_device *dt_persona_accelerators(const struct dt_persona *machine)
{
    return collect(machine, false);
}

struct dt_persona_device *dt_persona_nics(const struct dt_persona *machine)
{
    return collect(machine, true);
}

/* FNV-1a */
static uint64_t hash_more(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return hash;
}

uint64_t dt_persona_hash(const struct dt_persona *machine, const char *tag, size_t index)
{
    char number[32];
    snprintf(number, sizeof number, "%zu", index);
    uint64_t hash = hash_more(UINT64_C(0xcbf29ce484222325), machine->type->name);
    hash = hash_more(hash_more(hash_more(hash, machine->node), tag), number);
    /* FNV leaves the high bits of short texts alike: mix once more (murmur3's finalizer). */
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

void dt_persona_gpu_uuid(const struct dt_persona *machine, size_t gpu, char uuid[48])
{
    uint64_t a = dt_persona_hash(machine, "gpu-high", gpu),
             b = dt_persona_hash(machine, "gpu-low", gpu);
    snprintf(uuid, 48, "GPU-%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
             b & UINT64_C(0xffffffffffff));
}

long long dt_persona_memory_kib(const struct dt_persona *machine)
{
    return machine->type->memory_mib * 1024 / 100 *
           98; /* the rest is the hypervisor's and kernel's */
}

/* The EFA installer's efa-config reserves 5128 pages, rounded here to share evenly. */
long long dt_persona_huge_pages(const struct dt_persona *machine)
{
    int nodes = machine->type->numa_nodes;
    return machine->type->efas > 0 ? 5128 / nodes * nodes : 0;
}

int dt_persona_numa_of_core(const struct dt_persona *machine, int core)
{
    return core / (machine->type->cores / machine->type->numa_nodes);
}

/* Cores of a node are consecutive, and the second threads follow after all the first ones. */
static bool cpu_is_on(const struct dt_persona *machine, int cpu, int node)
{
    return node < 0 || dt_persona_numa_of_core(machine, cpu % machine->type->cores) == node;
}

char *dt_persona_node_cpulist(const struct dt_persona *machine, int node)
{
    struct dt_buf list = DT_BUF_INIT;
    int cpus = machine->type->vcpus;
    for (int cpu = 0; cpu < cpus; cpu++) {
        if (!cpu_is_on(machine, cpu, node))
            continue;
        int first = cpu;
        while (cpu + 1 < cpus && cpu_is_on(machine, cpu + 1, node))
            cpu++;
        dt_buf_printf(&list, first == cpu ? "%s%d" : "%s%d-%d", list.len ? "," : "", first, cpu);
    }
    return dt_buf_take(&list);
}

char *dt_persona_node_cpumask(const struct dt_persona *machine, int node)
{
    struct dt_buf mask = DT_BUF_INIT;
    for (int word = (machine->type->vcpus + 31) / 32 - 1; word >= 0; word--) {
        uint32_t bits = 0;
        for (int bit = 0; bit < 32 && word * 32 + bit < machine->type->vcpus; bit++) {
            if (cpu_is_on(machine, word * 32 + bit, node))
                bits |= UINT32_C(1) << bit;
        }
        dt_buf_printf(&mask, "%s%08x", mask.len ? "," : "", bits);
    }
    return dt_buf_take(&mask);
}
