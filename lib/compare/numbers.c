/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that are compared with the median of the nodes: clock, memory size, and how fast
 * memory and cores are. */
#include <stdlib.h>

#include "compare/values.h"

/* Memory that equal machines differ by: firmware and kernel reservations. */
enum { MEMORY_PERCENT = 2 };

/* Numbers from outside are cut to this, so that differences can not overflow: 11 days in us. */
#define NUMBER_MAX 1000000000000LL

struct numbers {
    size_t *nodes;
    long long *values;
    size_t count;
    long long median; /* of an even count the lower one: always a value that some node has */
};

static int by_value(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return x < y ? -1 : x > y;
}

static int numbers_init(struct numbers *numbers, const struct dt_comparison *comparison,
                        const size_t *members, size_t count, const char *key)
{
    *numbers = (struct numbers){0};
    numbers->nodes = calloc(count + 1, sizeof *numbers->nodes);
    numbers->values = calloc(count + 1, sizeof *numbers->values);
    long long *sorted = calloc(count + 1, sizeof *sorted);
    if (!numbers->nodes || !numbers->values || !sorted) {
        free(numbers->nodes);
        free(numbers->values);
        free(sorted);
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        long long value;
        if (!dt_facts_int(comparison->nodes[members[i]].facts, key, &value))
            continue;
        if (value > NUMBER_MAX)
            value = NUMBER_MAX;
        if (value < -NUMBER_MAX)
            value = -NUMBER_MAX;
        numbers->nodes[numbers->count] = members[i];
        sorted[numbers->count] = value;
        numbers->values[numbers->count++] = value;
    }
    if (numbers->count) {
        qsort(sorted, numbers->count, sizeof *sorted, by_value);
        numbers->median = sorted[(numbers->count - 1) / 2];
    }
    free(sorted);
    return 0;
}

static void numbers_fini(struct numbers *numbers)
{
    free(numbers->nodes);
    free(numbers->values);
}

/* Nodes that lack what others have. */
static void lacking(struct dt_comparison *comparison, const struct numbers *numbers,
                    const size_t *members, size_t count, const char *name, const char *key)
{
    if (numbers->count == 0)
        return;
    for (size_t i = 0, k = 0; i < count; i++) {
        if (k < numbers->count && numbers->nodes[k] == members[i]) {
            k++;
            continue;
        }
        struct dt_check_result *result = dt_finding_add(comparison, members[i], name);
        if (!result)
            return;
        dt_judge(result, DT_UNKNOWN, "%s", key);
        dt_judge_value(result, "not known: %s",
                       dt_facts_why(comparison->nodes[members[i]].facts, key));
        dt_judge_next(result, "compare by hand");
    }
}

static long long magnitude(long long value)
{
    return value < 0 ? -value : value;
}

/* How far the measurement itself may be off: half the round trip. */
static long long uncertainty(const struct dt_comparison *comparison, size_t node)
{
    long long rtt;
    if (!dt_facts_int(comparison->nodes[node].facts, "clock.rtt_us", &rtt) || rtt < 0)
        return 0;
    return rtt > NUMBER_MAX ? NUMBER_MAX : rtt / 2;
}

/* The gathering host's own clock, offset 0, has a vote too: of two nodes that differ, one agrees
 * with it. */
static int clock_median(struct numbers *clock)
{
    long long *sorted = calloc(clock->count + 1, sizeof *sorted);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < clock->count; i++)
        sorted[i] = clock->values[i];
    qsort(sorted, clock->count + 1, sizeof *sorted, by_value);
    clock->median = sorted[clock->count / 2];
    free(sorted);
    return 0;
}

