/* SPDX-License-Identifier: Apache-2.0 */
/* Sharding of the model over ranks (ZeRO): each of the N ranks of a group owns a share of every
 * bucket, its gradient and its moments: 16 bytes x parameters / N. What is whole beside that:
 *
 *   zero 1: parameters and gradients      zero 2: parameters, and gradients of two layers
 *   zero 3: parameters and gradients of two layers, and of what is outside the layers
 *
 * Parameters of the next bucket are gathered while this one is computed with; gradients are summed
 * and scattered while backward goes on, then summed over the groups that hold the same shards. */
#ifndef DT_TRAIN_FSDP_H
#define DT_TRAIN_FSDP_H

#include "mesh.h"
#include "model.h"

/* A whole bucket that is there now; `bucket` DT_NO_BUCKET: none. */
struct dt_fsdp_slot {
    real *memory;
    size_t bucket;
    uint64_t operation; /* of shards: that fills it, or that reads it */
};

struct dt_fsdp_part {
    size_t offset, count; /* of a bucket, in the arrays of this rank */
    size_t param_slot, grad_slot;
    uint64_t scattered; /* operation of shards */
};

struct dt_fsdp {
    struct dt_comm *shards;
    struct dt_comm *replicas[DT_BUCKET_KINDS];
    struct dt_model *model;
    int zero;
    struct dt_fsdp_part *parts; /* per bucket */
    struct dt_layout own;       /* tensors, cut, in the arrays of this rank */
    real *params, *grads, *first, *second;
    real *added;                  /* gradients of a later micro-batch; NULL: there is one a step */
    bool first_micro, last_micro; /* last: of the step, and no other was before */
    struct dt_fsdp_slot *param_slots, *grad_slots;
    size_t slot_count[2]; /* of parameters, of gradients */
    size_t *ready;        /* buckets, in the order in which their gradients became final */
    size_t ready_count, forwarded;
    size_t *grown; /* buckets of this micro-batch whose gradients came to `added` */
    size_t grown_count;
    bool failed; /* a hook can not return: told by dt_fsdp_finish */
    struct dt_error error;
};

/* The model is one of dt_model_init_bare. Every rank calls it. */
int dt_fsdp_open(struct dt_fsdp *fsdp, const struct dt_mesh *mesh, struct dt_model *model, int zero,
                 bool micro, struct dt_error *err);
void dt_fsdp_close(struct dt_fsdp *fsdp);

struct dt_model_hooks dt_fsdp_hooks(struct dt_fsdp *fsdp);

/* Around the model's work on each micro-batch: its gradients are scattered, and added to those of
 * the micro-batches before. */
void dt_fsdp_micro_begin(struct dt_fsdp *fsdp, bool first, bool last);
void dt_fsdp_micro_end(struct dt_fsdp *fsdp);

/* Wait for what backward has started: then `grads` are the sums of all ranks. */
int dt_fsdp_finish(struct dt_fsdp *fsdp, struct dt_error *err);

/* Parameters were changed: what is whole of them is of yesterday. Zero 1 and 2 start to gather. */
int dt_fsdp_changed(struct dt_fsdp *fsdp, struct dt_error *err);

#endif
