/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of devices: GPUs, Neuron devices, EFA. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "check/judges.h"

#define REPLACE "reboot the instance; replace it if the device stays away"

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

/* First members of a list of objects: "0000:53:00.0 fell off the bus and 1 more". */
static void describe(struct dt_buf *buf, const json_t *list, const char *a, const char *b)
{
    const json_t *first = json_array_get(list, 0);
    const char *one = json_string_value(json_object_get(first, a));
    const char *two = json_string_value(json_object_get(first, b));
    size_t more = json_array_size(list) > 1 ? json_array_size(list) - 1 : 0;
    dt_buf_printf(buf, "%s: %s", one ? one : "?", two ? two : "?");
    if (more)
        dt_buf_printf(buf, ", and %zu more", more);
}

/* The driver has fewer GPUs than the bus shows, or none at all. */
static void gpu_driver(const struct dt_check_context *context, struct dt_check_result *result,
                       long long wanted)
{
    const char *error;
    long long count = 0, pci;
    struct dt_buf lost = DT_BUF_INIT;
    if (!dt_facts_int(context->facts, "gpu.pci_count", &pci))
        pci = wanted;
    if (dt_facts_string(context->facts, "gpu.error", &error)) {
        /* Without a table nobody says that these GPUs are meant to be used. */
        dt_judge(result, context->instance ? DT_FAIL : DT_WARN, "NVML, /proc/driver/nvidia");
        dt_judge_value(result, "%lld GPU%s on the PCI bus, and %s", pci, plural(pci), error);
        dt_judge_next(result,
                      "load the NVIDIA driver (modprobe nvidia, then nvidia-smi) or fix the image");
        return;
    }
    dt_facts_int(context->facts, "gpu.count", &count);
    dt_judge(result, DT_FAIL, "NVML, /proc/driver/nvidia, /sys/bus/pci/devices");
    const json_t *list = dt_facts_array(context->facts, "gpu.lost");
    if (json_array_size(list) > 0) {
        describe(&lost, list, "bdf", "reason");
        dt_judge_value(result, "%lld of %lld GPUs answer (%s)", count, pci,
                       lost.data ? lost.data : "which one is not known");
    } else {
        dt_judge_value(result, "%lld of %lld GPUs answer", count, pci);
    }
    dt_judge_next(result, "look for an Xid in dmesg; " REPLACE);
    dt_buf_fini(&lost);
}

void dt_check_gpu_count(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long pci, count, wanted;
    const char *error;
    bool has_pci = dt_facts_int(context->facts, "gpu.pci_count", &pci);
    bool has_count = dt_facts_int(context->facts, "gpu.count", &count);
    bool refused = dt_facts_string(context->facts, "gpu.error", &error);
    if (context->instance && context->instance->accelerator != DT_ACCELERATOR_NVIDIA) {
        dt_check_skip(result, "no GPU on %s", dt_check_type(context));
        return;
    }
    if (!context->instance && has_pci && pci == 0 && !refused && (!has_count || count == 0)) {
        dt_check_skip(result, "no GPU on the PCI bus, and no table entry for %s",
                      dt_check_type(context));
        return;
    }
    wanted = context->instance ? context->instance->accelerators : has_pci ? pci : 0;
    if (context->instance)
        dt_judge_limit(result, "%lld GPU%s (%s)", wanted, plural(wanted), dt_check_type(context));
    else
        dt_judge_limit(result, "%lld GPU%s (PCI bus)", wanted, plural(wanted));
    if (has_pci && pci < wanted) {
        dt_judge(result, DT_FAIL, "/sys/bus/pci/devices");
        dt_judge_value(result, "%lld GPU%s on the PCI bus", pci, plural(pci));
        dt_judge_number(result, DT_UNIT_COUNT, pci, wanted);
        dt_judge_next(result, REPLACE);
    } else if (refused || (has_count && count < wanted)) {
        gpu_driver(context, result, wanted);
        if (has_count)
            dt_judge_number(result, DT_UNIT_COUNT, count, wanted);
    } else if (!has_count || (!context->instance && !has_pci)) {
        dt_check_unknown(context, result, has_count ? "gpu.pci_count" : "gpu.count",
                         "run nvidia-smi there; if it is slow, turn persistence mode on");
    } else {
        dt_judge(result, DT_PASS, "NVML, /proc/driver/nvidia, /sys/bus/pci/devices");
        dt_judge_value(result, "%lld GPU%s", count, plural(count));
        dt_judge_number(result, DT_UNIT_COUNT, count, wanted);
    }
}

void dt_check_neuron_count(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long count;
    bool known = dt_facts_int(context->facts, "neuron.count", &count);
    if (context->instance && context->instance->accelerator != DT_ACCELERATOR_NEURON) {
        dt_check_skip(result, "no Neuron device on %s", dt_check_type(context));
    } else if (!context->instance) {
        dt_check_skip(result, "no table entry for %s", dt_check_type(context));
    } else if (!known) {
        dt_check_unknown(context, result, "neuron.count", "look at /sys on the node");
    } else {
        int wanted = context->instance->accelerators;
        dt_judge(result, count < wanted ? DT_FAIL : DT_PASS, "/sys/class/neuron_device");
        dt_judge_value(result, "%lld Neuron device%s", count, plural(count));
        dt_judge_limit(result, "%d (%s)", wanted, dt_check_type(context));
        dt_judge_number(result, DT_UNIT_COUNT, count, wanted);
        if (count == 0)
            dt_judge_next(result, "load the driver (modprobe neuron) or fix the image");
        else if (count < wanted)
            dt_judge_next(result, REPLACE);
    }
}

