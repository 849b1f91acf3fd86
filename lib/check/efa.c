/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of EFA devices beside their count and port: speed, address, and the way in for programs. */
#include <string.h>

#include "check/judges.h"

/* The devices, or NULL after a SKIP or UNKNOWN. */
static const json_t *devices_of(const struct dt_check_context *context,
                                struct dt_check_result *result)
{
    const json_t *devices = dt_facts_array(context->facts, "efa.devices");
    if (!devices) {
        dt_check_unknown(context, result, "efa.count", "look at /sys/class/infiniband on the node");
    } else if (json_array_size(devices) == 0) {
        dt_check_skip(result, "no EFA device here");
        devices = NULL;
    }
    return devices;
}

static const char *name_of(const json_t *device)
{
    const char *name = json_string_value(json_object_get(device, "name"));
    return name ? name : "?";
}

/* The driver tells the rate as a speed and width of InfiniBand, the highest that is not above the
 * device's (efa_link_gbps_to_speed_and_width in efa_verbs.c). */
static int as_the_driver_tells(int gbps)
{
    static const int steps[] = {1600, 800, 400, 200, 120, 100, 60, 50, 40, 30, 25};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (gbps >= steps[i])
            return steps[i];
    }
    return gbps;
}

/* A driver or a device that does not know the speed tells this for every device. */
enum { RATE_UNTOLD = 100 };

static bool all_untold(const json_t *devices)
{
    for (size_t i = 0; i < json_array_size(devices); i++) {
        if (json_integer_value(json_object_get(json_array_get(devices, i), "gbps")) != RATE_UNTOLD)
            return false;
    }
    return true;
}

void dt_check_efa_rate(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *devices = devices_of(context, result), *slow = NULL, *silent = NULL;
    int wanted = context->instance ? as_the_driver_tells(context->instance->efa_gbps) : 0;
    if (!devices)
        return;
    if (wanted == 0) {
        dt_check_skip(result, "no table entry for %s", dt_check_type(context));
        return;
    }
    if (wanted > RATE_UNTOLD && all_untold(devices)) {
        dt_check_skip(result, "this EFA driver does not tell rates above %d Gb/s", RATE_UNTOLD);
        return;
    }
    size_t slow_count = 0, count = json_array_size(devices);
    for (size_t i = 0; i < count; i++) {
        const json_t *device = json_array_get(devices, i);
        const json_t *gbps = json_object_get(device, "gbps");
        if (!json_is_integer(gbps)) {
            silent = device;
        } else if (json_integer_value(gbps) < wanted) {
            slow = slow_count++ ? slow : device;
        }
    }
    dt_judge(result,
             slow     ? DT_FAIL
             : silent ? DT_UNKNOWN
                      : DT_PASS,
             "/sys/class/infiniband/*/ports/1/rate");
    dt_judge_limit(result, "%d Gb/s (%s)", wanted, dt_check_type(context));
    if (slow) {
        dt_judge_value(result, "%s runs at %lld Gb/s (%zu of %zu devices are slow)", name_of(slow),
                       (long long)json_integer_value(json_object_get(slow, "gbps")), slow_count,
                       count);
        dt_judge_number(result, DT_UNIT_GBPS, json_integer_value(json_object_get(slow, "gbps")),
                        wanted);
        dt_judge_next(result, "reboot or replace the instance");
    } else if (silent) {
        dt_judge_value(result, "not known: %s does not tell its rate", name_of(silent));
        dt_judge_next(result, "read /sys/class/infiniband/%s/ports/1/rate on the node",
                      name_of(silent));
    } else {
        dt_judge_value(result, "%zu devices at %d Gb/s", count, wanted);
        dt_judge_number(result, DT_UNIT_GBPS, wanted, wanted);
    }
}

void dt_check_efa_gid(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *devices = devices_of(context, result);
    const json_t *gids = dt_facts_array(context->facts, "efa.without_gid");
    if (!devices)
        return;
    if (!gids) {
        dt_check_unknown(context, result, "efa.without_gid",
                         "read /sys/class/infiniband/*/ports/1/gids/0 on the node");
        return;
    }
    size_t bad = json_array_size(gids);
    dt_judge(result, bad ? DT_FAIL : DT_PASS, "/sys/class/infiniband/*/ports/1/gids/0");
    dt_judge_limit(result, "an address on every device");
    if (bad) {
        const char *first = json_string_value(json_array_get(gids, 0));
        dt_judge_value(result, "%s has no address (%zu of %zu devices)", first ? first : "?", bad,
                       json_array_size(devices));
        dt_judge_next(result, "reload the driver (modprobe -r efa; modprobe efa), or reboot");
    } else {
        dt_judge_value(result, "%zu addresses", json_array_size(devices));
    }
}

void dt_check_efa_verbs(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long loaded;
    const json_t *devices = devices_of(context, result);
    if (!devices)
        return;
    if (!dt_facts_int(context->facts, "module.ib_uverbs", &loaded)) {
        dt_check_unknown(context, result, "module.ib_uverbs", "run 'lsmod' on the node");
        return;
    }
    dt_judge(result, loaded ? DT_PASS : DT_FAIL, "/sys/module/ib_uverbs");
    dt_judge_value(result, "ib_uverbs is %s",
                   loaded ? "there"
                          : "not loaded: no program can use "
                            "EFA");
    dt_judge_limit(result, "the kernel module ib_uverbs");
    if (!loaded)
        dt_judge_next(result, "modprobe ib_uverbs");
}
