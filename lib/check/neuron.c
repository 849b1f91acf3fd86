/* SPDX-License-Identifier: Apache-2.0 */
/* Check of the error counters of Neuron devices. */
#include <string.h>

#include "check/judges.h"

static bool is_repairable(const json_t *error)
{
    const char *counter = json_string_value(json_object_get(error, "counter"));
    return counter && strstr(counter, "repairable");
}

/* The first that no reboot repairs, else the first. */
static const json_t *worst_of(const json_t *errors)
{
    for (size_t i = 0; i < json_array_size(errors); i++) {
        if (!is_repairable(json_array_get(errors, i)))
            return json_array_get(errors, i);
    }
    return json_array_get(errors, 0);
}

void dt_check_neuron_errors(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long devices, counters;
    const json_t *errors = dt_facts_array(context->facts, "neuron.errors");
    if (context->instance ? context->instance->accelerator != DT_ACCELERATOR_NEURON
                          : !dt_facts_int(context->facts, "neuron.count", &devices) || !devices) {
        dt_check_skip(result, "no Neuron device on %s", dt_check_type(context));
        return;
    }
    if (!errors || !dt_facts_int(context->facts, "neuron.counters", &counters)) {
        dt_check_unknown(context, result, "neuron.errors",
                         "look at /sys/class/neuron_device/neuron0/stats/hardware on the node");
        return;
    }
    if (counters == 0) {
        dt_check_skip(result, "this driver shows no error counters");
        return;
    }
    size_t bad = json_array_size(errors);
    dt_judge(result, bad ? DT_FAIL : DT_PASS, "/sys/class/neuron_device/*/stats/hardware");
    dt_judge_limit(result, "no uncorrected error of memory, cores or DMA");
    if (!bad) {
        dt_judge_value(result, "%lld counters at 0", counters);
        return;
    }
    const json_t *first = worst_of(errors);
    const char *device = json_string_value(json_object_get(first, "device"));
    const char *counter = json_string_value(json_object_get(first, "counter"));
    long long count = json_integer_value(json_object_get(first, "count"));
    if (bad > 1)
        dt_judge_value(result, "%s: %s is %lld, and %zu more", device ? device : "?",
                       counter ? counter : "?", count, bad - 1);
    else
        dt_judge_value(result, "%s: %s is %lld", device ? device : "?", counter ? counter : "?",
                       count);
    if (is_repairable(first)) {
        dt_judge_severity(result, DT_SEVERITY_REBOOT);
        dt_judge_next(result, "reboot, or load the driver anew, which repairs the memory");
    } else {
        dt_judge_next(result,
                      "stop and start the instance, which puts it on another host; or replace it");
    }
}
