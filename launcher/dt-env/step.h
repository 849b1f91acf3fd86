/* SPDX-License-Identifier: Apache-2.0 */
/* The Slurm step that this process may be a task of, and how its nodes hand their text to the first
 * one: over TCP, as what is in the job's own container or environment is seen from there alone, and
 * srun is not in every image. The text is no secret, and nobody is believed more than he could
 * print: a stranger can at most make the answer wrong that he could also delay. */
#ifndef DT_ENV_STEP_H
#define DT_ENV_STEP_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/hostlist.h"

struct step {
    char *id;                 /* "12.0" */
    struct dt_hostlist nodes; /* of this step */
    long node, local;         /* index of this node; of this task on it */
    int port;                 /* the first that all nodes try */
    long seconds;             /* that the nodes wait for each other */
};

/* False: this process is no task of a step of several nodes. */
bool step_find(struct step *step);
void step_fini(struct step *step);

/* First node: take every other node's text, until all have come or time is up. take() returns
 * false for text that is not one of ours, whose sender then does not count. heard[node]: set to true
 * for those that did. -1: nobody can be heard. */
int step_receive(const struct step *step, bool *heard,
                 bool (*take)(void *context, const struct dt_buf *text), void *context,
                 struct dt_error *err);
/* Other nodes. -1: the first one did not take it. */
int step_send(const struct step *step, const struct dt_buf *text, struct dt_error *err);

#endif
