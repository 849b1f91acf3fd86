/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tensors of a part, and pointers from it; see layout.h. Runs and first values are in
 * layout_runs.c. */
#include "layout.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_OUTSIDE = 6, MOST_IN_LAYER = 13, MOST_OUTSIDE_BUCKETS = 4 };

/* The table while it is made: the whole model's tensors go by, and those of the part stay. */
struct making {
    struct dt_layout *layout;
    struct dt_widths here;
    bool held; /* does this part hold what goes by now? */
    bool cut;  /* are products cut at all? */
    size_t index;
};

static struct dt_cut uncut(size_t rows, size_t columns)
{
    return (struct dt_cut){.units = {0, 1},
                           .unit_rows = rows,
                           .rows = {{0, rows}},
                           .row_ranges = 1,
                           .columns = {0, columns}};
}

static size_t cut_size(const struct dt_cut *cut)
{
    size_t rows = 0;
    for (size_t i = 0; i < cut->row_ranges; i++)
        rows += cut->rows[i].count;
    return cut->units.count * rows * cut->columns.count;
}

/* `t` has name, layer, shape, cut and first values. */
static void add_tensor(struct making *m, struct dt_tensor t)
{
    const size_t unit = DT_ALIGN / sizeof(real);
    struct dt_layout *layout = m->layout;
    t.index = m->index++;
    if (!m->held)
        return;
    t.offset = layout->total;
    t.count = cut_size(&t.cut);
    layout->tensors[layout->tensor_count++] = t;
    layout->total += (t.count + unit - 1) / unit * unit;
    layout->params += t.count;
}

static void add_outer(struct making *m, enum dt_outer_tensor which, const struct dt_tensor *t)
{
    if (m->held) {
        m->layout->outer[which] = m->layout->tensor_count;
        m->layout->outer_bucket[which] = m->layout->bucket_count;
    }
    add_tensor(m, *t);
}

/* What the ranks of ep have all alike, the first of them counts. */
static void close_bucket(const struct making *m, enum dt_bucket_kind kind)
{
    struct dt_layout *layout = m->layout;
    size_t offset = 0;
    if (!m->held)
        return;
    if (layout->bucket_count > 0) {
        const struct dt_bucket *last = &layout->buckets[layout->bucket_count - 1];
        offset = last->offset + last->count;
    }
    layout->buckets[layout->bucket_count++] =
        (struct dt_bucket){.offset = offset, .count = layout->total - offset, .kind = kind};
    for (size_t t = layout->tensor_count; t-- > 0 && layout->tensors[t].offset >= offset;)
        layout->tensors[t].copy |= kind == DT_BUCKET_DENSE && layout->part.ep > 0;
}

/* A vector that every rank of a product has: tp 0 counts it. */
static struct dt_tensor vector(const struct making *m, const char *name, int layer, size_t count,
                               double fill)
{
    return (struct dt_tensor){.name = name,
                              .layer = layer,
                              .fill = fill,
                              .rows = count,
                              .columns = 1,
                              .cut = uncut(count, 1),
                              .copy = m->layout->part.tp > 0};
}

static struct dt_tensor matrix(const char *name, int layer, size_t rows, size_t columns,
                               double deviation)
{
    return (struct dt_tensor){.name = name,
                              .layer = layer,
                              .decay = true,
                              .deviation = deviation,
                              .rows = rows,
                              .columns = columns,
                              .cut = uncut(rows, columns)};
}

static bool has_biases(const struct making *m)
{
    return m->layout->config.family == DT_FAMILY_GPT2;
}

static void add_norm(struct making *m, const char *const names[2], int layer)
{
    size_t c = m->here.channels;
    add_tensor(m, vector(m, names[0], layer, c, 1));
    if (has_biases(m))
        add_tensor(m, vector(m, names[1], layer, c, 0));
}

