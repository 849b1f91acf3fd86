/* SPDX-License-Identifier: Apache-2.0 */
/* Copies or shards of the model; see parallel.h. */
#include "parallel.h"

#include <stdlib.h>

#include "length.h"

static int open_copies(struct dt_parallel *p, struct dt_error *err)
{
    struct dt_model *model = p->model;
    size_t total = model->layout.total, before = dt_reals_taken();
    model->params = dt_reals(total);
    p->first = dt_reals(total);
    p->second = dt_reals(total);
    /* the others read gradients where they are */
    p->grads = p->world->operations->memory(p->world, total);
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
    dt_dp_init(&p->dp, p->world, model);
    p->dp.grads = p->grads;
    return 0;
}

static int open_shards(struct dt_parallel *p, const struct dt_parallel_setup *setup,
                       struct dt_error *err)
{
    if (dt_mesh_open(&p->mesh, &setup->sizes, p->world, err) < 0)
        return -1;
    size_t before = dt_reals_taken();
    if (dt_fsdp_open(&p->fsdp, &p->mesh.shards, &p->mesh.replicas, p->model, setup->zero,
                     setup->micro, err) < 0)
        return -1;
    p->taken = dt_reals_taken() - before;
    p->params = p->fsdp.params;
    p->grads = p->fsdp.grads;
    p->first = p->fsdp.first;
    p->second = p->fsdp.second;
    p->own = p->fsdp.own;
    p->dp = (struct dt_dp){.comm = &p->mesh.replicas,
                           .layout = &p->own,
                           .first_rank = p->mesh.shards.rank,
                           .stride = p->mesh.shards.size};
    return 0;
}

int dt_parallel_open(struct dt_parallel *p, struct dt_comm *world, struct dt_model *model,
                     const struct dt_parallel_setup *setup, struct dt_error *err)
{
    *p = (struct dt_parallel){.world = world, .model = model, .sharded = setup->zero > 0};
    return p->sharded ? open_shards(p, setup, err) : open_copies(p, err);
}

void dt_parallel_close(struct dt_parallel *p)
{
    if (p->sharded) {
        dt_fsdp_close(&p->fsdp);
        if (!p->world->broken)
            dt_mesh_close(&p->mesh);
    } else {
        free(p->first);
        free(p->second);
    }
}

double dt_parallel_learn(struct dt_parallel *p, const int *tokens, const int *targets, size_t batch,
                         double scale, bool first, bool last)
{
    if (!p->sharded) {
        const struct dt_model_hooks hooks = dt_dp_hooks(&p->dp);
        return dt_model_train(p->model, tokens, targets, batch, scale, !first,
                              last ? &hooks : NULL);
    }
    const struct dt_model_hooks hooks = dt_fsdp_hooks(&p->fsdp);
    dt_fsdp_micro_begin(&p->fsdp, first, last);
    double loss = dt_model_train(p->model, tokens, targets, batch, scale, false, &hooks);
    dt_fsdp_micro_end(&p->fsdp);
    return loss;
}

double dt_parallel_evaluate(struct dt_parallel *p, const int *tokens, const int *targets,
                            size_t batch)
{
    const struct dt_model_hooks hooks = dt_fsdp_hooks(&p->fsdp);
    return dt_model_evaluate(p->model, tokens, targets, batch, p->sharded ? &hooks : NULL);
}

int dt_parallel_finish(struct dt_parallel *p, double *exposed_s, struct dt_error *err)
{
    return p->sharded ? dt_fsdp_finish(&p->fsdp, exposed_s, err)
                      : dt_dp_finish(&p->dp, exposed_s, err);
}

int dt_parallel_squares(struct dt_parallel *p, double *squares, struct dt_error *err)
{
    *squares = dt_squares(p->grads, p->own.total);
    return p->sharded ? dt_comm_sum(&p->mesh.shards, squares, 1, DT_COMM_DOUBLE, err) : 0;
}

int dt_parallel_changed(struct dt_parallel *p, struct dt_error *err)
{
    return p->sharded ? dt_fsdp_changed(&p->fsdp, err) : 0;
}

int dt_parallel_check(struct dt_parallel *p, struct dt_error *err)
{
    int code = 1, rc = dt_dp_check(&p->dp, p->params, err);
    return p->sharded ? dt_comm_agree(p->world, rc < 0, &code, err) : rc;
}

void dt_parallel_first_values(struct dt_parallel *p, unsigned long long seed)
{
    if (p->sharded)
        dt_fsdp_first_values(&p->fsdp, seed);
    else
        dt_layout_first_values(&p->model->layout, p->params, seed);
}

int dt_parallel_whole_open(struct dt_parallel *p, struct dt_checkpoint_arrays *whole,
                           struct dt_error *err)
{
    size_t total = p->model->layout.total;
    *whole = (struct dt_checkpoint_arrays){.count = total};
    if (!p->sharded)
        *whole = (struct dt_checkpoint_arrays){p->params, p->first, p->second, total};
    if (!p->sharded || p->world->rank != 0)
        return 0;
    whole->params = dt_reals(total);
    whole->first = dt_reals(total);
    whole->second = dt_reals(total);
    if (whole->params && whole->first && whole->second)
        return 0;
    return dt_error_set(err, "no memory for a checkpoint: 3 x %zu MiB", total * sizeof(real) >> 20);
}

void dt_parallel_whole_close(struct dt_parallel *p, struct dt_checkpoint_arrays *whole)
{
    if (p->sharded) {
        free(whole->params);
        free(whole->first);
        free(whole->second);
    }
    *whole = (struct dt_checkpoint_arrays){0};
}

int dt_parallel_collect(struct dt_parallel *p, const struct dt_checkpoint_arrays *whole,
                        struct dt_error *err)
{
    if (!p->sharded || p->mesh.replicas.rank != 0)
        return 0;
    if (dt_fsdp_collect(&p->fsdp, p->params, whole->params, err) < 0 ||
        dt_fsdp_collect(&p->fsdp, p->first, whole->first, err) < 0 ||
        dt_fsdp_collect(&p->fsdp, p->second, whole->second, err) < 0)
        return -1;
    return 0;
}

static int spread_one(struct dt_parallel *p, real *own, const real *whole, struct dt_error *err)
{
    struct dt_comm *group = p->sharded ? &p->mesh.replicas : p->world;
    if (p->sharded && group->rank == 0 && dt_fsdp_spread(&p->fsdp, own, whole, err) < 0)
        return -1;
    return group->operations->broadcast(group, own, p->own.total * sizeof *own, 0, err);
}

int dt_parallel_spread(struct dt_parallel *p, const struct dt_checkpoint_arrays *whole,
                       struct dt_error *err)
{
    if (spread_one(p, p->params, whole->params, err) < 0 ||
        spread_one(p, p->first, whole->first, err) < 0 ||
        spread_one(p, p->second, whole->second, err) < 0)
        return -1;
    return 0;
}
