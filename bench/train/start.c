/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a run: ranks compared, data and memory opened, first or saved weights in place. */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/exitcode.h"
#include "export.h"
#include "public.h"
#include "tp.h"

#define TEXT_BYTES 2048

/* Every rank must have been started with the same options; the first that differs is named. */
static int compare_options(struct dt_train *train, struct dt_error *err)
{
    char common[TEXT_BYTES] = "";
    char *mine = dt_options_text(train->options);
    if (!mine)
        return dt_comm_break(train->comm, err, "no memory for the text of the options");
    if (train->comm->rank == 0)
        strncpy(common, mine, sizeof common - 1);
    int rc = train->comm->operations->broadcast(train->comm, common, sizeof common, 0, err);
    size_t at = 0, line = 0;
    while (rc == 0 && mine[at] != '\0' && mine[at] == common[at])
        if (mine[at++] == '\n')
            line = at;
    if (rc == 0 && mine[at] != common[at])
        rc = dt_error_set(err,
                          "started with %.*s, and rank 0 with %.*s; all ranks want the same "
                          "options",
                          (int)strcspn(mine + line, "\n"), mine + line,
                          (int)strcspn(common + line, "\n"), common + line);
    free(mine);
    return rc;
}

static int compare_data(struct dt_train *train, struct dt_error *err)
{
    uint64_t common[2] = {train->data.size, train->data.fingerprint};
    if (train->comm->operations->broadcast(train->comm, common, sizeof common, 0, err) < 0)
        return -1;
    if (common[0] != train->data.size)
        return dt_error_set(err, "--data has %llu tokens here, and %llu on rank 0",
                            (unsigned long long)train->data.size, (unsigned long long)common[0]);
    if (common[1] != train->data.fingerprint)
        return dt_error_set(err, "--data has another content here than on rank 0");
    return 0;
}

/* Ranks take memory together, so all are here. */
static int allocate(struct dt_train *train, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    int slots = dt_pipe_slots(&train->mesh, (int)(train->batch / train->micro));
    if (dt_model_init_bare(&train->model, &o->model,
                           &(struct dt_model_setup){.max_batch = train->micro,
                                                    .slots = (size_t)slots,
                                                    .recompute = o->recompute,
                                                    .blas = &train->blas,
                                                    .mesh = &train->mesh},
                           err) < 0)
        return -1;
    size_t rows = train->batch * train->model.time;
    train->sample = calloc(2 * (size_t)o->model.seq, sizeof *train->sample);
    train->tokens = dt_memory(rows * sizeof *train->tokens);
    train->targets = dt_memory(rows * sizeof *train->targets);
    if (!train->sample || !train->tokens || !train->targets)
        return dt_error_set(err, "no memory for %zu samples", train->batch);
    return 0;
}

/* By rank 0; whether the others find the same directory is probed afterwards. */
static int prepare_checkpoint(struct dt_train *train, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    long long newest;
    if (!o->checkpoint || train->comm->rank != 0)
        return 0;
    *code = DT_EXIT_REPORT;
    if (dt_checkpoint_prepare(o->checkpoint, &newest, err) < 0)
        return -1;
    *code = DT_EXIT_USAGE;
    if (newest >= 0 && !o->resume)
        return dt_error_set(err,
                            "--checkpoint %s holds step %lld of an earlier run; say --resume "
                            "to go on from there, or give another directory",
                            o->checkpoint, newest);
    return 0;
}

/* Weights: of a checkpoint, of a public model, or made by each rank alike. */
static int place_weights(struct dt_train *train, int *code, struct dt_error *err)
{
    struct dt_parallel *p = &train->parallel;
    struct dt_import *init = train->options->init;
    int rc = 0;
    if (init)
        rc = dt_import_values(init, &p->own, p->params, err);
    else
        dt_parallel_first_values(p, train->options->seed);
    *code = DT_EXIT_CONFIG;
    if (init && dt_comm_agree(train->comm, rc < 0, code, err) < 0)
        return -1;
    *code = 1;
    if (train->options->resume && dt_train_load(train, code, err) < 0)
        return -1;
    return dt_parallel_changed(p, err);
}

/* Who has what, and what that means for checkpoints. */
static int open_holders(struct dt_train *train, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    const struct dt_mesh_sizes *sizes = &train->mesh.sizes;
    char ranks[128];
    if (dt_holders_open(&train->holders, train->comm, &train->parallel.own, err) < 0)
        return -1;
    if (!o->checkpoint)
        return 0;
    *code = DT_EXIT_REPORT;
    if (dt_checkpoint_probe(train->comm, o->checkpoint, err) < 0)
        return -1;
    *code = 1;
    snprintf(ranks, sizeof ranks, "%d: dp %d, fsdp %d, ep %d, pp %d, cp %d, tp %d",
             train->comm->size, sizes->dp, sizes->fsdp, sizes->ep, sizes->pp, sizes->cp, sizes->tp);
    return dt_saver_open(&train->saver, train->comm, &train->holders, o->checkpoint, ranks, err);
}

