/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a GPU: the driver's own verdict, memory errors, speed, and how it is set up. */
#include <string.h>

#include "check/gpu.h"

#define RESET   "reset the GPU (nvidia-smi -r) or reboot"
#define REPLACE "replace the instance"

/* ---- the driver's verdict ------------------------------------------------------------------- */

/* A GPU that answers a question with an error, where "not supported" is none: of some codes the
 * driver's own words are that a reset is due. */
static struct dt_gpu_verdict look_refusal(const json_t *gpu, struct dt_buf *text)
{
    enum { IRQ = 11, INFOROM = 14, LOST = 15, RESET_REQUIRED = 16 };
    const char *what = json_string_value(json_object_get(gpu, "refused"));
    long long code = 0;
    if (!what || !dt_gpu_number(gpu, "refused_code", &code))
        return DT_GPU_FINE;
    const char *why = code == IRQ              ? "its interrupts do not come through"
                      : code == INFOROM        ? "its InfoROM is corrupted"
                      : code == LOST           ? "it is lost"
                      : code == RESET_REQUIRED ? "it requires a reset"
                                               : NULL;
    if (why) {
        dt_buf_printf(text, "the driver says that %s (%s answers %lld)", why, what, code);
        return code == INFOROM ? DT_GPU_BAD(DT_SEVERITY_REPLACE, REPLACE)
                               : DT_GPU_BAD(DT_SEVERITY_RESET, RESET);
    }
    dt_buf_printf(text, "not known: %s answers %lld", what, code);
    return (struct dt_gpu_verdict){DT_UNKNOWN, DT_SEVERITY_MONITOR,
                                   "run nvidia-smi -q there, and look at dmesg"};
}

/* nvmlDeviceGpuRecoveryAction_t */
static struct dt_gpu_verdict look_recovery(const struct dt_check_context *context,
                                           const json_t *gpu, struct dt_buf *text)
{
    static const struct {
        const char *name;
        struct dt_gpu_verdict verdict;
    } actions[] = {
        {"none", {DT_PASS, DT_SEVERITY_NONE, ""}},
        {"a GPU reset", {DT_FAIL, DT_SEVERITY_RESET, RESET}},
        {"a reboot of the node", {DT_FAIL, DT_SEVERITY_REBOOT, "reboot the node"}},
        {"draining its peer-to-peer traffic",
         {DT_FAIL, DT_SEVERITY_RESET, "end the jobs on this node, then " RESET}},
        {"draining and a reset",
         {DT_FAIL, DT_SEVERITY_RESET, "end the jobs on this node, then " RESET}},
    };
    long long action;
    struct dt_gpu_verdict refusal = look_refusal(gpu, text);
    (void)context;
    if (!dt_gpu_number(gpu, "recovery", &action))
        return refusal.result == DT_PASS ? DT_GPU_SILENT : refusal;
    if (action == 0 && refusal.result != DT_PASS)
        return refusal;
    dt_buf_clear(text);
    if (action >= 0 && (size_t)action < sizeof actions / sizeof actions[0]) {
        dt_buf_printf(text, "the driver asks for %s", actions[action].name);
        return actions[action].verdict;
    }
    dt_buf_printf(text, "the driver asks for action %lld, which this dt does not know", action);
    return DT_GPU_BAD(DT_SEVERITY_RESET, RESET);
}

void dt_check_gpu_recovery(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"NVML field 230 (GPU recovery action)",
                                       "no recovery action asked for by the driver", true,
                                       look_recovery});
}

/* ---- memory --------------------------------------------------------------------------------- */

static struct dt_gpu_verdict look_ecc(const struct dt_check_context *context, const json_t *gpu,
                                      struct dt_buf *text)
{
    long long errors;
    (void)context;
    if (!dt_gpu_number(gpu, "ecc_uncorrected", &errors))
        return DT_GPU_SILENT;
    dt_buf_printf(text, "%lld uncorrected ECC error%s since its reset", errors,
                  errors == 1 ? "" : "s");
    return errors > 0
               ? DT_GPU_BAD(DT_SEVERITY_RESET, RESET "; replace the instance if it comes back")
               : DT_GPU_FINE;
}

void dt_check_gpu_ecc(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetTotalEccErrors",
                                       "no uncorrected ECC error since the last reset", false,
                                       look_ecc});
}

static struct dt_gpu_verdict look_ecc_mode(const struct dt_check_context *context,
                                           const json_t *gpu, struct dt_buf *text)
{
    long long now, pending;
    (void)context;
    if (!dt_gpu_number(gpu, "ecc", &now) || !dt_gpu_number(gpu, "ecc_pending", &pending))
        return DT_GPU_SILENT;
    if (now == 0) {
        dt_buf_puts(text, "ECC is off: memory errors go unseen");
        return DT_GPU_BAD(DT_SEVERITY_RESET, "nvidia-smi -e 1, then reset the GPU or reboot");
    }
    if (pending != now) {
        dt_buf_puts(text, "ECC will be off after the next reset");
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "nvidia-smi -e 1");
    }
    return DT_GPU_FINE;
}