void dt_check_efa_count(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long count;
    bool known = dt_facts_int(context->facts, "efa.count", &count);
    int wanted = context->instance ? context->instance->efas : 0;
    if (!context->instance && known && count > 0) {
        /* A machine of EC2 then: the user should hear that nobody counts for him. */
        dt_judge(result, DT_WARN, "/sys/class/infiniband");
        dt_judge_value(result, "%lld EFA device%s", count, plural(count));
        dt_judge_limit(result, "a number from instances.conf, which lacks %s",
                       dt_check_type(context));
        dt_judge_next(result, "describe %s there: until then what all nodes lack is not noticed",
                      dt_check_type(context));
        return;
    }
    if (!context->instance) {
        dt_check_skip(result, "no table entry for %s", dt_check_type(context));
        return;
    }
    if (wanted == 0) {
        dt_check_skip(result, "no EFA on %s", dt_check_type(context));
        return;
    }
    dt_judge_limit(result, "%d EFA device%s (%s)", wanted, plural(wanted), dt_check_type(context));
    if (!known) {
        dt_check_unknown(context, result, "efa.count", "look at /sys/class/infiniband on the node");
        return;
    }
    dt_judge(result, count >= wanted ? DT_PASS : DT_FAIL, "/sys/class/infiniband");
    dt_judge_value(result, "%lld EFA device%s", count, plural(count));
    dt_judge_number(result, DT_UNIT_COUNT, count, wanted);
    if (count == 0 && wanted == 1) {
        /* One EFA device is an option of the instance's launch, and such a cluster can be meant so.
         */
        result->result = DT_WARN;
        dt_judge_next(result, "attach EFA when launching, if NCCL is to use it rather than TCP");
    } else if (count == 0) {
        dt_judge_next(result, "load the driver (modprobe efa), or attach EFA when launching");
    } else if (count < wanted) {
        dt_judge_next(result, REPLACE);
    }
}

static bool port_is_up(const json_t *device)
{
    const char *state = json_string_value(json_object_get(device, "state"));
    const char *phys = json_string_value(json_object_get(device, "phys_state"));
    return state && phys && strcmp(state, "ACTIVE") == 0 && strcmp(phys, "LinkUp") == 0;
}

static bool port_is_unknown(const json_t *device)
{
    return !json_object_get(device, "state") || !json_object_get(device, "phys_state");
}

/* "rdmap79s0 is DOWN", or "... is ACTIVE, link Polling" */
static void describe_port(struct dt_buf *buf, const json_t *device)
{
    const char *name = json_string_value(json_object_get(device, "name"));
    const char *state = json_string_value(json_object_get(device, "state"));
    const char *phys = json_string_value(json_object_get(device, "phys_state"));
    dt_buf_printf(buf, "%s is %s", name ? name : "?", state ? state : "of unknown state");
    if (state && phys && strcmp(state, "ACTIVE") == 0)
        dt_buf_printf(buf, ", link %s", phys);
}

void dt_check_efa_port(const struct dt_check_context *context, struct dt_check_result *result)
{
    const json_t *devices = dt_facts_array(context->facts, "efa.devices");
    size_t count = json_array_size(devices), down = 0, unknown = 0, i;
    const json_t *first = NULL;
    json_t *device;
    if (!devices) {
        dt_check_unknown(context, result, "efa.count", "look at /sys/class/infiniband on the node");
        return;
    }
    if (count == 0) {
        dt_check_skip(result, "no EFA device here");
        return;
    }
    json_array_foreach(devices, i, device)
    {
        bool is_unknown = port_is_unknown(device);
        unknown += is_unknown;
        if (port_is_up(device) || is_unknown)
            continue;
        down++;
        first = first ? first : device;
    }
    dt_judge(result,
             down      ? DT_FAIL
             : unknown ? DT_UNKNOWN
                       : DT_PASS,
             "/sys/class/infiniband/*/ports/1");
    dt_judge_limit(result, "%zu ACTIVE port%s", count, plural((long long)count));
    if (down) {
        struct dt_buf text = DT_BUF_INIT;
        describe_port(&text, first);
        if (down > 1)
            dt_buf_printf(&text, ", and %zu more", down - 1);
        dt_judge_value(result, "%s (%zu of %zu up)", text.data ? text.data : "a port is down",
                       count - down - unknown, count);
        dt_judge_next(result, "reboot or replace the instance");
        dt_buf_fini(&text);
    } else if (unknown) {
        dt_judge_value(result, "state of %zu of %zu ports not known", unknown, count);
        dt_judge_next(result, "read /sys/class/infiniband/*/ports/1/state on the node");
    } else {
        dt_judge_value(result, "%zu ACTIVE port%s", count, plural((long long)count));
    }
}
