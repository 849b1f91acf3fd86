/* SPDX-License-Identifier: Apache-2.0 */
/* What level deep measures: the memory and one core of each NUMA node, one node after the other, 0.3 s
 * each. In a child: it takes memory, which may cost a process its life, and binds itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpulist.h"
#include "facts/overlay.h"
#include "facts/reader.h"
#include "facts/speed.h"
#include "facts/system.h"

#define MEMORY "mem.bandwidth_mb_s"
#define SPEED  "cpu.speed"

/* Level deep takes 120 s at most; a machine has at most some ten NUMA nodes with CPUs. */
enum { DEADLINE_MS = 60000, NODES_MAX = 64, MPOL_BIND = 2 };

/* Arrays well beyond the last cache, so that memory is what is measured. */
enum { CACHES = 4, SMALLEST_MIB = 192, LARGEST_MIB = 4096 };

/* Of these CPUs the first of each core. */
static void keep_one_a_core(const struct dt_root *root, cpu_set_t *cpus)
{
    char path[96];
    cpu_set_t siblings;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                 cpu);
        if (!CPU_ISSET(cpu, cpus) || !dt_cpus_read(root, &siblings, path))
            continue;
        CPU_CLR(cpu, &siblings);
        for (int other = cpu + 1; other < CPU_SETSIZE; other++) {
            if (CPU_ISSET(other, &siblings))
                CPU_CLR(other, cpus);
        }
    }
}

/* MiB of the last caches of these CPUs, each counted once. */
static size_t cache_mib(const struct dt_root *root, const cpu_set_t *cpus)
{
    cpu_set_t counted, shared;
    size_t kib = 0;
    CPU_ZERO(&counted);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[96], size[32];
        if (!CPU_ISSET(cpu, cpus) || CPU_ISSET(cpu, &counted))
            continue;
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/cache/index3/shared_cpu_list",
                 cpu);
        if (dt_root_read(root, size, sizeof size, "sys/devices/system/cpu/cpu%d/cache/index3/size",
                         cpu) <= 0 ||
            !dt_cpus_read(root, &shared, path))
            continue;
        kib += strtoul(size, NULL, 10);
        CPU_OR(&counted, &counted, &shared);
    }
    return kib >> 10;
}

/* At most a quarter of what is free there. */
static size_t array_mib(const struct dt_root *root, const cpu_set_t *cpus, int node)
{
    char text[8192];
    const char *line;
    size_t mib = CACHES * cache_mib(root, cpus), free_mib = LARGEST_MIB;
    mib = mib < SMALLEST_MIB ? SMALLEST_MIB : mib > LARGEST_MIB ? LARGEST_MIB : mib;
    if (dt_root_read(root, text, sizeof text, "sys/devices/system/node/node%d/meminfo", node) > 0 &&
        (line = strstr(text, "MemFree:")))
        free_mib = strtoul(line + strlen("MemFree:"), NULL, 10) >> 12;
    return mib < free_mib ? mib : free_mib;
}

/* The threads inherit both. That the kernel refuses the policy (no NUMA, a container) leaves memory where
 * it is touched first. */
static bool bind_to(const cpu_set_t *cpus, int node)
{
    unsigned long mask[NODES_MAX / (8 * sizeof(long)) + 1] = {0};
    mask[(size_t)node / (8 * sizeof(long))] = 1UL << ((size_t)node % (8 * sizeof(long)));
    syscall(SYS_set_mempolicy, MPOL_BIND, mask, (unsigned long)NODES_MAX + 1);
    return sched_setaffinity(0, sizeof *cpus, cpus) == 0;
}

static long long measure_core(const cpu_set_t *cpus)
{
    cpu_set_t first;
    int cpu = 0;
    while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, cpus))
        cpu++;
    CPU_ZERO(&first);
    CPU_SET((size_t)cpu, &first);
    return sched_setaffinity(0, sizeof first, &first) == 0 ? dt_measure_cpu() : -1;
}

