/* SPDX-License-Identifier: Apache-2.0 */
/* A public model to begin from: Hugging Face's safetensors of both families, whole or in several
 * files, or llm.c's gpt2_*.bin. A rank reads what it holds and no more. */
#ifndef DT_TRAIN_IMPORT_H
#define DT_TRAIN_IMPORT_H

#include "layout.h"

struct dt_import;

/* path: a directory with config.json and model.safetensors, such a file beside its config.json, or a
 * .bin. Reads the sizes only. */
int dt_import_open(struct dt_import **import, const char *path, struct dt_error *err);
void dt_import_close(struct dt_import *import); /* NULL: nothing */

/* The model's sizes, filled; seq may be made shorter. */
const struct dt_model_config *dt_import_config(const struct dt_import *import);

/* Sizes other than those of the model are refused. */
int dt_import_check(const struct dt_import *import, const struct dt_model_config *config,
                    struct dt_error *err);

/* The values of a rank's array. Its sizes have been checked. */
int dt_import_values(struct dt_import *import, const struct dt_layout *own, real *params,
                     struct dt_error *err);

#endif
