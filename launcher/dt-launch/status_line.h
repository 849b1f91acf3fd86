/* SPDX-License-Identifier: Apache-2.0 */
/* --progress: one line that tells how far the job is, kept on a terminal, written now and then elsewhere. */
#ifndef DT_LAUNCH_STATUS_LINE_H
#define DT_LAUNCH_STATUS_LINE_H

#include "loop.h"

void dt_status_begin(struct loop *loop); /* of an attempt */
/* The lead calls it whenever it is awake. */
void dt_status_work(struct loop *loop);
double dt_status_next(const struct loop *loop); /* when it wants to be called (s); 0: never */

#endif
