/* SPDX-License-Identifier: Apache-2.0 */
/* A model that is exported and read again has the same bits, whatever part of it a rank holds; llm.c's
 * files and those in narrow numbers have what they can; and files that do not fit are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "export.h"
#include "import.h"
#include "import_file.h"
#include "public.h"
#include "reals.h"

static char directory[] = "/tmp/dt-train-import-XXXXXX";

static const char *in_directory(const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", directory, name);
    return to;
}

static const struct dt_model_config configs[] = {
    {.layers = 2, .channels = 16, .heads = 4, .seq = 6, .vocab = 31},
    {.layers = 1, .channels = 16, .heads = 2, .seq = 6, .vocab = 31, .untied = 1},
    {.layers = 2,
     .channels = 16,
     .heads = 4,
     .kv_heads = 2,
     .seq = 6,
     .vocab = 31,
     .family = DT_FAMILY_LLAMA,
     .untied = 1},
    {.layers = 1, .channels = 16, .heads = 4, .seq = 6, .vocab = 31, .family = DT_FAMILY_LLAMA},
    {.layers = 2,
     .channels = 16,
     .heads = 4,
     .kv_heads = 2,
     .hidden = 24,
     .seq = 6,
     .vocab = 31,
     .family = DT_FAMILY_LLAMA,
     .untied = 1,
     .experts = 4},
};
enum { CONFIGS = sizeof configs / sizeof *configs };

struct whole {
    struct dt_layout layout;
    real *params;
};

/* Every real has a value of its own, biases and gains, too. */
static struct whole make_model(const struct dt_model_config *config)
{
    struct whole w;
    struct dt_error err;
    assert_int_equal(dt_layout_init(&w.layout, config, NULL, &err), 0);
    w.params = dt_reals(w.layout.total);
    assert_non_null(w.params);
    for (size_t i = 0; i < w.layout.total; i++)
        w.params[i] = (real)i / 1024 - 1;
    return w;
}

static void free_model(struct whole *w)
{
    free(w->params);
    dt_layout_fini(&w->layout);
}

static struct dt_import *open_or_fail(const char *path)
{
    struct dt_import *import;
    struct dt_error err = {""};
    if (dt_import_open(&import, path, &err) < 0)
        fail_msg("%s", err.text);
    return import;
}

/* How far a value may be from what was written. */
typedef real rounding_function(real value);

static real exactly(real value)
{
    return value;
}

struct comparison {
    const struct whole *whole;
    const real *values;
    rounding_function *rounded;
    size_t compared;
};

static void compare_run(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    struct comparison *c = context;
    const struct dt_tensor *whole = &c->whole->layout.tensors[tensor->index];
    for (size_t i = 0; i < run->count; i++) {
        real wanted = c->rounded(c->whole->params[whole->offset + run->there + i]);
        if (c->values[run->here + i] != wanted)
            fail_msg("%s of layer %d, real %zu: %g, and %g is right", tensor->name, tensor->layer,
                     run->there + i, (double)c->values[run->here + i], (double)wanted);
    }
    c->compared += run->count;
}

static void expect_layout(struct dt_import *import, const struct whole *w,
                          const struct dt_layout *own, rounding_function *rounded)
{
    struct dt_error err = {""};
    real *values = dt_reals(own->total);
    assert_non_null(values);
    if (dt_import_values(import, own, values, &err) < 0)
        fail_msg("%s", err.text);
    struct comparison c = {.whole = w, .values = values, .rounded = rounded};
    dt_layout_runs(own, 0, own->total, compare_run, &c);
    assert_int_equal(c.compared, own->params);
    free(values);
}

static void expect_parts(struct dt_import *import, const struct whole *w)
{
    struct dt_error err;
    for (int tp = 0; tp < 2; tp++) {
        struct dt_layout part, shard;
        assert_int_equal(dt_layout_init(&part, &w->layout.config,
                                        &(struct dt_part){.tp = tp, .tp_size = 2}, &err),
                         0);
        expect_layout(import, w, &part, exactly);
        for (int rank = 0; rank < 3; rank++) {
            assert_int_equal(dt_layout_shard(&shard, &part, rank, 3, &err), 0);
            expect_layout(import, w, &shard, exactly);
            dt_layout_fini(&shard);
        }
        dt_layout_fini(&part);
    }
}

