/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that writes, and the ranks' agreement on it; see saver.h. */
#include "saver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "clock.h"
#include "reals.h"

/* Training goes first where cores are shared. */
#define NICE 10

struct plan {
    struct dt_saver *saver;
    struct dt_extents mine; /* what the slices are of the whole model */
};

static void plan_run(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    struct plan *plan = context;
    dt_extents_add(&plan->saver->slices, 0, run->here, run->count);
    dt_extents_add(&plan->mine, tensor->index, run->there, run->count);
    plan->saver->reals += run->count;
}

/* What rank 0 keeps. counts: extents and reals of each rank; all: `most` extents of each. */
static void keep_extents(struct dt_saver *s, const uint64_t *counts, const struct dt_extent *all,
                         size_t most)
{
    for (size_t r = 0; r < (size_t)s->comm->size; r++) {
        s->files[r] = (struct dt_manifest_file){
            .reals = counts[2 * r + 1], .first = s->extents.count, .count = (size_t)counts[2 * r]};
        for (size_t i = 0; i < s->files[r].count; i++)
            dt_extents_push(&s->extents, all[r * most + i]);
    }
}

/* All ranks' extents to rank 0, which writes them into every manifest. */
static int gather_extents(struct dt_saver *s, const struct dt_extents *mine, struct dt_error *err)
{
    struct dt_comm *comm = s->comm;
    size_t ranks = (size_t)comm->size, most = 1;
    uint64_t own[2] = {mine->count, s->reals}, *counts = calloc(ranks, sizeof own);
    struct dt_extent *all = NULL;
    int rc = -1;
    s->files = calloc(ranks, sizeof *s->files);
    if (!counts || !s->files)
        goto no_memory;
    if (comm->operations->allgather(comm, own, counts, sizeof own, err) < 0)
        goto out;
    for (size_t r = 0; r < ranks; r++)
        most = counts[2 * r] > most ? (size_t)counts[2 * r] : most;
    all = calloc((ranks + 1) * most, sizeof *all);
    if (!all)
        goto no_memory;
    for (size_t i = 0; i < mine->count; i++)
        all[ranks * most + i] = mine->items[i];
    rc = comm->operations->allgather(comm, all + ranks * most, all, most * sizeof *all, err);
    if (rc == 0 && comm->rank == 0)
        keep_extents(s, counts, all, most);
    if (!s->extents.failed)
        goto out;
no_memory:
    rc = dt_comm_break(comm, err, "no memory for the tables of %zu files", ranks);
out:
    free(all);
    free(counts);
    return rc;
}

int dt_saver_open(struct dt_saver *s, struct dt_comm *comm, const struct dt_holders *holders,
                  const char *directory, const char *ranks, struct dt_error *err)
{
    *s = (struct dt_saver){.comm = comm, .directory = directory};
    snprintf(s->ranks, sizeof s->ranks, "%s", ranks);
    struct plan plan = {.saver = s};
    for (size_t t = 0; t < holders->own->tensor_count; t++) {
        size_t from, to;
        dt_holders_share(holders, t, &from, &to);
        if (from < to)
            dt_tensor_runs(&holders->own->tensors[t], from, to - from, plan_run, &plan);
    }
    s->buffer = dt_host_reals(3 * (size_t)s->reals);
    int rc;
    if (plan.mine.failed || s->slices.failed || !s->buffer)
        rc = dt_comm_break(comm, err,
                           "no memory for a copy of this rank's share of a checkpoint: %zu MiB",
                           3 * (size_t)s->reals * sizeof(real) >> 20);
    else
        rc = gather_extents(s, &plan.mine, err);
    dt_extents_fini(&plan.mine);
    return rc;
}

static void join(struct dt_saver *s)
{
    if (s->threaded)
        pthread_join(s->thread, NULL);
    s->threaded = false;
    free(s->file);
    free(s->writing);
    s->file = s->writing = NULL;
}

void dt_saver_close(struct dt_saver *s)
{
    if (s->threaded && s->comm->broken)
        pthread_cancel(s->thread); /* other ranks wait for this one's end, not for a disk */
    join(s);
    dt_extents_fini(&s->slices);
    dt_extents_fini(&s->extents);
    free(s->files);
    free(s->buffer);
    s->files = NULL;
    s->buffer = NULL;
    s->comm = NULL;
}

