/* SPDX-License-Identifier: Apache-2.0 */
/* Where a rank's reals lie in whole tensors: shards of a layout, runs, and first values by them; see
 * layout.h. */
#include <stdlib.h>

#include "layout.h"
#include "rng.h"

/* The tensors as far as they lie in this rank's share of bucket b, which begins at `begin`. */
static void cut_bucket(struct dt_layout *own, const struct dt_layout *layout, size_t b,
                       size_t begin)
{
    const struct dt_bucket *bucket = &layout->buckets[b], *share = &own->buckets[b];
    size_t end = begin + share->count;
    if (end > bucket->offset + bucket->count)
        end = bucket->offset + bucket->count;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        struct dt_tensor cut = layout->tensors[t];
        size_t from = cut.offset > begin ? cut.offset : begin;
        size_t to = cut.offset + cut.count < end ? cut.offset + cut.count : end;
        if (from >= to)
            continue;
        cut.first += from - cut.offset;
        cut.offset = share->offset + (from - begin);
        cut.count = to - from;
        own->tensors[own->tensor_count++] = cut;
        own->params += cut.count;
    }
}

int dt_layout_shard(struct dt_layout *own, const struct dt_layout *layout, int rank, int size,
                    struct dt_error *err)
{
    const size_t unit = DT_ALIGN / sizeof(real), ranks = (size_t)size;
    *own = (struct dt_layout){.config = layout->config, .part = layout->part};
    for (int i = 0; i < DT_OUTER_TENSORS; i++)
        own->outer[i] = own->outer_bucket[i] =
            DT_NO_TENSOR; /* pieces are no tensors to compute with */
    /* a tensor is in one bucket, so it is cut at most once a rank */
    own->tensors = calloc(layout->tensor_count, sizeof *own->tensors);
    own->buckets = calloc(layout->bucket_count, sizeof *own->buckets);
    if (!own->tensors || !own->buckets) {
        dt_layout_fini(own);
        return dt_error_set(err, "no memory for the table of %zu tensors", layout->tensor_count);
    }
    for (size_t b = 0; b < layout->bucket_count; b++) {
        const struct dt_bucket *bucket = &layout->buckets[b];
        size_t share = ((bucket->count + ranks - 1) / ranks + unit - 1) / unit * unit;
        own->buckets[own->bucket_count++] =
            (struct dt_bucket){.offset = own->total, .count = share, .kind = bucket->kind};
        own->total += share;
        cut_bucket(own, layout, b, bucket->offset + (size_t)rank * share);
    }
    return 0;
}

/* A stretch of a tensor, counted from the first real of its cut, that is told in runs. */
struct telling {
    const struct dt_tensor *tensor;
    size_t begin, end;
    dt_run_function *function;
    void *context;
};

/* Tell what of `count` reals from real `at` of the cut, which are consecutive in the whole tensor
 * from `there`, is in the stretch. */
static void tell(const struct telling *t, size_t at, size_t there, size_t count)
{
    size_t from = at > t->begin ? at : t->begin;
    size_t to = at + count < t->end ? at + count : t->end;
    if (from < to)
        t->function(t->context, t->tensor,
                    &(struct dt_run){.here = t->tensor->offset + (from - t->tensor->first),
                                     .there = there + (from - at),
                                     .count = to - from});
}

static void tell_rows(const struct telling *t, size_t at, size_t first_row, size_t rows)
{
    const struct dt_range columns = t->tensor->cut.columns;
    size_t width = t->tensor->columns, there = first_row * width + columns.first;
    if (columns.count == width) {
        tell(t, at, there, rows * width);
        return;
    }
    /* not from row 0 on where the stretch begins late */
    size_t row = t->begin > at ? (t->begin - at) / columns.count : 0;
    for (; row < rows && at + row * columns.count < t->end; row++)
        tell(t, at + row * columns.count, there + row * width, columns.count);
}

void dt_tensor_runs(const struct dt_tensor *tensor, size_t from, size_t count,
                    dt_run_function *function, void *context)
{
    const struct dt_cut *cut = &tensor->cut;
    const struct telling t = {.tensor = tensor,
                              .begin = tensor->first + from,
                              .end = tensor->first + from + count,
                              .function = function,
                              .context = context};
    size_t at = 0;
    for (size_t unit = cut->units.first; unit < cut->units.first + cut->units.count; unit++) {
        for (size_t i = 0; i < cut->row_ranges; i++) {
            const struct dt_range *rows = &cut->rows[i];
            size_t reals = rows->count * cut->columns.count;
            if (at < t.end && at + reals > t.begin)
                tell_rows(&t, at, unit * cut->unit_rows + rows->first, rows->count);
            at += reals;
        }
    }
}

void dt_layout_runs(const struct dt_layout *layout, size_t from, size_t count,
                    dt_run_function *function, void *context)
{
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct dt_tensor *t = &layout->tensors[i];
        size_t begin = t->offset > from ? t->offset : from, end = t->offset + t->count;
        end = end < from + count ? end : from + count;
        if (begin < end)
            dt_tensor_runs(t, begin - t->offset, end - begin, function, context);
    }
}

struct filling {
    real *params;
    unsigned long long seed;
};

static void fill(void *context, const struct dt_tensor *tensor, const struct dt_run *run)
{
    const struct filling *f = context;
    real *values = f->params + run->here;
    if (tensor->deviation > 0) {
        dt_rng_fill(values, run->there, run->count, tensor->deviation, f->seed, tensor->index);
        return;
    }
    for (size_t i = 0; i < run->count; i++)
        values[i] = (real)tensor->fill;
}

void dt_layout_first_values(const struct dt_layout *layout, real *params, unsigned long long seed)
{
    dt_layout_runs(layout, 0, layout->total, fill, &(struct filling){params, seed});
}