static void test_exported(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGS; i++) {
        struct whole w = make_model(&configs[i]);
        struct dt_error err = {""};
        assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
        for (int file = 0; file < 2; file++) {
            struct dt_import *import =
                open_or_fail(file ? in_directory("model.safetensors") : directory);
            assert_memory_equal(dt_import_config(import), &w.layout.config, sizeof w.layout.config);
            assert_int_equal(dt_import_check(import, &w.layout.config, &err), 0);
            expect_layout(import, &w, &w.layout, exactly);
            expect_parts(import, &w);
            dt_import_close(import);
        }
        free_model(&w);
    }
}

/* A shorter context takes the first positions. */
static void test_shorter(void **state)
{
    (void)state;
    struct whole w = make_model(&configs[0]), shorter = {.params = w.params};
    struct dt_model_config config = w.layout.config;
    struct dt_error err;
    assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
    config.seq = 4;
    assert_int_equal(dt_layout_init(&shorter.layout, &config, NULL, &err), 0);
    struct dt_import *import = open_or_fail(directory);
    assert_int_equal(dt_import_check(import, &config, &err), 0);
    expect_layout(import, &w, &shorter.layout, exactly);
    dt_layout_fini(&shorter.layout);
    dt_import_close(import);
    free_model(&w);
}

/* ---- narrow numbers, several files, names without their first word ------------------------------- */

static char *read_whole(const char *path, size_t *length)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, file), *length);
    fclose(file);
    return bytes;
}

static uint16_t upper_half(real value)
{
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static real as_bf16(real value)
{
    uint32_t bits = (uint32_t)upper_half(value) << 16;
    float narrow;
    memcpy(&narrow, &bits, sizeof narrow);
    return (real)narrow;
}

/* Numbers of the models here are multiples of 1/1024 below 8 with 10 bits at most: cut, they are
 * normal halves. */
static uint16_t half_of(real value)
{
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    int exponent = (int)(bits >> 23 & 255) - 112;
    if (exponent <= 0)
        return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | (unsigned)exponent << 10 | (bits >> 13 & 0x3ff));
}

static real as_half(real value)
{
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if ((int)(bits >> 23 & 255) - 112 <= 0)
        return 0;
    bits &= ~UINT32_C(0x1fff);
    memcpy(&narrow, &bits, sizeof narrow);
    return (real)narrow;
}

struct rewrite {
    const char *dtype;
    uint16_t (*narrow)(real value);
    size_t begin, end;   /* of the list of tensors: those that are written */
    const char *cut_off; /* in front of names; "" for none */
};

/* What dt_export has written, otherwise. */
static void rewrite(const char *from, const char *to, const struct rewrite *r)
{
    size_t length;
    char *bytes = read_whole(from, &length);
    uint64_t header;
    struct dt_safetensors s;
    struct dt_buf text = DT_BUF_INIT, data = DT_BUF_INIT;
    memcpy(&header, bytes, sizeof header);
    const char *values = bytes + 8 + header;
    assert_int_equal(dt_safetensors_parse(&s, bytes + 8, (size_t)header, length - 8 - header, NULL),
                     0);
    dt_buf_puts(&text, "{");
    for (size_t i = r->begin; i < r->end && i < s.count; i++) {
        const struct dt_safetensor *t = &s.list[i];
        size_t cut = strlen(r->cut_off), begin = data.len;
        for (uint64_t at = t->begin; at < t->end; at += sizeof(real)) {
            real value;
            memcpy(&value, values + at, sizeof value);
            uint16_t narrow = r->narrow(value);
            dt_buf_append(&data, &narrow, sizeof narrow);
        }
        dt_buf_printf(&text, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%llu", i > r->begin ? "," : "",
                      t->name + (strncmp(t->name, r->cut_off, cut) == 0 ? cut : 0), r->dtype,
                      (unsigned long long)t->shape[0]);
        if (t->dimensions > 1)
            dt_buf_printf(&text, ",%llu", (unsigned long long)t->shape[1]);
        dt_buf_printf(&text, "],\"data_offsets\":[%zu,%zu]}", begin, data.len);
    }
    dt_buf_puts(&text, "}");
    FILE *file = fopen(to, "w");
    assert_non_null(file);
    header = text.len;
    fwrite(&header, sizeof header, 1, file);
    fwrite(text.data, 1, text.len, file);
    fwrite(data.data, 1, data.len, file);
    fclose(file);
    dt_buf_fini(&text);
    dt_buf_fini(&data);
    dt_safetensors_fini(&s);
    free(bytes);
}

