/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of the whole model, and the memory they work in; see model.h. */
#include "model.h"

#include <stdint.h>
#include <stdlib.h>

#include "block.h"
#include "layers.h"

static int no_memory(struct dt_model *model, size_t reals, struct dt_error *err)
{
    dt_model_fini(model);
    return dt_error_set(err,
                        "no memory for the model: it wants %zu MiB in this rank; take fewer "
                        "--layers or --channels, a smaller --micro-batch, or --recompute",
                        reals * sizeof(real) >> 20);
}

static int join_mesh(struct dt_model *model, const struct dt_mesh *mesh, struct dt_error *err)
{
    static const struct dt_mesh_sizes one = {
        .dp = 1, .fsdp = 1, .ep = 1, .pp = 1, .cp = 1, .tp = 1};
    model->mesh = mesh ? mesh : &model->own_mesh;
    dt_comm_single_open(&model->own_comm);
    return mesh ? 0 : dt_mesh_open(&model->own_mesh, &one, &model->own_comm, err);
}

static int take_places(struct dt_model *model)
{
    const struct dt_comm *context = model->mesh->context;
    model->time = (size_t)model->config.seq / (size_t)context->size;
    model->places = calloc(model->time, sizeof *model->places);
    for (size_t i = 0; model->places && i < model->time; i++)
        model->places[i] = dt_ring_place(context->rank, context->size, model->time, i);
    return model->places ? 0 : -1;
}

struct dt_attention_shape dt_model_attention(const struct dt_model *model, size_t batch)
{
    return (struct dt_attention_shape){.batch = batch,
                                       .time = model->time,
                                       .heads = model->here.heads,
                                       .kv_heads = model->here.kv_heads,
                                       .head = model->here.head};
}

int dt_model_init_bare(struct dt_model *model, const struct dt_model_config *config,
                       const struct dt_model_setup *setup, struct dt_error *err)
{
    *model = (struct dt_model){.blas = setup->blas,
                               .max_batch = setup->max_batch,
                               .recompute = setup->recompute,
                               .slot_count = 1,
                               .slot_layers = (size_t)config->layers};
    if (join_mesh(model, setup->mesh, err) < 0)
        return -1;
    const struct dt_part part = dt_mesh_part(&model->mesh->sizes, &model->mesh->at);
    if (dt_layout_init(&model->layout, config, &part, err) < 0)
        return -1;
    model->config = model->layout.config;
    model->here = dt_part_widths(&model->config, &part);
    model->param_bases = calloc(model->layout.bucket_count, sizeof *model->param_bases);
    model->grad_bases = calloc(model->layout.bucket_count, sizeof *model->grad_bases);
    if (!model->param_bases || !model->grad_bases || take_places(model) < 0 ||
        dt_activations_take(model) < 0)
        return no_memory(model, model->memory_count, err);
    if (model->rope)
        dt_rope_table(model->rope, model->places, model->time, dt_config_head(config),
                      model->config.rope_base);
    return 0;
}

int dt_model_init(struct dt_model *model, const struct dt_model_config *config,
                  const struct dt_model_setup *setup, struct dt_error *err)
{
    if (dt_model_init_bare(model, config, setup, err) < 0)
        return -1;
    size_t total = model->layout.total;
    model->params = dt_reals(total);
    model->grads = dt_reals(total);
    if (!model->params || !model->grads)
        return no_memory(model, 2 * total + model->memory_count, err);
    for (size_t b = 0; b < model->layout.bucket_count; b++) {
        model->param_bases[b] = model->params;
        model->grad_bases[b] = model->grads;
    }
    return 0;
}

void dt_model_fini(struct dt_model *model)
{
    free(model->params);
    free(model->grads);
    free(model->param_bases);
    free(model->grad_bases);
    free(model->places);
    dt_activations_free(model);
    if (model->mesh == &model->own_mesh)
        dt_mesh_close(&model->own_mesh);
    dt_layout_fini(&model->layout);
    *model = (struct dt_model){0};
}

static void bucket_ready(const struct dt_model_hooks *hooks, size_t bucket)
{
    if (hooks && hooks->bucket_ready)
        hooks->bucket_ready(hooks->context, bucket);
}

static void params_needed(const struct dt_model_hooks *hooks, size_t bucket, size_t next)
{
    if (hooks && hooks->params_needed)
        hooks->params_needed(hooks->context, bucket, next);
}

static void grads_needed(const struct dt_model_hooks *hooks, size_t bucket)
{
    if (hooks && hooks->grads_needed)
        hooks->grads_needed(hooks->context, bucket);
}

/* The tensors outside the layers are in the first bucket and the last. */
static struct dt_outer outer(const struct dt_model *model, real *const *bases)
{
    size_t last = model->layout.bucket_count - 1;
    struct dt_outer all = dt_layout_outer(&model->layout, bases[0]);
    struct dt_outer end = dt_layout_outer(&model->layout, bases[last]);
    all.norm_weight = end.norm_weight;
    all.norm_bias = end.norm_bias;
    if (model->config.untied)
        all.head = end.head;
    return all;
}

/* The bucket that the head's table is in. */
static size_t head_bucket(const struct dt_model *model)
{
    return model->config.untied ? model->layout.bucket_count - 1 : 0;
}

static const real *layer_input(const struct dt_model *model, size_t index)
{
    return index == 0 ? model->slots[0].in : model->kept[index - 1].out;
}

