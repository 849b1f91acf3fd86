/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's entry points. Each only finds out in which program it runs and calls the file for it.
 * They return 0: for an `optional` plugin line a failure is ignored before Slurm 25.05, so a
 * refusal is an exit of the process, in srun.c, alloc.c or task.c. The exception is the option
 * callback. */
#include "plugin.h"

#include <string.h>

/* The entry points are looked up by name; all else is hidden. */
#pragma GCC visibility push(default)
extern const char plugin_name[], plugin_type[];
extern const unsigned int plugin_version, spank_plugin_version;
#pragma GCC visibility pop

SPANK_PLUGIN(dt, 1)

static struct plugin plugin = {
    .local = {.gather = {.to = -1, .from = -1}},
    .remote = {.plan = -1, .port = -1, .node = {.to = -1, .from = -1}},
};

static int take_option(int setting, const char *value, int remote)
{
    struct sentence why;
    if (options_take(&plugin.options, SOURCE_OPTION, (enum setting)setting, value, &why) == 0)
        return 0;
    if (remote)
        return 0; /* srun has refused it already; a node must not fail over it */
    slurm_error("dt: %s", why.text);
    return -1;
}

static int callback(int setting, const char *value, int remote)
{
    if (remote && setting == SETTING_VALIDATE)
        plugin.remote.asked = !value || strcmp(value, "off") != 0;
    return take_option(setting, value, remote);
}

#pragma GCC visibility push(default)

int slurm_spank_init(spank_t spank, int argc, char *argv[])
{
    spank_context_t context = spank_context();
    if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR && context != S_CTX_REMOTE)
        return 0;
    options_register(spank, callback);
    options_read_admin(&plugin.options, argc, argv);
    if (context == S_CTX_LOCAL)
        srun_init(&plugin);
    return 0;
}

int slurm_spank_init_post_opt(spank_t spank, int argc, char *argv[])
{
    (void)spank, (void)argc, (void)argv;
    if (spank_context() == S_CTX_LOCAL)
        srun_post_options(&plugin);
    else if (spank_context() == S_CTX_ALLOCATOR)
        alloc_post_options(&plugin);
    return 0;
}

int slurm_spank_local_user_init(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    srun_local_user_init(&plugin, spank);
    return 0;
}

int slurm_spank_user_init(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (stepd_is_training_step(spank))
        stepd_user_init(&plugin, spank);
    return 0;
}

int slurm_spank_task_post_fork(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (plugin.remote.on)
        stepd_task_post_fork(&plugin, spank);
    return 0;
}

int slurm_spank_task_init(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (plugin.remote.on || plugin.remote.fail_code)
        task_apply(&plugin, spank);
    if (plugin.remote.shim)
        shim_apply(&plugin, spank);
    return 0;
}

int slurm_spank_task_exit(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (plugin.remote.ran)
        stepd_task_exit(&plugin, spank);
    return 0;
}

int slurm_spank_exit(spank_t spank, int argc, char *argv[])
{
    (void)argc, (void)argv;
    if (spank_context() == S_CTX_LOCAL)
        srun_exit(&plugin);
    else if (spank_context() == S_CTX_REMOTE)
        stepd_exit(&plugin, spank);
    options_fini(&plugin.options);
    return 0;
}

#pragma GCC visibility pop