/* A product whose outputs are shared: each rank has rows of the weight, and of the bias. */
static void add_by_rows(struct making *m, const char *const names[2], int layer, size_t rows,
                        const struct dt_cut *cut)
{
    struct dt_tensor weight = matrix(names[0], layer, rows, m->here.channels, 0.02);
    weight.cut = *cut;
    add_tensor(m, weight);
    if (!has_biases(m))
        return;
    struct dt_tensor bias = vector(m, names[1], layer, rows, 0);
    bias.cut = *cut;
    bias.cut.columns = (struct dt_range){0, 1};
    bias.copy = false;
    add_tensor(m, bias);
}

/* A product whose inputs are shared: each rank has columns of the weight; the bias is added to the
 * sum, once. */
static struct dt_tensor by_columns(const struct making *m, const char *name, int layer,
                                   size_t columns, size_t columns_here)
{
    const struct dt_layout *layout = m->layout;
    /* what is added to the residual stream */
    double narrow = 0.02 / sqrt(2.0 * layout->config.layers);
    struct dt_tensor weight = matrix(name, layer, m->here.channels, columns, narrow);
    weight.cut.columns = (struct dt_range){(size_t)layout->part.tp * columns_here, columns_here};
    return weight;
}

static void add_by_columns(struct making *m, const char *const names[2], int layer, size_t columns,
                           size_t columns_here)
{
    add_tensor(m, by_columns(m, names[0], layer, columns, columns_here));
    if (has_biases(m))
        add_tensor(m, vector(m, names[1], layer, m->here.channels, 0));
}

/* Queries, keys and values of this part's heads. */
static struct dt_cut qkv_cut(const struct making *m)
{
    const struct dt_model_config *config = &m->layout->config;
    size_t tp = (size_t)m->layout->part.tp, head = m->here.head;
    size_t queries = m->here.heads * head, keys = m->here.kv_heads * head;
    size_t all_queries = (size_t)config->heads * head, all_keys = (size_t)config->kv_heads * head;
    struct dt_cut cut = uncut(dt_config_qkv(config), m->here.channels);
    if (!m->cut)
        return cut;
    cut.row_ranges = 3;
    cut.rows[0] = (struct dt_range){tp * queries, queries};
    cut.rows[1] = (struct dt_range){all_queries + tp * keys, keys};
    cut.rows[2] = (struct dt_range){all_queries + all_keys + tp * keys, keys};
    return cut;
}

/* Channels before the activation: with a gate, those of the gate and then those of the value. */
static struct dt_cut up_cut(const struct making *m)
{
    const struct dt_model_config *config = &m->layout->config;
    size_t first = (size_t)m->layout->part.tp * m->here.hidden;
    struct dt_cut cut = uncut(dt_config_up(config), m->here.channels);
    if (!m->cut)
        return cut;
    cut.row_ranges = m->here.up / m->here.hidden;
    for (size_t i = 0; i < cut.row_ranges; i++)
        cut.rows[i] = (struct dt_range){i * (size_t)config->hidden + first, m->here.hidden};
    return cut;
}

/* A cut of the experts that are here, each cut as `one` is. */
static struct dt_cut experts_cut(const struct making *m, struct dt_cut one)
{
    one.units = m->here.experts;
    return one;
}

/* The router is in the layer's bucket; the experts, which other ranks hold, in one of their own. */
static void add_experts(struct making *m, int layer)
{
    static const char *const up_names[] = {"experts.up.weight", "experts.up.bias"};
    const struct dt_layout *layout = m->layout;
    size_t experts = (size_t)layout->config.experts, c = m->here.channels;
    struct dt_tensor router = matrix("router.weight", layer, experts, c, 0.02);
    router.copy = layout->part.tp > 0;
    add_tensor(m, router);
    close_bucket(m, DT_BUCKET_DENSE);
    const struct dt_cut up = experts_cut(m, up_cut(m));
    add_by_rows(m, up_names, layer, experts * dt_config_up(&layout->config), &up);
    struct dt_tensor down =
        by_columns(m, "experts.down.weight", layer, (size_t)layout->config.hidden, m->here.hidden);
    down.rows = experts * c;
    down.cut = experts_cut(m, down.cut);
    add_tensor(m, down);
    if (has_biases(m)) {
        struct dt_tensor bias = vector(m, "experts.down.bias", layer, experts * c, 0);
        bias.cut = experts_cut(m, uncut(c, 1));
        add_tensor(m, bias);
    }
    close_bucket(m, DT_BUCKET_EXPERTS);
}

