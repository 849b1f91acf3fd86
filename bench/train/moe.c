/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to the experts that they chose, and back; see moe.h. */
#include "moe.h"

#include <stdlib.h>

#include "kernels.h"
#include "reals.h"

struct dt_moe_shape dt_moe_shape_of(const struct dt_model_config *c, const struct dt_widths *here)
{
    return (struct dt_moe_shape){.experts = (size_t)c->experts,
                                 .chosen = (size_t)c->experts_per_token,
                                 .first = here->experts.first,
                                 .own = here->experts.count,
                                 .channels = here->channels,
                                 .hidden = here->hidden,
                                 .seq = (size_t)c->seq,
                                 .gated = c->family == DT_FAMILY_LLAMA,
                                 .balance = c->experts_balance};
}

static size_t up_width(const struct dt_moe_shape *s)
{
    return s->hidden * (s->gated ? 2 : 1);
}

static int no_memory(size_t rows, struct dt_error *err)
{
    return dt_error_set(err,
                        "no memory for the %zu rows that chose the experts of one rank; take a "
                        "smaller --micro-batch, or more ranks with --ep",
                        rows);
}

static int need_room(struct dt_moe_room *room, size_t count)
{
    if (room->count >= count)
        return 0;
    dt_memory_free(room->at);
    room->count = count + count / 8; /* the next batch brings other numbers */
    room->at = dt_reals(room->count);
    if (room->at)
        return 0;
    room->count = 0;
    return -1;
}

int dt_moe_init(struct dt_moe *moe, const struct dt_moe_shape *s, size_t max_rows,
                const struct dt_blas *blas, struct dt_error *err)
{
    *moe = (struct dt_moe){.shape = *s, .blas = blas, .max_rows = max_rows};
    size_t places = max_rows * s->chosen;
    moe->memory = dt_reals(max_rows * s->experts + places * (s->channels + 1));
    moe->runs = calloc(4 * s->experts, sizeof *moe->runs);
    if (!moe->memory || !moe->runs) {
        dt_moe_fini(moe);
        return no_memory(max_rows, err);
    }
    moe->router = moe->memory;
    moe->rows = moe->router + max_rows * s->experts;
    return 0;
}

void dt_moe_fini(struct dt_moe *moe)
{
    dt_memory_free(moe->memory);
    dt_memory_free(moe->room.at);
    free(moe->runs);
    *moe = (struct dt_moe){0};
}

int dt_moe_kept_init(struct dt_moe_kept *k, const struct dt_moe *moe, struct dt_error *err)
{
    const struct dt_moe_shape *s = &moe->shape;
    size_t rows = moe->max_rows, places = rows * s->chosen;
    *k = (struct dt_moe_kept){0};
    k->memory = dt_reals(2 * rows * s->experts + places * (s->channels + 1));
    k->choice = dt_memory(places * sizeof *k->choice);
    k->slot = dt_memory(places * sizeof *k->slot);
    k->counts = calloc(s->experts * s->experts, sizeof *k->counts); /* ranks <= experts */
    if (!k->memory || !k->choice || !k->slot || !k->counts) {
        dt_moe_kept_fini(k);
        return no_memory(rows, err);
    }
    k->probability = k->memory;
    k->pull = k->probability + rows * s->experts; /* a sequence has at least one row */
    k->weight = k->pull + rows * s->experts;
    k->answer = k->weight + places;
    return 0;
}

void dt_moe_kept_fini(struct dt_moe_kept *k)
{
    dt_memory_free(k->memory);
    dt_memory_free(k->choice);
    dt_memory_free(k->slot);
    free(k->counts);
    dt_memory_free(k->came.at);
    *k = (struct dt_moe_kept){0};
}

/* How many rows of each sequence chose each expert makes what the balance pulls at its probability;
 * a sequence's other rows are on the ranks of `context`. */
static int find_pull(struct dt_moe *moe, struct dt_moe_kept *k, size_t sequences, size_t time,
                     struct dt_error *err)
{
    const struct dt_moe_shape *s = &moe->shape;
    size_t places = sequences * time * s->chosen;
    memset(k->pull, 0, sequences * s->experts * sizeof *k->pull);
    for (size_t i = 0; i < places; i++)
        k->pull[i / (time * s->chosen) * s->experts + (size_t)k->choice[i]] += 1;
    if (dt_comm_sum(moe->context, k->pull, sequences * s->experts, DT_COMM_REAL, err) < 0 ||
        moe->blas->kernels->wait(err) < 0)
        return -1;
    real factor = (real)(s->balance * (double)s->experts / (double)(s->chosen * s->seq));
    for (size_t i = 0; i < sequences * s->experts; i++)
        k->pull[i] *= factor;
    return 0;
}

