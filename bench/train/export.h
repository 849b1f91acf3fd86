/* SPDX-License-Identifier: Apache-2.0 */
/* A trained model for others: a directory with config.json and model.safetensors, tensors named and
 * laid out as Hugging Face's GPT2LMHeadModel and LlamaForCausalLM have them. */
#ifndef DT_TRAIN_EXPORT_H
#define DT_TRAIN_EXPORT_H

#include "layout.h"

/* Make the directory (one level) and see that it can be written: before the training, not after. */
int dt_export_prepare(const char *directory, struct dt_error *err);

/* params: the whole array. Each file is renamed into place. */
int dt_export(const char *directory, const struct dt_layout *layout, real *params,
              struct dt_error *err);

#endif
