/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of each GPU's health, from what NVML told of it (gpu.devices). One function looks at one
 * GPU; the worst of them speaks for the node. */
#include "check/gpu.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool dt_gpu_number(const json_t *gpu, const char *key, long long *value)
{
    const json_t *json = json_object_get(gpu, key);
    if (!json_is_integer(json))
        return false;
    *value = json_integer_value(json);
    return true;
}

bool dt_gpu_is_mine(const struct dt_check_context *context, const char *bdf)
{
    const json_t *mine = dt_facts_array(context->facts, "job.gpus");
    if (!mine || !bdf || !*bdf)
        return true;
    for (size_t i = 0; i < json_array_size(mine); i++) {
        const char *gpu = json_string_value(json_array_get(mine, i));
        if (gpu && strncasecmp(gpu, bdf, strlen(bdf)) == 0)
            return true;
    }
    return false;
}

static const char *name_of(const json_t *gpu)
{
    const char *bdf = json_string_value(json_object_get(gpu, "bdf"));
    const char *uuid = json_string_value(json_object_get(gpu, "uuid"));
    return bdf ? bdf : uuid ? uuid : "of unknown address";
}

/* One check alone says that NVML is missing. */
bool dt_gpu_absent(const struct dt_check_context *context, struct dt_check_result *result,
                   bool alone)
{
    const char *source;
    long long on_bus;
    const json_t *gpus = dt_facts_array(context->facts, "gpu.devices");
    bool bus_known = dt_facts_int(context->facts, "gpu.pci_count", &on_bus);
    if (context->instance ? context->instance->accelerator != DT_ACCELERATOR_NVIDIA
                          : bus_known && on_bus == 0) {
        dt_check_skip(result, "no GPU on %s", dt_check_type(context));
        return true;
    }
    bool nvml = dt_facts_string(context->facts, "gpu.source", &source) && !strcmp(source, "nvml");
    if (nvml && json_array_size(gpus) > 0)
        return false;
    if (alone) {
        dt_judge(result, DT_UNKNOWN, "NVML");
        dt_judge_value(result, "not known: NVML told nothing of the GPUs");
        dt_judge_next(result, "run nvidia-smi there; install the driver's NVML library");
    } else {
        dt_check_skip(result, "NVML told nothing of the GPUs");
    }
    return true;
}

struct worst {
    struct dt_gpu_verdict verdict;
    size_t gpus;                  /* that are as bad */
    size_t silent, others_silent; /* others: this job does not have them */
    const json_t *first_silent;
    struct dt_buf text;
};

static void look_at(struct worst *worst, const struct dt_check_context *context, const json_t *gpu,
                    const struct dt_gpu_rule *rule)
{
    struct dt_buf text = DT_BUF_INIT;
    struct dt_gpu_verdict one = rule->look(context, gpu, &text);
    bool mine = dt_gpu_is_mine(context, json_string_value(json_object_get(gpu, "bdf")));
    if (!mine && one.result != DT_SKIP) {
        /* It is no reason to refuse this job; but the admin should hear of it. */
        one.result = one.result == DT_FAIL ? DT_WARN : DT_PASS;
        dt_buf_puts(&text, "; this job does not have it");
    }
    if (one.result == DT_SKIP && !mine) {
        worst->others_silent++;
    } else if (one.result == DT_SKIP) {
        worst->silent++;
        worst->first_silent = worst->first_silent ? worst->first_silent : gpu;
    } else if (one.result > worst->verdict.result || !worst->gpus) {
        dt_buf_clear(&worst->text);
        dt_buf_printf(&worst->text, "GPU %s: %s", name_of(gpu), text.data ? text.data : "");
        worst->verdict = one;
        worst->gpus = 1;
    } else if (one.result == worst->verdict.result) {
        worst->gpus++;
    }
    dt_buf_fini(&text);
}

void dt_gpu_judge(const struct dt_check_context *context, struct dt_check_result *result,
                  const struct dt_gpu_rule *rule)
{
    if (dt_gpu_absent(context, result, rule->alone))
        return;
    const json_t *gpus = dt_facts_array(context->facts, "gpu.devices");
    size_t count = json_array_size(gpus);
    struct worst worst = {.text = DT_BUF_INIT};
    for (size_t i = 0; i < count; i++)
        look_at(&worst, context, json_array_get(gpus, i), rule);
    if (worst.silent + worst.others_silent == count) {
        dt_check_skip(result, "this driver or GPU does not tell");
    } else if (worst.verdict.result == DT_PASS && worst.silent) {
        dt_judge(result, DT_UNKNOWN, "%s", rule->source);
        dt_judge_value(result, "not known: GPU %s does not tell", name_of(worst.first_silent));
        dt_judge_next(result, "run nvidia-smi -q -i %s there", name_of(worst.first_silent));
    } else if (worst.verdict.result == DT_PASS) {
        dt_judge(result, DT_PASS, "%s", rule->source);
        dt_judge_value(result, "%zu GPU%s", count, count == 1 ? "" : "s");
        dt_judge_limit(result, "%s", rule->limit);
    } else {
        dt_judge(result, worst.verdict.result, "%s", rule->source);
        dt_judge_severity(result, worst.verdict.severity);
        if (worst.gpus > 1)
            dt_buf_printf(&worst.text, ", and %zu more", worst.gpus - 1);
        dt_judge_value(result, "%s", worst.text.data ? worst.text.data : "a GPU");
        dt_judge_limit(result, "%s", rule->limit);
        dt_judge_next(result, "%s", worst.verdict.next);
    }
    dt_buf_fini(&worst.text);
}
