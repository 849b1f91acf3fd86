/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/check: one function a check, and what several of them ask. */
#ifndef DT_CHECK_JUDGES_H
#define DT_CHECK_JUDGES_H

#include "check/check.h"

/* Name of the machine's type for texts: "p5.48xlarge", else "this machine". */
const char *dt_check_type(const struct dt_check_context *context);
/* Does the job need what EFA needs? By the table, else by what is there. */
bool dt_check_wants_efa(const struct dt_check_context *context);
/* UNKNOWN, with the reason that the facts give for the absence of `key`. */
void dt_check_unknown(const struct dt_check_context *context, struct dt_check_result *result,
                      const char *key, const char *next);
/* SKIP with a reason. */
void dt_check_skip(struct dt_check_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void dt_check_gpu_count(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_neuron_count(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_efa_count(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_efa_port(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_memlock(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_nofile(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_shm(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_memory(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_hugepages(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_fs_writable(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_mounts(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_env(const struct dt_check_context *context, struct dt_check_result *result);
void dt_check_kernel_log(const struct dt_check_context *context, struct dt_check_result *result);

#endif