void dt_check_gpu_ecc_mode(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetEccMode", "ECC on", false, look_ecc_mode});
}

/* GPUs from A100 on remap rows of their memory; those before retire pages. */
static struct dt_gpu_verdict look_rows(const struct dt_check_context *context, const json_t *gpu,
                                       struct dt_buf *text)
{
    long long pending = 0, failed = 0, pages = 0;
    (void)context;
    bool rows =
        dt_gpu_number(gpu, "rows_pending", &pending) && dt_gpu_number(gpu, "rows_failed", &failed);
    if (!rows && !dt_gpu_number(gpu, "pages_pending", &pages))
        return DT_GPU_SILENT;
    if (failed) {
        dt_buf_puts(text, "a row of its memory could not be remapped");
        return DT_GPU_BAD(DT_SEVERITY_REPLACE, REPLACE);
    }
    if (pending || pages) {
        dt_buf_puts(text, pending ? "a row of its memory waits to be remapped"
                                  : "a page of its memory waits to be retired");
        return DT_GPU_BAD(DT_SEVERITY_RESET, RESET);
    }
    return DT_GPU_FINE;
}

void dt_check_gpu_rows(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(
        context, result,
        &(struct dt_gpu_rule){"nvmlDeviceGetRemappedRows, nvmlDeviceGetRetiredPagesPendingStatus",
                              "no remapping pending or failed", false, look_rows});
}

/* NVML reports a little less than EC2 states: the driver's own part, and ECC's on older GPUs. */
enum { MEMORY_PERCENT = 90 };

static struct dt_gpu_verdict look_memory(const struct dt_check_context *context, const json_t *gpu,
                                         struct dt_buf *text)
{
    long long mib, stated = context->instance ? context->instance->accelerator_memory_mib : 0;
    if (stated <= 0 || !dt_gpu_number(gpu, "memory_mib", &mib))
        return DT_GPU_SILENT;
    dt_buf_printf(text, "%lld MiB of the %lld MiB that %s has", mib, stated,
                  context->instance->name);
    return mib * 100 < stated * MEMORY_PERCENT ? DT_GPU_BAD(DT_SEVERITY_REPLACE, "reboot; " REPLACE)
                                               : DT_GPU_FINE;
}

void dt_check_gpu_memory(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetMemoryInfo",
                                       "90% of what EC2 states for the type", false, look_memory});
}

/* ---- speed ---------------------------------------------------------------------------------- */

static struct dt_gpu_verdict look_slow(const struct dt_check_context *context, const json_t *gpu,
                                       struct dt_buf *text)
{
    /* nvmlClocksEventReason*: only those that no program causes */
    enum { HARDWARE = 0x8, SW_THERMAL = 0x20, HW_THERMAL = 0x40, POWER_BRAKE = 0x80 };
    long long reasons;
    (void)context;
    if (!dt_gpu_number(gpu, "slow", &reasons))
        return DT_GPU_SILENT;
    if (reasons & (HARDWARE | HW_THERMAL | POWER_BRAKE)) {
        dt_buf_printf(text, "the hardware slows it down%s",
                      reasons & POWER_BRAKE  ? " (power brake)"
                      : reasons & HW_THERMAL ? " (too hot)"
                                             : "");
        return DT_GPU_BAD(DT_SEVERITY_REBOOT,
                          "nvidia-smi -q -d PERFORMANCE shows it; reboot, and " REPLACE
                          " if it stays");
    }
    if (reasons & SW_THERMAL) {
        dt_buf_puts(text, "the driver slows it down (too hot)");
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "look again when it is idle: nvidia-smi -q -d "
                                                 "TEMPERATURE");
    }
    return DT_GPU_FINE;
}

void dt_check_gpu_throttle(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetCurrentClocksEventReasons",
                                       "no slowdown by heat or power", false, look_slow});
}

static struct dt_gpu_verdict look_temperature(const struct dt_check_context *context,
                                              const json_t *gpu, struct dt_buf *text)
{
    enum { MARGIN = 5 };
    long long now, limit;
    (void)context;
    if (!dt_gpu_number(gpu, "celsius", &now) || !dt_gpu_number(gpu, "celsius_slow", &limit))
        return DT_GPU_SILENT;
    dt_buf_printf(text, "%lld C, and it slows down at %lld C", now, limit);
    if (now >= limit)
        return DT_GPU_BAD(DT_SEVERITY_REPLACE,
                          "look again when it is idle; " REPLACE " if it stays");
    return now >= limit - MARGIN ? DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "look again when it is idle")
                                 : DT_GPU_FINE;
}

