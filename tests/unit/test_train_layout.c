/* SPDX-License-Identifier: Apache-2.0 */
/* Parts and shards of the model: together the ranks of a mesh hold every real of every whole tensor,
 * each as many times as there are ranks that should, counted once; and first values are slices of
 * the whole model's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh.h"
#include "layout.h"
#include "reals.h"

static const struct dt_model_config configs[] = {
    {.layers = 5, .channels = 16, .heads = 4, .seq = 8, .vocab = 259},
    {.layers = 4, .channels = 16, .heads = 4, .seq = 8, .vocab = 256, .untied = 1},
    {.layers = 4,
     .channels = 32,
     .heads = 8,
     .kv_heads = 4,
     .seq = 8,
     .vocab = 257,
     .family = DT_FAMILY_LLAMA,
     .hidden = 24,
     .untied = 1},
    {.layers = 6,
     .channels = 32,
     .heads = 4,
     .kv_heads = 4,
     .seq = 8,
     .vocab = 300,
     .family = DT_FAMILY_LLAMA,
     .hidden = 40},
    {.layers = 4, .channels = 16, .heads = 4, .seq = 8, .vocab = 259, .experts = 4},
    {.layers = 4,
     .channels = 32,
     .heads = 4,
     .seq = 8,
     .vocab = 256,
     .family = DT_FAMILY_LLAMA,
     .hidden = 24,
     .untied = 1,
     .experts = 8},
};

#define MESH(DP, FSDP, EP, PP, CP, TP, CHUNKS)                                                     \
    {                                                                                              \
        .dp = (DP), .fsdp = (FSDP), .ep = (EP), .pp = (PP), .cp = (CP), .tp = (TP),                \
        .chunks = (CHUNKS)                                                                         \
    }
static const struct dt_mesh_sizes meshes[] = {
    MESH(1, 1, 1, 1, 1, 1, 1), MESH(1, 1, 1, 1, 1, 2, 1), MESH(1, 1, 1, 1, 1, 4, 1),
    MESH(1, 2, 1, 1, 1, 2, 1), MESH(1, 3, 1, 1, 1, 1, 1), MESH(1, 1, 1, 2, 1, 1, 1),
    MESH(1, 1, 1, 4, 1, 1, 1), MESH(1, 1, 1, 2, 1, 1, 2), MESH(1, 1, 1, 2, 1, 2, 2),
    MESH(2, 2, 1, 2, 1, 2, 1), MESH(1, 5, 1, 1, 1, 4, 1), MESH(2, 1, 2, 1, 2, 1, 1),
    MESH(1, 2, 2, 2, 1, 2, 1), MESH(1, 1, 4, 1, 1, 2, 1), MESH(2, 3, 2, 1, 1, 1, 1),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* How often each real of the whole model is held, and how often it is counted. */
struct tally {
    const struct dt_layout *whole;
    unsigned char *held, *counted;
    const real *values, *all_values; /* first values of this rank, and of the whole */
    size_t runs_end;                 /* in the rank's array, of the runs told so far */
};

static void note(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    struct tally *t = context;
    const struct dt_tensor *all = &t->whole->tensors[tensor->index];
    assert_string_equal(all->name, tensor->name);
    assert_int_equal(all->layer, tensor->layer);
    assert_int_equal(all->decay, tensor->decay);
    assert_true(run->count > 0 && run->there + run->count <= all->count);
    assert_true(run->here >= t->runs_end); /* in order, none twice */
    t->runs_end = run->here + run->count;
    for (size_t i = 0; i < run->count; i++) {
        size_t at = all->offset + run->there + i;
        t->held[at]++;
        t->counted[at] += !tensor->copy;
        if (t->values[run->here + i] != t->all_values[at])
            fail_msg("%s of layer %d: real %zu begins as %g, and %g in the whole", tensor->name,
                     tensor->layer, run->there + i, (double)t->values[run->here + i],
                     (double)t->all_values[at]);
    }
}

static void tally_rank(struct tally *t, const struct dt_model_config *config,
                       const struct dt_mesh_sizes *sizes, int rank)
{
    struct dt_layout layout, own;
    struct dt_error err;
    const struct dt_mesh_sizes at = dt_mesh_at(sizes, rank);
    const struct dt_part part = dt_mesh_part(sizes, &at);
    assert_int_equal(dt_layout_init(&layout, config, &part, &err), 0);
    assert_int_equal(dt_layout_shard(&own, &layout, at.fsdp, sizes->fsdp, &err), 0);
    real *values = dt_reals(own.total);
    dt_layout_first_values(&own, values, 3);
    t->values = values;
    t->runs_end = 0;
    size_t before = 0, after = 0;
    for (size_t i = 0; i < t->whole->total; i++)
        before += t->held[i];
    dt_layout_runs(&own, 0, own.total / 3, note, t); /* a run can be told in two stretches */
    dt_layout_runs(&own, own.total / 3, own.total - own.total / 3, note, t);
    for (size_t i = 0; i < t->whole->total; i++)
        after += t->held[i];
    assert_int_equal(after - before, own.params);
    free(values);
    dt_layout_fini(&own);
    dt_layout_fini(&layout);
}

