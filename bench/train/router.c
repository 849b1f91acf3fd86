/* SPDX-License-Identifier: Apache-2.0 */
/* The router of a mixture of experts: which rows go to which, and with what weight; see moe.h. */
#include "moe.h"

static void softmax_row(real *probability, const real *logits, size_t experts)
{
    real top = logits[0], sum = 0;
    for (size_t e = 1; e < experts; e++)
        top = logits[e] > top ? logits[e] : top;
    for (size_t e = 0; e < experts; e++) {
        probability[e] = dt_exp(logits[e] - top);
        sum += probability[e];
    }
    for (size_t e = 0; e < experts; e++)
        probability[e] /= sum;
}

static bool is_among(int expert, const int *choice, size_t count)
{
    for (size_t j = 0; j < count; j++)
        if (choice[j] == expert)
            return true;
    return false;
}

/* The highest that is not chosen yet; the first of equal ones. */
static int best(const real *probability, size_t experts, const int *choice, size_t count)
{
    int found = -1;
    for (int e = 0; e < (int)experts; e++)
        if (!is_among(e, choice, count) && (found < 0 || probability[e] > probability[found]))
            found = e;
    return found;
}

static real chosen_sum(const real *probability, const int *choice, size_t chosen)
{
    real sum = 0;
    for (size_t j = 0; j < chosen; j++)
        sum += probability[choice[j]];
    return sum;
}

void dt_router_forward(real *probability, real *weight, int *choice, const real *logits,
                       size_t rows, const struct dt_moe_shape *s)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        real *p = probability + row * s->experts, *w = weight + row * s->chosen;
        int *c = choice + row * s->chosen;
        softmax_row(p, logits + row * s->experts, s->experts);
        for (size_t j = 0; j < s->chosen; j++)
            c[j] = best(p, s->experts, c, j);
        real sum = chosen_sum(p, c, s->chosen);
        for (size_t j = 0; j < s->chosen; j++)
            w[j] = p[c[j]] / sum;
    }
}

/* d: gradient of the probabilities in, of the logits out. */
static void softmax_back_row(real *d, const real *probability, size_t experts)
{
    real dot = 0;
    for (size_t e = 0; e < experts; e++)
        dot += d[e] * probability[e];
    for (size_t e = 0; e < experts; e++)
        d[e] = probability[e] * (d[e] - dot);
}

void dt_router_backward(real *d_logits, const real *d_weight, const real *probability,
                        const real *weight, const int *choice, const real *pull, double scale,
                        size_t rows, size_t time, const struct dt_moe_shape *s)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const real *p = probability + row * s->experts, *w = weight + row * s->chosen;
        const real *d_w = d_weight + row * s->chosen, *add = pull + row / time * s->experts;
        const int *c = choice + row * s->chosen;
        real *d = d_logits + row * s->experts, dot = 0;
        for (size_t e = 0; e < s->experts; e++)
            d[e] = (real)scale * add[e];
        for (size_t j = 0; j < s->chosen; j++)
            dot += d_w[j] * w[j];
        real sum = chosen_sum(p, c, s->chosen);
        for (size_t j = 0; j < s->chosen; j++)
            d[c[j]] += (d_w[j] - dot) / sum;
        softmax_back_row(d, p, s->experts);
    }
}
