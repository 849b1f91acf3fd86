/* SPDX-License-Identifier: Apache-2.0 */
/* From judgement to the plan text: what each rank's environment, cores and memory shall be. */
#ifndef DT_NODE_PLANNER_H
#define DT_NODE_PLANNER_H

#include "base/buf.h"
#include "base/error.h"
#include "bind/bind.h"
#include "engine.h"
#include "plan/plan.h"
#include "topology/topology.h"
#include "wire/message.h"

struct planner {
    const struct engine *engine;
    const struct dt_request *request;
    const struct dt_decision *decision; /* NULL: no validation */
    const struct dt_topology *topology; /* NULL: no binding */
    const char *topology_failed;        /* why there is none although binding was asked for, or why
                                           the admin's override is not used; "" or NULL: neither */
    char *const *masks;                 /* per local task; NULL: no binding */
    bool looks;        /* the ranks look at what they have, before their programs start */
    bool binding_only; /* neither numbers of ranks nor rules: dt-launch has those */
};

/* A binding that can not be made is said to the user and Slurm's own stays: no error. */
int planner_write(const struct planner *planner, struct dt_buf *plan, struct dt_error *err);

/* What binding has found for a local rank, for rules whose value depends on it. */
struct planner_rank {
    bool known;
    int cores, gpus, nics;
};

/* What dt-node puts to the plan for a binding: planner_gpu.c and planner_nic.c. */
struct planner_gpus {
    size_t *given; /* accelerators of this job, in the order of its programs */
    size_t given_count;
    bool known;               /* the job was given these only */
    const char *users;        /* the user's own CUDA_VISIBLE_DEVICES; NULL: none */
    struct dt_bind_list *own; /* per rank, where Slurm has chosen; NULL: it has not */
    size_t *own_items;
};

int planner_find_gpus(const struct planner *planner, struct planner_gpus *gpus,
                      struct dt_error *err);
void planner_gpus_fini(struct planner_gpus *gpus);
/* What the ranks see of their accelerators. */
void planner_put_gpus(const struct planner *planner, const struct planner_gpus *gpus,
                      const struct dt_bind_plan *binding, struct dt_buf *plan);
/* Variables of the libraries that choose NICs, as --dt-nic says. */
void planner_put_nics(const struct planner *planner, const struct dt_bind_plan *binding,
                      struct dt_buf *plan);

/* "explain,bind,reserve=2": has the word; the number behind "reserve=", 0 where there is none. */
bool planner_has(const char *mode, const char *word);
size_t planner_number(const char *mode, const char *name);
/* Ids of devices, separated by commas. Caller frees; NULL: no memory. */
char *planner_device_ids(const struct dt_device *devices, const size_t *indices, size_t count);

/* planner_ranks.c: names and numbers of the ranks. planner_bind.c: cores, memory, devices. */
void planner_put_ranks(const struct planner *planner, struct dt_buf *plan);
int planner_put_binding(const struct planner *planner, struct planner_rank *ranks,
                        struct dt_buf *plan, struct dt_error *err);
/* planner_env.c: what the environment rules give to all ranks, and to each one */
int planner_put_env(const struct planner *planner, const struct planner_rank *ranks,
                    struct dt_buf *plan, struct dt_error *err);

/* planner_look.c: what ranks look at themselves, in their container, before their program starts */
void planner_put_look(const struct planner *planner, struct dt_buf *plan);

/* The one node that speaks for the step; and, does it when its user wants to hear of `mode`. */
bool planner_speaks(const struct planner *planner, const char *mode);
bool planner_is_first_node(const struct planner *planner);
void planner_say(struct dt_buf *plan, const char *text); /* each line of it, by local rank 0 */
/* Is `word` the mode in "explain" or "explain,interleave"? */
bool planner_is(const char *mode, const char *word);
bool planner_wants(const char *mode); /* neither "off" nor "none" */

#endif