/* "NODE MB/s UNITS/s CORES"; of what could not be measured -1. */
static void measure_node(int out, const struct dt_root *root, cpu_set_t *cpus, int node)
{
    char line[128];
    keep_one_a_core(root, cpus);
    if (CPU_COUNT(cpus) == 0 || !bind_to(cpus, node))
        return;
    long long rate = dt_measure_triad(cpus, array_mib(root, cpus, node) << 20);
    snprintf(line, sizeof line, "%d %lld %lld %d\n", node, rate, measure_core(cpus),
             CPU_COUNT(cpus));
    dt_probe_say(out, line);
}

/* Where memory is short, this child is what the kernel should end, and nobody's job. */
static void offer_to_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1000", 4) < 0)
        errno = 0; /* then it is as likely as others */
    if (fd >= 0)
        close(fd);
}

static void probe(int out, void *argument)
{
    const struct dt_root *root = ((const struct dt_reader *)argument)->root;
    cpu_set_t allowed, cpus;
    char path[64];
    bool any = false;
    offer_to_oom();
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        _exit(1);
    for (int node = 0; node < NODES_MAX; node++) {
        snprintf(path, sizeof path, "sys/devices/system/node/node%d/cpulist", node);
        if (!dt_cpus_read(root, &cpus, path))
            continue; /* memory without CPUs has an empty list, which is none */
        any = true;
        CPU_AND(&cpus, &cpus, &allowed);
        measure_node(out, root, &cpus, node);
    }
    if (!any) /* a kernel without NUMA */
        measure_node(out, root, &allowed, 0);
}

/* The slowest node is what is compared: a bad one must not hide behind good ones. */
static void take_least(struct dt_reader *reader, json_t *nodes, const char *member, const char *key,
                       const char *key_of_node)
{
    json_t *item, *least = NULL;
    size_t i;
    json_array_foreach(nodes, i, item)
    {
        if (!json_object_get(item, member))
            least = json_null(); /* one that could not be measured may be the slowest */
        else if (!least ||
                 (json_is_object(least) && json_integer_value(json_object_get(item, member)) <
                                               json_integer_value(json_object_get(least, member))))
            least = item;
    }
    if (!json_is_object(least)) {
        dt_reader_why(reader, key, "no memory or no core to measure with");
        return;
    }
    dt_reader_int(reader, key, json_integer_value(json_object_get(least, member)));
    dt_reader_int(reader, key_of_node, json_integer_value(json_object_get(least, "node")));
}

static json_t *parse(const char *text)
{
    json_t *nodes = json_array();
    int node, cores, used = 0;
    long long rate, speed;
    while (sscanf(text, "%d %lld %lld %d\n%n", &node, &rate, &speed, &cores, &used) == 4) {
        json_t *item = json_pack("{s:i,s:i}", "node", node, "cores", cores);
        if (rate > 0)
            json_object_set_new(item, "mb_s", json_integer(rate));
        if (speed > 0)
            json_object_set_new(item, "speed", json_integer(speed));
        json_array_append_new(nodes, item);
        text += used;
    }
    return nodes;
}

static void why_not(struct dt_reader *reader, const char *why)
{
    dt_reader_why(reader, MEMORY, "%s", why);
    dt_reader_why(reader, SPEED, "%s", why);
}

void dt_read_speed(struct dt_reader *reader)
{
    struct dt_probe child;
    struct dt_error err = {{0}};
    char *text = NULL;
    if (dt_facts_overlay_brings(reader->root, MEMORY))
        return;
    if (reader->root->fake) {
        why_not(reader, "a tree has no memory and no cores");
        return;
    }
    if (dt_probe_start(&child, probe, reader, reader->root->fd, DEADLINE_MS, &err) < 0 ||
        dt_probe_finish(&child, &text, &err) < 0) {
        why_not(reader, err.text);
        free(text);
        return;
    }
    json_t *nodes = parse(text);
    take_least(reader, nodes, "mb_s", MEMORY, "mem.bandwidth_node");
    take_least(reader, nodes, "speed", SPEED, "cpu.speed_node");
    dt_reader_take(reader, "measured.nodes", nodes);
    free(text);
}
