/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/check: judging every GPU by one rule, and naming the worst. */
#ifndef DT_CHECK_GPU_H
#define DT_CHECK_GPU_H

#include "base/buf.h"
#include "check/judges.h"

struct dt_gpu_verdict {
    enum dt_result result; /* DT_SKIP: the GPU does not tell */
    enum dt_severity severity;
    const char *next; /* static */
};

struct dt_gpu_rule {
    const char *source, *limit;
    bool alone; /* says UNKNOWN where NVML told nothing; the other checks then stay silent */
    /* text: what was found, where it is not PASS */
    struct dt_gpu_verdict (*look)(const struct dt_check_context *context, const json_t *gpu,
                                  struct dt_buf *text);
};

#define DT_GPU_SILENT                ((struct dt_gpu_verdict){DT_SKIP, DT_SEVERITY_NONE, ""})
#define DT_GPU_FINE                  ((struct dt_gpu_verdict){DT_PASS, DT_SEVERITY_NONE, ""})
#define DT_GPU_BAD(severity, next)   ((struct dt_gpu_verdict){DT_FAIL, severity, next})
#define DT_GPU_DOUBT(severity, next) ((struct dt_gpu_verdict){DT_WARN, severity, next})

void dt_gpu_judge(const struct dt_check_context *context, struct dt_check_result *result,
                  const struct dt_gpu_rule *rule);
/* No GPU here, or NVML told nothing of it: SKIP was said, where `alone` UNKNOWN. */
bool dt_gpu_absent(const struct dt_check_context *context, struct dt_check_result *result,
                   bool alone);
/* May the GPU be the job's? bdf: its address, or as much of it as a message has; NULL or "": not
 * known. Where Slurm did not tell, each may. */
bool dt_gpu_is_mine(const struct dt_check_context *context, const char *bdf);
bool dt_gpu_number(const json_t *gpu, const char *key, long long *value);

#endif
