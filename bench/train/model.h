/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder-only transformer of both families (config.h): embedding, blocks (block.h), norm, head,
 * and the memory that they work in. */
#ifndef DT_TRAIN_MODEL_H
#define DT_TRAIN_MODEL_H

#include <stdint.h>

#include "activations.h"
#include "blas.h"
#include "layout.h"
#include "mesh.h"
#include "moe.h"
#include "reals.h"
#include "ring.h"
#include "tied.h"

struct dt_model_setup {
    size_t max_batch; /* samples of a micro-batch */
    size_t slots;     /* of kept activations (pipe.h); 0: 1 */
    enum dt_recompute recompute;
    const struct dt_blas *blas;
    const struct dt_mesh *mesh; /* NULL: alone */
};

struct dt_model {
    struct dt_model_config config; /* of the whole model */
    struct dt_widths here;         /* of this rank's part */
    const struct dt_mesh *mesh;    /* alone: one of loopbacks */
    struct dt_mesh own_mesh;       /* that one, over own_comm */
    struct dt_comm own_comm;
    size_t time;    /* rows of each sample that are here: seq, shared out over mesh->context */
    size_t *places; /* where in the sample each of them lies */
    struct dt_layout layout;
    const struct dt_blas *blas;
    size_t max_batch;
    real *params, *grads;             /* NULL: held elsewhere, by bucket */
    real **param_bases, **grad_bases; /* per bucket: where offset 0 of the layout would be */
    enum dt_recompute recompute;
    real *memory; /* all activations and work space */
    size_t memory_count,
        kept_count; /* reals of it; of these, of slots and what their layers share */
    struct dt_slot *slots;
    size_t slot_count, slot_layers; /* layers of each */
    struct dt_kept *kept;           /* of all slots */
    real *norm, *mean, *inverse;    /* after the last layer */
    real *d_stream, *d_narrow, *d_wide, *work, *logits;
    real *d_hidden; /* GPT-2: d_wide itself */
    real *gathered; /* all rows of what --sp shares out (tp.h); NULL: nothing */
    real *d_norm;   /* gradients of one norm, of the rows here */
    real *rope;     /* table of rotary positions, NULL: none */
    double *row_losses;
    struct dt_moe moe;           /* only with experts; moe.loss grows with each forward pass */
    struct dt_moe_kept *experts; /* of all layers */
    size_t experts_count;
    struct dt_tied
        *tied;           /* where the embedding's part of a tied table's gradient goes; NULL: to the
                             table, on the head's part */
    struct dt_ring ring; /* only where mesh->context has more ranks than this one */
    bool failed;         /* such communication, which can not return it */
    struct dt_error error;
};

/* Called from serial code: before a bucket's parameters are read (`next` is the one that comes after
 * it, DT_NO_BUCKET: none) or its gradients written, which may set the bucket's base; when its
 * gradients are final; and often in between, so that communication moves on. Each may be NULL. */
#define DT_NO_BUCKET SIZE_MAX
struct dt_model_hooks {
    void (*params_needed)(void *context, size_t bucket, size_t next);
    void (*grads_needed)(void *context, size_t bucket);
    void (*bucket_ready)(void *context, size_t bucket);
    void (*between)(void *context);
    void *context;
};

static inline void dt_model_between(const struct dt_model_hooks *hooks)
{
    if (hooks && hooks->between)
        hooks->between(hooks->context);
}

/* Attention of `batch` samples, as far as it is this rank's. */
struct dt_attention_shape dt_model_attention(const struct dt_model *model, size_t batch);

/* Communication inside a layer: `result` was -1, and the sentence is in model->error. What comes after
 * the first failure is left out. */
static inline void dt_model_note(struct dt_model *model, int result)
{
    model->failed |= result < 0;
}

int dt_model_init(struct dt_model *model, const struct dt_model_config *config,
                  const struct dt_model_setup *setup, struct dt_error *err);
void dt_model_fini(struct dt_model *model);

/* The part of the model that is this rank's on the mesh (NULL: all), without parameters and
 * gradients: the bases are set by the hooks. Every rank of the mesh calls it. */
int dt_model_init_bare(struct dt_model *model, const struct dt_model_config *config,
                       const struct dt_model_setup *setup, struct dt_error *err);

/* One micro-batch, forward or backward through one chunk of layers of this rank (part.h), in a slot
 * of kept activations. With model->failed after it the result is worthless, and the other ranks may
 * wait. */
struct dt_pass {
    int chunk;
    size_t slot;
    const int *tokens, *targets; /* batch x time, those at model->places; read where the model
                                    begins and ends */
    size_t batch;
    double scale; /* gradients are those of scale times the sum of the losses */
    bool add;     /* to the gradients that are there: micro-batches of a step after its first */
    const struct dt_model_hooks *hooks; /* may be NULL */
};

/* Does the embedding come before this chunk, the head behind it? */
bool dt_model_begins(const struct dt_model *model, int chunk);
bool dt_model_ends(const struct dt_model *model, int chunk);

/* Reals that enter and leave a chunk. */
size_t dt_model_stream(const struct dt_model *model, size_t batch);

/* What enters is in slots[slot].in, unless the model begins here. Returns what leaves, which stays
 * until backward of the slot. */
const real *dt_model_forward(struct dt_model *model, const struct dt_pass *pass);

/* After forward. d_stream: the gradient of what left (unless the model ends here) becomes that of what
 * entered. Returns the sum of losses where the model ends, 0 elsewhere. */
double dt_model_backward(struct dt_model *model, const struct dt_pass *pass);

/* After forward, where the model ends: sum of losses only. */
double dt_model_loss(struct dt_model *model, const struct dt_pass *pass);

/* All of a model in one chunk: forward and backward, or sum of losses only. */
double dt_model_train(struct dt_model *model, const int *tokens, const int *targets, size_t batch,
                      double scale, bool add, const struct dt_model_hooks *hooks);
double dt_model_evaluate(struct dt_model *model, const int *tokens, const int *targets,
                         size_t batch, const struct dt_model_hooks *hooks);

/* Floating point operations of one training step of so many tokens, attention counted in full. */
double dt_model_flops(const struct dt_model_config *config, double tokens);

#endif
