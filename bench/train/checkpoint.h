/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints as directories: DIR/step-00000040/ has a file of numbers from each rank
 * (checkpoint_file.h) and a manifest (manifest.h). All are written to step-00000040.writing, synced,
 * the manifest last, and the directory is renamed: a kill at any moment leaves the last whole one.
 * The newest two are kept. Who writes what, and when, is saver.h's. */
#ifndef DT_TRAIN_CHECKPOINT_H
#define DT_TRAIN_CHECKPOINT_H

#include "checkpoint_file.h"
#include "comm.h"

/* Make the directory (one level), see that it can be written, and sweep up what killed runs left.
 * *newest: step of the newest checkpoint, -1: none. By one rank. */
int dt_checkpoint_prepare(const char *directory, long long *newest, struct dt_error *err);

/* Do all ranks find the same directory, and can they write there? Every rank calls it, after rank 0
 * has prepared. Fails on the ranks that do not. */
int dt_checkpoint_probe(struct dt_comm *comm, const char *directory, struct dt_error *err);

/* "DIR/step-00000040.writing", made if it is not there: where the files of a checkpoint are written.
 * Caller frees; NULL with the sentence. */
char *dt_checkpoint_begin(const char *directory, uint64_t step, struct dt_error *err);

/* All files are there: write the manifest, rename, remove the oldest. By one rank. */
int dt_checkpoint_finish(const char *directory, uint64_t step, const struct dt_buf *manifest,
                         struct dt_error *err);

/* It can not be finished: remove what is there of it. By one rank. */
void dt_checkpoint_drop(const char *directory, uint64_t step);

/* Load the newest whole checkpoint; every rank calls it and reads what it wants, whatever the
 * layout of the ranks that wrote it. info->config: the model of this run. Returns 1: loaded; 0: there
 * is none at all; -1: there are some and none can be used, or the newest whole one is of another
 * model. All ranks return the same. skipped gets a sentence about the last damaged one that was
 * passed over, or "". */
int dt_checkpoint_load(struct dt_comm *comm, const char *directory, struct dt_checkpoint_info *info,
                       const struct dt_checkpoint_arrays *arrays, struct dt_error *skipped,
                       struct dt_error *err);

#endif
