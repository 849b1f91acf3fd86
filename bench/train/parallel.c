/* SPDX-License-Identifier: Apache-2.0 */
/* Copies or shards of the model; see parallel.h. */
#include "parallel.h"

#include <stdlib.h>

#include "kernels.h"

static int open_copies(struct dt_parallel *p, struct dt_error *err)
{
    struct dt_model *model = p->model;
    struct dt_comm *replicas = p->mesh->replicas[DT_BUCKET_DENSE];
    size_t total = model->layout.total, before = dt_reals_taken();
    model->params = dt_reals(total);
    p->first = dt_reals(total);
    p->second = dt_reals(total);
    /* the others read gradients where they are */
    p->grads = replicas->operations->memory(replicas, total);
    p->params = model->params;
    p->own = model->layout;
    p->taken = dt_reals_taken() - before;
    if (!p->params || !p->grads || !p->first || !p->second)
        return dt_error_set(err, "no memory for the model: 4 x %zu MiB; --fsdp shares it out",
                            total * sizeof(real) >> 20);
    for (size_t b = 0; b < model->layout.bucket_count; b++) {
        model->param_bases[b] = p->params;
        model->grad_bases[b] = p->grads;
    }
    return 0;
}

static int open_shards(struct dt_parallel *p, const struct dt_parallel_setup *setup,
                       struct dt_error *err)
{
    size_t before = dt_reals_taken();
    if (dt_fsdp_open(&p->fsdp, p->mesh, p->model, setup->zero, setup->zero > 1 && setup->micros > 1,
                     err) < 0)
        return -1;
    p->taken = dt_reals_taken() - before;
    p->params = p->fsdp.params;
    p->grads = p->fsdp.grads;
    p->first = p->fsdp.first;
    p->second = p->fsdp.second;
    p->own = p->fsdp.own;
    return 0;
}

static int open_tied(struct dt_parallel *p, int micros, struct dt_error *err)
{
    struct dt_model *model = p->model;
    struct dt_comm *data = p->mesh->data;
    const struct dt_tied_setup setup = {.kernels = model->blas->kernels,
                                        .vocab = model->here.vocab,
                                        .channels = model->here.channels,
                                        .micros = micros,
                                        .rows = model->max_batch * model->time};
    if (!dt_tied_wanted(&model->layout, data, setup.vocab, (size_t)micros * setup.rows))
        return 0;
    model->tied = &p->tied;
    return dt_tied_open(&p->tied, data, &setup, err);
}

int dt_parallel_open(struct dt_parallel *p, struct dt_mesh *mesh, struct dt_model *model,
                     const struct dt_parallel_setup *setup, struct dt_error *err)
{
    *p = (struct dt_parallel){
        .world = mesh->world, .mesh = mesh, .model = model, .sharded = setup->zero > 0};
    if ((p->sharded ? open_shards(p, setup, err) : open_copies(p, err)) < 0)
        return -1;
    p->squares = dt_memory((p->own.tensor_count + 1) * sizeof *p->squares);
    if (!p->squares)
        return dt_error_set(err, "no memory for the sums of %zu tensors", p->own.tensor_count);
    dt_dp_init(&p->dp, mesh, &p->own, p->grads);
    p->hooks = p->sharded ? dt_fsdp_hooks(&p->fsdp) : dt_dp_hooks(&p->dp);
    p->growth = p->hooks;
    p->growth.bucket_ready = NULL;
    if (open_tied(p, setup->micros, err) < 0)
        return -1;
    return dt_pipe_open(&p->pipe, mesh, model, setup->micros, err);
}

void dt_parallel_close(struct dt_parallel *p)
{
    dt_pipe_close(&p->pipe);
    dt_memory_free(p->squares);
    if (p->sharded) {
        dt_fsdp_close(&p->fsdp);
    } else {
        dt_memory_free(p->first);
        dt_memory_free(p->second);
    }
}

/* Whole gradients grow where they are, and are summed once a step. */
static bool grows_in_place(const struct dt_parallel *p)
{
    return !p->sharded || p->fsdp.zero == 1;
}

static const struct dt_model_hooks *begin(void *context, const struct dt_action *action)
{
    struct dt_parallel *p = context;
    bool first = action->micro == 0, last = action->micro + 1 == p->pipe.micros;
    if (!action->backward)
        return p->sharded ? &p->hooks : NULL;
    if (grows_in_place(p) && !last)
        return p->sharded ? &p->growth : NULL;
    if (p->sharded)
        dt_fsdp_micro_begin(&p->fsdp, first || grows_in_place(p), last);
    return &p->hooks;
}

static void end(void *context, const struct dt_action *action)
{
    struct dt_parallel *p = context;
    if (p->sharded && action->backward && !grows_in_place(p))
        dt_fsdp_micro_end(&p->fsdp);
}

