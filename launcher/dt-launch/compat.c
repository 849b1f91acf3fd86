/* SPDX-License-Identifier: Apache-2.0 */
/* See compat.h. */
#include "compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "text_file.h"

/* num_processes is of the whole job, over num_machines. */
static int take_processes(const struct dt_accelerate *config, struct dt_options *options,
                          struct dt_error *err)
{
    int machines = config->machines ? config->machines : 1;
    if (!config->processes || options->nproc != DT_NPROC_UNSET || options->per_task)
        return 0;
    if (config->processes % machines)
        return dt_error_set(
            err,
            "%s: num_processes %d can not be shared by num_machines %d evenly; give "
            "--nproc-per-node",
            options->accelerate, config->processes, machines);
    options->nproc = config->processes / machines;
    return 0;
}

int dt_compat_open(struct dt_compat *compat, struct dt_options *options, struct dt_error *err)
{
    *compat = (struct dt_compat){0};
    if (!options->accelerate)
        return 0;
    char *text = dt_text_file("--compat accelerate", options->accelerate, err);
    struct dt_buf whole = DT_BUF_INIT;
    dt_buf_printf(&whole, "%s%s", text ? text : "",
                  options->accelerate_extra ? options->accelerate_extra : "");
    int result = !text          ? -1
                 : whole.failed ? dt_error_set(err, "out of memory")
                                : dt_accelerate_parse(&compat->accelerate, whole.data,
                                                      options->accelerate, err);
    dt_buf_fini(&whole);
    free(text);
    return result ? result : take_processes(&compat->accelerate, options, err);
}

void dt_compat_close(struct dt_compat *compat)
{
    dt_accelerate_fini(&compat->accelerate);
}

void dt_compat_apply(struct dt_environ *env, const struct dt_compat *compat,
                     const struct dt_options *options)
{
    if (options->megatron) /* its sequence parallelism asserts it; others it would slow down */
        dt_environ_default(env, "CUDA_DEVICE_MAX_CONNECTIONS", "1");
    if (options->composer)
        dt_environ_default(env, "PYTHONUNBUFFERED", "1");
    for (size_t i = 0; i < compat->accelerate.count; i++) {
        const char *item = compat->accelerate.variables[i], *equals = strchr(item, '=');
        char *name = strndup(item, (size_t)(equals - item));
        env->failed = env->failed || !name;
        if (name)
            dt_environ_set(env, name, "%s", equals + 1);
        free(name);
    }
}

/* ---- hostfile ------------------------------------------------------------------------------ */

static int put_hosts(struct dt_buf *text, const struct dt_place *place, struct dt_error *err)
{
    char **names = dt_place_names(place, false, err);
    int result = names ? 0 : -1;
    for (int node = 0; result == 0 && node < place->node_count; node++) {
        if (names[node])
            dt_buf_printf(text, "%s slots=%d\n", names[node], place->processes);
        else
            result = dt_error_set(err,
                                  "--compat deepspeed: the name of node %d is not known on "
                                  "this platform (under Slurm it is)",
                                  node);
    }
    dt_place_names_free(names, place->node_count);
    return result;
}

/* Whole or not at all: others may read it while the job starts. */
static int write_whole(const char *path, const struct dt_buf *text, struct dt_error *err)
{
    struct dt_buf draft = DT_BUF_INIT;
    dt_buf_printf(&draft, "%s.%d", path, (int)getpid());
    int fd = text->failed || draft.failed
                 ? -1
                 : open(draft.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0 && write(fd, text->data, text->len) == (ssize_t)text->len;
    if (fd >= 0)
        good = close(fd) == 0 && good && rename(draft.data, path) == 0;
    int result = good ? 0
                      : dt_error_set(err, "--compat deepspeed: %s can not be written: %s", path,
                                     strerror(errno));
    if (fd >= 0 && !good)
        unlink(draft.data);
    dt_buf_fini(&draft);
    return result;
}

int dt_compat_hostfile(const struct dt_options *options, const struct dt_place *place,
                       struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    if (!options->hostfile || place->node_rank > 0 || place->local_rank > 0)
        return 0;
    int result =
        put_hosts(&text, place, err) || write_whole(options->hostfile, &text, err) ? -1 : 0;
    dt_buf_fini(&text);
    return result;
}
