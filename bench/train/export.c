/* SPDX-License-Identifier: Apache-2.0 */
/* Writing config.json and model.safetensors; see export.h. A safetensors file is the length of a
 * JSON header (64 bits, little endian), the header, and the tensors' bytes one after another. */
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#ifdef DT_TRAIN_DOUBLE
#define DTYPE "F64"
#else
#define DTYPE "F32"
#endif

/* One tensor of the file. */
struct piece {
    char name[80];
    const real *values;
    size_t rows, columns; /* as they lie here; columns 0: a vector */
    bool turned;          /* the file has it transposed (GPT-2's Conv1D) */
};

struct pieces {
    struct piece *list;
    size_t count;
};

static void add(struct pieces *p, int layer, const char *name, const real *values, size_t rows,
                size_t columns, bool turned)
{
    struct piece *piece = &p->list[p->count];
    if (!values)
        return;
    *piece = (struct piece){
        .values = values, .rows = rows, .columns = columns, .turned = turned && columns > 0};
    if (layer < 0)
        snprintf(piece->name, sizeof piece->name, "%s", name);
    else
        snprintf(piece->name, sizeof piece->name, name, layer);
    p->count++;
}

static void add_gpt2(struct pieces *p, const struct dt_model_config *m, const struct dt_layer *l,
                     int layer)
{
    size_t c = (size_t)m->channels, hidden = (size_t)m->hidden, qkv = dt_config_qkv(m);
    add(p, layer, "transformer.h.%d.ln_1.weight", l->norm1_weight, c, 0, false);
    add(p, layer, "transformer.h.%d.ln_1.bias", l->norm1_bias, c, 0, false);
    add(p, layer, "transformer.h.%d.attn.c_attn.weight", l->qkv_weight, qkv, c, true);
    add(p, layer, "transformer.h.%d.attn.c_attn.bias", l->qkv_bias, qkv, 0, false);
    add(p, layer, "transformer.h.%d.attn.c_proj.weight", l->projection_weight, c, c, true);
    add(p, layer, "transformer.h.%d.attn.c_proj.bias", l->projection_bias, c, 0, false);
    add(p, layer, "transformer.h.%d.ln_2.weight", l->norm2_weight, c, 0, false);
    add(p, layer, "transformer.h.%d.ln_2.bias", l->norm2_bias, c, 0, false);
    add(p, layer, "transformer.h.%d.mlp.c_fc.weight", l->up_weight, hidden, c, true);
    add(p, layer, "transformer.h.%d.mlp.c_fc.bias", l->up_bias, hidden, 0, false);
    add(p, layer, "transformer.h.%d.mlp.c_proj.weight", l->down_weight, c, hidden, true);
    add(p, layer, "transformer.h.%d.mlp.c_proj.bias", l->down_bias, c, 0, false);
}

/* Queries, keys and values are three tensors there, and so are gate and value two. */
static void add_llama(struct pieces *p, const struct dt_model_config *m, const struct dt_layer *l,
                      int layer)
{
    size_t c = (size_t)m->channels, hidden = (size_t)m->hidden;
    size_t keys = dt_config_head(m) * (size_t)m->kv_heads;
    const real *q = l->qkv_weight, *k = q + c * c, *v = k + keys * c;
    add(p, layer, "model.layers.%d.input_layernorm.weight", l->norm1_weight, c, 0, false);
    add(p, layer, "model.layers.%d.self_attn.q_proj.weight", q, c, c, false);
    add(p, layer, "model.layers.%d.self_attn.k_proj.weight", k, keys, c, false);
    add(p, layer, "model.layers.%d.self_attn.v_proj.weight", v, keys, c, false);
    add(p, layer, "model.layers.%d.self_attn.o_proj.weight", l->projection_weight, c, c, false);
    add(p, layer, "model.layers.%d.post_attention_layernorm.weight", l->norm2_weight, c, 0, false);
    add(p, layer, "model.layers.%d.mlp.gate_proj.weight", l->up_weight, hidden, c, false);
    add(p, layer, "model.layers.%d.mlp.up_proj.weight", l->up_weight + hidden * c, hidden, c,
        false);
    add(p, layer, "model.layers.%d.mlp.down_proj.weight", l->down_weight, c, hidden, false);
}

static int list_pieces(struct pieces *p, const struct dt_layout *layout, real *params)
{
    const struct dt_model_config *m = &layout->config;
    const struct dt_outer o = dt_layout_outer(layout, params);
    const bool llama = m->family == DT_FAMILY_LLAMA;
    size_t c = (size_t)m->channels, vocab = (size_t)m->vocab;
    p->count = 0;
    p->list = calloc(5 + 12 * (size_t)m->layers, sizeof *p->list);
    if (!p->list)
        return -1;
    add(p, -1, llama ? "model.embed_tokens.weight" : "transformer.wte.weight", o.token_table, vocab,
        c, false);
    add(p, -1, "transformer.wpe.weight", o.position_table, (size_t)m->seq, c, false);
    for (int layer = 0; layer < m->layers; layer++) {
        const struct dt_layer l = dt_layout_layer(layout, params, layer);
        (llama ? add_llama : add_gpt2)(p, m, &l, layer);
    }
    add(p, -1, llama ? "model.norm.weight" : "transformer.ln_f.weight", o.norm_weight, c, 0, false);
    add(p, -1, "transformer.ln_f.bias", o.norm_bias, c, 0, false);
    if (m->untied)
        add(p, -1, "lm_head.weight", o.head, vocab, c, false);
    return 0;
}

