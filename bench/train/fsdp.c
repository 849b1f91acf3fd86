/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering parameters and scattering gradients around the model's work; see fsdp.h. */
#include "fsdp.h"

#include <stdlib.h>

#include "clock.h"

enum { PARAMS, GRADS };
enum { ROTATING = 2 };

static void note(struct dt_fsdp *f, int result)
{
    if (result < 0)
        f->failed = true;
}

static void wait_for(struct dt_fsdp *f, uint64_t operation)
{
    double begin = dt_seconds();
    if (!f->failed)
        note(f, dt_comm_wait(f->shards, operation, &f->error));
    f->waited_s += dt_seconds() - begin;
}

static void start_gather(struct dt_fsdp *f, size_t bucket)
{
    const struct dt_fsdp_part *part = &f->parts[bucket];
    struct dt_fsdp_slot *slot = &f->param_slots[part->param_slot];
    if (slot->bucket == bucket || f->failed)
        return;
    note(f, f->shards->operations->gather_start(f->shards, f->params + part->offset, slot->memory,
                                                part->count, &f->error));
    slot->bucket = bucket;
    slot->operation = f->shards->started;
}

static void params_needed(void *context, size_t bucket, size_t next)
{
    struct dt_fsdp *f = context;
    const struct dt_fsdp_slot *slot = &f->param_slots[f->parts[bucket].param_slot];
    start_gather(f, bucket);
    wait_for(f, slot->operation);
    f->model->param_bases[bucket] = slot->memory - f->model->layout.buckets[bucket].offset;
    if (next != DT_NO_BUCKET)
        start_gather(f, next);
}

static void grads_needed(void *context, size_t bucket)
{
    struct dt_fsdp *f = context;
    struct dt_fsdp_slot *slot = &f->grad_slots[f->parts[bucket].grad_slot];
    wait_for(f, slot->operation); /* what was in it before has been read by all */
    f->model->grad_bases[bucket] = slot->memory - f->model->layout.buckets[bucket].offset;
}

/* Shards that are summed go on to the ranks that hold the same, in the order of the buckets. */
static void forward_scattered(struct dt_fsdp *f)
{
    while (!f->failed && f->last_micro && f->forwarded < f->ready_count) {
        const struct dt_fsdp_part *part = &f->parts[f->ready[f->forwarded]];
        if (part->scattered > f->shards->finished)
            return;
        f->forwarded++;
        if (f->replicas->size > 1)
            note(f, f->replicas->operations->sum_start(f->replicas, f->grads + part->offset,
                                                       part->count, DT_COMM_REAL, &f->error));
    }
}

static void between(void *context)
{
    struct dt_fsdp *f = context;
    if (!f->failed)
        note(f, f->shards->operations->poll(f->shards, &f->error));
    forward_scattered(f);
    if (!f->failed)
        note(f, f->replicas->operations->poll(f->replicas, &f->error));
}

static void bucket_ready(void *context, size_t bucket)
{
    struct dt_fsdp *f = context;
    struct dt_fsdp_part *part = &f->parts[bucket];
    struct dt_fsdp_slot *slot = &f->grad_slots[part->grad_slot];
    if (f->failed)
        return;
    real *sums = f->first_micro ? f->grads : f->added;
    note(f, f->shards->operations->scatter_start(f->shards, slot->memory, sums + part->offset,
                                                 part->count, &f->error));
    slot->operation = part->scattered = f->shards->started;
    if (f->first_micro)
        f->ready[f->ready_count++] = bucket;
    between(f);
}

struct dt_model_hooks dt_fsdp_hooks(struct dt_fsdp *fsdp)
{
    return (struct dt_model_hooks){.params_needed = params_needed,
                                   .grads_needed = grads_needed,
                                   .bucket_ready = bucket_ready,
                                   .between = between,
                                   .context = fsdp};
}

void dt_fsdp_micro_begin(struct dt_fsdp *f, bool first, bool last)
{
    f->first_micro = first;
    f->last_micro = first && last; /* a gradient that grows yet goes on to nobody */
}

void dt_fsdp_micro_end(struct dt_fsdp *f)
{
    if (f->first_micro)
        return;
    wait_for(f, f->shards->started);
    for (size_t i = 0; i < f->own.total; i++)
        f->grads[i] += f->added[i];
}