/* How many ranks should have it: copies, those who share positions, those who share experts; of what
 * is not cut, those of tp; of a tied table on several stages, two of them. */
static int holders(const struct dt_tensor *tensor, const struct dt_model_config *config,
                   const struct dt_mesh_sizes *s)
{
    static const char *const uncut[] = {"norm1.weight",  "norm1.bias",       "norm2.weight",
                                        "norm2.bias",    "norm.weight",      "norm.bias",
                                        "down.bias",     "projection.bias",  "position.table",
                                        "router.weight", "experts.down.bias"};
    const bool expert = strncmp(tensor->name, "experts.", strlen("experts.")) == 0;
    int count = s->dp * (expert ? 1 : s->ep) * s->cp;
    for (size_t i = 0; i < COUNT(uncut); i++)
        count *= strcmp(tensor->name, uncut[i]) == 0 ? s->tp : 1;
    if (strcmp(tensor->name, "token.table") == 0 && !config->untied && s->pp > 1)
        count *= 2;
    return count;
}

static void check(const struct dt_model_config *config, const struct dt_mesh_sizes *sizes)
{
    struct dt_layout whole;
    struct dt_error err;
    assert_int_equal(dt_layout_init(&whole, config, NULL, &err), 0);
    real *values = dt_reals(whole.total);
    struct tally t = {.whole = &whole,
                      .held = calloc(whole.total, 1),
                      .counted = calloc(whole.total, 1),
                      .all_values = values};
    dt_layout_first_values(&whole, values, 3);
    int ranks = dt_mesh_shares(sizes) * sizes->pp * sizes->cp * sizes->tp;
    for (int rank = 0; rank < ranks; rank++)
        tally_rank(&t, config, sizes, rank);
    for (size_t i = 0; i < whole.tensor_count; i++) {
        const struct dt_tensor *tensor = &whole.tensors[i];
        int wanted = holders(tensor, config, sizes);
        for (size_t at = tensor->offset; at < tensor->offset + tensor->count; at++)
            if (t.held[at] != wanted || t.counted[at] != sizes->dp * sizes->cp)
                fail_msg("real %zu of %s of layer %d: held by %d ranks, counted by %d",
                         at - tensor->offset, tensor->name, tensor->layer, t.held[at],
                         t.counted[at]);
    }
    free(values);
    free(t.held);
    free(t.counted);
    dt_layout_fini(&whole);
}

static void test_meshes(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT(configs); c++)
        for (size_t m = 0; m < COUNT(meshes); m++)
            check(&configs[c], &meshes[m]);
}

/* A tied table is cut alike on both ends of a pipeline: it is a bucket of its own. */
static void test_ends(void **state)
{
    (void)state;
    struct dt_layout first, last;
    struct dt_error err;
    assert_int_equal(
        dt_layout_init(&first, &configs[0], &(struct dt_part){.stages = 2, .tp_size = 2}, &err), 0);
    assert_int_equal(dt_layout_init(&last, &configs[0],
                                    &(struct dt_part){.stage = 1, .stages = 2, .tp_size = 2}, &err),
                     0);
    const struct dt_bucket *a = &first.buckets[first.outer_bucket[DT_TOKEN_TABLE]];
    const struct dt_bucket *b = &last.buckets[last.outer_bucket[DT_HEAD]];
    assert_int_equal(a->count, b->count);
    assert_true(a->count < 259 / 2 * 16 + 32);
    assert_int_equal(last.outer[DT_TOKEN_TABLE], DT_NO_TENSOR);
    assert_int_equal(first.outer_bucket[DT_HEAD], DT_NO_TENSOR);
    dt_layout_fini(&first);
    dt_layout_fini(&last);
}

/* Places and numbers of ranks belong together, and tp is fastest. */
static void test_places(void **state)
{
    (void)state;
    const struct dt_mesh_sizes sizes = MESH(2, 3, 2, 2, 2, 4, 1);
    int rank = 0;
    for (int dp = 0; dp < 2; dp++)
        for (int share = 0; share < 6; share++)
            for (int pp = 0; pp < 2; pp++)
                for (int cp = 0; cp < 2; cp++)
                    for (int tp = 0; tp < 4; tp++, rank++) {
                        const struct dt_mesh_sizes at = dt_mesh_at(&sizes, rank);
                        assert_int_equal(at.dp, dp);
                        assert_int_equal(at.fsdp, share / 2);
                        assert_int_equal(at.ep, share % 2);
                        assert_int_equal(at.pp, pp);
                        assert_int_equal(at.cp, cp);
                        assert_int_equal(at.tp, tp);
                        assert_int_equal(dt_mesh_share(&sizes, &at), dp * 6 + share);
                    }
    assert_int_equal(dt_mesh_shares(&sizes), 12);
}

