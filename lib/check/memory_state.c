/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the state that memory is in: what earlier jobs left of it, and errors of the hardware. */
#include "check/judges.h"

void dt_check_swap(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long used, most = context->conf->max_swap_mib;
    if (!dt_facts_int(context->facts, "swap.used_mib", &used)) {
        dt_check_unknown(context, result, "swap.used_mib", "run 'swapon' on the node");
        return;
    }
    dt_judge(result, used <= most ? DT_PASS : DT_WARN, "/proc/swaps");
    dt_judge_value(result, "%lld MiB of swap in use", used);
    dt_judge_limit(result, "at most %lld MiB (dt.conf)", most);
    dt_judge_number(result, DT_UNIT_BYTES, used << 20, most << 20);
    if (used > most)
        dt_judge_next(result, "look for what fills the memory; then swapoff -a && swapon -a");
}

void dt_check_memory_fragments(const struct dt_check_context *context,
                               struct dt_check_result *result)
{
    long long free_mib, huge_mib, total, wanted = context->conf->min_huge_free_percent;
    if (wanted == 0) {
        dt_check_skip(result, "dt.conf asks for none");
        return;
    }
    if (!dt_facts_int(context->facts, "mem.free_mib", &free_mib) ||
        !dt_facts_int(context->facts, "mem.free_huge_mib", &huge_mib)) {
        dt_check_unknown(context, result, "mem.free_mib", "look at /proc/buddyinfo on the node");
        return;
    }
    /* Where little is free, the rest is cache: it is freed, and joined, when it is asked for. */
    if (dt_facts_int(context->facts, "mem.total_mib", &total) && free_mib < total / 10) {
        dt_check_skip(result,
                      "only %lld MiB are free outright: the kernel joins blocks when it "
                      "takes back its cache",
                      free_mib);
        return;
    }
    long long percent = free_mib > 0 ? huge_mib * 100 / free_mib : 0;
    bool good = percent >= wanted;
    dt_judge(result, good ? DT_PASS : DT_WARN, "/proc/buddyinfo");
    dt_judge_value(result, "%lld%% of the free memory is in blocks of a huge page's size", percent);
    dt_judge_limit(result, "%lld%% (dt.conf)", wanted);
    dt_judge_number(result, DT_UNIT_PERCENT, percent, wanted);
    if (!good)
        dt_judge_next(result, "echo 1 > /proc/sys/vm/compact_memory, or reboot");
}

void dt_check_memory_errors(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long uncorrected = 0, corrected = 0, checks = 0;
    bool edac = dt_facts_int(context->facts, "edac.uncorrected", &uncorrected);
    bool told = dt_facts_int(context->facts, "cpu.machine_checks", &checks);
    dt_facts_int(context->facts, "edac.corrected", &corrected);
    if (!edac && !told) {
        dt_check_skip(result, "this machine shows neither EDAC nor machine check counters");
        return;
    }
    bool bad = uncorrected > 0, doubtful = checks > 0;
    dt_judge(result,
             bad        ? DT_FAIL
             : doubtful ? DT_WARN
                        : DT_PASS,
             "%s", bad || !doubtful ? "/sys/devices/system/edac" : "/proc/interrupts");
    dt_judge_value(result,
                   "%lld uncorrected and %lld corrected memory errors, %lld machine checks "
                   "since boot",
                   uncorrected, corrected, checks);
    dt_judge_limit(result, "none uncorrected");
    if (bad)
        dt_judge_next(result, "replace the instance");
    else if (doubtful)
        dt_judge_next(result,
                      "look for 'mce' in the kernel's log; replace the instance if they go on");
}

void dt_check_shm_left(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long left, owner, most = context->conf->max_shm_left_mib;
    if (!dt_facts_int(context->facts, "shm.left_mib", &left)) {
        dt_check_unknown(context, result, "shm.left_mib", "run 'ls -la /dev/shm' on the node");
        return;
    }
    bool good = left <= most;
    dt_judge(result, good ? DT_PASS : DT_WARN, "/dev/shm");
    if (dt_facts_int(context->facts, "shm.left_uid", &owner))
        dt_judge_value(result, "%lld MiB of users who run nothing here, the first of uid %lld",
                       left, owner);
    else
        dt_judge_value(result, "%lld MiB of users who run nothing here", left);
    dt_judge_limit(result, "at most %lld MiB (dt.conf)", most);
    dt_judge_number(result, DT_UNIT_BYTES, left << 20, most << 20);
    if (!good)
        dt_judge_next(result, "remove what earlier jobs left there: find /dev/shm -ls");
}