static void add_balance(struct dt_moe *moe, const struct dt_moe_kept *k, size_t rows, size_t time)
{
    const struct dt_moe_shape *s = &moe->shape;
    if (moe->tensor->rank > 0)
        return; /* the same rows are there, and counted */
    for (size_t row = 0; row < rows; row++)
        for (size_t e = 0; e < s->experts; e++)
            moe->loss += (double)k->pull[row / time * s->experts + e] *
                         (double)k->probability[row * s->experts + e];
}

/* Rows sorted by expert, those of one expert in their order; the counts of all ranks. */
static int find_slots(struct dt_moe *moe, struct dt_moe_kept *k, size_t rows, struct dt_error *err)
{
    const struct dt_moe_shape *s = &moe->shape;
    size_t *mine = moe->runs, *next = moe->runs + s->experts, at = 0;
    memset(mine, 0, s->experts * sizeof *mine);
    for (size_t i = 0; i < rows * s->chosen; i++)
        mine[k->choice[i]]++;
    for (size_t e = 0; e < s->experts; e++) {
        next[e] = at;
        at += mine[e];
    }
    for (size_t i = 0; i < rows * s->chosen; i++)
        k->slot[i] = next[k->choice[i]]++;
    return moe->experts->operations->allgather(moe->experts, mine, k->counts,
                                               s->experts * sizeof *mine, err);
}

/* Rows of rank `from` for the experts of rank `to`. */
static size_t rows_between(const struct dt_moe *moe, const struct dt_moe_kept *k, int from, int to)
{
    size_t own = moe->shape.own, sum = 0;
    for (size_t e = 0; e < own; e++)
        sum += k->counts[(size_t)from * moe->shape.experts + (size_t)to * own + e];
    return sum;
}

static size_t rows_here(const struct dt_moe *moe, const struct dt_moe_kept *k)
{
    size_t sum = 0;
    for (int r = 0; r < moe->experts->size; r++)
        sum += rows_between(moe, k, r, moe->experts->rank);
    return sum;
}

/* Rows in the order of all experts go to the ranks of these, or back from there. Those that stay on this
 * rank are there at once. */
static int start_exchange(struct dt_moe *moe, const struct dt_moe_kept *k, const real *from,
                          real *to, bool back, struct dt_error *err)
{
    struct dt_comm *comm = moe->experts;
    size_t c = moe->shape.channels, most = 0;
    size_t *there = moe->runs + 2 * moe->shape.experts, *here = there + moe->shape.experts;
    for (int r = 0; r < comm->size; r++) {
        there[r] = rows_between(moe, k, comm->rank, r) * c;
        here[r] = rows_between(moe, k, r, comm->rank) * c;
        for (int other = 0; other < comm->size; other++) {
            size_t run = r == other ? 0 : rows_between(moe, k, r, other) * c;
            most = run > most ? run : most;
        }
    }
    return comm->operations->all_to_all_start(comm, from, back ? here : there, to,
                                              back ? there : here, most, err);
}

static int exchange(struct dt_moe *moe, const struct dt_moe_kept *k, const real *from, real *to,
                    bool back, struct dt_error *err)
{
    if (start_exchange(moe, k, from, to, back, err) < 0)
        return -1;
    return dt_comm_drain(moe->experts, err);
}

/* What came lies rank by rank, and of each rank expert by expert. */
struct run {
    size_t expert, begin, rows; /* expert: of this rank */
};

static struct run run_at(const struct dt_moe *moe, const struct dt_moe_kept *k, size_t expert,
                         int from)
{
    const struct dt_moe_shape *s = &moe->shape;
    struct run run = {.expert = expert};
    for (int r = 0; r < from; r++)
        run.begin += rows_between(moe, k, r, moe->experts->rank);
    const size_t *counts = k->counts + (size_t)from * s->experts + s->first;
    for (size_t e = 0; e < expert; e++)
        run.begin += counts[e];
    run.rows = counts[expert];
    return run;
}

/* Where the rows that came, and what was made of them, are kept. */
struct came {
    real *in, *up, *activated;
};

static struct came came_of(const struct dt_moe *moe, const struct dt_moe_kept *k)
{
    size_t rows = rows_here(moe, k);
    real *up = k->came.at + rows * moe->shape.channels;
    return (struct came){k->came.at, up, up + rows * up_width(&moe->shape)};
}

static real *at_expert(real *tensor, size_t expert, size_t size)
{
    return tensor ? tensor + expert * size : NULL;
}

