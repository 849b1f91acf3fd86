/* SPDX-License-Identifier: Apache-2.0 */
/* What each rank finds in its environment. A wrapped task keeps everything that Slurm and PMIx gave
 * it. A worker of a fan-out gets its own numbers in Slurm's variables too, because Lightning, JAX
 * and others read them, and loses PMI, because one PMI rank can not be N processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "prepare.h"
#include "superior.h"

#define NEURON_PORT 62182 /* torch-neuronx's default; outside the ephemeral range */

static void set_common(struct dt_environ *env, const struct dt_place *place,
                       const struct dt_master *master, const struct dt_options *options, int index)
{
    int rank = place->rank + index;
    bool v6 = strchr(master->addr, ':') != NULL;
    dt_environ_set(env, "RANK", "%d", rank);
    dt_environ_set(env, "LOCAL_RANK", "%d", place->local_rank + index);
    dt_environ_set(env, "WORLD_SIZE", "%d", place->world_size);
    dt_environ_set(env, "LOCAL_WORLD_SIZE", "%d", place->local_world_size);
    dt_environ_set(env, "NODE_RANK", "%d", place->node_rank);
    dt_environ_set(env, "GROUP_RANK", "%d", place->node_rank);
    dt_environ_set(env, "GROUP_WORLD_SIZE", "%d", place->node_count);
    dt_environ_set(env, "ROLE_RANK", "%d", rank);
    dt_environ_set(env, "ROLE_WORLD_SIZE", "%d", place->world_size);
    dt_environ_set(env, "ROLE_NAME", "%s", options->role ? options->role : "default");
    dt_environ_set(env, "MASTER_ADDR", "%s", master->addr);
    dt_environ_set(env, "MASTER_PORT", "%d", master->port);
    dt_environ_default(env, "JAX_COORDINATOR_ADDRESS", v6 ? "[%s]:%d" : "%s:%d", master->addr,
                       master->jax_port);
    dt_environ_set(env, "JAX_NUM_PROCESSES", "%d", place->world_size);
    dt_environ_set(env, "JAX_PROCESS_ID", "%d", rank);
}

/* "8(x4)", as Slurm writes it. */
static void set_tasks_per_node(struct dt_environ *env, const char *name,
                               const struct dt_place *place)
{
    if (place->node_count > 1)
        dt_environ_set(env, name, "%d(x%d)", place->processes, place->node_count);
    else
        dt_environ_set(env, name, "%d", place->processes);
}

static void set_slurm(struct dt_environ *env, const struct dt_place *place, int index)
{
    struct dt_buf ids = DT_BUF_INIT;
    for (int i = 0; i < place->processes; i++)
        dt_buf_printf(&ids, "%s%d", i ? "," : "", place->rank + i);
    char *text = dt_buf_take(&ids);
    env->failed = env->failed || !text;
    dt_environ_set(env, "SLURM_GTIDS", "%s", text ? text : "");
    free(text);
    dt_environ_set(env, "SLURM_PROCID", "%d", place->rank + index);
    dt_environ_set(env, "SLURM_LOCALID", "%d", index);
    dt_environ_set(env, "SLURM_NTASKS", "%d", place->world_size);
    dt_environ_set(env, "SLURM_NPROCS", "%d", place->world_size);
    dt_environ_set(env, "SLURM_STEP_NUM_TASKS", "%d", place->world_size);
    dt_environ_set(env, "SLURM_NTASKS_PER_NODE", "%d", place->processes);
    set_tasks_per_node(env, "SLURM_TASKS_PER_NODE", place);
    set_tasks_per_node(env, "SLURM_STEP_TASKS_PER_NODE", place);
    dt_environ_unset_prefix(env, "SLURM_TASK_PID=");
    dt_environ_unset_prefix(env, "SLURM_PMI"); /* SLURM_PMIX*, SLURM_PMI_* too */
}

/* A wrapped rank whose step a driver has started, perhaps not for the first time. */
static void set_driven(struct dt_environ *env, const struct dt_place *place)
{
    int restarts;
    if (!dt_superior_present(place, &restarts))
        return;
    dt_environ_unset(env, "SLURM_LAUNCH_DRIVER");
    dt_environ_set(env, "TORCHELASTIC_RESTART_COUNT", "%d", restarts);
}

/* The GPU number `index` of those that are visible, as the only one. */
static void set_virtual(struct dt_environ *env, int index)
{
    const char *visible = dt_environ_get(env, "CUDA_VISIBLE_DEVICES");
    dt_environ_set(env, "LOCAL_RANK", "0");
    if (!visible) {
        dt_environ_set(env, "CUDA_VISIBLE_DEVICES", "%d", index);
        return;
    }
    for (int i = 0; i < index && *visible; i++) {
        visible += strcspn(visible, ",");
        visible += *visible == ',';
    }
    char *own = strndup(visible, strcspn(visible, ",")); /* it lies in what is changed now */
    env->failed = env->failed || !own;
    dt_environ_set(env, "CUDA_VISIBLE_DEVICES", "%s", own ? own : "");
    free(own);
}

