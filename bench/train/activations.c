/* SPDX-License-Identifier: Apache-2.0 */
/* Where each activation lies in the model's memory; see activations.h. */
#include "activations.h"

#include <stdlib.h>

#include "layers.h"
#include "model.h"
#include "tp.h"

/* Memory is handed out twice: with base NULL only the sum is made. */
struct hand_out {
    real *base;
    size_t used;
    enum dt_recompute recompute;
    const struct dt_kept *shared; /* NULL: it is what is made now */
};

static real *take(struct hand_out *h, size_t count)
{
    const size_t unit = DT_ALIGN / sizeof(real);
    real *at = h->base ? h->base + h->used : NULL;
    h->used += (count + unit - 1) / unit * unit;
    return at;
}

/* A field that each layer keeps up to a manner of recomputing, and shares beyond that. */
static real *place(struct hand_out *h, enum dt_recompute most, real *shared, size_t count)
{
    bool keeps = h->recompute <= most;
    if (h->shared)
        return keeps ? take(h, count) : shared;
    return keeps ? NULL : take(h, count);
}

/* rows: of products; stream: of the residual stream, as far as it is here (tp.h). */
static void place_layer(struct hand_out *h, struct dt_kept *k, const struct dt_model *model,
                        size_t rows)
{
    const struct dt_widths *here = &model->here;
    const enum dt_recompute always = DT_RECOMPUTE_FULL, mostly = DT_RECOMPUTE_SELECTIVE;
    const struct dt_kept none = {0}, *s = h->shared ? h->shared : &none;
    size_t c = here->channels, stream = dt_tp_rows(model, rows);
    k->norm1 = place(h, DT_RECOMPUTE_NONE, s->norm1, stream * c);
    k->mean1 = place(h, mostly, s->mean1, stream);
    k->inverse1 = place(h, mostly, s->inverse1, stream);
    k->qkv = place(h, mostly, s->qkv, rows * here->qkv);
    k->log_sum = place(h, mostly, s->log_sum, rows * here->heads);
    k->attended = place(h, mostly, s->attended, rows * here->attended);
    k->middle = place(h, mostly, s->middle, stream * c);
    k->norm2 = place(h, DT_RECOMPUTE_NONE, s->norm2, stream * c);
    k->mean2 = place(h, mostly, s->mean2, stream);
    k->inverse2 = place(h, mostly, s->inverse2, stream);
    size_t dense = model->config.experts > 0 ? 0 : rows;
    k->up = place(h, mostly, s->up, dense * here->up);
    k->activated = place(h, DT_RECOMPUTE_NONE, s->activated, dense * here->hidden);
    k->out = place(h, always, s->out, stream * c);
}

static void place_slots(struct hand_out *h, struct dt_model *model, size_t rows)
{
    struct dt_kept shared;
    h->shared = NULL;
    place_layer(h, &shared, model, rows);
    h->shared = &shared;
    for (size_t s = 0; s < model->slot_count; s++) {
        struct dt_slot *slot = &model->slots[s];
        slot->kept = model->kept + s * model->slot_layers;
        slot->in = take(h, dt_tp_rows(model, rows) * model->here.channels);
        for (size_t i = 0; i < model->slot_layers; i++)
            place_layer(h, &slot->kept[i], model, rows);
    }
    h->shared = NULL;
    model->kept_count = h->used;
}

static size_t place_all(struct dt_model *model, real *base)
{
    const struct dt_model_config *config = &model->config;
    const bool llama = config->family == DT_FAMILY_LLAMA;
    struct hand_out h = {.base = base, .recompute = model->recompute};
    const struct dt_widths *here = &model->here;
    const struct dt_comm *tensor = model->mesh->tensor;
    size_t c = here->channels, rows = model->max_batch * model->time;
    size_t stream = dt_tp_rows(model, rows);
    place_slots(&h, model, rows);
    model->norm = take(&h, stream * c);
    model->mean = take(&h, stream);
    model->inverse = take(&h, stream);
    model->d_stream = take(&h, stream * c);
    if (tensor->size == 1)
        model->d_narrow = take(&h, rows * c); /* else dt_tp_take's */
    model->d_norm = take(&h, 2 * c);
    size_t up = config->experts > 0 ? c : here->up;
    model->d_wide = take(&h, rows * (here->qkv > up ? here->qkv : up));
    if (config->experts > 0)
        model->d_hidden = NULL;
    else
        model->d_hidden = llama ? take(&h, rows * here->hidden) : model->d_wide;
    model->rope = llama ? take(&h, model->time * dt_config_head(config)) : NULL;
    model->work = take(&h, dt_attention_work_size(model->time) * (size_t)model->blas->threads);
    const struct dt_attention_shape most = dt_model_attention(model, model->max_batch);
    const struct dt_comm *context = model->mesh->context;
    real *ring = take(&h, dt_ring_work_size(context, &most));
    if (base && context->size > 1)
        dt_ring_init(&model->ring, model->mesh->context, ring, &most);
    if (dt_part_is_last(&model->layout.part))
        model->logits = take(&h, dt_loss_work_size(rows, here->vocab.count, tensor->size));
    return h.used;
}

/* Layers that are made again share what they would keep. */
static int take_experts(struct dt_model *model)
{
    struct dt_moe *moe = &model->moe;
    struct dt_error quiet;
    size_t layers = model->slot_count * model->slot_layers;
    const bool share = model->recompute == DT_RECOMPUTE_FULL;
    const struct dt_moe_shape shape = dt_moe_shape_of(&model->config, &model->here);
    if (dt_moe_init(moe, &shape, model->max_batch * model->time, model->blas, &quiet) < 0)
        return -1;
    moe->experts = model->mesh->experts;
    moe->context = model->mesh->context;
    moe->tensor = model->mesh->tensor;
    model->experts_count = share ? 1 : layers;
    model->experts = calloc(model->experts_count, sizeof *model->experts);
    for (size_t i = 0; model->experts && i < layers; i++) {
        struct dt_moe_kept *kept = &model->experts[share ? 0 : i];
        if (!kept->memory && dt_moe_kept_init(kept, moe, &quiet) < 0)
            return -1;
        model->kept[i].experts = kept;
    }
    return model->experts ? 0 : -1;
}

int dt_activations_take(struct dt_model *model)
{
    size_t rows = model->max_batch * model->time;
    model->slots = calloc(model->slot_count, sizeof *model->slots);
    model->kept = calloc(model->slot_count * model->slot_layers, sizeof *model->kept);
    model->row_losses = dt_memory(rows * sizeof *model->row_losses);
    if (!model->slots || !model->kept || !model->row_losses)
        return -1;
    model->memory_count = place_all(model, NULL);
    model->memory = dt_reals(model->memory_count);
    if (!model->memory)
        return -1;
    place_all(model, model->memory);
    return model->config.experts > 0 ? take_experts(model) : 0;
}

void dt_activations_free(struct dt_model *model)
{
    free(model->slots);
    free(model->kept);
    dt_memory_free(model->row_losses);
    dt_memory_free(model->memory);
    for (size_t i = 0; model->experts && i < model->experts_count; i++)
        dt_moe_kept_fini(&model->experts[i]);
    free(model->experts);
    dt_moe_fini(&model->moe);
}