static void add_layer(struct making *m, int layer)
{
    static const char *const names[][2] = {{"norm1.weight", "norm1.bias"},
                                           {"qkv.weight", "qkv.bias"},
                                           {"projection.weight", "projection.bias"},
                                           {"norm2.weight", "norm2.bias"},
                                           {"up.weight", "up.bias"},
                                           {"down.weight", "down.bias"}};
    const struct dt_model_config *config = &m->layout->config;
    const struct dt_cut qkv = qkv_cut(m), up = up_cut(m);
    add_norm(m, names[0], layer);
    add_by_rows(m, names[1], layer, dt_config_qkv(config), &qkv);
    add_by_columns(m, names[2], layer, m->here.channels, m->here.attended);
    add_norm(m, names[3], layer);
    if (config->experts > 0) {
        add_experts(m, layer);
        return;
    }
    add_by_rows(m, names[4], layer, dt_config_up(config), &up);
    add_by_columns(m, names[5], layer, (size_t)config->hidden, m->here.hidden);
    close_bucket(m, DT_BUCKET_DENSE);
}

/* A table with a row a token. */
static struct dt_tensor token_rows(const struct making *m, const char *name)
{
    struct dt_tensor t = matrix(name, -1, (size_t)m->layout->config.vocab, m->here.channels, 0.02);
    t.cut.rows[0] = m->here.vocab;
    return t;
}

/* Is the token table on two stages? */
static bool table_twice(const struct dt_layout *layout)
{
    return !layout->config.untied && dt_part_stages(&layout->part) > 1;
}

static void add_embedding(struct making *m)
{
    const struct dt_model_config *config = &m->layout->config;
    const struct dt_tensor tokens = token_rows(m, "token.table");
    const bool positions = config->family == DT_FAMILY_GPT2;
    add_outer(m, DT_TOKEN_TABLE, &tokens);
    if (positions && !config->untied)
        close_bucket(m, DT_BUCKET_DENSE);
    if (positions) {
        struct dt_tensor places =
            matrix("position.table", -1, (size_t)config->seq, m->here.channels, 0.02);
        places.copy = m->layout->part.tp > 0;
        add_outer(m, DT_POSITION_TABLE, &places);
    }
    close_bucket(m, DT_BUCKET_DENSE);
}

static void add_end(struct making *m)
{
    struct dt_layout *layout = m->layout;
    const struct dt_tensor gain = vector(m, "norm.weight", -1, m->here.channels, 1);
    const struct dt_tensor bias = vector(m, "norm.bias", -1, m->here.channels, 0);
    add_outer(m, DT_NORM_WEIGHT, &gain);
    if (has_biases(m))
        add_outer(m, DT_NORM_BIAS, &bias);
    if (layout->config.untied) {
        const struct dt_tensor head = token_rows(m, "head.weight");
        add_outer(m, DT_HEAD, &head);
    } else if (!table_twice(layout)) {
        layout->outer[DT_HEAD] = layout->outer[DT_TOKEN_TABLE];
        layout->outer_bucket[DT_HEAD] = layout->outer_bucket[DT_TOKEN_TABLE];
    } else {
        close_bucket(m, DT_BUCKET_DENSE);
        struct dt_tensor again = token_rows(m, "token.table");
        again.copy = true;
        m->index = DT_TOKEN_TABLE_INDEX;
        add_outer(m, DT_HEAD, &again);
    }
    close_bucket(m, DT_BUCKET_DENSE);
}

static bool holds_layer(const struct dt_layout *layout, size_t layer)
{
    for (int chunk = 0; chunk < dt_part_chunks(&layout->part); chunk++) {
        const struct dt_range run = dt_part_layers(&layout->config, &layout->part, chunk);
        if (layer >= run.first && layer < run.first + run.count)
            return true;
    }
    return false;
}

