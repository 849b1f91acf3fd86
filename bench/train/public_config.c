/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes from a config.json, and what there is of it that dt-train computes otherwise. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "public.h"

struct reading {
    json_t *root;
    struct dt_error *err;
    bool failed;
};

/* 0: it is not there, or null. */
static int size_of(struct reading *r, const char *name, int least)
{
    json_t *value = json_object_get(r->root, name);
    if (!value || json_is_null(value)) {
        if (least > 0 && !r->failed)
            dt_error_set(r->err, "it has no %s", name);
        r->failed |= least > 0;
        return 0;
    }
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= least && number <= 1 << 24)
        return (int)number;
    if (!r->failed)
        dt_error_set(r->err, "its %s is not a whole number from %d to %d", name, least, 1 << 24);
    r->failed = true;
    return 0;
}

/* What must be so, where it is said at all. */
static void want_text(struct reading *r, const char *name, const char *wanted, const char *other)
{
    json_t *value = json_object_get(r->root, name);
    const char *text = json_string_value(value);
    if (r->failed || !value || json_is_null(value) ||
        (text && (strcmp(text, wanted) == 0 || strcmp(text, other) == 0)))
        return;
    dt_error_set(r->err, "its %s is \"%s\", and dt-train computes \"%s\"", name,
                 text ? text : "no text", wanted);
    r->failed = true;
}

static void want_number(struct reading *r, const char *name, double wanted)
{
    json_t *value = json_object_get(r->root, name);
    if (r->failed || !value || json_is_null(value) ||
        fabs(json_number_value(value) - wanted) <= 1e-3 * wanted)
        return;
    dt_error_set(r->err, "its %s is %g, and dt-train computes with %g", name,
                 json_number_value(value), wanted);
    r->failed = true;
}

static void want_false(struct reading *r, const char *name, const char *what)
{
    json_t *value = json_object_get(r->root, name);
    if (r->failed || !value || json_is_null(value) || json_is_false(value))
        return;
    dt_error_set(r->err, "it has %s (%s), which dt-train does not have", what, name);
    r->failed = true;
}

/* Positions that a query sees, where they are not all before it. */
static void want_no_window(struct reading *r)
{
    json_t *value = json_object_get(r->root, "sliding_window");
    if (r->failed || !value || json_is_null(value))
        return;
    dt_error_set(r->err, "its attention sees a window (sliding_window), and dt-train's all before");
    r->failed = true;
}

static bool tied(struct reading *r, bool unsaid)
{
    json_t *value = json_object_get(r->root, "tie_word_embeddings");
    return json_is_boolean(value) ? json_is_true(value) : unsaid;
}

static void read_gpt2(struct reading *r, struct dt_model_config *c)
{
    c->family = DT_FAMILY_GPT2;
    c->layers = size_of(r, "n_layer", 1);
    c->channels = size_of(r, "n_embd", 1);
    c->heads = size_of(r, "n_head", 1);
    c->hidden = size_of(r, "n_inner", 0);
    c->seq = size_of(r, "n_positions", 1);
    c->vocab = size_of(r, "vocab_size", 1);
    c->untied = !tied(r, true);
    want_text(r, "activation_function", "gelu_new", "gelu_pytorch_tanh");
    want_number(r, "layer_norm_epsilon", 1e-5);
    want_false(r, "scale_attn_by_inverse_layer_idx", "another attention");
}

/* transformers before 5 had rope_theta and rope_scaling; since then both are in rope_parameters. */
static void read_rope(struct reading *r, struct dt_model_config *c)
{
    json_t *parameters = json_object_get(r->root, "rope_parameters");
    json_t *base = json_object_get(parameters ? parameters : r->root, "rope_theta");
    const char *type = json_string_value(json_object_get(parameters, "rope_type"));
    double value = base ? json_number_value(base) : 10000;
    json_t *scaling = json_object_get(r->root, "rope_scaling");
    if (r->failed)
        return;
    if ((scaling && !json_is_null(scaling)) || (type && strcmp(type, "default") != 0)) {
        dt_error_set(r->err, "its rotary positions are scaled (rope_scaling), as Llama 3.1's and "
                             "later are, which dt-train does not do; take a model without");
        r->failed = true;
    } else if (!(value >= 1 && value <= 1e9) || value != floor(value)) {
        dt_error_set(r->err, "its rope_theta is not a whole number from 1 to 1e9");
        r->failed = true;
    } else {
        c->rope_base = (int)value;
    }
}

static void read_llama(struct reading *r, struct dt_model_config *c)
{
    c->family = DT_FAMILY_LLAMA;
    c->layers = size_of(r, "num_hidden_layers", 1);
    c->channels = size_of(r, "hidden_size", 1);
    c->heads = size_of(r, "num_attention_heads", 1);
    c->kv_heads = size_of(r, "num_key_value_heads", 0);
    c->hidden = size_of(r, "intermediate_size", 1);
    c->seq = size_of(r, "max_position_embeddings", 1);
    c->vocab = size_of(r, "vocab_size", 1);
    c->untied = !tied(r, false);
    int head = size_of(r, "head_dim", 0);
    if (!r->failed && head > 0 && head * c->heads != c->channels) {
        dt_error_set(r->err,
                     "its heads have %d channels each, and hidden_size %d of %d heads "
                     "would have %d",
                     head, c->channels, c->heads, c->channels / c->heads);
        r->failed = true;
    }
    want_text(r, "hidden_act", "silu", "swish");
    want_number(r, "rms_norm_eps", 1e-5);
    want_false(r, "attention_bias", "biases in attention");
    want_false(r, "mlp_bias", "biases");
    read_rope(r, c);
}

static void read_mixtral(struct reading *r, struct dt_model_config *c)
{
    read_llama(r, c);
    c->experts = size_of(r, "num_local_experts", 1);
    c->experts_per_token = size_of(r, "num_experts_per_tok", 1);
    want_no_window(r);
}

int dt_public_config(struct dt_model_config *config, int *most, const char *text, size_t length,
                     struct dt_error *err)
{
    enum { USUAL = 2048 };
    json_error_t why;
    struct reading r = {.root = json_loadb(text, length, 0, &why), .err = err};
    *config = (struct dt_model_config){0};
    if (!r.root)
        return dt_error_set(err, "line %d is not JSON: %s", why.line, why.text);
    const char *type = json_string_value(json_object_get(r.root, "model_type"));
    if (type && strcmp(type, "gpt2") == 0) {
        read_gpt2(&r, config);
    } else if (type && strcmp(type, "llama") == 0) {
        read_llama(&r, config);
    } else if (type && strcmp(type, "mixtral") == 0) {
        read_mixtral(&r, config);
    } else {
        dt_error_set(err,
                     "its model_type is \"%s\", and \"gpt2\", \"llama\" or \"mixtral\" is wanted",
                     type ? type : "");
        r.failed = true;
    }
    json_decref(r.root);
    *most = config->seq;
    if (config->family == DT_FAMILY_LLAMA && config->seq > USUAL)
        config->seq = USUAL;
    return r.failed ? -1 : 0;
}
