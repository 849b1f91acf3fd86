/* SPDX-License-Identifier: Apache-2.0 */
/* What a run does about checkpoints: load the newest, begin one after a step, learn that it is whole.
 * How they are written is saver.h's. */
#include <stdio.h>

#include "base/exitcode.h"
#include "clock.h"
#include "train.h"

static struct dt_checkpoint_arrays arrays_of(struct dt_train *train)
{
    const struct dt_parallel *p = &train->parallel;
    return (struct dt_checkpoint_arrays){p->params, p->first, p->second, &p->own};
}

int dt_train_check(struct dt_train *train, struct dt_error *err)
{
    if (train->checked_at == train->step)
        return 0;
    train->checked_at = train->step;
    return dt_holders_check(&train->holders, train->parallel.params, err);
}

int dt_train_load(struct dt_train *train, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    struct dt_checkpoint_arrays arrays = arrays_of(train);
    struct dt_checkpoint_info info = {.config = o->model};
    struct dt_error skipped;
    *code = DT_EXIT_CONFIG;
    int rc = dt_checkpoint_load(train->comm, o->checkpoint, &info, &arrays, &skipped, err);
    if (rc < 0)
        return -1;
    *code = 1;
    if (skipped.text[0] && train->comm->rank == 0)
        fprintf(stderr, "dt-train: %s\n", skipped.text);
    if (rc == 0)
        return 0;
    train->step = train->saved_at = (long)info.step;
    bool seed = info.seed != o->seed;
    bool data = o->data_count > 0 && info.data != train->data.fingerprint;
    bool batch = info.global_batch != (uint64_t)o->global_batch;
    if ((seed || data || batch) && train->comm->rank == 0)
        fprintf(stderr,
                "dt-train: checkpoint of step %ld was made with another %s; training goes "
                "on, and not bit for bit as it would have\n",
                train->step,
                seed   ? "--seed"
                : data ? "--data"
                       : "--global-batch");
    return 0;
}

/* result: of the saver. */
static int note(struct dt_train *train, int result, int *code)
{
    const struct dt_saver *saver = &train->saver;
    if (result < 0)
        return -1;
    *code = 1;
    if (result > 0)
        dt_report_saved(&train->report, (long)saver->info.step, train->options->checkpoint,
                        dt_seconds() - saver->began);
    return 0;
}

int dt_train_saved(struct dt_train *train, int *code, struct dt_error *err)
{
    double begin = dt_seconds();
    if (!train->saver.comm || train->saver.phase == DT_SAVER_IDLE)
        return 0;
    int rc = note(train, dt_saver_advance(&train->saver, code, err), code);
    train->stall_s += dt_seconds() - begin;
    return rc;
}

int dt_train_settle(struct dt_train *train, int *code, struct dt_error *err)
{
    return note(train, dt_saver_settle(&train->saver, code, err), code);
}

int dt_train_save(struct dt_train *train, bool wait, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    double begin = dt_seconds();
    if (!o->checkpoint)
        return 0;
    if (train->saved_at != train->step) {
        struct dt_checkpoint_arrays arrays = arrays_of(train);
        if (dt_train_settle(train, code, err) < 0 || dt_train_check(train, err) < 0)
            return -1;
        dt_saver_start(&train->saver,
                       &(struct dt_checkpoint_info){.config = o->model,
                                                    .seed = o->seed,
                                                    .data = train->data.fingerprint,
                                                    .step = (uint64_t)train->step,
                                                    .global_batch = (uint64_t)o->global_batch},
                       &arrays);
        train->saved_at = train->step;
    }
    int rc = wait ? dt_train_settle(train, code, err) : 0;
    train->stall_s += dt_seconds() - begin;
    return rc;
}