static void expert_forward(const struct dt_moe *moe, const struct dt_moe_weights *w,
                           const struct came *came, real *out, const struct run *run)
{
    const struct dt_moe_shape *s = &moe->shape;
    size_t c = s->channels, wide = up_width(s);
    real *up = came->up + run->begin * wide, *activated = came->activated + run->begin * s->hidden;
    dt_linear_forward(moe->blas, up, came->in + run->begin * c,
                      at_expert(w->up_weight, run->expert, wide * c), run->rows, c, wide);
    if (s->gated)
        moe->blas->kernels->swiglu_forward(activated, up, run->rows, s->hidden);
    else
        moe->blas->kernels->gelu_forward(activated, up, at_expert(w->up_bias, run->expert, wide),
                                         run->rows, wide);
    dt_linear_forward(moe->blas, out + run->begin * c, activated,
                      at_expert(w->down_weight, run->expert, c * s->hidden), run->rows, s->hidden,
                      c);
    if (moe->tensor->rank == 0) /* once in the sum */
        moe->blas->kernels->bias_add(out + run->begin * c, at_expert(w->down_bias, run->expert, c),
                                     run->rows, c);
}

static void run_forward(const struct dt_moe *moe, const struct dt_moe_weights *w,
                        const struct dt_moe_kept *k, const struct came *came, size_t expert,
                        int from)
{
    const struct run run = run_at(moe, k, expert, from);
    if (run.rows > 0)
        expert_forward(moe, w, came, moe->room.at, &run);
}

/* Of this rank's own rows, while those of the others are on their way. */
static int own_forward(struct dt_moe *moe, const struct dt_moe_weights *w,
                       const struct dt_moe_kept *k, const struct came *came, struct dt_error *err)
{
    int rc = 0;
    for (size_t e = 0; e < moe->shape.own && rc == 0; e++) {
        run_forward(moe, w, k, came, e, moe->experts->rank);
        rc = dt_comm_poll(moe->experts, err);
    }
    return rc;
}

int dt_moe_forward(struct dt_moe *moe, const struct dt_moe_weights *w, struct dt_moe_kept *k,
                   real *out, const real *in, size_t sequences, size_t time, struct dt_error *err)
{
    const struct dt_moe_shape *s = &moe->shape;
    const struct dt_kernels *kernels = moe->blas->kernels;
    size_t rows = sequences * time, c = s->channels;
    dt_linear_forward(moe->blas, moe->router, in, w->router, rows, s->channels, s->experts);
    kernels->router_forward(k->probability, k->weight, k->choice, moe->router, rows, s);
    if (kernels->wait(err) < 0 || find_pull(moe, k, sequences, time, err) < 0 ||
        find_slots(moe, k, rows, err) < 0)
        return -1;
    add_balance(moe, k, rows, time);
    size_t here = rows_here(moe, k);
    if (need_room(&k->came, here * (s->channels + up_width(s) + s->hidden)) < 0 ||
        need_room(&moe->room, here * (s->channels + up_width(s) + s->hidden)) < 0)
        return no_memory(here, err);
    const struct came came = came_of(moe, k);
    kernels->rows_sort(moe->rows, in, k->slot, NULL, rows, s->chosen, c);
    if (start_exchange(moe, k, moe->rows, came.in, false, err) < 0 ||
        own_forward(moe, w, k, &came, err) < 0 || dt_comm_drain(moe->experts, err) < 0)
        return -1;
    for (int i = 1; i < moe->experts->size; i++)
        for (size_t e = 0; e < s->own; e++)
            run_forward(moe, w, k, &came, e, (moe->experts->rank + i) % moe->experts->size);
    if (exchange(moe, k, moe->room.at, k->answer, true, err) < 0)
        return -1;
    kernels->zero(out, rows * c);
    kernels->rows_join(out, k->answer, k->slot, k->weight, rows, s->chosen, c);
    return 0;
}

/* d_rows: gradient of the experts' outputs in, of their inputs out. */
static void expert_backward(const struct dt_moe *moe, const struct dt_moe_weights *w,
                            const struct dt_moe_weights *g, const struct came *came, real *d_rows,
                            real *d_up, real *d_activated, const struct run *run, bool add)
{
    const struct dt_moe_shape *s = &moe->shape;
    size_t c = s->channels, wide = up_width(s), e = run->expert;
    const real *up = came->up + run->begin * wide;
    d_rows += run->begin * c;
    dt_linear_backward(moe->blas, d_activated, at_expert(g->down_weight, e, c * s->hidden),
                       at_expert(g->down_bias, e, c), d_rows,
                       came->activated + run->begin * s->hidden,
                       at_expert(w->down_weight, e, c * s->hidden), run->rows, s->hidden, c, add);
    if (s->gated)
        moe->blas->kernels->swiglu_backward(d_up, d_activated, up, run->rows, s->hidden);
    else
        moe->blas->kernels->gelu_backward(d_up, up,
                                          run->rows * wide); /* in place: d_activated is d_up */
    dt_linear_backward(moe->blas, d_rows, at_expert(g->up_weight, e, wide * c),
                       at_expert(g->up_bias, e, wide), d_up, came->in + run->begin * c,
                       at_expert(w->up_weight, e, wide * c), run->rows, c, wide, add);
}