static void refused(struct dt_mesh_sizes sizes, int ranks, const char *sentence)
{
    struct dt_error err;
    assert_int_equal(dt_mesh_fit(&sizes, ranks, &err), -1);
    assert_string_equal(err.text, sentence);
}

static void test_fit(void **state)
{
    (void)state;
    struct dt_error err;
    struct dt_mesh_sizes sizes = {.fsdp = 2, .tp = 2};
    assert_int_equal(dt_mesh_fit(&sizes, 8, &err), 0);
    assert_int_equal(sizes.dp, 2);
    assert_int_equal(sizes.ep * sizes.pp * sizes.cp, 1);
    refused((struct dt_mesh_sizes){.tp = 3, .fsdp = 2}, 8,
            "--dp 1 x --fsdp 2 x --tp 3 is not the number of ranks, 8; the nearest that fits is "
            "--dp 2 --fsdp 2 --tp 2");
    refused((struct dt_mesh_sizes){.dp = 1, .pp = 2, .cp = 2}, 8,
            "--dp 1 x --fsdp 1 x --pp 2 x --cp 2 is not the number of ranks, 8; the nearest that "
            "fits is --dp 2 --fsdp 1 --pp 2 --cp 2");
    refused((struct dt_mesh_sizes){.tp = 1 << 20, .fsdp = 1 << 20, .cp = 1 << 20}, 4,
            "--dp 1 x --fsdp 1048576 x --cp 1048576 x --tp 1048576 is not the number of ranks, 4; "
            "the nearest that fits is --dp 1 --fsdp 1 --tp 4");
}

static void not_cut(struct dt_model_config config, struct dt_part part, const char *sentence)
{
    struct dt_error err;
    dt_config_fill(&config);
    assert_int_equal(dt_part_check(&config, &part, &err), -1);
    assert_string_equal(err.text, sentence);
}

/* Presets with a public model's name have as many parameters as that model has. */
static void test_presets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t params;
    } models[] = {{"gpt2-124m", 124439808},   {"gpt2-355m", 354823168}, {"gpt2-774m", 774030080},
                  {"gpt2-1558m", 1557611200}, {"llama-1b", 1235814400}, {"llama-3b", 3212749824},
                  {"llama-8b", 8030261248}};
    const size_t own = 4; /* tiny, small, llama-tiny, llama-small: of our own */
    size_t count = 0;
    while (dt_preset_at(count))
        count++;
    assert_int_equal(count, own + sizeof models / sizeof *models);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const struct dt_preset *preset = dt_preset_find(models[i].name);
        struct dt_layout layout;
        struct dt_error err;
        assert_non_null(preset);
        struct dt_model_config config = preset->model;
        dt_config_fill(&config);
        assert_int_equal(dt_config_check(&config, &err), 0);
        assert_int_equal(dt_layout_init(&layout, &config, NULL, &err), 0);
        assert_int_equal(layout.params, models[i].params);
        dt_layout_fini(&layout);
    }
}

static void test_cuts(void **state)
{
    (void)state;
    not_cut(configs[0], (struct dt_part){.ep_size = 2},
            "--ep 2 wants --experts N, of which each rank has a share");
    struct dt_model_config mixed = configs[0];
    mixed.experts = 6;
    not_cut(mixed, (struct dt_part){.ep_size = 4},
            "--ep 4 does not divide --experts 6; the nearest that fits is --ep 3");
    not_cut(configs[0], (struct dt_part){.tp_size = 3},
            "--tp 3 does not divide --heads 4; the nearest that fits is --tp 2");
    not_cut(configs[2], (struct dt_part){.tp_size = 8},
            "--tp 8 does not divide --kv-heads 4; the nearest that fits is --tp 4");
    struct dt_model_config odd = configs[0];
    odd.hidden = 63;
    not_cut(odd, (struct dt_part){.tp_size = 2},
            "--tp 2 does not divide --hidden 63; the nearest that fits is --tp 1");
    not_cut(configs[1], (struct dt_part){.stages = 3},
            "--pp 3 does not divide --layers 4; the nearest that fits is --pp 2");
    not_cut(configs[1], (struct dt_part){.stages = 3, .chunks = 2},
            "--pp 3 x --pp-chunks 2 does not divide --layers 4; the nearest that fits is --pp 2 "
            "--pp-chunks 2");
    not_cut(configs[1], (struct dt_part){.stages = 1, .chunks = 3},
            "--pp-chunks 3 does not divide --layers 4; the nearest that fits is --pp-chunks 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meshes),  cmocka_unit_test(test_ends),
        cmocka_unit_test(test_places),  cmocka_unit_test(test_fit),
        cmocka_unit_test(test_presets), cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
