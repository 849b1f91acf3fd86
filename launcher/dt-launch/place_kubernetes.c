/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters for Kubernetes: Kubeflow's PyTorchJob, an Indexed Job, a JobSet. (Kubeflow's newer Trainer says
 * everything in PET_ variables, which are options.)
 *
 * PyTorchJob: MASTER_ADDR, MASTER_PORT, and RANK and WORLD_SIZE, which count pods, not processes.
 * Indexed Job: JOB_COMPLETION_INDEX; the pod's host name is JOB-INDEX, and, with a headless service as
 * subdomain, JOB-0.SERVICE... is pod 0. How many pods there are it does not say.
 * JobSet: the same, with host names JOBSET-REPLICATEDJOB-JOBINDEX-PODINDEX. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts.h"
#include "place.h"

static bool in_pod(void)
{
    return getenv("KUBERNETES_SERVICE_HOST") != NULL;
}

/* ---- PyTorchJob ---------------------------------------------------------------------------- */

/* LOCAL_RANK: another launcher has been here, and the numbers are its ranks'. */
static bool pytorchjob_present(void)
{
    return in_pod() && getenv("MASTER_ADDR") && getenv("RANK") && getenv("WORLD_SIZE") &&
           !getenv("LOCAL_RANK");
}

static int pytorchjob_find(struct dt_place *place, const struct dt_options *options,
                           struct dt_error *err)
{
    /* Newer operators write the number of processes into WORLD_SIZE, and that of pods into PET_NNODES,
     * which is --nnodes. */
    if (options->nnodes)
        place->node_count = options->nnodes;
    else if (dt_place_number("PyTorchJob", "WORLD_SIZE", 1, 1 << 20, &place->node_count, err))
        return -1;
    return dt_place_number("PyTorchJob", "RANK", 0, place->node_count - 1, &place->node_rank, err);
}

const struct dt_place_adapter dt_place_pytorchjob = {pytorchjob_present, pytorchjob_find};

/* ---- indexed jobs -------------------------------------------------------------------------- */

static int need_count(struct dt_place *place, const char *platform,
                      const struct dt_options *options, struct dt_error *err)
{
    if (!options->nnodes)
        return dt_error_set(err,
                            "%s does not say how many pods there are: give --nnodes N, its "
                            "spec.completions (or PET_NNODES in the pod's env)",
                            platform);
    place->node_count = options->nnodes;
    return 0;
}

/* Where the decimal number begins that `name`, cut at `end`, ends with; end: none. */
static size_t trailing_number(const char *name, size_t end)
{
    size_t at = end;
    while (at > 0 && isdigit((unsigned char)name[at - 1]))
        at--;
    return at > 0 && name[at - 1] == '-' ? at : end;
}

/* The first name of this pod's line in /etc/hosts, which has the whole domain where the pod has a
 * subdomain; else the host name alone. */
static int own_domain_name(char *name, size_t size, struct dt_error *err)
{
    if (gethostname(name, size))
        return dt_error_set(err, "this host's name is too long");
    char *full = dt_hosts_full_name(name);
    if (full && strlen(full) < size)
        snprintf(name, size, "%s", full);
    free(full);
    return 0;
}

/* Pod 0's name is ours with another number. */
static int name_pod_zero(struct dt_place *place, const char *platform, int index,
                         const struct dt_options *options, struct dt_error *err)
{
    char name[256];
    if (options->master_addr || getenv("MASTER_ADDR") || place->node_count == 1)
        return 0;
    if (own_domain_name(name, sizeof name, err))
        return -1;
    size_t host = strcspn(name, "."), digits = trailing_number(name, host);
    if (digits == host || atoi(name + digits) != index)
        return dt_error_set(err,
                            "%s: the host name %.120s does not end in this pod's index %d, so pod "
                            "0's name is not known: give --master-addr",
                            platform, name, index);
    char zero[300];
    snprintf(zero, sizeof zero, "%.*s0%s", (int)digits, name, name + host);
    return dt_place_first(place, zero, err);
}

static bool indexed_job_present(void)
{
    return getenv("JOB_COMPLETION_INDEX") != NULL;
}

static int indexed_job_find(struct dt_place *place, const struct dt_options *options,
                            struct dt_error *err)
{
    static const char platform[] = "an Indexed Job";
    if (need_count(place, platform, options, err) ||
        dt_place_number(platform, "JOB_COMPLETION_INDEX", 0, place->node_count - 1,
                        &place->node_rank, err))
        return -1;
    return name_pod_zero(place, platform, place->node_rank, options, err);
}

const struct dt_place_adapter dt_place_indexed_job = {indexed_job_present, indexed_job_find};

/* ---- JobSet -------------------------------------------------------------------------------- */

static bool jobset_present(void)
{
    return getenv("JOB_COMPLETION_INDEX") && getenv("JOBSET_NAME");
}

/* Pods are numbered within each child job; only in the first child are they the job's. */
static int jobset_find(struct dt_place *place, const struct dt_options *options,
                       struct dt_error *err)
{
    static const char platform[] = "a JobSet";
    char name[256];
    int index;
    if (need_count(place, platform, options, err) ||
        dt_place_number(platform, "JOB_COMPLETION_INDEX", 0, place->node_count - 1, &index, err) ||
        own_domain_name(name, sizeof name, err))
        return -1;
    size_t host = strcspn(name, "."), pod = trailing_number(name, host);
    size_t child = pod < host ? trailing_number(name, pod - 1) : host;
    bool first_child = pod < host && child < pod - 1 && atoi(name + child) == 0;
    if (!first_child && options->node_rank < 0)
        return dt_error_set(err,
                            "the host name %.120s is not that of a pod of the JobSet's first child "
                            "job (JOBSET-JOB-0-INDEX), so this node's number is not known: give "
                            "--node-rank and --master-addr",
                            name);
    place->node_rank = options->node_rank >= 0 ? options->node_rank : index;
    return first_child ? name_pod_zero(place, platform, index, options, err) : 0;
}

const struct dt_place_adapter dt_place_jobset = {jobset_present, jobset_find};