void dt_check_gpu_temperature(const struct dt_check_context *context,
                              struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){
                     "nvmlDeviceGetTemperature, nvmlDeviceGetTemperatureThreshold",
                     "5 C below the GPU's own slowdown threshold", false, look_temperature});
}

static struct dt_gpu_verdict look_power(const struct dt_check_context *context, const json_t *gpu,
                                        struct dt_buf *text)
{
    long long limit, usual;
    (void)context;
    if (!dt_gpu_number(gpu, "power_mw", &limit) || !dt_gpu_number(gpu, "power_default_mw", &usual))
        return DT_GPU_SILENT;
    dt_buf_printf(text, "its power limit is %lld W, the usual one %lld W", limit / 1000,
                  usual / 1000);
    if (limit * 2 < usual)
        return DT_GPU_BAD(DT_SEVERITY_RESET, "nvidia-smi -pl sets it; reboot if it does not stay");
    return limit < usual ? DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "nvidia-smi -pl sets it")
                         : DT_GPU_FINE;
}

void dt_check_gpu_power(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetPowerManagementLimit",
                                       "the GPU's default power limit", false, look_power});
}

/* A lock of the clocks (nvidia-smi -lgc) is not told by NVML, nor are clocks that a program set. */
static struct dt_gpu_verdict look_clocks(const struct dt_check_context *context, const json_t *gpu,
                                         struct dt_buf *text)
{
    static const struct {
        const char *now, *usual, *name;
    } clocks[] = {{"clock_mhz", "clock_default_mhz", "graphics"},
                  {"clock_memory_mhz", "clock_memory_default_mhz", "memory"}};
    long long now, usual;
    bool told = false;
    (void)context;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        if (!dt_gpu_number(gpu, clocks[i].now, &now) ||
            !dt_gpu_number(gpu, clocks[i].usual, &usual))
            continue;
        told = true;
        if (now >= usual)
            continue;
        dt_buf_printf(text, "its application clock (%s) is %lld MHz, and %lld MHz by default",
                      clocks[i].name, now, usual);
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "nvidia-smi -rac sets the default");
    }
    return told ? DT_GPU_FINE : DT_GPU_SILENT;
}

void dt_check_gpu_clocks(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetApplicationsClock",
                                       "the default application clocks, or higher", false,
                                       look_clocks});
}

/* ---- how it is set up ----------------------------------------------------------------------- */

static struct dt_gpu_verdict look_persistence(const struct dt_check_context *context,
                                              const json_t *gpu, struct dt_buf *text)
{
    long long on;
    (void)context;
    if (!dt_gpu_number(gpu, "persistence", &on))
        return DT_GPU_SILENT;
    dt_buf_puts(text, "persistence mode is off: each start of a program waits for the driver");
    return on ? DT_GPU_FINE
              : DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "nvidia-smi -pm 1, or run nvidia-persistenced");
}

void dt_check_gpu_persistence(const struct dt_check_context *context,
                              struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetPersistenceMode", "persistence mode on", false,
                                       look_persistence});
}

static struct dt_gpu_verdict look_mig(const struct dt_check_context *context, const json_t *gpu,
                                      struct dt_buf *text)
{
    long long on, pending;
    (void)context;
    if (!dt_gpu_number(gpu, "mig", &on) || !dt_gpu_number(gpu, "mig_pending", &pending))
        return DT_GPU_SILENT;
    if (!on && !pending)
        return DT_GPU_FINE;
    dt_buf_puts(text, on && pending ? "MIG is on: NCCL can not use parts of a GPU together"
                      : on          ? "MIG is on until the next reset"
                                    : "MIG will be on after the next reset");
    return DT_GPU_DOUBT(DT_SEVERITY_MONITOR,
                        "nvidia-smi -mig 0, then reset the GPU, if jobs need it whole");
}

void dt_check_gpu_mig(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetMigMode", "MIG off", false, look_mig});
}

/* The odd one of a node: compared with the first GPU. */
static struct dt_gpu_verdict look_vbios(const struct dt_check_context *context, const json_t *gpu,
                                        struct dt_buf *text)
{
    const json_t *first = json_array_get(dt_facts_array(context->facts, "gpu.devices"), 0);
    const char *usual = json_string_value(json_object_get(first, "vbios"));
    const char *mine = json_string_value(json_object_get(gpu, "vbios"));
    if (!usual || !mine)
        return DT_GPU_SILENT;
    dt_buf_printf(text, "VBIOS %s, and the first GPU has %s", mine, usual);
    return strcmp(usual, mine) == 0 ? DT_GPU_FINE
                                    : DT_GPU_DOUBT(DT_SEVERITY_MONITOR, "tell the cloud provider");
}

void dt_check_gpu_vbios(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetVbiosVersion", "one VBIOS in all GPUs", false,
                                       look_vbios});
}