/* The names are the saver's, as the thread may be ended in the midst of this. */
static void write_file(struct dt_saver *s)
{
    dt_error_set(&s->error, "no memory for its name");
    s->writing = dt_checkpoint_begin(s->directory, s->info.step, &s->error);
    if (s->writing)
        s->file = dt_checkpoint_file_name(s->writing, (size_t)s->comm->rank);
    s->failed = !s->file || dt_checkpoint_file_write(s->file, s->buffer, 3 * (size_t)s->reals,
                                                     &s->sum, &s->error) < 0;
}

static void write_manifest(struct dt_saver *s)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_manifest_put_head(&text, &s->info, s->ranks);
    for (size_t r = 0; r < (size_t)s->comm->size; r++) {
        const struct dt_manifest_file *file = &s->files[r];
        dt_manifest_put_file(&text, file->reals, file->sum);
        for (size_t i = 0; i < file->count; i++)
            dt_manifest_put_extent(&text, &s->extents.items[file->first + i]);
    }
    dt_manifest_put_end(&text);
    s->failed = dt_checkpoint_finish(s->directory, s->info.step, &text, &s->error) < 0;
    dt_buf_fini(&text);
}

static void work(struct dt_saver *s)
{
    if (s->phase == DT_SAVER_FILES)
        write_file(s);
    else
        write_manifest(s);
    atomic_store(&s->busy, false);
}

static void *thread_main(void *argument)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    work(argument);
    return NULL;
}

/* Where no thread can be had the training waits for the disk. */
static void begin_work(struct dt_saver *s)
{
    join(s);
    atomic_store(&s->busy, true);
    s->threaded = pthread_create(&s->thread, NULL, thread_main, s) == 0;
    if (!s->threaded)
        work(s);
}

static real *copy(const struct dt_saver *s, real *out, const real *in)
{
    for (size_t i = 0; i < s->slices.count; i++) {
        const struct dt_extent *e = &s->slices.items[i];
        for (uint64_t run = 0; run < e->times; run++, out += e->length)
            memcpy(out, in + e->offset + run * e->stride, e->length * sizeof *out);
    }
    return out;
}

void dt_saver_start(struct dt_saver *s, const struct dt_checkpoint_info *info,
                    const struct dt_checkpoint_arrays *arrays)
{
    s->began = dt_seconds();
    s->info = *info;
    copy(s, copy(s, copy(s, s->buffer, arrays->params), arrays->first), arrays->second);
    s->phase = DT_SAVER_FILES;
    begin_work(s);
}

bool dt_saver_busy(const struct dt_saver *s)
{
    return atomic_load(&s->busy);
}

/* Whose failure it was, said to all; nothing of the checkpoint stays. */
static int agree(struct dt_saver *s, int *code, struct dt_error *err)
{
    *code = DT_EXIT_REPORT;
    if (s->failed)
        dt_error_set(err,
                     "checkpoint %s/step-%08llu can not be written: %s; earlier ones are "
                     "untouched",
                     s->directory, (unsigned long long)s->info.step, s->error.text);
    if (dt_comm_agree(s->comm, s->failed, code, err) == 0)
        return 0;
    s->phase = DT_SAVER_IDLE;
    if (!s->comm->broken && s->comm->rank == 0)
        dt_checkpoint_drop(s->directory, s->info.step);
    return -1;
}

static int gather_sums(struct dt_saver *s, struct dt_error *err)
{
    size_t ranks = (size_t)s->comm->size;
    uint64_t *sums = calloc(ranks, sizeof *sums);
    if (!sums)
        return dt_comm_break(s->comm, err, "no memory for the checksums of %zu files", ranks);
    int rc = s->comm->operations->allgather(s->comm, &s->sum, sums, sizeof *sums, err);
    for (size_t r = 0; r < ranks; r++)
        s->files[r].sum = sums[r];
    free(sums);
    return rc;
}

int dt_saver_advance(struct dt_saver *s, int *code, struct dt_error *err)
{
    join(s);
    if (agree(s, code, err) < 0)
        return -1;
    if (s->phase == DT_SAVER_MANIFEST) {
        s->phase = DT_SAVER_IDLE;
        return 1;
    }
    if (gather_sums(s, err) < 0)
        return -1;
    s->phase = DT_SAVER_MANIFEST;
    if (s->comm->rank == 0)
        begin_work(s);
    return 0;
}

int dt_saver_settle(struct dt_saver *s, int *code, struct dt_error *err)
{
    int rc = 0;
    while (rc == 0 && s->comm && s->phase != DT_SAVER_IDLE)
        rc = dt_saver_advance(s, code, err); /* which waits for the thread */
    return rc;
}
