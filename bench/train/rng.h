/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers without state: a value is a function of (seed, stream, index) and nothing else, so
 * that weights and data order are the same whatever the number of ranks and whoever draws first. */
#ifndef DT_TRAIN_RNG_H
#define DT_TRAIN_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "real.h"

uint64_t dt_rng_bits(uint64_t seed, uint64_t stream, uint64_t index);

/* values[i] = deviation * about-normal(seed, stream, first + i): the sum of four uniform numbers. Integer
 * arithmetic but for one product, so that every machine and C library starts from the same weights.
 */
void dt_rng_fill(real *values, size_t first, size_t count, double deviation, uint64_t seed,
                 uint64_t stream);

/* A permutation of 0..count-1 chosen by key, evaluated at one place. */
uint64_t dt_rng_permute(uint64_t index, uint64_t count, uint64_t key);

#endif
