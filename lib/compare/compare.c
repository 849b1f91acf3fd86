/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing the nodes of a job. */
#include "compare/compare.h"

#include <stdlib.h>
#include <string.h>

#include "compare/values.h"

#define CLOCK_RTT      "clock.rtt_us"
#define BANDWIDTH_NODE "mem.bandwidth_node"
#define SPEED_NODE     "cpu.speed_node"

const char *const dt_compare_keys[] = {"clock.offset_us",    CLOCK_RTT,
                                       "instance.type",      "mem.total_mib",
                                       "kernel.release",     "driver.nvidia",
                                       "driver.efa",         "driver.neuron",
                                       "lib.libfabric",      "lib.nccl",
                                       "lib.ofi_nccl",       "gpu.count",
                                       "efa.count",          "cpu.online",
                                       "topology.summary",   "fs.network",
                                       "fs.network_options", "net.mtu",
                                       "module.list",        "clock.source",
                                       "kernel.thp",         "cpu.governor",
                                       "limit.memlock",      "limit.nofile",
                                       "boot.uptime_s",      "mem.bandwidth_mb_s",
                                       BANDWIDTH_NODE,       "cpu.speed",
                                       SPEED_NODE,           NULL};

const char *dt_compare_check(size_t index)
{
    static const char *const others[] = {"clock", "instance-type",    "memory",
                                         "boot",  "memory-bandwidth", "cpu-speed"};
    const size_t count = sizeof others / sizeof others[0];
    return index < count ? others[index] : dt_compare_value_name(index - count);
}

struct dt_check_result *dt_finding_add(struct dt_comparison *comparison, size_t node,
                                       const char *name)
{
    struct dt_findings *findings = comparison->findings;
    /* Grown by doubling: the capacity is the next power of two, and need not be kept. */
    if ((findings->count & (findings->count - 1)) == 0) {
        size_t capacity = findings->count ? findings->count * 2 : 1;
        struct dt_finding *more = realloc(findings->items, capacity * sizeof *more);
        if (!more) {
            comparison->failed = true;
            return NULL;
        }
        findings->items = more;
    }
    struct dt_finding *finding = &findings->items[findings->count++];
    *finding = (struct dt_finding){.node = node, .result = {.name = name, .result = DT_UNKNOWN}};
    return &finding->result;
}

static void compare_alike(struct dt_comparison *comparison, const size_t *members, size_t count,
                          const char *type)
{
    dt_compare_values(comparison, members, count, type);
    dt_compare_memory(comparison, members, count);
    dt_compare_boot(comparison, members, count);
    dt_compare_speed(comparison, members, count);
}

static bool anyone_has(const struct dt_comparison *comparison, const size_t *members, size_t count,
                       const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (json_object_get(comparison->nodes[members[i]].facts->doc, key))
            return true;
    }
    return false;
}

/* Told beside another fact, and not compared. */
static bool is_beside(const char *key)
{
    return strcmp(key, CLOCK_RTT) == 0 || strcmp(key, BANDWIDTH_NODE) == 0 ||
           strcmp(key, SPEED_NODE) == 0;
}

/* Comparisons that had something to compare: one a key. */
static size_t count_checks(const struct dt_comparison *comparison, const size_t *members,
                           size_t count)
{
    size_t checks = 0;
    for (const char *const *key = dt_compare_keys; *key; key++)
        checks += !is_beside(*key) && anyone_has(comparison, members, count, *key);
    return checks;
}

int dt_compare(struct dt_findings *findings, const struct dt_compare_node *nodes, size_t count,
               const struct dt_conf *conf, struct dt_error *err)
{
    *findings = (struct dt_findings){0};
    struct dt_comparison comparison = {
        .nodes = nodes, .node_count = count, .conf = conf, .findings = findings};
    size_t *members = calloc(count + 1, sizeof *members);
    if (!members)
        return dt_error_set(err, "the nodes could not be compared: out of memory");
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].facts && nodes[i].facts->doc)
            members[used++] = i;
    }
    if (used > 1) { /* one node has nothing to be compared with */
        findings->checks = count_checks(&comparison, members, used);
        dt_compare_clock(&comparison, members, used);
        dt_compare_types(&comparison, members, used, compare_alike);
    }
    free(members);
    for (size_t i = 0; i < findings->count; i++)
        comparison.failed |= dt_judge_finish(&findings->items[i].result) < 0;
    if (!comparison.failed)
        return 0;
    dt_findings_fini(findings);
    return dt_error_set(err, "the nodes could not be compared: out of memory");
}

void dt_findings_fini(struct dt_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        dt_check_result_fini(&findings->items[i].result);
    free(findings->items);
    *findings = (struct dt_findings){0};
}
