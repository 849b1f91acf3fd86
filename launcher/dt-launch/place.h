/* SPDX-License-Identifier: Apache-2.0 */
/* Where this dt-launch stands in the job: which node of how many, which ranks it starts. Each
 * platform has an adapter that fills the same structure; nothing after it asks which platform it
 * was. */
#ifndef DT_LAUNCH_PLACE_H
#define DT_LAUNCH_PLACE_H

#include <stdbool.h>

#include "base/error.h"
#include "options.h"

enum dt_shape {
    DT_SHAPE_TASK,   /* one process, wrapped; the platform has placed and numbered it */
    DT_SHAPE_FANOUT, /* this agent starts and numbers all processes of the node */
};

struct dt_place {
    const char *adapter; /* name of the platform */
    bool in_step;        /* inside a Slurm step */
    enum dt_shape shape;
    char *node_name;
    int node_rank, node_count;
    int processes;        /* how many this dt-launch starts */
    int rank, local_rank; /* of the first of them */
    int world_size, local_world_size;
    char *first_node;    /* name or address of node 0; NULL: not known */
    int first_port;      /* where the platform says that rank 0 listens; 0: it says nothing */
    long long job, step; /* -1: none */
};

/* *everywhere: the error is the same on all ranks, so one of them may speak for all. */
int dt_place_find(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                  struct dt_error *err);
void dt_place_fini(struct dt_place *place);

/* Does this job's store run in the dt-launch of node 0? */
bool dt_place_serves(const struct dt_place *place, const struct dt_options *options);

/* Names of all nodes, by node rank; an entry is NULL where it is not known (only Slurm tells all). addresses: numeric
 * ones where /etc/hosts has them, since a container may have no other resolver. NULL: err. */
char **dt_place_names(const struct dt_place *place, bool addresses, struct dt_error *err);
void dt_place_names_free(char **names, int count);

/* ---- adapters ------------------------------------------------------------------------------ */

/* `present` looks at the environment only; `find` fills node_rank, node_count, first_node and
 * first_port, for an agent of a node, and shape, rank and so on where the platform has started
 * ranks itself. */
struct dt_place_adapter {
    bool (*present)(void);
    int (*find)(struct dt_place *place, const struct dt_options *options, struct dt_error *err);
};
extern const struct dt_place_adapter dt_place_batch, dt_place_sagemaker; /* place_aws.c */
extern const struct dt_place_adapter dt_place_pytorchjob, dt_place_indexed_job,
    dt_place_jobset;                                   /* place_kubernetes.c */
extern const struct dt_place_adapter dt_place_openmpi; /* place_openmpi.c */

/* From this SLURM_STEP_ID on a step is no srun's: a batch script, salloc's shell (LaunchParameters=use_interactive_step). */
#define DT_STEP_FIRST_OWN 0xfffffff0LL

/* The adapter for Slurm steps. */
int dt_place_slurm(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                   struct dt_error *err);

/* place_step.c: -1 where the step that the variables name is surely not the one that this process runs in. */
int dt_place_check_step(const struct dt_place *place, struct dt_error *err);

/* For adapters: variable `name` as a number from low to high. */
int dt_place_number(const char *platform, const char *name, int low, int high, int *value,
                    struct dt_error *err);
/* A text for first_node. */
int dt_place_first(struct dt_place *place, const char *text, struct dt_error *err);

/* Resolve --nproc-per-node on this node. */
int dt_nproc_count(int nproc, int *count, struct dt_error *err);

#endif
