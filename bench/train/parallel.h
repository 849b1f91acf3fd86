/* SPDX-License-Identifier: Apache-2.0 */
/* How the ranks share a model, behind one set of calls: copies of it (dp.h) or shards (fsdp.h), of
 * one stage of a pipeline or of all (pipe.h). */
#ifndef DT_TRAIN_PARALLEL_H
#define DT_TRAIN_PARALLEL_H

#include "adamw.h"
#include "dp.h"
#include "fsdp.h"
#include "mesh.h"
#include "pipe.h"

struct dt_parallel {
    struct dt_comm *world;
    struct dt_mesh *mesh;
    struct dt_model *model;
    bool sharded;
    struct dt_dp dp; /* over the ranks that hold the same */
    struct dt_fsdp fsdp;
    struct dt_pipe pipe;
    struct dt_tied tied;                   /* in use: model->tied is this one */
    struct dt_model_hooks hooks;           /* of dp or fsdp */
    struct dt_model_hooks growth;          /* while gradients of the step grow */
    struct dt_layout own;                  /* of the arrays of this rank; a view */
    real *params, *grads, *first, *second; /* of this rank; views but for the moments of dp */
    double *squares;                       /* of the gradients, run by run */
    size_t taken;                          /* reals for parameters, gradients and moments */
};

struct dt_parallel_setup {
    int zero;   /* 0: not sharded */
    int micros; /* micro-batches of a step */
};

/* The model is one of dt_model_init_bare on the same mesh; both outlive this. Every rank calls it. */
int dt_parallel_open(struct dt_parallel *p, struct dt_mesh *mesh, struct dt_model *model,
                     const struct dt_parallel_setup *setup, struct dt_error *err);
void dt_parallel_close(struct dt_parallel *p);

/* The micro-batches of a step, of `batch` samples each, through the model, forward and backward; sums
 * over ranks start with the last. Returns the sum of losses that falls to this rank. A failure is told
 * by finish. */
double dt_parallel_learn(struct dt_parallel *p, const int *tokens, const int *targets, size_t batch,
                         double scale);
/* One micro-batch, forward only. */
double dt_parallel_evaluate(struct dt_parallel *p, const int *tokens, const int *targets,
                            size_t batch);

/* Wait for the sums: then `grads` are final. *exposed_s: seconds since learn began that this rank gave
 * to communication (dt_mesh_spent). */
int dt_parallel_finish(struct dt_parallel *p, double *exposed_s, struct dt_error *err);

/* Sum of squares of the whole gradient, each real counted once. */
int dt_parallel_squares(struct dt_parallel *p, double *squares, struct dt_error *err);

/* A step of the optimizer; after it the host may read and write all that is here. */
int dt_parallel_update(struct dt_parallel *p, const struct dt_adamw *adamw, struct dt_error *err);

/* `params` were changed otherwise. */
int dt_parallel_changed(struct dt_parallel *p, struct dt_error *err);

void dt_parallel_first_values(struct dt_parallel *p, unsigned long long seed);

/* The parameters of all ranks, whatever the mesh, in an array of `all`, the whole model's layout, that
 * rank 0 gets; caller frees. On other ranks *whole is NULL (parallel_whole.c). */
int dt_parallel_collect(struct dt_parallel *p, const struct dt_layout *all, real **whole,
                        struct dt_error *err);

#endif
