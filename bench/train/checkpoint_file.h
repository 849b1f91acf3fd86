/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a checkpoint that hold numbers: three arrays one after the other (parameters, first
 * and second moments), each of the reals that the manifest's extents say, in their order. Nothing
 * else is in them. No communication: a thread beside the training may call this. */
#ifndef DT_TRAIN_CHECKPOINT_FILE_H
#define DT_TRAIN_CHECKPOINT_FILE_H

#include "manifest.h"

/* Write `count` reals (of all three arrays), synced. *sum: their checksum. The sentence says why
 * it could not be done, without the file's name. */
int dt_checkpoint_file_write(const char *path, const real *values, size_t count, uint64_t *sum,
                             struct dt_error *err);

/* Write a whole small file, synced. */
int dt_checkpoint_text_write(const char *path, const char *text, size_t size, struct dt_error *err);

/* Is the file there, of the size that the manifest says, and undamaged? */
int dt_checkpoint_file_verify(const char *path, const struct dt_manifest_file *file,
                              struct dt_error *err);

/* All of a file that is not longer than `most`; NUL-terminated; caller frees. */
char *dt_checkpoint_text_read(const char *path, size_t most, size_t *size, struct dt_error *err);

/* Where to put what is read: arrays of the reals of `own`. */
struct dt_checkpoint_arrays {
    real *params, *first, *second;
    const struct dt_layout *own;
};

/* Read the reals that `arrays->own` has from whichever files of a directory hold them. */
int dt_checkpoint_files_read(const char *directory, const struct dt_manifest *manifest,
                             const struct dt_checkpoint_arrays *arrays, struct dt_error *err);

/* "DIR/rank-00003"; caller frees; NULL: no memory. */
char *dt_checkpoint_file_name(const char *directory, size_t number);

#endif