/* What a rank can only find out on its own: data, memory, library, log, checkpoint directory. */
static int open_own(struct dt_train *train, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    *code = DT_EXIT_CONFIG;
    if (o->data_count > 0 && dt_data_open(&train->data, o->data, o->data_count,
                                          &(struct dt_data_setup){.seq = (size_t)o->model.seq,
                                                                  .vocab = (size_t)o->model.vocab,
                                                                  .seed = o->seed,
                                                                  .held_out = o->eval_every > 0,
                                                                  .tokenizer = o->tokenizer},
                                          err) < 0)
        return -1;
    *code = DT_EXIT_USAGE;
    if (dt_report_open(&train->report, o, train->comm->rank, train->comm->size, err) < 0)
        return -1;
    if (prepare_checkpoint(train, code, err) < 0)
        return -1;
    *code = DT_EXIT_REPORT;
    if (o->export_to && train->comm->rank == 0 && dt_export_prepare(o->export_to, err) < 0)
        return -1;
    *code = 1;
    return dt_device_blas(train->device, &train->blas, o->bf16 ? DT_BLAS_BF16 : o->blas,
                          train->threads, err);
}

/* The options against each other, alike on all ranks, and then the groups of ranks. */
static int open_mesh(struct dt_train *train, int *code, struct dt_error *err)
{
    const struct dt_options *o = train->options;
    struct dt_mesh_sizes sizes = o->mesh;
    if (dt_config_check(&o->model, err) < 0 ||
        (o->export_to && dt_public_check(&o->model, err) < 0) ||
        dt_mesh_fit(&sizes, train->comm->size, err) < 0)
        return -1;
    const struct dt_mesh_sizes at = dt_mesh_at(&sizes, train->comm->rank);
    const struct dt_part part = dt_mesh_part(&sizes, &at);
    train->shares = dt_mesh_shares(&sizes);
    train->share = dt_mesh_share(&sizes, &at);
    if (dt_part_check(&o->model, &part, err) < 0 ||
        dt_ring_check(o->model.seq, sizes.cp, err) < 0 ||
        dt_tp_check(&sizes, o->model.seq / sizes.cp, err) < 0 ||
        dt_options_check(o, train->shares, err) < 0)
        return -1;
    train->batch = (size_t)(o->global_batch / train->shares);
    train->micro = o->micro_batch ? (size_t)o->micro_batch : train->batch;
    *code = 1;
    struct dt_error said;
    if (dt_mesh_open(&train->mesh, &sizes, train->comm, err) < 0 ||
        dt_mesh_nodes(&train->mesh, &said, err) < 0)
        return -1;
    if (said.text[0] && train->comm->rank == 0)
        fprintf(stderr, "dt-train: %s\n", said.text);
    return 0;
}

int dt_train_open(struct dt_train *train, const struct dt_options *options,
                  const struct dt_device *device, int threads, struct dt_error *err)
{
    struct dt_comm *comm = device->comm;
    int code = DT_EXIT_USAGE, rc;
    *train = (struct dt_train){.options = options,
                               .comm = comm,
                               .device = device,
                               .threads = threads,
                               .saved_at = -1,
                               .checked_at = -1,
                               .asked_at = -1e9,
                               .report = {.progress_fd = -1}};
    rc = compare_options(train, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    code = DT_EXIT_USAGE;
    if (open_mesh(train, &code, err) < 0)
        return code;
    rc = open_own(train, &code, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    code = 1;
    rc = allocate(train, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    rc = dt_parallel_open(&train->parallel, &train->mesh, &train->model,
                          &(struct dt_parallel_setup){.zero = options->zero,
                                                      .micros = (int)(train->batch / train->micro)},
                          err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    code = DT_EXIT_CONFIG;
    rc = compare_data(train, err);
    if (dt_comm_agree(comm, rc < 0, &code, err) < 0)
        return code;
    code = 1;
    struct dt_layout whole;
    if (open_holders(train, &code, err) < 0 || place_weights(train, &code, err) < 0 ||
        dt_layout_init(&whole, &options->model, NULL, err) < 0)
        return code;
    dt_report_header(
        &train->report,
        &(struct dt_report_setup){.options = options,
                                  .ranks = comm->size,
                                  .threads = threads,
                                  .params = whole.params,
                                  .blas_name = train->blas.name,
                                  .blas_rate = comm->rank == 0 ? dt_blas_rate(&train->blas) : 0,
                                  .mesh = &train->mesh.sizes,
                                  .zero = options->zero,
                                  .manner = comm->manner,
                                  .why_cpu = device->why,
                                  .bytes = train->parallel.taken * sizeof(real),
                                  .micros = train->parallel.pipe.micros,
                                  .kept_bytes = train->model.kept_count * sizeof(real),
                                  .first_step = train->step});
    dt_layout_fini(&whole);
    return 0;
}

void dt_train_close(struct dt_train *train)
{
    dt_saver_close(&train->saver);
    dt_holders_close(&train->holders);
    dt_report_close(&train->report);
    dt_data_close(&train->data);
    dt_parallel_close(&train->parallel);
    dt_model_fini(&train->model);
    if (!train->comm->broken)
        dt_mesh_close(&train->mesh);
    dt_blas_close(&train->blas);
    free(train->sample);
    dt_memory_free(train->tokens);
    dt_memory_free(train->targets);
}
