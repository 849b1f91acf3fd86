/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of the whole model, and the memory they work in; see model.h. */
#include "model.h"

#include <stdint.h>
#include <stdlib.h>

#include "block.h"
#include "ends.h"
#include "kernels.h"
#include "tp.h"

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

static int take_places(struct dt_model *model, struct dt_error *err)
{
    const struct dt_comm *context = model->mesh->context;
    model->places = dt_memory(model->time * sizeof *model->places);
    for (size_t i = 0; model->places && i < model->time; i++)
        model->places[i] = dt_ring_place(context->rank, context->size, model->time, i);
    return model->places ? 0 : dt_error_set(err, "no memory for %zu places", model->time);
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
                               .slot_count = setup->slots > 0 ? setup->slots : 1};
    if (join_mesh(model, setup->mesh, err) < 0)
        return -1;
    const struct dt_part part = dt_mesh_part(&model->mesh->sizes, &model->mesh->at);
    model->config = *config;
    dt_config_fill(&model->config);
    model->here = dt_part_widths(&model->config, &part);
    model->time = (size_t)config->seq / (size_t)model->mesh->context->size;
    if (dt_tp_take(model, err) < 0) /* first of all, as the other ranks wait in it */
        return -1;
    if (dt_layout_init(&model->layout, config, &part, err) < 0 || take_places(model, err) < 0)
        return -1;
    model->slot_layers = model->layout.layer_count / (size_t)dt_part_chunks(&part);
    model->param_bases = calloc(model->layout.bucket_count, sizeof *model->param_bases);
    model->grad_bases = calloc(model->layout.bucket_count, sizeof *model->grad_bases);
    if (!model->param_bases || !model->grad_bases || dt_activations_take(model) < 0)
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
    dt_memory_free(model->params);
    dt_memory_free(model->grads);
    free(model->param_bases);
    free(model->grad_bases);
    dt_memory_free(model->places);
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

bool dt_model_begins(const struct dt_model *model, int chunk)
{
    return chunk == 0 && dt_part_is_first(&model->layout.part);
}

bool dt_model_ends(const struct dt_model *model, int chunk)
{
    return chunk + 1 == dt_part_chunks(&model->layout.part) && dt_part_is_last(&model->layout.part);
}

size_t dt_model_stream(const struct dt_model *model, size_t batch)
{
    return dt_tp_rows(model, batch * model->time) * model->here.channels;
}

static size_t rows_of(const struct dt_model *model, const struct dt_pass *pass)
{
    return pass->batch * model->time;
}

/* The bucket of a tensor outside the layers. */
static size_t outer_bucket(const struct dt_model *model, enum dt_outer_tensor which)
{
    return model->layout.outer_bucket[which];
}

/* NULL: not here. */
static real *outer_at(const struct dt_model *model, real *const *bases, enum dt_outer_tensor which)
{
    if (model->layout.outer[which] == DT_NO_TENSOR)
        return NULL;
    return bases[outer_bucket(model, which)] +
           model->layout.tensors[model->layout.outer[which]].offset;
}

static bool head_is_token_table(const struct dt_model *model)
{
    return model->layout.outer[DT_HEAD] == model->layout.outer[DT_TOKEN_TABLE];
}

/* The first of a chunk's layers, which are slot_layers, among those that are here. */
static size_t first_layer(const struct dt_model *model, int chunk)
{
    return (size_t)chunk * model->slot_layers;
}

static size_t layer_bucket(const struct dt_model *model, size_t layer)
{
    return model->layout.first_layer_bucket + layer * model->layout.layer_buckets;
}

/* next: the bucket after the layer's. Experts are in a bucket of their own, and those of the next layer
 * are looked ahead to in the same way. */
static void layer_params_needed(const struct dt_model *model, const struct dt_model_hooks *hooks,
                                size_t layer, size_t next)
{
    const struct dt_layout *l = &model->layout;
    size_t bucket = layer_bucket(model, layer), end = layer_bucket(model, l->layer_count);
    params_needed(hooks, bucket, next);
    if (l->layer_buckets > 1)
        params_needed(hooks, bucket + 1,
                      next >= l->first_layer_bucket && next < end ? next + 1 : DT_NO_BUCKET);
}

static void layer_grads_needed(const struct dt_model *model, const struct dt_model_hooks *hooks,
                               size_t layer)
{
    for (size_t i = 0; i < model->layout.layer_buckets; i++)
        grads_needed(hooks, layer_bucket(model, layer) + i);
}

static void layer_ready(const struct dt_model *model, const struct dt_model_hooks *hooks,
                        size_t layer)
{
    for (size_t i = model->layout.layer_buckets; i-- > 0;)
        bucket_ready(hooks, layer_bucket(model, layer) + i);
}