int dt_layout_init(struct dt_layout *layout, const struct dt_model_config *config,
                   const struct dt_part *part, struct dt_error *err)
{
    *layout = (struct dt_layout){.config = *config, .part = part ? *part : (struct dt_part){0}};
    dt_config_fill(&layout->config);
    for (int i = 0; i < DT_OUTER_TENSORS; i++)
        layout->outer[i] = layout->outer_bucket[i] = DT_NO_TENSOR;
    layout->layer_count = dt_part_layer_count(&layout->config, &layout->part);
    layout->tensors =
        calloc(MOST_OUTSIDE + MOST_IN_LAYER * layout->layer_count, sizeof *layout->tensors);
    layout->layer_buckets = layout->config.experts > 0 ? 2 : 1;
    layout->buckets = calloc(layout->layer_buckets * layout->layer_count + MOST_OUTSIDE_BUCKETS,
                             sizeof *layout->buckets);
    if (!layout->tensors || !layout->buckets) {
        dt_layout_fini(layout);
        return dt_error_set(err, "no memory for the table of tensors of %d layers", config->layers);
    }
    struct making m = {.layout = layout,
                       .here = dt_part_widths(&layout->config, &layout->part),
                       .cut = dt_part_tp(&layout->part) > 1};
    m.held = dt_part_is_first(&layout->part);
    add_embedding(&m);
    layout->first_in_layer = layout->tensor_count;
    layout->first_layer_bucket = layout->bucket_count;
    for (int layer = 0; layer < config->layers; layer++) {
        m.held = holds_layer(layout, (size_t)layer);
        add_layer(&m, layer);
    }
    layout->layer_tensors = (layout->tensor_count - layout->first_in_layer) / layout->layer_count;
    m.held = dt_part_is_last(&layout->part);
    if (m.held)
        add_end(&m);
    return 0;
}

void dt_layout_fini(struct dt_layout *layout)
{
    free(layout->tensors);
    free(layout->buckets);
    *layout = (struct dt_layout){0};
}

/* The next tensor's place, if the model has it. */
static real *next(const struct dt_tensor **at, real *base, bool there)
{
    return there ? base + (*at)++->offset : NULL;
}

struct dt_layer dt_layout_layer(const struct dt_layout *layout, real *base, int layer)
{
    const bool bias = layout->config.family == DT_FAMILY_GPT2;
    const struct dt_tensor *at =
        layout->tensors + layout->first_in_layer + layout->layer_tensors * (size_t)layer;
    struct dt_layer l;
    l.norm1_weight = next(&at, base, true);
    l.norm1_bias = next(&at, base, bias);
    l.qkv_weight = next(&at, base, true);
    l.qkv_bias = next(&at, base, bias);
    l.projection_weight = next(&at, base, true);
    l.projection_bias = next(&at, base, bias);
    l.norm2_weight = next(&at, base, true);
    l.norm2_bias = next(&at, base, bias);
    l.router_weight = next(&at, base, layout->config.experts > 0);
    l.up_weight = next(&at, base, true);
    l.up_bias = next(&at, base, bias);
    l.down_weight = next(&at, base, true);
    l.down_bias = next(&at, base, bias);
    return l;
}

static real *outer_at(const struct dt_layout *layout, real *base, enum dt_outer_tensor which)
{
    size_t number = layout->outer[which];
    return number == DT_NO_TENSOR ? NULL : base + layout->tensors[number].offset;
}

struct dt_outer dt_layout_outer(const struct dt_layout *layout, real *base)
{
    return (struct dt_outer){.token_table = outer_at(layout, base, DT_TOKEN_TABLE),
                             .position_table = outer_at(layout, base, DT_POSITION_TABLE),
                             .norm_weight = outer_at(layout, base, DT_NORM_WEIGHT),
                             .norm_bias = outer_at(layout, base, DT_NORM_BIAS),
                             .head = outer_at(layout, base, DT_HEAD)};
}
