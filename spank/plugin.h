/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plugin share: one context, filled by whichever of Slurm's programs loaded
 * it. */
#ifndef DT_SPANK_PLUGIN_H
#define DT_SPANK_PLUGIN_H

#include <slurm/spank.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/exitcode.h"
#include "helper.h"
#include "manners.h"
#include "options.h"
#include "text.h"

#define VARIABLE_SETTINGS   "SLURM_DT_SETTINGS"
#define VARIABLE_RENDEZVOUS "SLURM_DT_RENDEZVOUS"
/* Marks that SLURM_KILL_BAD_EXIT is ours, so that the node takes it out of the program's sight. */
#define VARIABLE_KILL "SLURM_DT_KILL_BAD_EXIT"
/* What the user has bound by other means; set whenever the settings are. */
#define VARIABLE_BOUND      "SLURM_DT_BOUND"
#define VARIABLE_COMPONENTS "SLURM_DT_COMPONENTS" /* het steps only */

/* srun only */
struct local {
    struct helper gather;
    bool started;   /* local_user_init has done its work */
    int components; /* calls of init_post_opt so far: one per het component */
    struct manners_environ environ;
};

/* slurmstepd only */
struct remote {
    bool on;  /* the plan of dt-node is to be applied */
    bool ran; /* it was: the tasks were let run */
    bool task_failed;
    bool shim;       /* programs are looked for in the shim's directory first */
    bool asked;      /* an option of validation came with the step */
    bool reported;   /* dt-gather knows this node */
    long components; /* of a het step; 0: none. Ranks are then counted by Slurm, over all of them */
    long component;
    int fail_code;   /* not 0: tasks end with it */
    int plan;        /* memfd */
    int port;        /* socket that keeps the reserved port */
    char *node_name; /* short host name */
    char *bound;     /* SLURM_DT_BOUND; NULL: srun did not say */
    struct helper node;
    struct cpus *masks; /* per local task */
    pid_t *pids;        /* per local task */
    uint32_t tasks, forked;
};

struct plugin {
    struct options options;
    struct local local;
    struct remote remote;
};

/* srun.c: the local context */
void srun_init(struct plugin *plugin);
void srun_post_options(struct plugin *plugin);
void srun_local_user_init(struct plugin *plugin, spank_t spank);
void srun_exit(struct plugin *plugin);

/* alloc.c: sbatch and salloc, and the part of it that srun shares */
void alloc_post_options(struct plugin *plugin);

/* stepd.c: slurmstepd */
void stepd_user_init(struct plugin *plugin, spank_t spank);
void stepd_task_post_fork(struct plugin *plugin, spank_t spank);
void stepd_task_exit(struct plugin *plugin, spank_t spank);
void stepd_exit(struct plugin *plugin, spank_t spank);
bool stepd_is_training_step(spank_t spank);

/* request.c: the texts for dt-node. `job_environ` is the job's. */
void request_format(struct text *text, const struct plugin *plugin, spank_t spank, int port,
                    const char *rendezvous, char **job_environ);
void request_component(struct remote *remote, spank_t spank, char **job_environ);
const char *environ_get(char **job_environ, const char *name);

/* task.c: the task, as the user, last before exec. Ends the process rather than come back wrong. */
void task_apply(struct plugin *plugin, spank_t spank);

/* shim.c: torchrun and others are found as dt-launch. */
void shim_apply(const struct plugin *plugin, spank_t spank);

#endif
