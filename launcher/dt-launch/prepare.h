/* SPDX-License-Identifier: Apache-2.0 */
/* What is settled before the first process starts: may this job run, which file is the program,
 * where is rank 0, and what does each rank find in its environment. */
#ifndef DT_LAUNCH_PREPARE_H
#define DT_LAUNCH_PREPARE_H

#include "base/error.h"
#include "base/root.h"
#include "binding.h"
#include "environ.h"
#include "injection.h"
#include "place.h"

/* Which setting asks for validation; NULL: none. */
const char *dt_guard_asked(void);

/* Refuse (-1) when validation was asked for and this node has no verdict of this very step. */
int dt_guard_verdict(const struct dt_place *place, struct dt_error *err);

/* Find the program as execvp would. On failure *code is 126 or 127. Caller frees *path. */
int dt_program_find(const char *name, char **path, int *code, struct dt_error *err);

/* Put the Python interpreter before a program that is Python's. */
int dt_python_program(struct dt_options *options, struct dt_error *err);

#define DT_MASTER_CANDIDATES 16

struct dt_master {
    char *addr;
    int port;     /* 0: on another node than 0, until the session has told it */
    int jax_port; /* JAX's coordinator; equal to port where rank 0 may bind that */
    int hold;     /* socket that keeps a port we chose reserved (bound, not listening), or -1 */
    int jax_hold; /* as hold */
    int listener; /* node 0, when dt-launch serves the store: listens on `port`; else -1 */
    double patience_s;                    /* of members that wait for node 0; 0: the usual one */
    bool serves;                          /* dt-launch of node 0 serves the store */
    int candidates[DT_MASTER_CANDIDATES]; /* of `port`, in the order in which they are tried */
    int candidate_count;
};
int dt_master_find(struct dt_master *master, const struct dt_place *place,
                   const struct dt_options *options, struct dt_error *err);
void dt_master_fini(struct dt_master *master);

/* Environment of the process number `index` of this dt-launch. */
int dt_rank_environ(struct dt_environ *env, const struct dt_place *place,
                    const struct dt_master *master, const struct dt_injection *injection,
                    const struct dt_binding *binding, const struct dt_options *options, int index,
                    struct dt_error *err);

#endif
