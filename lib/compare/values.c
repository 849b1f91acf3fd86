/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that must be equal between nodes of one type: versions and counts. */
#include "compare/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    const char *name;
    const char *key;
    const char *unit;   /* after a number: " GPUs" */
    const char *next;   /* for the odd one out */
    enum dt_result odd; /* what it is to be odd; FAIL or WARN */
};

static const struct row rows[] = {
    {"kernel", "kernel.release", "",
     "update the image or reboot into the kernel that the others run", DT_FAIL},
    {"nvidia-driver", "driver.nvidia", "", "install the driver that the others have", DT_FAIL},
    {"efa-driver", "driver.efa", "", "install the EFA installer version that the others have",
     DT_FAIL},
    {"neuron-driver", "driver.neuron", "", "install the Neuron driver that the others have",
     DT_FAIL},
    {"libfabric", "lib.libfabric", "", "install the EFA installer version that the others have",
     DT_FAIL},
    {"nccl", "lib.nccl", "", "install the NCCL that the others have", DT_FAIL},
    {"ofi-nccl", "lib.ofi_nccl", "", "install the aws-ofi-nccl that the others have", DT_FAIL},
    {"gpu-count", "gpu.count", " GPUs", "reboot or replace the instance", DT_FAIL},
    {"efa-count", "efa.count", " EFA devices", "reboot or replace the instance", DT_FAIL},
    {"cpu-count", "cpu.online", " CPUs", "reboot or replace the instance", DT_FAIL},
    {"topology", "topology.summary", "", "reboot or replace the instance", DT_FAIL},
    {"network-mounts", "fs.network", "", "mount what is missing, as the others do", DT_FAIL},
    {"mount-options", "fs.network_options", "", "mount it with the options that the others have",
     DT_WARN},
    {"mtu", "net.mtu", " bytes", "ip link set dev INTERFACE mtu, as the others have", DT_FAIL},
    {"modules", "module.list", "", "modprobe what is missing, or unload the rest", DT_WARN},
    {"clock-source", "clock.source", "", "reboot; see the kernel's log for 'clocksource'", DT_WARN},
    {"huge-page-mode", "kernel.thp", "", "set /sys/kernel/mm/transparent_hugepage/enabled alike",
     DT_WARN},
    {"cpu-governor", "cpu.governor", "", "cpupower frequency-set -g, as the others have", DT_WARN},
    {"memlock", "limit.memlock", " bytes", "set LimitMEMLOCK of slurmd as the others have",
     DT_WARN},
    {"nofile", "limit.nofile", " files", "set LimitNOFILE of slurmd as the others have", DT_WARN},
};

const char *dt_compare_value_name(size_t index)
{
    return index < sizeof rows / sizeof rows[0] ? rows[index].name : NULL;
}

static char *value_of(const struct dt_facts *facts, const void *argument)
{
    const struct row *row = argument;
    const char *text;
    long long number;
    char *copy = NULL;
    if (dt_facts_string(facts, row->key, &text))
        return strdup(text);
    if (dt_facts_int(facts, row->key, &number) && asprintf(&copy, "%lld%s", number, row->unit) < 0)
        return NULL;
    return copy;
}

static void lacking(struct dt_comparison *comparison, const struct row *row,
                    const struct dt_group *group, const struct dt_group *most)
{
    for (size_t i = 0; i < group->count; i++) {
        size_t node = group->members[i];
        struct dt_check_result *result = dt_finding_add(comparison, node, row->name);
        if (!result)
            return;
        dt_judge(result, DT_UNKNOWN, "%s", row->key);
        dt_judge_value(result, "not known: %s",
                       dt_facts_why(comparison->nodes[node].facts, row->key));
        dt_judge_limit(result, "%s (%zu node%s)", most->value, most->count,
                       most->count == 1 ? "" : "s");
        dt_judge_next(result, "compare by hand, or %s", row->next);
    }
}

/* A device that is missing has been told of; that it is missing where it was says nothing more. */
static bool is_told(const struct dt_comparison *comparison, const struct row *row, size_t node)
{
    static const char *const counts[] = {"cpu-count", "gpu-count", "efa-count"};
    if (strcmp(row->name, "topology") != 0)
        return false;
    for (size_t i = 0; i < comparison->findings->count; i++) {
        const struct dt_finding *finding = &comparison->findings->items[i];
        for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
            if (finding->node == node && strcmp(finding->result.name, counts[k]) == 0)
                return true;
        }
    }
    return false;
}

static void odd_ones(struct dt_comparison *comparison, const struct row *row,
                     const struct dt_groups *groups, const char *type)
{
    const struct dt_group *most = &groups->items[0];
    for (size_t g = 1; g < groups->count; g++) {
        const struct dt_group *group = &groups->items[g];
        for (size_t i = 0; group->value && i < group->count; i++) {
            if (is_told(comparison, row, group->members[i]))
                continue;
            struct dt_check_result *result =
                dt_finding_add(comparison, group->members[i], row->name);
            if (!result)
                return;
            dt_judge(result, row->odd, "%s", row->key);
            dt_judge_value(result, "%s", group->value);
            dt_judge_limit(result, "%s (%zu other %snode%s)", most->value, most->count,
                           type ? "such " : "", most->count == 1 ? "" : "s");
            dt_judge_next(result, "%s", row->next);
        }
    }
}

static void no_majority(struct dt_comparison *comparison, const struct row *row,
                        const struct dt_groups *groups, const char *type)
{
    if (is_told(comparison, row, SIZE_MAX))
        return;
    struct dt_check_result *result = dt_finding_add(comparison, SIZE_MAX, row->name);
    char *text = dt_groups_text(groups, comparison);
    if (result && text) {
        dt_judge(result, row->odd, "%s", row->key);
        dt_judge_value(result, "%s", text);
        dt_judge_limit(result, "one value on all%s%s nodes", type ? " " : "", type ? type : "");
        dt_judge_next(result, "run on nodes that agree, or update some of them");
    } else {
        comparison->failed = true;
    }
    free(text);
}

static void compare_row(struct dt_comparison *comparison, const struct row *row,
                        const size_t *members, size_t count, const char *type)
{
    struct dt_groups groups;
    if (dt_group(&groups, comparison, members, count, value_of, row) < 0) {
        comparison->failed = true;
        return;
    }
    /* Nodes that lack the fact are the last group. Most of them lacking a mere setting (a governor, say)
     * makes it one that these machines do not have. */
    bool lack = groups.count > 0 && !groups.items[groups.count - 1].value;
    bool usual = lack && row->odd == DT_WARN && groups.items[groups.count - 1].count > groups.total;
    if (groups.total > 0 && lack && !usual)
        lacking(comparison, row, &groups.items[groups.count - 1], &groups.items[0]);
    size_t values = groups.count - lack;
    if (values > 1 && groups.items[0].count * 2 > groups.total)
        odd_ones(comparison, row, &groups, type);
    else if (values > 1)
        no_majority(comparison, row, &groups, type);
    dt_groups_fini(&groups);
}

void dt_compare_values(struct dt_comparison *comparison, const size_t *members, size_t count,
                       const char *type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        compare_row(comparison, &rows[i], members, count, type);
}
