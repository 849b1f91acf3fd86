/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of the public models by name; see public.h. */
#include "public.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    const struct dt_layout *layout;
    struct dt_public_tensor *tensors;
    size_t count;
    int layer; /* of what is added now; -1: outside */
};

/* Ours, by its name in the layer at hand. NULL: the model has none. */
static const struct dt_tensor *ours(const struct list *l, const char *name)
{
    const struct dt_layout *layout = l->layout;
    for (size_t t = 0; t < layout->tensor_count; t++)
        if (layout->tensors[t].layer == l->layer && strcmp(layout->tensors[t].name, name) == 0)
            return &layout->tensors[t];
    return NULL;
}

/* Rows of ours from `first` on, under this name. */
static void add_rows(struct list *l, const char *public, const char *name, size_t first,
                     size_t rows, size_t columns, bool turned)
{
    const struct dt_tensor *tensor = ours(l, name);
    if (!tensor)
        return;
    struct dt_public_tensor *to = &l->tensors[l->count++];
    size_t width = columns > 0 ? columns : 1;
    *to = (struct dt_public_tensor){.index = (size_t)(tensor - l->layout->tensors),
                                    .first = first * width,
                                    .rows = rows,
                                    .columns = columns,
                                    .turned = turned};
    if (l->layer < 0)
        snprintf(to->name, sizeof to->name, "%s", public);
    else if (l->layout->config.family == DT_FAMILY_LLAMA)
        snprintf(to->name, sizeof to->name, "model.layers.%d.%s", l->layer, public);
    else
        snprintf(to->name, sizeof to->name, "transformer.h.%d.%s", l->layer, public);
}

static void add_vector(struct list *l, const char *public, const char *name, size_t count)
{
    add_rows(l, public, name, 0, count, 0, false);
}

static void add_gpt2(struct list *l)
{
    const struct dt_model_config *m = &l->layout->config;
    size_t c = (size_t)m->channels, hidden = (size_t)m->hidden, qkv = dt_config_qkv(m);
    add_vector(l, "ln_1.weight", "norm1.weight", c);
    add_vector(l, "ln_1.bias", "norm1.bias", c);
    add_rows(l, "attn.c_attn.weight", "qkv.weight", 0, qkv, c, true);
    add_vector(l, "attn.c_attn.bias", "qkv.bias", qkv);
    add_rows(l, "attn.c_proj.weight", "projection.weight", 0, c, c, true);
    add_vector(l, "attn.c_proj.bias", "projection.bias", c);
    add_vector(l, "ln_2.weight", "norm2.weight", c);
    add_vector(l, "ln_2.bias", "norm2.bias", c);
    add_rows(l, "mlp.c_fc.weight", "up.weight", 0, hidden, c, true);
    add_vector(l, "mlp.c_fc.bias", "up.bias", hidden);
    add_rows(l, "mlp.c_proj.weight", "down.weight", 0, c, hidden, true);
    add_vector(l, "mlp.c_proj.bias", "down.bias", c);
}

/* Mixtral: each expert is three tensors. */
static void add_mixture(struct list *l)
{
    const struct dt_model_config *m = &l->layout->config;
    size_t c = (size_t)m->channels, hidden = (size_t)m->hidden;
    add_rows(l, "block_sparse_moe.gate.weight", "router.weight", 0, (size_t)m->experts, c, false);
    for (size_t e = 0; e < (size_t)m->experts; e++) {
        const struct {
            const char *public, *name;
            size_t first, rows, columns;
        } parts[] = {{"w1", "experts.up.weight", e * 2 * hidden, hidden, c},
                     {"w2", "experts.down.weight", e * c, c, hidden},
                     {"w3", "experts.up.weight", (e * 2 + 1) * hidden, hidden, c}};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char public[64];
            snprintf(public, sizeof public, "block_sparse_moe.experts.%zu.%s.weight", e,
                     parts[i].public);
            add_rows(l, public, parts[i].name, parts[i].first, parts[i].rows, parts[i].columns,
                     false);
        }
    }
}

/* Queries, keys and values are three tensors there, and gate and value two. */
static void add_llama(struct list *l)
{
    const struct dt_model_config *m = &l->layout->config;
    size_t c = (size_t)m->channels, hidden = (size_t)m->hidden;
    size_t keys = dt_config_head(m) * (size_t)m->kv_heads;
    add_vector(l, "input_layernorm.weight", "norm1.weight", c);
    add_rows(l, "self_attn.q_proj.weight", "qkv.weight", 0, c, c, false);
    add_rows(l, "self_attn.k_proj.weight", "qkv.weight", c, keys, c, false);
    add_rows(l, "self_attn.v_proj.weight", "qkv.weight", c + keys, keys, c, false);
    add_rows(l, "self_attn.o_proj.weight", "projection.weight", 0, c, c, false);
    add_vector(l, "post_attention_layernorm.weight", "norm2.weight", c);
    if (m->experts > 0) {
        add_mixture(l);
        return;
    }
    add_rows(l, "mlp.gate_proj.weight", "up.weight", 0, hidden, c, false);
    add_rows(l, "mlp.up_proj.weight", "up.weight", hidden, hidden, c, false);
    add_rows(l, "mlp.down_proj.weight", "down.weight", 0, c, hidden, false);
}

struct dt_public_tensor *dt_public_tensors(const struct dt_layout *layout, size_t *count)
{
    const struct dt_model_config *m = &layout->config;
    const bool llama = m->family == DT_FAMILY_LLAMA;
    size_t c = (size_t)m->channels, vocab = (size_t)m->vocab;
    struct list l = {.layout = layout, .layer = -1};
    l.tensors = calloc(5 + (12 + 3 * (size_t)m->experts) * (size_t)m->layers, sizeof *l.tensors);
    if (!l.tensors)
        return NULL;
    add_rows(&l, llama ? "model.embed_tokens.weight" : "transformer.wte.weight", "token.table", 0,
             vocab, c, false);
    add_rows(&l, "transformer.wpe.weight", "position.table", 0, (size_t)m->seq, c, false);
    for (l.layer = 0; l.layer < m->layers; l.layer++)
        (llama ? add_llama : add_gpt2)(&l);
    l.layer = -1;
    add_vector(&l, llama ? "model.norm.weight" : "transformer.ln_f.weight", "norm.weight", c);
    add_vector(&l, "transformer.ln_f.bias", "norm.bias", c);
    add_rows(&l, "lm_head.weight", "head.weight", 0, vocab, c, false);
    *count = l.count;
    return l.tensors;
}

int dt_public_check(const struct dt_model_config *config, struct dt_error *err)
{
    if (config->family == DT_FAMILY_GPT2 && config->experts > 0)
        return dt_error_set(err,
                            "--export knows no public model of the family gpt2 with --experts; "
                            "take --family llama, which with experts is Mixtral's");
    if (config->family == DT_FAMILY_GPT2 && config->kv_heads != config->heads)
        return dt_error_set(err,
                            "--export knows no public model of the family gpt2 with --kv-heads %d "
                            "of %d; take as many, or --family llama",
                            config->kv_heads, config->heads);
    return 0;
}
