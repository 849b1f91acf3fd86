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
#include "public.h"

#ifdef DT_TRAIN_DOUBLE
#define DTYPE "F64"
#else
#define DTYPE "F32"
#endif

/* What is written: where each public tensor is in the array of the whole model. */
struct pieces {
    struct dt_public_tensor *list;
    size_t count;
    const struct dt_layout *layout;
    const real *params;
};

static size_t columns_of(const struct dt_public_tensor *t)
{
    return t->columns > 0 ? t->columns : 1;
}

static char *header_text(const struct pieces *p)
{
    struct dt_buf text = DT_BUF_INIT;
    size_t at = 0, length = 0;
    dt_buf_printf(&text, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < p->count; i++) {
        const struct dt_public_tensor *t = &p->list[i];
        size_t bytes = t->rows * columns_of(t) * sizeof(real);
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

static int write_piece(FILE *file, const struct pieces *p, const struct dt_public_tensor *t)
{
    const real *values = p->params + p->layout->tensors[t->index].offset + t->first;
    size_t columns = columns_of(t);
    if (!t->turned)
        return fwrite(values, columns * sizeof(real), t->rows, file) == t->rows ? 0 : -1;
    for (size_t column = 0; column < columns; column++)
        for (size_t row = 0; row < t->rows; row++)
            if (fwrite(values + row * columns + column, sizeof(real), 1, file) != 1)
                return -1;
    return 0;
}

static int write_tensors(FILE *file, const struct dt_layout *layout, real *params)
{
    struct pieces pieces = {.layout = layout, .params = params};
    int rc = -1;
    char *header = NULL;
    pieces.list = dt_public_tensors(layout, &pieces.count);
    if (!pieces.list || !(header = header_text(&pieces)))
        goto out;
    uint64_t length = strlen(header);
    if (fwrite(&length, sizeof length, 1, file) != 1 || fputs(header, file) < 0)
        goto out;
    rc = 0;
    for (size_t i = 0; rc == 0 && i < pieces.count; i++)
        rc = write_piece(file, &pieces, &pieces.list[i]);
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
                "{\"architectures\":[\"%s\"],\"model_type\":\"%s\","
                "\"num_hidden_layers\":%d,\"hidden_size\":%d,\"num_attention_heads\":%d,"
                "\"num_key_value_heads\":%d,\"intermediate_size\":%d,"
                "\"max_position_embeddings\":%d,\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-05,"
                "\"rope_theta\":%d,\"attention_bias\":false,\"mlp_bias\":false,",
                m->experts > 0 ? "MixtralForCausalLM" : "LlamaForCausalLM",
                m->experts > 0 ? "mixtral" : "llama", m->layers, m->channels, m->heads, m->kv_heads,
                m->hidden, m->seq, m->rope_base);
    if (m->experts > 0)
        fprintf(file,
                "\"num_local_experts\":%d,\"num_experts_per_tok\":%d,"
                "\"router_aux_loss_coef\":%g,\"sliding_window\":null,",
                m->experts, m->experts_per_token, m->experts_balance);
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