/* Tensors of a layer; bases: by bucket. */
static struct dt_layer layer_at(const struct dt_model *model, real *const *bases, size_t layer)
{
    size_t bucket = layer_bucket(model, layer), last = bucket + model->layout.layer_buckets - 1;
    struct dt_layer all = dt_layout_layer(&model->layout, bases[bucket], (int)layer);
    const struct dt_layer wide = dt_layout_layer(&model->layout, bases[last], (int)layer);
    all.up_weight = wide.up_weight;
    all.up_bias = wide.up_bias;
    all.down_weight = wide.down_weight;
    all.down_bias = wide.down_bias;
    return all;
}

/* Layer `i` of the slot, which is layer `layer` of those that are here. */
static const real *layer_input(const struct dt_slot *slot, size_t i)
{
    return i == 0 ? slot->in : slot->kept[i - 1].out;
}

static void layer_forward(struct dt_model *model, const struct dt_pass *pass, size_t i,
                          size_t layer)
{
    const struct dt_slot *slot = &model->slots[pass->slot];
    const struct dt_layer w = layer_at(model, model->param_bases, layer);
    dt_block_forward(model, &w, &slot->kept[i], layer_input(slot, i), pass->batch);
}

static void layer_backward(struct dt_model *model, const struct dt_pass *pass, size_t i,
                           size_t layer)
{
    const struct dt_slot *slot = &model->slots[pass->slot];
    const struct dt_layer w = layer_at(model, model->param_bases, layer);
    const struct dt_layer g = layer_at(model, model->grad_bases, layer);
    dt_block_again(model, &w, &slot->kept[i], layer_input(slot, i), pass->batch);
    dt_block_backward(model, &w, &g, &slot->kept[i], layer_input(slot, i), pass->batch, pass->add,
                      pass->hooks);
}

static void embedding_forward(struct dt_model *model, const struct dt_pass *pass)
{
    size_t tokens = outer_bucket(model, DT_TOKEN_TABLE), next = layer_bucket(model, 0);
    params_needed(pass->hooks, tokens, tokens + 1);
    if (tokens + 1 < next) /* positions */
        params_needed(pass->hooks, tokens + 1, next);
    dt_ends_embed(model, model->slots[pass->slot].in, pass->tokens,
                  outer_at(model, model->param_bases, DT_TOKEN_TABLE),
                  outer_at(model, model->param_bases, DT_POSITION_TABLE), pass->batch);
}

const real *dt_model_forward(struct dt_model *model, const struct dt_pass *pass)
{
    size_t first = first_layer(model, pass->chunk), count = model->slot_layers;
    size_t after =
        dt_model_ends(model, pass->chunk) ? outer_bucket(model, DT_NORM_WEIGHT) : DT_NO_BUCKET;
    if (dt_model_begins(model, pass->chunk))
        embedding_forward(model, pass);
    for (size_t i = 0; i < count; i++) {
        layer_params_needed(model, pass->hooks, first + i,
                            i + 1 < count ? layer_bucket(model, first + i + 1) : after);
        layer_forward(model, pass, i, first + i);
        dt_model_between(pass->hooks);
    }
    return layer_input(&model->slots[pass->slot], count);
}

/* What comes out of the last layer, for the head. */
static void last_norm(struct dt_model *model, const struct dt_pass *pass)
{
    params_needed(pass->hooks, outer_bucket(model, DT_NORM_WEIGHT), outer_bucket(model, DT_HEAD));
    dt_norm_forward(model->blas->kernels, &model->config, model->norm, model->mean, model->inverse,
                    layer_input(&model->slots[pass->slot], model->slot_layers),
                    outer_at(model, model->param_bases, DT_NORM_WEIGHT),
                    outer_at(model, model->param_bases, DT_NORM_BIAS),
                    dt_tp_rows(model, rows_of(model, pass)));
}

static struct dt_ends_loss head(const struct dt_model *model, const struct dt_pass *pass)
{
    return (struct dt_ends_loss){.targets = pass->targets,
                                 .table = outer_at(model, model->param_bases, DT_HEAD),
                                 .scale = pass->scale,
                                 .add = pass->add};
}

double dt_model_loss(struct dt_model *model, const struct dt_pass *pass)
{
    last_norm(model, pass);
    params_needed(pass->hooks, outer_bucket(model, DT_HEAD), DT_NO_BUCKET);
    struct dt_ends_loss loss = head(model, pass);
    return dt_ends_loss(model, &loss, rows_of(model, pass));
}

