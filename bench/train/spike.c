/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of the last steps, and how far one is from them; see spike.h. */
#include "spike.h"

#include <math.h>

/* A loss that has come to rest would else make a spike of every breath. */
#define LEAST_DEVIATION 1e-3 /* of the mean */

double dt_spike_away(const struct dt_spike *spike, double loss)
{
    double mean = 0, square = 0;
    if (spike->count < DT_SPIKE_WINDOW)
        return 0;
    for (int i = 0; i < DT_SPIKE_WINDOW; i++)
        mean += spike->losses[i] / DT_SPIKE_WINDOW;
    for (int i = 0; i < DT_SPIKE_WINDOW; i++)
        square += (spike->losses[i] - mean) * (spike->losses[i] - mean) / DT_SPIKE_WINDOW;
    return (loss - mean) / fmax(sqrt(square), LEAST_DEVIATION * fabs(mean));
}

void dt_spike_note(struct dt_spike *spike, double loss)
{
    spike->losses[spike->count++ % DT_SPIKE_WINDOW] = loss;
}
