/* SPDX-License-Identifier: Apache-2.0 */
/* When a rank began to end. The kernel tells of a death when all is torn down, which takes long with
 * GPUs and much memory; by then the rank's connections are closed, and its peers may have failed and died
 * before it. But locks of the fcntl kind are let go first, and no child inherits them: each rank holds one
 * from before its exec, and a thread here waits for it. */
#ifndef DT_LAUNCH_GATE_H
#define DT_LAUNCH_GATE_H

struct dt_gate;

/* NULL when it can not be had; then the time of death counts. */
struct dt_gate *dt_gate_create(void);
/* In the rank, between fork and exec. */
void dt_gate_hold(const struct dt_gate *gate);
/* In dt-launch, once the rank holds it. */
void dt_gate_watch(struct dt_gate *gate);
/* When it was let go (ns of CLOCK_MONOTONIC); 0: not yet, or not known. */
long long dt_gate_left(const struct dt_gate *gate);

/* When the rank is dead. One that can not be ended (state D) keeps its thread and its gate. */
void dt_gate_destroy(struct dt_gate *gate);

#endif
