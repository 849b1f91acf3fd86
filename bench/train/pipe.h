/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline parallelism: this rank's layers (a stage) run the micro-batches of a step in the order of a
 * schedule (schedule.h); what enters and leaves a run of layers comes from and goes to the stages
 * beside it while the stage works on something else. Without --pp this is one stage that neither gets
 * nor sends anything. */
#ifndef DT_TRAIN_PIPE_H
#define DT_TRAIN_PIPE_H

#include "mesh.h"
#include "model.h"
#include "schedule.h"

/* On their way in each direction, at each end: test_train_schedule shows that it is enough. */
enum { DT_PIPE_BUFFERS = 2 };

/* Activations (forward) or their gradients (backward) that enter or leave this stage, in order. */
struct dt_pipe_line {
    struct dt_comm *comm;
    int peer;
    real *buffers[DT_PIPE_BUFFERS];
    struct dt_message messages[DT_PIPE_BUFFERS];
    size_t left;           /* in: receives of this step that are not started */
    size_t started, taken; /* messages */
};

struct dt_pipe {
    struct dt_model *model;
    int micros; /* of a step */
    struct dt_schedule schedule;
    struct dt_pipe_line in[2], out[2]; /* forward, backward */
    real *received;                    /* memory of `in` */
    int *slots;                        /* of each micro-batch and chunk under way */
    bool *busy;                        /* slots */
    const struct dt_model_hooks *inner;
};

/* Slots of activations that a rank of this mesh needs: before the model is made. */
int dt_pipe_slots(const struct dt_mesh *mesh, int micros);

/* The model is one on the same mesh, with so many slots. Every rank calls it. */
int dt_pipe_open(struct dt_pipe *pipe, const struct dt_mesh *mesh, struct dt_model *model,
                 int micros, struct dt_error *err);
void dt_pipe_close(struct dt_pipe *pipe);

/* A step's samples, and who is told of each action before and after it: `begin` returns the hooks to
 * run it with, or NULL. */
struct dt_pipe_work {
    const int *tokens, *targets;
    size_t batch; /* samples of a micro-batch */
    double scale;
    bool add; /* gradients of later micro-batches are added where they are */
    const struct dt_model_hooks *(*begin)(void *context, const struct dt_action *action);
    void (*end)(void *context, const struct dt_action *action);
    void *context;
};

/* All micro-batches forward and backward. Returns the sum of losses: on the last stage, 0 on others. A
 * message that fails is model->failed. */
double dt_pipe_learn(struct dt_pipe *pipe, const struct dt_pipe_work *work);

/* One micro-batch forward only. Returns as dt_pipe_learn. */
double dt_pipe_evaluate(struct dt_pipe *pipe, const struct dt_pipe_work *work);

#endif
