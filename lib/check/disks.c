/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of local disks: NVMe devices and software RAID. */
#include <string.h>

#include "check/judges.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

void dt_check_nvme(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *disks = dt_facts_array(context->facts, "nvme.devices"), *first = NULL;
    size_t bad = 0, count = json_array_size(disks);
    if (!disks) {
        dt_check_unknown(context, result, "nvme.devices", "look at /sys/class/nvme on the node");
        return;
    }
    if (count == 0) {
        dt_check_skip(result, "no NVMe device here");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *disk = json_array_get(disks, i);
        if (strcmp(text_of(disk, "state"), "live") != 0)
            first = bad++ ? first : disk;
    }
    dt_judge(result, bad ? DT_FAIL : DT_PASS, "/sys/class/nvme/*/state");
    dt_judge_limit(result, "every NVMe device live");
    if (bad) {
        dt_judge_value(result, "%s (%s) is %s (%zu of %zu are bad)", text_of(first, "name"),
                       text_of(first, "model"), text_of(first, "state"), bad, count);
        dt_judge_next(result, "reboot; replace the instance if it stays");
    } else {
        dt_judge_value(result, "%zu live", count);
    }
}

void dt_check_raid(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *arrays = dt_facts_array(context->facts, "raid.arrays"), *first = NULL;
    size_t bad = 0, count = json_array_size(arrays);
    if (!arrays) {
        dt_check_unknown(context, result, "raid.arrays", "look at /proc/mdstat on the node");
        return;
    }
    if (count == 0) {
        dt_check_skip(result, "no software RAID here");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *array = json_array_get(arrays, i);
        const char *state = text_of(array, "state");
        if (json_integer_value(json_object_get(array, "degraded")) > 0 ||
            strcmp(state, "broken") == 0 || strcmp(state, "inactive") == 0)
            first = bad++ ? first : array;
    }
    dt_judge(result, bad ? DT_FAIL : DT_PASS, "/sys/block/md*/md");
    dt_judge_limit(result, "every array whole");
    if (bad) {
        dt_judge_value(result, "%s is %s, and lacks %lld of its disks", text_of(first, "name"),
                       text_of(first, "state"),
                       (long long)json_integer_value(json_object_get(first, "degraded")));
        dt_judge_next(result, "make the array anew, or replace the instance");
    } else {
        dt_judge_value(result, "%zu array%s", count, count == 1 ? "" : "s");
    }
}
