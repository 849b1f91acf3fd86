/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the adapter, and what holds for all of them. */
#include "place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "place_plain.h"
#include "superior.h"

const char *const dt_platform_names[DT_PLATFORMS] = {
    [DT_PLATFORM_AUTO] = "auto",
    [DT_PLATFORM_SLURM] = "slurm",
    [DT_PLATFORM_BATCH] = "batch",
    [DT_PLATFORM_PYTORCHJOB] = "pytorchjob",
    [DT_PLATFORM_INDEXED_JOB] = "indexed-job",
    [DT_PLATFORM_JOBSET] = "jobset",
    [DT_PLATFORM_SAGEMAKER] = "sagemaker",
    [DT_PLATFORM_OPENMPI] = "openmpi",
    [DT_PLATFORM_PLAIN] = "plain",
    [DT_PLATFORM_ALONE] = "alone",
};

static bool in_step(void)
{
    const char *step = getenv("SLURM_STEP_ID");
    return step && atoll(step) < DT_STEP_FIRST_OWN && getenv("SLURM_PROCID") &&
           (getenv("SLURM_STEP_NODELIST") || getenv("SLURM_STEP_NUM_TASKS"));
}

static bool always(void)
{
    return true;
}

/* In the order in which they are looked for: mpirun may run inside a Slurm allocation, a JobSet has all
 * that an Indexed Job has. */
static const struct platform {
    enum dt_platform number;
    const struct dt_place_adapter *adapter;
    const char *variables; /* what makes it present, for the sentence */
} platforms[] = {
    {DT_PLATFORM_OPENMPI, &dt_place_openmpi, "OMPI_COMM_WORLD_RANK and PMIX_RANK"},
    {DT_PLATFORM_SLURM, &(const struct dt_place_adapter){in_step, NULL},
     "SLURM_STEP_ID and SLURM_PROCID"},
    {DT_PLATFORM_BATCH, &dt_place_batch, "AWS_BATCH_JOB_NUM_NODES and AWS_BATCH_JOB_NODE_INDEX"},
    {DT_PLATFORM_SAGEMAKER, &dt_place_sagemaker, "SM_HOSTS and SM_CURRENT_HOST"},
    {DT_PLATFORM_JOBSET, &dt_place_jobset, "JOB_COMPLETION_INDEX and JOBSET_NAME"},
    {DT_PLATFORM_INDEXED_JOB, &dt_place_indexed_job, "JOB_COMPLETION_INDEX"},
    {DT_PLATFORM_PYTORCHJOB, &dt_place_pytorchjob,
     "KUBERNETES_SERVICE_HOST, MASTER_ADDR, RANK and WORLD_SIZE"},
    {DT_PLATFORM_PLAIN, &(const struct dt_place_adapter){always, dt_place_plain}, ""},
    {DT_PLATFORM_ALONE, &(const struct dt_place_adapter){always, dt_place_alone}, ""},
};
#define COUNT (sizeof platforms / sizeof *platforms)

static const struct platform *choose(const struct dt_options *options, struct dt_error *err)
{
    bool numbered = options->nnodes || options->node_rank >= 0;
    for (size_t i = 0; i < COUNT; i++) {
        const struct platform *p = &platforms[i];
        if (options->platform == DT_PLATFORM_AUTO) {
            bool wanted = p->number != DT_PLATFORM_PLAIN || numbered;
            if (wanted && p->adapter->present())
                return p;
        } else if (options->platform == p->number) {
            if (p->adapter->present())
                return p;
            dt_error_set(err,
                         "--platform %s: its variables (%s) are not in the environment; drop the "
                         "option, or give --platform plain",
                         dt_platform_names[p->number], p->variables);
            return NULL;
        }
    }
    return NULL;
}

/* ---- for adapters -------------------------------------------------------------------------- */

int dt_place_number(const char *platform, const char *name, int low, int high, int *value,
                    struct dt_error *err)
{
    const char *text = getenv(name);
    char *end;
    errno = 0;
    long n = strtol(text ? text : "", &end, 10);
    if (!text || errno || end == text || *end || n < low || n > high)
        return dt_error_set(err, "%s: %s is \"%.60s\": a number from %d to %d is needed", platform,
                            name, text ? text : "", low, high);
    *value = (int)n;
    return 0;
}

int dt_place_first(struct dt_place *place, const char *text, struct dt_error *err)
{
    free(place->first_node);
    place->first_node = strdup(text);
    return place->first_node ? 0 : dt_error_set(err, "out of memory");
}

/* ---- what holds for all -------------------------------------------------------------------- */

