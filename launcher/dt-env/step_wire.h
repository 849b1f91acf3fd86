/* SPDX-License-Identifier: Apache-2.0 */
/* What the two ends in step_send.c and step_receive.c share. */
#ifndef DT_ENV_STEP_WIRE_H
#define DT_ENV_STEP_WIRE_H

#define STEP_HELLO "dt-env 1 " /* and "JOB.STEP NODE\n" */
#define STEP_DONE  "done\n"

enum {
    STEP_PORTS = 4,            /* tried in turn, as another job's task may have the first */
    STEP_TRY_SECONDS = 5,      /* for one try of a node */
    STEP_TEXT_MAX = 1024 << 10 /* bytes of one node */
};

double step_now(void); /* CLOCK_MONOTONIC, seconds */

#endif