static char *header_text(const struct pieces *p)
{
    struct dt_buf text = DT_BUF_INIT;
    size_t at = 0, length = 0;
    dt_buf_printf(&text, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < p->count; i++) {
        const struct piece *t = &p->list[i];
        size_t bytes = t->rows * (t->columns ? t->columns : 1) * sizeof(real);
        dt_buf_printf(&text, ",\"%s\":{\"dtype\":\"" DTYPE "\",\"shape\":[%zu", t->name,
                      t->turned ? t->columns : t->rows);
        if (t->columns)
            dt_buf_printf(&text, ",%zu", t->turned ? t->rows : t->columns);
        dt_buf_printf(&text, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    dt_buf_printf(&text, "}");
    char *made = dt_buf_take(&text);
    if (made)
        length = strlen(made);
    char *padded = made ? realloc(made, (length + 8) / 8 * 8 + 8) : NULL;
    if (!padded) {
        free(made);
        return NULL;
    }
    for (; length % 8; length++) /* so that the numbers are aligned */
        padded[length] = ' ';
    padded[length] = '\0';
    return padded;
}

static int write_piece(FILE *file, const struct piece *t)
{
    size_t columns = t->columns ? t->columns : 1;
    if (!t->turned)
        return fwrite(t->values, columns * sizeof(real), t->rows, file) == t->rows ? 0 : -1;
    for (size_t column = 0; column < columns; column++)
        for (size_t row = 0; row < t->rows; row++)
            if (fwrite(t->values + row * columns + column, sizeof(real), 1, file) != 1)
                return -1;
    return 0;
}

static int write_tensors(FILE *file, const struct dt_layout *layout, real *params)
{
    struct pieces pieces;
    int rc = -1;
    char *header = NULL;
    if (list_pieces(&pieces, layout, params) < 0 || !(header = header_text(&pieces)))
        goto out;
    uint64_t length = strlen(header);
    if (fwrite(&length, sizeof length, 1, file) != 1 || fputs(header, file) < 0)
        goto out;
    rc = 0;
    for (size_t i = 0; rc == 0 && i < pieces.count; i++)
        rc = write_piece(file, &pieces.list[i]);
out:
    free(header);
    free(pieces.list);
    return rc;
}

static int write_config(FILE *file, const struct dt_layout *layout, real *params)
{
    const struct dt_model_config *m = &layout->config;
    const char *tied = m->untied ? "false" : "true";
    (void)params;
    if (m->family == DT_FAMILY_GPT2)
        fprintf(file,
                "{\"architectures\":[\"GPT2LMHeadModel\"],\"model_type\":\"gpt2\",\"n_layer\":%d,"
                "\"n_embd\":%d,\"n_head\":%d,\"n_inner\":%d,\"n_positions\":%d,\"n_ctx\":%d,"
                "\"activation_function\":\"gelu_new\",\"layer_norm_epsilon\":1e-05,",
                m->layers, m->channels, m->heads, m->hidden, m->seq, m->seq);
    else
        fprintf(file,
                "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
                "\"num_hidden_layers\":%d,\"hidden_size\":%d,\"num_attention_heads\":%d,"
                "\"num_key_value_heads\":%d,\"intermediate_size\":%d,"
                "\"max_position_embeddings\":%d,\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-05,"
                "\"rope_theta\":%d,\"attention_bias\":false,\"mlp_bias\":false,",
                m->layers, m->channels, m->heads, m->kv_heads, m->hidden, m->seq, m->rope_base);
    return fprintf(file,
                   "\"vocab_size\":%d,\"tie_word_embeddings\":%s,\"bos_token_id\":null,"
                   "\"eos_token_id\":null,\"torch_dtype\":\"float%zu\"}\n",
                   m->vocab, tied, 8 * sizeof(real)) < 0
               ? -1
               : 0;
}

static int write_file(const char *directory, const char *name,
                      int (*content)(FILE *file, const struct dt_layout *layout, real *params),
                      const struct dt_layout *layout, real *params, struct dt_error *err)
{
    char *path = NULL, *unfinished = NULL;
    int rc = -1;
    if (asprintf(&path, "%s/%s", directory, name) < 0 ||
        asprintf(&unfinished, "%s/%s.writing", directory, name) < 0)
        return dt_error_set(err, "no memory for the name of %s", name);
    FILE *file = fopen(unfinished, "we");
    bool bad =
        !file || content(file, layout, params) < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0;
    int why = errno;
    if (file && fclose(file) != 0 && !bad) {
        bad = true;
        why = errno;
    }
    if (bad || rename(unfinished, path) < 0) {
        dt_error_set(err, "%s can not be written: %s", path, strerror(bad ? why : errno));
        unlink(unfinished);
    } else {
        rc = 0;
    }
    free(path);
    free(unfinished);
    return rc;
}

int dt_export_check(const struct dt_model_config *config, struct dt_error *err)
{
    if (config->family == DT_FAMILY_GPT2 && config->kv_heads != config->heads)
        return dt_error_set(err,
                            "--export knows no public model of the family gpt2 with --kv-heads %d "
                            "of %d; take as many, or --family llama",
                            config->kv_heads, config->heads);
    return 0;
}

int dt_export_prepare(const char *directory, struct dt_error *err)
{
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return dt_error_set(err, "--export directory %s can not be made: %s", directory,
                            strerror(errno));
    if (access(directory, W_OK | X_OK) < 0)
        return dt_error_set(err, "--export directory %s can not be written: %s", directory,
                            strerror(errno));
    return 0;
}

int dt_export(const char *directory, const struct dt_layout *layout, real *params,
              struct dt_error *err)
{
    if (write_file(directory, "model.safetensors", write_tensors, layout, params, err) < 0)
        return -1;
    return write_file(directory, "config.json", write_config, layout, params, err);
}