static void layer_forward(struct dt_model *model, size_t index, size_t batch)
{
    const struct dt_layer w =
        dt_layout_layer(&model->layout, model->param_bases[index + 1], (int)index);
    dt_block_forward(model, &w, &model->kept[index], layer_input(model, index), batch);
}

static void layer_backward(struct dt_model *model, size_t index, size_t batch, bool add,
                           const struct dt_model_hooks *hooks)
{
    const struct dt_layer w =
        dt_layout_layer(&model->layout, model->param_bases[index + 1], (int)index);
    const struct dt_layer g =
        dt_layout_layer(&model->layout, model->grad_bases[index + 1], (int)index);
    dt_block_again(model, &w, &model->kept[index], layer_input(model, index), batch);
    dt_block_backward(model, &w, &g, &model->kept[index], layer_input(model, index), batch, add,
                      hooks);
}

static void forward(struct dt_model *model, const int *tokens, size_t batch,
                    const struct dt_model_hooks *hooks)
{
    size_t time = model->time, c = (size_t)model->config.channels;
    size_t layers = (size_t)model->config.layers;
    params_needed(hooks, 0, 1);
    struct dt_outer w = outer(model, model->param_bases);
    dt_embedding_forward(model->slots[0].in, tokens, w.token_table, w.position_table, model->places,
                         batch, time, c);
    for (size_t i = 0; i < layers; i++) {
        params_needed(hooks, i + 1, i + 2);
        layer_forward(model, i, batch);
        dt_model_between(hooks);
    }
    params_needed(hooks, layers + 1, head_bucket(model));
    w = outer(model, model->param_bases);
    dt_norm_forward(&model->config, model->norm, model->mean, model->inverse,
                    layer_input(model, layers), w.norm_weight, w.norm_bias, batch * time);
}

/* Head and loss, then back through the last norm. */
static double top_backward(struct dt_model *model, const int *targets, size_t rows, double scale,
                           bool add, const struct dt_model_hooks *hooks)
{
    size_t c = (size_t)model->config.channels, layers = (size_t)model->config.layers;
    params_needed(hooks, head_bucket(model), layers + 1);
    grads_needed(hooks, head_bucket(model));
    struct dt_outer w = outer(model, model->param_bases), g = outer(model, model->grad_bases);
    double loss =
        dt_loss(model->blas, model->d_narrow, g.head, model->row_losses, model->logits, model->norm,
                w.head, targets, scale, rows, c, (size_t)model->config.vocab, add);
    params_needed(hooks, layers + 1, layers);
    grads_needed(hooks, layers + 1);
    w = outer(model, model->param_bases);
    g = outer(model, model->grad_bases);
    memset(model->d_stream, 0, rows * c * sizeof(real));
    dt_norm_backward(&model->config, model->d_stream, g.norm_weight, g.norm_bias, model->d_narrow,
                     layer_input(model, layers), w.norm_weight, model->mean, model->inverse, rows,
                     add);
    bucket_ready(hooks, layers + 1);
    return loss;
}

static void embedding_backward(struct dt_model *model, const int *tokens, size_t batch, bool add,
                               const struct dt_model_hooks *hooks)
{
    const struct dt_model_config *config = &model->config;
    grads_needed(hooks, 0);
    const struct dt_outer g = outer(model, model->grad_bases);
    dt_embedding_backward(&(struct dt_embedding_gradient){.token_table = g.token_table,
                                                          .position_table = g.position_table,
                                                          .vocab = (size_t)config->vocab,
                                                          .seq = (size_t)config->seq,
                                                          .add_token = add || !config->untied,
                                                          .add_position = add},
                          model->d_stream, tokens, model->places, batch, model->time,
                          (size_t)config->channels);
    bucket_ready(hooks, 0);
}

double dt_model_train(struct dt_model *model, const int *tokens, const int *targets, size_t batch,
                      double scale, bool add, const struct dt_model_hooks *hooks)
{
    forward(model, tokens, batch, hooks);
    double loss = top_backward(model, targets, batch * model->time, scale, add, hooks);
    for (size_t i = (size_t)model->config.layers; i > 0; i--) {
        params_needed(hooks, i, i > 1 ? i - 1 : DT_NO_BUCKET);
        grads_needed(hooks, i);
        layer_backward(model, i - 1, batch, add, hooks);
        bucket_ready(hooks, i);
    }
    embedding_backward(model, tokens, batch, add, hooks);
    return loss;
}

double dt_model_evaluate(struct dt_model *model, const int *tokens, const int *targets,
                         size_t batch, const struct dt_model_hooks *hooks)
{
    forward(model, tokens, batch, hooks);
    params_needed(hooks, head_bucket(model), DT_NO_BUCKET);
    const struct dt_outer w = outer(model, model->param_bases);
    return dt_loss(model->blas, NULL, NULL, model->row_losses, model->logits, model->norm, w.head,
                   targets, 0, batch * model->time, (size_t)model->config.channels,
                   (size_t)model->config.vocab, false);
}

double dt_model_flops(const struct dt_model_config *config, double tokens)
{
    double c = config->channels, layers = config->layers;
    double weights = c * ((double)dt_config_qkv(config) + c + (double)dt_config_up(config) +
                          config->hidden); /* of a layer's products */
    return 3 * tokens *
           (2 * weights * layers + 2 * c * config->vocab + 4.0 * config->seq * c * layers);
}