/* No side is in the majority: tell how far apart they are, blame nobody. */
static void clocks_disagree(struct dt_comparison *comparison, const struct numbers *clock,
                            long long limit)
{
    long long low = clock->values[0], high = clock->values[0];
    for (size_t i = 1; i < clock->count; i++) {
        low = clock->values[i] < low ? clock->values[i] : low;
        high = clock->values[i] > high ? clock->values[i] : high;
    }
    struct dt_check_result *result = dt_finding_add(comparison, SIZE_MAX, "clock");
    if (!result)
        return;
    dt_judge(result, DT_FAIL, "clock.offset_us");
    dt_judge_value(result, "clocks are up to %lld ms apart", (high - low) / 1000);
    dt_judge_limit(result, "at most %lld ms (dt.conf)", limit / 1000);
    dt_judge_next(result, "run chronyc tracking on the nodes");
}

void dt_compare_clock(struct dt_comparison *comparison, const size_t *members, size_t count)
{
    struct numbers clock;
    long long limit = comparison->conf->max_clock_offset_ms * 1000;
    if (numbers_init(&clock, comparison, members, count, "clock.offset_us") < 0) {
        comparison->failed = true;
        return;
    }
    lacking(comparison, &clock, members, count, "clock", "clock.offset_us");
    if (clock_median(&clock) < 0)
        comparison->failed = true;
    size_t off = 0;
    for (size_t i = 0; i < clock.count; i++)
        off += magnitude(clock.values[i] - clock.median) - uncertainty(comparison, clock.nodes[i]) >
               limit;
    bool blame = off * 2 < clock.count + 1;
    if (off && !blame)
        clocks_disagree(comparison, &clock, limit);
    for (size_t i = 0; i < clock.count; i++) {
        long long difference = clock.values[i] - clock.median;
        long long unsure = uncertainty(comparison, clock.nodes[i]);
        bool is_off = magnitude(difference) - unsure > limit;
        if (magnitude(difference) <= limit || (is_off && !blame))
            continue;
        struct dt_check_result *result = dt_finding_add(comparison, clock.nodes[i], "clock");
        if (!result)
            break;
        dt_judge(result, is_off ? DT_FAIL : DT_UNKNOWN, "clock.offset_us");
        dt_judge_value(result, "%+lld ms against the others, give or take %lld ms",
                       difference / 1000, unsure / 1000);
        dt_judge_limit(result, "at most %lld ms (dt.conf)", limit / 1000);
        dt_judge_next(result, "run chronyc tracking on the node; restart chronyd");
    }
    numbers_fini(&clock);
}

void dt_compare_memory(struct dt_comparison *comparison, const size_t *members, size_t count)
{
    struct numbers memory;
    if (numbers_init(&memory, comparison, members, count, "mem.total_mib") < 0) {
        comparison->failed = true;
        return;
    }
    lacking(comparison, &memory, members, count, "memory", "mem.total_mib");
    size_t off = 0;
    for (size_t i = 0; i < memory.count; i++)
        off += magnitude(memory.values[i] - memory.median) * 100 > memory.median * MEMORY_PERCENT;
    bool blame = off * 2 < memory.count;
    for (size_t i = 0; i < memory.count; i++) {
        if (magnitude(memory.values[i] - memory.median) * 100 <= memory.median * MEMORY_PERCENT)
            continue;
        struct dt_check_result *result =
            dt_finding_add(comparison, blame ? memory.nodes[i] : SIZE_MAX, "memory");
        if (!result)
            break;
        dt_judge(result, DT_FAIL, "mem.total_mib");
        dt_judge_value(result, "%lld MiB%s", memory.values[i], blame ? "" : " on some nodes");
        dt_judge_limit(result, "%lld MiB within %d%%, as the others", memory.median,
                       MEMORY_PERCENT);
        dt_judge_next(result,
                      "replace the instance, or look for mem= on the kernel's command line");
        if (!blame)
            break;
    }
    numbers_fini(&memory);
}

/* What level deep measures. */
static const struct speed {
    const char *name, *key, *key_of_node, *next;
    void (*write)(char *text, size_t size, long long value);
} speeds[] = {
    {"memory-bandwidth", "mem.bandwidth_mb_s", "mem.bandwidth_node",
     "look for other programs on the node; dmidecode -t memory shows a module that is missing",
     dt_speed_memory},
    {"cpu-speed", "cpu.speed", "cpu.speed_node",
     "look for other programs on the node, and for a clock that is capped (cpupower "
     "frequency-info)",
     dt_speed_cpu},
};

