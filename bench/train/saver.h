/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints written while training goes on. Each rank copies its share of the model (holders.h)
 * into a buffer, which is all that training waits for; a thread of its own writes that to a file and
 * never talks to other ranks. When all ranks have written, which they learn at the end of a step,
 * rank 0's thread writes the manifest and renames: then the checkpoint is whole.
 *
 *   idle --start--> files --all have written: advance--> manifest --rank 0 has: advance--> idle */
#ifndef DT_TRAIN_SAVER_H
#define DT_TRAIN_SAVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "checkpoint.h"
#include "comm.h"
#include "holders.h"

enum dt_saver_phase { DT_SAVER_IDLE, DT_SAVER_FILES, DT_SAVER_MANIFEST };

struct dt_saver {
    struct dt_comm *comm; /* NULL: not open, and nothing is saved */
    const char *directory;
    char ranks[128];                /* for the manifest */
    struct dt_extents slices;       /* of this rank's arrays, that it writes */
    uint64_t reals;                 /* in them */
    struct dt_extents extents;      /* of the whole tensors, of all ranks; in rank 0 only */
    struct dt_manifest_file *files; /* of all ranks; in rank 0 only */
    real *buffer;                   /* 3 x reals */
    enum dt_saver_phase phase;
    pthread_t thread;
    bool threaded;    /* the thread is to be joined */
    atomic_bool busy; /* it is at work */
    struct dt_checkpoint_info info;
    char *writing, *file; /* names of the directory and this rank's file, while that is written */
    uint64_t sum;         /* of that file */
    bool failed;
    struct dt_error error;
    double began; /* by dt_seconds */
};

/* Every rank calls it; the directory is prepared. ranks: how the run is laid out, for people. */
int dt_saver_open(struct dt_saver *saver, struct dt_comm *comm, const struct dt_holders *holders,
                  const char *directory, const char *ranks, struct dt_error *err);

/* Waits for the thread, or where the ranks can not talk any more ends it. What is not whole then
 * never will be: settle before. */
void dt_saver_close(struct dt_saver *saver);

/* Begin a checkpoint of what the arrays hold now; none is under way. Returns when it is copied. A
 * failure shows in advance. */
void dt_saver_start(struct dt_saver *saver, const struct dt_checkpoint_info *info,
                    const struct dt_checkpoint_arrays *arrays);

/* Is this rank's thread at work? When no rank's is, and the phase is not idle, all call advance. */
bool dt_saver_busy(const struct dt_saver *saver);

/* Returns 1: the checkpoint of info.step is whole; 0: it went on; -1: it could not be written, and
 * nothing of it stays. All ranks return the same. */
int dt_saver_advance(struct dt_saver *saver, int *code, struct dt_error *err);

/* Wait until the checkpoint that is under way is whole, and return as advance; 0: there was none.
 * Every rank calls it. */
int dt_saver_settle(struct dt_saver *saver, int *code, struct dt_error *err);

#endif
