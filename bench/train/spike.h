/* SPDX-License-Identifier: Apache-2.0 */
/* Is a loss far above those of the steps before it? Every rank sees the same losses, so every rank
 * comes to the same judgement. */
#ifndef DT_TRAIN_SPIKE_H
#define DT_TRAIN_SPIKE_H

#define DT_SPIKE_WINDOW                                                                            \
    64 /* steps that a loss is compared with; before that many, none is judged */

struct dt_spike {
    double losses[DT_SPIKE_WINDOW];
    long count; /* noted in all */
};

/* Standard deviations by which `loss` is above the mean of the window; 0: too early to tell. */
double dt_spike_away(const struct dt_spike *spike, double loss);
void dt_spike_note(struct dt_spike *spike, double loss);

#endif