static void test_narrow(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGS; i++) {
        struct whole w = make_model(&configs[i]);
        struct dt_error err;
        const bool llama = w.layout.config.family == DT_FAMILY_LLAMA;
        const char *cut = llama ? "" : "transformer.", *path = in_directory("model.safetensors");
        assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
        rewrite(path, in_directory("narrow.safetensors"),
                &(struct rewrite){"BF16", upper_half, 0, SIZE_MAX, cut});
        struct dt_import *import = open_or_fail(in_directory("narrow.safetensors"));
        expect_layout(import, &w, &w.layout, as_bf16);
        dt_import_close(import);
        rewrite(path, in_directory("narrow.safetensors"),
                &(struct rewrite){"F16", half_of, 0, SIZE_MAX, cut});
        import = open_or_fail(in_directory("narrow.safetensors"));
        expect_layout(import, &w, &w.layout, as_half);
        dt_import_close(import);
        free_model(&w);
    }
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_directory(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_several_files(void **state)
{
    (void)state;
    struct whole w = make_model(&configs[2]);
    struct dt_error err;
    assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
    const char *path = in_directory("model.safetensors");
    rewrite(path, in_directory("one.safetensors"), &(struct rewrite){"BF16", upper_half, 0, 7, ""});
    rewrite(path, in_directory("two.safetensors"),
            &(struct rewrite){"BF16", upper_half, 7, SIZE_MAX, ""});
    write_text("model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\","
               "\"c\":\"one.safetensors\"}}");
    struct dt_import *import = open_or_fail(directory);
    expect_layout(import, &w, &w.layout, as_bf16);
    dt_import_close(import);
    free_model(&w);
}

/* ---- llm.c --------------------------------------------------------------------------------------- */

static void write_real(FILE *file, real value, bool narrow)
{
    float single = (float)value;
    uint16_t half = upper_half(value);
    if (narrow)
        fwrite(&half, sizeof half, 1, file);
    else
        fwrite(&single, sizeof single, 1, file);
}

/* In the order of llm.c: each kind of tensor for all layers. `padded` rows of the token table. */
static void write_llmc(const char *name, const struct whole *w, int version, int padded)
{
    static const char *const outside[] = {"token.table", "position.table"};
    static const char *const inside[] = {"norm1.weight", "norm1.bias",        "qkv.weight",
                                         "qkv.bias",     "projection.weight", "projection.bias",
                                         "norm2.weight", "norm2.bias",        "up.weight",
                                         "up.bias",      "down.weight",       "down.bias"};
    static const char *const after[] = {"norm.weight", "norm.bias"};
    const struct dt_model_config *m = &w->layout.config;
    int32_t header[256] = {20240326,  version,  m->seq,      m->vocab,
                           m->layers, m->heads, m->channels, padded};
    const bool narrow = version == 5;
    FILE *file = fopen(in_directory(name), "w");
    assert_non_null(file);
    fwrite(header, sizeof header, 1, file);
    const char *names[16];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++)
        names[count++] = outside[i];
    for (size_t i = 0; i < 12; i++)
        names[count++] = inside[i];
    for (size_t i = 0; i < 2; i++)
        names[count++] = after[i];
    for (size_t n = 0; n < count; n++) {
        for (size_t t = 0; t < w->layout.tensor_count; t++) {
            const struct dt_tensor *tensor = &w->layout.tensors[t];
            if (strcmp(tensor->name, names[n]) != 0)
                continue;
            for (size_t i = 0; i < tensor->count; i++)
                write_real(file, w->params[tensor->offset + i], narrow);
        }
        for (int i = 0; n == 0 && i < (padded - m->vocab) * m->channels; i++)
            write_real(file, 99, narrow);
    }
    fclose(file);
}

