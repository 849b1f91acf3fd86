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

void dt_check_local_storage(const struct dt_check_context *context, struct dt_check_result *result)
{
    enum { ENOUGH_PERCENT = 97 }; /* of eight disks one is 12% */
    const json_t *disks = dt_facts_array(context->facts, "nvme.devices");
    const struct dt_instance *type = context->instance;
    long long gb = 0, wanted = type ? type->local_storage_gb : 0;
    size_t count = 0;
    if (wanted == 0) {
        dt_check_skip(result, "the table has no instance store for %s", dt_check_type(context));
        return;
    }
    if (!disks) {
        dt_check_unknown(context, result, "nvme.devices", "run lsblk on the node");
        return;
    }
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        const json_t *size = json_object_get(disk, "gb");
        if (!strstr(text_of(disk, "model"), "Instance Storage"))
            continue;
        if (!json_is_integer(size)) {
            dt_judge(result, DT_UNKNOWN, "/sys/class/nvme");
            dt_judge_value(result, "the size of %s is not known", text_of(disk, "name"));
            dt_judge_next(result, "run lsblk on the node");
            return;
        }
        count++;
        gb += json_integer_value(size);
    }
    bool good = gb * 100 >= wanted * ENOUGH_PERCENT;
    dt_judge(result, good ? DT_PASS : DT_FAIL, "/sys/class/nvme");
    dt_judge_value(result, "%zu instance store disk%s, %lld GB", count, count == 1 ? "" : "s", gb);
    dt_judge_limit(result, "%lld GB (%s)", wanted, dt_check_type(context));
    dt_judge_number(result, DT_UNIT_BYTES, gb * 1000000000, wanted * 1000000000);
    if (!good)
        dt_judge_next(result, "reboot; replace the instance if it stays");
}
