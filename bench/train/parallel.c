/* SPDX-License-Identifier: Apache-2.0 */
/* Copies or shards of the model; see parallel.h. */
#include "parallel.h"

#include <stdlib.h>

#include "length.h"

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
    if (dt_fsdp_open(&p->fsdp, p->mesh, p->model, setup->zero, setup->micro, err) < 0)
        return -1;
    p->taken = dt_reals_taken() - before;
    p->params = p->fsdp.params;
    p->grads = p->fsdp.grads;
    p->first = p->fsdp.first;
    p->second = p->fsdp.second;
    p->own = p->fsdp.own;
    return 0;
}

int dt_parallel_open(struct dt_parallel *p, const struct dt_mesh *mesh, struct dt_model *model,
                     const struct dt_parallel_setup *setup, struct dt_error *err)
{
    *p = (struct dt_parallel){
        .world = mesh->world, .mesh = mesh, .model = model, .sharded = setup->zero > 0};
    if ((p->sharded ? open_shards(p, setup, err) : open_copies(p, err)) < 0)
        return -1;
    dt_dp_init(&p->dp, mesh, &p->own, p->grads);
    return 0;
}

void dt_parallel_close(struct dt_parallel *p)
{
    if (p->sharded) {
        dt_fsdp_close(&p->fsdp);
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
    if (p->model->failed) {
        *err = p->model->error;
        p->world->broken = true; /* the others wait */
        return -1;
    }
    return p->sharded ? dt_fsdp_finish(&p->fsdp, exposed_s, err)
                      : dt_dp_finish(&p->dp, exposed_s, err);
}

int dt_parallel_squares(struct dt_parallel *p, double *squares, struct dt_error *err)
{
    size_t begin = 0;
    *squares = 0;
    for (size_t t = 0; t < p->own.tensor_count; t++) {
        const struct dt_tensor *tensor = &p->own.tensors[t];
        if (!tensor->copy)
            continue;
        *squares += dt_squares(p->grads + begin, tensor->offset - begin);
        begin = tensor->offset + tensor->count;
    }
    *squares += dt_squares(p->grads + begin, p->own.total - begin);
    return dt_comm_sum(p->mesh->model, squares, 1, DT_COMM_DOUBLE, err);
}

int dt_parallel_changed(struct dt_parallel *p, struct dt_error *err)
{
    return p->sharded ? dt_fsdp_changed(&p->fsdp, err) : 0;
}

void dt_parallel_first_values(struct dt_parallel *p, unsigned long long seed)
{
    dt_layout_first_values(&p->own, p->params, seed);
}
