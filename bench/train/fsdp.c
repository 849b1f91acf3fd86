/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering parameters and scattering gradients around the model's work; see fsdp.h. */
#include "fsdp.h"

#include <stdlib.h>

#include "kernels.h"

enum { PARAMS, GRADS };
enum { ROTATING = 2 };

static void note(struct dt_fsdp *f, int result)
{
    if (result < 0)
        f->failed = true;
}

static void wait_for(struct dt_fsdp *f, uint64_t operation)
{
    if (!f->failed)
        note(f, dt_comm_wait(f->shards, operation, &f->error));
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
        size_t bucket = f->ready[f->forwarded];
        const struct dt_fsdp_part *part = &f->parts[bucket];
        struct dt_comm *replicas = f->replicas[f->own.buckets[bucket].kind];
        if (part->scattered > f->shards->finished)
            return;
        f->forwarded++;
        if (replicas->size > 1)
            note(f, replicas->operations->sum_start(replicas, f->grads + part->offset, part->count,
                                                    DT_COMM_REAL, &f->error));
    }
}

static void poll_replicas(struct dt_fsdp *f)
{
    for (int kind = 0; kind < DT_BUCKET_KINDS && !f->failed; kind++)
        note(f, dt_comm_poll(f->replicas[kind], &f->error));
}

static void move_on(struct dt_fsdp *f)
{
    if (!f->failed)
        note(f, dt_comm_poll(f->shards, &f->error));
    forward_scattered(f);
    poll_replicas(f);
}

static void between(void *context)
{
    struct dt_fsdp *f = context;
    move_on(f);
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
    else
        f->grown[f->grown_count++] = bucket;
    move_on(f);
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
    for (; f->grown_count > 0; f->grown_count--) {
        const struct dt_fsdp_part *part = &f->parts[f->grown[f->grown_count - 1]];
        f->model->blas->kernels->add(f->grads + part->offset, f->added + part->offset, part->count);
    }
}

int dt_fsdp_finish(struct dt_fsdp *f, struct dt_error *err)
{
    wait_for(f, f->shards->started);
    f->last_micro = true;
    forward_scattered(f);
    for (int kind = 0; kind < DT_BUCKET_KINDS && !f->failed; kind++)
        note(f, dt_comm_drain(f->replicas[kind], &f->error));
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

/* Outside the layers there are at most two buckets before them, and two after. */
enum { BEFORE, AFTER = 2, DENSE = 4, EXPERTS = DENSE + ROTATING, MOST_SLOTS = EXPERTS + ROTATING };

/* Layers take turns in a few slots, and their experts in others, as both are wanted at once. Other
 * buckets have their own: they are not laid out like a layer, and would leave their values between its
 * tensors, where the length of the gradient counts what is there. */
static size_t choose_slot(const struct dt_layout *layout, size_t bucket, bool whole)
{
    size_t first = layout->first_layer_bucket,
           of_layers = layout->layer_count * layout->layer_buckets;
    if (whole)
        return bucket;
    if (bucket < first)
        return BEFORE + bucket;
    if (bucket >= first + of_layers)
        return AFTER + bucket - first - of_layers;
    return (layout->buckets[bucket].kind == DT_BUCKET_EXPERTS ? EXPERTS : DENSE) +
           (bucket - first) / layout->layer_buckets % ROTATING;
}

static int take_slots(struct dt_fsdp *f, int kind, bool whole)
{
    const struct dt_layout *layout = &f->model->layout;
    size_t count = whole ? layout->bucket_count : layout->layer_buckets > 1 ? MOST_SLOTS : EXPERTS;
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

static int take_parts(struct dt_fsdp *f)
{
    struct dt_error quiet;
    size_t buckets = f->model->layout.bucket_count;
    f->parts = calloc(buckets, sizeof *f->parts);
    f->ready = calloc(buckets, sizeof *f->ready);
    f->grown = calloc(buckets, sizeof *f->grown);
    if (!f->parts || !f->ready || !f->grown ||
        dt_layout_shard(&f->own, &f->model->layout, f->shards->rank, f->shards->size, &quiet) < 0)
        return -1;
    for (size_t b = 0; b < buckets; b++) {
        f->parts[b].offset = f->own.buckets[b].offset;
        f->parts[b].count = f->own.buckets[b].count;
    }
    return 0;
}

int dt_fsdp_open(struct dt_fsdp *f, const struct dt_mesh *mesh, struct dt_model *model, int zero,
                 bool micro, struct dt_error *err)
{
    struct dt_comm *shards = mesh->shards;
    *f = (struct dt_fsdp){.shards = shards, .model = model, .zero = zero};
    memcpy(f->replicas, mesh->replicas, sizeof f->replicas);
    if (take_parts(f) == 0) {
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
    /* zero 1 and 2 gather what the last step has changed: others still read here and write there */
    if (f->shards && !f->shards->broken)
        wait_for(f, f->shards->started);
    for (size_t s = 0; f->param_slots && s < f->slot_count[PARAMS]; s++)
        dt_memory_free(f->param_slots[s].memory);
    free(f->param_slots);
    free(f->grad_slots);
    dt_memory_free(f->grads);
    dt_memory_free(f->first);
    dt_memory_free(f->second);
    dt_memory_free(f->added);
    free(f->parts);
    free(f->ready);
    free(f->grown);
    dt_layout_fini(&f->own);
    *f = (struct dt_fsdp){0};
}
