/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: DIR/step-00000040.dtc holds a header, parameters and both moments. A file is written
 * beside, synced and renamed, so a kill at any moment leaves the last whole one; checksums tell a
 * damaged file, and loading then takes the one before. The newest two are kept. */
#ifndef DT_TRAIN_CHECKPOINT_H
#define DT_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "layout.h"

/* What a checkpoint says of the run that wrote it. */
struct dt_checkpoint_info {
    struct dt_model_config config;
    uint64_t seed, data, step, global_batch; /* data: fingerprint; step: steps that are done */
};

struct dt_checkpoint_arrays {
    real *params, *first, *second;
    size_t count; /* reals in each */
};

/* Make the directory (one level) and see that it can be written. *newest: step of the newest file
 * that has a checkpoint's name, -1: none. */
int dt_checkpoint_prepare(const char *directory, long long *newest, struct dt_error *err);

int dt_checkpoint_save(const char *directory, const struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *err);

/* Load the newest whole checkpoint. Returns 1: loaded; 0: there is none at all; -1: there are some
 * and none can be used, or the newest whole one is of another model. skipped (may be NULL) gets a
 * sentence about the damaged ones that were passed over, or "". */
int dt_checkpoint_load(const char *directory, struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *skipped,
                       struct dt_error *err);

/* Judge a header: the first `size` bytes of a file of `file_size` bytes. */
#define DT_CHECKPOINT_HEADER 256
int dt_checkpoint_parse(struct dt_checkpoint_info *info, size_t *count, const void *header,
                        size_t size, uint64_t file_size, struct dt_error *err);

#endif
