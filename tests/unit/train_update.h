/* SPDX-License-Identifier: Apache-2.0 */
/* The update that tests of training make: large steps, and an epsilon that does not hide a gradient that
 * is wrong by a factor. */
#ifndef DT_TESTS_TRAIN_UPDATE_H
#define DT_TESTS_TRAIN_UPDATE_H

#include "parallel.h"

/* number: of the step, from 0. */
static inline int train_update(struct dt_parallel *p, long number, struct dt_error *err)
{
    const struct dt_adamw adamw = {.rate = 1e-2,
                                   .beta1 = 0.9,
                                   .beta2 = 0.95,
                                   .epsilon = 1e-2,
                                   .decay = 0.1,
                                   .scale = 1,
                                   .step = number + 1};
    return dt_parallel_update(p, &adamw, err);
}

#endif
