/* SPDX-License-Identifier: Apache-2.0 */
/* Ending what the ranks have left behind, and proving that nothing is: DataLoader workers, daemons that have
 * forked twice, whatever has survived its rank. Memory of GPUs and in /dev/shm is free only then.
 *
 * dt-launch is a subreaper, so whoever loses its parent becomes its child. Only own children are ever
 * killed: nobody else's process can have their ids until they are reaped, and processes that dt-launch
 * did not start are never touched. When the last child is gone nothing is left, by construction.
 */
#ifndef DT_LAUNCH_TEARDOWN_H
#define DT_LAUNCH_TEARDOWN_H

#include "base/buf.h"

/* SIGTERM to all, after grace_s seconds SIGKILL, until none is left, or for 3 s more. Returns the number
 * that could not be ended; `left` then names them: "pid 4711 (python3, state D) holds /dev/nvidia0". */
int dt_teardown(double grace_s, struct dt_buf *left);

#endif
