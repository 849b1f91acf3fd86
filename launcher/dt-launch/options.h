/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dt-launch. Parsing knows nothing of Slurm; place.h judges what fits. */
#ifndef DT_LAUNCH_OPTIONS_H
#define DT_LAUNCH_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "bind_words.h"
#include "options_extras.h"
#include "options_watch.h"

enum dt_nproc { DT_NPROC_UNSET = 0, DT_NPROC_AUTO = -1, DT_NPROC_GPU = -2, DT_NPROC_CPU = -3 };
enum dt_prefix { DT_PREFIX_NONE, DT_PREFIX_RANK, DT_PREFIX_NODE };

/* Who serves PyTorch's store on MASTER_PORT. */
enum dt_store_mode { DT_STORE_UNSET, DT_STORE_LAUNCHER, DT_STORE_RANK0 };
enum dt_env_mode { DT_ENV_MODE_UNSET = -1, DT_ENV_MODE_OFF, DT_ENV_MODE_AUTO, DT_ENV_MODE_EXPLAIN };

/* Who has numbered the nodes; names in dt_platform_names. */
enum dt_platform {
    DT_PLATFORM_AUTO, /* the first of the others whose variables are there */
    DT_PLATFORM_SLURM,
    DT_PLATFORM_BATCH,
    DT_PLATFORM_PYTORCHJOB,
    DT_PLATFORM_INDEXED_JOB,
    DT_PLATFORM_JOBSET,
    DT_PLATFORM_SAGEMAKER,
    DT_PLATFORM_OPENMPI,
    DT_PLATFORM_PLAIN, /* --nnodes, --node-rank, --master-addr */
    DT_PLATFORM_ALONE, /* this node is all there is */
    DT_PLATFORMS,
};
extern const char *const dt_platform_names[DT_PLATFORMS];

#define DT_WAIT_FOR_MAX 64

enum dt_fold_mode { DT_FOLD_OFF, DT_FOLD_LINES, DT_FOLD_NUMBERS };

/* What becomes of the ranks' output; strings as given, NULL: not given. */
struct dt_log_options {
    enum dt_fold_mode fold;
    const char *ranks, *local_ranks; /* whose output is shown */
    const char *directory;
    const char *redirects, *tee; /* torchrun's: 0 to 3, or by local rank "0:3,1:1" */
    long long limit;             /* bytes of one file; 0: none */
};

#define DT_SRUN_WORDS 32

/* Who replaces a node that has failed. */
enum dt_owner { DT_OWNER_AUTO, DT_OWNER_DT, DT_OWNER_HYPERPOD };

/* Options of driver.h. */
struct dt_driver_options {
    int nodes, spares;              /* nodes 0: not given */
    int nodes_least;                /* of MIN:MAX; 0: all `nodes` are needed */
    bool wanted;                    /* --spares was given */
    const char *nodelist, *exclude; /* NULL: not given */
    bool requeue, drain;
    enum dt_owner owner;
    const char *srun[DT_SRUN_WORDS];
    int srun_count;
};

struct dt_options {
    struct dt_driver_options driver;
    bool per_task;
    bool dry_run;
    int nproc;        /* processes on this node, or enum dt_nproc */
    int nnodes;       /* 0: not given */
    int nnodes_least; /* of torchrun's MIN:MAX; 0: not given */
    enum dt_platform platform;
    int node_rank; /* -1: not given */
    const char *master_addr;
    int master_port; /* 0: not given */
    char *endpoint;  /* host of --rdzv-endpoint; NULL: not given */
    int endpoint_port;
    const char *local_addr, *run_id, *role; /* NULL: not given */
    bool module, no_python, run_path;       /* how PROGRAM is to be run */
    bool virtual_local_rank;
    enum dt_prefix prefix;
    double kill_grace_s;
    double missing_after_s;
    int max_restarts;
    const char *restart_progress; /* pattern of file names; NULL: none */
    bool restart_always;          /* progress or not */
    double lost_after_s;
    enum dt_store_mode store; /* UNSET: dt_store_of() decides */
    enum dt_env_mode env;     /* never UNSET after parsing: the option's, else DT_ENV's, else off */
    struct dt_bind_words bind; /* the option's, else the plugin's or DT_BIND's, else off */
    int doctor;                /* rank to be explained (with dry_run); -1: none */
    struct dt_log_options log;
    double progress_s;            /* between two lines of progress; 0: none */
    const char *events, *metrics; /* files; NULL: none */
    struct dt_hang_options hang;
    struct dt_checkpoint_options checkpoint;
    struct dt_extras extras;
    const char *accelerate; /* configuration file of accelerate; NULL: none */
    /* of shim.h, borrowed */
    const char *accelerate_extra; /* lines behind that file; NULL: none */
    const char *interpreter;  /* Python, where PYTHON_EXEC does not name it; NULL: look for it */
    bool any_python;          /* PROGRAM is Python's whatever its name, as with torchrun */
    bool local_rank_argument; /* --local_rank=N behind the script */
    bool megatron, composer;  /* what these want in the environment */
    const char *hostfile;     /* to be written for DeepSpeed; NULL: none */
    const char *roles;        /* file; NULL: one program for all */
    const char *wait_for[DT_WAIT_FOR_MAX];
    int wait_for_count;
    char **program; /* argv of the program, NULL-terminated, borrowed from main */
    char **python;  /* owned: `program` behind a Python interpreter; NULL: as it is */
};

/* Restarts and replacements of nodes that the job may have in all: --max-restarts, else as many nodes as it can do
 * without. */
int dt_restarts_max(const struct dt_options *options);

/* Prints and exits for --help, --usage and --version. What is not on the command line is looked for in
 * torchrun's PET_ variables. */
int dt_options_parse(struct dt_options *options, int argc, char **argv, struct dt_error *err);
void dt_options_fini(struct dt_options *options);

#endif