static char *own_name(void)
{
    char name[HOST_NAME_MAX + 1];
    const char *slurm = getenv("SLURMD_NODENAME");
    if (slurm && *slurm)
        return strdup(slurm);
    if (gethostname(name, sizeof name))
        return strdup("localhost");
    name[sizeof name - 1] = '\0';
    return strdup(name);
}

/* N processes here, all numbered by this agent. */
static int fill_fanout(struct dt_place *place, const struct dt_options *options,
                       struct dt_error *err)
{
    if (dt_nproc_count(options->nproc, &place->processes, err))
        return -1;
    if (place->processes > INT_MAX / place->node_count)
        return dt_error_set(err, "%d processes on each of %d nodes are too many", place->processes,
                            place->node_count);
    place->local_rank = 0;
    place->local_world_size = place->processes;
    place->rank = place->node_rank * place->processes;
    place->world_size = place->node_count * place->processes;
    return 0;
}

/* What the user says of the nodes must be what the platform says: a job script that is written for another
 * number of nodes should not go on. */
static int check_numbers(const struct dt_place *place, const struct dt_options *options,
                         struct dt_error *err)
{
    int least = options->nnodes_least ? options->nnodes_least : options->nnodes;
    if (options->nnodes && (place->node_count < least || place->node_count > options->nnodes))
        return dt_error_set(err,
                            "--nnodes is %d but %s runs this on %d node%s: drop it, or ask for as "
                            "many nodes",
                            options->nnodes, place->adapter, place->node_count,
                            place->node_count == 1 ? "" : "s");
    if (options->node_rank >= 0 && options->node_rank != place->node_rank)
        return dt_error_set(
            err, "--node-rank is %d but %s has numbered this node %d of %d: drop it",
            options->node_rank, place->adapter, place->node_rank, place->node_count);
    return 0;
}

static int refuse_store(const struct dt_place *place, const struct dt_options *options,
                        struct dt_error *err)
{
    if (place->shape == DT_SHAPE_FANOUT || options->store != DT_STORE_LAUNCHER)
        return 0;
    return dt_error_set(err, "--store launcher needs --nproc-per-node and one task of srun a node");
}

static int refuse_restarts(const struct dt_place *place, const struct dt_options *options,
                           struct dt_error *err)
{
    int restarts;
    if (options->max_restarts == 0 ||
        (options->per_task && dt_superior_present(place, &restarts))) /* the driver restarts */
        return 0;
    if (place->shape != DT_SHAPE_FANOUT)
        return dt_error_set(err,
                            "--max-restarts needs --nproc-per-node: without it srun has started "
                            "the ranks, and dt-launch can not do so again");
    if (place->node_count > 1 && options->store == DT_STORE_RANK0)
        return dt_error_set(err,
                            "--max-restarts on %d nodes needs --store launcher: with rank0 each "
                            "node stands for itself",
                            place->node_count);
    return 0;
}

static int find(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                struct dt_error *err)
{
    const struct platform *platform = choose(options, err);
    if (!platform)
        return -1;
    if (options->per_task && platform->number != DT_PLATFORM_SLURM &&
        platform->number != DT_PLATFORM_OPENMPI)
        return dt_error_set(err,
                            "--per-task wraps the tasks of srun or mpirun, and this is neither "
                            "a Slurm step nor mpirun's: type srun dt-launch ...");
    place->adapter = dt_platform_names[platform->number];
    place->shape = DT_SHAPE_FANOUT;
    place->in_step = platform->number == DT_PLATFORM_SLURM;
    int result = place->in_step ? dt_place_slurm(place, options, everywhere, err)
                                : platform->adapter->find(place, options, err);
    if (result || check_numbers(place, options, err) || refuse_store(place, options, err) ||
        refuse_restarts(place, options, err))
        return -1;
    return place->shape == DT_SHAPE_FANOUT ? fill_fanout(place, options, err) : 0;
}

int dt_place_find(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                  struct dt_error *err)
{
    *place = (struct dt_place){.job = -1, .step = -1, .node_count = 1};
    *everywhere = true;
    place->node_name = own_name();
    int result = place->node_name ? find(place, options, everywhere, err)
                                  : dt_error_set(err, "out of memory");
    if (result)
        dt_place_fini(place);
    return result;
}

void dt_place_fini(struct dt_place *place)
{
    free(place->node_name);
    free(place->first_node);
    *place = (struct dt_place){0};
}

bool dt_place_serves(const struct dt_place *place, const struct dt_options *options)
{
    return place->shape == DT_SHAPE_FANOUT && options->store != DT_STORE_RANK0;
}
