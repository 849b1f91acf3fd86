/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what joins the GPUs: NVLink links and the NVSwitch fabric. */
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
    return up >= wanted
               ? DT_GPU_FINE
               : (struct dt_gpu_verdict){DT_FAIL, DT_SEVERITY_REBOOT,
                                         "reboot the node; replace the instance if a link stays "
                                         "down"};
}

void dt_check_nvlink(const struct dt_check_context *context, struct dt_check_result *result)
{
    dt_gpu_judge(context, result,
                 &(struct dt_gpu_rule){"nvmlDeviceGetNvLinkState",
                                       "all NVLinks that the type has are up", false, look_links});
}

/* nvmlGpuFabricState_t, and the summary of nvmlGpuFabricInfo_v3_t. */
static struct dt_gpu_verdict look_fabric(const struct dt_check_context *context, const json_t *gpu,
                                         struct dt_buf *text)
{
    enum { NOT_SUPPORTED, NOT_STARTED, IN_PROGRESS, COMPLETED };
    enum { HEALTHY = 1, UNHEALTHY = 2, LIMITED = 3 };
    static const char next[] =
        "look at the service nvidia-fabricmanager (systemctl status nvidia-fabricmanager); reboot";
    long long state, status = 0, health = 0;
    (void)context;
    if (!dt_gpu_number(gpu, "fabric", &state) || state == NOT_SUPPORTED)
        return DT_GPU_SILENT;
    dt_gpu_number(gpu, "fabric_status", &status);
    dt_gpu_number(gpu, "fabric_health", &health);
    if (state != COMPLETED) {
        dt_buf_printf(text, "it has not joined the NVSwitch fabric (%s)",
                      state == NOT_STARTED   ? "not started"
                      : state == IN_PROGRESS ? "in progress"
                                             : "unknown state");
        return (struct dt_gpu_verdict){DT_FAIL, DT_SEVERITY_REBOOT, next};
    }
    if (status != 0) {
        dt_buf_printf(text, "it could not join the NVSwitch fabric (NVML status %lld)", status);
        return (struct dt_gpu_verdict){DT_FAIL, DT_SEVERITY_REBOOT, next};
    }
    if (health == UNHEALTHY || health == LIMITED) {
        dt_buf_printf(text, "the NVSwitch fabric is %s",
                      health == UNHEALTHY ? "unhealthy" : "of limited capacity");
        return (struct dt_gpu_verdict){DT_FAIL, DT_SEVERITY_REBOOT, next};
    }
    return DT_GPU_FINE;
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
