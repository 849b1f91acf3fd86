/* SPDX-License-Identifier: Apache-2.0 */
/* The router of a mixture of experts: a thread takes a row, in the steps of ../router.c, so that
 * equal probabilities are chosen in the same order. */
#include "kernel.cuh"

enum { THREADS = 128 };

static __device__ void softmax(real *probability, const real *logits, size_t experts)
{
    real top = logits[0], sum = 0;
    for (size_t e = 1; e < experts; e++)
        top = logits[e] > top ? logits[e] : top;
    for (size_t e = 0; e < experts; e++) {
        probability[e] = exp(logits[e] - top);
        sum += probability[e];
    }
    for (size_t e = 0; e < experts; e++)
        probability[e] /= sum;
}

static __device__ bool is_among(int expert, const int *choice, size_t count)
{
    for (size_t j = 0; j < count; j++)
        if (choice[j] == expert)
            return true;
    return false;
}

/* The highest that is not chosen yet; the first of equal ones. */
static __device__ int best(const real *probability, size_t experts, const int *choice, size_t count)
{
    int found = -1;
    for (int e = 0; e < (int)experts; e++)
        if (!is_among(e, choice, count) && (found < 0 || probability[e] > probability[found]))
            found = e;
    return found;
}

static __device__ real chosen_sum(const real *probability, const int *choice, size_t chosen)
{
    real sum = 0;
    for (size_t j = 0; j < chosen; j++)
        sum += probability[choice[j]];
    return sum;
}

static __global__ void forward(real *probability, real *weight, int *choice, const real *logits,
                               size_t rows, size_t experts, size_t chosen)
{
    size_t row = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows)
        return;
    real *p = probability + row * experts, *w = weight + row * chosen;
    int *c = choice + row * chosen;
    softmax(p, logits + row * experts, experts);
    for (size_t j = 0; j < chosen; j++)
        c[j] = best(p, experts, c, j);
    real sum = chosen_sum(p, c, chosen);
    for (size_t j = 0; j < chosen; j++)
        w[j] = p[c[j]] / sum;
}

void dt_cuda_router_forward(real *probability, real *weight, int *choice, const real *logits,
                            size_t rows, const struct dt_moe_shape *s)
{
    DT_LAUNCH(forward, blocks_for(rows, THREADS), THREADS, 0, probability, weight, choice, logits,
              rows, s->experts, s->chosen);
}

/* d: gradient of the probabilities in, of the logits out. */
static __device__ void softmax_back(real *d, const real *probability, size_t experts)
{
    real dot = 0;
    for (size_t e = 0; e < experts; e++)
        dot += d[e] * probability[e];
    for (size_t e = 0; e < experts; e++)
        d[e] = probability[e] * (d[e] - dot);
}

static __global__ void backward(real *d_logits, const real *d_weight, const real *probability,
                                const real *weight, const int *choice, const real *pull, real scale,
                                size_t rows, size_t time, size_t experts, size_t chosen)
{
    size_t row = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows)
        return;
    const real *p = probability + row * experts, *w = weight + row * chosen;
    const real *d_w = d_weight + row * chosen, *add = pull + row / time * experts;
    const int *c = choice + row * chosen;
    real *d = d_logits + row * experts, dot = 0;
    for (size_t e = 0; e < experts; e++)
        d[e] = scale * add[e];
    for (size_t j = 0; j < chosen; j++)
        dot += d_w[j] * w[j];
    real sum = chosen_sum(p, c, chosen);
    for (size_t j = 0; j < chosen; j++)
        d[c[j]] += (d_w[j] - dot) / sum;
    softmax_back(d, p, experts);
}

void dt_cuda_router_backward(real *d_logits, const real *d_weight, const real *probability,
                             const real *weight, const int *choice, const real *pull, double scale,
                             size_t rows, size_t time, const struct dt_moe_shape *s)
{
    DT_LAUNCH(backward, blocks_for(rows, THREADS), THREADS, 0, d_logits, d_weight, probability,
              weight, choice, pull, (real)scale, rows, time, s->experts, s->chosen);
}