static void test_llmc(void **state)
{
    (void)state;
    struct whole w = make_model(&configs[0]);
    write_llmc("gpt2.bin", &w, 3, 32);
    struct dt_import *import = open_or_fail(in_directory("gpt2.bin"));
    assert_memory_equal(dt_import_config(import), &w.layout.config, sizeof w.layout.config);
    expect_layout(import, &w, &w.layout, exactly);
    expect_parts(import, &w);
    dt_import_close(import);
    write_llmc("gpt2.bin", &w, 5, 64);
    import = open_or_fail(in_directory("gpt2.bin"));
    expect_layout(import, &w, &w.layout, as_bf16);
    dt_import_close(import);
    free_model(&w);
}

/* ---- what is refused ----------------------------------------------------------------------------- */

static void refuse(const char *path, const char *why)
{
    struct dt_import *import;
    struct dt_error err = {""};
    assert_int_equal(dt_import_open(&import, path, &err), -1);
    assert_null(import);
    if (!strstr(err.text, why) || !strstr(err.text, "--init"))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void refuse_config(const char *text, const char *why)
{
    write_text("config.json", text);
    refuse(directory, why);
}

#define LLAMA                                                                                      \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":16,"                        \
    "\"num_attention_heads\":4,\"intermediate_size\":64,\"vocab_size\":31,"                        \
    "\"max_position_embeddings\":4096,\"rms_norm_eps\":1e-5"

#define MIXTRAL                                                                                    \
    "{\"model_type\":\"mixtral\",\"num_hidden_layers\":1,\"hidden_size\":16,"                      \
    "\"num_attention_heads\":4,\"intermediate_size\":64,\"vocab_size\":31,"                        \
    "\"max_position_embeddings\":64"

static void test_refused_config(void **state)
{
    (void)state;
    refuse_config("{", "line 1 is not JSON");
    refuse_config("{\"model_type\":\"t5\"}", "\"t5\", and \"gpt2\", \"llama\" or \"mixtral\"");
    refuse_config("{\"model_type\":\"gpt2\",\"n_layer\":0}", "n_layer is not a whole number");
    refuse_config("{\"model_type\":\"gpt2\",\"n_layer\":1}", "it has no n_embd");
    refuse_config(LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\"}}", "rope_scaling");
    refuse_config(LLAMA ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":5e5}}",
                  "rope_scaling");
    refuse_config(LLAMA ",\"hidden_act\":\"gelu\"}", "hidden_act is \"gelu\"");
    refuse_config(LLAMA ",\"attention_bias\":true}", "biases in attention");
    refuse_config(LLAMA ",\"head_dim\":8}", "8 channels each");
    refuse_config(LLAMA ",\"rope_theta\":0.5}", "rope_theta");
    refuse_config(MIXTRAL "}", "it has no num_local_experts");
    refuse_config(MIXTRAL ",\"num_local_experts\":4}", "it has no num_experts_per_tok");
    refuse_config(MIXTRAL
                  ",\"num_local_experts\":4,\"num_experts_per_tok\":2,\"sliding_window\":32}",
                  "sliding_window");
    refuse_config(LLAMA "}", "model.safetensors can not be opened");
    struct dt_model_config config;
    int most;
    const char text[] =
        LLAMA ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5e5}}";
    assert_int_equal(dt_public_config(&config, &most, text, strlen(text), NULL), 0);
    assert_int_equal(config.rope_base, 500000);
    assert_int_equal(most, 4096);
    assert_int_equal(config.seq, 2048);
}

