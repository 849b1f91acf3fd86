/* SPDX-License-Identifier: Apache-2.0 */
/* One layer of the transformer, composed from layers.h as the config says: norm, attention, norm,
 * and a wide part, each half added to the residual stream. No layer is written per family here:
 * what a family lacks is a NULL or a branch on its one difference. */
#ifndef DT_TRAIN_BLOCK_H
#define DT_TRAIN_BLOCK_H

#include "model.h"

/* The norm of the family. mean is of LayerNorm alone. */
void dt_norm_forward(const struct dt_kernels *kernels, const struct dt_model_config *config,
                     real *out, real *mean, real *inverse, const real *in, const real *weight,
                     const real *bias, size_t rows);
/* Adds to d_in. */
void dt_norm_backward(const struct dt_kernels *kernels, const struct dt_model_config *config,
                      real *d_in, real *d_weight, real *d_bias, const real *d_out, const real *in,
                      const real *weight, const real *mean, const real *inverse, size_t rows,
                      bool add);

void dt_block_forward(struct dt_model *model, const struct dt_layer *weights,
                      const struct dt_kept *kept, const real *in, size_t batch);
/* Before backward: what forward has made and the layer has not kept (model->recompute). */
void dt_block_again(struct dt_model *model, const struct dt_layer *weights,
                    const struct dt_kept *kept, const real *in, size_t batch);
/* model->d_stream: gradient of the layer's output on entry, of its input on return. `add` as in
 * layers.h. */
void dt_block_backward(struct dt_model *model, const struct dt_layer *weights,
                       const struct dt_layer *gradients, const struct dt_kept *kept, const real *in,
                       size_t batch, bool add, const struct dt_model_hooks *hooks);

#endif
