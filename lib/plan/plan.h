/* SPDX-License-Identifier: Apache-2.0 */
/* The two texts between the plugin (in slurmstepd) and dt-node: the request that comes in on fd 0
 * and the plan that goes out into the memfd on fd 3. Lines of words, so that the plugin needs no
 * parser worth the name and no library. docs/ARCHITECTURE.md, "Plugin and dt-node", is the
 * contract.
 *
 * Values are percent-encoded: '%', bytes below 0x21 and 0x7f become %XX, so a word has no blank. An
 * empty value is a line that ends after the blank ("all set NAME ").
 */
#ifndef DT_PLAN_PLAN_H
#define DT_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

#define DT_REQUEST_MAX (16u << 20) /* bytes of one message from the plugin */

struct dt_request {
    long long job, step;
    char *node_name;
    int node_id, node_count;                  /* in this step (het: in this component) */
    int het_group, het_size;                  /* -1, 0: no het job */
    int local_tasks, total_tasks, first_rank; /* first_rank: global rank of local task 0 */
    int *ranks; /* global rank of each local task ("ranks 0,4,8"; absent: first, first+1, ...) */
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    char *cwd;
    char *validate, *env, *bind, *on_fail; /* resolved settings, never NULL */
    char *nic;                             /* "plan", "narrow" or "off"; NULL: off */
    bool bound_known;                      /* srun has told who else binds, or that nobody does */
    char *cpus_bound, *gpus_bound, *memory_bound; /* who: "--cpu-bind=cores"; NULL: nobody */
    char *program_binds; /* "numactl", where that is the program; NULL: it is another */
    double timeout_s;
    int port;                  /* TCP port reserved by the plugin on this node, 0: none */
    char *rendezvous;          /* text of SLURM_DT_RENDEZVOUS, or NULL */
    long long memlock, nofile; /* limits the ranks will have; -1 unlimited; -2 not known */
    char **environ;            /* NAME=VALUE of the job, NULL-terminated */
};

/* Read the request from a descriptor up to its "end" line. The request is empty after a failure. */
int dt_request_read(struct dt_request *request, int fd, struct dt_error *err);
int dt_request_parse(struct dt_request *request, const char *text, size_t len,
                     struct dt_error *err);
void dt_request_fini(struct dt_request *request);

/* Value of a variable of the job, borrowed; NULL: not set. */
const char *dt_request_getenv(const struct dt_request *request, const char *name);

/* Masks, one per local task, as CPU lists ("0-7,96-103"), from the "mask" lines. Free the array
 * with dt_masks_free. dt_masks_read returns 1 when the plugin closed the pipe without sending any.
 */
int dt_masks_read(char ***lists, size_t count, int fd, struct dt_error *err);
int dt_masks_parse(char ***lists, size_t count, const char *text, size_t len, struct dt_error *err);
/* The same with the tasks' process ids, 0 where the plugin told none; pids holds `count`. */
int dt_masks_read_pids(char ***lists, pid_t *pids, size_t count, int fd, struct dt_error *err);
void dt_masks_free(char **lists, size_t count);

/* One word: append it encoded; decode it in place (-1: a bad escape, or one that stands for NUL).
 */
void dt_word_append(struct dt_buf *buf, const char *value);
int dt_word_decode(char *word);

void dt_plan_begin(struct dt_buf *plan);
void dt_plan_all_set(struct dt_buf *plan, const char *name, const char *value);     /* overwrite */
void dt_plan_all_default(struct dt_buf *plan, const char *name, const char *value); /* if unset */
void dt_plan_all_unset(struct dt_buf *plan, const char *name);
/* The same for what the environment rules give, for all local ranks or for one (rank -1: all). What
 * was really done is named in DT_ENV_APPLIED: a name, or "-NAME" where it was taken away. */
void dt_plan_env_default(struct dt_buf *plan, int rank, const char *name, const char *value);
void dt_plan_env_set(struct dt_buf *plan, int rank, const char *name, const char *value);
void dt_plan_env_unset(struct dt_buf *plan, int rank, const char *name);
/* The mask that the plan was made for. Where the task finds another, somebody else has bound it, and
 * its cpus, memory and bind- lines are left out. */
void dt_plan_rank_found(struct dt_buf *plan, size_t rank, const char *cpulist);
void dt_plan_rank_bind_set(struct dt_buf *plan, size_t rank, const char *name, const char *value);
void dt_plan_rank_bind_default(struct dt_buf *plan, size_t rank, const char *name,
                               const char *value);
void dt_plan_all_bind_set(struct dt_buf *plan, const char *name, const char *value);
void dt_plan_rank_cpus(struct dt_buf *plan, size_t rank, const char *cpulist);
/* policy: preferred | bind | interleave | local */
void dt_plan_rank_memory(struct dt_buf *plan, size_t rank, const char *policy,
                         const char *nodelist);
void dt_plan_rank_set(struct dt_buf *plan, size_t rank, const char *name, const char *value);
void dt_plan_rank_default(struct dt_buf *plan, size_t rank, const char *name, const char *value);
/* For the rank to look at before its program starts, as its user, in its container. kind and argument:
 * "shm" MIB, "nproc" NUMBER, "nofile" NUMBER, "memlock" MIB, "device" PATH (opened), "node" PATH
 * (access alone), "driver" VERSION; and these only warn: "library" NAME, "memory" PERCENT of what
 * Slurm gave, "cpus" "step" (the cpuset) or "rank" (the mask). "mode" "warn": nothing that is found
 * ends a rank. */
void dt_plan_all_look(struct dt_buf *plan, const char *kind, const char *argument);
/* To the rank's stderr, before exec. */
void dt_plan_rank_say(struct dt_buf *plan, size_t rank, const char *line);
void dt_plan_end(struct dt_buf *plan);

enum dt_plan_verb {
    DT_PLAN_SET,
    DT_PLAN_DEFAULT,
    DT_PLAN_UNSET,
    DT_PLAN_ENV_SET,
    DT_PLAN_ENV_DEFAULT,
    DT_PLAN_ENV_UNSET,
    DT_PLAN_BIND_SET,
    DT_PLAN_BIND_DEFAULT,
    DT_PLAN_FOUND,
    DT_PLAN_CPUS,
    DT_PLAN_MEMORY, /* name: the policy, value: the list of nodes, "" for none */
    DT_PLAN_LOOK,
    DT_PLAN_SAY
};

struct dt_plan_line {
    enum dt_plan_verb verb;
    bool all;
    size_t rank;              /* when not for all */
    const char *name, *value; /* decoded; value NULL: the verb has none */
};

typedef int (*dt_plan_take)(void *argument, const struct dt_plan_line *line, struct dt_error *err);

/* Hand each line of a plan to take() until it fails. -1: that, or the text is no whole plan; then
 * nothing of what was taken may be used. */
int dt_plan_read(const char *text, size_t len, dt_plan_take take, void *argument,
                 struct dt_error *err);

#endif
