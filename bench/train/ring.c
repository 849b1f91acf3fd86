/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a ring of ranks; see ring.h. */
#include "ring.h"

#include "kernels.h"

int dt_ring_check(int seq, int size, struct dt_error *err)
{
    int pieces = 2 * size, nearest = (seq + size) / pieces * pieces;
    if (size == 1 || seq % pieces == 0)
        return 0;
    return dt_error_set(err,
                        "--cp %d cuts each sample in %d pieces, and they do not divide --seq %d; "
                        "the nearest that can be cut is --seq %d",
                        size, pieces, seq, nearest > 0 ? nearest : pieces);
}

size_t dt_ring_place(int rank, int size, size_t time, size_t i)
{
    size_t half = time / 2;
    return i < half ? (size_t)rank * half + i : (size_t)(2 * size - 1 - rank) * half + i - half;
}

/* The early half of an earlier rank is before all of this one's rows, its late half after them; a
 * later rank's rows all lie between this one's halves. Own rows are in the order of the sequence. */
struct dt_attention_span dt_ring_span(int rank, int owner, size_t time)
{
    struct dt_attention_span span = {.queries = time, .keys = time, .add = true};
    if (owner == rank)
        span = (struct dt_attention_span){.queries = time, .keys = time, .causal = true};
    else if (owner < rank)
        span.keys = time / 2;
    else
        span.first_query = span.queries = time / 2;
    return span;
}

/* Keys and values of a row lie side by side, in qkv as in what travels. */
static size_t pair_row(const struct dt_attention_shape *s)
{
    return 2 * s->kv_heads * s->head;
}

static size_t block_size(const struct dt_attention_shape *s)
{
    return s->batch * s->time * pair_row(s);
}

size_t dt_ring_work_size(const struct dt_comm *comm, const struct dt_attention_shape *most)
{
    return comm->size > 1 ? 5 * block_size(most) : 0;
}

void dt_ring_init(struct dt_ring *ring, struct dt_comm *comm, real *work,
                  const struct dt_attention_shape *most)
{
    size_t size = block_size(most);
    *ring = (struct dt_ring){.comm = comm,
                             .kv = {work, work + size},
                             .d_kv = {work + 2 * size, work + 3 * size},
                             .d_block = work + 4 * size};
}

/* A block on its way to the next rank, while another comes from the one before. */
struct hop {
    struct dt_message out, in;
};

static int start_hop(struct dt_ring *ring, struct hop *hop, const real *out, real *in, size_t count,
                     struct dt_error *err)
{
    struct dt_comm *comm = ring->comm;
    int next = (comm->rank + 1) % comm->size, before = (comm->rank + comm->size - 1) % comm->size;
    if (comm->operations->send_start(comm, &hop->out, out, count, next, err) < 0)
        return -1;
    return comm->operations->receive_start(comm, &hop->in, in, count, before, err);
}

static int end_hop(struct dt_ring *ring, const struct hop *hop, struct dt_error *err)
{
    if (ring->failed) {
        *err = ring->error;
        return -1;
    }
    if (dt_comm_wait_message(ring->comm, &hop->in, err) < 0)
        return -1;
    return dt_comm_wait_message(ring->comm, &hop->out, err);
}

/* The next block comes while the one at hand is computed with. */
static void move_on(void *context)
{
    struct dt_ring *ring = context;
    if (!ring->failed && dt_comm_poll(ring->comm, &ring->error) < 0)
        ring->failed = true;
}

static struct dt_attention_span span_in(struct dt_ring *ring, int step, size_t time)
{
    const struct dt_comm *comm = ring->comm;
    int owner = (comm->rank + comm->size - step) % comm->size;
    struct dt_attention_span span = dt_ring_span(comm->rank, owner, time);
    span.between = move_on;
    span.context = ring;
    return span;
}

static struct dt_attention_input at_hand(const real *qkv, const real *kv,
                                         const struct dt_attention_shape *s)
{
    struct dt_attention_input in = dt_attention_input(qkv, s);
    in.k = kv;
    in.v = kv + s->kv_heads * s->head;
    in.kv_row = pair_row(s);
    return in;
}

static void take_own(const struct dt_ring *ring, const struct dt_kernels *kernels, const real *qkv,
                     const struct dt_attention_shape *s)
{
    const struct dt_attention_input in = dt_attention_input(qkv, s);
    kernels->copy_rows(ring->kv[0], pair_row(s), in.k, in.kv_row, pair_row(s), s->batch * s->time);
}

int dt_ring_forward(struct dt_ring *ring, const struct dt_blas *blas, real *out, real *log_sum,
                    const real *qkv, real *work, const struct dt_attention_shape *s,
                    struct dt_error *err)
{
    const struct dt_kernels *kernels = blas->kernels;
    struct dt_comm *comm = ring->comm;
    take_own(ring, kernels, qkv, s);
    for (int step = 0; step < comm->size; step++) {
        const real *kv = ring->kv[step % 2];
        const struct dt_attention_input in = at_hand(qkv, kv, s);
        const struct dt_attention_span span = span_in(ring, step, s->time);
        bool more = step + 1 < comm->size;
        struct hop hop;
        if (more && start_hop(ring, &hop, kv, ring->kv[(step + 1) % 2], block_size(s), err) < 0)
            return -1;
        kernels->attention_span_forward(blas, out, log_sum, &in, work, s, &span);
        if (more && end_hop(ring, &hop, err) < 0)
            return -1;
    }
    return 0;
}

/* Gradients of the block at hand follow it by a hop: they leave when this rank's part is added. */
int dt_ring_backward(struct dt_ring *ring, const struct dt_blas *blas, real *d_qkv,
                     const real *d_out, const real *out, const real *log_sum, const real *qkv,
                     real *work, const struct dt_attention_shape *s, struct dt_error *err)
{
    const struct dt_kernels *kernels = blas->kernels;
    struct dt_comm *comm = ring->comm;
    struct hop d_hop;
    take_own(ring, kernels, qkv, s);
    for (int step = 0; step < comm->size; step++) {
        const real *kv = ring->kv[step % 2];
        real *sum = ring->d_kv[step % 2], *block = step > 0 ? ring->d_block : sum;
        const struct dt_attention_input in = at_hand(qkv, kv, s);
        const struct dt_attention_gradient d = {d_qkv, block, block + s->kv_heads * s->head};
        const struct dt_attention_span span = span_in(ring, step, s->time);
        bool more = step + 1 < comm->size;
        struct hop hop;
        if (more && start_hop(ring, &hop, kv, ring->kv[(step + 1) % 2], block_size(s), err) < 0)
            return -1;
        kernels->attention_span_backward(blas, &d, d_out, out, log_sum, &in, work, s, &span);
        if (step > 0) {
            if (end_hop(ring, &d_hop, err) < 0)
                return -1;
            kernels->add_keys(sum, block, s->batch, span.keys, s->time, pair_row(s));
        }
        if (start_hop(ring, &d_hop, sum, ring->d_kv[(step + 1) % 2], block_size(s), err) < 0 ||
            (more && end_hop(ring, &hop, err) < 0))
            return -1;
    }
    if (end_hop(ring, &d_hop, err) < 0)
        return -1;
    const struct dt_attention_input own = dt_attention_input(qkv, s);
    kernels->copy_rows(d_qkv + (own.k - qkv), own.kv_row, ring->d_kv[comm->size % 2], pair_row(s),
                       pair_row(s), s->batch * s->time);
    return 0;
}
