/* SPDX-License-Identifier: Apache-2.0 */
/* Check of who uses the GPUs: programs that are not this job's, and memory that nobody accounts for. */
#include <string.h>

#include "check/gpu.h"

/* Memory of a GPU that no program holds: the driver's own, and what tools leave for a moment. */
enum { SPARE_MIB = 1024 };

static const char next_step[] =
    "end these programs (nvidia-smi shows them); if they do not go, reset the GPU or reboot";

struct finding {
    enum dt_result result;
    size_t more; /* as bad, beside the first */
    struct dt_buf text;
};

/* What serves all programs of a node is nobody's job. */
static bool is_service(const json_t *process)
{
    static const char *const names[] = {"nvidia-cuda-mps", "nv-hostengine", "nvidia-persist",
                                        "nvidia-smi", "dcgm"};
    const char *name = json_string_value(json_object_get(process, "name"));
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return json_integer_value(json_object_get(process, "uid")) == 0;
    }
    return false;
}

static bool concerns(const struct dt_check_context *context, const json_t *device)
{
    return dt_gpu_is_mine(context, json_string_value(json_object_get(device, "bdf")));
}

/* A program of the job's own user outside of any Slurm job's cgroup may well be the job's: not every
 * cluster has cgroups. */
static enum dt_result judge_process(const struct dt_check_context *context, const json_t *process)
{
    long long job, his_job, uid;
    bool in_job = dt_facts_int(context->facts, "job.id", &job);
    bool of_job = dt_gpu_number(process, "job", &his_job);
    if (!concerns(context, process) || is_service(process))
        return DT_PASS;
    if (!dt_gpu_number(process, "uid", &uid))
        return DT_UNKNOWN; /* /proc does not show it: a namespace of ours, or it is gone */
    if (!in_job)
        return of_job ? DT_PASS : DT_WARN;
    if (of_job && his_job == job)
        return DT_PASS;
    long long user;
    if (!of_job && dt_facts_int(context->facts, "job.uid", &user) && uid == user)
        return DT_PASS;
    /* Two jobs on a node, and Slurm does not say which GPUs are whose. */
    return of_job && !dt_facts_array(context->facts, "job.gpus") ? DT_WARN : DT_FAIL;
}

static void put_process(struct dt_buf *text, const json_t *process)
{
    const char *bdf = json_string_value(json_object_get(process, "bdf"));
    const char *name = json_string_value(json_object_get(process, "name"));
    long long pid = 0, uid, job, mib;
    dt_gpu_number(process, "pid", &pid);
    dt_buf_printf(text, "GPU %s: process %lld", bdf ? bdf : "?", pid);
    if (dt_gpu_number(process, "uid", &uid))
        dt_buf_printf(text, " (%s, user %lld", name ? name : "?", uid);
    else
        dt_buf_puts(text, " (not in /proc");
    if (dt_gpu_number(process, "job", &job))
        dt_buf_printf(text, ", job %lld", job);
    dt_buf_puts(text, ")");
    if (dt_gpu_number(process, "mib", &mib))
        dt_buf_printf(text, " holds %lld MiB", mib);
}

/* true: the text of this one is wanted. */
static bool is_worse(struct finding *finding, enum dt_result result)
{
    if (result <= DT_PASS || result < finding->result)
        return false;
    if (result == finding->result) {
        finding->more++;
        return false;
    }
    finding->result = result;
    finding->more = 0;
    dt_buf_clear(&finding->text);
    return true;
}

static bool has_program(const json_t *processes, const json_t *gpu)
{
    const char *bdf = json_string_value(json_object_get(gpu, "bdf"));
    for (size_t i = 0; bdf && i < json_array_size(processes); i++) {
        const char *one = json_string_value(json_object_get(json_array_get(processes, i), "bdf"));
        if (one && strcmp(one, bdf) == 0)
            return true;
    }
    return false;
}

/* What a program that died has left: more than a tenth, and training runs out of memory. */
static void judge_memory(const struct dt_check_context *context, const json_t *processes,
                         const json_t *gpu, struct finding *finding)
{
    long long used, total, drawing = 0;
    const char *bdf = json_string_value(json_object_get(gpu, "bdf"));
    dt_gpu_number(gpu, "graphics", &drawing);
    if (!concerns(context, gpu) || drawing > 0 || has_program(processes, gpu) ||
        !dt_gpu_number(gpu, "memory_used_mib", &used) ||
        !dt_gpu_number(gpu, "memory_mib", &total) || used <= SPARE_MIB)
        return;
    if (is_worse(finding, used > total / 10 ? DT_FAIL : DT_WARN))
        dt_buf_printf(&finding->text, "GPU %s: %lld of %lld MiB are in use, by no program",
                      bdf ? bdf : "?", used, total);
}

void dt_check_gpu_processes(const struct dt_check_context *context, struct dt_check_result *result)
{
    if (dt_gpu_absent(context, result, false))
        return;
    const json_t *processes = dt_facts_array(context->facts, "gpu.processes");
    const json_t *gpus = dt_facts_array(context->facts, "gpu.devices");
    struct finding finding = {.result = DT_PASS, .text = DT_BUF_INIT};
    if (!processes) {
        dt_check_skip(result, "this driver does not tell");
        return;
    }
    for (size_t i = 0; i < json_array_size(processes); i++) {
        const json_t *process = json_array_get(processes, i);
        if (is_worse(&finding, judge_process(context, process)))
            put_process(&finding.text, process);
    }
    for (size_t i = 0; i < json_array_size(gpus); i++)
        judge_memory(context, processes, json_array_get(gpus, i), &finding);
    dt_judge(result, finding.result, "nvmlDeviceGetComputeRunningProcesses, /proc");
    dt_judge_limit(result, "no program but this job's, no memory in use without one");
    if (finding.result == DT_PASS) {
        dt_judge_value(result, "%zu GPUs", json_array_size(gpus));
    } else {
        if (finding.more)
            dt_buf_printf(&finding.text, ", and %zu more", finding.more);
        dt_judge_value(result, "%s", finding.text.data ? finding.text.data : "a program");
        dt_judge_next(result, next_step);
    }
    dt_buf_fini(&finding.text);
}