int dt_fsdp_finish(struct dt_fsdp *f, double *exposed_s, struct dt_error *err)
{
    wait_for(f, f->shards->started);
    f->last_micro = true;
    forward_scattered(f);
    double begin = dt_seconds();
    if (!f->failed)
        note(f, dt_comm_drain(f->replicas, &f->error));
    *exposed_s = f->waited_s + dt_seconds() - begin;
    f->waited_s = 0;
    f->ready_count = f->forwarded = 0;
    if (!f->failed)
        return 0;
    *err = f->error;
    return -1;
}

int dt_fsdp_changed(struct dt_fsdp *f, struct dt_error *err)
{
    wait_for(f, f->shards->started);
    for (size_t s = 0; s < f->slot_count[PARAMS]; s++)
        f->param_slots[s].bucket = DT_NO_BUCKET;
    for (size_t b = 0; f->zero < 3 && b < f->model->layout.bucket_count; b++)
        start_gather(f, b);
    if (!f->failed)
        return 0;
    *err = f->error;
    return -1;
}

/* Layers take turns in a few slots; the first bucket and the last have their own. */
static size_t choose_slot(const struct dt_layout *layout, size_t bucket, bool whole)
{
    if (whole || bucket == 0)
        return bucket;
    return bucket + 1 == layout->bucket_count ? 1 : 2 + bucket % ROTATING;
}

static int take_slots(struct dt_fsdp *f, int kind, bool whole)
{
    const struct dt_layout *layout = &f->model->layout;
    size_t count = whole ? layout->bucket_count : 2 + ROTATING;
    struct dt_fsdp_slot *slots = calloc(count, sizeof *slots);
    if (kind == PARAMS)
        f->param_slots = slots;
    else
        f->grad_slots = slots;
    f->slot_count[kind] = count;
    for (size_t s = 0; s < count && slots; s++) {
        size_t most = 0;
        for (size_t b = 0; b < layout->bucket_count; b++) {
            size_t slot = choose_slot(layout, b, whole);
            *(kind == PARAMS ? &f->parts[b].param_slot : &f->parts[b].grad_slot) = slot;
            most = slot == s && f->parts[b].count > most ? f->parts[b].count : most;
        }
        most *= (size_t)f->shards->size;
        slots[s].bucket = DT_NO_BUCKET;
        /* gradients are read by the others where they are */
        slots[s].memory =
            kind == PARAMS ? dt_reals(most) : f->shards->operations->memory(f->shards, most);
        if (!slots[s].memory)
            return -1;
    }
    return slots ? 0 : -1;
}

/* The tensors as far as they lie in this rank's part of bucket b. */
static void cut_tensors(struct dt_fsdp *f, size_t b)
{
    const struct dt_layout *layout = &f->model->layout;
    const struct dt_fsdp_part *part = &f->parts[b];
    const struct dt_bucket *bucket = &layout->buckets[b];
    size_t begin = bucket->offset + (size_t)f->shards->rank * part->count;
    size_t end = begin + part->count;
    if (end > bucket->offset + bucket->count)
        end = bucket->offset + bucket->count;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        struct dt_tensor cut = layout->tensors[t];
        size_t from = cut.offset > begin ? cut.offset : begin;
        size_t to = cut.offset + cut.count < end ? cut.offset + cut.count : end;
        if (from >= to)
            continue;
        cut.offset = part->offset + (from - begin);
        cut.count = to - from;
        f->own.tensors[f->own.tensor_count++] = cut;
        f->own.params += cut.count;
    }
}

static int cut_layout(struct dt_fsdp *f)
{
    const struct dt_layout *layout = &f->model->layout;
    const size_t unit = DT_ALIGN / sizeof(real), size = (size_t)f->shards->size;
    f->parts = calloc(layout->bucket_count, sizeof *f->parts);
    f->ready = calloc(layout->bucket_count, sizeof *f->ready);
    /* a tensor is in one bucket, so it is cut at most once a rank */
    f->own.tensors = calloc(layout->tensor_count, sizeof *f->own.tensors);
    if (!f->parts || !f->ready || !f->own.tensors)
        return -1;
    for (size_t b = 0; b < layout->bucket_count; b++) {
        size_t share = (layout->buckets[b].count + size - 1) / size;
        f->parts[b].offset = f->own.total;
        f->parts[b].count = (share + unit - 1) / unit * unit;
        f->own.total += f->parts[b].count;
        cut_tensors(f, b);
    }
    return 0;
}

