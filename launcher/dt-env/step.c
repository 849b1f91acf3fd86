/* SPDX-License-Identifier: Apache-2.0 */
/* What srun has written into the environment of a task. */
#include "step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below Linux's ephemeral ports, and not where dt-launch looks for a port of the same step. */
enum { PORT_FIRST = 18000, PORT_COUNT = 2000 };

/* -1: not set, or no number. */
static long long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || *end ? -1 : value;
}

bool step_find(struct step *step)
{
    struct dt_error err;
    const char *list = getenv("SLURM_STEP_NODELIST");
    long long job = number_of("SLURM_JOB_ID"), id = number_of("SLURM_STEP_ID");
    long long nodes = number_of("SLURM_STEP_NUM_NODES");
    *step = (struct step){.node = (long)number_of("SLURM_NODEID"),
                          .local = (long)number_of("SLURM_LOCALID")};
    if (!list || job < 0 || id < 0 || nodes < 2 || number_of("SLURM_PROCID") < 0 ||
        step->node < 0 || step->local < 0 || dt_hostlist_parse(&step->nodes, list, &err) < 0)
        return false;
    step->port = PORT_FIRST + (int)((job * 101 + id) % PORT_COUNT);
    if ((long long)step->nodes.count == nodes && step->node < nodes &&
        asprintf(&step->id, "%lld.%lld", job, id) >= 0)
        return true;
    step->id = NULL;
    step_fini(step);
    return false;
}

void step_fini(struct step *step)
{
    free(step->id);
    dt_hostlist_fini(&step->nodes);
    *step = (struct step){0};
}