static void test_refused_files(void **state)
{
    (void)state;
    struct whole w = make_model(&configs[0]);
    struct dt_error err;
    const char *path = in_directory("model.safetensors");
    refuse(in_directory("nothing"), "No such file or directory");
    assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
    size_t length;
    free(read_whole(path, &length));
    assert_int_equal(truncate(path, (off_t)length - 1), 0);
    refuse(directory, "may be cut short");
    assert_int_equal(truncate(path, 20), 0);
    refuse(directory, "is cut short");
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../x\"}}");
    refuse(directory, "no file beside it for a");
    write_llmc("gpt2.bin", &w, 4, 32);
    refuse(in_directory("gpt2.bin"), "version 4");
    write_llmc("gpt2.bin", &w, 3, 32);
    path = in_directory("gpt2.bin");
    free(read_whole(path, &length));
    assert_int_equal(truncate(path, (off_t)length - 4), 0);
    refuse(path, "may be cut short");
    free_model(&w);
}

static void test_refused_numbers(void **state)
{
    (void)state;
    const double odd[] = {(double)NAN, -INFINITY};
    for (size_t i = 0; i < 2; i++) {
        struct whole w = make_model(&configs[i]); /* a turned matrix, and one that is not */
        struct dt_error err;
        struct dt_tensor *last = &w.layout.tensors[w.layout.tensor_count - 1];
        w.params[last->offset + last->count - 1] = (real)odd[i];
        assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
        struct dt_import *import = open_or_fail(directory);
        real *values = dt_reals(w.layout.total);
        assert_int_equal(dt_import_values(import, &w.layout, values, &err), -1);
        assert_non_null(strstr(err.text, " of --init holds "));
        assert_non_null(strstr(err.text, i == 0 ? "nan, which is no weight" : "-inf, which is no"));
        dt_import_close(import);
        free(values);
        free_model(&w);
    }
}

/* The files are those of a model, and not of the one that is asked for. */
static void test_refused_sizes(void **state)
{
    (void)state;
    struct whole w = make_model(&configs[0]);
    struct dt_error err;
    assert_int_equal(dt_export(directory, &w.layout, w.params, &err), 0);
    struct dt_import *import = open_or_fail(directory);
    struct dt_model_config config = w.layout.config;
    config.layers = 3;
    assert_int_equal(dt_import_check(import, &config, &err), -1);
    assert_string_equal(err.text, "--layers is 3, and the model of --init has 2; leave it out");
    config = w.layout.config;
    config.seq = 7;
    assert_int_equal(dt_import_check(import, &config, &err), -1);
    assert_non_null(strstr(err.text, "knows 6 positions at most"));
    dt_import_close(import);

    rewrite(in_directory("model.safetensors"), in_directory("narrow.safetensors"),
            &(struct rewrite){"BF16", upper_half, 0, 5, ""}); /* the others are missing */
    import = open_or_fail(in_directory("narrow.safetensors"));
    real *values = dt_reals(w.layout.total);
    assert_int_equal(dt_import_values(import, &w.layout, values, &err), -1);
    assert_non_null(strstr(err.text, "--init has no tensor transformer.h."));
    dt_import_close(import);
    free(values);
    free_model(&w);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int clean(void **state)
{
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "narrow.safetensors",
                                        "one.safetensors",
                                        "two.safetensors",
                                        "gpt2.bin"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_directory(names[i]));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_exported, clean),
        cmocka_unit_test_teardown(test_shorter, clean),
        cmocka_unit_test_teardown(test_narrow, clean),
        cmocka_unit_test_teardown(test_several_files, clean),
        cmocka_unit_test_teardown(test_llmc, clean),
        cmocka_unit_test_teardown(test_refused_config, clean),
        cmocka_unit_test_teardown(test_refused_files, clean),
        cmocka_unit_test_teardown(test_refused_numbers, clean),
        cmocka_unit_test_teardown(test_refused_sizes, clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