static void set_fanout(struct dt_environ *env, const struct dt_place *place,
                       const struct dt_master *master, const struct dt_options *options, int index)
{
    int rank = place->rank + index;
    dt_environ_unset_prefix(env, "PMI_");
    dt_environ_unset_prefix(env, "PMIX_");
    dt_environ_unset(env, "SLURM_LAUNCH_DRIVER");
    if (place->in_step || getenv("SLURM_PROCID")) /* a role's agent may be within a step, too */
        set_slurm(env, place, index);
    int restarts;
    if (dt_superior_present(place, &restarts)) /* one run, whichever step it has come to */
        dt_environ_set(env, "TORCHELASTIC_RUN_ID", "%lld", place->job);
    else if (place->job >= 0)
        dt_environ_set(env, "TORCHELASTIC_RUN_ID", "%lld.%lld", place->job, place->step);
    else if (options->run_id)
        dt_environ_set(env, "TORCHELASTIC_RUN_ID", "%s", options->run_id);
    else
        dt_environ_default(env, "TORCHELASTIC_RUN_ID", "none");
    dt_environ_set(env, "TORCHELASTIC_RESTART_COUNT", "0");
    dt_environ_set(env, "TORCHELASTIC_MAX_RESTARTS", "%d", dt_restarts_max(options));
    dt_environ_set(env, "TORCHELASTIC_USE_AGENT_STORE", "%s", master->serves ? "True" : "False");
    dt_environ_default(env, "TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
    if (place->processes > 1)
        dt_environ_default(env, "OMP_NUM_THREADS", "1");
    dt_environ_set(env, "OMPI_COMM_WORLD_RANK", "%d", rank);
    dt_environ_set(env, "OMPI_COMM_WORLD_SIZE", "%d", place->world_size);
    dt_environ_set(env, "OMPI_COMM_WORLD_LOCAL_RANK", "%d", index);
    dt_environ_set(env, "OMPI_COMM_WORLD_LOCAL_SIZE", "%d", place->processes);
    dt_environ_set(env, "OMPI_COMM_WORLD_NODE_RANK", "%d", index); /* Open MPI's word for local */
    dt_environ_set(env, "CROSS_RANK", "%d", place->node_rank);
    dt_environ_set(env, "CROSS_SIZE", "%d", place->node_count);
    dt_environ_set(env, "LOCAL_SIZE", "%d", place->processes);
}

/* NeuronCores of this node; 0: not known (an old driver tells no count). */
static long long neuron_cores(const struct dt_root *root)
{
    long long total = 0, count;
    for (int device = 0;
         dt_root_read_long(root, &count, "sys/class/neuron_device/neuron%d/core_count", device) ==
         0;
         device++)
        total += count;
    return total;
}

static void set_neuron(struct dt_environ *env, const struct dt_root *root,
                       const struct dt_place *place, const struct dt_master *master, int index)
{
    if (!dt_root_exists(root, "dev/neuron0"))
        return;
    dt_environ_default(env, "NEURON_RT_ROOT_COMM_ID", "%s:%d", master->addr, NEURON_PORT);
    long long cores = neuron_cores(root);
    if (cores == 0 || cores % place->local_world_size)
        return;
    struct dt_buf list = DT_BUF_INIT;
    for (int rank = 0; rank < place->world_size; rank++)
        dt_buf_printf(&list, "%s%lld", rank ? "," : "", cores / place->local_world_size);
    char *text = dt_buf_take(&list);
    env->failed = env->failed || !text;
    dt_environ_default(env, "NEURON_PJRT_PROCESSES_NUM_DEVICES", "%s", text ? text : "");
    dt_environ_set(env, "NEURON_PJRT_PROCESS_INDEX", "%d", place->rank + index);
    free(text);
}

int dt_rank_environ(struct dt_environ *env, const struct dt_place *place,
                    const struct dt_master *master, const struct dt_injection *injection,
                    const struct dt_binding *binding, const struct dt_options *options, int index,
                    struct dt_error *err)
{
    struct dt_root root;
    dt_environ_init(env, environ);
    dt_injection_apply(env, injection);
    set_common(env, place, master, options, index);
    if (place->shape == DT_SHAPE_FANOUT && place->processes > 1)
        dt_binding_apply(env, binding, index);
    if (place->shape == DT_SHAPE_FANOUT)
        set_fanout(env, place, master, options, index);
    else
        set_driven(env, place);
    if (options->virtual_local_rank)
        set_virtual(env, place->local_rank + index);
    if (dt_root_init(&root, NULL, err) == 0) {
        set_neuron(env, &root, place, master, index);
        dt_root_fini(&root);
    }
    if (!env->failed)
        return 0;
    dt_environ_fini(env);
    return dt_error_set(err, "out of memory");
}
