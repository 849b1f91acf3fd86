/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of checks, and running it. */
#include "check/check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "check/judges.h"

const struct dt_check dt_checks[] = {
    {"gpu-count", "every GPU is on the PCI bus and answers", DT_LEVEL_FAST, dt_check_gpu_count},
    {"neuron-count", "every Neuron device answers", DT_LEVEL_FAST, dt_check_neuron_count},
    {"efa-count", "every EFA device is there", DT_LEVEL_FAST, dt_check_efa_count},
    {"efa-port", "every EFA port is ACTIVE", DT_LEVEL_FAST, dt_check_efa_port},
    {"memlock", "ranks may lock memory for EFA", DT_LEVEL_FAST, dt_check_memlock},
    {"nofile", "ranks may open enough files", DT_LEVEL_FAST, dt_check_nofile},
    {"shm", "/dev/shm is large enough", DT_LEVEL_FAST, dt_check_shm},
    {"memory", "no memory is missing", DT_LEVEL_FAST, dt_check_memory},
    {"hugepages", "huge pages are free for EFA", DT_LEVEL_FAST, dt_check_hugepages},
    {"fs-writable", "the job can write where it must", DT_LEVEL_FAST, dt_check_fs_writable},
    {"env", "no variable of the job is harmful", DT_LEVEL_FAST, dt_check_env},
    {"mounts", "network file systems answer", DT_LEVEL_FULL, dt_check_mounts},
    {"kernel-log", "no Xid or EFA error that needs a reset", DT_LEVEL_FULL, dt_check_kernel_log},
    {NULL, NULL, DT_LEVEL_OFF, NULL},
};

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int dt_check_run(struct dt_check_results *results, const struct dt_check_context *context,
                 struct dt_error *err)
{
    size_t rows = sizeof dt_checks / sizeof dt_checks[0];
    *results = (struct dt_check_results){0};
    results->items = calloc(rows, sizeof *results->items);
    if (!results->items)
        return dt_error_set(err, "the node could not be checked: out of memory");
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        if (check->level > context->level)
            continue;
        struct dt_check_result *result = &results->items[results->count++];
        long long begin = now_us();
        /* A judge that says nothing has judged nothing. */
        *result = (struct dt_check_result){.name = check->name, .result = DT_UNKNOWN};
        check->judge(context, result);
        result->us = (long)(now_us() - begin);
        if (dt_judge_finish(result) < 0) {
            dt_check_results_fini(results);
            return dt_error_set(err, "check %s could not be made: out of memory", check->name);
        }
    }
    return 0;
}

void dt_check_results_fini(struct dt_check_results *results)
{
    for (size_t i = 0; i < results->count; i++)
        dt_check_result_fini(&results->items[i]);
    free(results->items);
    *results = (struct dt_check_results){0};
}

enum dt_result dt_check_worst(const struct dt_check_results *results)
{
    enum dt_result worst = DT_PASS;
    for (size_t i = 0; i < results->count; i++) {
        if (results->items[i].result > worst)
            worst = results->items[i].result;
    }
    return worst;
}

static const char *const result_names[] = {"PASS", "SKIP", "WARN", "UNKNOWN", "FAIL"};
static const char *const level_names[] = {"off", "fast", "full", "deep"};

const char *dt_result_name(enum dt_result result)
{
    return (unsigned)result <= DT_FAIL ? result_names[result] : "UNKNOWN";
}

const char *dt_level_name(enum dt_level level)
{
    return (unsigned)level <= DT_LEVEL_DEEP ? level_names[level] : "off";
}

int dt_level_parse(const char *text, enum dt_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcasecmp(text, level_names[i]) == 0) {
            *level = (enum dt_level)i;
            return 0;
        }
    }
    return -1;
}
