/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of PCIe: the links of GPUs, and the errors that the kernel counts for GPUs and EFA devices. */
#include "check/gpu.h"

#define REPLACE "reboot; replace the instance if it stays"

/* nvmlClocksEventReason* of a GPU that is busy, and slowed down by nothing but settings and load. */
enum { APPLICATION_CLOCKS = 0x2, SW_POWER_CAP = 0x4, SYNC_BOOST = 0x10 };
enum { BUSY = APPLICATION_CLOCKS | SW_POWER_CAP | SYNC_BOOST };

/* The best generation that a GPU of this node could have here. */
static long long best_generation(const struct dt_check_context *context)
{
    const json_t *gpus = dt_facts_array(context->facts, "gpu.devices");
    long long best = 0, one;
    for (size_t i = 0; i < json_array_size(gpus); i++) {
        if (dt_gpu_number(json_array_get(gpus, i), "pcie_gen_max", &one) && one > best)
            best = one;
    }
    return best;
}

/* An idle GPU lowers the generation of its link by itself: what the link runs at is judged of a busy
 * one alone, and of an idle one what it could run at, against the others. */
static struct dt_gpu_verdict look_link(const struct dt_check_context *context, const json_t *gpu,
                                       struct dt_buf *text)
{
    long long lanes, lanes_max, now, most, reasons, best = best_generation(context);
    if (!dt_gpu_number(gpu, "pcie_width", &lanes) ||
        !dt_gpu_number(gpu, "pcie_width_max", &lanes_max))
        return DT_GPU_SILENT;
    if (lanes < lanes_max) {
        dt_buf_printf(text, "%lld of %lld PCIe lanes", lanes, lanes_max);
        return DT_GPU_BAD(DT_SEVERITY_REPLACE, REPLACE);
    }
    if (!dt_gpu_number(gpu, "pcie_gen_max", &most))
        return DT_GPU_FINE;
    if (most < best) {
        dt_buf_printf(text, "its PCIe link reaches generation %lld, and others here %lld", most,
                      best);
        return DT_GPU_BAD(DT_SEVERITY_REPLACE, REPLACE);
    }
    if (dt_gpu_number(gpu, "pcie_gen", &now) && dt_gpu_number(gpu, "slow", &reasons) &&
        !(reasons & ~BUSY) && now < most) {
        dt_buf_printf(text, "it is busy, and its PCIe link runs at generation %lld of %lld", now,
                      most);
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "look again: nvidia-smi -q -d PERFORMANCE,PCI");
    }
    return DT_GPU_FINE;
}

void dt_check_gpu_pcie(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(
        context, result,
        &(struct dt_gpu_rule){"nvmlDeviceGetCurrPcieLinkWidth, nvmlDeviceGetMaxPcieLinkGeneration",
                              "all PCIe lanes, one generation on all GPUs", false, look_link});
}

/* ---- errors --------------------------------------------------------------------------------- */

struct tally {
    size_t told, fatal, nonfatal; /* devices */
    const json_t *first;          /* of the worst kind */
};

static void count(struct tally *tally, const json_t *devices)
{
    long long fatal, nonfatal;
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);
        if (!dt_gpu_number(device, "aer_fatal", &fatal) ||
            !dt_gpu_number(device, "aer_nonfatal", &nonfatal))
            continue;
        tally->told++;
        if (fatal > 0 && tally->fatal++ == 0)
            tally->first = device;
        if (fatal == 0 && nonfatal > 0 && tally->nonfatal++ == 0 && tally->fatal == 0)
            tally->first = device;
    }
}

void dt_check_pcie_errors(const struct dt_check_context *context, struct dt_check_result *result)
{
    struct tally tally = {0};
    count(&tally, dt_facts_array(context->facts, "gpu.devices"));
    count(&tally, dt_facts_array(context->facts, "efa.devices"));
    if (tally.told == 0) {
        dt_check_skip(result, "the kernel counts no PCIe errors of GPUs and EFA devices here");
        return;
    }
    dt_judge(result,
             tally.fatal      ? DT_FAIL
             : tally.nonfatal ? DT_WARN
                              : DT_PASS,
             "/sys/bus/pci/devices/*/aer_dev_fatal, aer_dev_nonfatal");
    dt_judge_limit(result, "no uncorrected PCIe error since boot");
    if (!tally.first) {
        dt_judge_value(result, "%zu devices", tally.told);
        return;
    }
    const char *bdf = json_string_value(json_object_get(tally.first, "bdf"));
    const char *key = tally.fatal ? "aer_fatal" : "aer_nonfatal";
    dt_judge_value(result, "%s has %lld %s PCIe errors (%zu of %zu devices)", bdf ? bdf : "?",
                   (long long)json_integer_value(json_object_get(tally.first, key)),
                   tally.fatal ? "fatal" : "non-fatal", tally.fatal ? tally.fatal : tally.nonfatal,
                   tally.told);
    dt_judge_next(result, tally.fatal ? REPLACE
                                      : "look at dmesg; replace the instance if they "
                                        "grow");
}
