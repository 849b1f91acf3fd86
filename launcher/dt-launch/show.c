/* SPDX-License-Identifier: Apache-2.0 */
/* --dry-run: each rank of this node, and what is other for it than for dt-launch. */
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "fold/ranks.h"

static bool is_own(const char *item)
{
    for (char **at = environ; *at; at++) {
        if (strcmp(*at, item) == 0)
            return true;
    }
    return false;
}

static void print_rank(const struct dt_worker *worker, const char *path, char **argv)
{
    path = worker->path ? worker->path : path; /* of a profiler */
    argv = worker->argv ? worker->argv : argv;
    printf("rank %d, local rank %d\n  runs  %s\n  argv ", worker->rank, worker->local_rank, path);
    for (; *argv; argv++)
        printf(" %s", *argv);
    printf("\n");
    if (worker->bind && worker->bind->cpu_list)
        printf("  cpus  %s\n", worker->bind->cpu_list);
    if (worker->bind && worker->bind->policy)
        printf("  memory %s %s\n", worker->bind->policy, worker->bind->node_list);
    for (size_t i = 0; i < worker->env.count; i++) {
        if (!is_own(worker->env.items[i]))
            printf("  set   %s\n", worker->env.items[i]);
    }
    for (char **at = environ; *at; at++) {
        char *name = strndup(*at, strcspn(*at, "="));
        if (name && !dt_environ_get(&worker->env, name))
            printf("  unset %s\n", name);
        free(name);
    }
}

int dt_show_ranks(const struct dt_job *job)
{
    const struct dt_place *place = job->place;
    char span[DT_RANKS_SPAN];
    printf("%s, %s, node %s (%d of %d), %s of %d\n", place->adapter,
           place->shape == DT_SHAPE_TASK ? "one process per task" : "one agent per node",
           place->node_name, place->node_rank, place->node_count,
           dt_ranks_span(span, place->rank, place->rank + place->processes - 1), place->world_size);
    printf("variables of the environment are kept but for these:\n");
    for (int i = 0; i < place->processes; i++)
        print_rank(&job->workers[i], job->path, job->options->program);
    return fflush(stdout) ? DT_EXIT_REPORT : 0;
}
