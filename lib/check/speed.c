/* SPDX-License-Identifier: Apache-2.0 */
/* What level deep has measured of this machine, NUMA node by NUMA node. How fast is right, no table says:
 * here the NUMA nodes of one machine are judged against each other, and told; lib/compare judges the
 * machines of a job. */
#include <stdio.h>

#include "base/buf.h"
#include "check/judges.h"

void dt_speed_memory(char *text, size_t size, long long mb_s)
{
    snprintf(text, size, "%lld.%lld GB/s", mb_s / 1000, mb_s % 1000 / 100);
}

void dt_speed_cpu(char *text, size_t size, long long units_s)
{
    snprintf(text, size, "%lld units/s", units_s);
}

struct speed {
    const char *member, *key, *next;
    void (*write)(char *text, size_t size, long long value);
};

static void judge(const struct dt_check_context *context, struct dt_check_result *result,
                  const struct speed *speed)
{
    json_t *nodes = dt_facts_array(context->facts, "measured.nodes"), *node;
    long long least, most = 0, lower = context->conf->deep_slower_percent;
    struct dt_buf text = DT_BUF_INIT;
    size_t i;
    if (!nodes || !dt_facts_int(context->facts, speed->key, &least)) {
        dt_check_unknown(context, result, speed->key, "dt-validate --level deep on the idle node");
        return;
    }
    json_array_foreach(nodes, i, node)
    {
        char one[64];
        long long value = json_integer_value(json_object_get(node, speed->member));
        most = value > most ? value : most;
        speed->write(one, sizeof one, value);
        dt_buf_printf(&text, "%s%s on NUMA node %lld", i ? ", " : "", one,
                      (long long)json_integer_value(json_object_get(node, "node")));
    }
    /* Doubles, as a file may hold any number. */
    bool good = (double)least * 100 >= (double)most * (double)(100 - lower);
    dt_judge(result, good ? DT_PASS : DT_WARN, "%s", speed->key);
    dt_judge_value(result, "%s", text.data ? text.data : "nothing measured");
    if (json_array_size(nodes) > 1)
        dt_judge_limit(result, "NUMA nodes within %lld%% of each other (dt.conf)", lower);
    if (!good)
        dt_judge_next(result, "%s", speed->next);
    dt_buf_fini(&text);
}

void dt_check_memory_bandwidth(const struct dt_check_context *context,
                               struct dt_check_result *result)
{
    static const struct speed memory = {
        "mb_s", "mem.bandwidth_mb_s",
        "look for other programs on the node; dmidecode -t memory shows a module that is missing",
        dt_speed_memory};
    judge(context, result, &memory);
}

void dt_check_cpu_speed(const struct dt_check_context *context, struct dt_check_result *result)
{
    static const struct speed cpu = {"speed", "cpu.speed",
                                     "look for other programs on the node, and for a clock that is "
                                     "capped (cpupower frequency-info)",
                                     dt_speed_cpu};
    judge(context, result, &cpu);
}