/* The upper median: nothing makes a machine too fast, so of two nodes the faster one is right. */
static int speed_median(const struct numbers *rate, long long *median, long long *scatter)
{
    long long *sorted = calloc(rate->count + 1, sizeof *sorted);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < rate->count; i++)
        sorted[i] = rate->values[i];
    qsort(sorted, rate->count, sizeof *sorted, by_value);
    *median = sorted[rate->count / 2];
    for (size_t i = 0; i < rate->count; i++)
        sorted[i] = magnitude(rate->values[i] - *median);
    qsort(sorted, rate->count, sizeof *sorted, by_value);
    *scatter = rate->count ? sorted[(rate->count - 1) / 2] : 0;
    free(sorted);
    return 0;
}

static void slower(struct dt_comparison *comparison, const struct numbers *rate, size_t i,
                   const struct speed *speed, long long median)
{
    char found[64], wanted[64];
    long long numa = 0;
    struct dt_check_result *result = dt_finding_add(comparison, rate->nodes[i], speed->name);
    if (!result)
        return;
    dt_facts_int(comparison->nodes[rate->nodes[i]].facts, speed->key_of_node, &numa);
    speed->write(found, sizeof found, rate->values[i]);
    speed->write(wanted, sizeof wanted, median);
    /* One short measurement on a machine that may be busy: worth telling, no proof. */
    dt_judge(result, DT_WARN, "%s", speed->key);
    dt_judge_value(result, "%s on NUMA node %lld", found, numa);
    dt_judge_limit(result, "at least %lld%% of %s, the median (dt.conf)",
                   100 - comparison->conf->deep_slower_percent, wanted);
    dt_judge_next(result, "%s", speed->next);
}

void dt_compare_speed(struct dt_comparison *comparison, const size_t *members, size_t count)
{
    /* About three standard deviations, of a median deviation: nodes that scatter (small machines, with
     * neighbours) do not make one of them sick. */
    enum { SCATTERS = 4 };
    const long long least = 100 - comparison->conf->deep_slower_percent;
    for (size_t k = 0; k < sizeof speeds / sizeof *speeds; k++) {
        const struct speed *speed = &speeds[k];
        struct numbers rate;
        long long median = 0, scatter = 0;
        if (numbers_init(&rate, comparison, members, count, speed->key) < 0) {
            comparison->failed = true;
            return;
        }
        lacking(comparison, &rate, members, count, speed->name, speed->key);
        if (speed_median(&rate, &median, &scatter) < 0)
            comparison->failed = true;
        for (size_t i = 0; i < rate.count; i++) {
            if (rate.values[i] * 100 < median * least &&
                median - rate.values[i] > SCATTERS * scatter)
                slower(comparison, &rate, i, speed, median);
        }
        numbers_fini(&rate);
    }
}

/* A node that has just booted among nodes that run for days: it may have crashed, or be a replacement
 * that is not set up to the end. Times apart are nothing by themselves. */
void dt_compare_boot(struct dt_comparison *comparison, const size_t *members, size_t count)
{
    enum { DAY_S = 86400 };
    struct numbers uptime;
    long long fresh = comparison->conf->fresh_boot_minutes * 60;
    if (numbers_init(&uptime, comparison, members, count, "boot.uptime_s") < 0) {
        comparison->failed = true;
        return;
    }
    for (size_t i = 0; i < uptime.count && uptime.median >= DAY_S; i++) {
        if (uptime.values[i] >= fresh)
            continue;
        struct dt_check_result *result = dt_finding_add(comparison, uptime.nodes[i], "boot");
        if (!result)
            break;
        dt_judge(result, DT_WARN, "boot.uptime_s");
        dt_judge_value(result, "booted %lld min ago", uptime.values[i] / 60);
        dt_judge_limit(result, "the others run for %lld days", uptime.median / DAY_S);
        dt_judge_next(result,
                      "look why: the kernel's log of the boot before, and the cloud's events");
    }
    numbers_fini(&uptime);
}
