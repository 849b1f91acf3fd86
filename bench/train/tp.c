/* SPDX-License-Identifier: Apache-2.0 */
/* Sums and rows between the ranks that share products; see tp.h. A failure is noted in the model, and
 * nothing is said after it. */
#include "tp.h"

#include "block.h"
#include "kernels.h"

static struct dt_comm *tensor_of(const struct dt_model *model)
{
    return model->mesh->tensor;
}

static bool by_rows(const struct dt_model *model)
{
    return model->mesh->sizes.sp && tensor_of(model)->size > 1;
}

static void note(struct dt_model *model, int result)
{
    model->failed |= result < 0;
}

static void wait_for_all(struct dt_model *model)
{
    if (!model->failed)
        note(model, dt_comm_drain(tensor_of(model), &model->error));
}

int dt_tp_check(const struct dt_mesh_sizes *sizes, int time, struct dt_error *err)
{
    int away = time % sizes->tp, below = time - away, above = below + sizes->tp;
    if (!sizes->sp || away == 0)
        return 0;
    int nearest = below > 0 && away <= above - time ? below : above;
    return dt_error_set(err,
                        "--sp: the %d rows of a sample can not be shared by --tp %d ranks evenly; "
                        "the nearest that can is --seq %d",
                        time, sizes->tp, nearest * sizes->cp);
}

int dt_tp_take(struct dt_model *model, struct dt_error *err)
{
    struct dt_comm *tensor = tensor_of(model);
    size_t count = model->max_batch * model->time * (size_t)model->config.channels;
    if (tensor->size == 1)
        return 0;
    model->d_narrow = tensor->operations->memory(tensor, count);
    if (model->d_narrow && by_rows(model))
        model->gathered = tensor->operations->memory(tensor, count);
    if (model->d_narrow && (model->gathered || !by_rows(model)))
        return 0;
    return dt_error_set(err,
                        "no memory for %zu MiB that the ranks of --tp share; a smaller "
                        "--micro-batch wants less",
                        count * sizeof(real) >> 20);
}

size_t dt_tp_rows(const struct dt_model *model, size_t rows)
{
    return by_rows(model) ? rows / (size_t)tensor_of(model)->size : rows;
}

const real *dt_tp_all(struct dt_model *model, const real *mine, size_t rows)
{
    struct dt_comm *tensor = tensor_of(model);
    size_t count = dt_tp_rows(model, rows) * model->here.channels;
    if (!by_rows(model))
        return mine;
    /* to where the others read it without a copy of their own */
    real *place = model->gathered + (size_t)tensor->rank * count;
    model->blas->kernels->copy(place, mine, count);
    if (!model->failed)
        note(model, tensor->operations->gather_start(tensor, place, model->gathered, count,
                                                     &model->error));
    wait_for_all(model);
    return model->gathered;
}

static real *own_rows(const struct dt_model *model, real *part, size_t rows)
{
    size_t first = by_rows(model) ? (size_t)tensor_of(model)->rank * dt_tp_rows(model, rows) : 0;
    return part + first * model->here.channels;
}

void dt_tp_sum_start(struct dt_model *model, real *part, size_t rows)
{
    struct dt_comm *tensor = tensor_of(model);
    size_t count = dt_tp_rows(model, rows) * model->here.channels;
    if (tensor->size == 1 || model->failed)
        return;
    if (by_rows(model))
        note(model, tensor->operations->scatter_start(tensor, part, own_rows(model, part, rows),
                                                      count, &model->error));
    else
        note(model,
             tensor->operations->sum_start(tensor, part, count, DT_COMM_REAL, &model->error));
}

real *dt_tp_sum_finish(struct dt_model *model, real *part, size_t rows)
{
    wait_for_all(model);
    return own_rows(model, part, rows);
}

static void put(const struct dt_kernels *kernels, real *to, const real *from, size_t count,
                bool add)
{
    if (add)
        kernels->add(to, from, count);
    else
        kernels->copy(to, from, count);
}

void dt_tp_norm_backward(struct dt_model *model, const struct dt_tp_norm *n, real *d_in,
                         const real *d_out, size_t rows, bool add)
{
    const struct dt_kernels *kernels = model->blas->kernels;
    size_t here = dt_tp_rows(model, rows), c = model->here.channels;
    real *sums = model->d_norm; /* of the rows here, weight and bias */
    if (!by_rows(model)) {
        dt_norm_backward(kernels, &model->config, d_in, n->d_weight, n->d_bias, d_out, n->in,
                         n->weight, n->mean, n->inverse, here, add);
        return;
    }
    dt_norm_backward(kernels, &model->config, d_in, sums, n->d_bias ? sums + c : NULL, d_out, n->in,
                     n->weight, n->mean, n->inverse, here, false);
    struct dt_comm *tensor = tensor_of(model);
    if (!model->failed)
        note(model, tensor->operations->sum_start(tensor, sums, n->d_bias ? 2 * c : c, DT_COMM_REAL,
                                                  &model->error));
    wait_for_all(model);
    put(kernels, n->d_weight, sums, c, add);
    if (n->d_bias)
        put(kernels, n->d_bias, sums + c, c, add);
}
