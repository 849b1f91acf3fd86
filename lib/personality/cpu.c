/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs, NUMA nodes and memory, in sysfs and procfs, as complete as hwloc wants them. */
#include "personality/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One set of CPUs in both notations of sysfs. */
struct cpu_text {
    char *list, *mask;
};

static void cpu_text_free(struct cpu_text *text)
{
    free(text->list);
    free(text->mask);
}

static struct cpu_text core_text(const struct dt_persona *machine, int core)
{
    const struct dt_instance *type = machine->type;
    struct dt_buf list = DT_BUF_INIT, mask = DT_BUF_INIT;
    for (int thread = 0; thread < type->threads_per_core; thread++)
        dt_buf_printf(&list, "%s%d", thread ? "," : "", core + thread * type->cores);
    for (int word = (type->vcpus + 31) / 32 - 1; word >= 0; word--) {
        uint32_t bits = 0;
        for (int cpu = core; cpu < type->vcpus; cpu += type->cores) {
            if (cpu / 32 == word)
                bits |= UINT32_C(1) << (cpu % 32);
        }
        dt_buf_printf(&mask, "%s%08x", mask.len ? "," : "", bits);
    }
    return (struct cpu_text){dt_buf_take(&list), dt_buf_take(&mask)};
}

/* The CPUs of a package: those of its NUMA nodes, taken as one by pretending a node a package. */
static struct cpu_text package_text(const struct dt_persona *machine, int package)
{
    struct dt_instance by_package = *machine->type;
    by_package.numa_nodes = by_package.packages;
    struct dt_persona view = {&by_package, machine->node};
    return (struct cpu_text){dt_persona_node_cpulist(&view, package),
                             dt_persona_node_cpumask(&view, package)};
}

static void write_cpu(struct dt_tree *tree, const struct dt_persona *machine, int cpu,
                      const struct cpu_text *core, const struct cpu_text *package)
{
    const struct dt_instance *type = machine->type;
    int core_id = cpu % type->cores;
    int cores_per_package = type->cores / type->packages;
    int node = dt_persona_numa_of_core(machine, core_id);

    dt_tree_enter(tree, "sys/devices/system/cpu/cpu%d", cpu);
    dt_tree_file(tree, "online", "1\n");
    char name[32];
    snprintf(name, sizeof name, "node%d", node);
    dt_tree_link(tree, name, "../../node/node%d", node);

    dt_tree_enter(tree, "sys/devices/system/cpu/cpu%d/topology", cpu);
    dt_tree_file(tree, "physical_package_id", "%d\n", core_id / cores_per_package);
    dt_tree_file(tree, "core_id", "%d\n", core_id % cores_per_package);
    dt_tree_file(tree, "core_cpus", "%s\n", core->mask);
    dt_tree_file(tree, "core_cpus_list", "%s\n", core->list);
    dt_tree_file(tree, "package_cpus", "%s\n", package->mask);
    dt_tree_file(tree, "package_cpus_list", "%s\n", package->list);
    /* The names before Linux 5.3, which tools still read. */
    dt_tree_file(tree, "thread_siblings", "%s\n", core->mask);
    dt_tree_file(tree, "thread_siblings_list", "%s\n", core->list);
    dt_tree_file(tree, "core_siblings", "%s\n", package->mask);
    dt_tree_file(tree, "core_siblings_list", "%s\n", package->list);
}

static void write_cpu_topology(struct dt_tree *tree, const struct dt_persona *machine)
{
    const struct dt_instance *type = machine->type;
    for (int package = 0; package < type->packages && !tree->failed; package++) {
        struct cpu_text siblings = package_text(machine, package);
        int per_package = type->cores / type->packages;
        for (int core = package * per_package; core < (package + 1) * per_package; core++) {
            struct cpu_text threads = core_text(machine, core);
            for (int cpu = core; cpu < type->vcpus; cpu += type->cores)
                write_cpu(tree, machine, cpu, &threads, &siblings);
            cpu_text_free(&threads);
        }
        cpu_text_free(&siblings);
    }
}

static void write_cpuinfo(struct dt_tree *tree, const struct dt_persona *machine)
{
    const struct dt_instance *type = machine->type;
    int per_package = type->cores / type->packages;
    struct dt_buf text = DT_BUF_INIT;
    for (int cpu = 0; cpu < type->vcpus; cpu++) {
        int core = cpu % type->cores;
        dt_buf_printf(&text, "processor\t: %d\n", cpu);
        if (strcmp(type->cpu_vendor, "ARM") == 0) {
            dt_buf_puts(&text, "CPU implementer\t: 0x41\nCPU architecture: 8\n\n");
            continue;
        }
        dt_buf_printf(&text,
                      "vendor_id\t: %s\ncpu family\t: %d\nmodel name\t: %s\n"
                      "physical id\t: %d\nsiblings\t: %d\ncore id\t\t: %d\ncpu cores\t: %d\n\n",
                      type->cpu_vendor, strcmp(type->cpu_vendor, "AuthenticAMD") == 0 ? 25 : 6,
                      strcmp(type->cpu_vendor, "AuthenticAMD") == 0 ? "AMD EPYC" : "Intel Xeon",
                      core / per_package, per_package * type->threads_per_core, core % per_package,
                      per_package);
    }
    char *all = dt_buf_take(&text);
    dt_tree_enter(tree, "proc");
    dt_tree_file(tree, "cpuinfo", "%s", all ? all : "");
    free(all);
}

