/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what joins the GPUs: NVLink links and the NVSwitch fabric. */
#include <string.h>

#include "check/gpu.h"

static struct dt_gpu_verdict look_links(const struct dt_check_context *context, const json_t *gpu,
                                        struct dt_buf *text)
{
    long long links, up, wanted = context->instance ? context->instance->nvlinks : 0;
    if (!dt_gpu_number(gpu, "nvlinks", &links) || !dt_gpu_number(gpu, "nvlinks_up", &up)) {
        if (wanted == 0)
            return DT_GPU_SILENT; /* this type has none */
        links = up = 0;
    }
    /* Without a table: links that are up on no GPU may well not be wired. */
    if (wanted == 0)
        wanted = context->instance ? 0 : links;
    dt_buf_printf(text, "%lld of %lld NVLinks are up", up, wanted);
    const char *down = json_string_value(json_object_get(gpu, "nvlinks_down"));
    if (down)
        dt_buf_printf(text, " (down: %s)", down);
    return up >= wanted ? DT_GPU_FINE
                        : DT_GPU_BAD(DT_SEVERITY_REBOOT,
                                     "reboot the node; replace the instance if a link stays down");
}

void dt_check_nvlink(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetNvLinkState",
                                       "all NVLinks that the type has are up", false, look_links});
}

/* Without a second reading: links that had to be trained anew. Errors that the links correct by
 * themselves (CRC, replay) are judged by what grows. */
static struct dt_gpu_verdict look_errors(const struct dt_check_context *context, const json_t *gpu,
                                         struct dt_buf *text)
{
    static const char next[] = "nvidia-smi nvlink -e shows the link; reset the GPUs or reboot, and "
                               "replace the instance if it comes back";
    long long failed = 0, integrity = 0, recovered = 0, total;
    (void)context;
    if (!dt_gpu_number(gpu, "nvlink_errors", &total))
        return DT_GPU_SILENT;
    bool version5 = dt_gpu_number(gpu, "nvlink_unrecovered", &failed);
    dt_gpu_number(gpu, "nvlink_integrity", &integrity);
    dt_gpu_number(gpu, "nvlink_recovery", &recovered);
    if (failed > 0) {
        dt_buf_printf(text, "an NVLink could not be recovered (%lld times)", failed);
        return DT_GPU_BAD(DT_SEVERITY_RESET, next);
    }
    if (integrity > 0) {
        dt_buf_printf(text, "an NVLink had more errors than its limit (%lld times)", integrity);
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, next);
    }
    if (recovered > 0 && !version5) { /* NVLink 5 recovers as a matter of course */
        dt_buf_printf(text, "an NVLink was trained anew after errors (%lld times)", recovered);
        return DT_GPU_DOUBT(DT_SEVERITY_MONITOR, next);
    }
    return DT_GPU_FINE;
}

void dt_check_nvlink_errors(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetFieldValues (38, 45, 52, 59, 206 to 214)",
                                       "no NVLink that had to be trained anew", false,
                                       look_errors});
}

/* ---- the fabric ----------------------------------------------------------------------------- */

/* healthMask of nvmlGpuFabricInfo: fields of 2 bits, of which 0 is "not told"; the configuration has
 * 4 bits, of which 1 is good too. NULL: nothing is wrong. */
static const char *mask_says(long long mask)
{
    enum { YES = 1, NO = 2 };
    static const struct {
        int shift, bad;
        const char *text;
    } fields[] = {
        {0, YES, "has less than its bandwidth"},
        {2, YES, "is recovering its routes"},
        {4, YES, "has bad routes"},
        {6, YES, "is recovering from timeouts"},
        {12, NO, "has put it in no partition"},
        {14, NO, "has lost its fabric manager"},
    };
    enum { CONFIGURATION_SHIFT = 8, CONFIGURATION_BITS = 0xf, CONFIGURATION_GOOD = 1 };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if ((mask >> fields[i].shift & 3) == fields[i].bad)
            return fields[i].text;
    }
    return (mask >> CONFIGURATION_SHIFT & CONFIGURATION_BITS) > CONFIGURATION_GOOD
               ? "is not configured right"
               : NULL;
}

/* Every GPU of a node is in one partition of one fabric. */
static bool is_apart(const struct dt_check_context *context, const json_t *gpu)
{
    const json_t *first = json_array_get(dt_facts_array(context->facts, "gpu.devices"), 0);
    const char *mine = json_string_value(json_object_get(gpu, "fabric_cluster"));
    const char *usual = json_string_value(json_object_get(first, "fabric_cluster"));
    return json_integer_value(json_object_get(gpu, "fabric_clique")) !=
               json_integer_value(json_object_get(first, "fabric_clique")) ||
           (mine && usual && strcmp(mine, usual) != 0);
}

/* nvmlGpuFabricState_t, and the summary of nvmlGpuFabricInfo_v3_t. */
static struct dt_gpu_verdict look_fabric(const struct dt_check_context *context, const json_t *gpu,
                                         struct dt_buf *text)
{
    enum { NOT_SUPPORTED, NOT_STARTED, IN_PROGRESS, COMPLETED };
    enum { UNHEALTHY = 2, LIMITED = 3 };
    long long state, status = 0, health = 0, mask = 0;
    if (!dt_gpu_number(gpu, "fabric", &state) || state == NOT_SUPPORTED)
        return DT_GPU_SILENT;
    dt_gpu_number(gpu, "fabric_status", &status);
    dt_gpu_number(gpu, "fabric_health", &health);
    dt_gpu_number(gpu, "fabric_mask", &mask);
    if (state != COMPLETED)
        dt_buf_printf(text, "it has not joined the NVSwitch fabric (%s)",
                      state == NOT_STARTED   ? "not started"
                      : state == IN_PROGRESS ? "in progress"
                                             : "unknown state");
    else if (status != 0)
        dt_buf_printf(text, "it could not join the NVSwitch fabric (NVML status %lld)", status);
    else if (mask_says(mask))
        dt_buf_printf(text, "the NVSwitch fabric %s", mask_says(mask));
    else if (health == UNHEALTHY || health == LIMITED)
        dt_buf_printf(text, "the NVSwitch fabric is %s",
                      health == UNHEALTHY ? "unhealthy" : "of limited capacity");
    else if (is_apart(context, gpu))
        dt_buf_puts(text, "it is in another NVLink partition than the first GPU");
    else
        return DT_GPU_FINE;
    return DT_GPU_BAD(DT_SEVERITY_REBOOT, "look at the service nvidia-fabricmanager (systemctl "
                                          "status nvidia-fabricmanager); reboot");
}

void dt_check_fabric(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetGpuFabricInfoV",
                                       "every GPU has joined the NVSwitch fabric", false,
                                       look_fabric});
}

void dt_check_fabric_manager(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long runs;
    const char *why;
    if (!dt_facts_int(context->facts, "fabric.manager", &runs)) {
        if (dt_facts_string(context->facts, "why.fabric.manager", &why))
            dt_check_unknown(context, result, "fabric.manager",
                             "systemctl status nvidia-fabricmanager");
        else
            dt_check_skip(result, "no NVSwitch in this machine's hands");
        return;
    }
    dt_judge(result, runs ? DT_PASS : DT_FAIL, "/proc/*/comm");
    dt_judge_value(result, "nv-fabricmanager %s", runs ? "runs" : "does not run");
    dt_judge_limit(result, "the fabric manager, which joins the GPUs of this machine");
    if (!runs)
        dt_judge_next(result, "systemctl start nvidia-fabricmanager");
}