int dt_fsdp_open(struct dt_fsdp *f, struct dt_comm *shards, struct dt_comm *replicas,
                 struct dt_model *model, int zero, bool micro, struct dt_error *err)
{
    *f = (struct dt_fsdp){.shards = shards, .replicas = replicas, .model = model, .zero = zero};
    if (cut_layout(f) == 0) {
        f->params = shards->operations->memory(shards, f->own.total);
        f->grads = dt_reals(f->own.total);
        f->first = dt_reals(f->own.total);
        f->second = dt_reals(f->own.total);
        f->added = micro ? dt_reals(f->own.total) : NULL;
        if (f->params && (f->added || !micro) && f->grads && f->first && f->second &&
            take_slots(f, PARAMS, zero < 3) == 0 && take_slots(f, GRADS, zero < 2) == 0)
            return 0;
    }
    return dt_comm_break(shards, err,
                         "no memory for a share of the model: 4 x %zu MiB, and whole layers",
                         f->own.total * sizeof(real) >> 20);
}

void dt_fsdp_close(struct dt_fsdp *f)
{
    for (size_t s = 0; f->param_slots && s < f->slot_count[PARAMS]; s++)
        free(f->param_slots[s].memory);
    free(f->param_slots);
    free(f->grad_slots);
    free(f->grads);
    free(f->first);
    free(f->second);
    free(f->added);
    free(f->parts);
    free(f->ready);
    free(f->own.tensors);
    *f = (struct dt_fsdp){0};
}

/* What of a whole bucket is this rank's. */
static void take_part(const struct dt_fsdp *f, size_t b, real *own, const real *whole)
{
    const struct dt_fsdp_part *part = &f->parts[b];
    memcpy(own + part->offset, whole + (size_t)f->shards->rank * part->count,
           part->count * sizeof *own);
}

/* A slot of bucket b as work space; what it held is forgotten. */
static real *borrow(struct dt_fsdp *f, size_t b)
{
    struct dt_fsdp_slot *slot = &f->param_slots[f->parts[b].param_slot];
    wait_for(f, f->shards->started);
    slot->bucket = DT_NO_BUCKET;
    return slot->memory;
}

void dt_fsdp_first_values(struct dt_fsdp *f, unsigned long long seed)
{
    const struct dt_layout *layout = &f->model->layout;
    for (size_t b = 0; b < layout->bucket_count; b++) {
        real *whole = borrow(f, b);
        memset(whole, 0, f->parts[b].count * (size_t)f->shards->size * sizeof *whole);
        dt_layout_first_bucket(layout, b, whole, seed);
        take_part(f, b, f->params, whole);
    }
}

int dt_fsdp_collect(struct dt_fsdp *f, const real *own, real *whole, struct dt_error *err)
{
    const struct dt_layout *layout = &f->model->layout;
    for (size_t b = 0; b < layout->bucket_count; b++) {
        real *all = borrow(f, b);
        if (f->shards->operations->gather_start(f->shards, own + f->parts[b].offset, all,
                                                f->parts[b].count, err) < 0 ||
            dt_comm_drain(f->shards, err) < 0)
            return -1;
        if (whole)
            memcpy(whole + layout->buckets[b].offset, all, layout->buckets[b].count * sizeof *all);
    }
    return 0;
}

int dt_fsdp_spread(struct dt_fsdp *f, real *own, const real *whole, struct dt_error *err)
{
    const struct dt_layout *layout = &f->model->layout;
    for (size_t b = 0; b < layout->bucket_count; b++) {
        real *all = borrow(f, b);
        size_t bytes = layout->buckets[b].count * sizeof *all;
        if (whole)
            memcpy(all, whole + layout->buckets[b].offset, bytes);
        if (f->shards->operations->broadcast(f->shards, all, bytes, 0, err) < 0)
            return -1;
        take_part(f, b, own, all);
    }
    return 0;
}