static void clear(const struct dt_moe *moe, real *tensor, size_t expert, size_t size)
{
    if (tensor)
        moe->blas->kernels->zero(tensor + expert * size, size);
}

/* Nobody chose it. */
static void no_gradient(const struct dt_moe *moe, const struct dt_moe_weights *g, size_t e)
{
    const struct dt_moe_shape *s = &moe->shape;
    clear(moe, g->up_weight, e, up_width(s) * s->channels);
    clear(moe, g->up_bias, e, up_width(s));
    clear(moe, g->down_weight, e, s->channels * s->hidden);
    clear(moe, g->down_bias, e, s->channels);
}

/* `written`: gradients of the expert are there, to be added to. Returns whether they are now. */
static bool run_backward(const struct dt_moe *moe, const struct dt_moe_weights *w,
                         const struct dt_moe_weights *g, const struct dt_moe_kept *k, size_t expert,
                         int from, bool written)
{
    const struct dt_moe_shape *s = &moe->shape;
    const struct came came = came_of(moe, k);
    const struct run run = run_at(moe, k, expert, from);
    size_t here = rows_here(moe, k);
    real *d_rows = moe->room.at, *d_up = d_rows + here * s->channels;
    real *d_activated = s->gated ? d_up + here * up_width(s) : d_up;
    if (run.rows > 0)
        expert_backward(moe, w, g, &came, d_rows, d_up, d_activated, &run, written);
    return written || run.rows > 0;
}

/* This rank's own rows first, while those of the others are on their way. */
static int experts_backward(struct dt_moe *moe, const struct dt_moe_weights *w,
                            const struct dt_moe_weights *g, const struct dt_moe_kept *k, bool add,
                            struct dt_error *err)
{
    struct dt_comm *comm = moe->experts;
    for (size_t e = 0; e < moe->shape.own; e++) {
        run_backward(moe, w, g, k, e, comm->rank, add);
        if (dt_comm_poll(comm, err) < 0)
            return -1;
    }
    if (dt_comm_drain(comm, err) < 0)
        return -1;
    for (size_t e = 0; e < moe->shape.own; e++) {
        bool written = add || run_at(moe, k, e, comm->rank).rows > 0;
        for (int i = 1; i < comm->size; i++)
            written = run_backward(moe, w, g, k, e, (comm->rank + i) % comm->size, written);
        if (!written)
            no_gradient(moe, g, e);
    }
    return 0;
}

int dt_moe_backward(struct dt_moe *moe, const struct dt_moe_weights *w,
                    const struct dt_moe_weights *g, struct dt_moe_kept *k, real *d_in,
                    const real *d_out, const real *in, size_t sequences, size_t time, bool add,
                    struct dt_error *err)
{
    const struct dt_moe_shape *s = &moe->shape;
    const struct dt_kernels *kernels = moe->blas->kernels;
    size_t rows = sequences * time, c = s->channels;
    real *d_weight = moe->rows + moe->max_rows * s->chosen * c;
    kernels->rows_dot(d_weight, d_out, k->answer, k->slot, rows, s->chosen, c);
    if (dt_comm_sum(moe->tensor, d_weight, rows * s->chosen, DT_COMM_REAL, err) < 0)
        return -1;
    kernels->rows_sort(moe->rows, d_out, k->slot, k->weight, rows, s->chosen, c);
    if (start_exchange(moe, k, moe->rows, moe->room.at, false, err) < 0 ||
        experts_backward(moe, w, g, k, add, err) < 0)
        return -1;
    if (exchange(moe, k, moe->room.at, moe->rows, true, err) < 0)
        return -1;
    kernels->router_backward(moe->router, d_weight, k->probability, k->weight, k->choice, k->pull,
                             moe->scale, rows, time, s);
    dt_linear_backward(moe->blas, d_in, g->router, NULL, moe->router, in, w->router, rows, c,
                       s->experts, add);
    if (moe->tensor->rank > 0) /* every rank of `tensor` has the whole of it: once in the sum */
        kernels->zero(d_in, rows * c);
    kernels->rows_join(d_in, moe->rows, k->slot, NULL, rows, s->chosen, c);
    return 0;
}
