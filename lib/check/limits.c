/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what a rank may use: locked memory, open files, shared memory, memory, huge pages.
 * Limits come from dt.conf and the instance table. */
#include "check/judges.h"

/* 2048 MiB as "2 GiB", 100 MiB as "100 MiB". */
#define SIZE_FORMAT "%lld %s"
#define SIZE_ARGS(mib)                                                                             \
    (mib) >= 10240 || ((mib) >= 1024 && (mib) % 1024 == 0) ? ((mib) + 512) / 1024 : (mib),         \
        (mib) >= 10240 || ((mib) >= 1024 && (mib) % 1024 == 0) ? "GiB" : "MiB"

static long long percent_of(long long percent, long long total)
{
    return total / 100 * percent + total % 100 * percent / 100;
}

void dt_check_memlock(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long bytes, wanted = context->conf->min_memlock_mib;
    if (!dt_check_wants_efa(context)) {
        dt_check_skip(result, "no EFA on %s", dt_check_type(context));
        return;
    }
    if (wanted < 0)
        dt_judge_limit(result, "unlimited (dt.conf)");
    else
        dt_judge_limit(result, SIZE_FORMAT " (dt.conf)", SIZE_ARGS(wanted));
    if (!dt_facts_int(context->facts, "limit.memlock", &bytes)) {
        dt_check_unknown(context, result, "limit.memlock", "run 'ulimit -l' in a job there");
        return;
    }
    bool enough = bytes < 0 || (wanted >= 0 && bytes >> 20 >= wanted);
    dt_judge(result, enough ? DT_PASS : DT_FAIL, "RLIMIT_MEMLOCK of the ranks");
    if (bytes < 0)
        dt_judge_value(result, "unlimited");
    else if (bytes < 1 << 20)
        dt_judge_value(result, "%lld KiB", bytes >> 10);
    else
        dt_judge_value(result, SIZE_FORMAT, SIZE_ARGS(bytes >> 20));
    if (bytes >= 0 && wanted >= 0)
        dt_judge_number(result, DT_UNIT_BYTES, bytes, wanted << 20);
    if (!enough)
        dt_judge_next(result, "LimitMEMLOCK=infinity for slurmd, and "
                              "PropagateResourceLimitsExcept=MEMLOCK in slurm.conf");
}

void dt_check_nofile(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long files, wanted = context->conf->min_nofile;
    if (!dt_facts_int(context->facts, "limit.nofile", &files)) {
        dt_check_unknown(context, result, "limit.nofile", "run 'ulimit -n' in a job there");
        return;
    }
    bool enough = files < 0 || files >= wanted;
    dt_judge(result, enough ? DT_PASS : DT_FAIL, "RLIMIT_NOFILE of the ranks");
    dt_judge_limit(result, "%lld open files (dt.conf)", wanted);
    if (files < 0)
        dt_judge_value(result, "unlimited");
    else
        dt_judge_value(result, "%lld open files", files);
    if (files >= 0)
        dt_judge_number(result, DT_UNIT_COUNT, files, wanted);
    if (!enough)
        dt_judge_next(result, "'ulimit -n %lld' before srun, or LimitNOFILE for slurmd", wanted);
}

void dt_check_shm(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long size, free_mib, memory, percent = context->conf->min_shm_percent;
    const char *look = "run 'df /dev/shm' in a job there";
    if (!dt_facts_int(context->facts, "shm.size_mib", &size)) {
        dt_check_unknown(context, result, "shm.size_mib", look);
        return;
    }
    if (!dt_facts_int(context->facts, "mem.total_mib", &memory)) {
        dt_check_unknown(context, result, "mem.total_mib", look);
        return;
    }
    long long wanted = percent_of(percent, memory);
    dt_judge(result, size >= wanted ? DT_PASS : DT_FAIL, "/dev/shm");
    dt_judge_value(result, SIZE_FORMAT, SIZE_ARGS(size));
    dt_judge_limit(result, SIZE_FORMAT " (%lld%% of memory, dt.conf)", SIZE_ARGS(wanted), percent);
    dt_judge_number(result, DT_UNIT_BYTES, size << 20, wanted << 20);
    if (size < wanted) {
        dt_judge_next(result,
                      "mount -o remount,size=%lld%% /dev/shm; in a container, raise its shm size",
                      percent);
    } else if (dt_facts_int(context->facts, "shm.free_mib", &free_mib) && free_mib < size / 10) {
        result->result = DT_WARN;
        dt_judge_value(result, "only " SIZE_FORMAT " free of " SIZE_FORMAT, SIZE_ARGS(free_mib),
                       SIZE_ARGS(size));
        dt_judge_next(result, "remove what earlier jobs left in /dev/shm");
    }
}

void dt_check_memory(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long memory;
    if (!context->instance) {
        dt_check_skip(result, "no table entry for %s: only compared between the nodes",
                      dt_check_type(context));
        return;
    }
    if (!dt_facts_int(context->facts, "mem.total_mib", &memory)) {
        dt_check_unknown(context, result, "mem.total_mib", "look at /proc/meminfo on the node");
        return;
    }
    long long percent = context->conf->min_memory_percent;
    long long wanted = percent_of(percent, context->instance->memory_mib);
    dt_judge(result, memory >= wanted ? DT_PASS : DT_FAIL, "/proc/meminfo");
    dt_judge_value(result, SIZE_FORMAT, SIZE_ARGS(memory));
    dt_judge_limit(result, SIZE_FORMAT " (%lld%% of %s)", SIZE_ARGS(wanted), percent,
                   dt_check_type(context));
    dt_judge_number(result, DT_UNIT_BYTES, memory << 20, wanted << 20);
    if (memory < wanted)
        dt_judge_next(result,
                      "replace the instance, or look for mem= on the kernel's command line");
}

void dt_check_hugepages(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long free_mib, size_kib, wanted = context->conf->min_hugepages_mib;
    if (wanted <= 0) {
        dt_check_skip(result, "dt.conf asks for none");
        return;
    }
    if (!dt_check_wants_efa(context)) {
        dt_check_skip(result, "no EFA on %s", dt_check_type(context));
        return;
    }
    if (!dt_facts_int(context->facts, "hugepages.free_mib", &free_mib)) {
        dt_check_unknown(context, result, "hugepages.free_mib",
                         "look at /proc/meminfo on the node");
        return;
    }
    dt_judge(result, free_mib >= wanted ? DT_PASS : DT_FAIL, "/proc/meminfo");
    dt_judge_value(result, SIZE_FORMAT " free", SIZE_ARGS(free_mib));
    dt_judge_limit(result, SIZE_FORMAT " (dt.conf)", SIZE_ARGS(wanted));
    dt_judge_number(result, DT_UNIT_BYTES, free_mib << 20, wanted << 20);
    if (free_mib >= wanted)
        return;
    if (dt_facts_int(context->facts, "hugepages.size_kib", &size_kib) && size_kib > 0)
        dt_judge_next(result, "sysctl vm.nr_hugepages=%lld, or reboot if memory is fragmented",
                      wanted * 1024 / size_kib);
    else
        dt_judge_next(result, "raise vm.nr_hugepages");
}