double dt_parallel_learn(struct dt_parallel *p, const int *tokens, const int *targets, size_t batch,
                         double scale)
{
    dt_mesh_spent(p->mesh); /* on what was between the steps */
    return dt_pipe_learn(&p->pipe, &(struct dt_pipe_work){.tokens = tokens,
                                                          .targets = targets,
                                                          .batch = batch,
                                                          .scale = scale,
                                                          .add = grows_in_place(p),
                                                          .begin = begin,
                                                          .end = end,
                                                          .context = p});
}

double dt_parallel_evaluate(struct dt_parallel *p, const int *tokens, const int *targets,
                            size_t batch)
{
    return dt_pipe_evaluate(
        &p->pipe,
        &(struct dt_pipe_work){
            .tokens = tokens, .targets = targets, .batch = batch, .begin = begin, .context = p});
}

/* What this rank has of it; NULL: nothing. */
static const struct dt_tensor *token_table(const struct dt_parallel *p)
{
    for (size_t t = 0; t < p->own.tensor_count; t++)
        if (p->own.tensors[t].index == DT_TOKEN_TABLE_INDEX)
            return &p->own.tensors[t];
    return NULL;
}

/* The rows that the embedding gave it. */
static int join_rows(struct dt_parallel *p, struct dt_error *err)
{
    const struct dt_tensor *table = token_table(p);
    if (!p->model->tied)
        return 0;
    if (!table)
        return dt_tied_finish(&p->tied, NULL, 0, 0, err);
    return dt_tied_finish(&p->tied, p->grads + table->offset, table->first, table->count, err);
}

/* A tied table gets gradients on the first stage, as embedding, and on the last, as head. */
static int join_ends(struct dt_parallel *p, struct dt_error *err)
{
    struct dt_comm *ends = p->mesh->ends;
    const struct dt_part *part = &p->model->layout.part;
    bool twice = dt_part_stages(part) > 1 && !p->model->config.untied &&
                 (dt_part_is_first(part) || dt_part_is_last(part));
    const struct dt_tensor *table = twice ? token_table(p) : NULL;
    if (!table)
        return 0;
    return dt_comm_sum(ends, p->grads + table->offset, table->count, DT_COMM_REAL, err);
}

int dt_parallel_finish(struct dt_parallel *p, double *exposed_s, struct dt_error *err)
{
    if (p->model->failed) {
        *err = p->model->error;
        p->world->broken = true; /* the others wait */
        return -1;
    }
    int rc = p->sharded ? dt_fsdp_finish(&p->fsdp, err) : dt_dp_finish(&p->dp, err);
    if (rc == 0)
        rc = join_ends(p, err);
    if (rc == 0)
        rc = join_rows(p, err);
    *exposed_s = dt_mesh_spent(p->mesh);
    p->world->broken |= rc < 0;
    return rc;
}

/* What failed here alone: the others wait. */
static int break_off(struct dt_parallel *p)
{
    p->world->broken = true;
    return -1;
}

int dt_parallel_squares(struct dt_parallel *p, double *squares, struct dt_error *err)
{
    const struct dt_kernels *kernels = p->model->blas->kernels;
    size_t begin = 0, sums = 0;
    for (size_t t = 0; t < p->own.tensor_count; t++) {
        const struct dt_tensor *tensor = &p->own.tensors[t];
        if (!tensor->copy)
            continue;
        kernels->squares(&p->squares[sums++], p->grads + begin, tensor->offset - begin);
        begin = tensor->offset + tensor->count;
    }
    kernels->squares(&p->squares[sums++], p->grads + begin, p->own.total - begin);
    if (kernels->wait(err) < 0)
        return break_off(p);
    *squares = 0;
    for (size_t i = 0; i < sums; i++)
        *squares += p->squares[i];
    return dt_comm_sum(p->mesh->model, squares, 1, DT_COMM_DOUBLE, err);
}

int dt_parallel_update(struct dt_parallel *p, const struct dt_adamw *adamw, struct dt_error *err)
{
    const struct dt_kernels *kernels = p->model->blas->kernels;
    dt_adamw_update(kernels, adamw, &p->own, p->params, p->grads, p->first, p->second);
    if (dt_parallel_changed(p, err) < 0)
        return -1;
    return kernels->wait(err) < 0 ? break_off(p) : 0;
}

int dt_parallel_changed(struct dt_parallel *p, struct dt_error *err)
{
    return p->sharded ? dt_fsdp_changed(&p->fsdp, err) : 0;
}

void dt_parallel_first_values(struct dt_parallel *p, unsigned long long seed)
{
    dt_layout_first_values(&p->own, p->params, seed);
}
