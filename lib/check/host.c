/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the machine itself: processors, how the kernel runs them, memory in use, the clock. */
#include <string.h>

#include "check/judges.h"

/* Without a table entry there is still what the kernel knows to be there. */
static void judge_present(const struct dt_check_context *context, struct dt_check_result *result,
                          long long online)
{
    long long present;
    if (!dt_facts_int(context->facts, "cpu.present", &present)) {
        dt_check_skip(result, "no table entry for %s", dt_check_type(context));
        return;
    }
    bool threads_off = online * 2 == present;
    bool good = online >= present || threads_off;
    dt_judge(result, good ? DT_PASS : DT_FAIL, "/sys/devices/system/cpu/online");
    dt_judge_value(result, "%lld CPUs%s", online, threads_off ? " (hyper-threads are off)" : "");
    dt_judge_limit(result, "all %lld that are present", present);
    dt_judge_number(result, DT_UNIT_COUNT, online, present);
    if (!good)
        dt_judge_next(result, "look who took CPUs offline, or reboot");
}

void dt_check_cpu_count(const struct dt_check_context *context, struct dt_check_result *result)
{
    const struct dt_instance *type = context->instance;
    long long online;
    if (!dt_facts_int(context->facts, "cpu.online", &online)) {
        dt_check_unknown(context, result, "cpu.online", "run lscpu on the node");
        return;
    }
    if (!type) {
        judge_present(context, result, online);
        return;
    }
    /* Switching the second threads off is a choice that some sites make. */
    bool threads_off = type->threads_per_core > 1 && online == type->cores;
    bool good = online >= type->vcpus || threads_off;
    dt_judge(result, good ? DT_PASS : DT_FAIL, "/sys/devices/system/cpu/online");
    dt_judge_value(result, "%lld CPUs%s", online, threads_off ? " (hyper-threads are off)" : "");
    dt_judge_limit(result, "%d (%s)", type->vcpus, dt_check_type(context));
    dt_judge_number(result, DT_UNIT_COUNT, online, type->vcpus);
    if (!good)
        dt_judge_next(result, "look for CPUs taken offline or maxcpus= on the kernel's command "
                              "line; reboot or replace the instance");
}

void dt_check_numa_count(const struct dt_check_context *context, struct dt_check_result *result)
{
    const struct dt_instance *type = context->instance;
    long long nodes;
    if (!type || !type->topology_measured) {
        dt_check_skip(result, "no measured NUMA nodes of %s in the table", dt_check_type(context));
        return;
    }
    if (!dt_facts_int(context->facts, "numa.count", &nodes)) {
        dt_check_unknown(context, result, "numa.count", "run 'lscpu' on the node");
        return;
    }
    bool good = nodes == type->numa_nodes;
    dt_judge(result, good ? DT_PASS : DT_FAIL, "/sys/devices/system/node/online");
    dt_judge_value(result, "%lld NUMA node%s", nodes, nodes == 1 ? "" : "s");
    dt_judge_limit(result, "%d (%s)", type->numa_nodes, dt_check_type(context));
    dt_judge_number(result, DT_UNIT_COUNT, nodes, type->numa_nodes);
    if (!good)
        dt_judge_next(result,
                      "look for numa=off on the kernel's command line; reboot or replace the "
                      "instance");
}

void dt_check_governor(const struct dt_check_context *context, struct dt_check_result *result)
{
    const char *governor;
    if (!dt_facts_string(context->facts, "cpu.governor", &governor)) {
        dt_check_skip(result, "the kernel does not set this machine's CPU clock");
        return;
    }
    bool good = strcmp(governor, "performance") == 0;
    dt_judge(result, good ? DT_PASS : DT_WARN, "/sys/devices/system/cpu/cpu0/cpufreq");
    dt_judge_value(result, "%s", governor);
    dt_judge_limit(result, "performance");
    if (!good)
        dt_judge_next(result, "cpupower frequency-set -g performance");
}

void dt_check_numa_balancing(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long on, nodes;
    if (dt_facts_int(context->facts, "numa.count", &nodes) && nodes == 1) {
        dt_check_skip(result, "one NUMA node");
        return;
    }
    if (!dt_facts_int(context->facts, "kernel.numa_balancing", &on)) {
        dt_check_skip(result, "this kernel has none");
        return;
    }
    dt_judge(result, on ? DT_WARN : DT_PASS, "/proc/sys/kernel/numa_balancing");
    dt_judge_value(result, "%s", on ? "on: it moves pages that NCCL and EFA have pinned" : "off");
    dt_judge_limit(result, "off");
    if (on)
        dt_judge_next(result, "sysctl kernel.numa_balancing=0");
}

void dt_check_clock_sync(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long synced;
    if (!dt_facts_int(context->facts, "clock.synced", &synced)) {
        dt_check_unknown(context, result, "clock.synced", "run 'timedatectl' on the node");
        return;
    }
    dt_judge(result, synced ? DT_PASS : DT_WARN, "adjtimex");
    dt_judge_value(result, "the clock is %s", synced ? "synchronized" : "not synchronized");
    dt_judge_limit(result, "synchronized");
    if (!synced)
        dt_judge_next(result, "start chronyd (Amazon Time Sync: server 169.254.169.123)");
}

void dt_check_memory_free(const struct dt_check_context *context, struct dt_check_result *result)
{
    enum { WANTED_PERCENT = 50 };
    long long total, available, huge = 0;
    const char *look = "look at /proc/meminfo on the node";
    if (!dt_facts_int(context->facts, "mem.total_mib", &total) ||
        !dt_facts_int(context->facts, "mem.available_mib", &available)) {
        dt_check_unknown(context, result, "mem.available_mib", look);
        return;
    }
    /* Huge pages are reserved, and yet there for the job. */
    dt_facts_int(context->facts, "hugepages.total_mib", &huge);
    long long wanted = total / 100 * WANTED_PERCENT;
    bool good = available + huge >= wanted;
    dt_judge(result, good ? DT_PASS : DT_WARN, "/proc/meminfo");
    dt_judge_value(result, "%lld of %lld MiB available", available + huge, total);
    dt_judge_limit(result, "%d%%", WANTED_PERCENT);
    dt_judge_number(result, DT_UNIT_BYTES, (available + huge) << 20, wanted << 20);
    if (!good)
        dt_judge_next(result, "look for what earlier jobs left: ps, /dev/shm, tmpfs mounts");
}
