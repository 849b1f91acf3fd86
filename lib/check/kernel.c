/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what the kernel runs: its clock source, its modules, and the processes on it. */
#include <string.h>

#include "check/judges.h"

void dt_check_clock_source(const struct dt_check_context *context, struct dt_check_result *result)
{
    /* Each read of these is a trap or a slow device: a microsecond and more instead of 20 ns. */
    static const char *const slow[] = {"xen", "hpet",    "acpi_pm",
                                       "pit", "jiffies", "refined-jiffies"};
    const char *source;
    bool good = true;
    if (!dt_facts_string(context->facts, "clock.source", &source)) {
        dt_check_unknown(context, result, "clock.source",
                         "look at /sys/devices/system/clocksource on the node");
        return;
    }
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++)
        good = good && strcmp(source, slow[i]) != 0;
    dt_judge(result, good ? DT_PASS : DT_WARN, "/sys/devices/system/clocksource");
    dt_judge_value(result, "%s%s", source, good ? "" : ": each look at the clock is a trap");
    dt_judge_limit(result, "tsc, kvm-clock or arch_sys_counter");
    if (!good)
        dt_judge_next(result,
                      "boot with clocksource=tsc tsc=reliable; see the kernel's log for why "
                      "tsc was given up");
}

/* {"name","ok"} of what dt.conf asks for. */
static void judge_required(const struct dt_check_context *context, struct dt_check_result *result,
                           const char *key, const char *option, const char *source,
                           const char *next)
{
    const json_t *list = dt_facts_array(context->facts, key);
    const char *first = NULL;
    size_t missing = 0, count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_true(json_object_get(item, "ok")))
            continue;
        const char *name = json_string_value(json_object_get(item, "name"));
        first = missing++ ? first : name ? name : "?";
    }
    dt_judge(result, missing ? DT_FAIL : DT_PASS, "%s", source);
    dt_judge_limit(result, "all of %s (dt.conf)", option);
    if (missing > 1)
        dt_judge_value(result, "%s and %zu more are missing", first, missing - 1);
    else if (missing)
        dt_judge_value(result, "%s is missing", first);
    else
        dt_judge_value(result, "%zu", count);
    if (missing)
        dt_judge_next(result, next, first);
}

void dt_check_modules(const struct dt_check_context *context, struct dt_check_result *result)
{
    if (!context->conf->required_modules || !context->conf->required_modules[0])
        dt_check_skip(result, "dt.conf names no required-modules");
    else if (!dt_facts_array(context->facts, "module.required"))
        dt_check_unknown(context, result, "module.required", "run lsmod on the node");
    else
        judge_required(context, result, "module.required", "required-modules", "/sys/module",
                       "modprobe %s");
}

void dt_check_services(const struct dt_check_context *context, struct dt_check_result *result)
{
    if (!context->conf->required_processes || !context->conf->required_processes[0])
        dt_check_skip(result, "dt.conf names no required-processes");
    else if (!dt_facts_array(context->facts, "process.required"))
        dt_check_unknown(context, result, "process.required", "run ps on the node");
    else
        judge_required(context, result, "process.required", "required-processes", "/proc/*/stat",
                       "start the service of %s; see its log");
}

void dt_check_processes(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long zombies, stuck;
    const struct dt_conf *conf = context->conf;
    const char *first = "?";
    if (!dt_facts_int(context->facts, "process.zombies", &zombies) ||
        !dt_facts_int(context->facts, "process.stuck", &stuck)) {
        dt_check_unknown(context, result, "process.zombies", "run ps on the node");
        return;
    }
    bool good = zombies < conf->max_zombies && stuck < conf->max_stuck_processes;
    dt_facts_string(context->facts, "process.stuck_first", &first);
    dt_judge(result, good ? DT_PASS : DT_WARN, "/proc/*/stat");
    if (stuck >= conf->max_stuck_processes)
        dt_judge_value(result, "%lld processes wait without being interruptible; the first: %s",
                       stuck, first);
    else
        dt_judge_value(result, "%lld zombies, %lld processes in state D", zombies, stuck);
    dt_judge_limit(result, "below %lld zombies and %lld in state D (dt.conf)", conf->max_zombies,
                   conf->max_stuck_processes);
    if (!good)
        dt_judge_next(result, "look for a hung file server or device; what is in state D goes away "
                              "with it, or with a reboot");
}
