/* SPDX-License-Identifier: Apache-2.0 */
/* Which GPUs dt-launch was given, in words that dt-node understands. Inside a task the numbers of
 * CUDA_VISIBLE_DEVICES count what the task's cgroup lets through, those of SLURM_STEP_GPUS the GPUs of the
 * node, and DT_BIND_GPUS has their names. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "binding.h"

static size_t count_words(const char *list)
{
    size_t count = *list != '\0';
    for (; *list; list++)
        count += *list == ',';
    return count;
}

static const char *word_at(const char *list, size_t index, size_t *len)
{
    for (; index > 0 && *list; index--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    *len = strcspn(list, ",");
    return list;
}

/* The place of a word in a list; -1: it is not there. */
static long place_of(const char *list, const char *word, size_t len)
{
    for (size_t i = 0; i < count_words(list); i++) {
        size_t length;
        const char *at = word_at(list, i, &length);
        if (length == len && strncmp(at, word, len) == 0)
            return (long)i;
    }
    return -1;
}

/* Each number of `visible` stands for what has its place in `given`. Names stay. */
static char *translate(const char *visible, const char *ordinal, const char *given)
{
    struct dt_buf list = DT_BUF_INIT;
    for (size_t i = 0; i < count_words(visible); i++) {
        size_t len;
        const char *word = word_at(visible, i, &len);
        long place = place_of(ordinal, word, len);
        if (place >= 0)
            word = word_at(given, (size_t)place, &len);
        else if (strspn(word, "0123456789") >= len)
            break; /* CUDA, too, ends the list at what is not there */
        dt_buf_puts(&list, i ? "," : "");
        dt_buf_append(&list, word, len);
    }
    return dt_buf_take(&list);
}

void dt_binding_environ(struct dt_environ *env)
{
    const char *visible = dt_environ_get(env, "CUDA_VISIBLE_DEVICES");
    const char *ordinal =
        dt_environ_get(env, "GPU_DEVICE_ORDINAL"); /* Slurm's, always with CUDA's */
    const char *step = dt_environ_get(env, "SLURM_STEP_GPUS");
    const char *named = dt_environ_get(env, "DT_BIND_GPUS");
    dt_binding_forget_threads(env);
    if (visible && (!ordinal || strcmp(visible, ordinal) != 0)) { /* the user's own */
        bool by_name = named && ordinal && count_words(named) == count_words(ordinal);
        const char *given = by_name ? named : step;
        char *list = ordinal && given ? translate(visible, ordinal, given) : strdup(visible);
        env->failed = env->failed || !list;
        dt_environ_unset(env, "SLURM_STEP_GPUS");
        dt_environ_set(env, "CUDA_VISIBLE_DEVICES", "%s", list ? list : "");
        free(list);
    } else if (named && *named) {
        dt_environ_set(env, "SLURM_STEP_GPUS", "%s", named);
    }
}

void dt_binding_forget_threads(struct dt_environ *env)
{
    const char *threads = dt_environ_get(env, "OMP_NUM_THREADS");
    const char *ours = dt_environ_get(env, "DT_BIND_OMP");
    if (threads && ours && strcmp(threads, ours) == 0)
        dt_environ_unset(env, "OMP_NUM_THREADS");
    dt_environ_unset(env, "DT_BIND_OMP");
}