void dt_persona_write_cpus(struct dt_tree *tree, const struct dt_persona *machine)
{
    int last = machine->type->vcpus - 1;
    dt_tree_enter(tree, "sys/devices/system/cpu");
    dt_tree_file(tree, "online", "0-%d\n", last);
    dt_tree_file(tree, "possible", "0-%d\n", last);
    dt_tree_file(tree, "present", "0-%d\n", last);
    dt_tree_file(tree, "offline", "\n");
    dt_tree_file(tree, "kernel_max", "8191\n");
    dt_tree_enter(tree, "sys/devices/system/cpu/smt");
    dt_tree_file(tree, "active", "%d\n", machine->type->threads_per_core > 1);
    write_cpu_topology(tree, machine);
    write_cpuinfo(tree, machine);
}

static void write_huge_pages(struct dt_tree *tree, const char *below, long long pages, bool whole)
{
    dt_tree_enter(tree, "%s/hugepages-2048kB", below);
    dt_tree_file(tree, "nr_hugepages", "%lld\n", pages);
    dt_tree_file(tree, "free_hugepages", "%lld\n", pages);
    dt_tree_file(tree, "surplus_hugepages", "0\n");
    if (whole) {
        dt_tree_file(tree, "resv_hugepages", "0\n");
        dt_tree_file(tree, "nr_overcommit_hugepages", "0\n");
    }
}

static void write_distances(struct dt_tree *tree, const struct dt_instance *type, int node)
{
    struct dt_buf text = DT_BUF_INIT;
    int per_package = type->numa_nodes / type->packages;
    for (int other = 0; other < type->numa_nodes; other++) {
        int far = other / per_package != node / per_package;
        dt_buf_printf(&text, "%s%d", other ? " " : "", other == node ? 10 : far ? 32 : 12);
    }
    char *line = dt_buf_take(&text);
    dt_tree_file(tree, "distance", "%s\n", line ? line : "");
    free(line);
}

static void write_node(struct dt_tree *tree, const struct dt_persona *machine, int node)
{
    const struct dt_instance *type = machine->type;
    char *list = dt_persona_node_cpulist(machine, node),
         *mask = dt_persona_node_cpumask(machine, node);
    long long kib = dt_persona_memory_kib(machine) / type->numa_nodes;
    long long pages = dt_persona_huge_pages(machine) / type->numa_nodes;

    dt_tree_enter(tree, "sys/devices/system/node/node%d", node);
    dt_tree_file(tree, "cpulist", "%s\n", list ? list : "");
    dt_tree_file(tree, "cpumap", "%s\n", mask ? mask : "");
    dt_tree_file(tree, "meminfo",
                 "Node %d MemTotal:       %lld kB\nNode %d MemFree:        %lld kB\n"
                 "Node %d MemUsed:        %lld kB\nNode %d HugePages_Total: %lld\n"
                 "Node %d HugePages_Free:  %lld\nNode %d HugePages_Surp:  0\n",
                 node, kib, node, kib - kib / 50 - pages * 2048, node, kib / 50 + pages * 2048,
                 node, pages, node, pages, node);
    write_distances(tree, type, node);
    for (int cpu = 0; cpu < type->vcpus; cpu++) {
        char name[32];
        snprintf(name, sizeof name, "cpu%d", cpu);
        if (dt_persona_numa_of_core(machine, cpu % type->cores) == node)
            dt_tree_link(tree, name, "../../cpu/cpu%d", cpu);
    }
    char below[64];
    snprintf(below, sizeof below, "sys/devices/system/node/node%d/hugepages", node);
    write_huge_pages(tree, below, pages, false);
    free(list);
    free(mask);
}

static void write_meminfo(struct dt_tree *tree, const struct dt_persona *machine)
{
    long long total = dt_persona_memory_kib(machine), pages = dt_persona_huge_pages(machine);
    long long available = total - total / 50 - pages * 2048;
    dt_tree_enter(tree, "proc");
    dt_tree_file(
        tree, "meminfo",
        "MemTotal:       %lld kB\nMemFree:        %lld kB\nMemAvailable:   %lld kB\n"
        "Buffers:           40960 kB\nCached:          1048576 kB\nSwapTotal:             0 kB\n"
        "SwapFree:              0 kB\nShmem:              8192 kB\n"
        "HugePages_Total:    %lld\nHugePages_Free:     %lld\nHugePages_Rsvd:        0\n"
        "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:        %lld kB\n",
        total, available, available, pages, pages, pages * 2048);
}

void dt_persona_write_memory(struct dt_tree *tree, const struct dt_persona *machine)
{
    int last = machine->type->numa_nodes - 1;
    char range[32] = "0";
    if (last > 0)
        snprintf(range, sizeof range, "0-%d", last);
    dt_tree_enter(tree, "sys/devices/system/node");
    static const char *const names[] = {"online",     "possible",          "has_cpu",
                                        "has_memory", "has_normal_memory", NULL};
    for (size_t i = 0; names[i]; i++)
        dt_tree_file(tree, names[i], "%s\n", range);
    for (int node = 0; node <= last; node++)
        write_node(tree, machine, node);
    write_huge_pages(tree, "sys/kernel/mm/hugepages", dt_persona_huge_pages(machine), true);
    dt_tree_enter(tree, "sys/kernel/mm/transparent_hugepage");
    dt_tree_file(tree, "enabled", "always [madvise] never\n");
    write_meminfo(tree, machine);
}