/* Norm, head and loss, and back through the norm. */
static double top_backward(struct dt_model *model, const struct dt_pass *pass)
{
    size_t last = first_layer(model, pass->chunk) + model->slot_layers - 1;
    size_t head_bucket = outer_bucket(model, DT_HEAD);
    size_t norm_bucket = outer_bucket(model, DT_NORM_WEIGHT), rows = rows_of(model, pass);
    last_norm(model, pass);
    params_needed(pass->hooks, head_bucket, norm_bucket);
    grads_needed(pass->hooks, head_bucket);
    struct dt_ends_loss ends = head(model, pass);
    ends.d_table = outer_at(model, model->grad_bases, DT_HEAD);
    double loss = dt_ends_loss(model, &ends, rows);
    if (head_bucket != norm_bucket && (!head_is_token_table(model) || model->tied))
        bucket_ready(pass->hooks, head_bucket);
    params_needed(pass->hooks, norm_bucket, layer_bucket(model, last));
    grads_needed(pass->hooks, norm_bucket);
    model->blas->kernels->zero(model->d_stream, dt_model_stream(model, pass->batch));
    const struct dt_tp_norm norm = {.in =
                                        layer_input(&model->slots[pass->slot], model->slot_layers),
                                    .weight = outer_at(model, model->param_bases, DT_NORM_WEIGHT),
                                    .mean = model->mean,
                                    .inverse = model->inverse,
                                    .d_weight = outer_at(model, model->grad_bases, DT_NORM_WEIGHT),
                                    .d_bias = outer_at(model, model->grad_bases, DT_NORM_BIAS)};
    dt_tp_norm_backward(model, &norm, model->d_stream, ends.d_norm, rows, pass->add);
    bucket_ready(pass->hooks, norm_bucket);
    return loss;
}

static void embedding_backward(struct dt_model *model, const struct dt_pass *pass)
{
    size_t tokens = outer_bucket(model, DT_TOKEN_TABLE), next = layer_bucket(model, 0);
    if (!model->tied)
        grads_needed(pass->hooks, tokens);
    if (tokens + 1 < next)
        grads_needed(pass->hooks, tokens + 1);
    dt_ends_embed_backward(model, outer_at(model, model->grad_bases, DT_TOKEN_TABLE),
                           outer_at(model, model->grad_bases, DT_POSITION_TABLE), pass->tokens,
                           pass->batch, pass->add || head_is_token_table(model), pass->add);
    if (tokens + 1 < next)
        bucket_ready(pass->hooks, tokens + 1);
    if (!model->tied)
        bucket_ready(pass->hooks, tokens);
}

double dt_model_backward(struct dt_model *model, const struct dt_pass *pass)
{
    size_t first = first_layer(model, pass->chunk);
    model->moe.scale = pass->scale;
    double loss = dt_model_ends(model, pass->chunk) ? top_backward(model, pass) : 0;
    for (size_t i = model->slot_layers; i-- > 0;) {
        layer_params_needed(model, pass->hooks, first + i,
                            i > 0 ? layer_bucket(model, first + i - 1) : DT_NO_BUCKET);
        layer_grads_needed(model, pass->hooks, first + i);
        layer_backward(model, pass, i, first + i);
        layer_ready(model, pass->hooks, first + i);
    }
    if (dt_model_begins(model, pass->chunk))
        embedding_backward(model, pass);
    return loss;
}

double dt_model_train(struct dt_model *model, const int *tokens, const int *targets, size_t batch,
                      double scale, bool add, const struct dt_model_hooks *hooks)
{
    const struct dt_pass pass = {.tokens = tokens,
                                 .targets = targets,
                                 .batch = batch,
                                 .scale = scale,
                                 .add = add,
                                 .hooks = hooks};
    dt_model_forward(model, &pass);
    return dt_model_backward(model, &pass);
}

double dt_model_evaluate(struct dt_model *model, const int *tokens, const int *targets,
                         size_t batch, const struct dt_model_hooks *hooks)
{
    const struct dt_pass pass = {
        .tokens = tokens, .targets = targets, .batch = batch, .hooks = hooks};
    dt_model_forward(model, &pass);
    return dt_model_loss(model, &pass);
}

double dt_model_flops(const struct dt_model_config *config, double tokens)
{
    double c = config->channels, layers = config->layers;
    double wide = (double)dt_config_up(config) + config->hidden; /* of the second half */
    if (config->experts > 0)
        wide = config->experts_per_token * wide + config->experts;   /* and the router */
    double weights = c * ((double)dt_config_qkv(config) + c + wide); /* of a layer's products */
    return 3 * tokens *
           (2 * weights * layers + 2 * c * config->vocab + 4.0 * config->seq * c * layers);
}
